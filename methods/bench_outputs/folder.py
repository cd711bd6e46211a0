"""Match the pictures in a folder with the inputs they were made from.

Of one direction a picture belongs to an input by its name: ``<input>.png``,
``<input>_<sample>.png`` or ``<input>/<sample>.png``, where an input goes by its id in the
dataset or by its file's name. A manifest says it for any other names. Both directions stand
in a folder each.
"""

from __future__ import annotations

import csv
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.api import BenchError, Direction, FoundOutputs, ImageItem
from bench.data.folder import pictures_in
from bench.data.images import read_image
from bench.storage.files import sha256_of
from bench_outputs.config import OutputsConfig

COLUMNS = ("input", "sample", "file")


@dataclass(frozen=True)
class Claim:
    """A file that says which sample of which input it is."""

    file: Path
    input: str
    sample: int


class Outputs:
    """The pictures of a folder, as a method of a comparison.

    Parameters
    ----------
    config
        Where the folder is.
    """

    def __init__(self, config: OutputsConfig) -> None:
        self.config = config

    def find(self, inputs: Mapping[Direction, Sequence[ImageItem]], size: int) -> FoundOutputs:
        """Match pictures with inputs; see :class:`bench.api.PrecomputedMethod`."""
        outputs: dict[Direction, Mapping[str, Sequence[ImageItem]]] = {}
        problems: list[str] = []
        folders = self._folders(list(inputs))
        for way, items in inputs.items():
            if way not in folders:
                problems.append(
                    f"{self.config.root} has no folder {way.name} (or {way.key}): add it, or "
                    f"leave that direction out with --directions"
                )
                continue
            claims, faults = self._claims(folders[way], items, way)
            outputs[way] = _vetted(claims, faults, size)
            problems += [fault for _, fault in faults]
        return FoundOutputs(outputs, problems)

    def _folders(self, ways: Sequence[Direction]) -> dict[Direction, Path]:
        """The folder of each direction; one direction alone may be the folder itself."""
        root = self.config.root
        if root is None:
            raise BenchError("method outputs needs the folder of the pictures: outputs:FOLDER")
        if not root.is_dir():
            raise BenchError(f"{root} is not a folder: name the folder of the pictures")
        found = {
            way: folder
            for way in ways
            for folder in (root / way.key, root / way.name)
            if folder.is_dir()
        }
        if found:
            return found
        if len(ways) > 1:
            names = " and ".join(way.name for way in ways)
            raise BenchError(
                f"{root} has no folders {names}: put the pictures of each direction into one, or "
                f"name the one direction they are of with --directions"
            )
        return {ways[0]: root}

    def _claims(
        self, folder: Path, items: Sequence[ImageItem], way: Direction
    ) -> tuple[list[Claim], list[tuple[str, str]]]:
        """What the files are, and faults as ``(input or "", line)``."""
        names = _names(items)
        manifest = folder / self.config.manifest
        rows = _manifest(manifest, names) if manifest.is_file() else _by_name(folder, names)
        claims = []
        faults = []
        for one in rows:
            if isinstance(one, Claim):
                claims.append(one)
            else:
                faults.append(("", f"{one} ({way.name})"))
        return claims, faults


def _names(items: Sequence[ImageItem]) -> dict[str, str]:
    """What an input may be called: its id, or its file's name where that is no other's."""
    by_stem: defaultdict[str, set[str]] = defaultdict(set)
    for item in items:
        if item.path is not None:
            by_stem[item.path.stem].add(item.id)
    unique = {stem: ids.pop() for stem, ids in by_stem.items() if len(ids) == 1}
    return unique | {item.id: item.id for item in items}


def _by_name(folder: Path, names: Mapping[str, str]) -> Iterator[Claim | str]:
    """Claims from the names of files; a line for each file that answers no input."""
    groups: defaultdict[Path, list[Path]] = defaultdict(list)
    for file in pictures_in(folder):
        groups[file.parent].append(file)
    for parent, files in groups.items():
        if parent != folder and parent.name in names:
            yield from _of_one_input(files, parent.name, names[parent.name])
            continue
        for file in files:
            if file.stem in names:
                yield Claim(file, names[file.stem], 0)
                continue
            numbered = re.fullmatch(r"(.+)_(\d+)", file.stem)
            if numbered and numbered[1] in names:
                yield Claim(file, names[numbered[1]], int(numbered[2]))
                continue
            example = next(iter(names), "name")
            yield f"{file} belongs to no input: call it like one ({example}.png), or remove it"


def _of_one_input(files: Sequence[Path], name: str, key: str) -> Iterator[Claim]:
    """The samples of one input in a folder of its name: by number, else in order of names."""
    stems = [file.stem.removeprefix(f"{name}_") for file in files]
    numbered = all(stem.isdecimal() for stem in stems)
    for place, (file, stem) in enumerate(zip(files, stems, strict=True)):
        yield Claim(file, key, int(stem) if numbered else place)


def _manifest(path: Path, names: Mapping[str, str]) -> Iterator[Claim | str]:
    """Claims from a table; files that it does not name are passed over.

    Raises
    ------
    BenchError
        When it cannot be read, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BenchError(f"{path} cannot be read ({error}): save it as CSV in UTF-8") from None
    if lacking := [name for name in ("input", "file") if name not in (reader.fieldnames or ())]:
        raise BenchError(f"{path} has no column {lacking[0]}: it needs {', '.join(COLUMNS)}")
    for number, row in enumerate(rows, 2):
        where = f"{path} line {number}"
        name, sample = (row["input"] or "").strip(), (row.get("sample") or "0").strip()
        # A dataset's picture may be named with its suffix.
        key = names.get(name, names.get(Path(name).stem))
        target = Path(os.path.normpath(path.parent / (row["file"] or "").strip()))
        if key is None:
            yield f"{where}: {name!r} is no input: write an input's name"
        elif not sample.isdecimal():
            yield f"{where}: sample {sample!r} is no number: count from 0"
        elif not target.is_relative_to(path.parent) or target == path.parent:
            yield f"{where}: {row['file']!r} is no file beside the table: name one in its folder"
        else:
            yield Claim(target, key, int(sample))


def _vetted(
    claims: Sequence[Claim], faults: list[tuple[str, str]], size: int
) -> dict[str, list[ImageItem]]:
    """Input id to samples; of an input with a file at fault none, and the fault is added."""
    places: defaultdict[str, dict[int, Claim]] = defaultdict(dict)
    for claim in claims:
        earlier = places[claim.input].setdefault(claim.sample, claim)
        if earlier is not claim:
            faults.append(
                (
                    claim.input,
                    f"{claim.file} is doubled: {earlier.file} is sample {claim.sample} of input "
                    f"{claim.input} too, remove one",
                )
            )
    single = [claim for samples in places.values() for claim in samples.values()]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        checked = pool.map(lambda claim: _fault_of(claim.file, size), single)
        for claim, fault in zip(single, checked, strict=True):
            if fault:
                faults.append((claim.input, fault))
    bad = {key for key, _ in faults}
    return {
        key: []
        if key in bad
        else [
            ImageItem(id=str(k), digest=sha256_of(claim.file), path=claim.file)
            for k, claim in sorted(samples.items())
        ]
        for key, samples in places.items()
    }


def _fault_of(file: Path, size: int) -> str:
    """Why a picture cannot be scored; empty when it can."""
    try:
        height, width = read_image(file).shape[:2]
    except BenchError as error:
        return f"{error}: make it again"
    if (height, width) != (size, size):
        return (
            f"{file} is {width}x{height}, not {size}x{size}: make it at that size, or choose "
            "the run's with --size"
        )
    return ""
