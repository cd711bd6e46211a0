"""Seasons as a dataset: rendered once, kept in the cache, checked by content."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.api import BenchError, Direction, Domain, ImageItem, Split
from bench.code import code_hash
from bench.data import PARTS, fingerprint_of, locked
from bench.storage.files import filling
from bench_seasons.config import SeasonsConfig
from bench_seasons.factory import (
    PLANES,
    own_look,
    pictures,
    plane_file,
    render_all,
    scene_of,
    true_looks,
    truth_file,
)
from bench_seasons.look import MODES
from bench_seasons.render import Pixels, Plane, Truth, truth_of
from bench_seasons.scene import MASKS

RENDERER = tuple(
    f"bench_seasons.{name}"
    for name in ("factory", "look", "noise", "render", "scene", "shade", "trees")
)


def code_version() -> str:
    """Return a hash of the renderer's code: pictures of another renderer are never reused."""
    return code_hash(*RENDERER, follow=())


class Seasons:
    """Rendered landscapes; see :class:`bench_seasons.config.SeasonsConfig`.

    Test pictures come with their truth: :meth:`truth` gives one true look in every mode of
    the other season, the pair (same light) first, and :meth:`scene_truth` masks and depth.
    """

    def __init__(self, config: SeasonsConfig) -> None:
        self.config = config
        self.domains = ("summer", "winter")
        self.classes = MASKS
        self.paired = config.pairs
        self._items: dict[str, list[ImageItem]] = {}
        self._truths: dict[tuple[str, str], list[ImageItem]] = {}
        self._planes: dict[int, dict[str, Plane]] = {}

    # ------------------------------------------------------------------ contract

    def prepare(self, cache: Path, *, offline: bool, progress: Callable[[str], None]) -> None:
        """Render the pictures, or take them from the cache when they are as they were."""
        config = self.config
        key = json.dumps([code_version(), config.model_dump(mode="json")], sort_keys=True)
        folder = cache / hashlib.sha256(key.encode()).hexdigest()[:16]
        with locked(cache):
            loaded = _load(folder)
            if loaded is None:
                progress(
                    f"rendering {2 * (config.train + config.test)} landscapes at "
                    f"{config.size}×{config.size}, and the truth of {2 * config.test}"
                )
                self._render_all(folder, progress)
                loaded = _load(folder)
        if loaded is None:
            raise BenchError(f"{folder} does not keep what is written to it: check the disk")
        arrays, digests = loaded
        for part in PARTS:
            self._items[part] = [
                self._item(part, i, 0, arrays[part], digests[part])
                for i in range(pictures(self.config, part))
            ]
        for part in ("testA", "testB"):
            name = truth_file(part)
            for i, item in enumerate(self._items[part]):
                self._truths[part, item.id] = [
                    self._item(part, i, look, arrays[name], digests[name], truth=True)
                    for look in range(len(MODES))
                ]
                self._planes[int(item.factors["scene"])] = {
                    plane: arrays[plane_file(plane, part)][i] for plane in PLANES
                }

    def split(self, split: Split, domain: Domain) -> Sequence[ImageItem]:
        """The pictures of one split of one season, by number."""
        if not self._items:
            raise BenchError("the dataset is not prepared: call prepare first")
        return self._items[f"{split}{domain.upper()}"]

    def fingerprint(self) -> str:
        """SHA-256 of the pixels of all splits."""
        digests = {part: [item.digest for item in items] for part, items in self._items.items()}
        return fingerprint_of(digests, paired=self.paired)

    def truth(self, item: ImageItem, direction: Direction) -> Sequence[ImageItem]:
        """The true translations of a test picture: one in each mode, the pair first."""
        return self._truths.get((f"test{direction.source.upper()}", item.id), ())

    # ------------------------------------------------------------------ truth

    def scene_truth(self, item: ImageItem) -> Truth:
        """Masks and depth behind any picture of this dataset, made when asked for."""
        scene = int(item.factors["scene"])
        return truth_of(self.config.seed, scene, self.config.size)

    def layers(self, item: ImageItem) -> Mapping[str, Plane]:
        """Masks and depth as planes of whole numbers, for files.

        ``classes`` holds indices into :data:`bench_seasons.scene.MASKS`, ``depth`` quarters
        of a metre (the sky is at 64,000). Those of test pictures were rendered with them.
        """
        found = self._planes.get(int(item.factors["scene"]))
        return self.scene_truth(item).planes() if found is None else found

    # ------------------------------------------------------------------ inside

    def _item(
        self,
        part: str,
        index: int,
        look: int,
        array: Pixels,
        digests: Sequence[str],
        *,
        truth: bool = False,
    ) -> ImageItem:
        config = self.config
        place = index * len(MODES) + look if truth else index
        chosen = true_looks(config, part, index)[look] if truth else own_look(config, part, index)
        kind = {"paired": float(look == 0)} if truth else {}
        return ImageItem(
            id=f"{index:05d}-{chosen.light.mode}" if truth else f"{index:05d}",
            digest=digests[place],
            render=lambda: np.array(array[place]),
            factors={**chosen.factors, **kind, "scene": float(scene_of(config, part, index))},
        )

    def _render_all(self, folder: Path, progress: Callable[[str], None]) -> None:
        """Render everything into a new cache folder, whole or not at all."""
        try:
            # Begun by others that were killed: nobody else is at work under the lock.
            for left in folder.parent.glob(".*-*"):
                shutil.rmtree(left, ignore_errors=True)
            with filling(folder) as place:
                names = render_all(place, self.config, progress)
                arrays = {
                    name: np.load(place / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                    for name in names
                }
                index = {name: [_digest(one) for one in array] for name, array in arrays.items()}
                (place / "index.json").write_text(json.dumps(index), "utf-8")
                shutil.rmtree(folder, ignore_errors=True)
        except OSError as error:
            raise BenchError(f"{folder} cannot be written: {error.strerror}") from None


def _digest(pixels: npt.NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _load(folder: Path) -> tuple[dict[str, Pixels], dict[str, list[str]]] | None:
    """The cached pictures and their digests; None when missing or not what was written."""
    try:
        index: dict[str, list[str]] = json.loads((folder / "index.json").read_text("utf-8"))
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in index
        }
        sound = all(
            [_digest(one) for one in arrays[name]] == digests for name, digests in index.items()
        )
    except (OSError, ValueError, AttributeError):
        return None
    return (arrays, index) if sound else None
