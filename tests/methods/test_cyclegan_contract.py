"""CycleGAN, BicycleGAN, CUT and FastCUT keep what the contract kit asks of every method."""

from __future__ import annotations

import pytest

import bench_baselines
import bench_bicyclegan
import bench_cut
import bench_cyclegan
from bench.testing import check_method, check_spec

_CUT = {
    "ngf": 4,
    "ndf": 4,
    "n_blocks": 1,
    "n_layers_d": 2,
    "head_width": 4,
    "num_patches": 8,
    "load": None,
    "crop": None,
}
CONFIGS = {
    "cut": _CUT,
    "fastcut": _CUT,
    "cyclegan": {
        "ngf": 4,
        "ndf": 4,
        "n_blocks": 1,
        "n_layers_d": 2,
        "pool_size": 3,
        "load": None,
        "crop": None,
    },
    "bicyclegan": {
        "ngf": 4,
        "nef": 4,
        "ndf": 4,
        "nz": 3,
        "depth": 5,
        "n_blocks_e": 2,
        "n_layers_d": 1,
        "load": None,
        "crop": None,
    },
}
SPECS = {
    spec.name: spec
    for spec in (
        bench_cyclegan.SPEC,
        bench_bicyclegan.SPEC,
        *bench_cut.SPECS,
        *bench_baselines.SPECS,
    )
}


@pytest.mark.parametrize("name", SPECS)
def test_contract(name, tmp_path):
    check_spec(SPECS[name])
    check_method(SPECS[name], tmp_path, config=CONFIGS.get(name, {}))
