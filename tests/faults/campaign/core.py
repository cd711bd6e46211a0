"""The campaign's words: a place with a finished run, a fault in it, a command, and a promise.

Every case is tried in a fork of its own on a fresh copy of one small finished run. So a fault may
damage the process as well as its files, and a process that hangs, dies or leaves others behind is
seen from outside.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import psutil

from bench import cli
from bench.execution import worker
from bench.launchers import child
from bench.storage.files import file_sha256, read_json_lines
from tests import toys

_SUBREAPER = 36
WITH_PATHS = ("suite.toml", "plan.jsonl", "job.json")
"""Files of a run that say where pictures, plugins and the cache lie."""
SECONDS = 600.0
"""No case may take longer, on however busy a machine; most take less than one of work."""

_PARTS = (
    "-m",
    "toy,negative",
    "-d",
    "image_folder",
    "--data-root",
    "data",
    "--size",
    "32",
    "--directions",
    "a2b",
)
_MORE = ("--samples", "2", "--budget", "4it", "--metrics", "brightness,kid", "--score-at", "2it")
_OFFLINE = ("--offline", "--plugin", "toy_plugin.py")
SUITE = (*_PARTS, *_MORE, *_OFFLINE)
INLINE = ("--plugin", "inline_plugin.py", "--launcher", "inline", "--reports", "")

VERBS: Mapping[str, tuple[str, ...]] = {
    "run": ("run", *SUITE, *INLINE, "--out", "again"),
    "resume": ("run", "--resume", "--out", "run", *INLINE[2:]),
    "plan": ("plan", *SUITE),
    "report": ("report", "run", "--reports", "tables"),
    "merge": ("report", "run", "before", "--merge", "--out", "merged", "--reports", "tables"),
    "compare": ("compare", "before", "run"),
    "replay": ("replay", "run", "--plugin", "toy_plugin.py"),
    "status": ("status", "run"),
    "vote": ("vote", "run", "--export", "page.html"),
    "weights": ("weights", "pack", "run/toy", "--name", "tiny", "--license", "MIT", "--plugin",
                "toy_plugin.py", "--out", "packed"),
    "translate": ("translate", "data/testA/p0.png", "--to", "b", "-m", "negative", "--plugin",
                  "toy_plugin.py", "-o", "out"),
    "score": ("score", "data/testA", "--reference", "data/testB", "--metrics", "kid", "--offline"),
    "data": ("data", "verify", "image_folder", "--data-root", "data"),
    "cache": ("cache", "info"),
}  # fmt: skip
"""What is done to the place; `run` begins anew on the same cache, `resume` goes on."""
REPEATABLE = VERBS.keys() - {"run", "resume"}
"""What says the same whenever nothing is wrong; a run has times of its own."""

FROM_WEIGHTS = """

def _from_weights(cls, path, ctx, **config):
    from bench.storage.weights import read_state

    made = cls(ToyConfig(**config), ctx)
    made.load_state_dict(read_state(path))
    return made


Toy.from_weights = classmethod(_from_weights)
"""

INLINE_PLUGIN = '''
"""A launcher that runs each trial's worker in the process of the run."""

from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from bench.api import Ended, LauncherSpec, hookimpl
from bench.execution import worker


class Inline:
    def __init__(self, config, workers):
        self.ended = []

    def submit(self, task):
        with (task.folder / "log.txt").open("a") as log, redirect_stdout(log), redirect_stderr(log):
            with worker.locked(task.folder):
                worker._run(Path(task.command[-2]), task.folder)
        self.ended.append(Ended(task.trial))

    def poll(self):
        ended, self.ended = self.ended, []
        return ended

    cancel = poll


@hookimpl
def bench_launchers():
    return [LauncherSpec("inline", "in this process", "inline_plugin:Inline")]
'''


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str
    files: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out[-1500:]}\n{self.err[-3000:]}"


class Place:
    """A folder with pictures, plugins, a cache, and a finished run twice: ``run``, ``before``."""

    def __init__(self, root: Path, whole: Path, usual: Mapping[str, Said]) -> None:
        self.root, self.whole, self.usual = root, whole, usual
        self.run, self.cache, self.data = root / "run", root / "cache", root / "data"

    def file(self, pattern: str) -> Path:
        """Return the first file that fits a pattern below the place."""
        return sorted(self.root.glob(pattern))[0]

    def bench(self, *words: str | Path) -> Said:
        """Run the command's own entry point in this process."""
        before = snapshot(self.root)
        out, err = io.StringIO(), io.StringIO()
        sys.argv = ["bench", *map(str, words)]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException:
                code = -1
                traceback.print_exc()
        after = snapshot(self.root)
        files = {name: sha for name, sha in after.items() if before.get(name) != sha}
        gone = {name: "gone" for name in before if name not in after}
        return Said(code, out.getvalue(), err.getvalue(), files | gone)

    def verb(self, name: str) -> Said:
        return self.bench(*VERBS[name])

    def begin(self, *words: str | Path, **env: str) -> Running:
        """Run it in a process of its own, its trials in workers of the local launcher."""
        return Running(self, [str(word) for word in words], env)

    def stage(self, run: str, stage: str) -> Callable[[], bool]:
        """Whether a run has come to a stage of the toy's trial."""

        def come() -> bool:
            file = self.root / run / "events.jsonl"
            rows = read_json_lines(file) if file.exists() else []
            return any(row["stage"] == stage and row["trial"].startswith("toy") for row in rows)

        return come


class Running:
    """A command in a fork; gone at the latest when the case ends."""

    def __init__(self, place: Place, words: list[str], env: Mapping[str, str]) -> None:
        self.place = place
        self.log = Path(tempfile.mkdtemp(dir=place.root.parent)) / "said"
        self.pid = os.fork()
        if self.pid == 0:
            os.environ |= env
            forked = SimpleNamespace(Popen=ForkedWorker, DEVNULL=subprocess.DEVNULL)
            child.subprocess = forked
            said = place.bench(*words)
            self.log.write_text(json.dumps(asdict(said)))
            os._exit(said.code & 255)

    def until(self, happened: Callable[[], bool], seconds: float = 400) -> Running:
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, "nothing happened"
            assert os.waitpid(self.pid, os.WNOHANG)[0] == 0, f"it ended too early: {self._said()}"
            time.sleep(0.01)
        return self

    def send(self, *signals: signal.Signals, apart: float = 0.3) -> Running:
        for number, one in enumerate(signals):
            time.sleep(apart if number else 0)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, one)
        return self

    def end(self) -> Said:
        """Wait for its end."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        return self._said()

    def _said(self) -> Said:
        """What it said; nothing, if it was killed."""
        if not self.log.exists():
            return Said(-9, "", "")
        return Said(**json.loads(self.log.read_text()))


class ForkedWorker:
    """What the local launcher uses of ``subprocess.Popen``; a fork, since imports take seconds."""

    def __init__(
        self, words: Sequence[str], *, stdout: IO[bytes], env: Mapping[str, str], **options: Any
    ) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            os.environ.clear()
            os.environ |= env
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for descriptor in (1, 2):
                os.dup2(stdout.fileno(), descriptor)
            sys.stdout, sys.stderr = (os.fdopen(one, "w", closefd=False) for one in (1, 2))
            code = worker.main(Path(words[-2]), words[-1])
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def poll(self) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


Act = Callable[[Place], Said]
Promise = Callable[[Place, Said], None]
"""Raises AssertionError when it is not kept."""


@dataclass(frozen=True)
class Case:
    """One fault.

    Parameters
    ----------
    kind
        What sort of fault it is; one of `KINDS`.
    verb
        The command that meets it.
    what
        What is injected, and where.
    inject
        Does it to the place.
    promise
        What must hold afterwards.
    act
        The command, where it is not that of `VERBS`.
    stage
        The stage of a trial that meets it, if one does.
    tidy
        No temporary file may be left; a killed process cannot tidy up.
    """

    kind: str
    verb: str
    what: str
    inject: Callable[[Place], Any]
    promise: Promise
    act: Act | None = None
    stage: str = ""
    tidy: bool = True

    def attempt(self, place: Place) -> None:
        """Raise when the promise is not kept."""
        self.inject(place)
        said = self.act(place) if self.act else place.verb(self.verb)
        assert "Traceback" not in said.out + said.err, said
        self.promise(place, said)
        if self.tidy:
            left = [name for name in snapshot(place.root, everything=True) if _TEMPORARY(name)]
            assert not left, f"left behind: {left}"


_TEMPORARY = re.compile(r"(^|/)\.(probe-)?[0-9a-f]{16}|(^|/)\.[^/]*\.[0-9a-f]{16}").search


def snapshot(root: Path, *, everything: bool = False) -> dict[str, str]:
    """Return all files below a folder by their content; without the cache, locks and logs."""
    found = {}
    for file in root.rglob("*"):
        name = file.relative_to(root).as_posix()
        if everything:
            found[name] = ""
        elif file.is_file() and not name.startswith("cache/") and file.name != ".lock":
            found[name] = file_sha256(file)
    return found


# ---------------------------------------------------------------------------- the template


def make_whole(root: Path) -> list[str]:
    """Make the place that all cases get a copy of; gives the modules that it took."""
    toys.make_folder(root / "data")
    (root / "toy_plugin.py").write_text(toys.TOY + FROM_WEIGHTS, "utf-8")
    (root / "inline_plugin.py").write_text(INLINE_PLUGIN, "utf-8")
    done = Place(root, root, {}).bench("run", *SUITE, *INLINE, "--out", "run")
    assert done.code == 0, done
    shutil.copytree(root / "run", root / "before")
    fine = Place(root, root, {}).bench("compare", "run", "before")
    assert fine.code == 0, fine
    return list(sys.modules)


class Campaign:
    """Tries cases, each on a fresh copy of the place, always at the same path.

    Parameters
    ----------
    root
        A folder of its own.
    model
        Another campaign, whose whole place is copied; its root has a name as long as this one's.
    """

    def __init__(self, root: Path, model: Campaign | None = None) -> None:
        self.root, self.place, self.whole = root, root / "place", root / "whole"
        # What a plugin leaves behind becomes a child of this process, and is seen.
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
        self.usual: dict[str, Said] = {}
        self.modules: list[str] = []
        if model is None:
            self.place.mkdir(parents=True)
            self.modules = json.loads(self._in_fork(lambda: make_whole(self.place)))
            self.place.rename(self.whole)
        else:
            shutil.copytree(model.whole, self.whole)
            for file in (f for f in self.whole.rglob("*") if f.name in WITH_PATHS):
                text = file.read_text("utf-8")
                file.write_text(text.replace(str(model.place), str(self.place)), "utf-8")

    def _fresh(self) -> None:
        for old in self.root.iterdir():
            if old != self.whole:
                shutil.rmtree(old)
        shutil.copytree(self.whole, self.place, symlinks=True)

    def _said_usually(self, verb: str) -> Said:
        """What a command says where nothing is wrong."""
        self._fresh()
        place = Place(self.place, self.whole, {})
        said = Said(**json.loads(self._in_fork(lambda: asdict(place.verb(verb)))))
        assert said.code == 0, f"{verb}: {said}"
        return said

    def attempt(self, case: Case) -> str:
        """Return why the promise of a case was not kept; empty: it was."""
        if case.verb in REPEATABLE and case.verb not in self.usual:
            self.usual[case.verb] = self._said_usually(case.verb)
        self._fresh()
        place = Place(self.place, self.whole, self.usual)
        try:
            self._in_fork(lambda: case.attempt(place))
        except AssertionError as error:
            return str(error)
        return ""

    def _in_fork(self, function: Callable[[], Any], seconds: float = SECONDS) -> str:
        """Return what a function gives, as JSON; it runs in a fork, which leaves no process.

        Raises
        ------
        AssertionError
            When it raises, hangs, dies, or leaves a process.
        """
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _become_a_command(self.place)
            answer = {"value": None, "error": ""}
            try:
                answer["value"] = function()
            except BaseException:
                answer["error"] = traceback.format_exc()[-6000:]
            with os.fdopen(writing, "w") as pipe:
                json.dump(answer, pipe)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            ready, _, _ = select.select([pipe], [], [], seconds)
            if not ready:
                os.kill(child, signal.SIGKILL)
            text = pipe.read() if ready else ""
        os.waitpid(child, 0)
        left = _left_behind()
        assert ready, f"it hangs: no end after {seconds:g} s"
        assert text, "its process died"
        answer = json.loads(text)
        assert not answer["error"], answer["error"]
        assert not left, f"processes left behind: {left}"
        return json.dumps(answer["value"])


def _become_a_command(place: Path) -> None:
    """Make a fork as near to a fresh process as it can be."""
    os.chdir(place)
    os.environ |= toys.environment(place / "cache")
    os.environ.pop("BENCH_STORE", None)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _left_behind(patience: float = 2.0) -> list[str]:
    """End all children of this process; gives those that did not go by themselves."""
    deadline = time.monotonic() + patience
    while (left := _living()) and time.monotonic() < deadline:
        time.sleep(0.02)
    names = []
    for one in left:
        with contextlib.suppress(psutil.Error):
            names.append(" ".join(one.cmdline())[:80])
            one.kill()
            one.wait()
    return names


def _living() -> list[psutil.Process]:
    """Children that still run; those that have ended are buried."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return psutil.Process().children(recursive=True)
