"""The original's checkpoint files, in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked")


def generator_from_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An original generator's state without running statistics.

    The AdaIN layers carry dummies that nothing reads; files of torch 0.3 carry them for
    the instance norms too.
    """
    return {name: value for name, value in state.items() if not name.endswith(_STATISTICS)}
