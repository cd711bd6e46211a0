"""Pictures made elsewhere: which input each belongs to, and everything that can be wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.api import A2B, B2A, BenchError, ImageItem, PrecomputedMethod
from bench.data.images import fit_square, read_image, write_png
from bench.data.precomputed import match_precomputed
from bench.suite.schema import make_suite, method_entry, read_suite
from bench_outputs.config import OutputsConfig
from bench_outputs.folder import Outputs

SIZE = 16
IDS = ("oak", "elm_3", "fir")


class Views:
    """Three test inputs in each domain; one goes by another name in its file."""

    domains = ("summer", "winter")
    paired = False

    def split(self, split: str, domain: str) -> list[ImageItem]:
        assert split == "test"
        return [ImageItem(id=key, digest=key, path=Path(f"{key} {domain}.jpg")) for key in IDS]


def picture(path: Path, size: int = SIZE) -> Path:
    rng = np.random.default_rng(list(str(path.name).encode()))
    write_png(path, rng.integers(0, 256, (size, size, 3)).astype(np.uint8))
    return path


def precomputed(root: Path, directions=(A2B,), *, samples=10, allow_missing=False, **config):
    method = Outputs(OutputsConfig(root=root, **config))
    assert isinstance(method, PrecomputedMethod)
    return match_precomputed(
        method,
        "theirs",
        Views(),
        directions,
        size=SIZE,
        samples=samples,
        test_limit=None,
        allow_missing=allow_missing,
    )


def names(found, direction="a2b"):
    return {key: [i.path.name for i in items] for key, items in found.outputs[direction].items()}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    for key in IDS:
        picture(tmp_path / f"{key}.png")
    return tmp_path


def test_one_picture_for_each_input(whole: Path) -> None:
    found = precomputed(whole)
    assert names(found) == {key: [f"{key}.png"] for key in IDS}
    assert (found.samples, found.problems, found.shortfall) == (1, (), "")


@pytest.mark.parametrize(
    "layout",
    ["{key}_{k}.png", "{key}/{k}.png", "{key}/{key}_{k}.png", "{key} a_{k}.png"],
)
def test_samples_by_number_or_in_folders(tmp_path: Path, layout: str) -> None:
    for key in IDS:
        for k in (0, 1, 10, 2):
            picture(tmp_path / layout.format(key=key, k=k))
    found = precomputed(tmp_path)
    assert found.samples == 4
    for key, items in found.outputs["a2b"].items():
        wanted = [tmp_path / layout.format(key=key, k=k) for k in (0, 1, 2, 10)]
        assert [item.path for item in items] == wanted
    assert precomputed(tmp_path, samples=2).samples == 2


def test_a_whole_name_comes_before_a_number(tmp_path: Path) -> None:
    for name in ("oak_0", "fir_0", "elm_3", "elm_3_1"):
        picture(tmp_path / f"{name}.png")
    with pytest.raises(BenchError) as refused:
        precomputed(tmp_path)
    assert refused.value.__notes__ == [
        "a2b: input elm_3 has 2 samples, most have 1: give all the same number"
    ]


def test_both_directions_in_a_folder_each(tmp_path: Path) -> None:
    for direction in ("a2b", "b2a"):
        for key in IDS:
            picture(tmp_path / direction / f"{key}.png")
    found = precomputed(tmp_path, (A2B, B2A))
    assert found.outputs.keys() == {"a2b", "b2a"}
    shutil.rmtree(tmp_path / "b2a")
    with pytest.raises(BenchError) as refused:
        precomputed(tmp_path, (A2B, B2A))
    assert "no folder b2a" in refused.value.__notes__[0]
    assert precomputed(tmp_path, (A2B, B2A), allow_missing=True).outputs.keys() == {"a2b"}


def test_a_flat_folder_is_of_one_direction(whole: Path) -> None:
    with pytest.raises(BenchError, match=r"no folders a2b and b2a.*--directions"):
        precomputed(whole, (A2B, B2A))


def test_manifest_says_what_names_do_not(tmp_path: Path) -> None:
    rows = ["input,sample,file"]
    for key in IDS:
        for k in (0, 1):
            picture(tmp_path / "made" / f"x{key}{k}.png")
            rows.append(f"{key},{k},made/x{key}{k}.png")
    picture(tmp_path / "made" / "something else.png")
    (tmp_path / "manifest.csv").write_text("\n".join(rows), "utf-8")
    found = precomputed(tmp_path)
    assert names(found) == {key: [f"x{key}0.png", f"x{key}1.png"] for key in IDS}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("yew,0,oak.png", "'yew' is no input"),
        ("oak,first,oak.png", "sample 'first' is no number"),
        ("oak,0,../oak.png", "is no file beside the table"),
        ("oak,0,/etc/hosts", "is no file beside the table"),
        ("oak,0,", "is no file beside the table"),
        ("oak,0,nowhere.png", "nowhere.png does not exist"),
    ],
)
def test_faults_of_a_manifest(whole: Path, line: str, says: str) -> None:
    rows = ["input,sample,file", line, *(f"{key},0,{key}.png" for key in ("elm_3", "fir"))]
    (whole / "manifest.csv").write_text("\n".join(rows), "utf-8")
    with pytest.raises(BenchError) as refused:
        precomputed(whole)
    assert any(says in note for note in refused.value.__notes__)


def test_manifest_without_a_column(whole: Path) -> None:
    (whole / "manifest.csv").write_text("picture,file\noak,oak.png\n", "utf-8")
    with pytest.raises(BenchError, match="no column input: it needs input, sample, file"):
        precomputed(whole)


def _missing(root: Path) -> None:
    (root / "oak.png").unlink()


def _doubled(root: Path) -> None:
    shutil.copy(root / "oak.png", root / "oak_0.png")


def _small(root: Path) -> None:
    picture(root / "oak.png", SIZE + 1)


def _cut(root: Path) -> None:
    data = (root / "oak.png").read_bytes()
    (root / "oak.png").write_bytes(data[: len(data) // 2])


def _empty(root: Path) -> None:
    (root / "oak.png").write_bytes(b"")


def _extra(root: Path) -> None:
    picture(root / "yew.png")


@pytest.mark.parametrize(
    ("spoil", "says", "left"),
    [
        (_missing, ["input oak has no picture: make one"], 2),
        (_doubled, ["is doubled", "oak.png", "oak_0.png", "remove one"], 2),
        (_small, ["oak.png is 17x17, not 16x16", "--size"], 2),
        (_cut, ["oak.png cannot be decoded", "make it again"], 2),
        (_empty, ["oak.png cannot be decoded: it is empty"], 2),
        (_extra, ["yew.png belongs to no input", "remove it"], 3),
    ],
)
def test_every_fault_is_listed_and_can_be_passed_over(whole, spoil, says, left) -> None:
    spoil(whole)
    with pytest.raises(BenchError, match="--allow-missing") as refused:
        precomputed(whole)
    (note,) = refused.value.__notes__
    assert all(text in note for text in says), note
    found = precomputed(whole, allow_missing=True)
    assert len(found.outputs["a2b"]) == left
    assert found.problems == (note,)
    assert found.shortfall == ("" if left == 3 else "a2b: n is 2 of 3 inputs")


def test_all_faults_are_listed_at_once(whole: Path) -> None:
    _small(whole)
    _extra(whole)
    (whole / "fir.png").unlink()
    with pytest.raises(BenchError) as refused:
        precomputed(whole)
    assert len(refused.value.__notes__) == 3


def test_inputs_that_are_not_asked_for_need_no_picture(whole: Path) -> None:
    (whole / "fir.png").unlink()
    method = Outputs(OutputsConfig(root=whole))
    found = match_precomputed(
        method,
        "theirs",
        Views(),
        (A2B,),
        size=SIZE,
        samples=1,
        test_limit=2,
        allow_missing=False,
    )
    assert list(found.outputs["a2b"]) == ["oak", "elm_3"]


@pytest.mark.parametrize(
    ("root", "says"), [(None, "outputs:FOLDER"), ("nowhere", "is not a folder")]
)
def test_no_folder(tmp_path: Path, root: str | None, says: str) -> None:
    with pytest.raises(BenchError, match=says):
        precomputed(tmp_path / root if root else None)


def test_nothing_that_fits(tmp_path: Path) -> None:
    picture(tmp_path / "yew.png")
    with pytest.raises(BenchError, match="no picture belongs to an input"):
        precomputed(tmp_path, allow_missing=True)


def test_the_digest_is_of_the_pictures_not_of_their_place(whole: Path, tmp_path: Path) -> None:
    other = tmp_path.with_name("other")
    for key in IDS:
        (other / key).mkdir(parents=True)
        shutil.copy(whole / f"{key}.png", other / key / "0.png")
    elsewhere = precomputed(other)
    assert elsewhere.digest == precomputed(whole).digest
    pixels = read_image(other / "oak" / "0.png")
    write_png(other / "oak" / "0.png", pixels ^ 1)
    assert precomputed(other).digest != elsewhere.digest


def test_a_method_and_its_folder_in_one_text(tmp_path: Path) -> None:
    assert method_entry("munit") == {"name": "munit"}
    assert method_entry("outputs:some/place") == {
        "name": "outputs",
        "label": "place",
        "root": "some/place",
    }
    assert method_entry("outputs:Our best=a=b/c") == {
        "name": "outputs",
        "label": "Our best",
        "root": "a=b/c",
    }
    assert method_entry("outputs:./a=b")["label"] == "a=b"
    (tmp_path / "suite.toml").write_text("methods = ['outputs:x=made']\n", "utf-8")
    suite = make_suite(read_suite(tmp_path / "suite.toml"))
    assert suite.methods[0].root == tmp_path / "made"
    assert suite.methods[0].title == "x"


# ------------------------------------------------------------ as common programs leave them


@pytest.mark.parametrize(
    ("outputs", "others"),
    [
        ("{key}_fake_B.png", ["{key}_real_A.png", "{key}_rec_A.png", "{key}_fake_A.png"]),
        ("{key}_fake.png", ["{key}_real.png"]),
        ("images/fake_B/{key}.png", ["images/real_A/{key}.png", "images/real_B/{key}.png"]),
    ],
)
def test_pictures_of_cyclegan_and_cut_fit_as_they_are(tmp_path, outputs, others) -> None:
    for key in IDS:
        picture(tmp_path / outputs.format(key=key))
        for other in others:
            picture(tmp_path / other.format(key=key))
    found = precomputed(tmp_path)
    wanted = {key: [Path(outputs.format(key=key)).name] for key in IDS}
    assert names(found) == wanted and found.problems == ()
    assert all(
        item.path == tmp_path / outputs.format(key=key)
        for key, items in found.outputs["a2b"].items()
        for item in items
    )


def test_a_program_that_was_trained_the_other_way_writes_fake_b_for_either(tmp_path) -> None:
    for key in IDS:
        picture(tmp_path / f"{key}_fake_B.png")
        picture(tmp_path / f"{key}_real_A.png")
    assert names(precomputed(tmp_path, (B2A,)), "b2a") == {k: [f"{k}_fake_B.png"] for k in IDS}


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Inputs that are pictures, each with a layout of its own."""
    cells = np.random.default_rng(1).integers(0, 255, (len(IDS), 4, 4, 3)).astype(np.uint8)
    large = {k: np.kron(c, np.ones((4, 4, 1), np.uint8)) for k, c in zip(IDS, cells, strict=True)}
    items = [ImageItem(id=k, digest=k, render=lambda p=p: p) for k, p in large.items()]
    monkeypatch.setattr(Views, "split", lambda self, split, domain: items)
    return large


def test_numbered_pictures_of_munit_are_told_by_the_inputs_beside_them(tmp_path, drawn) -> None:
    for number, key in enumerate(reversed(IDS)):
        write_png(tmp_path / f"input{number:03d}.png", drawn[key] // 2 + 30)
        for k in range(2):
            picture(tmp_path / f"output{number:03d}_{k:02d}.png")
    found = precomputed(tmp_path)
    assert names(found) == {
        key: [f"output{2 - i:03d}_00.png", f"output{2 - i:03d}_01.png"] for i, key in enumerate(IDS)
    }
    (tmp_path / "input000.png").unlink()
    with pytest.raises(BenchError) as refused:
        precomputed(tmp_path)
    assert "no picture of an input of its number" in refused.value.__notes__[0]


def test_an_unmatched_folder_is_answered_with_a_manifest_to_correct(tmp_path, drawn) -> None:
    for number, key in enumerate(reversed(IDS)):
        write_png(tmp_path / f"made {number}.png", 255 - (255 - drawn[key]) // 2)
    picture(tmp_path / "of the elm_3.png")
    with pytest.raises(BenchError) as refused:
        precomputed(tmp_path)
    (note,) = refused.value.__notes__
    assert "4 files like" in note and "call it manifest.csv" in note
    draft = tmp_path / "manifest-draft.csv"
    assert draft.read_text("utf-8").splitlines() == [
        "input,sample,file,why",
        "fir,0,made 0.png,looks like it",
        "elm_3,0,made 1.png,looks like it",
        "oak,0,made 2.png,looks like it",
        "elm_3,1,of the elm_3.png,in its name",
    ]
    rows = draft.read_text("utf-8").splitlines()[:-1]
    (tmp_path / "manifest.csv").write_text("\n".join(rows), "utf-8")
    assert names(precomputed(tmp_path))["oak"] == ["made 2.png"]


@pytest.mark.parametrize("pad", [0, 2])
def test_a_grid_is_cut_into_samples(tmp_path: Path, pad: int) -> None:
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 256, (len(IDS), 2, 3, SIZE, SIZE, 3)).astype(np.uint8)
    for key, rows in zip(IDS, tiles, strict=True):
        sheet = np.zeros((2 * (SIZE + pad) + pad, 3 * (SIZE + pad) + pad, 3), np.uint8)
        for y, x in np.ndindex(2, 3):
            top, left = pad + y * (SIZE + pad), pad + x * (SIZE + pad)
            sheet[top : top + SIZE, left : left + SIZE] = rows[y, x]
        write_png(tmp_path / f"{key}.png", sheet)
    found = precomputed(tmp_path, grid="3x2")
    assert found.samples == 6
    for key, rows in zip(IDS, tiles, strict=True):
        made = [item.render() for item in found.outputs["a2b"][key]]
        assert np.array_equal(made, rows.reshape(-1, SIZE, SIZE, 3))
    sheets = "input,file,tile\n" + "".join(f"{k},oak.png,{t}\n" for t, k in enumerate(IDS))
    (tmp_path / "manifest.csv").write_text(sheets, "utf-8")
    found = precomputed(tmp_path, grid="3x2")
    (one,) = found.outputs["a2b"]["fir"]
    assert np.array_equal(one.render(), tiles[0, 0, 2])
    with pytest.raises(BenchError) as refused:
        precomputed(tmp_path, grid="5x2")
    assert "no grid of 5x2 tiles" in refused.value.__notes__[0]


def test_another_size_is_taken_when_the_user_says_so(whole: Path) -> None:
    before = precomputed(whole).digest
    picture(whole / "oak.png", SIZE * 2)
    found = precomputed(whole, resize=True)
    (oak,) = found.outputs["a2b"]["oak"]
    wanted = fit_square(read_image(whole / "oak.png"), SIZE)
    assert np.array_equal(oak.render(), wanted) and found.digest != before
