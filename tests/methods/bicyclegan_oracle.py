"""BicycleGAN's step in the plain published order, for one direction.

Every network call on its own, two backward passes for the generator, four optimisers. The
reference against which the batched step of the package is checked. Without dropout.
"""

from __future__ import annotations

import torch
from torch import nn


class PlainNorm(nn.Module):
    """Mean 0 and biased variance 1 over height and width, from the definition."""

    def forward(self, x):
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt()


def use_plain_norms(module: nn.Module) -> nn.Module:
    """Replace the instance norms by their definition."""
    for parent in module.modules():
        for name, child in parent.named_children():
            if type(child).__name__ == "InstanceNorm":
                setattr(parent, name, PlainNorm())
    return module


def gan(maps, target):
    return sum(nn.functional.mse_loss(m, torch.full_like(m, target)) for m in maps)


def plain_step(nets, optimizers, source, target, noise, code, config):
    """One iteration; `nets` and `optimizers` are dicts by gen, enc, dis, dis2."""
    l1 = nn.functional.l1_loss
    gen, enc, dis, dis2 = (nets[k] for k in ("gen", "enc", "dis", "dis2"))
    half = len(source) // 2
    a, b_encoded, b_random = source[:half], target[:half], target[half:]

    mu, logvar = enc(b_encoded)
    z_encoded = mu + noise * torch.exp(logvar / 2)
    fake_encoded = gen(a, z_encoded)
    fake_random = gen(a, code)
    mu2, _ = enc(fake_random)

    losses = {
        "gan": gan(dis(fake_encoded), 1.0) * config.lambda_gan,
        "gan2": gan(dis2(fake_random), 1.0) * config.lambda_gan2,
        "kl": torch.sum(1 + logvar - mu**2 - logvar.exp()) * (-0.5 * config.lambda_kl),
        "l1": l1(fake_encoded, b_encoded) * config.lambda_l1,
    }
    for optimizer in optimizers.values():
        optimizer.zero_grad()
    sum(losses.values()).backward(retain_graph=True)
    kept = [p.grad.clone() for p in enc.parameters()]
    losses["z"] = l1(mu2, code) * config.lambda_z
    losses["z"].backward()
    for p, grad in zip(enc.parameters(), kept, strict=True):
        p.grad = grad  # the recovery of the code updates the generator alone
    optimizers["enc"].step()
    optimizers["gen"].step()

    for name, net, real, fake in (
        ("dis", dis, b_encoded, fake_encoded),
        ("dis2", dis2, b_random, fake_random),
    ):
        optimizers[name].zero_grad()
        losses[name] = gan(net(fake.detach()), 0.0) + gan(net(real), 1.0)
        losses[name].backward()
        optimizers[name].step()
    return {name: loss.detach() for name, loss in losses.items()}
