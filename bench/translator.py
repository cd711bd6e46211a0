"""Translate pictures of any size with a method; what ``bench.load`` gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.api import (
    BenchError,
    CodedMethod,
    Context,
    Direction,
    Domain,
    Event,
    ExemplarMethod,
    Method,
    MethodSpec,
    MixingMethod,
)
from bench.data.translations import Translations
from bench.devices import choose_device, choose_precision
from bench.nn.padding import pad_to_multiple, translate_padded
from bench.nn.precision import apply_float32_policy
from bench.plugins import load_plugins, load_weights, make_config, resolve
from bench.storage.models import Card, open_model
from bench.storage.weights import domains_in
from bench.training.seeding import derive_seed


class Translator:
    """A loaded method, ready to translate.

    Parameters
    ----------
    method
        The method on its device.
    spec
        What it declares of itself.
    device
        Where it lives; inputs are moved there.
    domains
        Names of the two domains, accepted beside ``a`` and ``b``.
    card
        What is known of the trained model that it is, if it is one with a name.
    """

    def __init__(
        self,
        method: Method,
        spec: MethodSpec,
        device: torch.device,
        domains: tuple[str, str] = ("a", "b"),
        card: Card | None = None,
    ) -> None:
        self.method = method
        self.spec = spec
        self.device = device
        self.domains = domains
        self.card = card

    def _domain(self, name: str) -> Domain:
        if name in ("a", self.domains[0]):
            return "a"
        if name in ("b", self.domains[1]):
            return "b"
        raise BenchError(f"domain {name!r} is unknown: choose from {', '.join(self.domains)}")

    def _images(self, images: torch.Tensor) -> torch.Tensor:
        if images.ndim == 3:
            images = images.unsqueeze(0)
        if images.ndim != 4 or images.shape[1] != 3:
            raise BenchError(f"images have shape {tuple(images.shape)}, expected (B, 3, H, W)")
        if not images.is_floating_point():
            raise BenchError(f"images are {images.dtype}, expected floats in [0, 1]")
        if images.numel() == 0:
            raise BenchError("there are no images to translate")
        if not 0.0 <= float(images.min()) <= float(images.max()) <= 1.0:
            raise BenchError("image values are outside [0, 1]")
        return images.to(self.device, torch.float32)

    @torch.no_grad()
    def translate(
        self,
        images: torch.Tensor,
        direction: str,
        samples: int = 1,
        seed: int = 0,
        styles: torch.Tensor | None = None,
        style_from: torch.Tensor | None = None,
    ) -> Translations:
        """Translate images.

        Parameters
        ----------
        images
            float ``(B, 3, H, W)`` in ``[0, 1]``, any size.
        direction
            ``a2b``, ``b2a`` or by the domains' names.
        samples
            Outputs per input.
        seed
            Makes other samples; the same seed, the same outputs.
        styles
            ``(S, …)`` style codes used for every input, instead of drawn ones (methods with
            codes); gives ``S`` samples.
        style_from
            ``(3, H, W)`` or ``(N, 3, H, W)`` in ``[0, 1]``: pictures of the target domain
            whose style is taken; gives ``N`` samples. A method that takes exemplars gives
            `samples` of each, or of each `styles_per_output` together.

        Returns
        -------
        Translations
            float ``(B, samples, 3, H, W)`` in ``[0, 1]``: a tensor that a notebook shows, with
            ``save(folder)``.

        Raises
        ------
        BenchError
            On values out of range, wrong shapes, or what the method cannot do.
        """
        parsed = Direction.parse(direction, self.domains)
        if parsed.key not in self.spec.directions:
            raise BenchError(f"{self.spec.name} cannot go {parsed.name}")
        batch = self._images(images)
        if style_from is not None:
            made = self._translate_like(batch, parsed, self._images(style_from), samples, seed)
        elif styles is not None:
            made = self._decode_all(batch, parsed, styles.to(self.device))
        else:
            made = self._translate_drawn(batch, parsed, samples, seed)
        return Translations.of(made)

    def _translate_drawn(
        self, batch: torch.Tensor, direction: Direction, samples: int, seed: int
    ) -> torch.Tensor:
        if samples < 1:
            raise BenchError(f"samples is {samples}: ask for 1 or more")
        if self.spec.exemplar:
            raise BenchError(
                f"{self.spec.name} needs a picture to take the style from "
                "(style_from=…, on the command line --style-from)"
            )
        return self._translate_seeded(batch, direction, samples, seed)

    def _translate_seeded(
        self, batch: torch.Tensor, direction: Direction, samples: int, seed: int
    ) -> torch.Tensor:
        seeds = torch.tensor(
            [
                [derive_seed("translate", seed, index, k) for k in range(samples)]
                for index in range(len(batch))
            ]
        )
        return translate_padded(
            self.method, self.spec.multiple_of, batch, direction, samples=samples, seeds=seeds
        )

    @property
    def styles_per_output(self) -> int:
        """How many style pictures the method mixes in one output."""
        return self.method.styles_per_output if isinstance(self.method, MixingMethod) else 1

    def _translate_like(
        self,
        batch: torch.Tensor,
        direction: Direction,
        style_from: torch.Tensor,
        samples: int,
        seed: int,
    ) -> torch.Tensor:
        method = self.method
        if isinstance(method, CodedMethod):
            return self._decode_all(batch, direction, self.encode(style_from, direction.target)[1])
        if not isinstance(method, ExemplarMethod):
            raise BenchError(f"{self.spec.name} takes no style from a picture")
        together = self.styles_per_output
        if len(style_from) % together:
            raise BenchError(
                f"{self.spec.name} mixes {together} style pictures in an output: "
                f"{len(style_from)} given"
            )
        outputs = []
        for first in range(0, len(style_from), together):
            pool = style_from[first : first + together].mul(255).round().to(torch.uint8)
            method.use_exemplars(pool, direction)
            outputs.append(self._translate_seeded(batch, direction, samples, seed))
        return torch.cat(outputs, dim=1)

    def _decode_all(
        self, batch: torch.Tensor, direction: Direction, styles: torch.Tensor
    ) -> torch.Tensor:
        height, width = batch.shape[-2:]
        content, _ = self.encode(pad_to_multiple(batch, self.spec.multiple_of), direction.source)
        outputs = [
            self.decode(content, style.expand(len(batch), *style.shape), direction.target)
            for style in styles
        ]
        return torch.stack(outputs, dim=1)[..., :height, :width]

    @torch.no_grad()
    def encode(self, images: torch.Tensor, domain: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Images to ``(content, style)`` codes; see :class:`bench.api.CodedMethod`."""
        batch = pad_to_multiple(self._images(images), self.spec.multiple_of)
        return self._coded().encode(batch, self._domain(domain))

    @torch.no_grad()
    def decode(self, content: torch.Tensor, style: torch.Tensor, domain: str) -> torch.Tensor:
        """Codes to images ``(B, 3, H, W)`` in ``[0, 1]``."""
        return self._coded().decode(content, style, self._domain(domain))

    def sample_styles(self, count: int, seed: int = 0) -> torch.Tensor:
        """``(count, …)`` style codes as a method with codes draws them."""
        seeds = torch.tensor([derive_seed("styles", seed, k) for k in range(count)])
        return self._coded().sample_styles(seeds).to(self.device)

    def _coded(self) -> CodedMethod:
        if not isinstance(self.method, CodedMethod):
            raise BenchError(f"{self.spec.name} has no content and style codes")
        return self.method


def load(
    name: str,
    weights: str | Path | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    seed: int = 0,
    domains: tuple[str, str] | None = None,
    weights_dir: str | Path | None = None,
    offline: bool = False,
    plugins: tuple[Path, ...] = (),
    emit: Callable[[Event], None] | None = None,
    **config: Any,
) -> Translator:
    """Load a method, ready to translate.

    Parameters
    ----------
    name
        A method's name, as ``bench list methods`` shows it; or ``method@model``.
    weights
        A trained model's name (``"yosemite-128"``, as ``bench weights list`` shows it), or a file
        of trained weights: the original project's, or ``.safetensors`` of a run. Widths are read
        from it. Required for trained methods.
    device, precision
        As in a suite; ``auto`` takes a GPU where there is one.
    domains
        What the two domains are called, e.g. ``("summer", "winter")``. None: as the model with a
        name, or the weights of a run, know them, else ``("a", "b")``.
    weights_dir, offline
        Where official pretrained weights lie; whether downloads are forbidden.
    emit
        Takes what the method says of its progress.
    **config
        Fields of the method's configuration.

    Raises
    ------
    BenchError
        On an unknown name or option, or weights that do not fit.
    """
    registry = load_plugins(plugins)
    name, _, titled = name.partition("@")
    spec = registry.method(name)
    if spec.precomputed:
        raise BenchError(f"method {name} brings pictures that exist: it cannot translate")
    chosen = choose_device(device)
    ctx = Context(
        device=chosen,
        precision=choose_precision(precision, chosen),
        seed=seed,
        weights_dir=Path(weights_dir) if weights_dir is not None else None,
        offline=offline,
    )
    if emit is not None:
        ctx = replace(ctx, emit=emit)
    apply_float32_policy(ctx)
    if weights is not None and not spec.trained:
        raise BenchError(f"method {name} takes no trained weights")
    # A name has no ending, a file of weights has one.
    if isinstance(weights, str) and not Path(weights).suffix and not Path(weights).exists():
        titled, weights = weights, None
    card = None
    if titled and weights is not None:
        raise BenchError(f"{name}@{titled} has its weights: leave {weights} out")
    if titled:
        model = open_model(registry.model(f"{name}@{titled}"))
        card, weights = model.card, model.weights(weights_dir=ctx.weights_dir, offline=offline)
        config = {**card.training.config, **config}
    known = card.domains if card else None
    if weights is not None:
        method = load_weights(spec, name, Path(weights), ctx, config)
        known = known or domains_in(Path(weights))
    elif spec.trained:
        raise BenchError(
            f"method {name} is trained: name its weights (weights=…, on the command line --weights)"
        )
    else:
        values: Mapping[str, Any] = {**spec.presets.get("paper", {}), **config}
        settings = make_config("method", name, spec.config, values)
        method = resolve(spec.implementation)(settings, ctx)
    return Translator(method, spec, chosen, domains or known or ("a", "b"), card)
