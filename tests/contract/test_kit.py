"""The kit passes what is sound and names each broken promise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from pydantic import ConfigDict

from bench.api import (
    Column,
    Config,
    DatasetSpec,
    LauncherSpec,
    MethodSpec,
    MetricSpec,
    ReportSpec,
    Rule,
)
from bench.testing import (
    check_dataset,
    check_launcher,
    check_light,
    check_method,
    check_report,
    check_spec,
)
from tests.contract import broken
from tests.factories import make_run


def _method(name: str, **traits: object) -> MethodSpec:
    return MethodSpec(name.lower(), "a test", f"tests.contract.broken:{name}", **traits)  # type: ignore[arg-type]


def _trained(name: str) -> MethodSpec:
    return _method(name, trained=True, budgets={"demo": "9it"})


def test_sound_methods_pass(tmp_path: Path) -> None:
    check_method(_method("Sound", multimodal=True), tmp_path)
    check_method(_method("Coded", multimodal=True), tmp_path)
    check_method(_trained("Trained"), tmp_path / "trained")
    check_method(_trained("OwnLoop"), tmp_path / "own")


def test_a_method_may_begin_anew_where_it_says_so(tmp_path: Path) -> None:
    check_method(_trained("KeepsNoCheckpoint"), tmp_path, resumes=False)


# Each broken method, what the kit says of it, and what it says to do about it.
BROKEN = [
    ("LooksAtNeighbours", "depends on its neighbours", "norms over one image"),
    ("ForgetsSeeds", "the same seeds give other outputs", "normal_per_seed"),
    ("IgnoresSeeds", "it is multimodal, and seeds do nothing", "declare multimodal=False"),
    ("CountsSamples", "depends on its place among the samples", "normal_per_seed"),
    ("LeavesRange", "leave [0, 1]", ".clamp(0, 1)"),
    ("GivesNaN", "not finite", "division by 0"),
    (
        "WrongShape",
        "gave shape (3, 3, 32, 32), expected (3, 2, 3, 32, 32)",
        "(B, samples, 3, H, W)",
    ),
    ("WrongDtype", "outputs are torch.float64", ".float()"),
    ("CarriesGradients", "outputs carry gradients", ".detach()"),
    ("ChangesInput", "changes its input", "write into a copy"),
    ("Trained", "it has fit, and is declared untrained", "trained=True and budgets"),
    ("MissesADirection", "b2a: translate raises KeyError: 'b2a'", 'directions=("a2b",)'),
    ("NeedsAGPU", "translate raises", "ctx.device; never call .cuda()"),
    ("WantsSquares", "with a picture of 41x35", "every size"),
    ("SeedsTorch", "translate seeds torch's global generator", "torch.Generator()"),
    ("SeedsPython", "translate uses Python's global random numbers", "a generator of its own"),
    ("DrawsFromNumPy", "building it uses NumPy's global random numbers", "a generator of its own"),
    ("ChangesTheDefaultDtype", "leaves torch's default dtype changed", "put it back"),
    ("ChangesDeterminism", "leaves torch.use_deterministic_algorithms changed", "put it back"),
    ("ChangesCudnn", "leaves torch.backends.cudnn.benchmark changed", "put it back"),
    ("HalfCoded", "lacks decode, sample_styles of bench.api.CodedMethod", "write what"),
    ("OtherCodes", "sample_styles gives (2, 3, 4)", "(2, 3, 3)"),
    ("ForgetsCodes", "draws other codes for the same seeds", "normal_per_seed"),
    ("DecodesToSigned", "decode gives no pictures", ".clamp(0, 1)"),
    (
        "WithoutState",
        "lacks load_state_dict, state_dict of a method",
        "write what bench.api.Method",
    ),
]

BROKEN_TRAINING = [
    ("Sound", "the class lacks fit of a trained method", "write what bench.api.TrainedMethod"),
    ("DrawsFromGlobalState", "interrupted and resumed ends with another", "keep in the checkpoint"),
    ("ForgetsItsOptimizer", "interrupted and resumed ends with another", "optimizers"),
    ("Unrepeatable", "the same training ends with another weight each time", "ctx.seed"),
    ("IgnoresTheSeed", "the same seed begins with another weight each time", "ctx.seed"),
    ("KeepsNoCheckpoint", "interrupted at 3 of 4 and began anew", "resumes=False"),
    ("TrainsOn", "fit called again where training has ended", "do nothing"),
    ("TrainsNothing", "fit changes nothing", "train what state_dict gives"),
    ("TrainsTwiceAsLong", "fit trains 8 iterations, and its budget has 4", "no more and no less"),
    ("CannotBeStopped", "goes on when it is interrupted", "never BaseException"),
    ("SaysNothing", "does not say how far it is", "ctx.emit"),
    ("NeedsAFolder", "fit raises TypeError", "ctx.work_dir is None"),
    ("NeedsIterations", "fit raises TypeError", "budget is in seconds"),
    ("PeeksAtTestImages", "fit reads the picture testA.png", "images of its data alone"),
    ("ChangesTrainingImages", "fit changes the training images", "work on a copy"),
    ("CountsInTranslate", "translate changes mean of its state", "eval()"),
    ("LosesItsState", "does not bring the outputs back", "all that translate uses"),
    ("HidesState", "does not bring the outputs back", "all that translate uses"),
    ("SharesMemory", "cannot be written to a file", "memory of its own"),
    ("TakesAnyState", "takes a state of another model", "raise BenchError"),
    ("AnswersWithKeyError", "answers a state of another model with KeyError", "raise BenchError"),
    ("OtherWeights", "from_weights gives another method", "read the widths"),
    ("NoSeconds", "fit changes nothing in a budget of 0.05 seconds", "measure the pace"),
    ("WritesElsewhere", "save_official does not give the files it wrote", "into the folder"),
    ("SwallowsOptions", "takes options that do not exist", "refuses unknown names"),
]


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    """Put back what some of the broken methods change for the whole process."""
    before = torch.get_default_dtype(), torch.backends.cudnn.benchmark
    yield
    torch.set_default_dtype(before[0])
    torch.backends.cudnn.benchmark = before[1]
    torch.use_deterministic_algorithms(False)


def _named(spec: MethodSpec, promise: str, mend: str, folder: Path) -> None:
    """Assert that the kit says in one line what is broken and how to mend it."""
    with pytest.raises(AssertionError) as error:
        check_method(spec, folder)
    said = str(error.value)
    assert said.startswith(spec.name), said
    assert "\n" not in said
    assert promise in said
    assert mend in said.partition(promise)[2], said


@pytest.mark.parametrize(("name", "promise", "mend"), BROKEN)
def test_broken_methods_are_named(name: str, promise: str, mend: str, tmp_path: Path) -> None:
    _named(_method(name, multimodal=True), promise, mend, tmp_path)


@pytest.mark.parametrize(("name", "promise", "mend"), BROKEN_TRAINING)
def test_broken_training_is_named(name: str, promise: str, mend: str, tmp_path: Path) -> None:
    _named(_trained(name), promise, mend, tmp_path)


def test_the_kit_leaves_random_numbers_as_they_were(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check_method(_trained("Trained"), tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_deterministic_method_whose_samples_differ(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="it is deterministic, and samples differ"):
        check_method(_method("Sound"), tmp_path)


def _dataset(name: str, **traits: object) -> DatasetSpec:
    return DatasetSpec(name.lower(), "a test", f"tests.contract.broken:{name}", **traits)  # type: ignore[arg-type]


def test_sound_dataset_passes(tmp_path: Path) -> None:
    check_dataset(_dataset("Stripes"), tmp_path)
    check_dataset(_dataset("Stripes"))
    check_dataset(_dataset("Layered"))


@pytest.mark.parametrize(
    ("name", "promise"),
    [
        ("SameNames", "the domains are called"),
        ("UnsafeIds", "not safe as a folder name"),
        ("EmptySplit", "test a: it is empty"),
        ("ChangesItsMind", "a second instance differs"),
        ("ShuffledSplit", "the order is not fixed"),
        ("FlickeringPictures", "looks different the second time"),
        ("UndeclaredPairs", "not declared so"),
        ("SmallLayers", "layer classes of testa0 has another size"),
        ("NamelessClass", "a class of testa0 has no name"),
        ("NoDepth", "the layers of testa0 lack classes or depth"),
    ],
)
def test_broken_datasets_are_named(name: str, promise: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_dataset(_dataset(name), tmp_path)


def _report(name: str) -> ReportSpec:
    return ReportSpec(name, "a test", f"tests.contract.broken:{name}")


def test_sound_report_passes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", pictures=False)
    made = check_report(_report("sound_report"), run, tmp_path / "run" / "report")
    assert made.read_text() == "a page"


@pytest.mark.parametrize(
    ("name", "promise"),
    [
        ("writes_nothing", "is missing or empty"),
        ("writes_elsewhere", "its file lies elsewhere"),
        ("changes_the_run", "it changes the run folder"),
        ("changes_a_table", "it changes the table measurements"),
        ("leaves_temporary_files", "temporary files stay behind: .page.txt.123"),
        ("writes_once", "rendering a second time raises FileExistsError"),
        ("another_each_time", "a second time it writes another file"),
        ("without_options", "rendering raises TypeError"),
    ],
)
def test_broken_reports_are_named(name: str, promise: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", pictures=False)
    with pytest.raises(AssertionError, match=re.escape(promise)) as error:
        check_report(_report(name), run, tmp_path / "run" / "report")
    assert str(error.value).startswith(f"{name}: ")


def _launcher(name: str) -> LauncherSpec:
    return LauncherSpec(name.lower(), "a test", f"tests.contract.broken:{name}")


def test_sound_launcher_passes(tmp_path: Path) -> None:
    check_launcher(_launcher("OneByOne"), tmp_path)


@pytest.mark.parametrize(
    ("name", "promise", "mend"),
    [
        ("ForgetsEnvironment", "did not run with its environment", "task.environment"),
        ("HidesFailures", "it tells first (None), last (None) as ended", "whatever its exit code"),
        ("LeavesRunning", "after cancel runs still runs", "terminate its process"),
        ("CancelsSilently", "tells none", 'Ended(trial, "interrupted")'),
        ("Sound", "lacks a method of bench.api.Launcher", "write submit, poll and cancel"),
    ],
)
def test_broken_launchers_are_named(name: str, promise: str, mend: str, tmp_path: Path) -> None:
    try:
        with pytest.raises(AssertionError, match=re.escape(promise)) as error:
            check_launcher(
                _launcher(name), tmp_path, patience=10 if name == "HidesFailures" else 60
            )
    finally:
        for process in broken.LEFT:
            process.kill()
            process.wait()
        broken.LEFT.clear()
    assert mend in str(error.value)


class _Loose(Config):
    model_config = ConfigDict(extra="allow")


class _Strict(Config):
    width: int = 1


def _metric(*columns: str) -> MetricSpec:
    return MetricSpec("x", "s", "a:B", "content", gives=tuple(map(Column, columns)))


@dataclass
class _Thawed:
    name: str = "thawed"
    summary: str = "a spec that can be changed"
    implementation: str = "a:B"


@pytest.mark.parametrize(
    ("spec", "promise"),
    [
        (MethodSpec("Upper", "s", "a:B"), "lower case"),
        (MethodSpec("x", "two\nlines", "a:B"), "one line"),
        (MethodSpec("x", "s", "a.B"), "module:attribute"),
        (MethodSpec("x", "s", "a:B", config=_Loose), "accepts options it does not know"),
        (
            MethodSpec("x", "s", "a:B", config=_Strict, presets={"demo": {"widht": 2}}),
            "preset demo is refused: .*widht",
        ),
        (MethodSpec("x", "s", "a:B", presets={"fast": {}}), "preset 'fast' does not exist"),
        (MethodSpec("x", "s", "a:B", directions=("a2c",)), "directions are"),
        (MethodSpec("x", "s", "a:B", trained=True), "budgets belong"),
        (
            MethodSpec("x", "s", "a:B", rules=(Rule("kid", "equals", 0.0, "why"),)),
            "rules belong to a baseline",
        ),
        (
            MethodSpec("x", "s", "a:B", baseline=True, rules=(Rule("kid", "above", 1.0, "why"),)),
            "above with 1.0: equals takes a number",
        ),
        (
            MetricSpec("x", "s", "a:b", "quality", gives=(Column("y"), Column("y"))),
            "two columns have one name",
        ),
        (ReportSpec("x", "s", "a:b", config=_Loose), "accepts options it does not know"),
        (_Thawed(), "not frozen"),
        (_metric("x_floor"), "no column has the metric's own name"),
        (_metric("x", "x"), "two columns have one name"),
        (_metric("x", "x*"), "lower case"),
        (MetricSpec("x", "s", "a:B", "content", unit="s", gives=(Column("x"),)), "unit and better"),
    ],
)
def test_broken_specs_are_named(spec: MethodSpec, promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_spec(spec)


def test_heavy_plugin_module_is_named() -> None:
    with pytest.raises(AssertionError, match=r"bench\.training\.loop: .* imports torch"):
        check_light(["bench.api", "bench.training.loop"])
