"""Pictures made elsewhere: which input each belongs to, and everything that can be wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.api import A2B, B2A, BenchError, ImageItem, PrecomputedMethod
from bench.data.images import read_image, write_png
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


def precomputed(root: Path, ways=(A2B,), *, samples=10, allow_missing=False, **config):
    method = Outputs(OutputsConfig(root=root, **config))
    assert isinstance(method, PrecomputedMethod)
    return match_precomputed(
        method,
        "theirs",
        Views(),
        ways,
        size=SIZE,
        samples=samples,
        test_limit=None,
        allow_missing=allow_missing,
    )


def names(found, way="a2b"):
    return {key: [i.path.name for i in items] for key, items in found.outputs[way].items()}


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
    for way in ("a2b", "b2a"):
        for key in IDS:
            picture(tmp_path / way / f"{key}.png")
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
