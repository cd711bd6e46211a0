"""What a score was made from, as hashes: pictures, weights, code. And what has changed since.

Pictures are named by the SHA-256 of their pixels, so a file that was written again with the
same pixels is the same picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from bench.metrics.context import ScoringData

Hashes = Mapping[str, str]
Change = Literal["changed", "gone", "new"]


def picture_hashes(data: ScoringData, samples: int) -> dict[str, Hashes]:
    """Hashes of everything that is looked at, by role and name.

    Parameters
    ----------
    samples
        How many pictures there are for each input; those of a deterministic method are
        scored several times and listed once.

    Returns
    -------
    dict
        ``inputs``, ``outputs``, ``truths``, ``reference``, ``reference_train`` and
        ``source_train``. An output is called ``<input id>/<sample>``, as its file is.
    """
    return {
        "inputs": {key: picture.digest for key, picture in data.inputs.items()},
        "outputs": {
            f"{key}/{k}": picture.digest
            for key, pictures in data.outputs.items()
            for k, picture in enumerate(pictures[:samples])
        },
        "truths": {
            f"{key}/{k}": picture.digest
            for key, pictures in data.truths.items()
            for k, picture in enumerate(pictures)
        },
        "reference": {picture.id: picture.digest for picture in data.reference},
        "reference_train": {picture.id: picture.digest for picture in data.reference_train},
        "source_train": {picture.id: picture.digest for picture in data.source_train},
    }


def manifest(
    data: ScoringData,
    *,
    samples: int,
    size: int,
    seeds: Mapping[str, Sequence[int]],
    metrics: Sequence[str],
    networks: Hashes,
    code: str,
) -> dict[str, Any]:
    """The record of one direction of one trial, as plain JSON.

    Parameters
    ----------
    samples, size
        Pictures for each input, and their side in pixels.
    seeds
        Input id to the style seed of each sample.
    metrics
        Names of what was measured.
    networks
        Name to SHA-256 of the weights of each network that was asked.
    code
        Hash of the sources that made the numbers.
    """
    return {
        "code": code,
        "size": size,
        "samples": samples,
        "metrics": list(metrics),
        "networks": dict(networks),
        "seeds": {key: list(row) for key, row in seeds.items()},
        "contaminated": sorted(data.contaminated),
        "pictures": picture_hashes(data, samples),
    }


@dataclass(frozen=True)
class Changed:
    """Something that has another hash than when it was scored, is gone, or is new."""

    role: str
    name: str
    how: Change

    def __str__(self) -> str:
        return f"{self.role} {self.name} {'is ' if self.how != 'changed' else ''}{self.how}"


def changes(stored: Mapping[str, Hashes], found: Mapping[str, Hashes]) -> Iterator[Changed]:
    """What differs between two sets of hashes by role and name."""
    for role in dict.fromkeys((*stored, *found)):
        before, now = stored.get(role, {}), found.get(role, {})
        for name in dict.fromkeys((*before, *now)):
            if name not in now:
                yield Changed(role, name, "gone")
            elif name not in before:
                yield Changed(role, name, "new")
            elif before[name] != now[name]:
                yield Changed(role, name, "changed")
