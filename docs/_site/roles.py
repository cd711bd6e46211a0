"""Docstrings name things with Sphinx roles; a page shows the name."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":[a-z:]+:`~?([^`]+)`")


class Roles(Extension):
    """Turn a role into the name it stands for."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Change a docstring as it is found."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value)
