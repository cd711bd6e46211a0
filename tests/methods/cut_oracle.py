"""CUT's networks and step in the plain published order: every network call on its own.

The reference against which the step of the package is checked and timed. Keys are the original
ones; `norm` is a class of norms: by their definition, or the library's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.methods.cyclegan_oracle import PlainNorm, mse


class Down(nn.Module):
    def __init__(self, channels):
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("filt", (row[:, None] * row / 16).repeat(channels, 1, 1, 1))

    def forward(self, x):
        x = F.pad(x, (1, 1, 1, 1), "reflect")
        return F.conv2d(x, self.filt, stride=2, groups=x.shape[1])


class Up(nn.Module):
    def __init__(self, channels):
        super().__init__()
        row = torch.tensor([1.0, 3.0, 3.0, 1.0])
        self.register_buffer("filt", (row[:, None] * row / 16).repeat(channels, 1, 1, 1))

    def forward(self, x):
        x = F.pad(x, (1, 1, 1, 1), "replicate")
        x = F.conv_transpose2d(x, self.filt, stride=2, padding=2, groups=x.shape[1])
        return x[:, :, 1:-1, 1:-1]


class Block(nn.Module):
    def __init__(self, width, norm):
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), norm()]
        again = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), norm()]
        self.conv_block = nn.Sequential(*half, nn.ReLU(), *again)

    def forward(self, x):
        return x + self.conv_block(x)


class Gen(nn.Module):
    def __init__(self, ngf, n_blocks=9, n_downsampling=2, norm=PlainNorm):
        super().__init__()
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, ngf, 7), norm(), nn.ReLU()]
        for width in (ngf * 2**i for i in range(n_downsampling)):
            convolve = nn.Conv2d(width, 2 * width, 3, padding=1)
            layers += [convolve, norm(), nn.ReLU(), Down(2 * width)]
        layers += [Block(ngf * 2**n_downsampling, norm) for _ in range(n_blocks)]
        for width in (ngf * 2**i for i in reversed(range(n_downsampling))):
            convolve = nn.Conv2d(2 * width, width, 3, padding=1)
            layers += [Up(2 * width), convolve, norm(), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)

    def encode(self, x, wanted):
        maps = []
        for index, layer in enumerate(self.model):
            x = layer(x)
            if index in wanted:
                maps.append(x)
            if index == wanted[-1]:
                return maps
        raise ValueError(wanted)


class Dis(nn.Module):
    def __init__(self, ndf, n_layers=3, norm=PlainNorm):
        super().__init__()
        layers = [nn.Conv2d(3, ndf, 4, padding=1), nn.LeakyReLU(0.2), Down(ndf)]
        narrow = ndf
        for level in range(1, n_layers + 1):
            wide = ndf * min(2**level, 8)
            layers += [nn.Conv2d(narrow, wide, 4, padding=1), norm(), nn.LeakyReLU(0.2)]
            layers += [Down(wide)] if level < n_layers else []
            narrow = wide
        layers.append(nn.Conv2d(narrow, 1, 4, padding=1))
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


def sample(maps, positions):
    """Vectors ``(B, n, C)`` at positions ``(n,)``, as the original picks them."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2)[:, positions]


class Heads(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        for k, into in enumerate(channels):
            mlp = nn.Sequential(nn.Linear(into, width), nn.ReLU(), nn.Linear(width, width))
            setattr(self, f"mlp_{k}", mlp)

    def forward(self, maps, positions):
        """One batch: maps of each layer, and positions of each layer."""
        out = []
        for k, (x, at) in enumerate(zip(maps, positions, strict=True)):
            rows = sample(x, at).flatten(0, 1)
            rows = getattr(self, f"mlp_{k}")(rows)
            length = rows.pow(2).sum(1, keepdim=True).pow(0.5)
            out.append(rows / (length + 1e-7))
        return out


def nce(gen, heads, source, output, positions, config, mirrored):
    """The contrast of one batch of outputs with their inputs."""
    queries = gen.encode(output, config.layers)
    if mirrored:
        queries = [x.flip(3) for x in queries]
    keys = heads(gen.encode(source, config.layers), positions)
    terms = []
    for query, key in zip(heads(queries, positions), keys, strict=True):
        key = key.detach()
        positive = (query * key).sum(1, keepdim=True)
        query, key = (x.unflatten(0, (len(source), -1)) for x in (query, key))
        negative = query @ key.transpose(1, 2)
        itself = torch.eye(negative.shape[1], dtype=torch.bool, device=negative.device)
        negative = negative.masked_fill(itself, -10.0).flatten(0, 1)
        logits = torch.cat((positive, negative), 1) / config.temperature
        target = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        terms.append(F.cross_entropy(logits, target, reduction="none").mean())
    return config.lambda_nce * sum(terms) / len(terms)


def plain_step(gen, dis, heads, optimizers, a, b, positions, config, mirrored=False):
    """One iteration from a to b; `positions` are the layers' of (a, fake), then of (b, idt)."""
    count = len(config.layers)
    real = torch.cat((a, b)) if config.nce_identity else a
    out = gen(real.flip(3) if mirrored else real)
    fake, same = out[: len(a)], out[len(a) :]

    for optimizer in optimizers.values():
        optimizer.zero_grad()
    losses = {"dis": (mse(dis(fake.detach()), 0.0) + mse(dis(b), 1.0)) * 0.5}
    losses["dis"].backward()
    optimizers["dis"].step()

    losses["gan"] = mse(dis(fake), 1.0) * config.lambda_gan
    losses["nce"] = nce(gen, heads, a, fake, positions[:count], config, mirrored)
    if config.nce_identity:
        losses["nce"] = 0.5 * losses["nce"]
        args = (heads, b, same, positions[count:], config, mirrored)
        losses["nce_identity"] = 0.5 * nce(gen, *args)
    optimizers["gen"].zero_grad()
    sum(value for name, value in losses.items() if name != "dis").backward()
    optimizers["gen"].step()
    return {name: loss.detach() for name, loss in losses.items()}
