"""The demo: synthetic rows and pictures with known plants, two whole audits with cleaning, a check of every row.

In it: what the demo writes and how it checks itself. Not in it: the making of rows and plants (`testing`).
Rules: everything lies in the folder named, the custodian's key of the demo too; nothing of the user's own is touched;
every address is under a reserved name and every digest invented; only counts are shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq

from vetset.config import AuditSettings, RunSettings, Settings
from vetset.errors import Stop
from vetset.hashlists.compiled import compile_list
from vetset.pipeline.watching import Watcher
from vetset.records import Reach, ScreenOutcome
from vetset.testing.picture_plants import PicturePlants, plant_pictures
from vetset.testing.plants import Plants, plant
from vetset.testing.rows import write_shards
from vetset.testing.tars import tar_samples
from vetset.vault import custodian
from vetset.wiring.job import audit, outcomes_of
from vetset.wiring.opening import Request

SHARDS = 8
SEED = 2024

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Whether every row ended as planted, and lines that say so to a person."""

    as_planted: bool
    lines: tuple[str, ...]


def run_demo(
    out: Path, *, rows: int, workers: int, watcher: Watcher, now: datetime, clock: Callable[[], float]
) -> DemoResult:
    """Writes the dataset and the lists under `out`, audits and cleans them, and compares with the plants."""
    started = clock()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Stop(f"{out} exists and is not an empty folder", hint="name a new folder with --out")
    dataset, lists = out / "dataset", out / "lists"
    write_shards(dataset, rows, SHARDS, seed=SEED)
    plants = plant(dataset, lists, seed=SEED)
    written = clock()
    result = audit(_request(out, _compiled(out, plants, now), plants, workers, now), watcher, clock)
    problems = list(_problems(out, dataset, plants))
    lines = (*_told(out, rows, plants, written - started, clock() - written), *result.lines, *_verdict(problems))
    pictures = _demo_of_pictures(out / "pictures", workers, watcher, now, clock)
    return DemoResult(not problems and result.complete and pictures.as_planted, (*lines, "", *pictures.lines))


def _demo_of_pictures(
    out: Path, workers: int, watcher: Watcher, now: datetime, clock: Callable[[], float]
) -> DemoResult:
    """Tar shards with copies of listed pictures, exact and edited; found in the sandbox, and cleaned."""
    plants = plant_pictures(out / "dataset", out / "lists")
    recipient, _ = custodian(out / "settings")
    target = out / "lists" / "pictures.vsl"
    compile_list([plants.source], target, name="pictures", version=1, created=now, recipients=[recipient])
    started = clock()
    settings = Settings(audit=AuditSettings(reach=Reach.LOCAL.value), run=RunSettings(workers=workers))
    result = audit(_request_for(out, (target,), settings, now), watcher, clock)
    edits = ", ".join(f"{count} {edit}" for edit, count in plants.edits.items())
    problems = list(_problems_of_pictures(out, plants))
    lines = (
        f"wrote {plants.pictures:,} synthetic pictures in tar shards; copies of listed ones: {edits}",
        f"audited with --reach local, cleaned and checked in {clock() - started:.0f} s; everything lies in {out}",
        *result.lines,
        *_verdict(problems, "every picture ended as planted, and the cleaned tars lack exactly the planted samples"),
    )
    return DemoResult(not problems and result.complete, lines)


def _problems_of_pictures(out: Path, plants: PicturePlants) -> Iterator[str]:
    found = outcomes_of(out / "run")
    for outcome in sorted(set(plants.expected.values())):
        theirs = {place for place, what in plants.expected.items() if what == outcome}
        ours = {place for place, what in found.items() if what == outcome}
        if ours != theirs:
            yield f"{outcome}: {len(theirs - ours)} planted pictures missed, {len(ours - theirs)} others taken"
    for path in sorted((out / "dataset").glob("*.tar")):
        gone = {row for shard, row in plants.expected if shard == path.name}
        if not _tar_as_it_should_be(path, out / "cleaned" / path.name, gone):
            yield f"the cleaned {path.name} is not the dataset's without the planted samples"


def _tar_as_it_should_be(source: Path, cleaned: Path, gone: set[int]) -> bool:
    kept = [sample for row, sample in enumerate(tar_samples(source)) if row not in gone]
    return cleaned.is_file() and tar_samples(cleaned) == kept


def _compiled(out: Path, plants: Plants, now: datetime) -> tuple[Path, ...]:
    """The lists, sealed to the demo's own custodian."""
    recipient, _ = custodian(out / "settings")
    targets = []
    for name, source in plants.lists.items():
        target = out / "lists" / f"{name}.vsl"
        compile_list([source], target, name=name, version=1, created=now, recipients=[recipient], purpose="demo")
        targets.append(target)
    return tuple(targets)


def _request(out: Path, lists: tuple[Path, ...], plants: Plants, workers: int, now: datetime) -> Request:
    settings = Settings(audit=AuditSettings(spread_limit=plants.spread_limit), run=RunSettings(workers=workers))
    return _request_for(out, lists, settings, now)


def _request_for(out: Path, lists: tuple[Path, ...], settings: Settings, now: datetime) -> Request:
    return Request(
        dataset=str(out / "dataset"),
        lists=lists,
        run=out / "run",
        clean=out / "cleaned",
        settings=settings,
        config_folder=out / "settings",
        now=now,
    )


# --- the check --------------------------------------------------------------------------------------------------------

_FOUND = frozenset({ScreenOutcome.HIT, ScreenOutcome.EXPANDED, ScreenOutcome.HELD})
_GONE = frozenset({ScreenOutcome.HIT, ScreenOutcome.EXPANDED})


def _problems(out: Path, dataset: Path, plants: Plants) -> Iterator[str]:
    """Counts of what is not as planted: rows by outcome, and shards of the cleaned dataset row for row."""
    found = outcomes_of(out / "run")
    wanted = {place: outcome for place, outcome in plants.expected.items() if outcome in _FOUND}
    for outcome in sorted(_FOUND):
        theirs = {place for place, what in wanted.items() if what == outcome}
        ours = {place for place, what in found.items() if what == outcome}
        if ours != theirs:
            yield f"{outcome}: {len(theirs - ours)} planted rows missed, {len(ours - theirs)} others taken"
    for path in sorted(dataset.glob("*.parquet")):
        if not _as_it_should_be(path, out / "cleaned" / path.name, wanted):
            yield f"the cleaned {path.name} is not the dataset's without the planted rows"


def _as_it_should_be(source: Path, cleaned: Path, wanted: Mapping[Place, ScreenOutcome]) -> bool:
    table = pq.read_table(source)
    keep = [row for row in range(table.num_rows) if wanted.get((source.name, row)) not in _GONE]
    return cleaned.is_file() and bool(pq.read_table(cleaned).equals(table.take(keep)))


# --- what is told -----------------------------------------------------------------------------------------------------


def _told(out: Path, rows: int, plants: Plants, writing_seconds: float, audit_seconds: float) -> Iterator[str]:
    counts = Counter(plants.expected.values())
    planted = ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in ScreenOutcome if counts[outcome])
    yield f"wrote {rows:,} synthetic rows in {SHARDS} shards and {len(plants.lists)} lists in {writing_seconds:.0f} s"
    yield f"planted, and so expected: {planted}; {plants.noisy_entries} noisy list entries"
    yield f"audited, cleaned and checked in {audit_seconds:.0f} s; everything lies in {out}"


_ALL_WELL = "every row ended as planted, and the cleaned dataset lacks exactly the planted rows and their closure"


def _verdict(problems: list[str], all_well: str = _ALL_WELL) -> Iterator[str]:
    if problems:
        yield from (f"NOT as planted: {problem}" for problem in problems)
    else:
        yield all_well
