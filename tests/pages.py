"""Pages of the documentation whose tables a command makes."""

from __future__ import annotations


def between(text: str, begin: str, end: str, made: str) -> str:
    """Return a page with `made` between two marks that it has.

    Raises
    ------
    ValueError
        When it has not.
    """
    head, begun, rest = text.partition(begin)
    _, ended, tail = rest.partition(end)
    if not begun or not ended:
        raise ValueError(f"the page has not both marks, {begin.strip()} and {end.strip()}")
    return f"{head}{begin}{made}{end}{tail}"
