"""Outputs of any other program, scored beside the methods of the suite."""

from __future__ import annotations

from bench.api import MethodSpec, hookimpl
from bench_outputs.config import OutputsConfig

SPEC = MethodSpec(
    name="outputs",
    summary="Pictures that any other program made, in a folder: outputs:FOLDER.",
    implementation="bench_outputs.folder:Outputs",
    config=OutputsConfig,
    precomputed=True,
)


@hookimpl
def bench_methods() -> tuple[MethodSpec, ...]:
    """Pictures made elsewhere."""
    return (SPEC,)
