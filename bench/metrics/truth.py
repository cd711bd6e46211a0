"""Distances to the true translation, where a dataset knows it.

With several true translations (modes) an output is held against the nearest of them: which
one it shows is for the method to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.api import BenchError, Measurement
from bench.stats import Floats, bootstrap_mean

if TYPE_CHECKING:
    from bench.images import Picture
    from bench.metrics.scoring import Scoring

PSNR_CAP = 100.0
"""What identical pictures count as, in dB: an average with infinity says nothing."""
_RADIUS, _SIGMA = 5, 1.5
_K1, _K2 = 0.01, 0.03


def psnr(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures in dB, at most `PSNR_CAP`."""
    error = float(((a.astype(np.float64) - b.astype(np.float64)) ** 2).mean())
    return PSNR_CAP if error == 0 else min(PSNR_CAP, float(10.0 * np.log10(255.0**2 / error)))


def _blur(x: Floats) -> Floats:
    """Gaussian window of 11 x 11, sigma 1.5, over the two first axes; no padding."""
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    window = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    window /= window.sum()
    for axis in (0, 1):
        views = np.lib.stride_tricks.sliding_window_view(x, len(window), axis=axis)
        x = views @ window
    return x


def ssim(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Structural similarity (Wang et al. 2004) of 8-bit pictures, in [-1, 1].

    Gaussian window (11 pixels, sigma 1.5), valid positions only, mean over channels.
    """
    x, y = a.astype(np.float64), b.astype(np.float64)
    if min(x.shape[:2]) < 2 * _RADIUS + 1:
        raise BenchError(f"SSIM needs pictures of at least 11 pixels a side, got {x.shape[:2]}")
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = (_K1 * 255.0) ** 2, (_K2 * 255.0) ** 2
    values = (
        (2 * mean_x * mean_y + c1)
        * (2 * covariance + c2)
        / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    )
    return float(values.mean())


def _table(scoring: Scoring, name: str, compare: Callable[..., float]) -> dict[str, Floats]:
    """For each input with truths: samples x truths ``(k, T)``."""

    def make() -> dict[str, Floats]:
        found = {}
        for key in scoring.ids:
            truths = scoring.data.truths.get(key, ())
            if truths:
                found[key] = _compare(scoring.data.outputs[key], truths, compare)
        return found

    made: dict[str, Floats] = scoring.once(f"truth/{name}", make)
    return made


def _compare(
    samples: Sequence[Picture], truths: Sequence[Picture], compare: Callable[..., float]
) -> Floats:
    real = [truth.load() for truth in truths]
    done: dict[str, list[float]] = {}
    for sample in samples:
        if sample.digest not in done:
            pixels = sample.load()
            if any(pixels.shape != truth.shape for truth in real):
                raise BenchError(
                    f"output {sample.id} is {pixels.shape[1]}x{pixels.shape[0]}, its truth is "
                    f"{real[0].shape[1]}x{real[0].shape[0]}: they must have one size"
                )
            done[sample.digest] = [compare(pixels, truth) for truth in real]
    return np.array([done[sample.digest] for sample in samples])


def _yield(
    scoring: Scoring, name: str, tables: dict[str, Floats], *, higher: bool
) -> Iterator[Measurement]:
    """The value to the nearest truth: of the mean sample, and of the best one."""
    pick = np.max if higher else np.min
    nearest = {key: pick(table, axis=1) for key, table in tables.items()}
    yield scoring.measurement(
        name,
        bootstrap_mean([float(values.mean()) for values in nearest.values()]),
        n=len(nearest),
        per_sample=scoring.per_sample(list(nearest.values()), list(nearest)),
    )
    if scoring.data.samples > 1:
        yield scoring.measurement(
            f"{name}_best_of_k",
            bootstrap_mean([float(pick(values)) for values in nearest.values()]),
            n=len(nearest),
        )


def measure_psnr(scoring: Scoring) -> Iterator[Measurement]:
    """``psnr`` to the nearest truth, and ``psnr_best_of_k`` of the samples."""
    return _yield(scoring, "psnr", _table(scoring, "psnr", psnr), higher=True)


def measure_ssim(scoring: Scoring) -> Iterator[Measurement]:
    """``ssim`` to the nearest truth, and ``ssim_best_of_k`` of the samples."""
    return _yield(scoring, "ssim", _table(scoring, "ssim", ssim), higher=True)


def measure_lpips(scoring: Scoring) -> Iterator[Measurement]:
    """``lpips_truth`` to the nearest truth, and ``lpips_truth_best_of_k`` of the samples."""
    return _yield(scoring, "lpips_truth", _perceptual(scoring), higher=False)


def measure_modes(scoring: Scoring) -> Iterator[Measurement]:
    """``truth_coverage``: share of true modes that are nearest to one of the samples."""
    shares = [
        len(set(table.argmin(1).tolist())) / table.shape[1]
        for table in _perceptual(scoring).values()
        if table.shape[1] > 1
    ]
    if shares:
        yield scoring.measurement("truth_coverage", bootstrap_mean(shares), n=len(shares))


def _perceptual(scoring: Scoring) -> dict[str, Floats]:
    return {
        key: table.to_truths
        for key, table in scoring.distances().items()
        if table.to_truths.shape[1] > 0
    }
