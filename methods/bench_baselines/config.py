"""What may be set about a baseline."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bench.api import Config


class RecodedConfig(Config):
    """Which anchor goes through which codec."""

    of: Literal["untouched", "real"] = Field("real", description="the anchor's role")
    format: Literal["JPEG", "WEBP"] = Field("JPEG", description="what the pictures are saved as")
    quality: int = Field(75, ge=0, le=100, description="of the codec; 0: the library's own")
    side: int = Field(0, ge=0, description="pixels at which they are saved; 0: at their size")
    like: tuple[str, ...] = Field((), description="the methods whose pictures are encoded so")
