"""How a run was made, as plain values: trials, measurements, suite, environment, machines."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.analysis.text import clean_text, format_interval, format_number

if TYPE_CHECKING:
    from bench.api import RunView

_WHEN = ("started", "date", "time", "utc")


def provenance(run: RunView) -> dict[str, Any]:
    """Return what the page says of how a run was made."""
    gave = set(run.measurements["label"])
    failed = run.trials[(run.trials["status"] != "ok") & run.trials["label"].isin(gave)]
    return {
        "run_name": run.path.name,
        "started": _date(_first(run.environment, _WHEN)),
        "machines": _machines(run),
        "failures": [_trial(row) for row in failed.to_dict("records")],
        "trials": [_trial(row) for row in run.trials.to_dict("records")],
        "measurements": _measurements(run.measurements),
        "suite": _flat(run.suite),
        "environment": _flat(
            {key: v for key, v in run.environment.items() if key not in ("command", "runs")}
        ),
        "command": clean_text(
            run.environment.get("command") or f"bench run {shlex.quote(str(run.path))}/suite.toml"
        ),
    }


def _machines(run: RunView) -> list[dict[str, Any]]:
    """Return for each run of a merged one its name, when and how it was made, and on what."""
    return [
        {
            "name": clean_text(name),
            "started": _date(_first(environment, _WHEN)),
            "hardware": _flat(environment.get("hardware", {})),
            "command": clean_text(environment.get("command", "")),
        }
        for name, environment in run.environment.get("runs", {}).items()
    ]


def _trial(row: Mapping[Any, Any]) -> dict[str, Any]:
    times = [
        (stage, format_number(row[f"{stage}_seconds"]))
        for stage in ("fit", "translate", "score", "time")
        if not pd.isna(row[f"{stage}_seconds"])
    ]
    texts = ("trial", "label", "dataset", "seed", "status", "reason", "budget", "device")
    return {name: _plain(row[name]) for name in (*texts, "precision", "cached")} | {
        "iterations": "" if pd.isna(row["iterations"]) else f"{int(row['iterations']):,}",
        "parameters": "" if pd.isna(row["parameters"]) else f"{int(row['parameters']):,}",
        "times": times,
        "config": _config(row["config"]) + _pretrained(row),
    }


def _pretrained(row: Mapping[Any, Any]) -> list[tuple[str, str]]:
    """Return the file of pretrained weights as one more line of the configuration."""
    title = row.get("pretrained")
    return [] if title is None or pd.isna(title) or not title else [("pretrained", _plain(title))]


def _config(text: object) -> list[tuple[str, str]]:
    """Return a trial's configuration as pairs; text that is no JSON object is shown as it is."""
    try:
        value = json.loads(str(text))
    except ValueError:
        return [("config", _plain(text))]
    return _flat(value) if isinstance(value, dict) else [("config", _plain(text))]


def _measurements(frame: pd.DataFrame) -> list[dict[str, str]]:
    texts = ("label", "dataset", "direction", "metric", "kind", "unit", "n", "extractor")
    result = []
    for row in frame.to_dict("records"):
        interval = format_interval(row["value"], row["low"], row["high"])
        result.append(
            {key: _plain(row[key]) for key in (*texts, "subset", "seed")}
            | {
                "value": format_number(row["value"]),
                "interval": f"{interval} {_plain(row['interval'])}".strip(),
            }
        )
    return result


def _flat(value: Mapping[Any, Any], before: str = "") -> list[tuple[str, str]]:
    """Return nested settings as ``("a.b", "value")`` pairs."""
    pairs: list[tuple[str, str]] = []
    for key, item in value.items():
        name = f"{before}{key}"
        if isinstance(item, Mapping) and item:
            pairs += _flat(item, f"{name}.")
        elif isinstance(item, list | tuple):
            pairs.append((name, ", ".join(_entry(v) for v in item)))
        elif not isinstance(item, Mapping):
            pairs.append((name, _plain(item)))
    return [(name, text) for name, text in pairs if text]


def _entry(value: object) -> str:
    """Return one entry of a list; a table in it as its name and whatever else it sets."""
    if not isinstance(value, Mapping):
        return _plain(value)
    rest = [f"{k} {v}" for k, v in _flat(value) if k != "name" and v not in ("", "{}")]
    return _plain(value.get("name")) + (f" ({', '.join(rest)})" if rest else "")


def _first(values: Mapping[str, Any], keys: Iterable[str]) -> str:
    return next((_plain(values[key]) for key in keys if values.get(key)), "")


def _date(text: str) -> str:
    """Return ``23 November 2026, 01:39 UTC``; text that is no time stays as it is."""
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return text
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _plain(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
