"""Files of ResNet generators: what is the same, and every way to spoil one."""

from __future__ import annotations

import re
from functools import partial

import pytest
import torch

from bench.api import A2B, B2A, BenchError, Context

CPU = Context(torch.device("cpu"))
SEEDS = torch.zeros(1, 1, dtype=torch.long)


def same(first, second, image, directions=(A2B, B2A)):
    for direction in directions:
        out = [m.translate(image, direction, samples=1, seeds=SEEDS) for m in (first, second)]
        assert torch.equal(*out)


def _without(key, state, path):
    torch.save({name: value for name, value in state.items() if name != key}, path)


def lacks(key):
    """A fault, and what is said of it: the state has no such key."""
    return partial(_without, key), f"has no '{re.escape(key)}'"


def foreign(state, path):
    torch.save({"enc.weight": torch.zeros(2)}, path)


def extra(state, path):
    torch.save(state | {"model.99.weight": torch.zeros(2)}, path)


def text(state, path):
    path.write_text("<html>404</html>")


def cut(state, path):
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:2000])


def a_list(state, path):
    torch.save([1, 2], path)


FAULTS = [
    (foreign, r"first key is 'enc\.weight'"),
    (extra, r"has 'model\.99\.weight'"),
    (text, r"cannot be read as weights"),
    (cut, r"cannot be read as weights"),
    (a_list, r"holds a list"),
]


def refused(model, state, path, spoil, message):
    """A file with the fault is refused in one line that names it."""
    spoil(dict(state), path)
    with pytest.raises(BenchError, match=message) as caught:
        model.from_weights(path, CPU)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
