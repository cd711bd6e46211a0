"""Inject every fault of the campaign, and write down what was promised and kept: ``make faults``.

The record lies beside this file; the tables of docs/reliability.md are made from it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.storage.files import write_atomic
from tests.faults.campaign import inputs, machine, plugins, stored
from tests.faults.campaign.core import Campaign, Case
from tests.pages import between

RECORD = Path(__file__).with_name("record.json")
PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"
BEGIN, END = "<!-- make faults: begin -->", "<!-- make faults: end -->"
COMMAND = "make faults"


def all_cases() -> list[Case]:
    """Return every fault there is, in a fixed order."""
    return [case for part in (stored, inputs, machine, plugins) for case in part.cases()]


Name = tuple[str, ...]


def name_of(case: Case) -> Name:
    return (case.kind, case.verb, case.stage, case.what)


def attempt_all(cases: Sequence[Case], jobs: int, root: Path) -> dict[Name, str]:
    """Return for each case why its promise was not kept; empty: it was.

    After Ctrl-C, of those cases that were tried by then.
    """
    root.chmod(0o755)  # some cases give up their rights
    first = Campaign(root / "00")
    for module in first.modules:  # once here, not in every fork
        if not module.endswith(("_plugin", "__main__")):
            with suppress(Exception):
                importlib.import_module(module)
    # Mixed, so that each job has some of every kind.
    mixed = random.Random(0).sample(cases, len(cases))
    parts = {}
    for job in range(jobs):
        part = root / f"{job + 1:02}"
        if (pid := os.fork()) == 0:
            _attempt_some(mixed[job::jobs], Campaign(part, first), part.with_suffix(".jsonl"))
            os._exit(0)
        parts[pid] = part.with_suffix(".jsonl")
    try:
        for _ in parts:
            _, status = os.wait()
            assert status == 0, f"a part of the campaign ended with {status}"
    except KeyboardInterrupt:
        for pid in parts:
            os.kill(pid, signal.SIGKILL)
    found: dict[Name, str] = {}
    for part in parts.values():
        lines = part.read_bytes().splitlines() if part.exists() else []
        found |= {tuple(name): why for name, why in map(json.loads, lines)}
    return found


def _attempt_some(cases: Sequence[Case], campaign: Campaign, out: Path) -> None:
    with out.open("w", encoding="utf-8", buffering=1) as file:
        for case in cases:
            why = campaign.attempt(case)
            file.write(json.dumps([name_of(case), why]) + "\n")
            told = f"BROKEN {' | '.join(name_of(case))}\n{why}" if why else "."
            sys.stdout.write(f"{told}\n")
            sys.stdout.flush()


# ---------------------------------------------------------------------------------- the page


def section(record: dict[str, Any]) -> str:
    """Return what the page says of a record."""
    rows = record["cases"]
    kept = sum(not row[4] for row in rows)
    of = "" if record["declared"] == len(rows) else f" of {record['declared']}"
    whole = f"{len(rows)}{of} faults injected, {kept} ended as promised"
    how = f"Written by `{record['command']}` of version {record['version']} on {record['date']}"
    lines = [f"**{whole}.** {how}, in {record['minutes']:.1f} minutes of one core.", ""]
    lines += ["| what is injected | injected | kept | met by |", "|---|---:|---:|---|"]
    for kind in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == kind]
        verbs = Counter(row[1] for row in mine).most_common()
        met = ", ".join(f"{verb} {count}" for verb, count in verbs)
        lines.append(f"| {kind} | {len(mine)} | {_kept(mine)} | {met} |")
    for title, place in (("command", 1), ("stage of a trial", 2)):
        lines += ["", f"| {title} | injected | kept |", "|---|---:|---:|"]
        for name in sorted({row[place] for row in rows} - {""}):
            mine = [row for row in rows if row[place] == name]
            lines.append(f"| {name} | {len(mine)} | {_kept(mine)} |")
    for row in rows:
        if row[4]:
            lines += ["", f"Not kept: {' · '.join(row[:4])}."]
    return "\n".join(lines)


def _kept(rows: Iterable[Sequence[str]]) -> int:
    return sum(not row[4] for row in rows)


def write_page(record: dict[str, Any]) -> None:
    """Put the section of a record between the page's marks."""
    text = PAGE.read_text("utf-8")
    write_atomic(PAGE, between(text, BEGIN, END, f"\n\n{section(record)}\n\n"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="cases tried at once")
    parser.add_argument("--only", default="", help="cases whose name has this; nothing is written")
    parser.add_argument("--again", action="store_true", help="those that are not on record as kept")
    given = parser.parse_args()
    cases = all_cases()
    record = json.loads(RECORD.read_text("utf-8")) if given.again else {"minutes": 0, "cases": []}
    known = {tuple(row[:4]): row[4] for row in record["cases"]}
    todo = [case for case in cases if given.only in " | ".join(name_of(case))]
    todo = [case for case in todo if known.get(name_of(case), "not tried")]
    with tempfile.TemporaryDirectory(prefix="bench-faults-", ignore_cleanup_errors=True) as root:
        found = attempt_all(todo, given.jobs, Path(root))
    minutes = sum(os.times()[:4]) / 60
    broken = sum(map(bool, found.values()))
    sys.stdout.write(f"{len(found)} faults, {broken} not as promised; {minutes:.1f} min of work\n")
    if not given.only:
        known |= {name: (why.strip().splitlines() or [""])[-1][:200] for name, why in found.items()}
        record = {
            "command": COMMAND,
            "version": version("translation-bench"),
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "minutes": round(record["minutes"] + minutes, 2),
            "declared": len(cases),
            "cases": [[*name, known[name]] for name in map(name_of, cases) if name in known],
        }
        rows = ",\n".join(map(json.dumps, record["cases"]))  # a case a line
        facts = json.dumps({**record, "cases": "CASES"}).replace('"CASES"', f"[\n{rows}\n]")
        write_atomic(RECORD, facts + "\n")
        write_page(record)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
