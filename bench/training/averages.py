"""Averaged weights: what networks were lately, instead of where the last step left them.

Adversarial networks circle around what they approach; the average of their weights lies closer.
It is the one that translates, and the networks train on as if there were none.

Source: Yazıcı et al. 2019, *The unusual effectiveness of averaging in GAN training*, ICLR.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    N = TypeVar("N", bound=nn.Module)

PREFIX = "ema_"
"""In a checkpoint, before the name of the network that is averaged."""


class Averages:
    """Exponential moving averages of weights.

    They begin as the weights of the start; each step makes them ``kept · average +
    (1 - kept) · weights``. What is kept grows with the iterations, up to `decay`: an average that
    kept 0.999 from the first step on would still be a third of it the start after 1,100. Buffers
    are those of the start.

    Parameters
    ----------
    networks
        What is averaged, by name.
    decay
        Below 1; 0: nothing is averaged.
    """

    def __init__(self, networks: Mapping[str, nn.Module], decay: float) -> None:
        self.decay = decay
        self._pairs = {
            f"{PREFIX}{name}": (network, copy.deepcopy(network).requires_grad_(False))
            for name, network in networks.items()
            if decay > 0
        }
        self._share: float | torch.Tensor = 0.0

    def modules(self) -> dict[str, nn.Module]:
        """The averages by name, for a checkpoint."""
        return {name: average for name, (_, average) in self._pairs.items()}

    def of(self, network: N) -> N:
        """The average of `network`; itself where it has none."""
        for source, average in self._pairs.values():
            if source is network:
                return average  # type: ignore[return-value]  # a copy of it
        return network

    def begin(self, iteration: int, device: torch.device) -> None:
        """Say which step comes next; on the host, for what a graph holds cannot count.

        Parameters
        ----------
        iteration
            From 0.
        device
            Where the networks are.
        """
        if not self._pairs:
            return
        share = 1.0 - min(self.decay, (1 + iteration) / (10 + iteration))
        if device.type == "cpu":
            self._share = share
        elif isinstance(self._share, torch.Tensor):
            self._share.fill_(share)
        else:
            self._share = torch.tensor(share, device=device)

    @torch.no_grad()
    def update(self) -> None:
        """Follow the step that was just made; a CUDA graph may hold it."""
        for source, average in self._pairs.values():
            mine: list[torch.Tensor] = list(average.parameters())
            now: list[torch.Tensor] = list(source.parameters())
            steps = list(torch._foreach_sub(now, mine))
            torch._foreach_mul_(steps, self._share)
            torch._foreach_add_(mine, steps)

    def settle(self) -> None:
        """Give the networks their averages: training is over."""
        for source, average in self._pairs.values():
            source.load_state_dict(average.state_dict())
