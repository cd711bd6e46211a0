"""What one iteration costs at the paper's size: 256x256, batch 1, full widths."""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from bench_munit.config import MUNITConfig
from bench_munit.networks import Discriminator, Generator
from bench_munit.step import Networks, Styles, train_step
from tests.methods import munit_oracle as oracle


def adam(parameters):
    return torch.optim.Adam(list(parameters), lr=1e-4, foreach=True)


def count(run):
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e12


def test_an_iteration_costs_2_tflop_instead_of_2_8(capsys):
    """Shapes alone decide, so fake tensors do: nothing is computed."""
    config = MUNITConfig()
    with FakeTensorMode(allow_non_fake_inputs=True):  # a module may hold constants
        x_a, x_b = torch.empty(1, 3, 256, 256), torch.empty(1, 3, 256, 256)
        styles = Styles(*(torch.empty(1, 8, 1, 1) for _ in range(4)))

        nets = Networks(
            Generator(config), Generator(config), Discriminator(config), Discriminator(config)
        )
        optimizers = {
            "gen": adam(nets.generator_parameters()),
            "dis": adam(nets.discriminator_parameters()),
        }
        fast = count(lambda: train_step(nets, optimizers, x_a, x_b, styles, config))

        gens = [oracle.Gen(64, 256) for _ in "ab"]
        diss = [oracle.Dis(64) for _ in "ab"]
        opt_gen = adam(p for module in gens for p in module.parameters())
        opt_dis = adam(p for module in diss for p in module.parameters())
        plain = count(lambda: oracle.step(gens, diss, opt_gen, opt_dis, x_a, x_b, styles))
    with capsys.disabled():
        print(f"\nMUNIT, one iteration at 256²: {fast:.3f} TFLOP, reference order {plain:.3f}")
    assert 2.79 <= plain <= 2.81
    assert fast <= 2.02
