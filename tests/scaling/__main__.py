"""``python -m tests.scaling record RUN`` keeps durations; ``… page`` makes docs/scaling.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.scaling.page import PAGE, with_result
from tests.scaling.recording import read, record


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.scaling")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("record").add_argument("run", type=Path)
    verbs.add_parser("page")
    asked = parser.parse_args()
    if asked.verb == "record":
        record(asked.run)
    else:
        PAGE.write_text(with_result(PAGE.read_text("utf-8"), read()), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
