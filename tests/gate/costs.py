"""Costs that do not depend on how busy a machine is, measured anew.

``python -m tests.gate.costs`` prints them; ``make gate-record`` keeps them in ``recorded.json``,
which a change that costs more, and is worth it, commits together with its reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock
from weakref import WeakKeyDictionary, finalize

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from bench.api import A2B, Context
from tests import toys
from tests.trainers import METHODS, SIDE, method_of, trainer_of

RECORDED = Path(__file__).parent / "recorded.json"
CONTEXT = Context(device=torch.device("cpu"))
Costs = dict[str, dict[str, int]]
"""What was measured, e.g. ``step of munit``, to its units."""


class Watch(TorchDispatchMode):
    """Counts operators, and the bytes of tensors made since it began that live at once."""

    def __init__(self) -> None:
        super().__init__()
        self.operators = self.peak = self._live = 0
        self._known: WeakKeyDictionary[torch.UntypedStorage, bool] = WeakKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, and look at what it made."""
        before = {id(x.untyped_storage()) for x in _tensors((args, kwargs))}
        made = func(*args, **(kwargs or {}))
        self.operators += 1
        for tensor in _tensors(made):
            storage = tensor.untyped_storage()
            if id(storage) not in before and storage not in self._known:
                self._known[storage] = True
                self._live += storage.nbytes()
                finalize(storage, self._freed, storage.nbytes())
        self.peak = max(self.peak, self._live)
        return made

    def _freed(self, size: int) -> None:
        self._live -= size


def _tensors(tree: Any) -> Iterable[torch.Tensor]:
    return (leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor))


def cost(run: Callable[[], object]) -> dict[str, int]:
    """Return floating-point operations, operators and peak bytes of a call.

    Convolutions count as such: whether Winograd's way is taken depends on the machine.
    """
    with mock.patch("bench.nn.winograd.best_tile", lambda x, weight: 0):
        with FlopCounterMode(display=False) as flops:
            run()
        with Watch() as watch:
            run()
    return {
        "flops": flops.get_total_flops(),
        "operators": watch.operators,
        "peak_bytes": watch.peak,
    }


def of_steps() -> Costs:
    """Return the costs of a training step, the third, of small networks of every method."""
    found: Costs = {}
    for name in METHODS:
        trainer, _ = trainer_of(name, CONTEXT)
        for step in range(2):
            trainer.step(step, 100)
        found[f"step of {name}"] = cost(lambda trainer=trainer: trainer.step(2, 100))
    return found


def of_translations() -> Costs:
    """Return the costs of three samples of one picture, by small networks of every method."""
    found: Costs = {}
    pixels, seeds = torch.zeros(1, 3, SIDE, SIDE), torch.arange(3)[None]
    for name in METHODS:
        method = method_of(name, CONTEXT)
        found[f"translation of {name}"] = cost(
            lambda method=method: method.translate(pixels, A2B, samples=3, seeds=seeds)
        )
    return found


def of_the_cache(*options: str) -> Costs:
    """Return how many entries of each kind a small run leaves in an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        command = [
            *(sys.executable, "-m", "bench", "run", "--offline", "--device", "cpu"),
            *("--methods", "identity,color_transfer", "--dataset", "seasons", "--size", "32"),
            *(
                "--set",
                "dataset.train=8",
                "--set",
                "dataset.test=4",
                "--metrics",
                "kid,lpips_input",
            ),
            *("--out", str(Path(folder) / "run")),
            *options,
        ]
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            cwd=folder,
            env=toys.environment(cache),
        )
        kinds = Counter("/".join(path.parts[-5:-3]) for path in cache.rglob("MANIFEST.json"))
    return {"cache of a small run": dict(sorted(kinds.items()))}


def of_imports(code: str = "") -> Costs:
    """Return how many modules ``bench --help`` imports, by the package they belong to.

    Parameters
    ----------
    code
        What to run before, e.g. another import.
    """
    program = (
        "import json, os, sys\n"
        "before = set(sys.modules)\n"
        f"{code}\n"
        "from bench.cli import main\n"
        "sys.argv = ['bench', '--help']\n"
        "sys.stdout, out = open(os.devnull, 'w'), sys.stdout\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(set(sys.modules) - before)), file=out)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=toys.environment(),
    )
    names = [name.partition(".")[0] for name in json.loads(done.stdout)]
    # Python's own differ from version to version, and those with underscores by installation.
    ours = Counter(n for n in names if n not in sys.stdlib_module_names and n[0] != "_")
    return {"bench --help": dict(sorted(ours.items()))}


def more(recorded: Costs, found: Costs) -> list[str]:
    """Return a line for everything that grew, and for everything that is new or gone."""
    lines = []
    for what in sorted(recorded.keys() | found.keys()):
        old, new = recorded.get(what, {}), found.get(what, {})
        for unit in sorted(old.keys() | new.keys()):
            was, now = old.get(unit, 0), new.get(unit, 0)
            if now > was:
                share = f" ({now / was - 1:+.1%})" if was else ""
                lines.append(
                    f"{what}: {unit.replace('_', ' ')} grew from {was:,} to {now:,}{share}"
                )
            elif now < was:
                lines.append(
                    f"{what}: {unit.replace('_', ' ')} fell from {was:,} to {now:,}: "
                    "make gate-record keeps it"
                )
    return lines


def measured() -> dict[str, Any]:
    """Return all costs, and the version of PyTorch that decides what an operator is."""
    torch.set_num_threads(1)
    return {
        "torch": torch.__version__.partition("+")[0],
        "costs": of_steps() | of_translations() | of_the_cache() | of_imports(),
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(json.dumps(measured(), indent=1))
