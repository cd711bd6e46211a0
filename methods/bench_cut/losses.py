"""CUT's loss as a pure function (Park et al. 2020, equations 3 to 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from torch import Tensor


def patch_nce(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """How badly each patch of an output is told apart from others by its own input patch.

    Cross-entropy of finding, among all patches of the same input, the one at the same place,
    by the cosine over the temperature.

    Parameters
    ----------
    query, key
        Vectors of length 1, ``(B, n, width)``: of outputs and of inputs, at the same places;
        float32 at least.

    Returns
    -------
    Tensor
        A scalar, the mean over patches and images; ``log(n)`` where nothing is told apart.

    Notes
    -----
    The original has the positive as one column more and -10 at its place among the
    negatives. At the published temperature that adds less than ``exp(-128)`` of the sum,
    which no floating-point number holds; so the column is left out.
    """
    with torch.autocast(query.device.type, enabled=False):
        logits = torch.bmm(query, key.transpose(1, 2)) / temperature
    places = torch.arange(query.shape[1], device=query.device)
    return F.cross_entropy(logits.flatten(0, 1), places.repeat(len(query)))
