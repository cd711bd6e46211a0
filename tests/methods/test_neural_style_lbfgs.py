"""The batched L-BFGS against torch.optim.LBFGS, one problem at a time."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from bench_neural_style.lbfgs import BatchedLBFGS
from bench_neural_style.losses import row_sum


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def problem(x):
    """A curved valley in every row; (B, n) to (B,)."""
    valley = 10 * (x[:, 1:] - x[:, :-1].square()).square()
    return 0.01 * valley.sum(1) + 0.5 * (1 - x).square().sum(1)


def advance(optimizer, x, function):
    """One step of `x`; gives the losses before it."""
    z = x.clone().requires_grad_()
    loss = function(z)
    (grad,) = torch.autograd.grad(loss.sum(), z)
    optimizer.step(x, loss.detach(), grad)
    return loss.detach()


def ours(x, iterations, function=problem, **options):
    x = x.clone()
    optimizer = BatchedLBFGS(x, **options)
    return torch.stack([advance(optimizer, x, function) for _ in range(iterations)], 1)


def oracle(row, iterations, history, function=problem):
    """torch.optim.LBFGS on one row; its losses in the order of its closures."""
    z = row[None].clone().requires_grad_()
    optimizer = torch.optim.LBFGS([z], lr=1, history_size=history, max_iter=20)
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = function(z).sum()
        loss.backward()
        losses.append(loss.detach())
        return loss

    while len(losses) < iterations:
        optimizer.step(closure)
    return torch.stack(losses[:iterations])


@pytest.mark.parametrize("history", [100, 4])
def test_follows_torch(history):
    torch.manual_seed(0)
    start = torch.randn(4, 50, dtype=torch.float64) * 0.3
    found = ours(start, 20, history=history)
    for row, losses in zip(start, found, strict=True):
        torch.testing.assert_close(losses, oracle(row, 20, history), rtol=1e-6, atol=0)


def test_skipped_pairs_and_rows_that_stand_still():
    """A row without curvature stores no pair; one that is done stays where it is."""
    scale = torch.tensor([[1.0], [0.0]], dtype=torch.float64)

    def function(x):
        return (scale[: len(x)] * problem(x)[:, None]).sum(1) + x[:, 0] * (1 - scale[: len(x), 0])

    x = torch.zeros(2, 6, dtype=torch.float64)
    optimizer = BatchedLBFGS(x, history=3)
    for _ in range(6):
        advance(optimizer, x, function)
    assert optimizer._count.tolist()[1] == 0  # linear: y's = 0
    assert optimizer._count.tolist()[0] > 0
    still = x.clone()
    optimizer.step(x, function(x), torch.zeros_like(x))
    assert torch.equal(x, still)


def quartic(x):
    """As a Gram loss: flat, then steep; (B, n) to (B,)."""
    return (x.square() - 1).square().mul(torch.linspace(1, 30, x.shape[1]).to(x)).sum(1)


def test_an_overshoot_is_refused_and_the_rest_is_torch_s():
    """One row overshoots and is led back; its neighbour makes the steps it would make alone."""
    torch.manual_seed(0)
    wild = torch.full((1, 8), 0.01, dtype=torch.float64)
    tame = torch.randn(1, 8, dtype=torch.float64) * 0.05 + 1
    unguarded = oracle(wild[0], 30, 100, quartic)
    assert unguarded.max() > 1e3 * unguarded[0]  # torch's own steps leave by far
    found = ours(torch.cat([wild, tame]), 30, quartic)
    torch.testing.assert_close(found[1], oracle(tame[0], 30, 100, quartic), rtol=1e-6, atol=1e-20)
    overshot = (found[0] > 11 * found[0].cummin(0).values).nonzero().flatten()
    assert len(overshot)
    for evaluation in overshot.tolist():
        assert found[0, evaluation + 1] < found[0, evaluation]
    assert found[0, -1] < 0.05 * found[0, 0]


def test_a_loss_that_is_not_finite_is_refused():
    """Beyond a wall there are no numbers: the row stays on this side and still gets there."""

    def walled(x):
        return torch.where(x.abs().amax(1) < 1.5, quartic(x), torch.nan)

    found = ours(torch.full((1, 8), 0.01, dtype=torch.float64), 40, walled)[0]
    assert bool(found.isnan().any())
    assert found[found.isfinite()][-1] < 0.1 * found[0]


def test_one_bad_row_leaves_the_others_alone():
    torch.manual_seed(0)
    start = torch.randn(3, 20)
    alone = ours(start[:1], 10)

    def poisoned(x):
        return problem(x) * torch.tensor([1.0, float("nan"), 1.0])[: len(x)]

    together = ours(start, 10, poisoned)
    assert torch.equal(alone[0], together[0])


def test_rows_do_not_depend_on_their_number():
    """Bit for bit, at a length where a plain sum is divided among threads."""
    torch.manual_seed(0)
    start = torch.randn(3, 49152) * 0.1

    def bowl(x):
        return row_sum((x - 0.3).square() * torch.linspace(0.1, 2, x.shape[1]))

    together = ours(start, 6, bowl)
    for index in range(3):
        assert torch.equal(ours(start[index : index + 1], 6, bowl)[0], together[index])


def test_nor_do_they_where_threads_share_the_work(two_threads):
    """A product of one row is divided among threads, those of several rows are not."""
    torch.manual_seed(0)
    start, slope = torch.randn(3, 12288), torch.linspace(0.1, 3, 12288)

    def end(x):
        x = x.clone()
        optimizer = BatchedLBFGS(x)
        for iteration in range(8):
            falling = torch.full((len(x),), 1 / (1 + iteration))
            optimizer.step(x, falling, slope * (x - 1))
        return x

    together = end(start)
    for index in range(3):
        assert torch.equal(end(start[index : index + 1])[0], together[index])


def test_nothing_is_read_back_to_the_host():
    """Fake tensors have no values: any ``.item()`` or branch on data raises."""
    with FakeTensorMode():
        x = torch.empty(2, 12)
        optimizer = BatchedLBFGS(x, history=3)
        for _ in range(5):
            optimizer.step(x, torch.empty(2), torch.empty(2, 12))
        with pytest.raises(DataDependentOutputException):
            float(x.sum())
    assert optimizer.iteration == 5
