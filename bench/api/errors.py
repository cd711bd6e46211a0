"""What goes wrong in a way its user can mend."""

from __future__ import annotations

import importlib
from typing import Any


class BenchError(Exception):
    """A problem its user can mend; the message is one line: what, where, what to do."""


class Diverged(BenchError):
    """Training met a loss or a weight that is not finite."""


class NotMeasurable(BenchError):
    """A metric that these pictures cannot give: too few, or something is missing.

    A metric raises it; it is then left out, and the message is told as the reason.
    """


def import_extra(package: str, who: str, extra: str) -> Any:
    """Return a package that not every installation has.

    Parameters
    ----------
    package
        Its name, as it is imported.
    who
        What needs it: ``the launcher ray``.
    extra
        The distribution and extra that bring it: ``translation-bench[ray]``.

    Raises
    ------
    BenchError
        When it is not installed; the message says how to.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise BenchError(f"{who} needs the package {package}: pip install '{extra}'") from None
