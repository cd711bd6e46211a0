"""docs/scaling.md: its figures, made from the recorded durations and from nothing else."""

from __future__ import annotations

from pathlib import Path

from tests.pages import between
from tests.scaling.recording import Recorded
from tests.scaling.schedule import LOSSES, Outcome, Scenario, Trial, simulate, study

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
BEGIN, END = "<!-- made by python -m tests.scaling page -->\n", "<!-- end -->\n"
EACH = "64 GPUs, tables written after each trial"
TRIALS, LONGER = 1000, 100
SCENARIOS = {
    "1 GPU": Scenario(1),
    "8 GPUs": Scenario(8),
    "64 GPUs": Scenario(64),
    "8 GPUs, 2 % fail": Scenario(8, fails=0.02),
    "8 GPUs, 2 % fail, preempted each 2 h": Scenario(8, fails=0.02, preempted=0.5),
    "64 GPUs, 2 % fail, preempted each 2 h": Scenario(64, fails=0.02, preempted=0.5),
    "8 GPUs, two trials on each": Scenario(8, share=2),
}


def with_result(text: str, recorded: Recorded) -> str:
    """Return a page with the result between its markers."""
    return between(text, BEGIN, END, result(recorded))


def result(recorded: Recorded) -> str:
    """Return the tables, as Markdown."""
    machine, longest = recorded.machine, max(recorded.trials, key=lambda trial: trial.seconds)
    seconds = [trial.seconds for trial in recorded.trials]
    lines = [
        f"{len(seconds)} trials were recorded on {machine['cores']} cores of an "
        f"{machine['cpu']} ({machine['device']}, {machine['threads']} thread, PyTorch "
        f"{machine['torch']}, commit {machine['commit'][:8]}): {min(seconds):.1f} to "
        f"{longest.seconds:.1f} s each, {_mean(t.start for t in recorded.trials):.1f} s of that to "
        "start and end a worker. Writing the tables took "
        + ", ".join(f"{took:.2f} s for {n:,} trials" for n, took in recorded.tables)
        + ".",
        "",
    ]
    for title, fit in (
        ("Trials as they were recorded", 1),
        (f"The same with {LONGER} times the iterations", LONGER),
    ):
        trials = study(recorded.trials, TRIALS, fit=fit)
        outcomes = {
            name: simulate(trials, scenario, tables=recorded.writing)
            for name, scenario in SCENARIOS.items()
        }
        outcomes[EACH] = simulate(trials, SCENARIOS["64 GPUs"], tables=recorded.writing, rest=0)
        lines += [f"### {title}", "", *_table(trials, outcomes), "", *_breaks(outcomes), ""]
    lines += _cut(study(recorded.trials, TRIALS, fit=LONGER), recorded)
    return "\n" + "\n".join(lines) + "\n"


def _mean(values: object) -> float:
    found = list(values)  # type: ignore[call-overload]
    return sum(found) / len(found)


def _table(trials: list[Trial], outcomes: dict[str, Outcome]) -> list[str]:
    work = sum(trial.seconds for trial in trials) / 3600
    return [
        f"{len(trials):,} trials, {work:.1f} hours one after the other.",
        "",
        "| where | makespan | at work | failed | preempted | most of the rest |",
        "|---|--:|--:|--:|--:|---|",
        *(
            f"| {name} | {one.makespan / 3600:.2f} h | {one.utilisation:.1%} | {one.failures} "
            f"| {one.preemptions} | {LOSSES[one.breaks_first]} "
            f"({one.lost[one.breaks_first] / (one.work + sum(one.lost.values())):.1%}) |"
            for name, one in outcomes.items()
        ),
    ]


def _breaks(outcomes: dict[str, Outcome]) -> list[str]:
    """Where the time of 64 GPUs goes that is no work."""
    one = outcomes["64 GPUs"]
    total = one.work + sum(one.lost.values())
    parts = sorted(((lost, name) for name, lost in one.lost.items() if lost > 0), reverse=True)
    said = "; ".join(f"{LOSSES[name]} {lost / total:.1%}" for lost, name in parts)
    return [f"Of 64 GPUs, besides work: {said}."]


def _cut(trials: list[Trial], recorded: Recorded) -> list[str]:
    """What a budget that ends in the middle leaves, in the plan's order and in the other one."""
    labels = list(dict.fromkeys(trial.label for trial in trials))
    rows = []
    for name, order in (
        ("seed by seed, as planned", trials),
        ("method by method", sorted(trials, key=lambda trial: labels.index(trial.label))),
    ):
        one = simulate(order, Scenario(8), tables=recorded.writing)
        done = one.seeds_done(one.makespan / 4)
        counts = [done[label] for label in labels]
        rows.append(f"| {name} | {min(counts)} | {max(counts)} |")
    return [
        "### A budget cut short",
        "",
        "After a quarter of the time on 8 GPUs, with the longer trainings:",
        "",
        "| order of the trials | seeds of the method with fewest | with most |",
        "|---|--:|--:|",
        *rows,
    ]
