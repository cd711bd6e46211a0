"""What is decided of GPUs, on a machine without one: who gets which, what is timed alone."""

from __future__ import annotations

import json
import mmap
import sys
import threading
import time as clock
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.api import Resources, Task
from bench.devices import describe_gpus, peak_memory_mb, reset_peak_memory
from bench.execution.stages import time
from bench.launchers.local import LocalConfig, LocalLauncher, _gpus

WORKER = """
import json, os, sys, time
begun = time.time()
time.sleep(float(sys.argv[2]))
seen = {"gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "begun": begun, "ended": time.time()}
open(sys.argv[1] + "/seen.json", "w").write(json.dumps(seen))
"""

LISTED = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-aaaa)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-22222222-bbbb)
  MIG 3g.40gb     Device  0: (UUID: MIG-33333333-cccc)
  MIG 3g.40gb     Device  1: (UUID: MIG-44444444-dddd)
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A driver that says what a test puts into the file it gives."""
    commands, says = tmp_path / "bin", tmp_path / "says"
    commands.mkdir()
    (commands / "nvidia-smi").write_text(f'#!/bin/sh\nexec cat "{says}"\n')
    (commands / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(commands), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return says


def test_each_trial_has_a_gpu_of_its_own_and_the_next_one_waits(tmp_path: Path) -> None:
    launcher = LocalLauncher(LocalConfig(gpus=("GPU-a", "GPU-b")), workers=4)
    needs = {"first": 1, "second": 1, "third": 1, "none": 0}
    for name, gpus in needs.items():
        folder = tmp_path / name
        folder.mkdir()
        command = (sys.executable, "-c", WORKER, str(folder), "1.0" if gpus else "0.0")
        launcher.submit(Task(name, name, folder, command, resources=Resources(gpus=gpus)))
    ended: list[str] = []
    while len(ended) < len(needs):
        ended += [one.trial for one in launcher.poll()]
        clock.sleep(0.02)
    seen = {name: json.loads((tmp_path / name / "seen.json").read_text()) for name in needs}
    assert {seen["first"]["gpu"], seen["second"]["gpu"]} == {"GPU-a", "GPU-b"}
    before = next(one for one in ("first", "second") if seen[one]["gpu"] == seen["third"]["gpu"])
    assert seen["third"]["begun"] >= seen[before]["ended"]
    # What needs none overtakes those that wait for one.
    assert seen["none"]["gpu"] in (None, "") and seen["none"]["ended"] < seen["third"]["begun"]


def test_gpus_are_found_with_their_slices(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.write_text(LISTED)
    assert _gpus() == ["GPU-11111111-aaaa", "MIG-33333333-cccc", "MIG-44444444-dddd"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, 3")
    assert _gpus() == ["1", "3"]


def test_no_driver_no_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert _gpus() == [] and describe_gpus() == []


def test_clocks_and_driver_are_on_record(driver: Path) -> None:
    driver.write_text("NVIDIA H100, 550.54.15, 1755 MHz, 1980 MHz, 2619 MHz, 700.00 W\n")
    (found,) = describe_gpus()
    assert found["driver_version"] == "550.54.15" and found["clocks.sm"] == "1755 MHz"
    assert found["power.limit"] == "700.00 W"


def test_nothing_is_timed_beside_a_timing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spans: dict[str, list[tuple[float, float]]] = {"GPU-a": [], "GPU-b": []}
    monkeypatch.setattr(time, "device_id", lambda device: device.name)

    def trial(gpu: str) -> None:
        device = SimpleNamespace(type="cuda", name=gpu)
        cache = SimpleNamespace(root=tmp_path)
        workspace: Any = SimpleNamespace(ctx=SimpleNamespace(device=device), cache=cache)
        with time._alone(workspace):
            begun = clock.monotonic()
            clock.sleep(0.2)
            spans[gpu].append((begun, clock.monotonic()))

    threads = [threading.Thread(target=trial, args=(gpu,)) for gpu in (*spans, *spans)]
    begun = clock.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.monotonic() - begun < 0.75, "two GPUs waited for one another"
    for one in spans.values():
        (_, first_ended), (second_begun, _) = sorted(one)
        assert second_begun >= first_ended


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_peak_can_be_forgotten() -> None:
    cpu = torch.device("cpu")
    # Straight from the system and back to it: freed arrays may stay with the process.
    with mmap.mmap(-1, 320_000_000) as block:
        block.write(b"x" * len(block))
        high = peak_memory_mb(cpu)
    reset_peak_memory(cpu)
    assert peak_memory_mb(cpu) < high - 200
