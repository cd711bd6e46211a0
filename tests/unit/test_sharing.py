"""What is derived of a weight is derived once, with the same gradients, and never stale."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.nn.sharing import shared, sharing


class Squared:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, weight: Tensor) -> Tensor:
        self.asked += 1
        return weight.square()


@pytest.fixture
def weight() -> Tensor:
    return torch.tensor([1.0, -2.0, 3.0], requires_grad=True)


def test_outside_everything_is_derived_anew(weight: Tensor) -> None:
    square = Squared()
    assert shared(square, weight) is not shared(square, weight)
    assert square.asked == 2


def test_inside_once_and_the_gradients_of_all_uses_add_up(weight: Tensor) -> None:
    square = Squared()
    with sharing():
        ((2 * shared(square, weight)).sum() + shared(square, weight).sum()).backward()
    assert square.asked == 1
    assert torch.equal(weight.grad, 6 * weight.detach())
    shared(square, weight)
    assert square.asked == 2, "nothing is kept afterwards"


def test_functions_and_weights_are_kept_apart(weight: Tensor) -> None:
    other = torch.ones(3)
    with sharing():
        assert torch.equal(shared(torch.neg, weight), -weight)
        assert torch.equal(shared(torch.abs, weight), weight.abs())
        assert torch.equal(shared(torch.neg, other), -other)


def test_a_pass_without_a_graph_leaves_one_for_the_next(weight: Tensor) -> None:
    square = Squared()
    with sharing():
        with torch.no_grad():
            assert not (shared(square, weight) + 1).requires_grad
        shared(square, weight).sum().backward()
    assert square.asked == 1
    assert torch.equal(weight.grad, 2 * weight.detach())


def test_a_changed_weight_is_derived_anew(weight: Tensor) -> None:
    square = Squared()
    with sharing():
        shared(square, weight)
        with torch.no_grad():
            weight.add_(1)
        assert torch.equal(shared(square, weight), weight.square())
    assert square.asked == 2


def test_as_a_decorator_each_call_begins_with_nothing(weight: Tensor) -> None:
    square = Squared()

    @sharing()
    def step() -> None:
        shared(square, weight)
        shared(square, weight)

    step()
    step()
    assert square.asked == 2
