"""What is chosen where nobody chooses: the one place in the harness that names plugins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Preset = Literal["demo", "quick", "paper"]

_METHODS = ["munit", "neural_style", "cyclegan", "color_transfer", "identity", "real_target"]

# Trained models, and a training of minutes beside them; --train trains all.
_SHOWN = ["munit@seasons-64", "cyclegan@seasons-64", *_METHODS[1:]]

PRESETS: Mapping[Preset, Mapping[str, Any]] = {
    "demo": {
        "datasets": ["seasons"],
        "size": 64,
        "samples": 3,
        "test_limit": 20,
        "methods": _SHOWN,
    },
    "quick": {
        "datasets": ["yosemite"],
        "size": 128,
        "samples": 3,
        "test_limit": 48,
        "methods": _METHODS,
    },
    "paper": {
        "datasets": ["yosemite"],
        "size": 256,
        "samples": 10,
        "seeds": [0, 1, 2],
        "methods": _METHODS,
    },
}
"""What each preset sets where neither file nor command line does."""

FOR_GPUS: frozenset[Preset] = frozenset({"paper"})
"""Presets that a CPU would work on for weeks."""

PHOTOGRAPHS = "yosemite"
"""The dataset that a folder alone (``--data-root``) stands for, whatever the preset would take."""

TRANSLATOR = "munit"
"""The method of ``bench translate`` and ``bench interpolate``."""

FOUND = "outputs"
"""The method that takes pictures made elsewhere, for ``bench score``."""

FILTER = "color_transfer"
"""The colour filter that ``bench metrics audit`` holds its metrics against."""

FIGURE = "grid"
"""The report of ``bench report --figure``."""

LAUNCHER = "local"
"""Where trials run."""
