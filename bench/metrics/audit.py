"""Contamination audit: pictures that are in a dataset twice, exactly or nearly.

Exact duplicates share their digest. Near ones share most bits of a perceptual hash and are
then held against each other with deep features, so that two skies are no duplicates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image

from bench.api import Dataset, Domain, Event, ImageItem, Picture, Split
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


def _exact(places: Sequence[Place]) -> list[tuple[int, int]]:
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, place in enumerate(places):
        groups[place.item.digest].append(index)
    return [
        (group[i], group[j])
        for group in groups.values()
        for i in range(len(group))
        for j in range(i + 1, len(group))
    ]


def _near(places: Sequence[Place], networks: Networks, size: int) -> list[dict[str, object]]:
    def look(place: Place) -> npt.NDArray[np.bool_]:
        return perceptual_hash(load_item(place.item, size))

    bits = np.stack(by_threads(look, places)).astype(np.float32)
    same = bits @ bits.T + (1 - bits) @ (1 - bits).T
    apart = np.rint(bits.shape[1] - same).astype(np.intp)
    first, second = np.nonzero(np.triu(apart <= HASH_BITS_APART, 1))
    candidates = [
        (i, j)
        for i, j in zip(first.tolist(), second.tolist(), strict=True)
        if places[i].item.digest != places[j].item.digest
    ]
    if not candidates:
        return []
    seen = sorted({index for pair in candidates for index in pair})
    chosen = networks.choose(FEATURES)
    described = networks.described([_picture(places[i].item, size) for i in seen], chosen)
    rows = np.stack([row for row, _ in described]).astype(np.float64)
    features = dict(zip(seen, rows / np.linalg.norm(rows, axis=1, keepdims=True), strict=True))
    found = []
    for i, j in candidates:
        similarity = float(features[i] @ features[j])
        if similarity >= SIMILAR:
            found.append(_row("near", places[i], places[j], int(apart[i, j]), similarity))
    return found


def _picture(item: ImageItem, size: int) -> Picture:
    pixels = load_item(item, size)
    return Picture(item.id, pixel_digest(pixels), lambda: pixels)


def _row(kind: str, a: Place, b: Place, bits: int, similarity: float) -> dict[str, object]:
    row: dict[str, object] = {"kind": kind, "bits_apart": bits, "similarity": similarity}
    for side, place in ((1, a), (2, b)):
        row |= {
            f"split_{side}": place.split,
            f"domain_{side}": place.domain,
            f"id_{side}": place.item.id,
        }
    return row
