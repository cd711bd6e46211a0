"""Pictures in Hugging Face's datasets and in WebDataset's shards."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.api import A2B, B2A, BenchError, Dataset, DatasetSpec
from bench.data.images import load_item
from bench.data.verbs import verify
from bench.plugins import make_config, resolve
from bench.testing import check_dataset
from bench_hf import SPEC as HF
from bench_image_folder import SPEC as FOLDER
from bench_webdataset import SPEC as WEBDATASET
from tests.tables import COUNTS, by_label, pictures, png, shard, shards, table


def opened(spec: DatasetSpec, cache: Path, **config: Any) -> Dataset:
    dataset: Dataset = resolve(spec.implementation)(
        make_config("dataset", spec.name, spec.config, config)
    )
    dataset.prepare(cache, offline=True, progress=lambda line: None)
    return dataset


def holds_the_pictures(dataset: Dataset) -> None:
    for split in ("train", "test"):
        for number, domain in enumerate("ab"):
            items = dataset.split(split, domain)  # type: ignore[arg-type]
            found = sorted(load_item(item, None).tobytes() for item in items)
            made = [np.asarray(Image.open(io.BytesIO(one))) for one in pictures(split, number)]
            assert found == sorted(one.tobytes() for one in made)
            if not (dataset.paired and domain == "b"):  # which follows its partners
                assert [item.digest for item in items] == sorted(item.digest for item in items)


# ------------------------------------------------------------------ Hugging Face


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The library keeps locks and modules below its home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf-home")))
        yield


def test_a_saved_dataset_by_its_label(tmp_path: Path) -> None:
    config = {
        "root": str(by_label(tmp_path / "saved")),
        "domains": ("summer", "winter"),
        "label": "season",
    }
    check_dataset(HF, tmp_path / "cache", config=config)
    dataset = opened(HF, tmp_path / "cache", **config)
    holds_the_pictures(dataset)
    assert dataset.truth(dataset.split("test", "a")[0], A2B) == ()
    fewer = opened(HF, tmp_path / "cache", **config, train=2)
    assert len(fewer.split("train", "b")) == 2
    assert fewer.fingerprint() != dataset.fingerprint()


def test_parquet_by_splits_of_each_domain(tmp_path: Path) -> None:
    root = tmp_path / "parquet"
    root.mkdir()
    for split, name in (("train", "train"), ("test", "test")):
        for number, domain in enumerate(("summer", "winter")):
            file = root / f"{domain}{name}-00000-of-00001.parquet"
            table({"photo": pictures(split, number)}).to_parquet(str(file))
    header = [
        "---",
        "configs:",
        "- config_name: default",
        "  data_files:",
        *(
            f"  - split: {domain}{name}\n    path: {domain}{name}-*.parquet"
            for domain in ("summer", "winter")
            for name in ("train", "test")
        ),
        "---",
    ]
    (root / "README.md").write_text("\n".join(header) + "\n", "utf-8")
    config = {
        "root": str(root),
        "image": "photo",
        "train_split": ("summertrain", "wintertrain"),
        "test_split": ("summertest", "wintertest"),
    }
    check_dataset(HF, tmp_path / "cache", config=config)
    holds_the_pictures(opened(HF, tmp_path / "cache", **config))


def test_an_imagefolder_by_the_names_of_its_folders(tmp_path: Path) -> None:
    root = tmp_path / "images"
    for split in COUNTS:
        for number, domain in enumerate(("summer", "winter")):
            folder = root / split / domain
            folder.mkdir(parents=True)
            for index, one in enumerate(pictures(split, number)):
                (folder / f"view {index}.png").write_bytes(one)
    config = {"root": str(root), "domains": ("summer", "winter"), "label": "label"}
    check_dataset(HF, tmp_path / "cache", config=config)
    dataset = opened(HF, tmp_path / "cache", **config)
    holds_the_pictures(dataset)
    assert {item.id for item in dataset.split("test", "a")} == {"view_0", "view_1"}


def test_pairs_in_two_columns(tmp_path: Path) -> None:
    datasets = importlib.import_module("datasets")
    splits = {split: table({n: pictures(split, k) for k, n in enumerate("xy")}) for split in COUNTS}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    config = {"root": str(tmp_path / "saved"), "pair": ("x", "y")}
    check_dataset(HF, tmp_path / "cache", config=config)
    dataset = opened(HF, tmp_path / "cache", **config)
    holds_the_pictures(dataset)
    (item, *_), (partner, *_) = (dataset.split("test", domain) for domain in ("a", "b"))
    assert dataset.truth(item, A2B) == [partner]
    assert dataset.truth(partner, B2A) == [item]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "told apart by nothing: set one of label"),
        ({"label": "season", "pair": ("x", "y")}, "told apart by pair and by label"),
        ({"train_split": ("x", "y")}, "train_split and test_split name one each, or two each"),
        ({"label": "season", "image": "photo"}, r"no column photo \(there are: image, season\)"),
        ({"label": "month"}, r"train has no column month \(there are: image, season\): set label"),
        ({"label": "season", "values": ("x", "y")}, r"season is x \(there are: summer, winter\)"),
        ({"label": "season", "test_split": "dev"}, r"no split dev \(there are: train, test\)"),
        ({"label": "image"}, "image"),
        ({"label": "season", "root": "/nowhere"}, "/nowhere is no folder"),
        ({"label": "season", "repo": "owner/name"}, "hf needs one place"),
        ({"label": "season", "image": "season"}, "row 0 has a int in season, and no picture"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    root = by_label(tmp_path / "saved")
    config = {"root": str(root), "domains": ("summer", "winter"), **changes}
    with pytest.raises(BenchError, match=message) as caught:
        opened(HF, tmp_path / "cache", **config)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchError, match="cannot be loaded as a dataset") as caught:
        opened(HF, tmp_path / "cache", root=str(tmp_path / "empty"), label="season")
    assert "\n" not in str(caught.value)


def test_a_name_of_the_hub_is_not_asked_for_offline(tmp_path: Path) -> None:
    hub = importlib.import_module("huggingface_hub.constants")
    before = hub.HF_HUB_OFFLINE
    with pytest.raises(BenchError, match="nobody/nothing cannot be loaded as a dataset"):
        opened(HF, tmp_path / "cache", repo="nobody/nothing", label="season")
    assert before == hub.HF_HUB_OFFLINE


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    datasets = importlib.import_module("datasets")
    classes = datasets.ClassLabel(names=["a", "b"])
    rows = {"image": [{"bytes": b"no picture", "path": None}, *pictures("test", 0)]}
    split = table(rows | {"label": [0, 0, 1]}, label=classes)
    datasets.DatasetDict({"train": split, "test": split}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(BenchError, match="train row 0 is not an image"):
        opened(HF, tmp_path / "cache", root=str(tmp_path / "saved"), label="label")


# ------------------------------------------------------------------ WebDataset


@pytest.mark.parametrize("ending", ["cls", "json"])
def test_shards_by_their_label(ending: str, tmp_path: Path) -> None:
    config = {
        "root": str(shards(tmp_path / "shards", ending=ending)),
        "train_shards": "train-{0..1}.tar",
        "domains": ("summer", "winter"),
        "label": "cls" if ending == "cls" else "json.season",
    }
    check_dataset(WEBDATASET, tmp_path / "cache", config=config)
    holds_the_pictures(opened(WEBDATASET, tmp_path / "cache", **config))


def test_shards_of_each_domain_that_the_library_wrote(tmp_path: Path) -> None:
    library = importlib.import_module("webdataset")
    for split in COUNTS:
        for number, domain in enumerate("ab"):
            with library.TarWriter(str(tmp_path / f"{split}-{domain}.tar")) as writer:
                for index, one in enumerate(pictures(split, number)):
                    writer.write({"__key__": f"{index:05d}", "png": one})
    config = {
        "root": str(tmp_path),
        "train_shards": ("train-a.tar", "train-b.tar"),
        "test_shards": ("test-a.tar", "test-b.tar"),
    }
    check_dataset(WEBDATASET, tmp_path / "cache", config=config)
    dataset = opened(WEBDATASET, tmp_path / "cache", **config)
    holds_the_pictures(dataset)
    assert {item.id for item in dataset.split("test", "a")} == {"00000", "00001"}


def test_pairs_in_two_files(tmp_path: Path) -> None:
    for split in COUNTS:
        rows = zip(pictures(split, 0), pictures(split, 1), strict=True)
        content = {
            f"{index}.{side}.png": one
            for index, row in enumerate(rows)
            for side, one in zip("AB", row, strict=True)
        }
        shard(tmp_path / f"{split}.tar", content)
    config = {"root": str(tmp_path), "pair": ("a.png", "b.png")}
    check_dataset(WEBDATASET, tmp_path / "cache", config=config)
    dataset = opened(WEBDATASET, tmp_path / "cache", **config)
    holds_the_pictures(dataset)
    (item, *_), (partner, *_) = (dataset.split("test", domain) for domain in ("a", "b"))
    assert dataset.truth(item, A2B) == [partner]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": None}, "told apart by nothing: set one of label"),
        ({"train_shards": "x.tar"}, "x.tar does not exist: set root and the shards"),
        ({"train_shards": "s3://bucket/x.tar"}, "give a file or an http address"),
        ({"train_shards": "http://localhost/x.tar"}, "offline mode fetches nothing"),
        ({"test_shards": "packed.tar.gz"}, "is no plain tar archive"),
        ({"test_shards": "empty.tar"}, r"empty.tar has no file jpg;.* \(there are: none\)"),
        ({"image": "webp"}, r"has no file webp \(there are: cls, png\): set image"),
        ({"label": "txt"}, r"has no file txt \(there are: cls, png\): set label"),
        ({"values": ("x", "y")}, r"cls is x \(there are: summer, winter\): set values"),
        ({"test_shards": "uneven.tar"}, r"sample 1 has no cls \(it has: png\)"),
    ],
)
def test_what_is_wrong_with_shards(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    root = shards(tmp_path / "shards")
    shard(root / "packed.tar.gz", {"0.png": png(0)}, "w:gz")
    shard(root / "empty.tar", {})
    shard(root / "uneven.tar", {"0.png": png(0), "0.cls": b"summer", "1.png": png(1)})
    config = {
        "root": str(root),
        "train_shards": "train-{0..1}.tar",
        "domains": ("summer", "winter"),
        "label": "cls",
        **changes,
    }
    with pytest.raises(BenchError, match=message) as caught:
        opened(WEBDATASET, tmp_path / "cache", **config)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------ both


def test_one_content_has_one_fingerprint_wherever_it_lies(tmp_path: Path) -> None:
    seasons = {"domains": ("summer", "winter")}
    rows = opened(
        HF, tmp_path / "cache", root=str(by_label(tmp_path / "saved")), label="season", **seasons
    )
    tars = opened(
        WEBDATASET,
        tmp_path / "cache",
        root=str(shards(tmp_path / "shards")),
        train_shards="train-{0..1}.tar",
        label="cls",
        **seasons,
    )
    for split in COUNTS:
        for number, domain in enumerate("AB"):
            (tmp_path / "folder" / f"{split}{domain}").mkdir(parents=True)
            for index, one in enumerate(pictures(split, number)):
                (tmp_path / "folder" / f"{split}{domain}" / f"{index}.png").write_bytes(one)
    folder = opened(FOLDER, tmp_path / "cache", root=str(tmp_path / "folder"))
    assert rows.fingerprint() == tars.fingerprint() == folder.fingerprint()


def test_verifying_decodes_to_the_end(tmp_path: Path) -> None:
    whole, cut = png(1), png(2)
    content = {"0.png": whole, "1.png": cut[: len(cut) * 2 // 3]}
    for name in ("train-a", "train-b", "test-a", "test-b"):
        shard(tmp_path / f"{name}.tar", content if name == "test-b" else {"0.png": whole})
    dataset = opened(
        WEBDATASET,
        tmp_path / "cache",
        root=str(tmp_path),
        train_shards=("train-a.tar", "train-b.tar"),
        test_shards=("test-a.tar", "test-b.tar"),
    )
    found = verify(dataset, tmp_path / "cache", offline=True, progress=lambda line: None)
    ((place, why),) = found.broken
    assert place == "testB/1"
    assert "test-b.tar row 1 cannot be decoded" in why


@pytest.mark.parametrize("spec", [HF, WEBDATASET], ids=lambda spec: spec.name)
def test_without_its_extra_it_says_what_to_install(
    spec: DatasetSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    config = make_config("dataset", spec.name, spec.config, {"label": "cls"})
    dataset = resolve(spec.implementation)(config)
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(BenchError, match=rf"pip install 'translation-bench\[{spec.name}\]'"):
        dataset.prepare(tmp_path, offline=True, progress=lambda line: None)
