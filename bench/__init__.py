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
    from bench.analysis.compare import compare
    from bench.analysis.results import Results
    from bench.analysis.results import open_results as open
    from bench.api import BenchError
    from bench.execution.runner import run
    from bench.metrics.frame import score_frame as score
    from bench.translator import load

__all__ = ["BenchError", "Results", "compare", "load", "open", "run", "score"]

_HOMES = {
    "BenchError": "bench.api:BenchError",
    "compare": "bench.analysis.compare:compare",
    "load": "bench.translator:load",
    "Results": "bench.analysis.results:Results",
    "open": "bench.analysis.results:open_results",
    "run": "bench.execution.runner:run",
    "score": "bench.metrics.frame:score_frame",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, _, attribute = _HOMES[name].partition(":")
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
