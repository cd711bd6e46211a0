"""MUNIT as plainly as it can be written: the oracle for the fast implementation.

Nothing is shared with the package under test. Every layer is torch's own, in the order the
original runs them: explicit padding, batch-norm emulation of AdaIN with parameters stored
in the layers, upsampling at full resolution, both encoders in every encode, graphs built
whether they are used or not, one image at a time.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class AdaIN(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.channels = channels
        self.weight = self.bias = None
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x):
        b, c = x.shape[:2]
        mean, var = self.running_mean.repeat(b), self.running_var.repeat(b)
        flat = x.contiguous().view(1, b * c, *x.shape[2:])
        weight, bias = self.weight.to(mean.dtype), self.bias.to(mean.dtype)  # autocast's are bf16
        out = F.batch_norm(flat, mean, var, weight, bias, True, 0.1, 1e-5)
        return out.view_as(x)


class LayerNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        flat = x.view(x.shape[0], -1)
        mean = flat.mean(1).view(-1, 1, 1, 1)
        std = flat.std(1).view(-1, 1, 1, 1)
        x = (x - mean) / (std + 1e-5)
        return x * self.gamma.view(1, -1, 1, 1) + self.beta.view(1, -1, 1, 1)


class Block(nn.Module):
    def __init__(self, into, out, kernel, stride, pad, norm="none", act="relu"):
        super().__init__()
        self.pad = nn.ReflectionPad2d(pad)
        self.conv = nn.Conv2d(into, out, kernel, stride)
        self.norm = {
            "none": lambda: None,
            "in": lambda: nn.InstanceNorm2d(out),
            "adain": lambda: AdaIN(out),
            "ln": lambda: LayerNorm(out),
        }[norm]()
        self.act = {
            "relu": nn.ReLU(inplace=True),
            "lrelu": nn.LeakyReLU(0.2, inplace=True),
            "tanh": nn.Tanh(),
            "none": None,
        }[act]

    def forward(self, x):
        x = self.conv(self.pad(x))
        if self.norm is not None:
            x = self.norm(x)
        return x if self.act is None else self.act(x)


class Residual(nn.Module):
    def __init__(self, dim, norm):
        super().__init__()
        self.model = nn.Sequential(
            Block(dim, dim, 3, 1, 1, norm), Block(dim, dim, 3, 1, 1, norm, "none")
        )

    def forward(self, x):
        return self.model(x) + x


class Wrapped(nn.Module):
    """A sequence under the name ``model``."""

    def __init__(self, *layers):
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


class Fc(nn.Module):
    def __init__(self, into, out, act):
        super().__init__()
        self.fc = nn.Linear(into, out)
        self.act = act

    def forward(self, x):
        x = self.fc(x)
        return F.relu(x) if self.act else x


class FineBlock(Block):
    """The last doubling with `pixel_skip`; the image is stored in it before it runs."""

    def __init__(self, into, out):
        super().__init__(into, out, 5, 1, 2, "ln")
        self.fine = nn.Conv2d(3, 2 * out, 3)

    def forward(self, x):
        y = self.norm(self.conv(self.pad(x)))
        features = self.fine(nn.ReflectionPad2d(1)(self.pixels))
        half = features.shape[1] // 2
        out = [y + features[:, :half], y * torch.tanh(features[:, half:])]
        return F.relu(torch.cat(out, 1))


class Gen(nn.Module):
    def __init__(self, dim, mlp_dim, style_dim=8, n_down=2, n_res=4, pixel_skip=False):
        super().__init__()
        self.pixel_skip = pixel_skip
        d = dim
        style = [Block(3, d, 7, 1, 3)]
        for _ in range(2):
            style.append(Block(d, 2 * d, 4, 2, 1))
            d *= 2
        style += [Block(d, d, 4, 2, 1) for _ in range(2)]
        self.enc_style = Wrapped(*style, nn.AdaptiveAvgPool2d(1), nn.Conv2d(d, style_dim, 1))
        d = dim
        content = [Block(3, d, 7, 1, 3, "in")]
        for _ in range(n_down):
            content.append(Block(d, 2 * d, 4, 2, 1, "in"))
            d *= 2
        content.append(Wrapped(*(Residual(d, "in") for _ in range(n_res))))
        self.enc_content = Wrapped(*content)
        dec = [Wrapped(*(Residual(d, "adain") for _ in range(n_res)))]
        total = 4 * n_res * d
        for left in reversed(range(n_down)):
            fine = pixel_skip and not left
            up = FineBlock(d, d // 2) if fine else Block(d, d // 2, 5, 1, 2, "ln")
            dec += [nn.Upsample(scale_factor=2), up]
            d = d if fine else d // 2
        self.dec = Wrapped(*dec, Block(d, 3, 7, 1, 3, "none", "tanh"))
        self.mlp = Wrapped(
            Fc(style_dim, mlp_dim, True), Fc(mlp_dim, mlp_dim, True), Fc(mlp_dim, total, False)
        )

    def encode(self, x):
        style = self.enc_style(x)
        content = self.enc_content(x)
        return (content, x) if self.pixel_skip else content, style

    def decode(self, content, style):
        if self.pixel_skip:
            content, found = content
            for layer in self.dec.modules():
                if isinstance(layer, FineBlock):
                    layer.pixels = found
        values = self.mlp(style.view(style.shape[0], -1))
        for layer in self.dec.modules():
            if isinstance(layer, AdaIN):
                c = layer.channels
                layer.bias = values[:, :c].contiguous().view(-1)
                layer.weight = values[:, c : 2 * c].contiguous().view(-1)
                values = values[:, 2 * c :]
        return self.dec(content)


class Dis(nn.Module):
    def __init__(self, dim, n_layer=4, scales=3):
        super().__init__()
        self.cnns = nn.ModuleList()
        for _ in range(scales):
            d, layers = dim, [Block(3, dim, 4, 2, 1, act="lrelu")]
            for _ in range(n_layer - 1):
                layers.append(Block(d, 2 * d, 4, 2, 1, act="lrelu"))
                d *= 2
            self.cnns.append(nn.Sequential(*layers, nn.Conv2d(d, 1, 1)))
        self.down = nn.AvgPool2d(3, 2, 1, count_include_pad=False)

    def forward(self, x):
        out = []
        for cnn in self.cnns:
            out.append(cnn(x))
            x = self.down(x)
        return out


def dis_loss(dis, fake, real, source, share):
    negatives = [torch.mean(f**2) for f in dis(fake)]
    if share:
        others = [torch.mean(s**2) for s in dis(source)]
        negatives = [(1 - share) * n + share * o for n, o in zip(negatives, others, strict=True)]
    return sum(n + torch.mean((r - 1) ** 2) for n, r in zip(negatives, dis(real), strict=True))


def gen_loss(dis, fake):
    return sum(torch.mean((f - 1) ** 2) for f in dis(fake))


def l1(x, y):
    if isinstance(x, tuple):  # contents with their pixels, of which nothing is asked
        x, y = x[0], y[0]
    return torch.mean(torch.abs(x - y))


def adam(parameters, lr=1e-4):
    return torch.optim.Adam(
        list(parameters), lr=lr, betas=(0.5, 0.999), weight_decay=1e-4, foreach=False
    )


def codes(gen, x, seen):
    """The content of `seen` and the style of `x`; one pass where they are the same."""
    content, style = gen.encode(x)
    return (content if seen is x else gen.encode(seen)[0]), style


def step(gens, diss, opt_gen, opt_dis, x_a, x_b, draws, share=0.0, seen=None):
    """One iteration in the reference order; gens, diss are ``(a, b)``, draws the four styles.

    `share` is the configuration's ``source_negatives``; of `seen` the contents are read, if not
    of ``x_a, x_b``.
    """
    (gen_a, gen_b), (dis_a, dis_b) = gens, diss
    seen_a, seen_b = seen or (x_a, x_b)
    out = {}
    opt_dis.zero_grad()
    c_a, _ = gen_a.encode(seen_a)
    c_b, _ = gen_b.encode(seen_b)
    x_ba = gen_a.decode(c_b, draws[0]).detach()
    x_ab = gen_b.decode(c_a, draws[1]).detach()
    loss = dis_loss(dis_a, x_ba, x_a, x_b, share) + dis_loss(dis_b, x_ab, x_b, x_a, share)
    loss.backward()
    opt_dis.step()
    out["dis_total"] = loss.detach()

    opt_gen.zero_grad()
    c_a, s_a_own = codes(gen_a, x_a, seen_a)
    c_b, s_b_own = codes(gen_b, x_b, seen_b)
    x_a_recon = gen_a.decode(c_a, s_a_own)
    x_b_recon = gen_b.decode(c_b, s_b_own)
    x_ba = gen_a.decode(c_b, draws[2])
    x_ab = gen_b.decode(c_a, draws[3])
    c_b_recon, s_a_recon = gen_a.encode(x_ba)
    c_a_recon, s_b_recon = gen_b.encode(x_ab)
    x_aba = gen_a.decode(c_a_recon, s_a_own)
    x_bab = gen_b.decode(c_b_recon, s_b_own)
    terms = {
        "gen_recon_x_a": (10, l1(x_a_recon, x_a)),
        "gen_recon_x_b": (10, l1(x_b_recon, x_b)),
        "gen_recon_s_a": (1, l1(s_a_recon, draws[2])),
        "gen_recon_s_b": (1, l1(s_b_recon, draws[3])),
        "gen_recon_c_a": (1, l1(c_a_recon, c_a)),
        "gen_recon_c_b": (1, l1(c_b_recon, c_b)),
        "gen_cycrecon_x_a": (10, l1(x_aba, x_a)),
        "gen_cycrecon_x_b": (10, l1(x_bab, x_b)),
        "gen_adv_a": (1, gen_loss(dis_a, x_ba)),
        "gen_adv_b": (1, gen_loss(dis_b, x_ab)),
    }
    loss = sum(weight * value for weight, value in terms.values())
    loss.backward()
    opt_gen.step()
    out["gen_total"] = loss.detach()
    return out | {name: value.detach() for name, (_, value) in terms.items()}
