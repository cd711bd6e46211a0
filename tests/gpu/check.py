"""What a GPU makes of the suite, in one command of ten minutes: ``make gpu-check``.

Parity first, then milliseconds an iteration against the roofline, images a second against the
batch, and a short run of the preset ``paper``; docs/performance-gpu.md is written from them. On a
machine without a GPU the whole course is run on tiny shapes: it shows that it can be run, its
page lies elsewhere, and no figure stands in it.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

import bench
from bench.api import A2B, Context
from bench.code import commit
from bench.devices import (
    describe_device,
    describe_gpus,
    is_out_of_memory,
    peak_memory_mb,
    reset_peak_memory,
    synchronize,
)
from bench.nn.precision import float32
from bench.training.capture import WARMUP
from tests.methods import munit_oracle as oracle
from tests.trainers import METHODS, method_of, pictures, trainer_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance-gpu.md"
SECONDS = 600.0
"""The whole course; what does not fit any more is left out, and said to be."""
PRECISIONS = ("fp32", "tf32", "bf16")
PEAKS = {"fp32": 67e12, "tf32": 494e12, "bf16": 989e12}
"""FLOP/s of an H100 or H200 SXM, dense, by NVIDIA's data sheets."""
GOALS = {"tf32": 12.0, "bf16": 6.0}
"""Milliseconds of MUNIT's captured step on an H200; an H100 may take 20 % more."""


@dataclass(frozen=True)
class Course:
    """What is run, and how large it is.

    Parameters
    ----------
    side
        Pixels of the pictures a side.
    small
        Whether networks are those of the tests, not the published ones.
    least
        Seconds that each figure is measured, at least.
    batches
        Of the images that are translated at once.
    parity, run
        Arguments of pytest, and of ``bench run``.
    """

    device: torch.device
    side: int
    small: bool
    least: float
    batches: tuple[int, ...]
    parity: tuple[str, ...]
    run: tuple[str, ...]
    end: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.end - time.monotonic()

    def figure(self, value: float, digits: int = 2) -> str:
        """Return a number as it is printed; one that was measured without a GPU is not."""
        return f"{value:.{digits}f}" if self.device.type == "cuda" else "–"


_RUN = ("--preset", "paper", "--dataset", "seasons", "--seeds", "0", "--offline", "--train")


def on_gpu() -> Course:
    """Return the course at the published sizes."""
    sizes = ("--size", "256", "--set", "dataset.size=256", "--set", "dataset.train=100")
    less = ("--set", "dataset.test=16", "--samples", "4", "--budget", "30s", "--device", "cuda")
    methods = ("--methods", "munit,cyclegan,neural_style,color_transfer,identity")
    return Course(
        device=torch.device("cuda"),
        side=256,
        small=False,
        least=1.5,
        batches=(1, 2, 4, 8, 16, 32, 64),
        parity=("-m", "gpu", "tests/gpu", "tests/methods"),
        run=(*_RUN, *methods, *sizes, *less, "--set", "neural_style.iterations=20"),
    )


def on_cpu() -> Course:
    """Return the same course on tiny shapes."""
    sizes = ("--size", "32", "--set", "dataset.size=32", "--set", "dataset.train=4")
    less = ("--set", "dataset.test=3", "--samples", "2", "--budget", "1it", "--device", "cpu")
    tiny = ("gen_dim=4", "mlp_dim=4", "n_res=1", "dis_dim=4", "dis_num_scales=1")
    settings = [part for one in tiny for part in ("--set", f"munit.{one}")]
    return Course(
        device=torch.device("cpu"),
        side=64,
        small=True,
        least=0.0,
        batches=(1, 2),
        parity=("-k", "is_that_of_the_cpu and cyclegan", "tests/gpu/test_device.py"),
        run=(*_RUN, "--methods", "munit,identity", *sizes, *less, *settings),
    )


# -------------------------------------------------------------------------- measuring


def per_call(call: Callable[[], object], course: Course, warm: int = 2) -> float:
    """Return the seconds that a call takes, once `warm` of them are done."""
    for _ in range(warm):
        call()
    count = 1
    while True:
        synchronize(course.device)
        begun = time.perf_counter()
        for _ in range(count):
            call()
        synchronize(course.device)
        took = time.perf_counter() - begun
        if took >= course.least:
            return took / count
        count *= 2


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def parity(course: Course) -> str:
    """Return pytest's last line; what failed stands in what it prints."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *course.parity]
    done = subprocess.run(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, timeout=max(1.0, course.left)
    )
    print(done.stdout)
    verdict = "all passed" if done.returncode == 0 else "**failed**"
    counts = done.stdout.strip().splitlines()[-1].partition(" in ")[0].strip("= ")
    return _block(["python", *command[1:]]) + f"\n{verdict}: {counts}\n"


def _plain_step(course: Course) -> Callable[[], object]:
    """MUNIT's step in the published order, every layer torch's own."""
    widths = (4, 4, 8, 1, 1) if course.small else (64, 256)
    gens = [oracle.Gen(*widths).to(course.device) for _ in "ab"]
    diss = [oracle.Dis(*((4, 4, 2) if course.small else (64,))).to(course.device) for _ in "ab"]
    opt_gen, opt_dis = (oracle.adam(p for m in ms for p in m.parameters()) for ms in (gens, diss))
    x_a, x_b = torch.rand(2, 1, 3, course.side, course.side, device=course.device) * 2 - 1
    draws = torch.randn(4, 1, 8, 1, 1, device=course.device)
    return lambda: oracle.step(gens, diss, opt_gen, opt_dis, x_a, x_b, draws)


def _steps(course: Course) -> Iterator[tuple[str, str, str, Callable[[], object], object]]:
    """Method, how its step is run, precision, the step, and what to close after it."""
    data = pictures(8, course.side)
    for precision in PRECISIONS:
        yield "munit", "plain, eager", precision, _plain_step(course), None
    for name in METHODS:
        for capture in (False, True) if name == "munit" else (True,):
            for precision in PRECISIONS:
                ctx = Context(course.device, precision=precision)
                trainer, _ = trainer_of(name, ctx, small=course.small, data=data, capture=capture)
                count = iter(range(10**9))

                def step(trainer=trainer, count=count) -> None:
                    trainer.step(next(count), 10**6)

                yield name, "captured" if capture else "eager", precision, step, trainer


def iterations(course: Course) -> str:
    """Return milliseconds an iteration at batch 1, beside what its operations need at least."""
    name = torch.cuda.get_device_name() if course.device.type == "cuda" else ""
    known = any(one in name for one in ("H100", "H200"))
    flops: dict[tuple[str, bool], float] = {}
    rows = []
    for method, how, precision, step, trainer in _steps(course):
        if course.left < SECONDS / 2:
            rows.append([method, how, precision, "no time left", "", "", ""])
            continue
        plain = how.startswith("plain")
        bf16 = plain and precision == "bf16"
        with (
            float32(precision),
            torch.autocast(course.device.type, torch.bfloat16) if bf16 else nullcontext(),
        ):
            if (method, plain) not in flops:
                with FlopCounterMode(display=False) as counter:
                    step()
                flops[method, plain] = counter.get_total_flops()
            seconds = per_call(step, course, warm=WARMUP + 2)
        if trainer is not None:
            trainer.close()
        bound = flops[method, plain] / PEAKS[precision]
        goal = GOALS.get(precision) if (method, how) == ("munit", "captured") else None
        rows.append(
            [
                method,
                how,
                precision,
                course.figure(1e3 * seconds),
                course.figure(flops[method, plain] / 1e12, 3),
                course.figure(1e3 * bound) if known else "–",
                course.figure(goal * (1.2 if "H100" in name else 1.0), 1) if goal else "",
            ]
        )
    head = ("method", "step", "precision", "ms", "TFLOP", "roofline, ms", "goal, ms")
    return f"At {course.side}×{course.side}, batch 1.\n\n{table(head, rows)}\n"


def throughput(course: Course) -> str:
    """Return images a second, and memory, against the batch."""
    rows = []
    pool = torch.rand(max(course.batches), 3, course.side, course.side, device=course.device)
    for name in METHODS:
        for precision in ("tf32", "bf16"):
            method = method_of(
                name, Context(course.device, precision=precision), small=course.small
            )
            cells = []
            for batch in course.batches:
                seeds = torch.arange(batch)[:, None]
                reset_peak_memory(course.device)
                try:
                    seconds = per_call(
                        lambda method=method, batch=batch, seeds=seeds: method.translate(
                            pool[:batch], A2B, samples=1, seeds=seeds
                        ),
                        course,
                    )
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                    cells.append("no memory")
                    continue
                memory = course.figure(peak_memory_mb(course.device) / 1e3, 1)
                cells.append(f"{course.figure(batch / seconds, 0)} ({memory})")
                if course.left < SECONDS / 3:
                    break
            rows.append([name, precision, *cells, *[""] * (len(course.batches) - len(cells))])
    head = ("method", "precision", *map(str, course.batches))
    return f"Images a second (and GB at most) by batch.\n\n{table(head, rows)}\n"


def short_run(course: Course) -> str:
    """Return what every stage of a short run of the preset ``paper`` took."""
    said = _block(["bench", "run", *course.run])
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench", "run", *course.run, "--out", f"{folder}/run"]
        try:
            done = subprocess.run(command, cwd=folder, timeout=max(1.0, course.left))
        except subprocess.TimeoutExpired:
            return f"{said}\n**It did not end in time.**\n"
        trials = bench.open(f"{folder}/run").trials
    stages = ("fit", "translate", "score", "time")
    rows = [
        [row["label"], row["status"], *(course.figure(row[f"{one}_seconds"], 1) for one in stages)]
        for row in trials.to_dict("records")
    ]
    verdict = "" if done.returncode == 0 else f"\n**It ended with exit code {done.returncode}.**\n"
    return f"{said}{verdict}\nSeconds by stage.\n\n{table(('method', 'status', *stages), rows)}\n"


def _block(command: Sequence[str]) -> str:
    return f"<!-- not run: it wants a GPU -->\n```bash\n{shlex.join(command)}\n```\n"


SECTIONS: dict[str, Callable[[Course], str]] = {
    "Parity": parity,
    "Milliseconds an iteration": iterations,
    "Images a second": throughput,
    "A short run": short_run,
}


def page(course: Course) -> str:
    """Return the page; a part that fails is told of, and the others are there."""
    if course.device.type == "cuda":
        facts = describe_device(course.device) | (describe_gpus() or [{}])[0]
        about = ", ".join(f"{name} {value}" for name, value in facts.items())
        head = f"Written by `make gpu-check` at commit {commit() or 'unknown'}: {about}."
    else:
        head = "Without a GPU: tiny shapes on the CPU, to show that it can be run. No figures."
    parts = [f"# Performance on a GPU\n\n{head}\n"]
    for title, section in SECTIONS.items():
        begun = time.monotonic()
        try:
            text = section(course)
        except Exception as error:  # the other figures are worth the minutes they take
            text = f"**failed**: {type(error).__name__}: {error}\n"
        parts.append(f"## {title}\n\n{text}")
        print(f"{title}: {time.monotonic() - begun:.0f} s", flush=True)
    return "\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; 0 where nothing failed."""
    parser = argparse.ArgumentParser(prog="make gpu-check")
    parser.add_argument("--out", type=Path, help="the page, elsewhere than in docs")
    out: Path | None = parser.parse_args(arguments).out
    course = on_gpu() if torch.cuda.is_available() else on_cpu()
    if out is None:
        out = PAGE
        if course.device.type == "cpu":
            out = Path(tempfile.mkdtemp()) / PAGE.name
    text = page(course)
    out.write_text(text, "utf-8")
    print(text, f"\n{out}")
    return int("**" in text)


if __name__ == "__main__":
    sys.exit(main())
