"""``bench translate`` and ``bench interpolate``: use a method on pictures of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.api import BenchError, FramedMethod
from bench.cli import app
from bench.cli import options as o
from bench.suite.presets import TRANSLATOR

if TYPE_CHECKING:
    import torch

    from bench.api import Event
    from bench.translator import Translator

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}

MethodName = Annotated[str, typer.Option("--method", "-m", help="A method's name.")]
Weights = Annotated[Path | None, typer.Option(help="Trained weights.")]
To = Annotated[str, typer.Option(help="Target domain: a, b, or its name with --domains.")]
Domains = Annotated[str, typer.Option(help="Names of the two domains.", metavar="A,B")]
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


def _read(path: Path) -> torch.Tensor:
    """A picture as float ``(1, 3, H, W)`` in ``[0, 1]``."""
    import torch

    from bench.data.images import read_image, to_float

    return to_float(torch.from_numpy(read_image(path)).permute(2, 0, 1).unsqueeze(0))


def _read_alike(paths: list[Path]) -> torch.Tensor:
    """Pictures as one ``(N, 3, H, W)``: of the first one's size, cropped and never stretched."""
    import torch
    from PIL import Image, ImageOps

    from bench.data.images import read_image, to_float

    pictures = [Image.fromarray(read_image(path)) for path in paths]
    bicubic = Image.Resampling.BICUBIC
    alike = [ImageOps.fit(picture, pictures[0].size, bicubic) for picture in pictures]
    pixels = [torch.frombuffer(bytearray(one.tobytes()), dtype=torch.uint8) for one in alike]
    width, height = pictures[0].size
    return to_float(torch.stack(pixels).view(-1, height, width, 3).permute(0, 3, 1, 2))


def _write(path: Path, image: torch.Tensor) -> None:
    from bench.data.images import to_uint8, write_png

    write_png(path, to_uint8(image).permute(1, 2, 0).cpu().numpy())


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


def _open(
    method: str,
    weights: Path | None,
    to: str,
    domains: str,
    settings: Mapping[str, Any],
    **options: Any,
) -> tuple[Translator, str]:
    """The translator, and the direction that ends at `to`."""
    from bench.translator import load

    names = o.split(domains) or []
    if len(set(names)) != 2 or len(names) != 2:
        raise BenchError(f"--domains {domains!r}: write two different names joined with a comma")
    if to not in ("a", "b", *names):
        raise BenchError(f"--to {to!r} is unknown: choose from {', '.join(names)} (or a, b)")
    direction = "b2a" if to in ("a", names[0]) else "a2b"
    clash = sorted(settings.keys() & signature(load).parameters.keys())
    if clash:
        raise BenchError(f"--set {clash[0]}=…: that is no option of a method")
    translator = load(method, weights, domains=(names[0], names[1]), **options, **settings)
    return translator, direction


@app.command()
def translate(
    inputs: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    to: To,
    method: MethodName = TRANSLATOR,
    weights: Weights = None,
    out: OutFolder = Path("translated"),
    samples: Annotated[int, typer.Option(min=1, help="Outputs per input.")] = 1,
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
    domains: Domains = "summer,winter",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    weights_dir: o.WeightsDir = None,
    offline: o.Offline = False,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="An option of the method.", metavar="KEY=VALUE"),
    ] = None,
    plugin: o.PluginFiles = None,
) -> None:
    """Translate pictures of any size; writes PNGs ``<name>_<sample>.png``, never stretched."""
    from bench.cli.progress import make_listener
    from bench.storage.files import check_writable
    from bench.training.seeding import derive_seed

    files = _inputs(inputs)
    settings = o.settings_of(setting)
    if save_every:
        settings["save_every"] = save_every
    listener = make_listener()

    def emit(event: Event) -> None:
        listener.event("", event)

    translator, direction = _open(
        method,
        weights,
        to,
        domains,
        settings,
        device=device,
        weights_dir=weights_dir,
        offline=offline,
        plugins=tuple(plugin or ()),
        emit=emit,
    )
    given = style_from or []
    together = translator.styles_per_output
    if len(given) % together:
        raise BenchError(
            f"{method} mixes {together} style pictures in an output: --style-from gives "
            f"{len(given)}"
        )
    styles: list[torch.Tensor | None] = [
        _read_alike(given[k : k + together]) for k in range(0, len(given), together)
    ]
    check_writable(out)
    with listener:
        for index, file in enumerate(files):
            picture = _read(file)
            written = 0
            for like in styles or [None]:
                if save_every:
                    _keep_frames(translator, out, file.stem, written)
                outputs = translator.translate(
                    picture,
                    direction,
                    samples=samples,
                    seed=seed if synchronized else derive_seed("file", seed, index) >> 1,
                    style_from=like,
                )[0]
                for output in outputs:
                    path = out / f"{file.stem}_{written}.png"
                    _write(path, output)
                    typer.echo(path)
                    written += 1


@app.command()
def interpolate(
    image: Annotated[Path, typer.Argument(help="The picture whose content is kept.")],
    to: To,
    out: Annotated[Path, typer.Option("--out", "-o", help="A .png strip or a .gif.")],
    method: MethodName = TRANSLATOR,
    weights: Weights = None,
    style_from: Annotated[
        list[Path] | None, typer.Option(help="Two pictures of the target domain to go between.")
    ] = None,
    steps: Annotated[int, typer.Option(min=2, max=200, help="Pictures in all.")] = 9,
    seed: Seed = 0,
    domains: Domains = "summer,winter",
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
        method, weights, to, domains, {}, device=device, plugins=tuple(plugin or ())
    )
    picture = _read(image)
    target = "b" if direction == "a2b" else "a"
    if given:
        first, last = (translator.encode(_read(path), target)[1][0] for path in given)
    else:
        first, last = translator.sample_styles(2, seed)
    path_of = lerp if given else slerp
    styles = torch.stack([path_of(first, last, t) for t in torch.linspace(0, 1, steps).tolist()])
    write_strip(out, translator.translate(picture, direction, styles=styles)[0])
    typer.echo(out)
