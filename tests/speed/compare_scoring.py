"""The metrics of the suite against the same ones through torch-fidelity and lpips, one by one.

    python tests/speed/compare_scoring.py --root FOLDER

scores the test images of a folder (trainA, trainB, testA, testB) with ten samples for each
input, pictures given, and prints time, peak memory and every number of both ways. Each way is
a process of its own. Features are EfficientNet-Lite0's on both sides; LPIPS 0.1 has its own
heads over an AlexNet with He-initialised weights, so that nothing need be downloaded: neither
time nor agreement depends on what a network has learned.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

METRICS = ("kid", "fid", "precision", "recall", "lpips_diversity", "lpips_input")
LATER = "coverage"
"""The metric that a second scoring adds."""
DIRECTIONS = {"a2b": ("testA", "testB"), "b2a": ("testB", "testA")}


# ----------------------------------------------------------------------------- pictures


def prepare(root: Path, out: Path, *, size: int, samples: int, limit: int | None) -> None:
    """Write inputs, references and outputs as a method would leave them.

    An output is its input in other colours, moved by a few pixels: every one is another
    picture, near its input.
    """
    from bench.data.images import fit_square, read_image, write_png

    for direction, (source, target) in DIRECTIONS.items():
        for role, part in (("inputs", source), ("reference", target)):
            for file in sorted((root / part).iterdir())[:limit]:
                pixels = fit_square(read_image(file), size)
                write_png(out / direction / role / f"{file.stem}.png", pixels)
                if role == "reference":
                    continue
                for k in range(samples):
                    rng = np.random.default_rng([k, *file.stem.encode()])
                    tint = rng.uniform(0.7, 1.3, 3)
                    moved = np.roll(pixels, rng.integers(-3, 4, 2), (0, 1)) * tint
                    output = np.rint(np.clip(moved, 0, 255)).astype(np.uint8)
                    write_png(out / direction / "outputs" / str(k) / f"{file.stem}.png", output)


def write_trunk(path: Path) -> None:
    """An AlexNet whose convolutions are He-initialised, in torchvision's format."""
    import torch
    import torchvision

    torch.manual_seed(0)
    layers = torchvision.models.alexnet(weights=None).features
    for layer in layers:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    torch.save({f"features.{key}": value for key, value in layers.state_dict().items()}, path)


# -------------------------------------------------------------------------------- ours


def ours(folder: Path) -> dict[str, Any]:
    """Through :func:`bench.metrics.score.score`, then once more with another metric."""
    import torch

    from bench.api import A2B, Picture, WeightFile
    from bench.data.images import pixel_digest, read_image
    from bench.metrics import files
    from bench.metrics.context import ScoringData
    from bench.metrics.declared.extractors import EFFICIENTNET, EXTRACTORS
    from bench.metrics.plugin import METRICS as DECLARED
    from bench.metrics.score import score
    from bench.plugins import Registry
    from bench.storage.weights import sha256_of

    def picture(path: Path) -> Picture:
        return Picture(path.stem, pixel_digest(read_image(path)), lambda: read_image(path))

    trunk = WeightFile(files.ALEXNET.name, sha256_of(folder / files.ALEXNET.name), "a comparison")
    lpips = next(spec for spec in EXTRACTORS if spec.name == "lpips-0.1-alex")
    lpips = replace(lpips, weights=(trunk, *lpips.weights[1:]))
    registry = Registry(
        metrics={spec.name: spec for spec in DECLARED},
        extractors={spec.name: spec for spec in (EFFICIENTNET, lpips)},
    )

    def measure(names: tuple[str, ...]) -> dict[str, dict[str, float]]:
        values = {}
        for direction in DIRECTIONS:
            place = folder / direction
            inputs = {path.stem: picture(path) for path in sorted((place / "inputs").iterdir())}
            drawn = sorted((place / "outputs").iterdir(), key=lambda path: int(path.name))
            data = ScoringData(
                direction=A2B,
                domains=("a", "b"),
                outputs={key: [picture(k / f"{key}.png") for k in drawn] for key in inputs},
                inputs=inputs,
                reference=[picture(path) for path in sorted((place / "reference").iterdir())],
            )
            found = score(
                data,
                names,
                registry,
                device=torch.device("cpu"),
                weights_dir=folder,
                offline=True,
                cache=folder / "cache",
                emit=lambda event: None,
            )
            values[direction] = {m.metric: m.value for m in found}
        return values

    began = time.perf_counter()
    values = measure(METRICS)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    again = measure((*METRICS, LATER))
    later = time.perf_counter() - began
    for direction, found in values.items():
        assert found.items() <= again[direction].items(), "a second scoring gave other numbers"
    return {"values": values, "seconds": seconds, "second scoring": later}


# --------------------------------------------------------------------------- one by one


def one_by_one(folder: Path) -> dict[str, Any]:
    """A call of torch-fidelity for each of its metrics, and lpips over all pairs."""
    warnings.simplefilter("ignore")
    import lpips
    import torch
    from torch_fidelity import calculate_metrics

    from bench.data.images import read_image
    from bench.metrics import files
    from bench.metrics.extractors.fidelity import register
    from bench.storage import weights

    path = weights.find(files.EFFICIENTNET, weights_dir=None, offline=True)
    assert path is not None, "install translation-bench[embedded]"
    name = register(path)
    timed: dict[str, float] = {}
    values: dict[str, dict[str, float]] = {direction: {} for direction in DIRECTIONS}

    def call(what: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        timed[what] = timed.get(what, 0.0) + time.perf_counter() - began
        return result

    def distances() -> Any:
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
        state = torch.load(folder / files.ALEXNET.name, weights_only=True)
        for part in (getattr(network.net, f"slice{i}") for i in range(1, 6)):
            for index, layer in part.named_children():
                prefix = f"features.{index}."
                mine = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
                layer.load_state_dict(mine)
        return network

    @torch.no_grad()
    def over_pairs(place: Path, *, to_input: bool) -> float:
        network, means = distances(), []
        drawn = sorted((place / "outputs").iterdir(), key=lambda path: int(path.name))
        for file in sorted((place / "inputs").iterdir()):
            outputs = [read_image(k / file.name) for k in drawn]
            pixels = np.stack([*outputs, read_image(file)] if to_input else outputs)
            x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
            if to_input:
                first, second = x[:-1], x[-1:].expand(len(drawn), -1, -1, -1)
            else:
                i, j = torch.triu_indices(len(x), len(x), 1)
                first, second = x[i], x[j]
            means.append(float(network(first, second).mean()))
        return float(np.mean(means))

    for direction, found in values.items():
        place = folder / direction
        pair = {"input1": str(place / "outputs" / "0"), "input2": str(place / "reference")}
        least = min(len(list(Path(one).iterdir())) for one in pair.values())
        common = {"feature_extractor": name, "cuda": False, "cache": False, "verbose": False}
        common |= {"save_cpu_ram": True, **pair}
        got = call("fid", lambda c=common: calculate_metrics(fid=True, **c))
        got |= call(
            "kid", lambda c=common, m=least: calculate_metrics(kid=True, kid_subset_size=m, **c)
        )
        got |= call("precision, recall", lambda c=common: calculate_metrics(prc=True, **c))
        found |= {
            "fid": got["frechet_inception_distance"],
            "kid": got["kernel_inception_distance_mean"],
            "kid, error of its subsets": got["kernel_inception_distance_std"] / 10,
            "precision": got["precision"],
            "recall": got["recall"],
        }
        for metric, to_input in (("lpips_diversity", False), ("lpips_input", True)):
            found[metric] = call(
                metric, lambda p=place, flag=to_input: over_pairs(p, to_input=flag)
            )
    return {"values": values, "seconds": sum(timed.values()), "parts": timed}


# -------------------------------------------------------------------------------- both


def run_side(side: str, folder: Path) -> dict[str, Any]:
    """One way in a process of its own, with its peak memory."""
    done = subprocess.run(
        [sys.executable, __file__, "--side", side, "--folder", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "BENCH_CACHE": str(folder / "nothing")},
    )
    if done.returncode != 0:
        raise RuntimeError(f"{side}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(
    root: Path, *, size: int = 128, samples: int = 10, limit: int | None = None
) -> dict[str, dict[str, Any]]:
    """Both ways over the same pictures: values, seconds, peak memory."""
    from bench.metrics import files

    with TemporaryDirectory(prefix="compare-scoring-") as name:
        folder = Path(name)
        prepare(root, folder, size=size, samples=samples, limit=limit)
        write_trunk(folder / files.ALEXNET.name)
        return {side: run_side(side, folder) for side in ("ours", "one by one")}


def show(found: dict[str, dict[str, Any]]) -> None:
    """Numbers side by side, then time and memory."""
    mine, theirs = found["ours"], found["one by one"]
    print(f"{'direction':10} {'metric':16} {'ours':>12} {'one by one':>12} {'relative':>9}")
    for direction, values in mine["values"].items():
        for metric in METRICS:
            a, b = values[metric], theirs["values"][direction][metric]
            apart = abs(a - b) / max(abs(a), abs(b)) if a != b else 0.0
            print(f"{direction:10} {metric:16} {a:12.6g} {b:12.6g} {apart:9.1e}")
    print(f"\nseconds: ours {mine['seconds']:.1f}, one by one {theirs['seconds']:.1f}", end=" ")
    print(f"({theirs['seconds'] / mine['seconds']:.1f} times as long)")
    print("  " + ", ".join(f"{name} {s:.1f}" for name, s in theirs["parts"].items()))
    print(f"a second scoring with {LATER}, too: {mine['second scoring']:.1f} s")
    print(f"peak memory: ours {mine['peak_mb']:.0f} MB, one by one {theirs['peak_mb']:.0f} MB")


def main() -> None:
    """The command, and the child it starts for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder with testA and testB")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--limit", type=int, help="at most so many inputs a direction")
    parser.add_argument("--side", choices=["ours", "one by one"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        result = {"ours": ours, "one by one": one_by_one}[args.side](args.folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(result | {"peak_mb": peak}))
    elif args.root is None:
        parser.error("--root is needed")
    else:
        show(compare(args.root, size=args.size, samples=args.samples, limit=args.limit))


if __name__ == "__main__":
    main()
