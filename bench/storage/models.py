"""Trained models with names: a card that tells how they came about, and the weights beside it.

The weights are safetensors of float16, which halves a file that is shipped; they are read back
as float32. A card without its file beside it gives a URL and the SHA-256 that pins it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.api import BenchError, Subset, WeightFile
from bench.storage.files import write_atomic
from bench.storage.weights import find, sha256_of

if TYPE_CHECKING:
    import torch

    from bench.api import ModelSpec


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Training(_Part):
    """How a model came about.

    Parameters
    ----------
    dataset, dataset_config, fingerprint, size
        What it was trained on: the dataset, its options where they depart from its defaults, the
        SHA-256 of its content, and the side of the images in pixels.
    config, budget, seed, precision
        The method's configuration where it departs from its defaults, and how it was trained.
    begun_with
        The weights that training began with, and their hash; empty where it began anew.
    iterations, hours, hardware
        What that came to, and on what.
    version, commit
        Of this suite.
    """

    dataset: str
    dataset_config: dict[str, Any] = Field(default_factory=dict)
    fingerprint: str
    size: int = Field(ge=1)
    config: dict[str, Any] = Field(default_factory=dict)
    budget: str
    begun_with: str = ""
    seed: int
    precision: str
    iterations: int = Field(ge=0)
    hours: float = Field(ge=0)
    hardware: str
    version: str
    commit: str = ""


class Score(_Part):
    """One number that was measured of a model, as in the table of measurements."""

    dataset: str
    direction: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    subset: Subset = "all"
    extractor: str = ""


class Waypoint(Score):
    """A score of a training on its way.

    Parameters
    ----------
    iteration, core_hours
        After how many iterations, and after how much work of training alone.
    """

    iteration: int = Field(ge=0)
    core_hours: float = Field(ge=0)


class Card(_Part):
    """What is to be known of a trained model.

    Parameters
    ----------
    name, method
        What it is called, and whose it is.
    file, sha256, url
        Its weights: a file beside the card, its SHA-256, and where it is published when it is
        not shipped.
    domains
        The names of its two domains.
    size
        The side of the pictures it is best at, in pixels.
    license, trained_on
        Under which the weights may be used, and whose pictures they were trained on.
    bad_at
        What it is known to do badly, a sentence each.
    training, scores, curve
        How it came about, what was measured of it, and what on the way, where its training was
        scored then.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    method: str
    file: str = Field(pattern=r"^[^/\\]+$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    url: str = ""
    domains: tuple[str, str]
    size: int = Field(ge=1)
    license: str
    trained_on: str
    bad_at: tuple[str, ...] = ()
    training: Training
    scores: tuple[Score, ...] = ()
    curve: tuple[Waypoint, ...] = ()

    @property
    def title(self) -> str:
        """``method@name``."""
        return f"{self.method}@{self.name}"

    @property
    def summary(self) -> str:
        """How it came about, in one line."""
        told = self.training
        return (
            f"{told.iterations:,} iterations in {told.hours:.2g} h on {told.dataset} at "
            f"{told.size} px, {' and '.join(self.domains)}"
        )


def read_card(path: Path) -> Card:
    """Return the model card in a JSON file.

    Raises
    ------
    BenchError
        When it is missing, no JSON, or lacks something.
    """
    try:
        return Card.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise BenchError(f"model card {path} does not exist") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "it is damaged"
        raise BenchError(f"model card {path}: {place}: {first['msg']}") from None
    except OSError as error:
        raise BenchError(f"model card {path} cannot be read: {error.strerror}") from None


def write_card(path: Path, card: Card) -> None:
    """Write a model card, whole or not at all."""
    write_atomic(path, card.model_dump_json(indent=1) + "\n")


@dataclass(frozen=True)
class Model:
    """A trained model that a plugin brings: its card, and where that lies."""

    card: Card
    path: Path

    @property
    def beside(self) -> Path:
        """Where its weights lie if they come with it."""
        return self.path.with_name(self.card.file)

    @property
    def is_here(self) -> bool:
        """Whether they do: nothing is to be fetched."""
        return self.beside.is_file()

    def weights(self, *, weights_dir: Path | None = None, offline: bool = True) -> Path:
        """Return its verified weights.

        Raises
        ------
        BenchError
            When they are not to be had, or are not those of the card.
        """
        card = self.card
        if self.is_here:
            if (found := sha256_of(self.beside)) != card.sha256:
                raise BenchError(
                    f"{self.beside} is not {card.title}: its sha256 is {found[:16]}…, expected "
                    f"{card.sha256[:16]}…; install the package again"
                )
            return self.beside
        file = WeightFile(card.file, card.sha256, f"weights of {card.title}", url=card.url)
        there = find(file, weights_dir=weights_dir, offline=offline)
        if there is None:
            how = f"put {card.url} into the folder --weights-dir names" if card.url else "no URL"
            raise BenchError(f"{card.file} (sha256 {card.sha256}) is missing: {how}")
        return there


def open_model(spec: ModelSpec) -> Model:
    """Return the model that a plugin declares by its card, ``"package:path"``.

    Raises
    ------
    BenchError
        When the package is not there, the card is wrong, or that of another model.
    """
    package, _, inside = spec.card.partition(":")
    module = sys.modules.get(package) or importlib.util.find_spec(package)
    origin = getattr(module, "__file__", None) or getattr(module, "origin", None)
    if origin is None:
        raise BenchError(f"{spec.title}: package {package!r} is not there")
    model = Model(read_card(path := Path(origin).parent / inside), path)
    if model.card.title != spec.title:
        raise BenchError(f"model card {path} is that of {model.card.title}, not of {spec.title}")
    return model


def halved(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights in half precision, on the CPU, as they are shipped.

    Raises
    ------
    BenchError
        When a value does not fit.
    """
    small = {}
    for name, tensor in state.items():
        value = tensor.detach().cpu().contiguous()
        small[name] = value.half() if value.is_floating_point() else value
        if not bool(small[name].isfinite().all()):
            raise BenchError(f"{name} has values that half precision cannot hold")
    return small
