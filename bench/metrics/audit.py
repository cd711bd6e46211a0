"""Contamination audit: pictures that are in a dataset twice, exactly or nearly.

Exact duplicates share their digest. Near ones share most bits of a perceptual hash and are
then held against each other with deep features, so that two skies are no duplicates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image

from bench.api import BenchError, Dataset, Domain, Event, ImageItem, Picture, Split
from bench.data.images import Pixels, by_threads, load_item, pixel_digest, write_png
from bench.metrics.declared.extractors import EXTRACTORS, FEATURES
from bench.metrics.networks import Networks
from bench.storage.files import write_atomic

HASH_BITS_APART = 8
"""Candidates differ in at most so many of 64 bits."""
SIMILAR = 0.96
"""Cosine similarity of features, at least, that makes candidates near duplicates.

On Yosemite re-encoded and re-toned copies reach 0.98 and more; different photographs from the
same viewpoint stay below 0.945.
"""

_ALL_PAIRS = 50
"""Copies of one picture up to which each pair of them is listed."""
_MOST_PAIRS = 20_000_000
_AT_ONCE = 1 << 22
"""Pairs that are compared at once: bounds the memory."""

Index = npt.NDArray[np.intp]
Pairs = tuple[Index, Index, Index]
_ONES = np.array([value.bit_count() for value in range(1 << 16)], np.uint8)
_CLOSE = np.flatnonzero(_ONES <= 2).astype(np.uint16)
"""What may be changed in a band."""

_SPLITS: tuple[tuple[Split, Domain], ...] = (
    ("train", "a"),
    ("train", "b"),
    ("test", "a"),
    ("test", "b"),
)


@dataclass(frozen=True)
class Place:
    """Where a picture is: split, domain, id."""

    split: Split
    domain: Domain
    item: ImageItem


@dataclass(frozen=True)
class Audit:
    """What was found.

    Parameters
    ----------
    pairs
        One row a pair: kind (``exact`` or ``near``), split, domain and id of both pictures
        (``_1``, ``_2``), bits that differ, similarity of features.
    counts
        Pictures in each split and domain.
    """

    pairs: pd.DataFrame
    counts: dict[tuple[Split, Domain], int]

    def test_in_train(self, kind: str = "exact", *, same_domain: bool = False) -> int:
        """Test pictures that are also training pictures (of the same domain)."""
        rows = self.pairs[
            (self.pairs["kind"] == kind)
            & (self.pairs["split_1"] == "train")
            & (self.pairs["split_2"] == "test")
        ]
        if same_domain:
            rows = rows[rows["domain_1"] == rows["domain_2"]]
        return len(rows[["domain_2", "id_2"]].drop_duplicates())

    def between_domains(self, split: Split, kind: str = "exact") -> int:
        """Pictures of domain b in a split that are also in domain a of it."""
        rows = self.pairs[
            (self.pairs["kind"] == kind)
            & (self.pairs["split_1"] == split)
            & (self.pairs["split_2"] == split)
            & (self.pairs["domain_1"] != self.pairs["domain_2"])
        ]
        return len(rows[["domain_2", "id_2"]].drop_duplicates())

    def within(self, split: Split, domain: Domain, kind: str = "exact") -> int:
        """Pictures that have another of their own split and domain before them."""
        rows = self.pairs[
            (self.pairs["kind"] == kind)
            & (self.pairs["split_1"] == split)
            & (self.pairs["split_2"] == split)
            & (self.pairs["domain_1"] == domain)
            & (self.pairs["domain_2"] == domain)
        ]
        return len(rows["id_2"].drop_duplicates())

    def contaminated(self, domain: Domain, *, near: bool = False) -> frozenset[str]:
        """Ids of a domain's test pictures that are exactly (or nearly) training pictures."""
        rows = self.pairs[
            (self.pairs["split_1"] == "train")
            & (self.pairs["split_2"] == "test")
            & (self.pairs["domain_2"] == domain)
        ]
        return frozenset(rows["id_2"] if near else rows[rows["kind"] == "exact"]["id_2"])

    def lines(self, domains: tuple[str, str]) -> list[str]:
        """The findings in a few sentences."""
        total = self.counts["test", "a"] + self.counts["test", "b"]
        out = []
        for kind, word in (("exact", "identical to"), ("near", "near duplicates of")):
            out.append(
                f"{self.test_in_train(kind)} of {total} test images are {word} training images "
                f"({self.test_in_train(kind, same_domain=True)} in the same domain)"
            )
            shared = self.between_domains("train", kind)
            out.append(f"{shared} training images of {domains[1]} are {word} ones of {domains[0]}")
            inside = {
                f"{split} {domains['ab'.index(domain)]}": self.within(split, domain, kind)
                for split, domain in _SPLITS
            }
            listed = ", ".join(f"{count} in {name}" for name, count in inside.items() if count)
            out.append(f"within one split: {listed or 'none'}")
        return out


def perceptual_hash(pixels: Pixels) -> npt.NDArray[np.bool_]:
    """Return 64 bits: the low frequencies of a picture's brightness against their median."""
    import imagehash

    return np.asarray(imagehash.phash(Image.fromarray(pixels)).hash.ravel())


def audit(
    dataset: Dataset,
    *,
    near: bool = True,
    size: int = 128,
    device: torch.device | None = None,
    weights_dir: Path | None = None,
    offline: bool = True,
    cache: Path | None = None,
    emit: Callable[[Event], None] = lambda event: None,
) -> Audit:
    """Look for duplicates within and across the splits of a dataset.

    Parameters
    ----------
    dataset
        Prepared.
    near
        Look for near duplicates too: every picture is decoded once.
    size
        Side to which pictures are brought before they are looked at.

    Raises
    ------
    BenchError
        When a picture cannot be decoded, or no weights are to be had for the features.
    """
    places = [
        Place(split, domain, item)
        for split, domain in _SPLITS
        for item in dataset.split(split, domain)
    ]
    counts = dict.fromkeys(_SPLITS, 0)
    for place in places:
        counts[place.split, place.domain] += 1
    rows = [_row("exact", places[i], places[j], 0, 1.0) for i, j in _exact(places)]
    if near and places:
        networks = Networks(
            {spec.name: spec for spec in EXTRACTORS},
            device=device or torch.device("cpu"),
            weights_dir=weights_dir,
            offline=offline,
            cache=cache,
            emit=emit,
        )
        rows += _near(places, networks, size)
    columns = ["kind"] + [f"{name}_{side}" for side in (1, 2) for name in ("split", "domain", "id")]
    frame = pd.DataFrame(rows, columns=[*columns, "bits_apart", "similarity"])
    return Audit(frame, counts)


def write_findings(found: Audit, dataset: Dataset, out: Path, *, size: int = 160) -> list[Path]:
    """Write ``pairs.csv``, and ``near.png`` with the near pairs side by side, into a folder.

    Parameters
    ----------
    size
        Side of each picture in the sheet, in pixels; two pairs stand in a row.
    """
    table = out / "pairs.csv"
    write_atomic(table, found.pairs.to_csv(index=False))
    near = found.pairs[found.pairs["kind"] == "near"].sort_values("similarity", ascending=False)
    if near.empty:
        return [table]
    items = {
        (split, domain, item.id): item
        for split, domain in _SPLITS
        for item in dataset.split(split, domain)
    }
    pairs = [
        np.concatenate(
            [
                load_item(
                    items[row[f"split_{side}"], row[f"domain_{side}"], row[f"id_{side}"]], size
                )
                for side in (1, 2)
            ],
            axis=1,
        )
        for row in near.to_dict("records")
    ]
    gap = np.full((size, size // 8, 3), 255, dtype=np.uint8)
    if len(pairs) % 2:
        pairs.append(np.full_like(pairs[0], 255))
    rows = [
        np.concatenate([left, gap, right], axis=1)
        for left, right in zip(pairs[::2], pairs[1::2], strict=True)
    ]
    sheet = out / "near.png"
    write_png(sheet, np.concatenate(rows, axis=0))
    return [table, sheet]


def _exact(places: Sequence[Place]) -> Iterator[tuple[int, int]]:
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, place in enumerate(places):
        groups[place.item.digest].append(index)
    for group in groups.values():
        if len(group) <= _ALL_PAIRS:
            yield from combinations(group, 2)
            continue
        # What one picture is a copy of is said by the first copy in each split of each domain.
        first: dict[tuple[Split, Domain], int] = {}
        for index in group:
            yield from ((other, index) for other in first.values())
            first.setdefault((places[index].split, places[index].domain), index)


def alike(hashes: npt.NDArray[np.bool_], apart: int = HASH_BITS_APART) -> Pairs:
    """Return all pairs of rows of ``(n, 64)`` that differ in at most `apart` bits, up to 11.

    Multi-index hashing (Norouzi et al. 2012): hashes that differ in at most 11 bits differ in at
    most 2 in one of four bands of 16 bits. So each band is looked up among those at most 2 bits
    away, and whole hashes are compared only where one band is close.

    Returns
    -------
    tuple
        First rows, second rows and bits apart, each ``(k,)``; sorted by the rows.

    Raises
    ------
    BenchError
        When there are more than `_MOST_PAIRS` of them.
    """
    n = len(hashes)
    words = np.packbits(hashes, axis=1).view(np.uint64).ravel()
    found = [np.empty(0, np.intp)]
    for values in words.view(np.uint16).reshape(n, 4).T:
        order = np.argsort(values, kind="stable")
        counts = np.bincount(values, minlength=1 << 16)
        starts = np.cumsum(counts) - counts
        for mask in _CLOSE:
            other = values ^ mask
            # Each pair from one side.
            rows = np.flatnonzero((values <= other) & (counts[other] > 0))
            for first, place in _expanded(rows, starts[other], counts[other]):
                second = order[place]
                close = _bits_apart(words[first], words[second]) <= apart
                low, high = np.minimum(first, second)[close], np.maximum(first, second)[close]
                found.append((low * n + high)[low < high])
        if sum(map(len, found)) > _MOST_PAIRS:
            raise BenchError(
                f"more than {_MOST_PAIRS:,} pairs of these pictures look alike at a glance: most "
                "show the same; look for exact copies alone (--exact)"
            )
    first, second = np.divmod(np.unique(np.concatenate(found)), max(n, 1))
    return first, second, _bits_apart(words[first], words[second]).astype(np.intp)


def _expanded(rows: Index, starts: Index, counts: Index) -> Iterator[tuple[Index, Index]]:
    """Yield each row with each place of its range, a bounded number at once."""
    ends = np.cumsum(counts[rows])
    begin = 0
    while begin < len(rows):
        taken = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, taken + _AT_ONCE, "right")))
        some = rows[begin:end]
        # Where a range begins in what is yielded, taken off its first place.
        shift = starts[some] - (ends[begin:end] - counts[some] - taken)
        yield (
            np.repeat(some, counts[some]),
            np.repeat(shift, counts[some]) + np.arange(ends[end - 1] - taken),
        )
        begin = end


def _bits_apart(a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    ones = _ONES[(a ^ b).view(np.uint16)].reshape(-1, 4)
    return np.asarray(ones[:, 0] + ones[:, 1] + ones[:, 2] + ones[:, 3])


def _near(places: Sequence[Place], networks: Networks, size: int) -> list[dict[str, object]]:
    def look(place: Place) -> npt.NDArray[np.bool_]:
        return perceptual_hash(load_item(place.item, size))

    hashes = np.stack(by_threads(look, places))
    candidates = [
        (i, j, bits)
        for i, j, bits in zip(*map(np.ndarray.tolist, alike(hashes)), strict=True)
        if places[i].item.digest != places[j].item.digest
    ]
    if not candidates:
        return []
    seen = sorted({index for pair in candidates for index in pair[:2]})
    chosen = networks.choose(FEATURES)
    described = networks.described(
        by_threads(lambda index: _picture(places[index].item, size), seen), chosen
    )
    rows = np.stack([row for row, _ in described]).astype(np.float64)
    features = dict(zip(seen, rows / np.linalg.norm(rows, axis=1, keepdims=True), strict=True))
    found = []
    for i, j, bits in candidates:
        similarity = float(features[i] @ features[j])
        if similarity >= SIMILAR:
            found.append(_row("near", places[i], places[j], bits, similarity))
    return found


def _picture(item: ImageItem, size: int) -> Picture:
    load = partial(load_item, item, size)
    return Picture(item.id, pixel_digest(load()), load)


def _row(kind: str, a: Place, b: Place, bits: int, similarity: float) -> dict[str, object]:
    row: dict[str, object] = {"kind": kind, "bits_apart": bits, "similarity": similarity}
    for side, place in ((1, a), (2, b)):
        row |= {
            f"split_{side}": place.split,
            f"domain_{side}": place.domain,
            f"id_{side}": place.item.id,
        }
    return row
