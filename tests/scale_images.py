"""A folder of many small pictures: what planning, auditing, training and scoring it take.

    python -m tests.scale_images                            # 100,000 pictures: an hour
    python -m tests.scale_images --pictures 2000 --work DIR
    python -m tests.scale_images --docs docs/datasets.md    # writes the table there

Pictures are 64×64 JPEGs, all different but for some copies, which the audit must find. Each stage
is a process of its own, as a user would start it; its memory is that of the process and all it
started, pages of mapped files included.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
from PIL import Image, ImageDraw

from bench.data.images import by_threads
from bench.storage.files import write_atomic, write_json
from tests.pages import between

SIDE, BATCH = 64, 256
TESTED = 0.01
"""Share of a domain's pictures that is for testing."""
COPIES = 10
"""Test pictures of each domain that are training pictures, byte for byte; as many are nearly."""
LIMIT_GB = 8.0
METRICS = "kid,fid,precision,recall,coverage,memorised,target_rate,structure_distance,content_rank"
"""What one pass of the network gives; the other scales would be two more."""
ORDER = ("plan", "plan again", "audit", "fit", "translate", "score", "time", "whole run")
METHOD = {
    "ngf": 4,
    "ndf": 4,
    "n_blocks": 1,
    "n_layers_d": 1,
    "load": SIDE,
    "crop": 16,
    "batch_size": BATCH,
}
BEGIN, END = "<!-- made by: python -m tests.scale_images -->", "<!-- end -->"


@dataclass(frozen=True)
class Stage:
    """What a stage took: seconds, those of the processors, and the highest memory in GB."""

    name: str
    seconds: float
    cpu: float
    memory: float


def parts(pictures: int) -> dict[str, int]:
    """Return how many pictures each part has."""
    tested = max(COPIES * 2, round(pictures / 2 * TESTED))
    return {
        f"{split}{domain}": count
        for domain in "AB"
        for split, count in (("train", pictures // 2 - tested), ("test", tested))
    }


def jpeg(number: int, *, winter: bool, nudge: int = 0) -> bytes:
    """Return a picture that looks like no other: coarse patches, in the colours of a domain."""
    rng = np.random.default_rng(number)
    coarse = rng.uniform(0, 1, (8, 8, 1)) * 0.6 + rng.uniform(0, 0.4, (8, 8, 3))
    tint = np.array([0.9, 0.95, 1.0] if winter else [0.7, 0.9, 0.5])
    pixels = np.rint(coarse * tint * 240 + nudge).astype(np.uint8)
    image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    x, y = rng.integers(8, SIDE - 8, 2).tolist()
    ImageDraw.Draw(image).ellipse((x - 6, y - 6, x + 6, y + 6), fill=(x * 3, y * 3, 90))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def write(folder: Path, index: int) -> None:
    """Write one picture of a part; the first test pictures are training pictures, or nearly."""
    tested, winter = folder.name.startswith("test"), folder.name.endswith("B")
    twin = tested and index < 2 * COPIES
    number = 10_000_000 * (1 + winter) + index + (5_000_000 if tested and not twin else 0)
    nudge = 4 if twin and index >= COPIES else 0
    (folder / f"{index:06d}.jpg").write_bytes(jpeg(number, winter=winter, nudge=nudge))


def make(root: Path, pictures: int) -> None:
    """Write the folder, unless it is there."""
    if (root / "DONE").exists():
        return
    for part, count in parts(pictures).items():
        (root / part).mkdir(parents=True, exist_ok=True)
        by_threads(partial(write, root / part), range(count))
    (root / "DONE").touch()


class Watch:
    """Samples of the memory and the work of a process and of all it started."""

    def __init__(self, process: psutil.Process) -> None:
        self.process = process
        self.samples: list[tuple[float, float, float]] = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while True:
            total, work = 0, 0.0
            try:
                for one in (self.process, *self.process.children(recursive=True)):
                    try:
                        total += one.memory_info().rss
                        work += sum(one.cpu_times()[:2])
                    except psutil.Error:
                        continue
            except psutil.Error:
                return
            if not total:
                return
            self.samples.append((time.time(), work, total / 1e9))
            time.sleep(0.2)

    def stage(self, name: str, begin: float, end: float) -> Stage:
        """Return what was taken between two times."""
        between = [(work, gb) for at, work, gb in self.samples if begin <= at <= end]
        between = between or [(0.0, 0.0)]
        cpu = between[-1][0] - between[0][0]
        return Stage(name, end - begin, max(cpu, 0.0), max(gb for _, gb in between))


def bench(work: Path, *arguments: str) -> tuple[Stage, Watch]:
    """Run a command of the suite on a cache of its own."""
    log = work / f"{arguments[0]}.log"
    environment = os.environ | {"BENCH_CACHE": str(work / "cache")}
    command = [sys.executable, "-m", "bench", *arguments]
    begun = time.time()
    with log.open("a") as file:
        child = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
        watch = Watch(psutil.Process(child.pid))
        code = child.wait()
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}:\n{log.read_text()[-3000:]}")
    return watch.stage(arguments[0], begun, time.time()), watch


def stages(run: Path, watch: Watch) -> Iterator[Stage]:
    """Yield what each stage of the only trial took."""
    (trial,) = (run / "trials").iterdir()
    begun: dict[str, float] = {}
    for line in (trial / "events.jsonl").read_text("utf-8").splitlines():
        event = json.loads(line)
        if event["kind"] != "stage":
            continue
        if event["message"] == "begin":
            begun[event["stage"]] = event["time"]
        elif event["message"] == "end":
            name, begin, end = event["stage"], begun[event["stage"]], event["time"]
            yield watch.stage(name, begin, end)


def measure(work: Path, pictures: int, steps: Sequence[str], metrics: str) -> Iterator[Stage]:
    """Yield what every step takes on a folder of so many pictures."""
    root = work / "pictures"
    make(root, pictures)
    counts = parts(pictures)
    epoch = -(-counts["trainA"] // BATCH)
    suite = [
        "--methods=cyclegan",
        "--dataset=image_folder",
        f"--data-root={root}",
        f"--size={SIDE}",
        f"--budget={epoch}it",
        "--offline",
        "--preset=paper",  # which uses all pictures
        "--samples=1",
        "--seeds=0",
        *(f"--set=cyclegan.{key}={value}" for key, value in METHOD.items()),
        *([f"--metrics={metrics}"] if metrics else []),
    ]
    if "plan" in steps:
        for name in ("plan", "plan again"):
            stage, _ = bench(work, "plan", *suite)
            yield replace(stage, name=name)
    if "audit" in steps:
        stage, _ = bench(work, "data", "audit", "image_folder", f"--data-root={root}", "--offline")
        found = (work / "data.log").read_text()
        for kind in ("identical to", "near duplicates of"):
            line = f"{2 * COPIES} of {2 * counts['testA']} test images are {kind} training images"
            assert line in found, f"the audit has not found the {kind} copies:\n{found}"
        yield replace(stage, name="audit")
    if "run" in steps:
        run = work / f"run-{time.time_ns()}"
        whole, watch = bench(work, "run", *suite, f"--out={run}")
        yield from stages(run, watch)
        yield replace(whole, name="whole run")


def table(pictures: int, found: Sequence[Stage], metrics: str) -> str:
    """Return the figures as a table of Markdown."""
    counts = parts(pictures)
    rows = [f"| {s.name} | {s.seconds:,.0f} | {s.cpu:,.0f} | {s.memory:.1f} |" for s in found]
    head = (
        f"{pictures:,} pictures of {SIDE}×{SIDE} ({counts['trainA']:,} training and "
        f"{counts['testA']:,} test pictures a domain), {os.cpu_count()} CPU cores; scored: "
        f"{metrics.replace(',', ', ') or 'all default metrics'}."
    )
    return "\n".join(
        [head, "", "| step | seconds | CPU seconds | memory, GB |", "|---|---|---|---|", *rows]
    )


def kept(work: Path) -> list[Stage]:
    """Return the figures that a folder has of all steps, which may have been taken one by one."""
    files = [work / "figures" / f"{name}.json" for name in ORDER]
    return [Stage(**json.loads(file.read_text("utf-8"))) for file in files if file.exists()]


def into(page: Path, text: str) -> None:
    """Write the table between its marks."""
    write_atomic(page, between(page.read_text("utf-8"), BEGIN, END, f"\n{text}\n"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the pictures, take the figures, and hold them to the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--work", type=Path, help="a folder to keep; else a temporary one")
    parser.add_argument("--steps", default="plan,audit,run")
    parser.add_argument("--metrics", default=METRICS, help="names; empty: all default ones")
    parser.add_argument("--docs", type=Path, help="a page with the marks of the table")
    options = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="scale-images-") as temporary:
        work = options.work or Path(temporary)
        found = []
        for stage in measure(work, options.pictures, options.steps.split(","), options.metrics):
            write_json(work / "figures" / f"{stage.name}.json", asdict(stage))
            said = f"{stage.seconds:8.1f} s {stage.cpu:8.1f} s CPU {stage.memory:6.2f} GB"
            print(f"{stage.name:<12} {said}", flush=True)
            found.append(stage)
        if options.docs:
            into(options.docs, table(options.pictures, kept(work), options.metrics))
    worst = max(found, key=lambda stage: stage.memory, default=None)
    if worst is not None and worst.memory > LIMIT_GB:
        raise SystemExit(f"{worst.name} took {worst.memory:.1f} GB: more than {LIMIT_GB:g}")


if __name__ == "__main__":
    main()
