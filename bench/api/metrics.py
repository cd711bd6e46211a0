"""What a metric sees and gives, the networks behind it, and what makes a run believable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from bench.api.data import Direction, Picture
from bench.api.specs import Config, Kind

if TYPE_CHECKING:
    from typing import TypeVar

    import numpy as np
    import numpy.typing as npt
    import torch

    Floats = npt.NDArray[np.float64]
    Layers = Mapping[str, npt.NDArray[np.uint8 | np.uint16]]
    T = TypeVar("T")

Verdict = Literal["valid", "remarks", "invalid"]
"""What may be said of a run: its numbers hold, hold with remarks, or do not."""
Subset = Literal["all", "clean"]
"""All test images, or those that are not also training images."""
Which = Literal["outputs", "all_outputs", "inputs", "reference", "reference_train", "source_train"]
"""A set of pictures; ``outputs`` is the first sample of every input."""


@dataclass(frozen=True)
class Interval:
    """A number with an interval and the name of the method that made it, where there is one."""

    value: float
    low: float | None = None
    high: float | None = None
    method: str | None = None


@dataclass(frozen=True)
class Measurement:
    """One number, with what is needed to believe it.

    Parameters
    ----------
    metric, kind, value, unit, higher_is_better
        What was measured.
    n
        How many images (or timings) it rests on.
    low, high, interval
        The interval and the method that made it; None where there is none.
    extractor
        The pretrained network behind the number, always named where there is one.
    subset
        ``all`` or ``clean`` (test images that are not also training images).
    per_sample
        The same metric for single outputs: ``(input id, sample, value)``.
    resampled
        The same metric for resampled pictures, for one that no single output has: the b-th is of
        the same pictures whichever method's outputs they are, so that differences are paired.
    draw
        What was resampled; two measurements pair where it is the same.
    """

    metric: str
    kind: Kind
    value: float
    unit: str = ""
    higher_is_better: bool | None = None
    n: int = 0
    low: float | None = None
    high: float | None = None
    interval: str | None = None
    extractor: str | None = None
    subset: Subset = "all"
    per_sample: Iterable[tuple[str, int, float]] = ()
    resampled: Sequence[float] = ()
    draw: str = ""


@runtime_checkable
class FeatureExtractor(Protocol):
    """A network that turns an image into one vector.

    Attributes
    ----------
    preprocessing
        How images are brought to the network's size; part of the cache key.
    """

    preprocessing: str

    def describe(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features ``(B, D)`` and self-similarity ``(B, S)`` of uint8 ``(B, 3, H, W)``.

        S may be 0 for a network without local features.
        """
        ...


@runtime_checkable
class PerceptualDistance(Protocol):
    """A network that turns an image into a vector whose squared Euclidean distance is perceptual.

    Attributes
    ----------
    preprocessing
        How images are brought to the network's range; part of the cache key.
    smallest
        The smallest side it can take, in pixels.
    """

    preprocessing: str
    smallest: int

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 ``(B, F)`` of uint8 ``(B, 3, H, W)``; F grows with H and W."""
        ...


class MetricContext(Protocol):
    """What a metric sees of one direction of one trial: pictures, and what networks say of them.

    Attributes
    ----------
    name
        The metric's own name.
    config
        Its configuration.
    side
        The shorter side it looks at pictures reduced to; None: as they are.
    direction, domains
        What was translated, and the names of the two domains.
    subset
        ``all`` or ``clean``; the pictures are those of the subset.
    outputs
        Input id to its samples, in order; all the same number.
    inputs
        Input id to the picture that was translated.
    truths
        Input id to its true translations, where the dataset knows them.
    layers
        Input id to its planes of labels, made when asked for.
    classes
        Names of the classes in the layers.
    """

    name: str
    config: Config
    side: int | None
    direction: Direction
    domains: tuple[str, str]
    subset: Subset
    outputs: Mapping[str, Sequence[Picture]]
    inputs: Mapping[str, Picture]
    truths: Mapping[str, Sequence[Picture]]
    layers: Mapping[str, Callable[[], Layers]]
    classes: tuple[str, ...]

    @property
    def ids(self) -> list[str]:
        """Input ids, in order."""
        ...

    @property
    def samples(self) -> int:
        """Outputs per input."""
        ...

    @property
    def extractor(self) -> str | None:
        """The name of the network behind this metric; None for a metric that uses none."""
        ...

    def pictures(self, which: Which) -> Sequence[Picture]:
        """Return one of the sets; of training pictures 5,000 at most, or some more than inputs."""
        ...

    def digests(self, which: Which) -> frozenset[str]:
        """Return the digests of all pictures of a set, also of those that are not looked at."""
        ...

    def seen_by(self, extractor: str) -> MetricContext:
        """Return the same pictures for the same metric, as another network sees them."""
        ...

    def features(
        self, which: Which | Sequence[Picture], *, side: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Return features ``(n, d)`` of a set or of any pictures; each passes the network once.

        With `side`, of the pictures reduced to that shorter side by area and enlarged again:
        what is left is what so many pixels can hold.
        """
        ...

    def structure(self, which: Which | Sequence[Picture]) -> npt.NDArray[np.float32]:
        """Return self-similarity ``(n, S)``, from the same pass as the features."""
        ...

    def distances(self, pictures: Sequence[Picture]) -> Floats:
        """Return perceptual distances ``(k, k)`` of pictures of one size; equal pixels: 0."""
        ...

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what `make` gives, made once per network and subset whichever metrics ask.

        What depends on a metric's own configuration has that in its `name`.
        """
        ...

    def learned(
        self, learn: Callable[..., npt.ArrayLike], *given: npt.NDArray[np.generic]
    ) -> npt.NDArray[np.float32]:
        """Return ``learn(*given)``, kept between runs by what is given and the code of `learn`.

        For what takes seconds and hangs on real pictures alone, as a classifier of the domains.
        """
        ...

    def progress(self, items: Sequence[T], what: str) -> Iterator[T]:
        """Yield the items one by one, telling the user how many are done of `what`."""
        ...

    def need(self, which: Which, at_least: int) -> None:
        """Raise `NotMeasurable` where a set has fewer than `at_least` pictures."""
        ...

    def note(self, message: str) -> None:
        """Tell the user something about this metric."""
        ...

    def per_sample(
        self, values: Sequence[Floats] | Floats, ids: Sequence[str] | None = None
    ) -> list[tuple[str, int, float]]:
        """Return one row of values per input as ``(input id, sample, value)``.

        A sample that repeats an earlier one of its input to the pixel is listed once.
        """
        ...

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
        ...


@dataclass(frozen=True)
class Check:
    """One reason to believe a run, or not to.

    Parameters
    ----------
    name
        What was looked at, as a statement that holds when the check passes.
    severity
        The verdict on a run in which it fails: ``remarks`` or ``invalid``.
    passed
        None where it could not be checked.
    detail
        What was found, in one line.
    """

    name: str
    severity: Literal["remarks", "invalid"]
    passed: bool | None
    detail: str

    @property
    def verdict(self) -> Verdict:
        """What this check alone makes of the run."""
        return self.severity if self.passed is False else "valid"
