"""The built-in networks, as tests want them: by name, and built."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench.metrics.declared.extractors import EXTRACTORS
from bench.metrics.networks import Chosen, choose


def find(names: Sequence[str], weights_dir: Path | None = None) -> Chosen:
    """The first of some built-in networks that is to be had without a download."""
    known = {spec.name: spec for spec in EXTRACTORS}
    return choose(names, known, weights_dir=weights_dir, offline=True)


def build(name: str) -> Any:
    """A built-in network, on the CPU."""
    return find([name]).build(torch.device("cpu"))
