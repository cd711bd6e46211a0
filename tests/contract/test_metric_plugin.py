"""A metric and the network it stands on, in one file of a stranger's: as good as built-in ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import bench
from bench.api import BenchError, Measurement, find_column
from bench.cli import app
from bench.data.images import write_png
from bench.metrics.explain import explain
from bench.plugins import Registry, load_plugins
from bench.testing import check_extractor, check_metric, check_spec
from bench.testing.metrics import toy_scoring_data
from tests.metrics.scoring import scored

PLUGIN = '''
"""How red outputs are, by a network without weights."""

from bench.api import Column, Config, ExtractorSpec, Interval, MetricSpec, NotMeasurable, hookimpl


class RedConfig(Config):
    least: float = 0.5


class CellsConfig(Config):
    cells: int = 4


class Cells:
    """The mean colour of each cell of a grid."""

    preprocessing = "none"

    def __init__(self, config, paths, device):
        self.cells, self.device = config.cells, device

    def describe(self, images):
        import torch

        seen = images.to(self.device).float() / 255
        cells = torch.nn.functional.adaptive_avg_pool2d(seen, self.cells)
        return cells.flatten(1), cells.new_zeros(len(images), 0)


def redness(context):
    context.need("reference", 2)
    red = context.features("outputs").reshape(len(context.ids), 3, -1)[:, 0]
    if red.shape[1] < 2:
        raise NotMeasurable("redness needs two cells or more")
    share = (red >= context.config.least).mean(1)
    yield context.measurement("redness", Interval(float(share.mean())), n=len(red))
    for index in range(2):
        yield context.measurement(f"redness_{index}", float(red[:, index].mean()), n=len(red))
    yield context.measurement("redness_cells", red.shape[1], n=len(red))


@hookimpl
def bench_extractors():
    return [
        ExtractorSpec("mean-cells", "mean colours", "red_plugin:Cells", config=CellsConfig)
    ]


@hookimpl
def bench_metrics():
    return [
        MetricSpec(
            "redness",
            "how red outputs are",
            "red_plugin:redness",
            "quality",
            explanation="Share of cells that are redder than `least`.",
            config=RedConfig,
            extractors=("mean-cells",),
            gives=(
                Column(
                    "redness",
                    title="Red",
                    meaning="share of red cells",
                    higher_is_better=True,
                    headline=15,
                    short="red",
                ),
                Column("redness_cells", title="Cells", meaning="cells of a picture", unit="cells"),
                Column("redness_*", title="Red in cell *"),
            ),
        )
    ]
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "red_plugin.py"
    path.write_text(PLUGIN, "utf-8")
    yield path
    sys.modules.pop("red_plugin", None)


@pytest.fixture
def registry(plugin: Path) -> Registry:
    return load_plugins([plugin])


def measured(registry: Registry, cache: Path, **options: object) -> dict[str, Measurement]:
    networks: dict[str, str] = {}
    shared = {"registry": registry, "cache": cache, "networks": networks}
    found = scored(toy_scoring_data(), "redness", **shared, **options)
    assert networks.keys() == {"mean-cells"}
    return {one.metric: one for one in found}


def test_it_keeps_the_contract(registry: Registry, plugin: Path) -> None:
    metric, network = registry.metric("redness"), registry.extractor("mean-cells")
    check_spec(metric)
    check_spec(network)
    check_extractor(network, options={"cells": 2})
    check_metric(metric, options={"least": 0.4}, extractors=[network])
    # Nothing about it is known where the plugin is not.
    assert "redness" not in load_plugins().metrics


def test_what_it_declares_stands_on_its_measurements(registry: Registry, tmp_path: Path) -> None:
    found = measured(registry, tmp_path)
    assert found.keys() == {"redness", "redness_0", "redness_1", "redness_cells"}
    assert found["redness"].higher_is_better is True
    assert found["redness_cells"].unit == "cells"
    assert {one.extractor for one in found.values()} == {"mean-cells"}
    columns = registry.metric("redness").columns
    assert [column.headline for column in columns] == [15, None, None]
    part = find_column(columns, "redness_1")
    assert part is not None and (part.name, part.title) == ("redness_1", "Red in cell 1")
    told = explain("redness_1", registry)
    assert told.startswith("redness: how red outputs are; higher is better\nredness_1; no better")
    assert told.endswith("Network: mean-cells")


def test_options_reach_the_metric_and_its_network(registry: Registry, tmp_path: Path) -> None:
    # One cache for all: what a network saw with other options is not mixed in.
    plain = measured(registry, tmp_path)
    redder = measured(registry, tmp_path, metric_options={"redness": {"least": 0.2}})
    coarse = measured(registry, tmp_path, extractors={"mean-cells": {"cells": 2}})
    assert redder["redness"].value > plain["redness"].value
    assert redder["redness_0"].value == plain["redness_0"].value
    assert (plain["redness_cells"].value, coarse["redness_cells"].value) == (16, 4)
    assert coarse["redness_0"].value != plain["redness_0"].value
    assert measured(registry, tmp_path) == plain
    with pytest.raises(BenchError, match="metric redness: option 'last' is unknown, did you mean"):
        measured(registry, tmp_path, metric_options={"redness": {"last": 0.2}})
    with pytest.raises(BenchError, match=r"extractor mean-cells: cells: .* integer"):
        measured(registry, tmp_path, extractors={"mean-cells": {"cells": "many"}})


def test_bench_score_sees_it(plugin: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(0, 256, (4, 16, 16, 3)).astype(np.uint8) for name in ("out", "re")}
    for name, images in arrays.items():
        for index, image in enumerate(images):
            write_png(tmp_path / name / f"{index}.png", image)
    options = {"metrics": ["redness"], "plugins": [plugin], "offline": True}
    frame = bench.score(arrays["out"], arrays["re"], **options).set_index("metric")
    other = bench.score(
        arrays["out"],
        arrays["re"],
        metric_options={"redness": {"least": 0.51}},
        extractors={"mean-cells": {"cells": 2}},
        **options,
    ).set_index("metric")
    assert other.loc["redness_cells", "value"] == 4
    assert other.loc["redness", "value"] < frame.loc["redness", "value"] < 1

    def run(*args: object) -> str:
        done = CliRunner().invoke(app, ["score", "--plugin", str(plugin), *map(str, args)])
        assert done.exit_code == 0, done.output
        return done.output

    csv = tmp_path / "table.csv"
    sets = ("--set", "redness.least=0.51", "--set", "mean-cells.cells=2")
    named = ("--reference", tmp_path / "re", "--metrics", "redness", "--csv", csv)
    run(tmp_path / "out", *named, *sets)
    assert f"redness,quality,{other.loc['redness', 'value']}" in csv.read_text("utf-8")
    assert "redness_cells [cells]: cells of a picture" in run("--explain", "redness_cells")
    wrong = CliRunner().invoke(
        app, ["score", str(tmp_path / "out"), *map(str, named), "--set", "redness.least=1"]
    )
    assert isinstance(wrong.exception, BenchError)
    assert "metric or extractor 'redness' is unknown" in str(wrong.exception)
