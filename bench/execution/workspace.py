"""What the stages of one trial stand on: its data, its surroundings, its places.

It knows nothing of stages. All it holds follows from the job, so two workspaces of one job are
the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch

from bench.api import (
    BenchError,
    Context,
    Dataset,
    Direction,
    Domain,
    Event,
    ImageItem,
    Picture,
    Split,
    TrainData,
)
from bench.data.decoded import decode
from bench.data.images import Pixels, by_threads, pixel_digest
from bench.data.opening import open_dataset, select
from bench.data.precomputed import Precomputed, match_precomputed
from bench.devices import choose_device, choose_precision
from bench.nn.precision import apply_float32_policy
from bench.plugins import Registry, make_config, resolve
from bench.storage.cache import Cache
from bench.storage.files import folder_name
from bench.storage.jobs import Job
from bench.storage.store import named_store
from bench.training.seeding import derive_seed

Emit = Callable[[Event], None]
Decoded = dict[tuple[Split, Domain], torch.Tensor]


class Workspace:
    """The surroundings of one job in the run folder `run`.

    Parameters
    ----------
    job
        What to do.
    run
        The run folder; the trial's own is ``<run>/trials/<trial>``.
    registry
        The plugins.
    emit
        Takes events.
    decoded
        Whole splits that were decoded before; for trials of one dataset and size.
    dataset, precomputed
        The opened dataset, and pictures made elsewhere, taken as they are. None: they are found
        as the job says, and refused when they are not what was planned.
    """

    def __init__(
        self,
        job: Job,
        run: Path,
        registry: Registry,
        emit: Emit,
        *,
        decoded: Decoded | None = None,
        dataset: Dataset | None = None,
        precomputed: Precomputed | None = None,
    ) -> None:
        self.job = job
        self.run = run
        self.registry = registry
        self.emit = emit
        self.folder = run / "trials" / job.trial
        self.cache = Cache(
            Path(job.cache),
            of=job.fit_key,
            store=named_store(),
            warn=lambda text: emit(Event("warning", "store", text)),
        )
        self.spec = registry.method(job.method)
        device = choose_device(job.device)
        self.ctx = Context(
            device=device,
            precision=choose_precision(job.precision, device),
            seed=derive_seed("trial", job.seed),
            weights_dir=Path(job.weights_dir) if job.weights_dir else None,
            offline=job.offline,
            work_dir=self.checkpoints,
            emit=emit,
        )
        apply_float32_policy(self.ctx)
        self._pixels: Decoded = {} if decoded is None else decoded
        self._dataset = dataset
        self._precomputed = precomputed
        self._digests: dict[tuple[Split, Domain], list[str]] = {}

    def of(self, job: Job) -> Workspace:
        """Return the surroundings of another job on the same data."""
        return Workspace(
            job, self.run, self.registry, self.emit, decoded=self._pixels, dataset=self.dataset
        )

    # ------------------------------------------------------------------ data

    @cached_property
    def dataset(self) -> Dataset:
        """The opened dataset."""
        if self._dataset is not None:
            return self._dataset
        job = self.job
        dataset = open_dataset(
            self.registry.dataset(job.dataset),
            job.dataset_config,
            self.cache.root,
            offline=job.offline,
            progress=lambda message: self.emit(Event("log", "", message)),
        )
        if (found := dataset.fingerprint()) != job.fingerprint:
            raise BenchError(
                f"dataset {job.dataset_label} changed while the run was under way "
                f"({found[:8]} instead of {job.fingerprint[:8]}): start the run again"
            )
        return dataset

    @cached_property
    def directions(self) -> tuple[Direction, ...]:
        """The directions, by the domains' names."""
        return tuple(Direction.parse(text, self.dataset.domains) for text in self.job.directions)

    def inputs(self, direction: Direction) -> list[ImageItem]:
        """Return the test inputs of a direction; of pictures made elsewhere those that have one."""
        items = select(self.dataset.split("test", direction.source), self.job.test_limit)
        if self.spec.precomputed:
            there = self.precomputed.outputs[direction.key]
            return [item for item in items if item.id in there]
        return items

    @cached_property
    def precomputed(self) -> Precomputed:
        """Pictures made elsewhere."""
        if self._precomputed is not None:
            return self._precomputed
        job = self.job
        config = make_config("method", job.label, self.spec.config, job.config)
        precomputed = match_precomputed(
            resolve(self.spec.implementation)(config),
            job.label,
            self.dataset,
            self.directions,
            size=job.size,
            samples=job.samples,
            test_limit=job.test_limit,
            allow_missing=job.allow_missing,
        )
        if precomputed.digest != job.given:
            raise BenchError(
                f"the pictures of {job.label} changed while the run was under way: "
                "start the run again"
            )
        return precomputed

    def pixels(self, split: Split, domain: Domain) -> torch.Tensor:
        """Return a whole split as uint8 ``(N, 3, size, size)`` on the CPU, decoded once."""
        if (split, domain) not in self._pixels:
            items = self.dataset.split(split, domain)
            self._pixels[split, domain] = decode(items, self.job.size, self.cache.root)
        return self._pixels[split, domain]

    def pictures(self, split: Split, domain: Domain) -> list[Picture]:
        """Return the same split for scoring; each picture is copied when it is looked at."""
        pixels = self.pixels(split, domain).numpy()
        if (split, domain) not in self._digests:
            views = (partial(_upright, array) for array in pixels)
            self._digests[split, domain] = by_threads(lambda look: pixel_digest(look()), views)
        items, digests = self.dataset.split(split, domain), self._digests[split, domain]
        return [
            Picture(item.id, digest, partial(_upright, array), item.factors)
            for item, digest, array in zip(items, digests, pixels, strict=True)
        ]

    @cached_property
    def train_data(self) -> TrainData:
        """Both train splits on the device."""
        a, b = (self.pixels("train", domain).to(self.ctx.device) for domain in ("a", "b"))
        return TrainData(a, b, self.dataset.domains, self.spec.paired and self.dataset.paired)

    def seeds(self, items: Sequence[ImageItem], direction: Direction) -> torch.Tensor:
        """Return style seeds ``(B, samples)`` from (trial seed, direction, image id, sample)."""
        return torch.tensor(
            [
                [
                    derive_seed(self.job.seed, direction.key, item.id, k)
                    for k in range(self.job.samples)
                ]
                for item in items
            ],
            dtype=torch.int64,
        )

    # ---------------------------------------------------------------- places

    @property
    def checkpoints(self) -> Path:
        """Where a stage keeps what it needs to go on after an interruption."""
        return self.folder / "checkpoints"

    def outputs(self, direction: Direction) -> Path:
        """Return where the outputs of a direction lie: ``<input id>/<sample>.png``."""
        return self.folder / "images" / direction.name

    def beside(self, part: str, direction: Direction) -> Path:
        """Return where trials share what belongs to a direction: ``<part>/<dataset>/<name>``.

        Parameters
        ----------
        part
            ``inputs``, ``truths`` or ``audit``.
        """
        return self.run / part / folder_name(self.job.dataset_label) / direction.name


def _upright(pixels: Pixels) -> Pixels:
    """``(3, H, W)`` as ``(H, W, 3)``, in memory of its own."""
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))
