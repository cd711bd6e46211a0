"""Devices: choosing one, waiting for it, its memory, and what it is called."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import torch

from bench.api import BenchError, Precision


def choose_device(name: str) -> torch.device:
    """``auto`` is the first GPU, or the CPU where there is none.

    Raises
    ------
    BenchError
        When the named device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BenchError(f"device {name!r} is not understood: write auto, cpu or cuda:0") from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise BenchError(f"device {name} is not there: this machine has {count} CUDA devices")
    elif device.type != "cpu":
        raise BenchError(f"device {name} is not supported: use cpu or cuda")
    return device


def choose_precision(name: str, device: torch.device) -> Precision:
    """``auto`` is TF32 on a GPU and float32 on the CPU."""
    if name == "auto":
        return "tf32" if device.type == "cuda" else "fp32"
    if name == "tf32" and device.type == "cpu":
        return "fp32"
    if name in ("fp32", "tf32", "bf16"):
        return name  # type: ignore[return-value]
    raise BenchError(f"precision {name!r} is unknown: write auto, fp32, tf32 or bf16")


def synchronize(device: torch.device) -> None:
    """Wait until everything queued on a device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak_memory(device: torch.device) -> None:
    """Let :func:`peak_memory_mb` begin anew, where the system can: on a GPU, and on Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", "ascii")


def peak_memory_mb(device: torch.device) -> float:
    """Highest memory since it was reset, MB: of a GPU's tensors, or of the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1.024e-3
    try:
        import resource  # there is none on Windows
    except ImportError:
        import psutil

        return float(psutil.Process().memory_info()._asdict()["peak_wset"]) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1e-6 if sys.platform == "darwin" else 1.024e-3)


def memory_mb(device: torch.device) -> float:
    """Return all memory of a GPU, or of the machine, MB."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1] / 1e6
    import psutil

    return float(psutil.virtual_memory().total) / 1e6


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "not enough memory" in text or "out of memory" in text
    )


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe_device(device: torch.device) -> dict[str, str | int]:
    """What a speed figure must say of the hardware."""
    facts: dict[str, str | int] = {
        "device": str(device),
        "cpu": _cpu_name(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {
            "gpu": properties.name,
            "gpu_memory_mb": round(properties.total_memory / 1e6),
            "cuda": str(torch.version.cuda),
        }
    return facts


_ASKED = ("name", "driver_version", "clocks.sm", "clocks.max.sm", "clocks.mem", "power.limit")


def describe_gpus() -> list[dict[str, str]]:
    """Return what the driver says of every GPU: its own version, clocks and power; none: ``[]``."""
    command = ["nvidia-smi", f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(",") for line in done.stdout.splitlines() if line.strip()]
    return [dict(zip(_ASKED, map(str.strip, row), strict=False)) for row in rows]


def device_id(device: torch.device) -> str:
    """Return which device that is to every process of the machine: a GPU by its UUID."""
    if device.type != "cuda":
        return device.type
    return str(torch.cuda.get_device_properties(device).uuid)
