"""What chooses between the weights of one training: KID with the embedded network.

Always the embedded one, whatever else is on the machine: which weights are kept must not hang
on it. A training looks at training images only; the scores of a trial are of other images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.metrics.declared.extractors import EFFICIENTNET
from bench.metrics.kid import kernel, kid
from bench.metrics.networks import choose

if TYPE_CHECKING:
    from bench.stats import Floats

_BATCH = 32


@dataclass
class Judge:
    """``judge(real)(outputs)``: their KID, lower is better; see ``Context.judge``.

    Both are uint8 ``(N, 3, H, W)``, two at least. The network is read at the first call, which
    raises `BenchError` when it is not there.
    """

    weights_dir: Path | None
    offline: bool

    def __call__(self, real: torch.Tensor) -> Callable[[torch.Tensor], float]:
        """Read the network, and look at the real images once."""
        chosen = choose(
            (EFFICIENTNET.name,),
            {EFFICIENTNET.name: EFFICIENTNET},
            weights_dir=self.weights_dir,
            offline=self.offline,
        )
        network = chosen.build(real.device)
        y = _features(network.features, real)
        kyy = kernel(y @ y.T, y.shape[1])

        def distance(outputs: torch.Tensor) -> float:
            x = _features(network.features, outputs)
            return kid(kernel(x @ x.T, x.shape[1]), kyy, kernel(x @ y.T, x.shape[1]))

        return distance


def _features(network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> Floats:
    parts = [network(batch).cpu().double().numpy() for batch in torch.split(images, _BATCH)]
    return np.concatenate(parts)
