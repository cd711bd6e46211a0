"""What the plugins of a run declared, beside its tables: ``declared.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.api import Anchor, BenchError, Declared
from bench.plugins import load_plugins
from bench.storage.files import write_atomic

_FILE = "declared.json"


def write_declared(run: Path, declared: Declared) -> None:
    """Write what was declared into a run folder."""
    write_atomic(run / _FILE, declared.to_json())


def read_declared(run: Path, environment: Mapping[str, Any]) -> Declared:
    """Return what the plugins of a run declared.

    A run of version 0.1 kept the names of its baselines alone, in its environment: it gets
    what today's plugins declare, and a baseline that none of them has is still an anchor.

    Raises
    ------
    BenchError
        When the file is damaged.
    """
    file = run / _FILE
    if not file.is_file():
        registry = load_plugins([])
        today = Declared.of(registry.methods.values(), registry.metrics.values())
        named = {str(name): Anchor() for name in environment.get("baselines", ())}
        return Declared(anchors=named) | today
    try:
        return Declared.from_json(file.read_text("utf-8"))
    except (BenchError, OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{file} is damaged: {error}") from None
