"""Everything a plugin author imports.

This package holds the contracts between the harness and its plugins: the frozen
*specs* that declare a plugin, the *protocols* an implementation follows, and the
*value types* that travel between them. It imports nothing of the harness and no
heavy library, so listing plugins stays fast.

Words
-----
A dataset has two **domains**, ``"a"`` and ``"b"``, each with a name of its own
(``summer``, ``winter``). A **direction** goes from a source to a target domain.
A **method** translates images along a direction; each output for one input is a
**sample**.

Conventions
-----------
Images are float tensors ``(B, 3, H, W)`` in ``[0, 1]``, RGB, unless a docstring
says ``uint8``. Seeds are non-negative integers below ``2**63``.
"""

from bench.api.data import (
    A2B,
    B2A,
    Dataset,
    Direction,
    Domain,
    ImageItem,
    LayeredDataset,
    Split,
    TrainData,
)
from bench.api.errors import BenchError, Diverged
from bench.api.methods import (
    Budget,
    CodedMethod,
    Context,
    Event,
    ExemplarMethod,
    Found,
    GivenMethod,
    Method,
    Precision,
    TrainedMethod,
)
from bench.api.metrics import Check, Measurement, Verdict
from bench.api.reports import RunView
from bench.api.specs import (
    Config,
    DatasetSpec,
    Kind,
    LauncherSpec,
    MethodSpec,
    MetricSpec,
    ReportSpec,
    WeightFile,
    hookimpl,
)

__all__ = [
    "A2B",
    "B2A",
    "BenchError",
    "Budget",
    "Check",
    "CodedMethod",
    "Config",
    "Context",
    "Dataset",
    "DatasetSpec",
    "Direction",
    "Diverged",
    "Domain",
    "Event",
    "ExemplarMethod",
    "Found",
    "GivenMethod",
    "ImageItem",
    "Kind",
    "LauncherSpec",
    "LayeredDataset",
    "Measurement",
    "Method",
    "MethodSpec",
    "MetricSpec",
    "Precision",
    "ReportSpec",
    "RunView",
    "Split",
    "TrainData",
    "TrainedMethod",
    "Verdict",
    "WeightFile",
    "hookimpl",
]
