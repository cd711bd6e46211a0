"""CycleGAN's configuration; the defaults are the published ones."""

from __future__ import annotations

from pydantic import Field

from bench.training.config import ResnetConfig, SourceNegatives


class CycleGANConfig(SourceNegatives, ResnetConfig):
    """Loss weights and the pool, besides widths and training settings."""

    lambda_a: float = Field(10.0, ge=0, description="cycle consistency of domain a")
    lambda_b: float = Field(10.0, ge=0, description="cycle consistency of domain b")
    lambda_identity: float = Field(
        0.5, ge=0, description="identity loss, as a share of the cycle weight; 0: off"
    )
    pool_size: int = Field(50, ge=0, description="generated images kept for each discriminator")
