"""Weight initialisation, named as the original implementations name it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

Scheme = Literal["normal", "kaiming", "xavier", "orthogonal"]


def init_weights(
    module: nn.Module,
    scheme: Scheme,
    *,
    gain: float = 0.02,
    generator: torch.Generator | None = None,
) -> None:
    """Initialise every convolution and linear layer in place; biases become 0.

    Parameters
    ----------
    scheme
        ``normal``: N(0, gain²). ``kaiming``: normal, fan-in, a = 0. ``xavier`` and
        ``orthogonal``: with the given gain.
    generator
        Source of the draws; None: torch's default generator.
    """
    for layer in module.modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            continue
        if scheme == "normal":
            nn.init.normal_(layer.weight, 0.0, gain, generator=generator)
        elif scheme == "kaiming":
            nn.init.kaiming_normal_(layer.weight, a=0, mode="fan_in", generator=generator)
        elif scheme == "xavier":
            nn.init.xavier_normal_(layer.weight, gain=gain, generator=generator)
        else:
            nn.init.orthogonal_(layer.weight, gain=gain, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
