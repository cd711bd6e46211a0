"""Scores: pretrained networks turn pictures into features, pure functions turn those into numbers.

Importing this package is light; :func:`score` is fetched when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.metrics.frame import score_frame as score

__all__ = ["score"]


def __getattr__(name: str) -> Any:
    if name == "score":
        from bench.metrics.frame import score_frame

        return score_frame
    raise AttributeError(f"module 'bench.metrics' has no attribute {name!r}")
