"""CycleGAN's step in the plain published order: every network call on its own.

The reference against which the batched step of the package is checked and timed.
"""

from __future__ import annotations

import torch
from torch import nn


class PlainNorm(nn.Module):
    """Mean 0 and biased variance 1 over height and width, from the definition."""

    def forward(self, x):
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt()


class LibraryNorm(nn.Module):
    """What ``nn.InstanceNorm2d``, the published layer, calls; for timing."""

    def forward(self, x):
        return nn.functional.instance_norm(x, eps=1e-5)


def use_plain_norms(module: nn.Module, norm: type[nn.Module] = PlainNorm) -> nn.Module:
    """Replace the instance norms, by their definition or another."""
    for parent in module.modules():
        for name, child in parent.named_children():
            if type(child).__name__ == "InstanceNorm":
                setattr(parent, name, norm())
    return module


class PlainPool:
    """Keeps images in a list; told what to do by ``(slot, store, swap)``."""

    def __init__(self):
        self.images: dict[int, torch.Tensor] = {}

    def query(self, images, decisions):
        out = []
        for image, (slot, store, swap) in zip(images, decisions, strict=True):
            out.append(self.images[slot] if swap else image)
            if store:
                self.images[slot] = image
        return torch.stack(out)


def mse(scores, target):
    return nn.functional.mse_loss(scores, torch.full_like(scores, target))


def plain_step(nets, opt_g, opt_d, a, b, pools, decisions, config):
    """One iteration; `nets`, `pools` and `decisions` are dicts. Gives the losses."""
    l1 = nn.functional.l1_loss
    g_a, g_b, dis_a, dis_b = nets["a2b"], nets["b2a"], nets["dis_a"], nets["dis_b"]
    fake_b = g_a(a)
    rec_a = g_b(fake_b)
    fake_a = g_b(b)
    rec_b = g_a(fake_a)
    losses = {}
    if config.lambda_identity > 0:
        losses["identity_b"] = l1(g_a(b), b) * config.lambda_b * config.lambda_identity
        losses["identity_a"] = l1(g_b(a), a) * config.lambda_a * config.lambda_identity
    losses["gan_b"] = mse(dis_b(fake_b), 1.0) * config.lambda_gan
    losses["gan_a"] = mse(dis_a(fake_a), 1.0) * config.lambda_gan
    losses["cycle_a"] = l1(rec_a, a) * config.lambda_a
    losses["cycle_b"] = l1(rec_b, b) * config.lambda_b
    opt_g.zero_grad()
    sum(losses.values()).backward()
    opt_g.step()

    opt_d.zero_grad()
    old_b = pools["b"].query(fake_b.detach(), decisions["b"])
    losses["dis_b"] = (mse(dis_b(b), 1.0) + mse(dis_b(old_b), 0.0)) * 0.5
    losses["dis_b"].backward()
    old_a = pools["a"].query(fake_a.detach(), decisions["a"])
    losses["dis_a"] = (mse(dis_a(a), 1.0) + mse(dis_a(old_a), 0.0)) * 0.5
    losses["dis_a"].backward()
    opt_d.step()
    return {name: loss.detach() for name, loss in losses.items()}
