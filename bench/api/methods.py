"""What translates: the contract of a method, its abilities, and what it is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

from bench.api.data import Direction, Domain, ImageItem, TrainData
from bench.api.errors import BenchError

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "tf32", "bf16"]


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
        The folder, which exists, where training keeps its checkpoints; None: nowhere.
    checkpoint_seconds
        Time between checkpoints; 0: one after every iteration, each of them reported as
        progress. None: as the method likes. Has no influence on results.
    keep_at
        Iterations after which the weights, as they are then, are kept in `work_dir`, to be scored;
        :func:`bench.training.loop.run_training` does so. Has no influence on results.
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
    checkpoint_seconds: float | None = None
    keep_at: tuple[int, ...] = ()
    emit: Callable[[Event], None] = _no_event
    judge: Callable[[torch.Tensor], Callable[[torch.Tensor], float]] | None = None


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
            float32 ``(B, samples, 3, H, W)`` in ``[0, 1]``, on the same device.
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
        """Train within `budget`, resuming from ``ctx.work_dir`` where it holds a checkpoint.

        Progress goes to ``ctx.emit``. Interrupted at any moment and called again on a new
        instance, it ends with the weights of a training that was never interrupted.
        """
        ...


@runtime_checkable
class PretrainedMethod(Method, Protocol):
    """A method that can be built around a file of trained weights."""

    @classmethod
    def from_weights(cls, path: Path, ctx: Context, **config: Any) -> Self:
        """Return the method around a weights file; widths are read from it.

        Parameters
        ----------
        path
            This suite's ``.safetensors``, or a file of the method's original project.
        config
            Settings beside the widths; one that contradicts the file is refused.

        Raises
        ------
        BenchError
            When the file is unreadable, incomplete, or of another model.
        pydantic.ValidationError
            When the configuration is wrong.
        """
        ...


@runtime_checkable
class OfficialMethod(Method, Protocol):
    """A method whose weights can be written in the format of its original project."""

    def save_official(self, folder: Path) -> list[Path]:
        """Write the original project's files into `folder`, and return their paths."""
        ...


@runtime_checkable
class ExemplarMethod(Method, Protocol):
    """A method that looks at target-domain images when it translates (``exemplar``)."""

    def use_exemplars(self, images: torch.Tensor, direction: Direction) -> None:
        """Set the pool (uint8 ``(N, 3, H, W)``) from which a seed draws an exemplar."""
        ...


@runtime_checkable
class MixingMethod(ExemplarMethod, Protocol):
    """A method that mixes several exemplars in one output."""

    @property
    def styles_per_output(self) -> int:
        """How many; a pool that holds just as many is taken in its order."""
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


@runtime_checkable
class FramedMethod(Method, Protocol):
    """A method that can show a translation while it grows.

    Attributes
    ----------
    on_frame
        Called with the number of outputs already finished, the iteration, and the pictures
        ``(B, 3, H, W)`` in ``[0, 1]`` as they are then; None: nobody looks.
    """

    on_frame: Callable[[int, int, torch.Tensor], None] | None


class Explanation(Protocol):
    """What ``MethodSpec.explain`` names: pictures that show how a method works."""

    def __call__(
        self, content: Path, style: Path, out: Path, ctx: Context, *, size: int, iterations: int
    ) -> Path:
        """Write them into `out`, and return the main file.

        Parameters
        ----------
        content, style
            The pictures it is explained with.
        size
            Their longer side in pixels.
        iterations
            How long each picture may be worked on.
        """
        ...


@dataclass(frozen=True)
class FoundOutputs:
    """Pictures that another program made, as a :class:`PrecomputedMethod` found them.

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
class PrecomputedMethod(Protocol):
    """What brings pictures instead of making them (``MethodSpec.precomputed``).

    Built as ``Class(config)``. The harness sees to what is missing.
    """

    def find(self, inputs: Mapping[Direction, Sequence[ImageItem]], size: int) -> FoundOutputs:
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
