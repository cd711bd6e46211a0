"""What a network behind metrics promises: finite numbers that depend on the picture alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from bench.api import ExtractorSpec, FeatureExtractor, PerceptualDistance
from bench.metrics.networks import choose
from bench.testing.promises import must, promise
from bench.testing.toys import toy_pictures

_SIZE = 72
_CLOSE = 1e-3
"""Other batches change the last digits of float32, by so much of the largest number at most."""


def check_extractor(
    spec: ExtractorSpec,
    *,
    options: Mapping[str, Any] | None = None,
    weights_dir: Path | None = None,
    offline: bool = True,
) -> None:
    """Check that a network keeps its contract on toy pictures.

    Checked: it gives features or distances, and says how it prepares pictures; what it gives
    has the promised shape, is finite and is the same every time, whatever else is in the batch;
    different pictures differ; its input stays as it was.

    Raises
    ------
    AssertionError
        One line: the network, and the promise it breaks.
    BenchError
        When its weights are not to be had.
    """
    with promise("it gives features or distances, and says how it prepares pictures", basis=True):
        chosen = choose(
            (spec.name,),
            {spec.name: spec},
            weights_dir=weights_dir,
            offline=offline,
            options={spec.name: options or {}},
        )
        network = chosen.build(torch.device("cpu"))
        features = isinstance(network, FeatureExtractor)
        distances = isinstance(network, PerceptualDistance)
        must(
            features or distances,
            spec.name,
            "it has neither describe() nor embed()",
            "write what bench.api.FeatureExtractor or PerceptualDistance says",
        )
        must(
            isinstance(network.preprocessing, str) and network.preprocessing,
            spec.name,
            "preprocessing does not say how pictures are brought to the network",
        )
    if features:
        with promise("features are finite, and follow from their picture alone"):
            for part in (0, 1):
                _check(spec.name, "describe", lambda x, part=part: network.describe(x)[part], part)  # type: ignore[misc]
    if distances:
        with promise("distances are finite, and follow from their pictures alone"):
            _check(spec.name, "embed", network.embed, 0)


def _check(name: str, call: str, look: Callable[[torch.Tensor], torch.Tensor], least: int) -> None:
    """Check one output of one call; `least` 1: it may be empty."""
    images = toy_pictures(3, _SIZE, "extractor")
    before = images.clone()
    seen = look(images)
    what = f"{call}() "
    must(torch.equal(images, before), name, what + "changes its input")
    must(
        seen.ndim == 2 and len(seen) == len(images) and (seen.shape[1] > 0 or least),
        name,
        what + f"gave shape {tuple(seen.shape)}, not (B, D)",
    )
    must(seen.is_floating_point(), name, what + f"gave {seen.dtype}, not floats")
    must(bool(torch.isfinite(seen).all()), name, what + "gave numbers that are not finite")
    must(torch.equal(seen, look(images)), name, what + "gives other numbers the second time")
    if seen.shape[1] == 0:
        return
    apart = torch.cat([look(image[None]) for image in images])
    must(
        float((apart - seen).abs().max()) <= _CLOSE * float(seen.abs().max()),
        name,
        what + "depends on what else is in the batch",
    )
    must(not torch.allclose(seen[0], seen[1]), name, what + "sees no difference of two pictures")
