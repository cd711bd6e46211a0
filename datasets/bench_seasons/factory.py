"""Every picture of a dataset, rendered into files by as many processes as there are cores.

Processes, not threads: at these sizes NumPy's calls are so short that threads spend their
time waiting for the interpreter's lock. They are started as commands of their own, so that
a script which prepares a dataset needs no ``if __name__ == "__main__"``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.api import BenchError, Domain
from bench.data import PARTS
from bench_seasons.config import SeasonsConfig
from bench_seasons.look import MODES, Look
from bench_seasons.render import FIRST_SCENE, SEASON_OF, geometry_of, looks_of, render, truth_of

_OTHER: dict[Domain, Domain] = {"a": "b", "b": "a"}

_SHARE = 50
"""Scenes worth a process of its own: about a second is spent before its first picture."""


def pictures(config: SeasonsConfig, part: str) -> int:
    """How many pictures a part has."""
    return config.train if part.startswith("train") else config.test


def scene_of(config: SeasonsConfig, part: str, index: int) -> int:
    """The number of the scene a picture shows; pairs show those of the first season."""
    return FIRST_SCENE[part[:-1] + "A" if config.pairs else part] + index


def own_look(config: SeasonsConfig, part: str, index: int) -> Look:
    """How the scene of a picture looks in it."""
    return _looks(config, part, index, PARTS[part][1])[0]


def true_looks(config: SeasonsConfig, part: str, index: int) -> list[Look]:
    """How it can look in the other season: once in each mode, the pair first."""
    return _looks(config, part, index, _OTHER[PARTS[part][1]])


def truth_file(part: str) -> str:
    """The name of the array that holds the truth of a test part."""
    return f"truth{part[-1]}"


PLANES = {"classes": np.uint8, "depth": np.uint16}
"""The layers of a scene, as :meth:`bench_seasons.render.Truth.planes` gives them."""


def plane_file(plane: str, part: str) -> str:
    """The name of the array that holds one layer of every scene of a test part."""
    return f"{plane}{part[-1]}"


def _looks(config: SeasonsConfig, part: str, index: int, domain: Domain) -> list[Look]:
    scene = scene_of(config, part, index)
    return looks_of(SEASON_OF[domain], config.seed, scene, config.difficulty)


def render_all(folder: Path, config: SeasonsConfig, progress: Callable[[str], None]) -> list[str]:
    """Write ``<part>.npy`` for the four parts; ``truthA.npy``, ``classesA.npy`` … for the tests.

    Returns
    -------
    The names of the arrays. Pictures are uint8 ``(N, H, W, 3)``, the truth of picture ``i`` begins
    at row ``i · len(MODES)``; layers are ``(N, H, W)``.
    """
    names = []

    def create(name: str, *shape: int, dtype: npt.DTypeLike = np.uint8) -> None:
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape).flush()
        names.append(name)

    side = config.size
    for part in PARTS:
        count = pictures(config, part)
        create(part, count, side, side, 3)
        if part.startswith("test"):
            create(truth_file(part), count * len(MODES), side, side, 3)
            for plane, dtype in PLANES.items():
                create(plane_file(plane, part), count, side, side, dtype=dtype)
    total = sum(pictures(config, part) for part in PARTS)
    crew = max(1, min(_cpus(), total // _SHARE))
    done = _render(folder, config, 0, 1) if crew == 1 else _employ(folder, config, crew)
    shown = time.monotonic()
    for count, _ in enumerate(done, start=1):
        if time.monotonic() - shown > 5:
            shown = time.monotonic()
            progress(f"rendered {count} of {total} scenes")
    return names


def _render(folder: Path, config: SeasonsConfig, first: int, stride: int) -> Iterator[None]:
    """Every ``stride``-th scene from ``first`` on; yields after each."""
    arrays = {
        file.stem: np.load(file, mmap_mode="r+", allow_pickle=False)
        for file in folder.glob("*.npy")
    }
    jobs = [(part, index) for part in PARTS for index in range(pictures(config, part))]
    for part, index in jobs[first::stride]:
        scene = scene_of(config, part, index)
        geometry = geometry_of(config.seed, scene, config.size)

        own = [own_look(config, part, index)]
        arrays[part][index] = render(config.seed, scene, own, config.size, geometry)[0]
        if part.startswith("test"):
            true = true_looks(config, part, index)
            rows = slice(index * len(MODES), (index + 1) * len(MODES))
            pixels = render(config.seed, scene, true, config.size, geometry)
            arrays[truth_file(part)][rows] = pixels
            planes = truth_of(config.seed, scene, config.size, geometry).planes()
            for name, plane in planes.items():
                arrays[plane_file(name, part)][index] = plane
        yield
    for array in arrays.values():
        array.flush()


def _employ(folder: Path, config: SeasonsConfig, crew: int) -> Iterator[None]:
    """Render in ``crew`` processes; yields once for every scene of any of them."""
    ours, theirs = os.pipe()
    # -P: what lies in the working folder must not pass for a package.
    command = [sys.executable, "-P", "-m", __name__, str(folder), config.model_dump_json()]
    command.append(str(crew))
    workers: list[subprocess.Popen[bytes]] = []
    with contextlib.ExitStack() as stack:
        # A file each: the words of one process must not be told as those of another.
        said = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(crew)]
        try:
            with os.fdopen(theirs, "wb") as out:
                workers.extend(
                    subprocess.Popen([*command, str(number)], stdout=out, stderr=said[number])
                    for number in range(crew)
                )
            with os.fdopen(ours, "rb", buffering=0) as scenes:
                while ticks := scenes.read(4096):
                    yield from (None for _ in ticks)
            for worker, words in zip(workers, said, strict=True):
                if worker.wait():
                    words.seek(0)
                    lines = words.read().decode("utf-8", "replace").strip().splitlines()
                    raise BenchError(
                        f"a process that renders landscapes ended with {_cause(worker.returncode)}"
                        + (f": {lines[-1]}" if lines else "")
                    )
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    # A page of a mapped file that finds no room on the disk ends the process this way.
    hint = " (is the disk full?)" if -code == signal.SIGBUS else ""
    return f"{signal.Signals(-code).name}{hint}"


def _cpus() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _main(folder: str, config: str, crew: str, number: str) -> None:
    """One process of the crew: a byte on standard output for every scene."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the one who started it ends it.
    settings = SeasonsConfig.model_validate_json(config)
    for _ in _render(Path(folder), settings, int(number), int(crew)):
        os.write(sys.stdout.fileno(), b".")


if __name__ == "__main__":
    _main(*sys.argv[1:])
