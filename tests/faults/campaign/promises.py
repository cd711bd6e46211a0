"""What is promised of a fault, as checks that can fail."""

from __future__ import annotations

from pathlib import Path

from bench.storage.tables import read_run
from tests.compare_runs import differences
from tests.faults.campaign.core import Place, Promise, Said


def refused(*words: str, code: int = 2) -> Promise:
    """One clear line with these words, and nothing written."""

    def check(place: Place, said: Said) -> None:
        one_line(said, *words, code=code)
        assert not said.files, f"it wrote {sorted(said.files)}"

    return check


def one_line(said: Said, *words: str, code: int = 2) -> None:
    assert said.code == code, said
    told = [line for line in said.err.splitlines() if line.startswith("bench: ")]
    assert len(told) == 1 and said.err.rstrip().endswith(told[0]), said
    for word in words:
        assert word in told[0], said


def as_ever(verb: str, but: str = "") -> Promise:
    """The command says and writes what it does without the fault, to the last byte.

    A copy of a file called `but` may be as damaged as what it was copied from.
    """

    def check(place: Place, said: Said) -> None:
        usual = place.usual[verb]
        assert (said.code, said.out) == (usual.code, usual.out), said
        changed = {name for name, sha in said.files.items() if usual.files.get(name) != sha}
        assert said.files.keys() == usual.files.keys(), said.files.keys() ^ usual.files.keys()
        left_alone = (*UNREPEATABLE, but) if but else UNREPEATABLE
        assert not {name for name in changed if not name.endswith(left_alone)}, changed

    return check


UNREPEATABLE = (".parquet", "environment.json", "votes.html", "events.jsonl")
"""Files that hold a time, or are written in another order; their numbers are in others, too."""


def never_wrong(verb: str, name: str) -> Promise:
    """Refused in one line that names the file, or done as if nothing were wrong."""

    def check(place: Place, said: Said) -> None:
        if said.code == 2:
            refused(name)(place, said)
        else:
            as_ever(verb, but=name)(place, said)

    return check


def equal(run: str = "run", but: str = "nothing") -> Promise:
    """All is well, and every number, picture and weight is that of a run never touched.

    `but` begins what may be lost with the only file that had it.
    """

    def check(place: Place, said: Said) -> None:
        assert said.code == 0, said
        same(place, place.root / run, but)

    return check


def same(place: Place, run: Path, but: str = "nothing") -> None:
    assert (run / "DONE").exists(), "the run is not done"
    found = [one for one in differences(place.whole / "run", run) if not one.startswith(but)]
    assert not found, found[:5]


def row(status: str, *words: str, label: str = "toy", code: int = 1, run: str = "again") -> Promise:
    """The trial is a row with this status and a reason of one line; the other one ran."""

    def check(place: Place, said: Said) -> None:
        assert said.code == code, said
        trials = read_run(place.root / run).trials.set_index("label")
        reason = str(trials.loc[label, "reason"])
        assert trials.loc[label, "status"] == status, (trials.loc[label, "status"], reason)
        assert "\n" not in reason and reason, "no reason"
        for word in words:
            assert word in reason, reason
        others = trials.drop(index=label)
        assert (others["status"] == "ok").all(), others[["status", "reason"]]

    return check


def fine(*words: str) -> Promise:
    """It ends well, and says this."""

    def check(place: Place, said: Said) -> None:
        assert said.code == 0, said
        for word in words:
            assert word in said.out + said.err, said

    return check


def noticed(*words: str) -> Promise:
    """Exit code 1: it says what is not as it should be."""

    def check(place: Place, said: Said) -> None:
        assert said.code == 1, said
        for word in words:
            assert word in said.out + said.err, said

    return check
