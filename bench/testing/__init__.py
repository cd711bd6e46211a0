"""The contract kit: checks that any plugin can run against itself.

A check uses a plugin as the harness would, and looks at what it does, never at how. It raises
:class:`AssertionError` with one line: the plugin, the promise it breaks, and how to mend it. In a
plugin's own tests::

    from bench.testing import check_method, check_spec

    def test_contract():
        check_spec(SPEC)
        check_method(SPEC, config={"width": 4})
"""

from __future__ import annotations

from bench.testing.datasets import check_dataset
from bench.testing.extractors import check_extractor
from bench.testing.launchers import check_launcher
from bench.testing.methods import check_method
from bench.testing.metrics import check_metric
from bench.testing.promises import promise, telling
from bench.testing.reports import check_report
from bench.testing.specs import check_light, check_spec

__all__ = [
    "check_dataset",
    "check_extractor",
    "check_launcher",
    "check_light",
    "check_method",
    "check_metric",
    "check_report",
    "check_spec",
    "promise",
    "telling",
]
