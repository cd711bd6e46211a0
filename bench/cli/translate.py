"""``bench translate`` and ``bench interpolate``: use a method on pictures of one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.api import BenchError, FramedMethod
from bench.cli import app, tell
from bench.cli import options as o
from bench.plugins import load_plugins
from bench.storage.models import Model, open_model
from bench.suite.presets import PHOTOGRAPHS, TRANSLATOR

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from bench.translator import Translator

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}

MethodName = Annotated[
    str | None,
    typer.Option(
        "--method",
        "-m",
        help="A method's name, or METHOD@MODEL; else the trained model that goes there: of those "
        "here, one with several styles first where they are asked for, then one of photographs "
        f"({PHOTOGRAPHS}), then the one of the largest pictures, then the one of the lowest KID.",
    ),
]
Weights = Annotated[Path | None, typer.Option(help="A file of trained weights.")]
To = Annotated[str, typer.Option(help="Target domain, by its name: winter; or a, b.")]
Domains = Annotated[
    str | None, typer.Option(help="Names of the two domains, for a file.", metavar="A,B")
]
Side = Annotated[
    int | None,
    typer.Option(
        min=16,
        help="Pictures whose shorter side is longer are reduced to it first; else a trained "
        "model's own.",
    ),
]
OutFolder = Annotated[Path, typer.Option("--out", "-o", help="Where pictures go.")]
Seed = Annotated[int, typer.Option(help="Makes other samples.")]


def _inputs(paths: list[Path]) -> list[Path]:
    """Files, and the pictures directly in folders, in order."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise BenchError(f"folder {path} has no pictures")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise BenchError(f"{path} does not exist")
    stems = [path.stem for path in found]
    for path in found:
        if stems.count(path.stem) > 1:
            raise BenchError(f"two inputs are called {path.stem}: translate them apart")
    return found


def _picture(path: Path, side: int | None) -> Image.Image:
    """A picture whose shorter side is `side` at most; never stretched."""
    from PIL import Image

    from bench.data.images import read_image

    image = Image.fromarray(read_image(path))
    if side is None or min(image.size) <= side:
        return image
    new = tuple(round(n * side / min(image.size)) for n in image.size)
    old, now = ("x".join(map(str, size)) for size in (image.size, new))
    tell(f"{path.name}: {old} pixels reduced to {now} (--side)", aside=True)
    return image.resize((new[0], new[1]), Image.Resampling.BICUBIC)


def _read(path: Path, side: int | None) -> torch.Tensor:
    """A picture as float ``(1, 3, H, W)`` in ``[0, 1]``."""
    return _read_alike([path], side)


def _read_alike(paths: list[Path], side: int | None) -> torch.Tensor:
    """Pictures as one ``(N, 3, H, W)``: of the first one's size, cropped and never stretched."""
    import torch
    from PIL import Image, ImageOps

    from bench.data.images import to_float

    pictures = [_picture(path, side) for path in paths]
    bicubic = Image.Resampling.BICUBIC
    alike = [ImageOps.fit(picture, pictures[0].size, bicubic) for picture in pictures]
    pixels = [torch.frombuffer(bytearray(one.tobytes()), dtype=torch.uint8) for one in alike]
    width, height = pictures[0].size
    return to_float(torch.stack(pixels).view(-1, height, width, 3).permute(0, 3, 1, 2))


def _write(path: Path, image: torch.Tensor) -> None:
    from bench.data.images import to_uint8, write_png

    write_png(path, to_uint8(image).permute(1, 2, 0).cpu().numpy())


def _tiled(picture: torch.Tensor, outputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """A photograph, and beside it its outputs in rows; all ``(3, H, W)`` of one size."""
    import torch

    from bench.training.watch import tile

    empty = torch.ones_like(picture)
    across = math.ceil(len(outputs) / max(1, round((len(outputs) / 1.5) ** 0.5)))
    whole = [*outputs, *[empty] * (-len(outputs) % across)]
    starts = range(0, len(whole), across)
    return tile([[empty if at else picture, *whole[at : at + across]] for at in starts])


def _keep_frames(translator: Translator, out: Path, stem: str, first: int) -> None:
    """Let a method write its frames as ``<name>_<sample>-frames/<iteration>.png``."""
    method = translator.method
    if not isinstance(method, FramedMethod):
        raise BenchError(f"method {translator.spec.name} shows no frames: leave out --save-every")

    def on_frame(done: int, iteration: int, images: torch.Tensor) -> None:
        for offset, image in enumerate(images):
            folder = out / f"{stem}_{first + done + offset}-frames"
            _write(folder / f"{iteration:05d}.png", image)

    method.on_frame = on_frame


def _chosen(method: str | None, to: str, plugins: Sequence[Path], *, several: bool) -> str:
    """The title of the trained model that goes to `to`; a method that is not trained is itself.

    Of the models that are here, those with several styles come first where `several` are wanted,
    then those of photographs, then those for larger pictures, then those whose cards have the
    lower KID that way; at last their names decide.
    """
    registry = load_plugins(plugins)
    if method is not None and ("@" in method or not registry.method(method).trained):
        return method
    models = [open_model(s) for s in registry.models.values() if method in (None, s.method)]
    able = [model for model in models if to in ("a", "b", *model.card.domains)]
    if not able:
        known = sorted({name for model in models for name in model.card.domains})
        raise BenchError(
            f"no trained model {f'of {method} ' if method else ''}goes to {to!r} (there are: "
            f"{', '.join(known) or 'none'}): name a file with --weights, or a --method"
        )

    def place(model: Model) -> tuple[object, ...]:
        card = model.card
        fails = several and not registry.method(card.method).multimodal
        photographs = card.training.dataset == PHOTOGRAPHS
        kids = [
            score.value
            for score in card.scores
            if (score.metric, score.subset) == ("kid", "all") and score.direction.endswith(f"2{to}")
        ]
        quality = min(kids, default=math.inf)
        return not model.is_here, fails, not photographs, -card.size, quality, card.title

    return min(able, key=place).card.title


def _open(
    method: str | None,
    weights: Path | None,
    to: str,
    domains: str | None,
    settings: Mapping[str, Any],
    plugins: tuple[Path, ...],
    *,
    several: bool,
    **options: Any,
) -> tuple[Translator, str]:
    """The translator, and the direction that ends at `to`; says which model it is.

    With `several` styles to choose from, where it is not named.
    """
    from bench.translator import load

    names = o.split(domains)
    if names is not None and (len(set(names)) != 2 or len(names) != 2):
        raise BenchError(f"--domains {domains!r}: write two different names joined with a comma")
    clash = sorted(settings.keys() & signature(load).parameters.keys())
    if clash:
        raise BenchError(f"--set {clash[0]}=…: that is no option of a method")
    if weights is not None:
        title = method or TRANSLATOR
    else:
        title = _chosen(method, to, plugins, several=several)
    known = (names[0], names[1]) if names else None if "@" in title else ("summer", "winter")
    translator = load(title, weights, domains=known, plugins=plugins, **options, **settings)
    pair = translator.domains
    if to not in ("a", "b", *pair):
        raise BenchError(f"--to {to!r} is unknown: choose from {', '.join(pair)} (or a, b)")
    if (card := translator.card) is not None:
        told = f"bench weights show {card.title} tells more"
        tell(f"made by {card.title}: {card.summary}; {told}", aside=True)
    return translator, "b2a" if to in ("a", pair[0]) else "a2b"


def _side(translator: Translator, side: int | None) -> int | None:
    """The shorter side that is translated: what is asked for, else what a model is best at."""
    return side if side is not None or translator.card is None else translator.card.size


@app.command()
def translate(
    inputs: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    to: To,
    method: MethodName = None,
    weights: Weights = None,
    out: OutFolder = Path("translated"),
    samples: Annotated[
        int, typer.Option(min=1, help="Outputs per input; several make a sheet, too.")
    ] = 1,
    side: Side = None,
    style_from: Annotated[
        list[Path] | None,
        typer.Option(help="Take the style of this picture of the target domain; may be repeated."),
    ] = None,
    save_every: Annotated[
        int, typer.Option(min=0, help="Keep a frame every so many iterations; 0: none.")
    ] = 0,
    synchronized: Annotated[
        bool, typer.Option("--synchronized", help="The same styles for all inputs.")
    ] = False,
    seed: Seed = 0,
    domains: Domains = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    weights_dir: o.WeightsDir = None,
    offline: o.Offline = False,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="An option of the method.", metavar="KEY=VALUE"),
    ] = None,
    plugin: o.PluginFiles = None,
) -> None:
    """Translate pictures of any size and shape, with a trained model where none is named.

    Writes ``<name>_<sample>.png``, and ``<name>-sheet.png`` where there are several.
    """
    from bench.execution.progress import make_listener
    from bench.storage.files import check_writable
    from bench.training.seeding import derive_seed

    files = _inputs(inputs)
    settings = o.settings_of(setting)
    if save_every:
        settings["save_every"] = save_every
    listener = make_listener()
    translator, direction = _open(
        method,
        weights,
        to,
        domains,
        settings,
        tuple(plugin or ()),
        several=samples > 1 or bool(style_from),
        device=device,
        weights_dir=weights_dir,
        offline=offline,
        emit=partial(listener.event, ""),
    )
    given = style_from or []
    together = translator.styles_per_output
    if len(given) % together:
        raise BenchError(
            f"{translator.spec.name} mixes {together} style pictures in an output: "
            f"--style-from gives {len(given)}"
        )
    side = _side(translator, side)
    styles: list[torch.Tensor | None] = [
        _read_alike(given[k : k + together], side) for k in range(0, len(given), together)
    ]
    check_writable(out)
    with listener:
        for index, file in enumerate(files):
            picture = _read(file, side)
            made: list[torch.Tensor] = []
            for like in styles or [None]:
                if save_every:
                    _keep_frames(translator, out, file.stem, len(made))
                outputs = translator.translate(
                    picture,
                    direction,
                    samples=samples,
                    seed=seed if synchronized else derive_seed("file", seed, index) >> 1,
                    style_from=like,
                )[0]
                for output in outputs:
                    path = out / f"{file.stem}_{len(made)}.png"
                    _write(path, output)
                    tell(path)
                    made.append(output)
            if len(made) > 1:
                path = out / f"{file.stem}-sheet.png"
                _write(path, _tiled(picture[0], made))
                tell(path)


@app.command()
def interpolate(
    image: Annotated[Path, typer.Argument(help="The picture whose content is kept.")],
    to: To,
    out: Annotated[Path, typer.Option("--out", "-o", help="A .png strip or a .gif.")],
    method: MethodName = None,
    weights: Weights = None,
    style_from: Annotated[
        list[Path] | None, typer.Option(help="Two pictures of the target domain to go between.")
    ] = None,
    steps: Annotated[int, typer.Option(min=2, max=200, help="Pictures in all.")] = 9,
    seed: Seed = 0,
    side: Side = None,
    domains: Domains = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    plugin: o.PluginFiles = None,
) -> None:
    """Walk between two styles of one picture: a strip (PNG) or a film (GIF).

    Sampled styles are joined on the sphere (slerp), encoded ones on the line (lerp).
    """
    import torch

    from bench.interpolation import lerp, slerp, write_strip
    from bench.storage.files import check_writable

    if out.suffix.lower() not in (".png", ".gif"):
        raise BenchError(f"--out {out}: write .png for a strip or .gif for a film")
    check_writable(out.parent)
    given = style_from or []
    if len(given) not in (0, 2):
        raise BenchError("--style-from is given twice or not at all")
    translator, direction = _open(
        method, weights, to, domains, {}, tuple(plugin or ()), several=True, device=device
    )
    side = _side(translator, side)
    picture = _read(image, side)
    target = "b" if direction == "a2b" else "a"
    if given:
        first, last = (translator.encode(_read(path, side), target)[1][0] for path in given)
    else:
        first, last = translator.sample_styles(2, seed)
    path_of = lerp if given else slerp
    styles = torch.stack([path_of(first, last, t) for t in torch.linspace(0, 1, steps).tolist()])
    write_strip(out, translator.translate(picture, direction, styles=styles)[0])
    tell(out)
