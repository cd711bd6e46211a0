"""The history of generated images that a discriminator trains on (Shrivastava et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from bench.training.seeding import generator

if TYPE_CHECKING:
    from torch import Tensor


class Decision(NamedTuple):
    """What happens to one generated image.

    `slot` is the place it is stored in, when `store`; `swap` says that the image which lay
    there is used instead of it.
    """

    slot: int
    store: bool
    swap: bool


class ImagePool:
    """A pool whose decisions are drawn beforehand, from the seed and the step alone.

    The first `size` images are stored and used. From then on, with probability 1/2, an image
    takes the place of a stored one drawn uniformly, and the stored one is used; otherwise it
    is used and forgotten. Nothing is random here except through :meth:`decide`, so a resumed
    run needs the stored images only.

    Parameters
    ----------
    size
        Images kept; 0 switches the pool off.
    seed, name
        Which stream of decisions.
    """

    def __init__(self, size: int, seed: int, name: str) -> None:
        self.size, self.seed, self.name = size, seed, name
        self.images: Tensor | None = None

    def decide(self, step: int, batch_size: int) -> list[Decision]:
        """Give the decisions of one step, one for each image of its batch."""
        draws = torch.rand(batch_size, 2, generator=generator(self.seed, "pool", self.name, step))
        decisions = []
        for i, (coin, place) in enumerate(draws.tolist()):
            count = step * batch_size + i
            if count < self.size:
                decisions.append(Decision(count, store=True, swap=False))
            else:
                swap = self.size > 0 and coin < 0.5
                decisions.append(Decision(int(place * self.size), store=swap, swap=swap))
        return decisions

    def query(self, images: Tensor, step: int) -> Tensor:
        """Exchange generated images for those the discriminator of `step` sees.

        Parameters
        ----------
        images
            Detached, ``(B, C, H, W)``.
        step
            Iteration from 0; every step must be asked once and in order.

        Returns
        -------
        Tensor
            ``(B, C, H, W)``: each image itself, or one of an earlier step.
        """
        if self.size == 0:
            return images
        if self.images is None:
            self.images = images.new_zeros((self.size, *images.shape[1:]))
        chosen = []
        for image, (slot, store, swap) in zip(images, self.decide(step, len(images)), strict=True):
            chosen.append(self.images[slot].clone() if swap else image)
            if store:
                self.images[slot] = image
        return torch.stack(chosen)

    def state(self) -> dict[str, Tensor]:
        """The stored images, for a checkpoint."""
        return {} if self.images is None else {"images": self.images}

    def load_state(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Take back what :meth:`state` gave, onto `device`."""
        images = state.get("images")
        self.images = None if images is None else images.to(device).clone()
