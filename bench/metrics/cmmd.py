"""CLIP's maximum mean discrepancy (Jayasumana et al. 2024, CVPR): KID's estimate, another kernel.

The kernel is Gaussian, ``exp(-|x - y|^2 / (2 sigma^2))``, on embeddings of length 1, and the
result is multiplied by 1000, as the paper states.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.api import Measurement, MetricContext
from bench.metrics.fid import Grams
from bench.metrics.kid import discrepancies
from bench.stats import Floats

SIGMA = 10.0
SCALE = 1000.0


def kernels(g: Grams) -> tuple[Floats, Floats, Floats]:
    """Inner products to scaled kernel values within, within, and between two sets."""
    x, y = np.diagonal(g.xx), np.diagonal(g.yy)

    def gaussian(products: Floats, a: Floats, b: Floats) -> Floats:
        squared = a[:, None] + b[None, :] - 2.0 * products
        return np.asarray(SCALE * np.exp(-squared / (2.0 * SIGMA**2)))

    return gaussian(g.xx, x, x), gaussian(g.yy, y, y), gaussian(g.xy, x, y)


def measure(context: MetricContext) -> Iterator[Measurement]:
    """``cmmd`` to the target's test images, its real floor, and ``cmmd_train``."""
    return discrepancies(context, kernels)
