"""Match the pictures in a folder with the inputs they were made from.

Of one direction a picture belongs to an input by its name: ``<input>.png``,
``<input>_<sample>.png`` or ``<input>/<sample>.png``, where an input goes by its id in the
dataset or by its file's name, or as common programs name it (:mod:`bench.data.names`). A
manifest says it for any other names. Both directions stand in a folder each.
"""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.api import BenchError, Direction, FoundOutputs, ImageItem
from bench.data.folder import pictures_in
from bench.data.images import Pixels, fit_square, read_image
from bench.data.names import fakes, said, shown
from bench.storage.files import sha256_of
from bench_outputs.config import OutputsConfig
from bench_outputs.likeness import Likeness, write_draft

COLUMNS = ("input", "sample", "file")
_PADDING = 2
"""Pixels around each tile in the grids that torchvision saves."""


@dataclass(frozen=True)
class Claim:
    """A file, or one tile of it, that is a sample of an input."""

    file: Path
    input: str
    sample: int
    tile: int | None = None


@dataclass(frozen=True)
class Stray:
    """A file that belongs to no input, and what to do about it."""

    file: Path
    hint: str

    def __str__(self) -> str:
        return f"{self.file} belongs to no input: {self.hint}"


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
        for direction, items in inputs.items():
            if direction not in folders:
                problems.append(
                    f"{self.config.root} has no folder {direction.name} (or {direction.key}): "
                    f"add it, or leave that direction out with --directions"
                )
                continue
            claims, faults = self._claims(folders[direction], items, direction)
            outputs[direction] = _vetted(claims, faults, self.config, size)
            problems += [fault for _, fault in faults]
        return FoundOutputs(outputs, problems)

    def _folders(self, directions: Sequence[Direction]) -> dict[Direction, Path]:
        """The folder of each direction; one direction alone may be the folder itself."""
        root = self.config.root
        if root is None:
            raise BenchError("method outputs needs the folder of the pictures: outputs:FOLDER")
        if not root.is_dir():
            raise BenchError(f"{root} is not a folder: name the folder of the pictures")
        found = {
            direction: folder
            for direction in directions
            for folder in (root / direction.key, root / direction.name)
            if folder.is_dir()
        }
        if found:
            return found
        if len(directions) > 1:
            names = " and ".join(direction.name for direction in directions)
            raise BenchError(
                f"{root} has no folders {names}: put the pictures of each direction into one, or "
                f"name the one direction they are of with --directions"
            )
        return {directions[0]: root}

    def _claims(
        self, folder: Path, items: Sequence[ImageItem], direction: Direction
    ) -> tuple[list[Claim], list[tuple[str, str]]]:
        """What the files are, and faults as ``(input or "", line)``."""
        names = _names(items)
        manifest = folder / self.config.manifest
        listed = manifest.is_file()
        rows = list(
            _manifest(manifest, names) if listed else _by_name(folder, names, items, direction)
        )
        claims = [one for one in rows if isinstance(one, Claim)]
        strays = [one for one in rows if isinstance(one, Stray)]
        lines = [f"{one} ({direction.name})" for one in rows if not isinstance(one, Claim)]
        if len(strays) > len(claims):
            # A folder that goes by other names altogether is answered with one line and a table.
            matched = {claim.file: (claim.input, claim.sample) for claim in claims}
            files = sorted([*matched, *(stray.file for stray in strays)])
            draft = write_draft(folder, files, matched, items)
            lines = [
                f"{len(strays)} files like {strays[0].file} belong to no input ({direction.name}): "
                f"correct {draft}, which guesses, and call it {self.config.manifest}"
            ]
        columns, rows_of_tiles = self.config.tiles
        if (count := columns * rows_of_tiles) > 1:
            claims = [tile for claim in claims for tile in _tiles(claim, count)]
        return claims, [("", line) for line in lines]


def _tiles(claim: Claim, count: int) -> list[Claim]:
    """Return the tiles of a grid as samples, row by row; of a named tile that one."""
    if claim.tile is not None:
        return [claim]
    first = claim.sample * count
    return [replace(claim, sample=first + tile, tile=tile) for tile in range(count)]


def _names(items: Sequence[ImageItem]) -> dict[str, str]:
    """What an input may be called: its id, or its file's name where that is no other's."""
    by_stem: defaultdict[str, set[str]] = defaultdict(set)
    for item in items:
        if item.path is not None:
            by_stem[item.path.stem].add(item.id)
    unique = {stem: ids.pop() for stem, ids in by_stem.items() if len(ids) == 1}
    return unique | {item.id: item.id for item in items}


def _by_name(
    folder: Path, names: Mapping[str, str], items: Sequence[ImageItem], direction: Direction
) -> Iterator[Claim | Stray]:
    """Claims from the names of files; inputs and reconstructions are passed over."""
    files = pictures_in(folder)
    letter, example = fakes(files, direction), next(iter(names), "name")
    groups: defaultdict[Path, list[Path]] = defaultdict(list)
    for file in files:
        groups[file.parent].append(file)
    for parent, mine in groups.items():
        if parent != folder and parent.name in names:
            yield from _of_one_input(mine, parent.name, names[parent.name])
            continue
        numbered = _numbered(mine, Likeness(items))
        for file in mine:
            if found := said(file, names, letter):
                if found.output:
                    yield Claim(file, names[found.name], found.sample)
            elif not (place := shown(file)):
                yield Stray(file, f"call it like one ({example}.png), or remove it")
            elif place.output and place.name in numbered:
                yield Claim(file, numbered[place.name], place.sample)
            elif place.output or place.name not in numbered:
                yield Stray(file, "no picture of an input of its number lies beside it")


def _numbered(files: Sequence[Path], likeness: Likeness) -> dict[str, str]:
    """Number to input id, by the pictures of inputs that lie beside numbered outputs."""
    found = {}
    for file in files:
        place = shown(file)
        if place and not place.output and (key := likeness.copy_of(file)):
            found[place.name] = key
    return found


def _of_one_input(files: Sequence[Path], name: str, key: str) -> Iterator[Claim]:
    """The samples of one input in a folder of its name: by number, else in order of names."""
    stems = [file.stem.removeprefix(f"{name}_") for file in files]
    numbered = all(stem.isdecimal() for stem in stems)
    for place, (file, stem) in enumerate(zip(files, stems, strict=True)):
        yield Claim(file, key, int(stem) if numbered else place)


def _manifest(path: Path, names: Mapping[str, str]) -> Iterator[Claim | str]:
    """Claims from a table, or a line of what is wrong; files not named are passed over.

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
        tile = (row.get("tile") or "").strip()
        # A dataset's picture may be named with its suffix.
        key = names.get(name, names.get(Path(name).stem))
        target = Path(os.path.normpath(path.parent / (row["file"] or "").strip()))
        if key is None:
            yield f"{where}: {name!r} is no input: write an input's name"
        elif not sample.isdecimal():
            yield f"{where}: sample {sample!r} is no number: count from 0"
        elif tile and not tile.isdecimal():
            yield f"{where}: tile {tile!r} is no number: count from 0, row by row"
        elif not target.is_relative_to(path.parent) or target == path.parent:
            yield f"{where}: {row['file']!r} is no file beside the table: name one in its folder"
        else:
            yield Claim(target, key, int(sample), int(tile) if tile else None)


def _vetted(
    claims: Sequence[Claim], faults: list[tuple[str, str]], config: OutputsConfig, size: int
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
        checked = list(pool.map(lambda claim: _item(claim, config, size), single))
    made = dict(zip(single, checked, strict=True))
    # Of a grid at fault one line, not one for each tile.
    faults += dict.fromkeys((c.input, one) for c, one in made.items() if isinstance(one, str))
    bad = {key for key, _ in faults}
    return {
        key: []
        if key in bad
        else [
            one for _, claim in sorted(samples.items()) if isinstance(one := made[claim], ImageItem)
        ]
        for key, samples in places.items()
    }


def _item(claim: Claim, config: OutputsConfig, size: int) -> ImageItem | str:
    """A picture that can be scored, or why it cannot."""
    try:
        pixels = _cut(claim, config.tiles, size)
    except BenchError as error:
        return f"{error}: make it again"
    height, width = pixels.shape[:2]
    key, digest = str(claim.sample), sha256_of(claim.file)
    fits = (height, width) == (size, size)
    if claim.tile is None and fits:
        return ImageItem(id=key, digest=digest, path=claim.file)
    if fits or config.resize:
        return ImageItem(
            id=key,
            digest=f"{digest}/{config.grid}/{claim.tile}/{size}",
            path=claim.file,
            render=partial(_sized, claim, config.tiles, size),
        )
    what = f"{claim.file}, a tile of it," if claim.tile is not None else f"{claim.file}"
    return (
        f"{what} is {width}x{height}, not {size}x{size}: make it at that size, choose the run's "
        "with --size, or have it resized (the option resize)"
    )


def _cut(claim: Claim, grid: tuple[int, int], size: int) -> Pixels:
    """A file's pixels, or those of its tile."""
    pixels = read_image(claim.file)
    if claim.tile is None:
        return pixels
    height, width = pixels.shape[:2]
    (columns, rows), tile = grid, claim.tile
    for pad in (0, _PADDING):
        across, x = divmod(width - pad * (columns + 1), columns)
        down, y = divmod(height - pad * (rows + 1), rows)
        whole = x == y == 0 and across > 0 and down > 0 and tile < columns * rows
        if whole and (pad or (across, down) == (size, size) or not _padded(pixels)):
            top = pad + tile // columns * (down + pad)
            left = pad + tile % columns * (across + pad)
            return pixels[top : top + down, left : left + across]
    raise BenchError(f"{claim.file} is {width}x{height}: no grid of {columns}x{rows} tiles")


def _padded(pixels: Pixels) -> bool:
    """Whether a frame of one colour runs around the whole."""
    edge = np.concatenate([pixels[:_PADDING].reshape(-1, 3), pixels[-_PADDING:].reshape(-1, 3)])
    return bool((edge == edge[0]).all())


def _sized(claim: Claim, grid: tuple[int, int], size: int) -> Pixels:
    return fit_square(np.ascontiguousarray(_cut(claim, grid, size)), size)
