"""How often a ranking says that two methods differ: when they do not, and when they do.

``pytest -s tests/metrics -k ranking`` prints the rates that docs/metrics.md states. Methods are
simulated: features or values of the same inputs, of which most belongs to the input and the rest
to the method. Each is told from another as a run does it, by its comparisons and Holm.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bench.analysis import contest
from bench.analysis.contest import Evidence
from bench.analysis.ranking import ALPHA
from bench.metrics.kid import kernel, kid_interval
from bench.stats import holm

pytestmark = pytest.mark.nightly

INPUTS = 32
Numbers = np.ndarray


def values(effects: list[float], rng: np.random.Generator) -> list[Evidence]:
    """Methods with a value for each output, skewed as distances are."""
    shared = rng.normal(0, 1, INPUTS)
    found = []
    for effect in effects:
        each = np.exp(0.5 * (shared + rng.normal(0, 0.5, INPUTS))) + effect
        found.append(Evidence(float(each.mean()), each, ("all",), INPUTS))
    return found


def kids(effects: list[float], rng: np.random.Generator) -> list[Evidence]:
    """Methods with a KID: features of 16 numbers, beside as many real ones.

    Methods that are no further from real pictures than these from one another are told apart
    even less often: there the bootstrap of a KID is too wide.
    """
    d = 16
    shared, real = rng.normal(0, 1, (INPUTS, d)), rng.normal(0, 1, (INPUTS, d))
    kyy = kernel(real @ real.T, d)
    found = []
    for effect in effects:
        x = 0.8 * shared + 0.6 * rng.normal(0, 1, (INPUTS, d)) + 0.8 + effect
        whole, drawn = kid_interval(kernel(x @ x.T, d), kyy, kernel(x @ real.T, d), draws=400)
        found.append(Evidence(whole.value, drawn, ("all",), INPUTS, resampled=True))
    return found


def told_apart(methods: list[Evidence]) -> list[bool]:
    """For each pair of methods, the first with the second at first, whether a run says so."""
    pairs = list(itertools.combinations(methods, 2))
    raw = {str(i): one.p for i, one in enumerate(contest.tested(pairs, draws=2000))}
    return [p < ALPHA for p in holm(raw).values()]


@pytest.mark.parametrize("simulate", [values, kids])
def test_ranking_errors_and_power(simulate, capsys):
    runs = 1000
    rng = np.random.default_rng(0)
    pair = np.mean([told_apart(simulate([0.0] * 2, rng))[0] for _ in range(runs)])
    six = np.mean([any(told_apart(simulate([0.0] * 6, rng))) for _ in range(runs // 2)])
    # Differences that the plain bootstrap of the same pictures finds every time.
    effect = {values: 0.5, kids: 0.3}[simulate]
    mine, plain = [], []
    for _ in range(runs // 2):
        methods = simulate([0.0, effect], rng)
        mine.append(told_apart(methods)[0])
        plain.append(_bootstrap_finds(methods))
    with capsys.disabled():
        print(
            f"\n{simulate.__name__}: of two equal methods told apart {pair:.3f}, of six any "
            f"{six:.3f}; differences found {np.mean(mine):.3f}, by a bootstrap {np.mean(plain):.3f}"
        )
    assert 0.03 <= pair <= 0.07
    assert six <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / (runs // 2))
    assert np.mean(plain) >= 0.995
    assert np.mean(mine) >= 0.95


def _bootstrap_finds(methods: list[Evidence]) -> bool:
    """Whether the percentiles of a paired bootstrap leave zero out."""
    a, b = (method.values for method in methods)
    d = a - b
    if not methods[0].resampled:
        d = np.random.default_rng(0).choice(d, (1000, len(d))).mean(1)
    low, high = np.quantile(d, [0.025, 0.975])
    return bool(low > 0 or high < 0)
