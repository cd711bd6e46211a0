"""What ``bench data verify`` and ``bench data make`` do, without the screen."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from PIL import Image

from bench.api import A2B, B2A, BenchError, Dataset, ImageItem, LayeredDataset
from bench.data.content import PARTS, Contents, Differences, compare_contents
from bench.data.hashing import forget
from bench.data.images import read_image
from bench.data.splits import SplitDataset
from bench.storage.files import filling


@runtime_checkable
class _Published(Protocol):
    """A dataset that knows what it should hold."""

    def expected_contents(self) -> Contents: ...


@dataclass(frozen=True)
class Verification:
    """What was found out about a dataset.

    Parameters
    ----------
    fingerprint
        SHA-256 of the content in use.
    counts
        Pictures per part.
    broken
        ``(file, what is wrong)``.
    differences
        From the published content; None where nothing is published.
    duplicates
        Pictures whose content appears before in the same part, per part.
    shared
        Pictures of a test part that are also in a training part, per test part.
    """

    fingerprint: str
    counts: Mapping[str, int]
    broken: tuple[tuple[str, str], ...] = ()
    differences: Differences | None = None
    duplicates: Mapping[str, int] = field(default_factory=dict)
    shared: Mapping[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Every picture decodes, and none differs from what is published."""
        return not self.broken and not self.differences

    def lines(self) -> list[str]:
        """The findings, one a line, for people."""
        counted = ", ".join(f"{part} {count}" for part, count in self.counts.items())
        out = [f"pictures     {counted}", f"fingerprint  {self.fingerprint}"]
        if self.differences is not None:
            out.append(f"published    {self.differences or 'every picture as published'}")
        for label, counts in (("repeated", self.duplicates), ("in training", self.shared)):
            if any(counts.values()):
                text = ", ".join(f"{part} {count}" for part, count in counts.items() if count)
                out.append(f"{label:<12} {text} (exact copies)")
        out += [f"broken       {path}: {why}" for path, why in self.broken]
        return out


def verify(
    dataset: Dataset, cache: Path, *, offline: bool, progress: Callable[[str], None]
) -> Verification:
    """Prepare a dataset and see of every picture whether it decodes and is the right one.

    Raises
    ------
    BenchError
        When the dataset cannot even be prepared.
    """
    forget(cache)  # verified is what was read now
    dataset.prepare(cache, offline=offline, progress=progress)
    broken: list[tuple[str, str]] = []
    items = {part: dataset.split(*key) for part, key in PARTS.items()}
    for part, rows in items.items():
        progress(f"decoding {part}: {len(rows)} pictures")
        broken += [
            (str(item.path or f"{part}/{item.id}"), why)
            for item in rows
            if (why := _flaw(item, dataset))
        ]
    differences = None
    if isinstance(dataset, _Published):
        found = {
            part: [(i.digest, i.path.name if i.path else i.id) for i in rows]
            for part, rows in items.items()
        }
        differences = getattr(dataset, "differences", None)
        if differences is None:
            differences = compare_contents(dataset.expected_contents(), found)
    digests = {part: Counter(item.digest for item in rows) for part, rows in items.items()}
    training = digests["trainA"].keys() | digests["trainB"].keys()
    return Verification(
        fingerprint=dataset.fingerprint(),
        counts={part: len(rows) for part, rows in items.items()},
        broken=tuple(broken),
        differences=differences,
        duplicates={p: sum(n - 1 for n in count.values()) for p, count in digests.items()},
        shared={
            part: sum(n for digest, n in digests[part].items() if digest in training)
            for part in ("testA", "testB")
        },
    )


def _flaw(item: ImageItem, dataset: Dataset) -> str:
    """What is wrong with a picture when it is decoded as a run does; empty when nothing is."""
    try:
        if item.path is not None:
            read_image(item.path)
        elif item.render is not None and isinstance(dataset, SplitDataset):
            item.render()  # which decodes; what others render is whole
    except BenchError as error:
        return str(error).removeprefix(str(item.path)).lstrip(": ")
    return ""


def check_new(out: Path) -> None:
    """Refuse a folder that is in use."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BenchError(f"{out} exists already: choose a new folder")


def make_folder(dataset: Dataset, out: Path, *, progress: Callable[[str], None]) -> Path:
    """Write a prepared dataset as an ordinary folder of PNGs with a ``manifest.json``.

    The manifest lists each file with its digest and its factors (the truth about it). For
    test pictures it also names their true translations, written to ``truth/``, and planes
    of labels (masks, depth), written to ``layers/``, where the dataset knows any. The
    folder appears whole or not at all.

    Parameters
    ----------
    dataset
        Prepared.
    out
        The folder to make; it must not exist, or be empty.

    Raises
    ------
    BenchError
        When `out` is in use or cannot be written.
    """
    check_new(out)
    manifest: dict[str, object] = {
        "domains": list(dataset.domains),
        "paired": dataset.paired,
        "fingerprint": dataset.fingerprint(),
    }
    files: dict[str, list[dict[str, object]]] = defaultdict(list)
    try:
        with filling(out) as folder:
            for part, (split, domain) in PARTS.items():
                rows = dataset.split(split, domain)
                progress(f"writing {part}: {len(rows)} pictures")
                (folder / part).mkdir()
                for item in rows:
                    _write(item, folder / part / f"{item.id}.png")
                    entry = _entry(item, f"{item.id}.png")
                    if split == "test":
                        entry["truth"] = _write_truth(dataset, part, item, folder)
                        entry["layers"] = _write_layers(dataset, part, item, folder)
                    files[part].append(entry)
            manifest["files"] = files
            text = json.dumps(manifest, indent=1, sort_keys=True)
            (folder / "manifest.json").write_text(text + "\n", "utf-8")
    except OSError as error:
        raise BenchError(f"{out} cannot be written: {error.strerror or error}") from None
    return out


def _entry(item: ImageItem, file: str) -> dict[str, object]:
    """What the manifest says of a picture."""
    return {"file": file, "digest": item.digest, "factors": dict(item.factors)}


def _write_truth(
    dataset: Dataset, part: str, item: ImageItem, out: Path
) -> list[dict[str, object]]:
    """The true translations of a test picture, beside it."""
    direction = A2B if PARTS[part][1] == "a" else B2A
    entries = []
    for true in dataset.truth(item, direction):
        file = f"truth/{part}/{item.id}/{true.id}.png"
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        _write(true, out / file)
        entries.append(_entry(true, file))
    return entries


def _write_layers(dataset: Dataset, part: str, item: ImageItem, out: Path) -> dict[str, str]:
    """The planes of labels of a test picture, as PNGs of 8 or 16 bits."""
    names = {}
    if isinstance(dataset, LayeredDataset):
        for name, plane in dataset.layers(item).items():
            names[name] = file = f"layers/{part}/{item.id}.{name}.png"
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(plane).save(out / file, compress_level=4)
    return names


def _write(item: ImageItem, path: Path) -> None:
    """One picture as a PNG: the pixels that a run sees, whatever file they come from."""
    if item.render is not None:
        Image.fromarray(item.render()).save(path, compress_level=4)
    elif item.path is not None:
        Image.fromarray(read_image(item.path)).save(path, compress_level=4)
    else:
        raise BenchError(f"picture {item.id} has neither a file nor a renderer")
