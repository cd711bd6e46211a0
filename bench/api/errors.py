"""What goes wrong in a way its user can mend."""

from __future__ import annotations


class BenchError(Exception):
    """A problem its user can mend; the message is one line: what, where, what to do."""


class Diverged(BenchError):
    """Training met a loss or a weight that is not finite."""


class NotMeasurable(BenchError):
    """A metric that these pictures cannot give: too few, or something is missing.

    A metric raises it; it is then left out, and the message is told as the reason.
    """
