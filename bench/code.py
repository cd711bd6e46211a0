"""What code is, for cache keys: sources without comments and docstrings, and whom they import.

A cached result hangs on the code that made it, and on no other. So a key names the modules a
result comes from; of what those share with others only the modules they import count, found in
their sources. Nothing is imported to find that out.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.api import BenchError

SHARED = (
    "bench.nn",
    "bench.training",
    "bench.data.encoding",
    "bench.data.images",
    "bench.stats",
    "bench.execution.workspace",
)
"""What methods and stages compute with; it counts for those who import it.

Everything else of the harness changes no number. What it reads from files is in the keys by its
hash; what the contracts of :mod:`bench.api` carry (a budget, a direction, options) by its value.
"""


def code_hash(*modules: str, follow: Sequence[str] = SHARED) -> str:
    """Return a SHA-256 over the code of modules; a comment or a docstring does not change it.

    Parameters
    ----------
    modules
        Their names. Of a package every module counts.
    follow
        Modules and packages that count, too, as far as they are imported: by `modules`, or by one
        another.

    Raises
    ------
    BenchError
        When the source of one of `modules` cannot be found.
    """
    waiting = [name for module in modules for name in _members(module)]
    digests: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        file = _file_of(name)
        if name in digests or file is None:
            continue
        code = _read(source_of(file))
        digests[name] = code.digest
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        waiting += code.imported(package, follow)
    return hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()


def plugin_modules(implementation: str) -> str:
    """Return what holds the code of ``"module:attribute"``: a plugin's whole package.

    Of the harness, which holds the code of many, it is the module alone.
    """
    module = implementation.partition(":")[0]
    top = module.partition(".")[0]
    return module if top == "bench" else top


def commit() -> str:
    """Return the commit of the checkout this runs from; ``+`` says that files were changed."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return ""
    command = ["git", "describe", "--always", "--exclude=*", "--abbrev=40", "--dirty=+"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def source_of(file: Path) -> bytes:
    """Return the source in a file, as it is now."""
    return file.read_bytes()


@dataclass(frozen=True)
class _Code:
    """One source: a digest of its code, and its imports as ``(level, module, names)``."""

    digest: str
    imports: tuple[tuple[int, str, tuple[str, ...]], ...]

    def imported(self, package: str, follow: Sequence[str]) -> Iterator[str]:
        """What is imported of `follow`; of ``from package import module`` the module alone."""
        for level, module, names in self.imports:
            above = package.split(".")
            parents = above[: len(above) + 1 - level] if level else []
            base = ".".join([*parents, *([module] if module else [])])
            inside = [name for name in names if _is_module(f"{base}.{name}", follow)]
            yield from (f"{base}.{name}" for name in inside)
            if len(inside) < max(1, len(names)) and _below(base, follow):
                yield base


class _Bare(ast.NodeTransformer):
    """Leaves out strings that stand for themselves: docstrings, of whatever they are."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else node


@cache
def _read(source: bytes) -> _Code:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        # Whoever runs it will say so; until then it is what it is.
        return _Code(hashlib.sha256(source).hexdigest(), ())
    imports: list[tuple[int, str, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += ((0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            imports.append((node.level, node.module or "", names))
    code = ast.dump(_Bare().visit(tree))
    return _Code(hashlib.sha256(code.encode()).hexdigest(), tuple(imports))


def _below(name: str, packages: Sequence[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _is_module(name: str, packages: Sequence[str]) -> bool:
    return _below(name, packages) and _file_of(name) is not None


def _members(module: str) -> list[str]:
    """The name of a module; of a package those of all its modules."""
    file = _file_of(module)
    if file is None:
        raise BenchError(f"the source of {module} cannot be found")
    if file.name != "__init__.py":
        return [module]
    inside = (path.relative_to(file.parent).with_suffix("") for path in file.parent.rglob("*.py"))
    return [".".join((module, *path.parts)).removesuffix(".__init__") for path in inside]


def _file_of(name: str) -> Path | None:
    """The source of a module; found without importing any package on the way."""
    top, *rest = name.split(".")
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None:
        spec = importlib.util.find_spec(top)
        file = spec.origin if spec is not None else None
    if file is None or not (path := Path(file)).is_file():
        return None
    if not rest:
        return path
    if path.name != "__init__.py":
        return None
    place = path.parent.joinpath(*rest)
    return next((p for p in (place / "__init__.py", place.with_suffix(".py")) if p.is_file()), None)
