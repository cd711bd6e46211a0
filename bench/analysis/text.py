"""Numbers and names as people read them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable

import pandas as pd

__all__ = ["clean_text", "format_interval", "format_number", "format_p", "join_names", "plain_text"]


def format_number(value: float | None) -> str:
    """Return three significant digits, without an exponent where that can be."""
    if value is None or pd.isna(value):
        return "–"
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-4 or math.isinf(size) or size >= 1e6:
        return f"{value:.3g}"
    if size >= 1000:
        return f"{value:,.0f}"
    # Through e-notation, so that 9.999 is 10.0 and not 10.00.
    rounded = float(f"{size:.2e}")
    digits = 2 - math.floor(math.log10(rounded))
    return f"{value:.{max(0, digits)}f}"


def format_interval(value: float, low: float, high: float) -> str:
    """Return ``[low, high]`` to three digits of the wider end; empty where there is none."""
    if any(v is None or math.isnan(v) for v in (value, low, high)):
        return ""
    wide = format_number(max(abs(low), abs(high)))
    if "e" in wide:
        return f"[{format_number(low)}, {format_number(high)}]"
    # Both ends to the digits of the wider one.
    digits = len(wide.partition(".")[2])
    low, high = (0.0 if round(end, digits) == 0 else end for end in (low, high))
    return f"[{low:,.{digits}f}, {high:,.{digits}f}]"


def format_p(p: float) -> str:
    """Return a p-value to three places; empty where there is none."""
    return "" if pd.isna(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def plain_text(value: object) -> str:
    """Return a cell of a table as text; a missing one is empty."""
    return "" if value is None or value is pd.NA or value != value else str(value)


def clean_text(text: object) -> str:
    """Return text without control characters: no name can steer a terminal or break a line."""
    return "".join(
        " " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in plain_text(text)
    )


def join_names(values: Iterable[object]) -> str:
    """Return names as prose: ``a``, ``a and b``, ``a, b and c``."""
    names = [clean_text(v) for v in values]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
