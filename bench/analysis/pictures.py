"""Where the pictures of a run lie."""

from __future__ import annotations

import itertools
from pathlib import Path


def inside(root: Path, path: str) -> bool:
    """Return whether a path of the tables names a file within the run folder."""
    if not path or "\\" in path or "\0" in path or Path(path).is_absolute():
        return False
    return ".." not in Path(path).parts and (root / path).is_file()


def truths_of(root: Path, input_path: str) -> list[str]:
    """Return the true translations of an input: ``truths/<as the input>/<k>.png``."""
    head, _, rest = input_path.partition("/")
    if head != "inputs" or not inside(root, input_path):
        return []
    folder = Path("truths") / Path(rest).with_suffix("")
    names = (f"{folder.as_posix()}/{k}.png" for k in itertools.count())
    return list(itertools.takewhile(lambda name: inside(root, name), names))
