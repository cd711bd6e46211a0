"""Four parts of pictures as a dataset: which of them are used, pairs, the fingerprint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.api import BenchError, Direction, Domain, ImageItem, Split
from bench.data.content import PARTS, fingerprint_of


def pair_up(parts: Mapping[str, Sequence[ImageItem]], root: Path) -> dict[str, list[ImageItem]]:
    """Put A and B into one order, by the names that both have.

    Raises
    ------
    BenchError
        Naming the first picture without a partner.
    """
    paired: dict[str, list[ImageItem]] = {}
    for split in ("train", "test"):
        a = {item.id: item for item in parts[f"{split}A"]}
        b = {item.id: item for item in parts[f"{split}B"]}
        if alone := sorted(a.keys() ^ b.keys()):
            side = "A" if alone[0] in a else "B"
            raise BenchError(
                f"{root / (split + side)}: {alone[0]} has no partner of the same name: "
                "add it or leave paired off"
            )
        order = sorted(a, key=lambda one: (a[one].digest, b[one].digest, one))
        paired[f"{split}A"] = [a[one] for one in order]
        paired[f"{split}B"] = [b[one] for one in order]
    return paired


class SplitDataset:
    """Two domains of pictures, each with two splits: the base of datasets of photographs.

    A subclass finds the pictures of its four parts in ``prepare``, and gives them to ``_use``.

    Parameters
    ----------
    domains
        The names of the domains A and B.
    train, test
        Use at most so many pictures of each domain; None uses all.
    paired
        True: pictures of the same id in A and B show the same thing.
    """

    def __init__(
        self,
        domains: tuple[str, str],
        *,
        train: int | None = None,
        test: int | None = None,
        paired: bool = False,
    ) -> None:
        self.domains = domains
        self.paired = paired
        self._limits = {"train": train, "test": test}
        self._parts: dict[str, list[ImageItem]] = {}

    def _use(self, root: Path, parts: Mapping[str, Sequence[ImageItem]]) -> None:
        """Keep the pictures that the configuration asks for."""
        chosen = pair_up(parts, root) if self.paired else parts
        self._parts = {
            part: list(items[: self._limits[PARTS[part][0]]]) for part, items in chosen.items()
        }

    def split(self, split: Split, domain: Domain) -> Sequence[ImageItem]:
        """The pictures of one split of one domain, in the order of their content."""
        if not self._parts:
            raise BenchError("the dataset is not prepared: call prepare first")
        return self._parts[f"{split}{domain.upper()}"]

    def fingerprint(self) -> str:
        """SHA-256 of the content of all pictures in use."""
        digests = {part: [item.digest for item in items] for part, items in self._parts.items()}
        return fingerprint_of(digests, paired=self.paired)

    def truth(self, item: ImageItem, direction: Direction) -> Sequence[ImageItem]:
        """The paired picture where there is one; nobody knows more about photographs."""
        if not self.paired:
            return ()
        sources = self._parts[f"test{direction.source.upper()}"]
        targets = self._parts[f"test{direction.target.upper()}"]
        return [t for s, t in zip(sources, targets, strict=True) if s.id == item.id]
