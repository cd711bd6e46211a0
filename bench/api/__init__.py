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

from bench.api.columns import (
    SPEED_COLUMNS,
    Alarm,
    Aspect,
    Column,
    Rule,
    find_column,
)
from bench.api.data import (
    A2B,
    B2A,
    Dataset,
    Direction,
    Domain,
    DomainNames,
    ImageItem,
    LayeredDataset,
    Picture,
    Split,
    TableConfig,
    TrainData,
)
from bench.api.errors import BenchError, Diverged, NotMeasurable, import_extra
from bench.api.launchers import (
    PARENT,
    Ended,
    LastingLauncher,
    Launcher,
    Resources,
    Status,
    Task,
    TrialResult,
)
from bench.api.methods import (
    Budget,
    CodedMethod,
    Context,
    Event,
    ExemplarMethod,
    Explanation,
    FoundOutputs,
    FramedMethod,
    Method,
    MixingMethod,
    OfficialMethod,
    Precision,
    PrecomputedMethod,
    PretrainedMethod,
    TrainedMethod,
)
from bench.api.metrics import (
    Check,
    FeatureExtractor,
    Interval,
    Measurement,
    MetricContext,
    PerceptualDistance,
    Subset,
    Verdict,
    Which,
)
from bench.api.reports import Anchor, Declared, RunView
from bench.api.specs import (
    Config,
    DatasetSpec,
    ExtractorSpec,
    Kind,
    LauncherSpec,
    MethodSpec,
    MetricSpec,
    ModelSpec,
    ReportSpec,
    Role,
    WeightFile,
    hookimpl,
    models_in,
)

__all__ = [
    "A2B",
    "B2A",
    "PARENT",
    "SPEED_COLUMNS",
    "Alarm",
    "Anchor",
    "Aspect",
    "BenchError",
    "Budget",
    "Check",
    "CodedMethod",
    "Column",
    "Config",
    "Context",
    "Dataset",
    "DatasetSpec",
    "Declared",
    "Direction",
    "Diverged",
    "Domain",
    "DomainNames",
    "Ended",
    "Event",
    "ExemplarMethod",
    "Explanation",
    "ExtractorSpec",
    "FeatureExtractor",
    "FoundOutputs",
    "FramedMethod",
    "ImageItem",
    "Interval",
    "Kind",
    "LastingLauncher",
    "Launcher",
    "LauncherSpec",
    "LayeredDataset",
    "Measurement",
    "Method",
    "MethodSpec",
    "MetricContext",
    "MetricSpec",
    "MixingMethod",
    "ModelSpec",
    "NotMeasurable",
    "OfficialMethod",
    "PerceptualDistance",
    "Picture",
    "Precision",
    "PrecomputedMethod",
    "PretrainedMethod",
    "ReportSpec",
    "Resources",
    "Role",
    "Rule",
    "RunView",
    "Split",
    "Status",
    "Subset",
    "TableConfig",
    "Task",
    "TrainData",
    "TrainedMethod",
    "TrialResult",
    "Verdict",
    "WeightFile",
    "Which",
    "find_column",
    "hookimpl",
    "import_extra",
    "models_in",
]
