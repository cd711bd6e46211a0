"""Damaged, exchanged, lost and moved files of run folders and caches."""

from __future__ import annotations

import itertools
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.faults.campaign.core import VERBS, Case, Place, Said
from tests.faults.campaign.promises import (
    as_ever,
    equal,
    fine,
    never_wrong,
    noticed,
    refused,
)

Damage = Callable[[bytes], bytes | None]
"""Gives what is in the file afterwards; None: the file is gone."""


def _flipped(share: float, content: bytes) -> bytes:
    place = min(int(len(content) * share), len(content) - 1)
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


CONTENT: dict[str, Damage] = {
    "emptied": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "a bit flipped": partial(_flipped, 0.3),
    "a later bit flipped": partial(_flipped, 0.7),
    "overwritten": lambda content: b"\xff\xfe\x00" * 9,
    "gone": lambda content: None,
}
JSON: dict[str, Damage] = {
    f"only {text}": partial(lambda new, content: new, text.encode())
    for text in ("{}", "[]", "null", "7", '"text"', "[[[[", '{"method": 1}')
}


def damage(pattern: str, how: Damage) -> Callable[[Place], None]:
    def inject(place: Place) -> None:
        file = place.file(pattern)
        content = how(file.read_bytes())
        file.unlink()
        if content is not None:
            file.write_bytes(content)

    return inject


def cases() -> Iterator[Case]:
    yield from _runs()
    yield from _resumed()
    yield from _cached()
    yield from _moved()


# ----------------------------------------------------------------------------- run folders

_TRIAL = "run/trials/toy-*"
FILES: dict[str, dict[str, Damage]] = {
    # A user edits it: another valid value is no damage.
    "run/suite.toml": {what: how for what, how in CONTENT.items() if "bit" not in what},
    "run/environment.json": CONTENT | JSON,
    "run/declared.json": CONTENT | JSON,
    "run/plan.jsonl": CONTENT | JSON,
    "run/events.jsonl": CONTENT | JSON,
    f"{_TRIAL}/result.json": CONTENT | JSON,
    f"{_TRIAL}/job.json": CONTENT | JSON,
    f"{_TRIAL}/scored.json": CONTENT | JSON,
    f"{_TRIAL}/events.jsonl": CONTENT | JSON,
    f"{_TRIAL}/losses.jsonl": CONTENT | JSON,
    f"{_TRIAL}/DONE": CONTENT,
    f"{_TRIAL}/checkpoints/weights.safetensors": CONTENT,
    f"{_TRIAL}/checkpoints/last.pt": CONTENT,
    f"{_TRIAL}/images/a2b/p0/0.png": CONTENT,
    "run/inputs/image_folder/a2b/p0.png": CONTENT,
    "run/audit/image_folder/a2b.json": CONTENT | JSON,
    **{f"run/tables/{name}.parquet": CONTENT
       for name in ("trials", "measurements", "samples", "timings", "curves", "comparisons",
                    "checks")},
}  # fmt: skip
_SHOWN = ("losses.jsonl", "0.png", "p0.png")
"""Of trials that have ended: no number comes from them again; `replay` tells of the pictures."""
READERS = ("report", "compare", "merge", "replay", "status", "vote", "weights")


def _runs() -> Iterator[Case]:
    """``report`` meets each file twice, the other readers take turns, and so do the damages."""
    readers = itertools.cycle(READERS[1:])
    for number, (file, damages) in enumerate(FILES.items()):
        hows = itertools.islice(itertools.cycle(damages.items()), number, None)
        for verb in ("report", "report", *itertools.islice(readers, 3)):
            what, how = next(hows)
            name = Path(file).name
            promise = never_wrong(verb, name)
            if verb == "replay" and "/images/" in file:
                promise = noticed("output file p0/0")
            if name == "environment.json" and what in ("gone", "only {}"):
                promise = fine()  # what it would have said of the machine is not shown
            if verb == "status" and name == "result.json":
                promise = fine("toy")  # it has not ended as far as one can see
            yield Case("damaged run folder", verb, f"{file}: {what}", damage(file, how), promise)


def _resumed() -> Iterator[Case]:
    """A resumed run makes good whatever is damaged but what it goes by: suite and version."""
    for number, (file, damages) in enumerate(FILES.items()):
        if Path(file).name in _SHOWN:
            continue
        known_by = Path(file).name in ("suite.toml", "environment.json")
        whole = {k: v for k, v in damages.items() if not (known_by and k in ("gone", "only {}"))}
        for what, how in itertools.islice(itertools.cycle(whole.items()), number, number + 1):
            promise = refused(Path(file).name) if known_by else equal()
            yield Case(
                "damaged run folder", "resume", f"{file}: {what}", damage(file, how), promise
            )


# ---------------------------------------------------------------------------------- caches

ENTRIES = {
    "fit": ("fit.json", "losses.jsonl", "weights.safetensors", "MANIFEST.json"),
    "kept": ("weights.safetensors", "MANIFEST.json"),
    "translate": ("p0/0.png", "MANIFEST.json"),
    "score": ("measurements.json", "scored.json", "MANIFEST.json"),
    "time": ("time.json", "MANIFEST.json"),
}


def _stages(place: Place, stage: str) -> list[Path]:
    return [file.parent for file in sorted(place.cache.glob(f"stages/{stage}/*/*/MANIFEST.json"))]


def _exchange(a: Path, b: Path) -> None:
    aside = a.with_name("aside")
    a.rename(aside)
    b.rename(a)
    aside.rename(b)


def _exchange_entries(stage: str, place: Place) -> None:
    _exchange(*_stages(place, stage)[:2])


def _exchange_contents(stage: str, place: Place) -> None:
    """The files alone: each manifest stays where it is."""
    for file in ENTRIES[stage][:-1]:
        a, b, *_ = _stages(place, stage)
        _exchange(a / file, b / file)


def _from_another_stage(place: Place) -> None:
    """What was measured stands where the times should be."""
    target = _stages(place, "time")[0]
    shutil.rmtree(target)
    shutil.copytree(_stages(place, "score")[0], target)


def _one_more(stage: str, place: Place) -> None:
    (_stages(place, stage)[0] / "more.json").write_text("{}")


def _entry_is_a_file(stage: str, place: Place) -> None:
    entry = _stages(place, stage)[0]
    shutil.rmtree(entry)
    entry.write_text("no folder")


def _score_anew(inject: Callable[[list[Path]], object], place: Place) -> None:
    """Damage features, which are asked for where scores are not known."""
    shutil.rmtree(place.cache / "stages" / "score")
    inject(sorted(place.cache.glob("features/*/*.bin")))


def _rewrite(how: Damage, files: list[Path]) -> None:
    for file in files:
        if (content := how(file.read_bytes())) is None:
            file.unlink()
        else:
            file.write_bytes(content)


def _rotate(files: list[Path]) -> None:
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, [*contents[1:], contents[0]], strict=True):
        file.write_bytes(content)


def _folders(files: list[Path]) -> None:
    for file in files:
        file.unlink()
        file.mkdir()


def _cached() -> Iterator[Case]:
    """Whatever is wrong in a cache costs time, never a number."""

    def case(what: str, inject: Callable[[Place], object], stage: str) -> Case:
        return Case("damaged cache", "run", what, inject, equal("again"), stage=stage)

    for number, (stage, files) in enumerate(ENTRIES.items()):
        for file in files:
            kinds = CONTENT | (JSON if file.endswith("json") else {})
            turns = itertools.islice(itertools.cycle(kinds.items()), number * 5, number * 5 + 2)
            for what, how in turns:
                place = f"cache/stages/{stage}/*/*/{file}"
                yield case(f"{stage}/…/{file}: {what}", damage(place, how), stage)
    for stage in ("translate", "score", "time"):
        yield case(f"two entries of {stage} exchanged", partial(_exchange_entries, stage), stage)
        yield case(f"files of two {stage}s exchanged", partial(_exchange_contents, stage), stage)
    yield case("an entry of score under time", _from_another_stage, "time")
    for stage in ("fit", "score"):
        yield case(f"a file too many in {stage}", partial(_one_more, stage), stage)
        yield case(f"an entry of {stage} is a file", partial(_entry_is_a_file, stage), stage)
    for what, how in CONTENT.items():
        inject = partial(_score_anew, partial(_rewrite, how))
        yield case(f"all features: {what}", inject, "score")
    yield case("all features exchanged", partial(_score_anew, _rotate), "score")
    yield case("all features are folders", partial(_score_anew, _folders), "score")
    for what, how in itertools.islice({**CONTENT, **JSON}.items(), 0, None, 2):
        pace = "cache/paces/*.json"
        yield Case("damaged cache", "plan", f"paces: {what}", damage(pace, how), fine("toy"))
    for what, how in itertools.islice(JSON.items(), 5):
        inject = partial(_unfinished, how)
        yield Case("damaged cache", "cache", f"record of a run: {what}", inject, fine("score"))
    for what, break_it in STORES.items():
        act = partial(_taken_from_a_store, break_it)
        yield Case("damaged store", "cache", what, lambda place: None, equal("again"), act)


def _unfinished(how: Damage, place: Place) -> None:
    record = place.cache / "runs" / "0.json"
    record.parent.mkdir(exist_ok=True)
    record.write_bytes(how(json.dumps({"run": "run", "fits": []}).encode()) or b"")


def _archives(place: Place) -> list[Path]:
    return sorted((place.root / "store").glob("stages/*/*/*.tar"))


def _tar(place: Place, name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
    """Another archive in the place of the first: with one entry."""
    with tarfile.open(_archives(place)[0], "w") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, 0
        tar.addfile(info)


STORES: dict[str, Callable[[Place], object]] = {
    **{f"an archive {what}": partial(lambda how, place: _rewrite(how, _archives(place)[:1]), how)
       for what, how in CONTENT.items()},
    "every archive cut in half": lambda place: _rewrite(CONTENT["cut in half"], _archives(place)),
    "archives exchanged": lambda place: _rotate(_archives(place)),
    "an archive that climbs": lambda place: _tar(place, "../../../../../escaped"),
    "an archive with a link": lambda place: _tar(place, "link", tarfile.SYMTYPE, "/"),
    "an archive with a device": lambda place: _tar(place, "null", tarfile.CHRTYPE),
    "features exchanged": lambda place: _rotate(sorted(place.root.glob("store/features/*/*"))),
    "names that are no names of ours": lambda place: (place.root / "store" / "x.tar").touch(),
}  # fmt: skip


def _taken_from_a_store(break_it: Callable[[Place], object], place: Place) -> Said:
    """Push everything, break the store, and take it on an empty machine."""
    store = f"file://{place.root}/store"
    fine("pushed")(place, place.bench("cache", "push", store))
    shutil.rmtree(place.cache)
    break_it(place)
    fine("pulled")(place, place.bench("cache", "pull", store))
    assert not list(place.root.parent.glob("escaped")) and not list(place.root.glob("escaped"))
    return place.verb("run")


# ---------------------------------------------------------------------------- moved and mixed


def _move(a: str, b: str, place: Place) -> None:
    (place.root / b).parent.mkdir(parents=True, exist_ok=True)
    (place.root / a).rename(place.root / b)


def _swap(name: str, place: Place) -> None:
    a, b = sorted(place.run.glob(f"trials/*/{name}"))
    _exchange(a, b)


def _words(verb: str, run: str) -> tuple[str, ...]:
    """The words of a verb for a run of another name."""
    return tuple(run + w[3:] if w in ("run", "run/toy") and i else w
                 for i, w in enumerate(VERBS[verb]))  # fmt: skip


def _moved() -> Iterator[Case]:
    kind = "moved or mixed"
    for new in ("elsewhere/far away", "ünïcödé-😀", "x'; rm -rf y"):
        for verb in ("report", "replay", "status", "vote"):
            act = partial(lambda words, place: place.bench(*words), _words(verb, new))
            yield Case(kind, verb, f"run renamed {new!r}", partial(_move, "run", new), fine(), act)
        act = partial(lambda words, place: place.bench(*words), _words("resume", new))
        yield Case(
            kind, "resume", f"run renamed {new!r}", partial(_move, "run", new), equal(new), act
        )
    for verb in ("report", "status", "vote", "weights", "compare"):
        yield Case(kind, verb, "pictures moved away", partial(_move, "data", "gone"), as_ever(verb))
        yield Case(
            kind, verb, "cache gone", lambda place: shutil.rmtree(place.cache), as_ever(verb)
        )
    for verb in ("resume", "replay", "plan", "run"):
        yield Case(kind, verb, "pictures moved away", partial(_move, "data", "gone"),
                   refused("data does not exist"))  # fmt: skip
    yield Case(kind, "resume", "cache gone", lambda place: shutil.rmtree(place.cache), equal())
    yield Case(
        kind, "replay", "cache gone", lambda place: shutil.rmtree(place.cache), as_ever("replay")
    )
    plugin = partial(_move, "toy_plugin.py", "gone.py")
    for verb in ("resume", "replay", "plan", "run"):
        yield Case(
            kind, verb, "plugin moved away", plugin, refused("toy_plugin.py", "does not exist")
        )
    for verb in ("report", "vote", "status", "compare"):
        yield Case(kind, verb, "plugin moved away", plugin, as_ever(verb))
    for name in ("result.json", "job.json", "scored.json", "events.jsonl"):
        yield Case(kind, "resume", f"{name} of two trials exchanged", partial(_swap, name), equal())
    yield Case(kind, "replay", "pictures of two trials exchanged", partial(_swap, "images"),
               noticed("output"))  # fmt: skip

    def linked(place: Place) -> None:
        _move("run", "real", place)
        place.run.symlink_to("real")

    yield Case(kind, "resume", "run is a link", linked, equal())
    yield Case(kind, "report", "run is a link", linked, fine())
