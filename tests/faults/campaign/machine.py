"""A machine that fails: kills and full disks at every write, no rights, no network, two at once."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from functools import partial
from typing import Any

from bench.storage.tables import read_run
from bench.voting import server  # noqa: F401  who gives up rights may not read Python itself
from tests.faults.campaign.core import INLINE, SUITE, VERBS, Act, Case, Place, Said
from tests.faults.campaign.promises import (
    as_ever,
    equal,
    fine,
    one_line,
    refused,
    row,
    same,
)

RUN = VERBS["run"]
Damage = Callable[[bytes], bytes]
AGAIN = ("run", "--resume", "--out", "again", *INLINE[2:])
LOCAL = ("run", *SUITE, *INLINE[:2], "--out", "again", "--reports", "", "--set", "local.grace=1")


def cases() -> Iterator[Case]:
    yield from _written()
    yield from _midway()
    yield from _sized()
    yield from _read_only()
    yield from _offline()
    yield from _interrupted()
    yield from _at_once()


def _nothing(place: Place) -> None:
    pass


def _cold(place: Place) -> None:
    """Nothing is known but features."""
    shutil.rmtree(place.cache / "stages")


# ------------------------------------------------------------- each write, killed or refused

WRITES = {
    "*/again/suite.toml": "",
    "*/again/plan.jsonl": "",
    "*/again/environment.json": "",
    "*/again/declared.json": "",
    "*/cache/runs/*.json": "",
    "*/toy*/job.json": "fit",
    "*/checkpoints/KEY": "fit",
    "*/checkpoints/last.pt": "fit",
    "*/checkpoints/seconds": "fit",
    "*/kept/00000002.safetensors": "fit",
    "*/fit.json": "fit",
    "*/stages/fit/??/*": "fit",
    "*/stages/kept/??/*": "fit",
    "*/images/a2b/p1/0.png": "translate",
    "*/checkpoints/translate-a2b.KEY": "translate",
    "*/stages/translate/??/*": "translate",
    "*/measurements.json": "score",
    "*/stages/score/??/*": "score",
    "*/toy*/scored.json": "score",
    "*/time.json": "time",
    "*/stages/time/??/*": "time",
    "*/inputs/image_folder/a2b/p2.png": "time",
    "*/toy*/result.json": "",
    "*/toy*/DONE": "",
    "*/paces/*.json": "",
    "*/again/tables/trials.parquet": "",
    "*/again/tables/comparisons.parquet": "",
    "*/again/DONE": "",
}
"""What a run moves into place, and the stage that does it."""


class Faulty:
    """Does something whenever a file is about to be moved to a place that fits a pattern."""

    def __init__(self, pattern: str, do: Callable[[str], object]) -> None:
        self.pattern, self.do, self.on = pattern, do, True
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "os.rename" and self.on and fnmatch(os.fsdecode(args[1]), self.pattern):
            self.do(os.fsdecode(args[1]))


def _full(path: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def _die(path: str) -> None:
    os._exit(137)


def _killed_at(pattern: str, place: Place) -> Said:
    """Die as by SIGKILL just before a file is in its place, and go on."""
    _dies_at(pattern, place)
    # Killed before it wrote what is to be done: begin anew.
    begun = (place.root / "again" / "suite.toml").exists()
    return place.bench(*(AGAIN if begun else RUN))


def _dies_at(pattern: str, place: Place) -> None:
    child = os.fork()
    if child == 0:
        Faulty(pattern, _die)
        place.bench(*RUN)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 137, f"nothing was written to {pattern}: exit {code}"


def _full_at(pattern: str, place: Place) -> Said:
    """The disk takes no file of this name; then there is room, and the run goes on."""
    disk = Faulty(pattern, _full)
    said = place.bench(*RUN)
    disk.on = False
    assert said.code in (1, 2) and "Traceback" not in said.err, said
    if any(line.startswith("bench: ") for line in said.err.splitlines()):
        one_line(said, "No space left on device", code=said.code)
    else:
        row("failed", "No space left on device")(place, said)
    begun = (place.root / "again" / "suite.toml").exists()
    return place.bench(*(AGAIN if begun else RUN))


def _written() -> Iterator[Case]:
    for pattern, stage in WRITES.items():
        what = f"killed before {pattern[2:]} is in its place"
        act = partial(_killed_at, pattern)
        yield Case("killed", "run", what, _cold, equal("again"), act, stage, tidy=False)
    for pattern, stage in [*WRITES.items()][::2]:
        if "/stages/" not in pattern and not pattern.endswith(_OF_ALL):
            act = partial(_full_at, pattern)
            what = f"no room for {pattern[2:]}"
            yield Case("disk full", "run", what, _cold, equal("again"), act, stage)


# ------------------------------------------------------------------ killed, and then damaged

_OF_ALL = ("measurements.json", "translate-a2b.KEY")
"""What each trial of a run writes: there is no other one that ends well."""
MIDWAY: Mapping[str, tuple[str, ...]] = {
    "*/fit.json": ("KEY", "losses.jsonl", "seconds", "last.pt", "kept/00000002.safetensors"),
    "*/images/a2b/p1/0.png": ("translate-a2b.KEY", "../images/a2b/p0/1.png"),
}
"""Where a run is killed, and what of its checkpoints is damaged then."""
TORN: Mapping[str, Damage] = {
    "emptied": lambda content: b"",
    "cut": lambda content: content[: len(content) * 2 // 3],
    "overwritten": lambda content: b"\xff{}[]\n" * 9,
}


def _torn_midway(killed_at: str, file: str, how: Damage, place: Place) -> Said:
    """Kill a run, damage what it would go on from, and let it go on."""
    _dies_at(killed_at, place)
    (torn,) = place.root.glob(f"again/trials/toy-*/checkpoints/{file}")
    torn.write_bytes(how(torn.read_bytes()))
    return place.bench(*AGAIN)


def _midway() -> Iterator[Case]:
    for killed_at, files in MIDWAY.items():
        stage = "fit" if "fit" in killed_at else "translate"
        for file, (what, how) in itertools.product(files, TORN.items()):
            act = partial(_torn_midway, killed_at, file, how)
            # A state that cannot be read is not passed over: hours of training may be in it.
            lost = file == "losses.jsonl" and what == "cut"
            promise = equal("again", but="loss " if lost else "nothing")
            if file == "last.pt":
                promise = row("failed", "last.pt", "remove it")
            yield Case("damaged checkpoint", "resume", f"killed in {stage}, {file}: {what}", _cold,
                       promise, act, stage, tidy=False)  # fmt: skip


# --------------------------------------------------------------------- files that grow too large


def _small_files(limit: int) -> None:
    """No file may be larger: writing fails in the midst, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def _limited(verb: str, limit: int, place: Place) -> Said:
    """Fail in one line with nothing new in its place; then, with room, do as ever."""
    before = {file for file in place.root.rglob("*") if file.is_file()}
    _small_files(limit)
    said = place.verb(verb)
    _small_files(resource.RLIM_INFINITY)
    assert said.code in (1, 2), said
    if verb != "run":
        one_line(said, code=said.code)
        new = {file for file in place.root.rglob("*") if file.is_file()} - before
        assert all(file.stat().st_size < limit or not limit for file in new), new
    again = AGAIN if verb == "run" and (place.root / "again" / "suite.toml").exists() else ()
    return place.bench(*(again or VERBS[verb]))


def _sized() -> Iterator[Case]:
    for limit in (0, 512, 4096, 12000):
        act = partial(_limited, "run", limit)
        what = f"no file may pass {limit} bytes"
        yield Case("disk full", "run", what, _cold, equal("again"), act)
    for verb in ("vote", "weights", "translate", "merge"):
        for limit in (0, 512):
            act = partial(_limited, verb, limit)
            what = f"no file may pass {limit} bytes"
            yield Case("disk full", verb, what, _nothing, fine(), act)


# ---------------------------------------------------------------------------------- no rights


def _locked(*names: str) -> Callable[[Place], None]:
    """Take the right to write below these; a user who is not root has it everywhere else."""

    def inject(place: Place) -> None:
        closed = [place.root / name for name in names]
        for file in [place.root, *place.root.rglob("*")]:
            usual = 0o777 if file.is_dir() else 0o666
            within = any(file.is_relative_to(one) for one in closed)
            file.chmod(usual & 0o555 if within else usual)
        if os.geteuid() == 0:
            os.setuid(65534)

    return inject


def _read_only() -> Iterator[Case]:
    kind = "read-only"
    for verb, names, words in (
        ("run", ("",), ("cannot write to",)),
        ("run", ("cache",), ("cannot write to", "cache", "BENCH_CACHE")),
        ("resume", ("cache",), ("cannot write to", "cache", "BENCH_CACHE")),
        ("resume", ("run",), ("cannot write to", "run")),
        ("translate", ("",), ("cannot write to", "out")),
        ("weights", ("",), ("cannot write to", "packed")),
    ):
        what = f"the folder {names[0] or 'of all'}"
        yield Case(kind, verb, what, _locked(*names), refused(*words))
    for verb in ("compare", "status", "data", "replay", "score"):
        yield Case(kind, verb, "the folder of all", _locked(""), as_ever(verb))
    for verb in ("report", "vote", "merge"):
        yield Case(kind, verb, "the folder of all", _locked(""), _said_once)


def _said_once(place: Place, said: Said) -> None:
    """Nothing is written, and it is said in one line."""
    assert said.code in (1, 2) and not said.files, said
    told = [line for line in (said.out + said.err).splitlines() if "ermission denied" in line]
    assert len(told) == 1, said


# --------------------------------------------------------------------------------- no network


class Network:
    """Every attempt to reach another machine fails, and is counted."""

    def __init__(self) -> None:
        self.attempts: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
            self.attempts.append(f"{event} {args[1:]}")
            raise OSError(errno.ENETUNREACH, "Network is unreachable")


def _unreachable(words: tuple[str, ...], attempts: bool, place: Place) -> Said:
    network = Network()
    said = place.bench(*words)
    assert bool(network.attempts) == attempts, f"attempts: {network.attempts}; {said}"
    return said


def _offline() -> Iterator[Case]:
    def case(verb: str, promise: Any, *words: str, attempts: bool = False) -> Case:
        act = partial(_unreachable, words, attempts)
        said = "no network" if attempts else "no network, and --offline"
        return Case("no network", verb, f"{said}: {' '.join(words)[:60]}", _nothing, promise, act)

    for verb in ("run", "score", "plan"):
        yield case(verb, fine(), *VERBS[verb])
    for verb in ("report", "compare", "replay", "translate", "data", "weights", "vote", "status"):
        yield case(verb, fine(), *VERBS[verb])
    yosemite = ("data", "fetch", "yosemite")
    yield case("data", refused("offline", "http", "--data-root"), *yosemite, "--offline")
    yield case("data", refused("http"), *yosemite, attempts=True)
    for name in ("weights-inception-2015-12-05-6726825d.pth", "vgg16-397923af.pth"):
        yield case("weights", refused(name, "http", "--weights-dir"), "weights", "fetch", name,
                   attempts=True)  # fmt: skip
    yield case("cache", refused("store"), "cache", "push", "s3://nowhere/folder", attempts=True)
    yield case("doctor", fine(), "doctor")


# ------------------------------------------------------------------------ interrupted and killed

STAGES = {"fit": "TOY_FIT", "translate": "TOY_TRANSLATE", "score": "TOY_SCORE", "time": ""}
SIGNALS = {
    "Ctrl-C": (signal.SIGINT,),
    "Ctrl-C twice": (signal.SIGINT, signal.SIGINT),
    "SIGTERM": (signal.SIGTERM,),
    "SIGKILL": (signal.SIGKILL,),
}


def _stopped_in(stage: str, signals: tuple[signal.Signals, ...], place: Place) -> Said:
    """Stop a run in a stage, see what it says of it, and go on."""
    slow = {STAGES[stage]: "0.6"} if STAGES[stage] else {"TOY_TRANSLATE": "0.3"}
    running = place.begin(*LOCAL, **slow).until(place.stage("again", stage))
    said = running.send(*signals).end()
    if signals[0] != signal.SIGKILL:
        assert said.code == 130 and "toy seed 0" in said.err, said
        assert set(read_run(place.root / "again").trials["status"]) == {"interrupted"}
    assert not (place.root / "again" / "DONE").exists()
    return place.bench(*AGAIN)


def _interrupted() -> Iterator[Case]:
    for stage in STAGES:
        for what, signals in SIGNALS.items():
            act = partial(_stopped_in, stage, signals)
            kind = "killed" if what == "SIGKILL" else "interrupted"
            yield Case(kind, "run", f"{what} in {stage}", _cold, equal("again"), act, stage,
                       tidy=False)  # fmt: skip


# ------------------------------------------------------------------------------------- two at once


def _two_runs(place: Place) -> Said:
    """Two runs of the same suite, on one cold cache."""
    one = place.begin(*LOCAL)
    other = place.begin(*(w if w != "again" else "other" for w in LOCAL))
    first, second = one.end(), other.end()
    fine()(place, second)
    same(place, place.root / "other")
    return first


def _while_it_runs(words: tuple[str, ...], promise: Any, place: Place) -> Said:
    """Another command meets a run that is under way."""
    running = place.begin(*LOCAL, TOY_FIT="0.4").until(place.stage("again", "fit"))
    promise(place, place.bench(*(word.format(place=place.root) for word in words)))
    return running.end()


def _at_once() -> Iterator[Case]:
    kind = "two at once"
    yield Case(kind, "run", "two runs, one cold cache", _cold, equal("again"), _two_runs)
    in_use = partial(_in_one_line, "in use by another bench run")
    meet: dict[str, tuple[tuple[str, ...], Any]] = {
        "a second --resume": (AGAIN, in_use),
        "a second run into one folder": (RUN, partial(_in_one_line, "holds a run already")),
        "status": (("status", "again"), fine("running")),
        "cache clean": (("cache", "clean", "--days", "0", "--yes"), fine("kept")),
        "report": (("report", "again"), _answered),
        "cache push": (("cache", "push", "file://{place}/store"), fine("pushed")),
    }
    for what, (words, promise) in meet.items():
        act: Act = partial(_while_it_runs, words, promise)
        verb = "run" if what.startswith("a ") else what.split()[0]
        yield Case(kind, verb, f"{what} while a run is under way", _cold, equal("again"), act)


def _in_one_line(words: str, place: Place, said: Said) -> None:
    one_line(said, words)


def _answered(place: Place, said: Said) -> None:
    assert said.code in (0, 1, 2), said
