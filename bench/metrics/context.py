"""What a metric sees: the pictures of one direction of one trial, and what networks say of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from bench.api import (
    BenchError,
    Config,
    Direction,
    Event,
    Interval,
    Measurement,
    MetricSpec,
    NotMeasurable,
    Picture,
    Subset,
    Which,
    find_column,
)
from bench.data.opening import select
from bench.metrics.networks import Chosen, Networks, Progress
from bench.stats import Floats

TRAINING = 5_000
"""Training pictures of a domain that are looked at, at most: so many, or the next multiple that is
no less than the inputs. They serve the floors, the judge of the seasons and the search for copies.
What more of them would add lies far below what as many test pictures leave open, and each costs a
pass of a network at each scale."""

Layers = Mapping[str, npt.NDArray[np.uint8 | np.uint16]]
T = TypeVar("T")


@dataclass(frozen=True)
class ScoringData:
    """The pictures of one direction of one trial.

    Parameters
    ----------
    direction, domains
        What was translated, and the names of the two domains.
    outputs
        Input id to its samples, in order; all the same number.
    inputs
        The same keys; each picture has the size of its outputs.
    reference, reference_train
        The target domain's test and training pictures.
    source_train
        The source domain's training pictures.
    truths
        Input id to its true translations, where known.
    contaminated
        Input ids that are also training images; the subset ``clean`` leaves them out.
    layers
        Input id to its planes of labels, made when asked for; see
        :class:`bench.api.LayeredDataset`.
    classes
        Names of the classes in the layers.
    """

    direction: Direction
    domains: tuple[str, str]
    outputs: Mapping[str, Sequence[Picture]]
    inputs: Mapping[str, Picture]
    reference: Sequence[Picture]
    reference_train: Sequence[Picture] = ()
    source_train: Sequence[Picture] = ()
    truths: Mapping[str, Sequence[Picture]] = field(default_factory=dict)
    contaminated: frozenset[str] = frozenset()
    layers: Mapping[str, Callable[[], Layers]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = {len(samples) for samples in self.outputs.values()}
        if not self.outputs or counts == {0}:
            raise BenchError("there is nothing to score: no outputs")
        if len(counts) > 1:
            raise BenchError(
                f"inputs have different numbers of samples ({min(counts)} to {max(counts)}): "
                f"translate all of them with the same number"
            )
        if self.outputs.keys() != self.inputs.keys():
            odd = sorted(self.outputs.keys() ^ self.inputs.keys())
            raise BenchError(f"inputs and outputs do not match: {odd[0]} is in one of them only")

    @property
    def samples(self) -> int:
        """Outputs per input."""
        return len(next(iter(self.outputs.values())))

    @cached_property
    def side(self) -> int:
        """The shorter side of the outputs, in pixels."""
        height, width, _ = next(iter(self.outputs.values()))[0].load().shape
        return int(min(height, width))

    @cached_property
    def draw(self) -> str:
        """What resampling draws from, as a hash: the inputs, and what outputs are held against."""
        named = [f"{key} {picture.digest}" for key, picture in self.inputs.items()]
        digests = [p.digest for p in (*self.reference, *self.reference_train)]
        drawn = "\n".join([*named, *digests])
        # File names that are no text are kept as they are.
        return hashlib.sha256(drawn.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def pictures(self, which: Which) -> Sequence[Picture]:
        """Return one of the sets; ``outputs`` is the first sample of every input.

        Of training pictures a few thousand, spread evenly; see `TRAINING`.
        """
        if which == "outputs":
            return [samples[0] for samples in self.outputs.values()]
        if which == "all_outputs":
            return [picture for samples in self.outputs.values() for picture in samples]
        if which == "inputs":
            return [self.inputs[key] for key in self.outputs]
        if which == "reference":
            return self.reference
        # In whole thousands: the clean inputs are fewer, and would ask for other pictures.
        return select(self._trained(which), -(-len(self.outputs) // TRAINING) * TRAINING)

    def digests(self, which: Which) -> frozenset[str]:
        """Return the digests of all pictures of a set, also of those that are not looked at."""
        training = which in ("reference_train", "source_train")
        return frozenset(p.digest for p in (self._trained if training else self.pictures)(which))

    def _trained(self, which: Which) -> Sequence[Picture]:
        return self.reference_train if which == "reference_train" else self.source_train

    def clean(self) -> ScoringData:
        """Return the same without the pictures that are training images, on either side.

        Inputs go by `contaminated`, references by their pixels.
        """
        trained = self.digests("reference_train") | self.digests("source_train")
        kept = [key for key in self.outputs if key not in self.contaminated]
        return replace(
            self,
            outputs={key: self.outputs[key] for key in kept},
            inputs={key: self.inputs[key] for key in kept},
            truths={key: self.truths[key] for key in kept if key in self.truths},
            reference=[p for p in self.reference if p.digest not in trained],
            contaminated=frozenset(),
        )


class ScoringContext:
    """What one metric sees of one subset; follows :class:`bench.api.MetricContext`.

    Parameters
    ----------
    data
        The pictures of the subset.
    spec, config
        The metric that asks, and its configuration. Its extractors decide which network answers.
    networks
        Shared by all metrics.
    subset
        ``all`` or ``clean``; stamped on every measurement.
    shared
        What :meth:`once` has made so far.
    """

    def __init__(
        self,
        data: ScoringData,
        spec: MetricSpec,
        config: Config,
        networks: Networks,
        subset: Subset,
        shared: dict[str, Any],
    ) -> None:
        self.name, self.config, self.subset = spec.name, config, subset
        self.side = spec.side or None
        self.direction, self.domains = data.direction, data.domains
        self.outputs, self.inputs, self.truths = data.outputs, data.inputs, data.truths
        self.layers, self.classes = data.layers, data.classes
        self._data, self._spec, self._networks, self._shared = data, spec, networks, shared

    # ------------------------------------------------------------------- pictures

    @property
    def ids(self) -> list[str]:
        """Input ids, in order."""
        return list(self.outputs)

    @property
    def samples(self) -> int:
        """Outputs per input."""
        return self._data.samples

    def pictures(self, which: Which) -> Sequence[Picture]:
        """Return one of the sets; ``outputs`` is the first sample of every input."""
        return self._data.pictures(which)

    def digests(self, which: Which) -> frozenset[str]:
        """Return the digests of all pictures of a set, also of those that are not looked at."""
        return self._data.digests(which)

    # ------------------------------------------------------------------- networks

    @cached_property
    def _chosen(self) -> Chosen:
        if not self._spec.extractors:
            raise BenchError(f"metric {self.name} asks a network, and declares no extractors")
        return self._networks.choose(self._spec.extractors)

    @property
    def extractor(self) -> str | None:
        """The name of the network behind this metric; None for a metric that uses none."""
        return self._chosen.name if self._spec.extractors else None

    def seen_by(self, extractor: str) -> ScoringContext:
        """Return the same pictures for the same metric, as another network sees them."""
        return ScoringContext(
            self._data,
            replace(self._spec, extractors=(extractor,)),
            self.config,
            self._networks,
            self.subset,
            self._shared,
        )

    def features(
        self, which: Which | Sequence[Picture], *, side: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Return features ``(n, d)`` of one of the sets or of any pictures.

        With `side`, of the pictures without the detail that so many pixels cannot hold.

        Raises
        ------
        NotMeasurable
            When there are no pictures.
        """
        return np.stack([features for features, _ in self._described(which, side)])

    def structure(self, which: Which | Sequence[Picture]) -> npt.NDArray[np.float32]:
        """Return self-similarity ``(n, S)``, from the same pass as the features."""
        return np.stack([structure for _, structure in self._described(which)])

    def _described(
        self, which: Which | Sequence[Picture], side: int | None = None
    ) -> Sequence[Sequence[npt.NDArray[np.float32]]]:
        pictures = self.pictures(which) if isinstance(which, str) else which
        if not pictures:
            raise NotMeasurable(f"{self.name} has no pictures to look at")
        return self._networks.described(pictures, self._chosen, side)

    def distances(self, pictures: Sequence[Picture]) -> Floats:
        """Return perceptual distances ``(k, k)`` of pictures of one size; equal pixels: 0."""
        return self._networks.distances(pictures, self._chosen)

    # --------------------------------------------------------------------- answers

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what `make` gives, made once per network and subset whichever metrics ask."""
        key = f"{self.subset}/{self.extractor}/{name}"
        if key not in self._shared:
            self._shared[key] = make()
        made: T = self._shared[key]
        return made

    def learned(
        self, learn: Callable[..., npt.ArrayLike], *given: npt.NDArray[np.generic]
    ) -> npt.NDArray[np.float32]:
        """Return ``learn(*given)``, kept between runs by what is given and the code of `learn`.

        A function of a module: whatever it hangs on beside `given` is in its code.
        """
        return self._networks.learned(learn, given)

    def progress(self, items: Sequence[T], what: str) -> Iterator[T]:
        """Yield the items one by one, telling the user how many are done of `what`."""
        progress = Progress(self._networks.emit, what, len(items))
        for item in items:
            yield item
            progress.advance()

    def need(self, which: Which, at_least: int) -> None:
        """Raise `NotMeasurable` where a set has fewer than `at_least` pictures."""
        count = len(self.pictures(which))
        if count < at_least:
            raise NotMeasurable(
                f"{self.name} needs at least {at_least} pictures in {which}, there are {count}"
            )

    def note(self, message: str) -> None:
        """Tell the user something about this metric."""
        self._networks.emit(Event("warning", "score", message))

    def per_sample(
        self, values: Sequence[Floats] | Floats, ids: Sequence[str] | None = None
    ) -> list[tuple[str, int, float]]:
        """Return one row of values per input as ``(input id, sample, value)``.

        A sample that repeats an earlier one of its input to the pixel is listed once: the
        one answer of a deterministic method is one picture.
        """
        rows = []
        for key, row in zip(self.ids if ids is None else ids, values, strict=True):
            seen: set[str] = set()
            for sample, value in enumerate(row):
                digest = self.outputs[key][sample].digest
                if digest not in seen:
                    seen.add(digest)
                    rows.append((key, sample, float(value)))
        return rows

    def measurement(
        self,
        metric: str,
        result: Interval | float,
        *,
        n: int,
        per_sample: Iterable[tuple[str, int, float]] = (),
        resampled: Sequence[float] = (),
    ) -> Measurement:
        """Return a measurement with all that its declaration, the network and the subset say.

        Raises
        ------
        BenchError
            When the value is not finite, or the metric does not declare `metric`.
        """
        column = find_column(self._spec.columns, metric)
        if column is None:
            raise BenchError(
                f"metric {self.name} gives {metric}, which it does not declare: add a Column of "
                "that name to its gives"
            )
        interval = result if isinstance(result, Interval) else Interval(result)
        if not np.isfinite(interval.value):
            raise BenchError(f"{metric} is not finite; its inputs are broken")
        return Measurement(
            metric=metric,
            kind=self._spec.kind,
            value=interval.value,
            unit=column.unit,
            higher_is_better=column.higher_is_better,
            n=n,
            low=interval.low,
            high=interval.high,
            interval=interval.method,
            extractor=self.extractor,
            subset=self.subset,
            per_sample=tuple(per_sample),
            resampled=tuple(float(value) for value in resampled),
            draw=self._data.draw if len(resampled) else "",
        )
