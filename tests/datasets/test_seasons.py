"""Seasons: the same pictures everywhere, and a truth that is true.

Golden pictures are made anew, after a wanted change of the renderer, with
``BENCH_UPDATE_GOLDEN=1 pytest tests/datasets/test_seasons.py -k golden``.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from bench.api import A2B, B2A, BenchError, Dataset, Domain
from bench.data import make_folder, verify
from bench_seasons import factory
from bench_seasons.config import SeasonsConfig
from bench_seasons.dataset import Seasons
from bench_seasons.look import MODES
from bench_seasons.render import FIRST_SCENE, geometry_of, looks_of, render, truth_of
from bench_seasons.scene import FAR, MASKS
from tests import toys

GOLDEN = Path(__file__).with_name("golden")


def quiet(line: str) -> None:
    pass


def opened(cache: Path, **options: object) -> Seasons:
    dataset = Seasons(SeasonsConfig(**{"size": 32, "train": 3, "test": 2, **options}))  # type: ignore[arg-type]
    dataset.prepare(cache, offline=True, progress=quiet)
    return dataset


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seasons")


def all_looks(scene: int, seed: int = 0) -> np.ndarray:
    """The four summers and the four winters of a scene, at 64 pixels."""
    looks = looks_of("summer", seed, scene) + looks_of("winter", seed, scene)
    return render(seed, scene, looks, 64)


# ------------------------------------------------------------------ the same everywhere


@pytest.mark.parametrize("scene", [0, 3, 4])
def test_golden_pictures(scene: int) -> None:
    pixels = np.vstack([np.hstack(list(half)) for half in np.split(all_looks(scene), 2)])
    file = GOLDEN / f"seasons_{scene}.png"
    if os.environ.get("BENCH_UPDATE_GOLDEN"):
        Image.fromarray(pixels).save(file, optimize=True)
    with Image.open(file) as image:
        golden = np.asarray(image).astype(int)
    difference = np.abs(pixels.astype(int) - golden)
    assert difference.max() <= 1, f"{(difference > 1).mean():.2%} of the values differ"


_CHILD = """
import hashlib, sys
from bench_seasons.render import looks_of, render
for scene in map(int, sys.argv[1:]):
    for look, place in ((looks_of("winter", 5, scene), 4), (looks_of("summer", 5, scene)[:1], 1)):
        pixels = render(5, scene, look, 48)
        print(hashlib.sha256(pixels[0].tobytes()).hexdigest())
"""


def test_same_bytes_in_other_processes_threads_and_batches() -> None:
    def one(scene: int, season: str) -> str:
        look = looks_of(season, 5, scene)[:1]  # type: ignore[arg-type]
        return hashlib.sha256(render(5, scene, look, 48)[0].tobytes()).hexdigest()

    jobs = [(scene, season) for scene in (1, 2, 3) for season in ("winter", "summer")]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda job: one(*job), jobs))
    assert [one(*job) for job in reversed(jobs)] == threaded[::-1]
    for threads in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, "1", "2", "3"],
            env={**os.environ, "OMP_NUM_THREADS": threads, "NPY_DISABLE_CPU_FEATURES": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == threaded


_WHOLE = """
import os, sys
from pathlib import Path
from bench_seasons.config import SeasonsConfig
from bench_seasons.dataset import Seasons
if sys.argv[1] == "1":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
dataset = Seasons(SeasonsConfig(size=32, train=int(sys.argv[2]), test=2))
dataset.prepare(Path(sys.argv[3]), offline=True, progress=lambda line: None)
parts = [dataset.split(split, domain) for split in ("test", "train") for domain in ("a", "b")]
for items in parts:
    print(*[item.digest for item in items[:3]])
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no way to take cores away")
def test_a_dataset_made_by_other_processes_has_the_same_pictures(tmp_path: Path) -> None:
    """One core or a process on each, three training pictures or sixty."""

    def made(cores: str, train: str) -> str:
        command = [sys.executable, "-c", _WHOLE, cores, train, str(tmp_path / f"{cores}-{train}")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    alone = made("1", "3")
    assert len(alone.split()) == 10
    assert made("all", "60") == alone


def test_a_process_that_fails_is_one_line_and_its_words(tmp_path: Path) -> None:
    """The arrays to fill are missing: both fail, in any order, and the first is the one told."""
    with pytest.raises(BenchError, match=r"ended with exit code 1: KeyError: 'trainA'"):
        list(factory._employ(tmp_path, SeasonsConfig(size=32, train=1, test=1), 2))


def test_geometry_does_not_need_the_fastest_instructions() -> None:
    """Another instruction set may round a colour otherwise, never move an edge."""
    code = (
        "import sys; from bench_seasons.render import looks_of, render; "
        "sys.stdout.buffer.write(render(0, 3, looks_of('winter', 0, 3), 64).tobytes())"
    )
    plain = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR AVX2 FMA3"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": plain},
        capture_output=True,
        check=True,
    )
    there = np.frombuffer(done.stdout, np.uint8).astype(int)
    here = render(0, 3, looks_of("winter", 0, 3), 64).astype(int).ravel()
    assert np.abs(there - here).max() <= 1


def test_seeds_and_scenes_make_other_worlds() -> None:
    pictures = [render(s, k, looks_of("summer", s, k)[:1], 32) for s in (0, 1) for k in (0, 1)]
    assert len({picture.tobytes() for picture in pictures}) == 4


# ------------------------------------------------------------------ the dataset


def test_contract_and_cache(tmp_path: Path) -> None:
    lines: list[str] = []
    dataset = Seasons(SeasonsConfig(size=32, train=3, test=2))
    with pytest.raises(BenchError, match="not prepared"):
        dataset.split("train", "a")
    dataset.prepare(tmp_path, offline=True, progress=lines.append)
    assert isinstance(dataset, Dataset)
    assert "rendering" in lines[0]
    again = Seasons(SeasonsConfig(size=32, train=3, test=2))
    again.prepare(tmp_path, offline=True, progress=lines.append)
    assert len(lines) == 1, "the second time nothing is rendered"
    assert again.fingerprint() == dataset.fingerprint()
    for item in again.split("train", "b"):
        assert item.render is not None
        pixels = item.render()
        assert pixels.shape == (32, 32, 3)
        assert pixels.dtype == np.uint8
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == item.digest
    assert verify(again, tmp_path, offline=True, progress=quiet).ok


def test_poisoned_cache_is_found_and_mended(tmp_path: Path) -> None:
    before = opened(tmp_path).fingerprint()
    for name in ("trainA.npy", "index.json"):
        (file,) = tmp_path.glob(f"*/{name}")
        data = bytearray(file.read_bytes())
        data[-5] ^= 0xFF
        file.write_bytes(data)
        lines: list[str] = []
        dataset = Seasons(SeasonsConfig(size=32, train=3, test=2))
        dataset.prepare(tmp_path, offline=True, progress=lines.append)
        assert lines, "it was rendered again"
        assert dataset.fingerprint() == before


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path) -> None:
    left = tmp_path / "cache" / ".0123-abcd"
    left.mkdir(parents=True)
    (left / "trainA.npy").write_bytes(b"half")
    opened(tmp_path / "cache")
    assert not left.exists()


def test_fingerprint_follows_the_content(cache: Path) -> None:
    options: list[dict[str, object]] = [
        {},
        {"seed": 1},
        {"difficulty": "hard"},
        {"test": 3},
        {"pairs": True},
        {"size": 33},
    ]
    assert len({opened(cache, **each).fingerprint() for each in options}) == len(options)


def test_parts_share_no_scene_unless_paired(cache: Path) -> None:
    dataset = opened(cache)
    scenes = [
        item.factors["scene"]
        for split in ("train", "test")
        for domain in ("a", "b")
        for item in dataset.split(split, domain)  # type: ignore[arg-type]
    ]
    assert len(set(scenes)) == len(scenes)
    paired = opened(cache, pairs=True)
    for a, b in zip(paired.split("train", "a"), paired.split("train", "b"), strict=True):
        assert (a.factors["season"], b.factors["season"]) == ("summer", "winter")
        for shared in ("scene", "mode", "azimuth", "elevation", "haze", "clouds"):
            assert a.factors[shared] == b.factors[shared]


@pytest.mark.parametrize("direction", [A2B, B2A])
def test_truth_has_every_mode_once_and_the_pair_first(cache: Path, direction: object) -> None:
    dataset = opened(cache)
    for item in dataset.split("test", direction.source):  # type: ignore[attr-defined]
        true = dataset.truth(item, direction)  # type: ignore[arg-type]
        assert sorted(str(one.factors["mode"]) for one in true) == sorted(MODES)
        assert [one.factors["paired"] for one in true] == [1.0, 0.0, 0.0, 0.0]
        assert true[0].factors["mode"] == item.factors["mode"]
        assert {one.factors["scene"] for one in true} == {item.factors["scene"]}
        assert {one.factors["season"] for one in true} != {item.factors["season"]}
        assert len({one.id for one in true}) == 4
    train = dataset.split("train", "a")[0]
    assert train.render is not None


def test_seasons_and_modes_look_as_they_are_called() -> None:
    summers, winters = np.split(np.stack([all_looks(scene) for scene in range(6)]), 2, axis=1)
    low = (slice(None), slice(None), slice(44, None))
    lightness = [half[low].mean() for half in (summers, winters)]
    assert lightness[1] > 1.3 * lightness[0], "snow is brighter than grass"
    green = [
        (half[low][..., 1].astype(int) - half[low][..., 2]).mean() for half in (summers, winters)
    ]
    assert green[0] > green[1] + 15, "grass is greener than snow"
    for scene in range(3):
        for looks in (summers[scene], winters[scene]):
            gaps = [
                np.abs(a.astype(int) - b).mean() for i, a in enumerate(looks) for b in looks[:i]
            ]
            assert min(gaps) > 4, "two looks are never nearly the same"


def test_difficulty_moves_the_seasons_together() -> None:
    def apart(difficulty: str) -> float:
        gaps = []
        for scene in range(8):
            pair = [looks_of(s, 0, scene, difficulty)[:1] for s in ("summer", "winter")]  # type: ignore[arg-type]
            a, b = (render(0, scene, look, 32).astype(int) for look in pair)
            gaps.append(np.abs(a - b).mean())
        return float(np.mean(gaps))

    easy, standard, hard = apart("easy"), apart("standard"), apart("hard")
    assert easy > standard > hard


# ------------------------------------------------------------------ masks and depth


@pytest.mark.parametrize("scene", [0, 3, 4])
def test_masks_and_depth_agree_with_the_picture(scene: int) -> None:
    geometry = geometry_of(0, scene, 64)
    truth = truth_of(0, scene, 64, geometry)
    assert sum(truth.mask(name).sum() for name in MASKS) == 64 * 64
    sky = truth.mask("sky")
    assert sky[0].mean() > 0.6
    assert not sky[-1].any()
    assert (truth.depth[sky] == FAR).all()
    assert (truth.depth[~sky] <= FAR).all()
    assert truth.depth[-1].max() < truth.depth[40].max()
    looks = looks_of("winter", 0, scene)
    clear = next(look for look in looks if look.light.mode == "clear")
    picture = render(0, scene, [clear], 64, geometry)[0].astype(int)
    blue = picture[..., 2] - picture[..., 0]
    ground = truth.mask("ground")
    assert blue[sky].mean() > blue[ground].mean() + 20


def test_scene_truth_is_reached_from_any_item(cache: Path) -> None:
    dataset = opened(cache)
    item = dataset.split("test", "a")[1]
    truth = dataset.scene_truth(item)
    assert truth.classes.shape == truth.depth.shape == (32, 32)
    other = dataset.scene_truth(dataset.truth(item, A2B)[2])
    assert np.array_equal(truth.classes, other.classes)
    assert item.factors["scene"] == FIRST_SCENE["testA"] + 1


@pytest.mark.parametrize("domain", ["a", "b"])
def test_layers_are_those_of_the_scene_kept_or_made(cache: Path, domain: Domain) -> None:
    dataset = opened(cache)
    for item in (*dataset.split("test", domain), dataset.split("train", domain)[0]):
        layers, made = dataset.layers(item), dataset.scene_truth(item).planes()
        assert layers.keys() == made.keys() == {"classes", "depth"}
        for name, plane in made.items():
            assert layers[name].dtype == plane.dtype
            assert np.array_equal(layers[name], plane)


# ------------------------------------------------------------------ folders and faults


def test_make_writes_an_ordinary_folder(cache: Path, tmp_path: Path) -> None:
    dataset = opened(cache)
    out = make_folder(dataset, tmp_path / "made", progress=quiet)
    assert len(list((out / "trainA").glob("*.png"))) == 3
    manifest = json.loads((out / "manifest.json").read_text())
    entry = manifest["files"]["testB"][0]
    assert entry["factors"]["season"] == "winter"
    assert entry["factors"]["mode"] in MODES
    with Image.open(out / "testB" / entry["file"]) as image:
        assert hashlib.sha256(np.asarray(image).tobytes()).hexdigest() == entry["digest"]
    for true in entry["truth"]:
        with Image.open(out / true["file"]) as image:
            assert hashlib.sha256(np.asarray(image).tobytes()).hexdigest() == true["digest"]
    assert [true["factors"]["season"] for true in entry["truth"]] == ["summer"] * 4
    known = dataset.scene_truth(dataset.split("test", "b")[0])
    with Image.open(out / entry["layers"]["depth"]) as image:
        assert np.abs(np.asarray(image) / 4 - known.depth).max() <= 0.125
    with Image.open(out / entry["layers"]["classes"]) as image:
        assert np.array_equal(np.asarray(image), known.classes)


@pytest.mark.parametrize(
    "options",
    [{"size": 0}, {"size": 2048}, {"train": -1}, {"test": 0}, {"difficulty": "mad"}, {"seed": -1}],
)
def test_impossible_settings_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        SeasonsConfig(**options)  # type: ignore[arg-type]


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="cannot be written") as caught:
        opened(tmp_path / "file" / "cache")
    assert "\n" not in str(caught.value)


def test_make_refuses_before_it_renders(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in ("file", "file/deeper/folder"):
        options = ("--size", "32", "--train", "2", "--test", "1", "--out", out)
        done = toys.bench("data", "make", "seasons", *options, cwd=tmp_path, cache=tmp_path / "c")
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1, "no word of rendering"
        assert out.split("/")[0] in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupted_make_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "data", "make", "seasons", "--size", "256"]
    child = subprocess.Popen(
        [*command, "--train", "400", "--test", "50", "--out", str(tmp_path / "made")],
        env=toys.environment(tmp_path / "cache"),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=toys.heed_interrupts,
    )
    assert child.stderr is not None
    # The second line comes when the first scenes are there.
    said = [child.stderr.readline() for _ in range(2)]
    child.send_signal(signal.SIGINT)
    rest = child.communicate(timeout=120)[1]
    assert child.returncode not in (0, None), said
    assert "Traceback" not in rest
    assert list(tmp_path.glob("*")) == [tmp_path / "cache"]
    left = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert left in ([], [".lock"])


@pytest.mark.parametrize("size", [32, 50, 256])
def test_any_size(size: int) -> None:
    pixels = render(0, 2, looks_of("summer", 0, 2)[:1], size)
    assert pixels.shape == (1, size, size, 3)
