"""A report card of metrics: what each of them notices when real pictures are spoilt in steps.

Real target pictures are held against other real target pictures, first untouched, then damaged more
and more. What a metric makes of that is known beforehand: it should get worse, and never better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from bench.api import BenchError, Dataset, Direction, ImageItem, Measurement, MetricSpec, Picture
from bench.data.images import Pixels, load_item
from bench.data.opening import select
from bench.metrics.context import ScoringData
from bench.metrics.damage import DAMAGES, Damage, each, jpeg, picture_of
from bench.metrics.scales import SIDES

Scores = Mapping[str, Measurement]
Score = Callable[[ScoringData, Sequence[str]], Sequence[Measurement]]
"""Measures pictures by the metrics of these names."""
Translate = Callable[[Sequence[Pixels], Sequence[Pixels]], Sequence[Pixels]]
"""Source pictures, and target pictures to learn from, to translations."""

STRIDES = (4, 2)
"""Every so many pictures are enough, it is tried, to notice the worst damage."""
_JPEG = 75
_LEAST = 8

# -------------------------------------------------------------------------- pictures


def material(
    dataset: Dataset, direction: Direction, size: int, limit: int | None
) -> tuple[ScoringData, list[Picture]]:
    """Return real target pictures scored as outputs of themselves, and the source's test pictures.

    The outputs are training pictures that are no test pictures, as many as there are of these;
    what is left trains the judge, as many of each domain as `limit`, too.

    Raises
    ------
    BenchError
        When there are too few.
    """

    def load(items: Iterable[ImageItem]) -> list[Picture]:
        return [picture_of(load_item(item, size), item.id) for item in items]

    tests = {
        domain: select(dataset.split("test", domain), limit)
        for domain in (direction.source, direction.target)
    }
    tested = {item.digest for items in tests.values() for item in items}
    trains = {
        domain: list(
            {i.digest: i for i in dataset.split("train", domain) if i.digest not in tested}.values()
        )
        for domain in tests
    }
    free = trains[direction.target]
    # Half at most: the judge is trained on others than it is asked about.
    others = select(free, min(len(tests[direction.target]), len(free) // 2))
    taken = {item.digest for item in others}
    rest = [item for item in free if item.digest not in taken]
    sources = load(tests[direction.source])
    if min(len(others), len(tests[direction.target]), len(sources)) < _LEAST:
        raise BenchError(
            f"a report card needs {_LEAST} test pictures of each domain and twice as many training "
            f"pictures of {dataset.domains[direction.target == 'b']}: there are fewer"
        )
    real = load(others)
    return ScoringData(
        direction=direction,
        domains=dataset.domains,
        outputs={picture.id: [picture] for picture in real},
        inputs={picture.id: picture for picture in real},
        reference=load(tests[direction.target]),
        reference_train=load(select(rest, limit)),
        source_train=load(select(trains[direction.source], limit)),
    ), sources


def with_outputs(
    data: ScoringData, outputs: Sequence[Picture], inputs: Sequence[Picture]
) -> ScoringData:
    """Return the data with other outputs of other inputs, one each."""
    keys = [picture.id for picture in inputs]
    return replace(
        data,
        outputs=dict(zip(keys, ([picture] for picture in outputs), strict=True)),
        inputs=dict(zip(keys, inputs, strict=True)),
    )


# ------------------------------------------------------------------------- the card


def _ends(found: Measurement) -> tuple[float, float]:
    low = found.value if found.low is None else found.low
    return low, found.value if found.high is None else found.high


def change(found: Measurement, clean: Measurement) -> int:
    """Return 1 where a value is worse than the clean one beyond both intervals, -1 where better."""
    (low, high), (clean_low, clean_high) = _ends(found), _ends(clean)
    above = int(low > clean_high) - int(high < clean_low)
    return -above if found.higher_is_better else above


@dataclass(frozen=True)
class Noticed:
    """How a metric takes one kind of damage.

    Parameters
    ----------
    since
        The first step from which on every step is noticed; None: not even the last is.
    n
        The fewest pictures, of those tried, on which the last step is noticed.
    monotone
        Whether no step scores better than the one before it.
    pleased
        Whether some step scores better than untouched pictures, beyond both intervals.
    """

    since: float | None
    n: int | None
    monotone: bool
    pleased: bool

    @classmethod
    def of(
        cls,
        steps: Sequence[float],
        found: Sequence[Measurement],
        clean: Measurement,
        fewer: Sequence[tuple[Measurement, Measurement]],
    ) -> Noticed:
        """Judge the values at each step, and the pairs (worst, untouched) at each smaller n."""
        changes = [change(one, clean) for one in found]
        run = 0
        while run < len(changes) and changes[-1 - run] > 0:
            run += 1
        sign = -1 if clean.higher_is_better else 1
        values = [sign * one.value for one in (clean, *found)]
        pairs = [*fewer, (found[-1], clean)]
        return cls(
            steps[-run] if run else None,
            next((worst.n for worst, whole in pairs if change(worst, whole) > 0), None),
            all(after >= before for before, after in pairwise(values)),
            min(changes) < 0,
        )

    def __str__(self) -> str:
        if self.pleased:
            return "**likes it**"
        if self.since is None:
            return "–"
        return f"{self.since:g} (n {self.n}){'' if self.monotone else ' ~'}"


@dataclass(frozen=True)
class Card:
    """What was found, of one dataset and direction.

    Parameters
    ----------
    title, data
        What it is of, and what was looked at.
    metrics
        Names, in order.
    clean
        What untouched pictures score.
    damaged
        Damage to the scores of each of its steps.
    noticed
        Damage and metric to what became of it.
    scales
        Row title to scores, of the table of KID by scale.
    """

    title: str
    data: ScoringData
    metrics: Sequence[str]
    clean: Scores
    damaged: Mapping[Damage, Sequence[Scores]]
    noticed: Mapping[tuple[Damage, str], Noticed]
    scales: Mapping[str, Scores]

    def markdown(self) -> str:
        """Return the card as a section of Markdown."""
        columns = ["damage", *self.metrics]
        summary = [
            [
                f"{damage.name} ({', '.join(f'{step:g}' for step in damage.steps)}{damage.unit})",
                *(str(self.noticed[damage, metric]) for metric in self.metrics),
            ]
            for damage in self.damaged
        ]
        values = [["untouched", *(f"{self.clean[m].value:.4g}" for m in self.metrics)]]
        for damage, steps in self.damaged.items():
            for step, scores in zip(damage.steps, steps, strict=True):
                cells = [_marked(scores[m], self.clean[m]) for m in self.metrics]
                values.append([damage.title(step), *cells])
        d = self.data
        counts = (
            f"{len(d.outputs)} real pictures beside {len(d.reference)} others, {d.side} px; the "
            f"judge has seen {len(d.source_train)} and {len(d.reference_train)} more."
        )
        return "\n\n".join(
            (
                f"## {self.title}",
                counts,
                "### What each metric notices",
                _table(columns, summary),
                "### The values",
                _table(columns, values),
                "### KID (target_rate) by scale",
                self._by_scale(),
            )
        )

    def _by_scale(self) -> str:
        sides = [side for side in (None, *SIDES) if _name("kid", side) in self._first]
        rows = [
            [
                title,
                *(
                    f"{scores[_name('kid', side)].value:.4f}"
                    f" ({scores[_name('target_rate', side)].value:.2f})"
                    for side in sides
                ),
            ]
            for title, scores in self.scales.items()
        ]
        judges = [_name("classifier", side) + "_auc" for side in sides]
        rows.append(["the judge's AUC", *(f"{self._first[name].value:.2f}" for name in judges)])
        return _table(["pictures", *(f"{side or self.data.side} px" for side in sides)], rows)

    @property
    def _first(self) -> Scores:
        return next(iter(self.scales.values()))


def _name(metric: str, side: int | None) -> str:
    return metric if side is None else f"{metric}_{side}"


def _marked(found: Measurement, clean: Measurement) -> str:
    text = f"{found.value:.4g}"
    return {1: f"**{text}**", 0: text, -1: f"*{text}*"}[change(found, clean)]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


LEGEND = """\
Real target pictures that no other set has are scored as if they were translations: first
untouched, then spoilt. A step is noticed where the metric's interval lies wholly on the worse side
of the interval of untouched pictures (a value without interval has one of no width).

- `50 (n 25)`: noticed from step 50 on, and the strongest step on as few as 25 pictures (a quarter,
  a half and all were tried); `~`: not every step scores worse than the one before;
- –: not even the strongest step is noticed; **likes it**: some step scores *better* than untouched.

JPEG is by quality; blur by the Gaussian's deviation, and crop by what is left and enlarged again,
both of a side; wrong season and duplicates are shares of the pictures. Metrics of content see the
untouched pictures as inputs. Of the values those that are noticed are bold, those that are better
than untouched in italics.
"""


def report_card(
    dataset: Dataset,
    direction: Direction,
    *,
    title: str,
    size: int,
    limit: int | None,
    metrics: Sequence[MetricSpec],
    score: Score,
    translations: Mapping[str, Translate],
    progress: Callable[[str], None],
) -> Card:
    """Spoil real pictures in steps, and ask each metric.

    Parameters
    ----------
    size, limit
        Side in pixels, and at most so many pictures of a set.
    metrics
        What is asked; those with no better side have nothing to say.
    score
        Measures pictures.
    translations
        Further rows of the table by scale: what is done to the source's pictures.
    progress
        Takes a line for each set of pictures.

    Raises
    ------
    BenchError
        When there are too few pictures, or no metric can be had of them.
    """
    data, sources = material(dataset, direction, size, limit)
    real = [picture for (picture,) in data.outputs.values()]

    def scored(
        outputs: Sequence[Picture], inputs: Sequence[Picture], names: Sequence[str]
    ) -> Scores:
        found = score(with_outputs(data, outputs, inputs), names)
        return {one.metric: one for one in found if one.subset == "all"}

    scales = _scales(data, sources, scored, translations, progress)
    asked = [spec.name for spec in metrics]
    progress("untouched pictures")
    clean = scored(real, real, asked)
    names = [n for n in asked if n in clean and clean[n].higher_is_better is not None]
    if not names:
        raise BenchError(
            f"{title}: none of {', '.join(asked)} can be measured and has a better side"
        )
    parts = [real[::stride] for stride in STRIDES]
    few = [scored(part, part, names) for part in parts]
    damaged: dict[Damage, list[Scores]] = {}
    noticed = {}
    for damage in DAMAGES:
        steps = []
        for step in damage.steps:
            progress(damage.title(step))
            spoilt = damage.spoil(real, sources, step)
            steps.append(scored(spoilt, real, names))
        # Of fewer pictures anew: a share of duplicates is one of those that are there.
        fewer = []
        for part, whole in zip(parts, few, strict=True):
            fewer.append((scored(damage.spoil(part, sources, step), part, names), whole))
        damaged[damage] = steps
        for name in names:
            pairs = [(worst[name], whole[name]) for worst, whole in fewer if name in worst]
            found = [scores[name] for scores in steps]
            noticed[damage, name] = Noticed.of(damage.steps, found, clean[name], pairs)
    return Card(title, data, names, clean, damaged, noticed, scales)


def _scales(
    data: ScoringData,
    sources: Sequence[Picture],
    scored: Callable[[Sequence[Picture], Sequence[Picture], Sequence[str]], Scores],
    translations: Mapping[str, Translate],
    progress: Callable[[str], None],
) -> dict[str, Scores]:
    """Return KID and the judge at every scale: sources, translations of them, real targets."""
    names = [_name(metric, side) for metric in ("kid", "target_rate") for side in (None, *SIDES)]
    source, target = (
        data.domains[d == "b"] for d in (data.direction.source, data.direction.target)
    )
    real = [picture for (picture,) in data.outputs.values()]
    rows: dict[str, Sequence[Picture]] = {f"untouched {source} pictures": sources}
    for title, translate in translations.items():
        made = translate([p.load() for p in sources], [p.load() for p in data.reference_train])
        rows[f"{title} of them"] = [
            picture_of(pixels, picture.id) for pixels, picture in zip(made, sources, strict=True)
        ]
    rows[f"other {target} pictures"] = real
    rows[f"other {target} pictures, JPEG q{_JPEG}"] = each(jpeg)(real, (), _JPEG)
    found = {}
    for title, pictures in rows.items():
        progress(f"by scale: {title}")
        # Whatever is scored, the judge is tested on the source's own pictures.
        inputs = [sources[i % len(sources)] for i in range(len(pictures))]
        keyed = [replace(p, id=f"{i:05d}") for i, p in enumerate(inputs)]
        found[title] = scored(pictures, keyed, names)
    return found
