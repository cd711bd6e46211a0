"""What users give: pictures, names, archives, weights, options, suites, and too little of it."""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from tests.contract.test_contracts import TINY
from tests.faults.campaign.core import INLINE, SUITE, VERBS, Case, Place, Promise, Said
from tests.faults.campaign.promises import fine, one_line, refused

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def cases() -> Iterator[Case]:
    yield from _pictures()
    yield from _names()
    yield from _counts()
    yield from _archives()
    yield from _weights()
    yield from _options()
    yield from _suites()


def _nothing(place: Place) -> None:
    pass


# ---------------------------------------------------------------------------------- pictures


def _png(pixels: Any = PIXELS, form: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, format=form, **options)
    return file.getvalue()


def _huge() -> bytes:
    data = bytearray(_png())
    data[16:24] = struct.pack(">II", 40000, 40000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


BAD: Mapping[str, bytes | None] = {
    "empty": b"",
    "text": b"no picture",
    "cut in half": _png()[: len(_png()) // 2],
    "without its end": _png()[:-60],
    "a JPEG cut in half": _png(form="JPEG")[:400],
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n%%EOF\n",
    "of 1600 megapixels": _huge(),
    "of floats": _png(np.ones((8, 8), np.float32), "TIFF"),
    "a link to nothing": None,
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}
_TURNED = bytes.fromhex("45786966000049492a00080000000100120103000100000006000000")
GOOD: Mapping[str, bytes] = {
    "16 bits": _png(PIXELS[..., 0].astype(np.uint16) * 257),
    "gray": _png(mode="L"),
    "black and white": _png(mode="1"),
    "palette": _png(mode="P"),
    "alpha": _png(mode="RGBA"),
    "CMYK as JPEG": _png(form="JPEG", mode="CMYK"),
    "a WebP called PNG": _png(form="WEBP"),
    "turned by EXIF": _png(form="JPEG", exif=_TURNED),
    "32 by 500 pixels": _png(np.zeros((500, 32, 3), np.uint8)),
    "bytes after its end": _png() + b"more",
}  # fmt: skip


def _put(name: str, content: bytes | None, place: Place) -> None:
    for part in ("testA", "trainB"):
        file = place.data / part / name
        if content is None:
            file.symlink_to("nowhere")
        else:
            file.write_bytes(content)


def _blamed(name: str) -> Promise:
    """The file is named: in one line, in a row, or in what is found."""

    def check(place: Place, said: Said) -> None:
        assert said.code in (1, 2), said
        if said.code == 2:
            one_line(said, name)
        assert name in said.out + said.err, said

    return check


def _one(*words: str) -> Callable[[Place], Said]:
    return lambda place: place.bench(*words)


UNKNOWN = (
    "run",
    "-m",
    "negative",
    *SUITE[2:],
    *INLINE,
    "--out",
    "again",
    "--metrics",
    "brightness",
)
ONE_PICTURE = ("translate", "data/testA/odd.png", *VERBS["translate"][2:])


def _pictures() -> Iterator[Case]:
    acts = {"plan": None, "data": None, "run": _one(*UNKNOWN), "translate": _one(*ONE_PICTURE),
            "score": None}  # fmt: skip
    for number, (what, content) in enumerate(BAD.items()):
        inject = partial(_put, "odd.png", content)
        for verb, act in acts.items():
            if verb in ("run", "score") and number % 2:
                continue
            if verb == "plan" and content is not None and number not in (0, 1):
                continue  # a plan reads headers alone
            yield Case("bad picture", verb, f"a picture {what}", inject, _blamed("odd.png"), act)
    for number, (what, content) in enumerate(GOOD.items()):
        inject = partial(_put, "odd.png", content)
        for verb, act in acts.items():
            if verb in ("run", "score") and number % 4:
                continue
            yield Case("odd picture", verb, f"a picture: {what}", inject, fine(), act)


# ------------------------------------------------------------------------------------- names

NAMES = (
    "<script>alert(1)", "'quoted\"", "=1+1", "new\nline", "-rf", "ünï😀", " spaces ",
    "..odd", "a" * 240, "esc\x1b[31m\x07", "%s%d{}", "CON", "$(reboot)", "back\\slash", "a.b.c",
    "\udcff",
)  # fmt: skip


def _inert(place: Place, said: Said) -> None:
    """All is well, and nothing steers a terminal, a page or a table."""
    assert said.code == 0, said
    assert "\x1b" not in said.out + said.err and "\x07" not in said.out + said.err, said
    report = place.root / "again" / "report"
    for file in report.rglob("*") if report.exists() else ():
        if file.suffix in (".html", ".csv", ".md", ".tex"):
            text = file.read_text("utf-8")
            assert "<script>alert" not in text and "\x1b" not in text, file
            cells = re.split(r"[,\n]", text) if file.suffix == ".csv" else []
            assert not any(cell.lstrip('"').startswith(("=1", "-rf")) for cell in cells), file


def _names() -> Iterator[Case]:
    page = _one(*UNKNOWN, "--reports", "html,tables")
    for number, name in enumerate(NAMES):
        file = f"{name}.png"
        inject = partial(_put, file, _png(PIXELS[::-1]))
        shown = f"a picture called {name[:30]!r}"
        words = ("translate", f"data/testA/{file}", *VERBS["translate"][2:])
        yield Case("odd name", "data", shown, inject, _inert)
        yield Case("odd name", "translate", shown, inject, _inert, _one(*words))
        if number % 3 == 0 or name == NAMES[-1]:
            yield Case("odd name", "run", shown, inject, _inert, page)
        if number % 4 == 1 or name == NAMES[-1]:
            yield Case("odd name", "score", shown, inject, _inert)


# ------------------------------------------------------------------------------------ too few


def _only(count: int, parts: tuple[str, ...], place: Place) -> None:
    for part in parts:
        for file in sorted((place.data / part).iterdir())[count:]:
            file.unlink()


def _counted(place: Place, said: Said) -> None:
    """It says of which part, or how many; or all is well."""
    assert said.code in (0, 1, 2), said
    if said.code == 2:
        one_line(said)
        assert any(p in said.err for p in ("trainA", "trainB", "testA", "testB", "image")), said


def _counts() -> Iterator[Case]:
    for parts in (("testA",), ("testB",), ("trainA",), ("trainB",), ("testA", "testB"),
                  ("testA", "testB", "trainA", "trainB")):  # fmt: skip
        for count in (0, 1, 2):
            inject = partial(_only, count, parts)
            what = f"{count} pictures in {' '.join(parts)}"
            told = refused("holds no images") if count == 0 else fine()
            yield Case("too few", "plan", what, inject, told)
            if len(parts) != 2:
                yield Case("too few", "run", what, inject, told, _one(*UNKNOWN[:-1], "kid,fid"))
    for count in (0, 1, 2):
        inject = partial(_only, count, ("testA",))
        told = refused("testA") if count == 0 else _counted
        yield Case("too few", "score", f"{count} pictures to score", inject, told)
        inject = partial(_only, count, ("testB",))
        told = refused("testB") if count == 0 else _counted
        yield Case("too few", "score", f"{count} real pictures", inject, told)


# ----------------------------------------------------------------------------------- archives

_ZIP = "cache/datasets/yosemite/summer2winter_yosemite.zip"


def _zipped(*entries: tuple[str, bytes, int]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return file.getvalue()


def _archive(content: bytes, place: Place) -> None:
    file = place.root / _ZIP
    file.parent.mkdir(parents=True)
    file.write_bytes(content)


_GOOD_ZIP = _zipped(("testA/a.png", _png(), 0o644))
ARCHIVES: Mapping[str, bytes] = {
    "empty": b"",
    "cut in half": _GOOD_ZIP[: len(_GOOD_ZIP) // 2],
    "text": b"<html>404</html>",
    "with a bit flipped": _GOOD_ZIP[:60] + bytes([_GOOD_ZIP[60] ^ 1]) + _GOOD_ZIP[61:],
    "of another content": _GOOD_ZIP,
    "without entries": _zipped(),
    "that climbs": _zipped(("../../../escaped", b"x", 0o644)),
    "with an absolute name": _zipped(("/var/escaped", b"x", 0o644)),
    "with a drive": _zipped(("C:/escaped", b"x", 0o644)),
    "with a backslash": _zipped(("..\\escaped", b"x", 0o644)),
    "with a link": _zipped(("escaped", b"/etc/passwd", 0o120777)),
    "with a device": _zipped(("escaped", b"", 0o020666)),
    "with one name twice": _zipped(("a.png", b"x", 0o644), ("A.png", b"y", 0o644)),
    "that is a bomb": _zipped(("bomb", bytes(64 << 20), 0o644)),
}


def _nothing_unpacked(place: Place, said: Said) -> None:
    one_line(said, "summer2winter_yosemite.zip")
    assert not list(place.root.rglob("*escaped*")) and not list(place.root.rglob("bomb"))
    assert not (place.root / _ZIP).with_suffix("").exists()


def _archives() -> Iterator[Case]:
    for what, content in ARCHIVES.items():
        inject = partial(_archive, content)
        fetch = _one("data", "fetch", "yosemite", "--offline")
        yield Case("bad archive", "data", f"an archive {what}", inject, _nothing_unpacked, fetch)


# ------------------------------------------------------------------------------------ weights


class _Malice:
    """A pickle that makes a folder when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("escaped",)


def _state(method: str) -> dict[str, Any]:
    import torch

    from bench.api import Context
    from bench.plugins import load_plugins, resolve

    spec = load_plugins().method(method)
    made = resolve(spec.implementation)(spec.config(**TINY[method]), Context(torch.device("cpu")))
    return dict(made.state_dict())


def _bad_state(what: str, state: dict[str, Any]) -> Any:
    import torch

    name = next(name for name, value in state.items() if value.is_floating_point() and value.dim())
    changed = {
        "with NaN": torch.full_like(state[name], float("nan")),
        "with whole numbers": state[name].to(torch.int64),
        "of another shape": torch.zeros(*state[name].shape, 2),
        "with text for a tensor": "text",
    }
    match what:
        case "that is a list":
            return list(state.values())
        case "with numbers for names":
            return dict(enumerate(state.values()))
        case "without a tensor":
            return {key: value for key, value in state.items() if key != name}
        case "with a tensor too many":
            return {**state, "more": torch.zeros(1)}
        case "without any tensor":
            return {}
        case "with code":
            return {**state, "code": _Malice()}
    return {**state, name: changed[what]}


STATES = (
    "with NaN", "with whole numbers", "of another shape", "with text for a tensor",
    "that is a list", "with numbers for names", "without a tensor", "with a tensor too many",
    "without any tensor", "with code",
)  # fmt: skip
FILES = ("empty", "cut in half", "text", "a bare pickle with code", "a folder")


def _weights_file(method: str, what: str, place: Place) -> None:
    import torch

    file = place.root / "w.pt"
    if what in STATES:
        torch.save(_bad_state(what, _state(method)), file)
        return
    torch.save(_state(method), file)
    whole = file.read_bytes()
    file.unlink()
    if what == "a folder":
        file.mkdir()
        return
    kinds = {"empty": b"", "cut in half": whole[: len(whole) // 2], "text": b"hello"}
    file.write_bytes(kinds.get(what) if what in kinds else pickle.dumps(_Malice()))  # type: ignore[arg-type]


def _not_run(place: Place, said: Said) -> None:
    refused("w.pt")(place, said)
    assert not list(place.root.rglob("escaped")), "the code was run"


def _weights() -> Iterator[Case]:
    for number, method in enumerate(("munit", "cyclegan", "bicyclegan", "cut")):
        picture = ("data/testA/p0.png", "--to", "b", "-o", "out")
        translate = ("translate", *picture, "-m", method, "--weights", "w.pt")
        convert = ("weights", "convert", "w.pt", "w.safetensors", "-m", method)
        for turn, what in enumerate((*FILES, *STATES)):
            inject = partial(_weights_file, method, what)
            yield Case("bad weights", "translate", f"{method}'s weights {what}", inject, _not_run,
                       _one(*translate))  # fmt: skip
            if turn % 4 == number:
                yield Case("bad weights", "weights", f"{method}'s weights {what}", inject, _not_run,
                           _one(*convert))  # fmt: skip
    name = "weights-inception-2015-12-05-6726825d.pth"
    for what, content in {"other bytes": b"x" * 999, "empty": b""}.items():
        inject = partial(_metric_weights, name, content)
        for verb in ("score", "run"):
            words = (*VERBS[verb], "--weights-dir", "w")
            yield Case("bad weights", verb, f"{name}: {what}", inject, _named(name), _one(*words))


def _metric_weights(name: str, content: bytes, place: Place) -> None:
    (place.root / "w").mkdir()
    (place.root / "w" / name).write_bytes(content)


def _named(name: str) -> Promise:
    def check(place: Place, said: Said) -> None:
        assert said.code in (1, 2) and name in said.out + said.err, said

    return check


# ------------------------------------------------------------------------------------ options

_PICTURES = ("--content", "data/testA/p0.png", "--style", "data/testA/p0.png", "--out", "x")
WRONG: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "run": (
        ("-m", "identiti"), ("-m", ""), ("-m", "identity,identity"), ("--budget", "10 parsecs"),
        ("--budget", "0it"), ("--directions", "a2c"), ("--device", "gpu"), ("--device", "cuda:99"),
        ("--precision", "fp8"), ("--preset", "fast"), ("--size", "8"), ("--samples", "0"),
        ("--seeds", "1,x"), ("--seeds", "1,1"), ("--workers", "0"), ("--timeout", "-1"),
        ("--timeout", "nan"), ("--test-limit", "0"), ("--metrics", "kidd"), ("--launcher", "locl"),
        ("--reports", "htm"), ("--set", "toy"), ("--set", "toy.width=many"), ("--set", "toy.x=1"),
        ("--set", "kid.x=1"), ("--weights-dir", "nowhere"), ("--plugin", "nowhere.py"),
        ("-m", "outputs"), ("-m", "outputs:nowhere"), ("-m", "toy@nothing"), ("--out", "x" * 300),
        ("--out", "data"), ("--out", "toy_plugin.py"), ("--out", "toy_plugin.py/x"),
        ("--out", "run"), ("--score-at", "soon"), ("--data-root", "nowhere"),
        ("--size", "99999999"),
    ),
    "report": (
        ("gone",), ("data",), ("run", "before"), ("run", "--out", "x"), ("run", "--reports", "htm"),
        ("run", "--set", "html"), ("run", "--set", "html.x=1", "--reports", "html"),
        ("run", "gone", "--merge"), ("run", "--plugin", "gone.py"), ("toy_plugin.py",),
    ),
    "compare": (
        ("run", "gone"), ("data", "run"), ("run", "before", "--fail-if", "kid wurse"),
        ("run", "before", "--fail-if", ""), ("run", "before", "--fail-if", "nothing worse"),
        ("run", "before", "--page", "toy_plugin.py"),
    ),
    "replay": (
        ("gone",), ("data",), ("run",), ("run", "-m", "nothing", "--plugin", "toy_plugin.py"),
        ("run", "--plugin", "toy_plugin.py", "--data-root", "gone"),
        ("run", "--plugin", "toy_plugin.py", "--device", "cuda:99"),
    ),
    "score": (
        ("gone", "--reference", "data/testB"), ("data/testA", "--reference", "gone"),
        ("data/testA",), ("data/testA", "--reference", "data/testB", "--csv", "data"),
        ("data/testA", "--reference", "data/testB", "--metrics", "kidd"),
        ("data/testA", "--reference", "data/testB", "--size", "64"),
        ("data/testA", "--reference", "data/testB", "--device", "gpu"),
        ("data/testA", "--reference", "data/testB", "--set", "kid"),
        ("data/testA", "--reference", "data/testB", "--set", "kid.x=1"),
        ("data/testA", "-d", "image_folder", "--data-root", "data", "--direction", "a2c"),
        ("run", "--reference", "data/testB"), ("data/testA", "--reference", "toy_plugin.py"),
    ),
    "translate": (
        ("gone.png", "--to", "b"), ("data/testA/p0.png", "--to", "mars", "-m", "identity"),
        ("data/testA/p0.png", "--to", "b", "-m", "nobody"), ("toy_plugin.py", "--to", "b"),
        ("data/testA/p0.png", "--to", "b", "-m", "munit", "--weights", "gone.pt"),
        ("data/testA/p0.png", "--to", "b", "-m", "identity", "-o", "toy_plugin.py"),
        ("data/testA/p0.png", "data/testB/p0.png", "--to", "b", "-m", "identity"),
        ("data/testA/p0.png", "--to", "b", "-m", "color_transfer"),
        ("data/testA/p0.png", "--to", "b", "-m", "identity", "--set", "x=1"),
        ("data/testA/p0.png", "--to", "b", "--domains", "a"), ("data", "--to", "b"),
        ("data/testA/p0.png", "--to", "b", "-m", "identity", "--save-every", "1"),
        ("data/testA/p0.png", "--to", "b", "-m", "identity", "--style-from", "gone.png"),
    ),
    "weights": (
        ("show", "munit@nothing"), ("show", "nothing"), ("verify", "x@y"), ("fetch", "nothing.pth"),
        ("convert", "gone.pt", "x.safetensors", "-m", "munit"),
        ("convert", "gone.pt", "x.pt", "-m", "munit"), ("convert", "data", "x", "-m", "nobody"),
        ("pack", "gone/toy", "--name", "n", "-o", "o", "--license", "MIT"),
        ("pack", "run/nobody", "--name", "n", "-o", "o", "--license", "MIT"),
        ("pack", "run/negative", "--name", "n", "-o", "o", "--license", "MIT"),
        ("pack", "run/toy", "--name", "../n", "-o", "o", "--license", "MIT", "--plugin",
         "toy_plugin.py"),
        ("pack", "run/toy", "--name", "n", "-o", "toy_plugin.py", "--license", "MIT", "--plugin",
         "toy_plugin.py"),
    ),
    "cache": (("push",), ("pull",), ("pull", "nosuch://x"), ("push", "file:///proc/nowhere")),
    "vote": (
        ("gone", "--export", "x.html"), ("run", "--export", "x.txt"),
        ("run", "--methods", "nobody", "--export", "x.html"), ("run", "--take", "gone.json"),
        ("run", "--export", "toy_plugin.py/x.html"),
        ("run", "--methods", "toy", "--export", "x.html"),
    ),
    "plan": (("-m", "identiti"), ("-d", "nothing"), ("nosuite.toml",), ("data",), ("--set", "x=1")),
    "status": (("gone",), ("data",)),
    "watch": (("gone",), ("data",)),
    "list": (("methods", "--plugin", "gone.py"),),
    "data": (
        ("verify", "nothing"), ("verify", "image_folder"),
        ("fetch", "seasons", "--data-root", "data"),
        ("fetch", "seasons", "--set", "x=1"), ("make", "seasons", "--out", "data"),
        ("make", "seasons", "--out", "toy_plugin.py/x"),
        ("make", "seasons", "--out", "x", "--size", "3"),
        ("audit", "image_folder", "--data-root", "gone"), ("verify", "image_folder", "--data-root",
         "toy_plugin.py"),
    ),
    "new": (
        ("method", "Bad-Name"), ("method", "toy_plugin"), ("method", "class"), ("method", "munit"),
    ),
    "check": (("gone.py",), ("nobody",), ("data",)),
    "explain": (
        ("nobody", *_PICTURES), ("identity", *_PICTURES),
        ("neural_style", *_PICTURES[:-3], "gone.png", *_PICTURES[-2:]),
        ("neural_style", *_PICTURES, "--iterations", "0"),
        ("neural_style", *_PICTURES, "--size", "0"),
    ),
    "interpolate": (
        ("data/testA/p0.png", "--to", "b", "-m", "identity", "-o", "walk.txt"),
        ("gone.png", "--to", "b", "-o", "walk.gif"),
    ),
    "metrics": (
        ("audit", "-d", "nothing", "--out", "x.md"),
        ("audit", "-d", "image_folder", "--data-root", "data", "--out", "x.md", "--direction", "c"),
    ),
}  # fmt: skip


def _options() -> Iterator[Case]:
    for verb, wrongs in WRONG.items():
        for words in wrongs:
            usual = VERBS["run"] if verb == "run" else (verb,)
            what = f"{verb} … {' '.join(words)[-70:]}"
            yield Case("wrong option", verb, what, _nothing, _told, _one(*usual, *words))


def _told(place: Place, said: Said) -> None:
    """One line, or a usage error of the command line's own; nothing written."""
    assert said.code == 2 and not said.files, said
    if "Usage:" not in said.err:
        one_line(said)


SUITES = (
    "methds = ['identity']", "methods = ['identity'\n", "methods = 'identity'", "methods = []",
    "methods = [5]", "methods = [{}]", "methods = [{name = 5}]", "methods = ['']",
    "dataset = 'seasons'\ndatasets = ['seasons']", "datasets = 5", "datasets = []",
    "datasets = ['seasons', 'seasons']", "dataset = 'seasons'\n[launchers.loca]\nx = 1",
    "dataset = 'seasons'\n[launchers.local]\nx = 1", "dataset = 'seasons'\n[reports.html]\nx = 1",
    "dataset = 'seasons'\n[metric_options.kid]\nx = 1", "dataset = 'seasons'\nlaunchers = 7",
    "preset = ['demo']", "dataset = 5", "[dataset]\nroot = 'x'", "seeds = [0.5]", "seeds = []",
    "seeds = 'x'", "size = 'big'", "size = -1", "size = inf", "samples = 1e99", "plugins = [1]",
    "seeds = [99999999999999999999]", "[[methods]]\nname = 'munit'\nweights = 'no.pt'",
    "[[methods]]\nname = 'munit'\nconfig = 5",
    "budget = 5", "budget = '-3it'", "metrics = 'kid'", "metrics = [[]]", "device = 1979-05-27",
    "timeout = 'soon'", "workers = true", "directions = ['a2b', 'a2b']", "offline = 'perhaps'",
    "\x00", "= 1", "a" * 5000, "[[[[", "size = 64\nsize = 64", "methods = ['a\\u0000b']",
)  # fmt: skip


def _suites() -> Iterator[Case]:
    for number, text in enumerate(SUITES):
        verb = ("plan", "run")[number % 2]
        words = (verb, "suite.toml", *(("--out", "again") if verb == "run" else ()))
        inject = partial(_suite, text)
        what = " ".join(text.split())[:70]
        yield Case("wrong suite", verb, what, inject, _told, _one(*words))


def _suite(text: str, place: Place) -> None:
    (place.root / "suite.toml").write_text(text, "utf-8")
