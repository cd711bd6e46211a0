"""The sides at which pictures are looked at again, and the judges that may be asked besides.

Declarations and code both need them; a score must not hang on the words of a declaration.
"""

from __future__ import annotations

from pydantic import Field

from bench.api import Config

SIDES = (64, 32, 16)
"""Sides in pixels that pictures are reduced to, to ask what is left without their detail."""


class AgreementConfig(Config):
    """Which judges are asked.

    Parameters
    ----------
    networks
        Networks beside the usual one, by name, for a further judge each.
    """

    networks: tuple[str, ...] = Field(default=())
