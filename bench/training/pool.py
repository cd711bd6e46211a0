"""The history of generated images that a discriminator trains on (Shrivastava et al. 2017)."""

from __future__ import annotations

import torch

from bench.training.seeding import generator


class ImagePool:
    """A pool whose decisions are drawn beforehand, from the seed and the step alone.

    The first `size` images are stored and used. From then on, with probability 1/2, an image
    takes the place of a stored one drawn uniformly, and the stored one is used; otherwise it
    is used and forgotten. Nothing is random here except through :meth:`decide`, so a resumed
    run needs the stored images only, and :meth:`query` may be part of a CUDA graph.

    Parameters
    ----------
    size
        Images kept; 0 switches the pool off.
    seed, name
        Which stream of decisions.
    """

    def __init__(self, size: int, seed: int, name: str) -> None:
        self.size, self.seed, self.name = size, seed, name
        self.images: torch.Tensor | None = None

    def decide(self, step: int, batch_size: int) -> torch.Tensor:
        """Draw what happens to the images of one step.

        Returns
        -------
        torch.Tensor
            int64 ``(batch_size, 3)`` on the CPU. Columns: the slot of the pool; 1 where the
            image is stored in it; 1 where the one that lay there is used instead.
        """
        draws = torch.rand(batch_size, 2, generator=generator(self.seed, "pool", self.name, step))
        rows = []
        for i, (coin, place) in enumerate(draws.tolist()):
            count = step * batch_size + i
            swap = count >= self.size > 0 and coin < 0.5
            slot = count if count < self.size else int(place * self.size)
            rows.append((slot, count < self.size or swap, swap))
        return torch.tensor(rows, dtype=torch.int64)

    def query(self, images: torch.Tensor, decisions: torch.Tensor) -> torch.Tensor:
        """Exchange generated images for those the discriminator sees.

        Parameters
        ----------
        images
            Detached, ``(B, C, H, W)``.
        decisions
            From :meth:`decide`, on the images' device; every step's once and in order.

        Returns
        -------
        torch.Tensor
            ``(B, C, H, W)``: each image itself, or one of an earlier step.
        """
        if self.size == 0:
            return images
        if self.images is None:
            self.images = images.new_zeros((self.size, *images.shape[1:]))
        chosen = []
        for image, decision in zip(torch.split(images, 1), decisions, strict=True):
            slot, store, swap = torch.split(decision, 1)
            kept = self.images.index_select(0, slot)
            chosen.append(torch.where(swap.bool(), kept, image))
            self.images.index_copy_(0, slot, torch.where(store.bool(), image, kept))
        return torch.cat(chosen)

    def state(self) -> dict[str, torch.Tensor]:
        """Give the stored images, for a checkpoint."""
        return {} if self.images is None else {"images": self.images}

    def load_state(self, state: dict[str, torch.Tensor], device: torch.device) -> None:
        """Take back what :meth:`state` gave, onto `device`."""
        images = state.get("images")
        self.images = None if images is None else images.to(device).clone()
