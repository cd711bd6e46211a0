"""Synthetic run folders for tests: real tables, real pictures, no training.

``make_run`` writes everything a finished run leaves behind (suite, environment, declarations,
the four tables, training curves, PNG pictures) with numbers that hang together: a method's
diversity measures what its samples really differ by, anchors order as they should, and a
failed trial is a row. Small by default; any size on request.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from bench.analysis.validity import open_run
from bench.api import Declared, RunView
from bench.metrics.plugin import METRICS
from bench.storage.declared import write_declared
from bench.storage.jobs import DatasetPart, Job, MachinePart, MethodPart, ScoringPart
from bench.storage.tables import SCHEMAS, SINCE, VERSION, table
from bench_baselines import SPECS as BASELINES

Pixels = npt.NDArray[np.uint8]

HOSTILE = (
    "<script>alert(1)</script>",
    '" onerror=alert(1) x="',
    "=1+1",
    "{{7*7}}",
    "</textarea><img src=x onerror=alert(1)>",
)
"""Names that must stay what they are: text."""

DECLARED = Declared.of(BASELINES, METRICS)
"""What is declared of these runs' measurements, and of their anchors."""


@dataclass(frozen=True)
class Maker:
    """How a made-up method behaves: the numbers and looks of its translations.

    ``strength`` moves the picture towards the target season, ``spread`` is how far samples
    of one input differ, ``blur`` softens, ``seconds`` is the time for one image.
    """

    name: str
    kid: float
    strength: float
    spread: float
    seconds: float
    blur: int = 0
    trained: bool = True
    parameters: int = 0
    losses: tuple[str, ...] = ()


MAKERS: Mapping[str, Maker] = {
    maker.name: maker
    for maker in (
        Maker(
            "munit",
            0.031,
            0.85,
            0.30,
            0.012,
            parameters=46_600_000,
            losses=("generator", "discriminator", "image_reconstruction", "style_reconstruction"),
        ),
        Maker("neural_style", 0.062, 0.7, 0.18, 3.1, trained=False, parameters=12_900_000),
        Maker(
            "cyclegan",
            0.029,
            0.9,
            0.0,
            0.009,
            parameters=28_300_000,
            losses=("generator", "discriminator", "cycle", "identity"),
        ),
        Maker(
            "bicyclegan",
            0.045,
            0.75,
            0.22,
            0.010,
            parameters=54_000_000,
            losses=("generator", "discriminator", "latent"),
        ),
        Maker("identity", 0.118, 0.0, 0.0, 0.0001, trained=False),
        Maker("color_transfer", 0.081, 0.45, 0.10, 0.002, trained=False),
    )
}


def landscape(rng: np.random.Generator, size: int, *, winter: bool) -> Pixels:
    """A small mountain view ``(size, size, 3)`` uint8: sky, ridges, meadow or snow."""
    y, x = np.mgrid[0:size, 0:size] / size
    sky = np.array([[0.45, 0.65, 0.92], [0.72, 0.77, 0.84]][winter])
    picture = sky + (1 - y[..., None]) * rng.uniform(-0.12, 0.12, 3) + 0.15 * y[..., None]
    for layer in range(3):
        base = 0.35 + 0.18 * layer + rng.uniform(-0.05, 0.05)
        ridge = base + sum(
            rng.uniform(0.01, 0.08 / k) * np.sin(2 * np.pi * (k * x + rng.uniform()))
            for k in (1, 2, 3, 5)
        )
        rock = np.array([0.42, 0.44, 0.47]) - 0.05 * layer
        ground = np.array([[0.28, 0.46, 0.20], [0.90, 0.92, 0.95]][winter])
        share = np.clip((y - ridge) * 6, 0, 1)[..., None] * (0.4 + 0.3 * layer)
        colour = rock * (1 - share) + ground * share
        shade = 1 + 0.12 * np.sin(40 * (x + y * rng.uniform(0.5, 2)))[..., None]
        picture = np.where((y > ridge)[..., None], colour * shade, picture)
    picture += rng.normal(0, 0.02, picture.shape)
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _translate(
    source: Pixels, maker: Maker, rng: np.random.Generator, *, to_winter: bool
) -> Pixels:
    """What `maker` would make of a picture: a tint towards the season, plus its own style."""
    image = source.astype(np.float64) / 255
    gray = image.mean(axis=2, keepdims=True)
    season = np.array([0.90, 0.95, 1.06] if to_winter else [1.05, 1.02, 0.62])
    target = (0.55 * gray + 0.42 if to_winter else 0.85 * image + 0.05) * season
    strength = np.clip(maker.strength + rng.normal(0, maker.spread), 0, 1)
    image = image * (1 - strength) + target * strength
    image *= 1 + rng.normal(0, maker.spread * 0.4, 3)
    for _ in range(maker.blur):
        padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
        image = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _sources(
    count: int, size: int, rng: np.random.Generator, *, winter: bool, photos: Path | None
) -> Iterator[tuple[str, Pixels]]:
    if photos is None:
        for index in range(count):
            yield f"view-{index:03d}", landscape(rng, size, winter=winter)
        return
    for file in sorted((photos / ("testB" if winter else "testA")).iterdir())[:count]:
        with Image.open(file) as image:
            yield file.stem, np.asarray(image.convert("RGB").resize((size, size)))


def _save(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)


def make_run(
    path: Path,
    *,
    methods: Sequence[str | Maker] = ("munit", "cyclegan", "identity"),
    labels: Mapping[str, str] | None = None,
    inputs: int = 3,
    samples: int = 3,
    size: int = 32,
    seeds: Sequence[int] = (0,),
    directions: Sequence[str] = ("summer2winter", "winter2summer"),
    dataset: str = "yosemite",
    datasets: Sequence[str] = (),
    declared: Declared = DECLARED,
    version: int = VERSION,
    failures: bool = True,
    hostile: bool = False,
    photos: Path | None = None,
    pictures: bool = True,
    share_pictures: bool = False,
    truths: int = 0,
    twins: Sequence[str] = (),
    points: Sequence[int] = (),
    seed: int = 0,
) -> RunView:
    """Write a finished run's folder and read it back.

    Parameters
    ----------
    path
        The run folder; made when it is not there.
    methods
        Names of `MAKERS`, or makers of one's own.
    labels
        Row names for methods that should not be called by their plugin's name.
    inputs, samples, size
        Test pictures per direction, outputs per picture, side in pixels.
    seeds
        Training seeds: one trial for each method and seed.
    dataset, datasets
        One dataset, or several; on each further one, methods of one answer do worse.
    declared
        What the plugins of the run declared.
    version
        1: a folder as version 0.1 left it, by direction alone and without declarations.
    failures
        Adds one trial for each way to fail.
    hostile
        Puts markup, quotes and formulas into every field that takes text.
    photos
        A folder with ``testA`` and ``testB`` to take inputs from, instead of drawing them.
    pictures
        False: the tables name pictures that are not there.
    share_pictures
        True: one picture of each method and sample is linked for all inputs (for runs of
        tens of thousands of pictures).
    truths
        True translations of each input, in the last dataset.
    twins
        Names of inputs that are training images, too.
    points
        Iterations after which the trainings were scored.
    """
    path.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    makers = [MAKERS[m] if isinstance(m, str) else m for m in methods]
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in SCHEMAS if version > 2 or name != "curves"
    }
    given = labels or {}
    bad = iter(HOSTILE * 1000)

    def text(plain: str) -> str:
        return f"{next(bad)}{plain}" if hostile else plain

    direction_names = {d: text(d) for d in directions}
    extra = text("sharpness")
    places = tuple(datasets) or (dataset,)
    for number, name in enumerate(places):
        dataset_name = text(name)
        folder = Path(name) if version > 1 else Path()
        last = number + 1 == len(places)
        sources: dict[str, list[tuple[str, str, Pixels]]] = {}
        for direction in directions:
            sources[direction] = list(
                _inputs(
                    path,
                    folder / direction,
                    _sources(
                        inputs, size, rng, winter=direction.startswith("winter"), photos=photos
                    ),
                    rng,
                    text,
                    pictures=pictures,
                    truths=truths if last else 0,
                    twins=twins,
                )
            )
        for maker in makers:
            label = text(given.get(maker.name, maker.name))
            skill = replace(maker, kid=maker.kid * (1 if maker.spread else 1 + 0.8 * number))
            for training_seed in seeds:
                base = {
                    "trial": f"{maker.name}-{name}-s{training_seed}",
                    "method": maker.name,
                    "label": label,
                    "dataset": dataset_name,
                    "seed": training_seed,
                }
                rows["trials"].append(base | _ended(maker, text, inputs * samples, training_seed))
                if maker.losses:
                    _losses(path / "trials" / str(base["trial"]), maker, rng, text)
                for direction in directions:
                    where = base | {"direction": direction_names[direction]}
                    _outputs(
                        path,
                        where,
                        maker,
                        folder / direction,
                        sources[direction],
                        rows,
                        rng,
                        samples=samples,
                        pictures=pictures,
                        share=share_pictures,
                    )
                    _measure(where, skill, rows, rng, inputs, samples, text, extra)
                    if truths and last:
                        _measure_truth(where, skill, rows, inputs)
                    _time(where, maker, rows, rng)
        if failures:
            _failures(rows, dataset_name, text)
    learning = [row for row in rows["measurements"] if row["method"] in ("munit", "cyclegan")]
    for iteration in points:
        rows["curves"] += [
            row
            | {"value": row["value"] * (1 + 100 / iteration), "low": None, "high": None}
            | {"iteration": iteration, "seconds": 0.1 * iteration, "cores": 2}
            for row in learning
        ]
    _write(path, rows, makers, places, samples, seeds, directions, text, declared, version)
    return open_run(path)


def _inputs(
    path: Path,
    folder: Path,
    found: Iterator[tuple[str, Pixels]],
    rng: np.random.Generator,
    text: Any,
    *,
    pictures: bool,
    truths: int,
    twins: Sequence[str],
) -> Iterator[tuple[str, str, Pixels]]:
    """The inputs of one direction, their true translations, and which were trained on."""
    again: dict[str, list[list[str]]] = {}
    for name, pixels in found:
        shown = text(name)
        if pictures:
            _save(path / "inputs" / folder / f"{name}.png", pixels)
        for k in range(truths):
            true = Maker("truth", 0, 0.5 + 0.4 * k, 0, 0)
            looks = _translate(pixels, true, rng, to_winter=folder.name.endswith("winter"))
            _save(path / "truths" / folder / name / f"{k}.png", looks)
        if name in twins:
            again[shown] = [["a", f"{name}-again"]]
        yield name, shown, pixels
    if twins:
        file = path / "audit" / folder.parent / f"{folder.name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(again), "utf-8")


def _ended(maker: Maker, text: Any, pictures: int, training_seed: int) -> dict[str, Any]:
    """How a trial was set up and how it ended."""
    return {
        "status": "ok",
        "reason": None,
        "config": json.dumps({"name": text("style_dim"), "width": 64}),
        "budget": "600it" if maker.trained else None,
        "iterations": 600 if maker.trained else None,
        "parameters": maker.parameters or None,
        "device": text("cpu"),
        "precision": text("fp32"),
        "fit_seconds": 90.0 if maker.trained else None,
        "translate_seconds": maker.seconds * pictures * 2,
        "score_seconds": 8.5,
        "time_seconds": maker.seconds * 40 + 1,
        "peak_memory_mb": 300 + maker.parameters / 1e5,
        "cached": "fit" if training_seed else "",
    }


def _outputs(
    path: Path,
    where: Mapping[str, Any],
    maker: Maker,
    folder: Path,
    sources: Sequence[tuple[str, str, Pixels]],
    rows: dict[str, list[dict[str, Any]]],
    rng: np.random.Generator,
    *,
    samples: int,
    pictures: bool,
    share: bool,
) -> None:
    """The pictures of one trial and direction, and their rows: two per picture."""
    direction = folder.name
    to_winter = direction.endswith("winter")
    first: dict[int, Path] = {}
    for name, input_id, source in sources:
        fixed = _translate(source, maker, rng, to_winter=to_winter)
        for sample in range(samples):
            file = Path("trials", where["trial"], "images", direction, name, f"{sample}.png")
            if pictures and share and sample in first:
                (path / file).parent.mkdir(parents=True, exist_ok=True)
                os.link(path / first[sample], path / file)
            elif pictures:
                made = (
                    _translate(source, maker, rng, to_winter=to_winter) if maker.spread else fixed
                )
                _save(path / file, made)
                first[sample] = file
            row = where | {
                "input_id": input_id,
                "sample": sample,
                "path": file.as_posix(),
                "input_path": (Path("inputs") / folder / f"{name}.png").as_posix(),
            }
            value = maker.strength * 0.45 + 0.03 * rng.normal() if maker.strength else 0.0
            rows["samples"].append(row | {"metric": "lpips_input", "value": abs(value)})
        spread = maker.spread * 0.8 * (1 + 0.2 * rng.normal())
        rows["samples"].append(
            where
            | {
                "input_id": input_id,
                "sample": 0,
                "path": Path(
                    "trials", where["trial"], "images", direction, name, "0.png"
                ).as_posix(),
                "input_path": (Path("inputs") / folder / f"{name}.png").as_posix(),
                "metric": "lpips_diversity",
                "value": abs(spread) if samples > 1 else None,
            }
        )


def _measure(
    where: Mapping[str, Any],
    maker: Maker,
    rows: dict[str, list[dict[str, Any]]],
    rng: np.random.Generator,
    inputs: int,
    samples: int,
    text: Any,
    extra: str,
) -> None:
    """The headline measurements of one trial and direction, and one nobody knows."""
    shift = 1.0 if str(where["direction"]).endswith("winter") else 1.25
    kid = maker.kid * shift * (1 + 0.02 * rng.normal())
    half = 0.006
    floor = 61.0 * shift
    content = maker.strength * 0.45
    diversity = maker.spread * 0.8 if samples > 1 else 0.0
    features = "efficientnet-lite0"
    numbers: list[tuple[Any, ...]] = [
        ("kid", "quality", kid, "", False, kid - half, kid + half, "bootstrap 95%", features),
        ("fid", "quality", floor + kid * 1400, "", False, None, None, None, features),
        ("fid_floor", "quality", floor, "", False, None, None, None, features),
        ("fid_excess", "quality", kid * 1400, "", False, None, None, None, features),
        (
            "lpips_diversity",
            "diversity",
            diversity,
            "",
            True,
            max(0, diversity - 0.02),
            diversity + 0.02 if diversity else 0.0,
            "bootstrap 95%",
            "stlpips-alex",
        ),
        (
            "lpips_input",
            "content",
            content,
            "",
            False,
            max(0, content - 0.01),
            content + 0.01 if content else 0.0,
            "bootstrap 95%",
            "stlpips-alex",
        ),
        ("latency", "throughput", maker.seconds, "s", False, *_near(maker.seconds), "IQR", None),
        (
            "throughput",
            "throughput",
            1.4 / maker.seconds,
            "images/s",
            True,
            *_near(1.4 / maker.seconds),
            "IQR",
            None,
        ),
        (
            "peak_memory",
            "resource",
            300 + maker.parameters / 1e5,
            "MB",
            False,
            None,
            None,
            None,
            None,
        ),
        (
            extra,
            "quality",
            0.5 + maker.kid,
            text("cd"),
            True,
            0.4,
            0.7,
            text("jackknife"),
            text("laplacian"),
        ),
    ]
    keys = (
        "metric",
        "kind",
        "value",
        "unit",
        "higher_is_better",
        "low",
        "high",
        "interval",
        "extractor",
    )
    for number in numbers:
        rows["measurements"].append(
            dict(where) | dict(zip(keys, number, strict=True)) | {"n": inputs, "subset": "all"}
        )
    rows["measurements"].append(
        dict(where)
        | dict(zip(keys, numbers[0], strict=True))
        | {"n": max(1, inputs - 1), "subset": "clean", "value": kid * 1.01}
    )


def _measure_truth(
    where: Mapping[str, Any], maker: Maker, rows: dict[str, list[dict[str, Any]]], inputs: int
) -> None:
    """The distance to the truth, where there is one."""
    value = abs(maker.strength - 0.9) * 0.3 + maker.kid
    row = {"metric": "lpips_truth", "kind": "truth", "value": value, "unit": ""}
    row |= {"higher_is_better": False, "low": value * 0.95, "high": value * 1.05, "n": inputs}
    rows["measurements"].append(
        dict(where)
        | row
        | {"interval": "bootstrap 95%", "extractor": "stlpips-alex"}
        | {"subset": "all"}
    )


def _near(value: float) -> tuple[float, float]:
    return value * 0.96, value * 1.05


def _time(
    where: Mapping[str, Any],
    maker: Maker,
    rows: dict[str, list[dict[str, Any]]],
    rng: np.random.Generator,
) -> None:
    for number in range(12):
        seconds = maker.seconds * float(rng.lognormal(0, 0.04))
        rows["timings"].append(
            dict(where)
            | {"mode": "latency", "batch": 1, "round": number, "seconds": seconds, "images": 1}
        )
    for batch in (1, 2, 4, 8):
        for number in range(3):
            seconds = maker.seconds * (0.4 + 0.6 * batch) * float(rng.lognormal(0, 0.03))
            rows["timings"].append(
                dict(where)
                | {
                    "mode": "throughput",
                    "batch": batch,
                    "round": number,
                    "seconds": seconds,
                    "images": batch,
                }
            )


def _losses(folder: Path, maker: Maker, rng: np.random.Generator, text: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = [text(name) for name in maker.losses]
    with (folder / "losses.jsonl").open("w", encoding="utf-8") as file:
        for iteration in range(10, 601, 10):
            decay = np.exp(-iteration / 200)
            losses = {
                name: float((1 + k) * (0.35 + decay) * rng.lognormal(0, 0.1))
                for k, name in enumerate(names)
            }
            file.write(json.dumps({"iteration": iteration, "losses": losses}) + "\n")


def _failures(rows: dict[str, list[dict[str, Any]]], dataset: str, text: Any) -> None:
    """One row for each way in which a trial can end badly."""
    reasons = {
        "skipped": "needs paired training data, and this dataset has none",
        "failed": "RuntimeError: size mismatch for encoder.conv.weight",
        "timeout": "stopped after 600 s in stage fit",
        "oom": "out of memory at batch 1 (needed 3.1 GB, 1.9 GB were free)",
        "diverged": "loss generator was not finite at iteration 412",
    }
    for number, (status, reason) in enumerate(reasons.items()):
        rows["trials"].append(
            {
                "trial": f"broken{number}-{dataset}-s0",
                "method": f"broken{number}",
                "label": text(f"broken_{status}"),
                "dataset": dataset,
                "seed": 0,
                "status": status,
                "reason": text(reason),
                "config": "{}",
            }
        )


def _write(
    path: Path,
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    makers: Sequence[Maker],
    datasets: Sequence[str],
    samples: int,
    seeds: Sequence[int],
    directions: Sequence[str],
    text: Any,
    declared: Declared,
    version: int,
) -> None:
    (path / "tables").mkdir(exist_ok=True)
    for name, content in rows.items():
        frame = table(name, content)
        later = [column for column, since in SINCE.get(name, {}).items() if version < since]
        frame = frame.drop(columns=later)
        frame.to_parquet(path / "tables" / f"{name}.parquet", index=False)
    suite: dict[str, Any] = {
        "name": text("demo"),
        "preset": "quick",
        "methods": [maker.name for maker in makers],
        "samples": samples,
        "seeds": list(seeds),
        "directions": list(directions),
    }
    environment: dict[str, Any] = {
        "python": "3.11.2",
        "torch": "2.11.0",
        "platform": text("Linux-6.1-x86_64"),
        "cpu": text("2 cores"),
        "device": "cpu",
        "started": "2026-01-05T10:00:00Z",
        "packages": {"torch": "2.11.0", "lpips": "0.1.4", text("other"): text("1.0")},
    }
    if version > 1:
        suite["datasets"] = list(datasets)
        environment["schema_version"] = version
        write_declared(path, declared)
    else:
        (suite["dataset"],) = datasets
        environment["baselines"] = sorted(declared.anchors)
    # A JSON string is a TOML basic string, a JSON list of them a TOML array.
    lines = [f"{key} = {json.dumps(value)}" for key, value in suite.items()]
    (path / "suite.toml").write_text("\n".join(lines) + "\n", "utf-8")
    (path / "environment.json").write_text(json.dumps(environment), "utf-8")


def only(run: RunView, **where: Any) -> pd.DataFrame:
    """The measurements of a run that match `where`."""
    frame = run.measurements
    for column, value in where.items():
        frame = frame[frame[column] == value]
    return frame


def plan_entry(dataset: str, size: int, *, fingerprint: str = "") -> Job:
    """A job of a plan: one trial of ``munit`` on a dataset of this size."""
    return Job(
        trial=f"munit-{dataset}-s0",
        seed=0,
        fit_key="",
        method_part=MethodPart("munit", "munit", {}),
        dataset_part=DatasetPart(dataset, dataset, {}, fingerprint, ("a2b", "b2a"), size),
        scoring=ScoringPart(),
        machine=MachinePart("cpu", "fp32", None, True, (), ""),
    )
