"""Plugins that break in every way: each is a row with its reason, and the others run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.compare_runs import numbers
from tests.faults.campaign.core import SUITE, Act, Case, Place, Promise, Said
from tests.faults.campaign.promises import refused, row

METHOD = """
import os, signal, subprocess, sys, threading, time
import torch
from bench.api import MethodSpec, Measurement, MetricSpec, DatasetSpec, hookimpl

class Bad:
    def __init__(self, config, ctx):
        {init}
        self.ctx = ctx

    def fit(self, data, budget):
        {fit}

    def translate(self, images, direction, *, samples, seeds):
        outputs = images[:, None].repeat(1, samples, 1, 1, 1)
        {translate}
        return outputs

    def state_dict(self):
        {state}
        return {{"w": torch.ones(1)}}

    def load_state_dict(self, state):
        pass

def measure(context):
    value = 1.0
    {score}
    return [context.measurement("grey", value, n=1)]

@hookimpl
def bench_methods():
    budgets = {{"demo": "2it"}}
    return [MethodSpec("bad", "bad", "bad_plugin:Bad", trained={trained}, budgets=budgets)]

@hookimpl
def bench_metrics():
    return [MetricSpec("grey", "bad", "bad_plugin:measure", "content", default=False)]

{top}
"""
PARTS = ("init", "fit", "translate", "state", "score", "top")

SEGFAULT = "os.kill(os.getpid(), signal.SIGSEGV)"
HANG = "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(100)"
BUSY = "signal.signal(signal.SIGTERM, signal.SIG_IGN); sum(iter(int, 1))"
IN_WORKER = 'if "BENCH_LAUNCHER_PID" in os.environ: '

ROWS: tuple[tuple[str, str, str, str, str], ...] = (
    # stage, part, code, status, a word of the reason
    *((stage, part, code, status, word)
      for stage, part in (("fit", "fit"), ("translate", "translate"), ("score", "score"))
      for code, status, word in (
          (SEGFAULT, "failed", "SIGSEGV"),
          (HANG, "timeout", "stopped after"),
          (BUSY, "timeout", "stopped after"),
          ("raise SystemExit(0)", "failed", "SystemExit"),
          ("raise ValueError('first\\nsecond')", "failed", "ValueError: first"),
          ("raise MemoryError", "oom", "out of memory"),
          ("raise KeyboardInterrupt", "interrupted", "interrupted"),
          ("os._exit(0)", "failed", "exit code 0"),
          ("raise BaseException", "failed", "BaseException"),
          ("raise RecursionError('x' * 9999)", "failed", "RecursionError"),
      )),
    ("fit", "top", IN_WORKER + SEGFAULT, "failed", "SIGSEGV during the import of plugin bad"),
    ("fit", "top", IN_WORKER + HANG, "timeout", "stopped after"),
    ("fit", "top", IN_WORKER + "raise SystemExit", "failed", "bad_plugin"),
    ("fit", "init", "raise OSError(28, 'No space left on device')", "failed", "No space left"),
    ("fit", "state", "return {'w': torch.full((1,), float('nan'))}", "diverged", "not finite"),
    ("fit", "state", "return {'w': [1, 2]}", "failed", ""),
    ("fit", "state", "return None", "failed", ""),
    ("translate", "translate", "outputs = outputs * float('nan')", "failed", "not finite"),
    ("translate", "translate", "outputs = outputs * float('inf')", "failed", "not finite"),
    ("translate", "translate", "outputs = outputs[:, :, :, 1:]", "failed", "shape"),
    ("translate", "translate", "outputs = outputs[:-1]", "failed", "shape"),
    ("translate", "translate", "outputs = outputs * 2 - 1", "failed", "between 0 and 1"),
    ("translate", "translate", "outputs = outputs.tolist()", "failed", ""),
    ("translate", "translate", "outputs = None", "failed", ""),
    ("translate", "translate", "outputs = (outputs * 255).byte()", "failed", ""),
    ("translate", "translate", "outputs = outputs.double() + 1j", "failed", ""),
    ("score", "score", "value = float('nan')", "failed", "not finite"),
    ("score", "score", "value = float('inf')", "failed", "not finite"),
    ("score", "score", "value = None", "failed", ""),
    ("score", "score", "value = 'high'", "failed", ""),
    ("score", "score", "return None", "failed", ""),
    ("score", "score", "return [1]", "failed", "not a Measurement"),
)  # fmt: skip
"""What ends the plugin's own trial, and no other."""

HARMLESS: tuple[tuple[str, str, str], ...] = (
    (
        "translate",
        "translate",
        "print('PRINTED'); os.write(1, b'WRITTEN'); os.write(2, b'WRITTEN')",
    ),
    ("translate", "translate", "subprocess.Popen(['sleep', '100'])"),
    ("translate", "translate", "subprocess.Popen(['sleep', '100'], stdout=subprocess.DEVNULL)"),
    ("translate", "translate", "threading.Thread(target=time.sleep, args=(100,)).start()"),
    ("translate", "translate", "torch.set_default_dtype(torch.float64)"),
    ("translate", "translate", "torch.set_grad_enabled(False); torch.manual_seed(0)"),
    ("translate", "translate", "torch.use_deterministic_algorithms(True)"),
    ("translate", "translate", "os.chdir('/'); os.environ.clear()"),
    ("translate", "translate", "sys.stdout = sys.stderr = None"),
    ("translate", "translate", "signal.signal(signal.SIGINT, signal.SIG_IGN)"),
    ("translate", "translate", "os.umask(0o777); os.umask(0o022)"),
    ("translate", "translate", "import random; random.seed(0); sys.setrecursionlimit(200)"),
    ("score", "score", "print('PRINTED'); sys.stderr.write('PRINTED')"),
    ("score", "score", "torch.set_default_dtype(torch.float64)"),
    ("fit", "top", "print('PRINTED')"),
)
"""What a trial of another plugin, and the run, must not notice."""

REFUSED: tuple[tuple[str, str], ...] = (
    ("raise SystemExit(3)", "SystemExit: 3"),
    ("raise KeyError('x')", "KeyError"),
    ("import no_such_module", "no_such_module"),
    ("def broken(:", "SyntaxError"),
    ("@hookimpl\ndef bench_reports():\n    return [1]", "TypeError"),
    ("@hookimpl\ndef bench_reports():\n    return None", ""),
    ("@hookimpl\ndef bench_launchers():\n    raise SystemExit", "SystemExit"),
)
"""What is told before anything runs."""


def _written(part: str, code: str, place: Place) -> None:
    parts = dict.fromkeys(PARTS, "pass") | {"trained": part in ("fit", "state")} | {part: code}
    (place.root / "bad_plugin.py").write_text(METHOD.format(**parts), "utf-8")


def _run(part: str, place: Place) -> Said:
    """The bad one beside the toy, which is known; a bad metric beside a good one."""
    spoilt = "negative" if part == "score" else "bad,toy"
    metrics = "brightness,grey" if part == "score" else "brightness,kid"
    words = ["run", "-m", spoilt, *SUITE[2:], "--plugin", "bad_plugin.py", "--metrics", metrics]
    hangs = any(
        text in (place.root / "bad_plugin.py").read_text() for text in ("100)", "iter(int, 1)")
    )
    words += ["--timeout", "30" if hangs else "300", "--set", "local.grace=0.5"]
    return place.begin(*words, "--out", "again", "--reports", "").end()


def _toy_is_as_ever(place: Place) -> None:
    ours, theirs = (
        [row for row in numbers(run)["measurement"].items() if row[0][0] == "toy"]
        for run in (place.whole / "run", place.root / "again")
    )
    assert ours == theirs, "the other trial's numbers have changed"


def _ends_as(part: str, status: str, word: str) -> Promise:
    def check(place: Place, said: Said) -> None:
        row(status, *filter(None, [word]), label="negative" if part == "score" else "bad")(
            place, said
        )
        if part != "score":
            _toy_is_as_ever(place)
        kept = [file for file in place.cache.glob("stages/fit/*/*") if file.is_dir()]
        assert len(kept) == 1, "a failed fit is kept"

    return check


def _unheard(part: str) -> Promise:
    def check(place: Place, said: Said) -> None:
        heard = said.out if part == "top" else said.out + said.err
        assert said.code == 0 and "PRINTED" not in heard, said
        if part != "score":
            _toy_is_as_ever(place)

    return check


def cases() -> Iterator[Case]:
    def case(verb: str, stage: str, part: str, code: str, promise: Promise, act: Act) -> Case:
        what = f"{part}: {' '.join(code.split())[:60]}"
        return Case("bad plugin", verb, what, partial(_written, part, code), promise, act, stage)

    for stage, part, code, status, word in ROWS:
        yield case("run", stage, part, code, _ends_as(part, status, word), partial(_run, part))
    for stage, part, code in HARMLESS:
        yield case("run", stage, part, code, _unheard(part), partial(_run, part))
    for number, (code, word) in enumerate(REFUSED):
        for words in (("run", *SUITE[6:], "-m", "identity"), VERBS_WITH_PLUGIN[number % 4]):
            act = partial(_told, words)
            yield case(words[0], "", "top", code, refused("bad_plugin.py", word), act)


VERBS_WITH_PLUGIN = (
    ("list", "methods"),
    ("plan", "-m", "identity"),
    ("replay", "run"),
    ("report", "run"),
)


def _told(words: tuple[str, ...], place: Place) -> Said:
    return place.bench(*words, "--plugin", "bad_plugin.py")
