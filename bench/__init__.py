"""A plugin-based benchmark suite for image-to-image translation.

>>> import bench
>>> results = bench.run({"methods": ["munit", "identity"], "preset": "demo"})
>>> translator = bench.load("munit", weights="gen_00500000.pt")

Names are imported when first used, so ``import bench`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api import BenchError
    from bench.compare import compare
    from bench.metrics import score
    from bench.runner import run
    from bench.translator import load

__all__ = ["BenchError", "compare", "load", "run", "score"]

_HOMES = {
    "BenchError": "bench.api",
    "compare": "bench.compare",
    "load": "bench.translator",
    "run": "bench.runner",
    "score": "bench.metrics",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
