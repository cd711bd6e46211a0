"""What the ranks of a parallel training run in tests; a spawned process imports it by name."""

from __future__ import annotations

import torch

from bench.api import Diverged
from bench.training import parallel
from bench_munit.method import MUNIT


def states_of_ranks(ctx, config, data, budget):
    """A training, and the weights of both ranks at its end."""
    method = MUNIT(config, ctx)
    method.fit(data, budget)
    states = {}
    for name, tensor in method.state_dict().items():
        both = [torch.empty_like(tensor) for _ in range(2)]
        torch.distributed.all_gather(both, tensor)
        states |= {f"{rank}.{name}": both[rank] for rank in (0, 1)}
    return states


def broken(ctx, data):
    """Rank 0 meets a problem while the other waits for it."""
    if parallel.rank() == 0:
        raise Diverged("loss gen is not finite")
    torch.distributed.barrier()
    return {}
