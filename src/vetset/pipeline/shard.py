"""What is done with one shard in each step: read, run the stage, seal, write the small tables, commit.

In it: `do`, which carries any task, and the steps index, screen and match; expand is in `settling`, clean in
`cleaning`. Not in it: which shards, in which order, on which machine (`audit`, runners), the building of adapters.
Rules: a step writes its manifest last; a step whose manifest is there and rests on the same basis is not done again;
the books are balanced before the manifest is made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vetset import kernels
from vetset.errors import ShardError, Trouble
from vetset.ledger import Ledger, Manifest, Sink
from vetset.pipeline import pictures
from vetset.pipeline.cleaning import clean_shard, cleaned_stands
from vetset.pipeline.fetching import fetch_hosts
from vetset.pipeline.gathering import gather, settle_fetched
from vetset.pipeline.planning import GATHERED, PLAN, marks_name, plan_round
from vetset.pipeline.releasing import step_of
from vetset.pipeline.room import Made, Room, balance, needed, put_table
from vetset.pipeline.settling import compared_name, joins_name, settle_shard
from vetset.pipeline.source import digest_of_files, note_standing, standing_of
from vetset.records import Column, Hit, Reach, RowBatch, Shard, Tally, Task, TaskReport, merged
from vetset.stages import expand, fetch, index, screen
from vetset.vault import Vault

Codes = npt.NDArray[np.uint8]


def do(room: Room, task: Task) -> TaskReport:
    """Runs a task, or finds it done. A retry after a commit costs a look at the manifest."""
    manifest = standing(room.ledger, room.vault, task, room.cleaned)
    if manifest is None:
        previous = _previous(room.ledger, task)
        made = STEPS[task.stage](room, task)
        manifest = Manifest(
            step=task.step,
            shard=task.shard.id,
            path=task.shard.path,
            attempt=task.attempt,
            run=room.ledger.run_digest,
            previous=previous,
            materials={**made.materials, "basis": task.basis},
            products=made.products,
            rows=made.rows,
            tally=made.tally,
        )
        room.ledger.commit(manifest)
    return TaskReport(task, rows=manifest.rows, tally=manifest.tally)


def standing(ledger: Ledger, vault: Vault, task: Task, cleaned: Sink | None = None) -> Manifest | None:
    """The manifest of a task that is done and still rests on what it rested on; else None."""
    manifest = ledger.done(task.step, task.shard.id)
    if manifest is None or manifest.materials.get("basis") != task.basis:
        return None
    if manifest.attempt < task.attempt or manifest.previous != _previous(ledger, task):
        return None
    if task.stage != "index" and not (ledger.root / f"vault/{task.step}/{task.shard.id}.age").is_file():
        return None
    if cleaned is not None and task.stage == "clean":
        return manifest if cleaned_stands(cleaned, vault, manifest) else None
    return manifest


def _previous(ledger: Ledger, task: Task) -> str:
    """The digest that a task's manifest chains to: that of the shard's step before, or of run.toml."""
    if task.stage == "fetch":
        return _previous_of_fetch(ledger, task)
    before = {"index": "", "screen": "index", "match": "screen", "expand": "screen", "clean": step_of(task.basis)}[
        task.stage
    ]
    if task.stage == "expand" and ledger.done("match", task.shard.id) is not None:
        before = "match"
    return needed(ledger, before, task.shard).digest if before else ledger.run_digest


def _previous_of_fetch(ledger: Ledger, task: Task) -> str:
    """A group of hosts, and the plan, chain to the last round that they took part in."""
    for number in range(task.round - 1, 0, -1):
        manifest = ledger.done(f"fetch-{number}", task.shard.id)
        if manifest is not None:
            return manifest.digest
    return ledger.run_digest


# --- index ---------------------------------------------------------------------------------------------------------


def _index(room: Room, task: Task) -> Made:
    facts = room.dataset.facts(task.shard)
    result = index.index(task.shard, facts)
    products = put_table(room, task, result.onward)
    tally = {} if facts.rows is None else dict(result.tally)
    return Made(facts.rows or 0, tally, {"probe": task.shard.probe}, products)


# --- screen --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Books:
    """Outcomes of a shard's rows, and what they would be without a hit, which alone may stand in clear."""

    tally: Tally = field(default_factory=Tally)
    base: Tally = field(default_factory=Tally)


def _screen(room: Room, task: Task) -> Made:
    shard = task.shard
    standing = standing_of(room, shard)
    source = digest_of_files(room, shard)
    columns = frozenset(room.dataset.facts(shard).columns)
    spreading = columns & frozenset(expand.SPREADING) if room.settings.expand else frozenset()
    books, parts = _Books(), screen.Screened(np.empty(0, np.uint8))
    with contextlib.ExitStack() as products:
        writers: list[Callable[[RowBatch, Codes], object]] = []
        if room.settings.joins:
            joins = products.enter_context(room.ledger.sink.product(joins_name(shard)))
            joins.write(expand.join_header(spreading))
            key = room.keys.join_key
            writers.append(lambda batch, base: joins.write(expand.join_rows(batch, base, spreading, key)))
        if room.settings.reach is Reach.FETCH:
            marks = products.enter_context(room.ledger.sink.product(marks_name(shard)))
            writers.append(lambda batch, base: marks.write(_marks(room, batch, base)))
        digest = room.vault.seal_hits(
            "screen", shard, _screened(room, shard, books, parts, writers), books.tally, books.base
        )
    room.ledger.note("screen", shard.id, {"vault": digest})
    note_standing(room, shard, source, standing)
    products_made = put_table(room, task, screen.table_of(parts))
    return Made(books.tally.rows(), merged(books.base), {"source": source}, products_made)


def _marks(room: Room, batch: RowBatch, base: Codes) -> bytes:
    """What fetch needs to know of a batch's rows: the same for hits and for others."""
    marks = kernels.web_marks(batch.values, room.keys.join_key)
    records = np.zeros(batch.rows, fetch.WEB_RECORD)
    for name in ("raw", "asked", "host", "digest", "score"):
        records[name] = getattr(marks, name)
    records["open"] = (marks.asked != 0) & (base != screen.POLICY)
    return records.tobytes()


def _screened(
    room: Room,
    shard: Shard,
    books: _Books,
    parts: screen.Screened,
    writers: Sequence[Callable[[RowBatch, Codes], object]],
) -> Iterator[Hit]:
    """Hits as they are found; adds to the books and the counts on the way, and writes what lies beside the results."""
    settings = screen.ScreenSettings(room.settings.rules)
    columns = screen.columns_needed(room.lists, settings) | frozenset(expand.SPREADING)  # a hit's address needs these
    columns |= {Column.PUNSAFE} if room.settings.reach is Reach.FETCH else frozenset()
    for batch in room.dataset.batches(shard, columns):
        result = screen.screen(batch, room.lists, settings, shard_id=shard.id)
        balance(result.tally, batch.rows)
        for write in writers:
            write(batch, result.onward.base)
        books.tally.update(result.tally)
        books.base.update(screen.base_tally(result.onward))
        parts.compared.update(result.onward.compared)
        parts.blank.update(result.onward.blank)
        parts.malformed.update(result.onward.malformed)
        yield from result.onward.hits


# --- match ---------------------------------------------------------------------------------------------------------


def _match(room: Room, task: Task) -> Made:
    """Fingerprints and matches the shard's pictures; notes beside the joins which rows were compared."""
    if room.settings.reach is Reach.FETCH:
        return settle_fetched(room, task)
    shard = task.shard
    if room.decoder is None:
        raise ShardError(Trouble.INTERNAL, "no sandbox to decode in")
    screened = needed(room.ledger, "screen", shard)
    decoder = room.decoder()
    kept: list[dict[str, object]] | None = None if room.digests is None else []
    looking = pictures.Looking(room.dataset, decoder, room.lists, room.settings.match, room.kinds, kept)
    found, hits = pictures.match_pictures(looking, shard, screened.rows)
    if room.digests is not None and kept is not None:
        room.digests.seal("match", shard.id, kept)
    room.ledger.sink.put(compared_name(shard), found.compared.tobytes())
    room.ledger.note("match", shard.id, {"vault": room.vault.seal_hits("match", shard, hits, found.match)})
    products = put_table(room, task, pictures.table_of(found))
    materials = {"source": screened.materials["source"], "sandbox": decoder.level}
    return Made(screened.rows, pictures.shown(found), materials, products)


# --- fetch ---------------------------------------------------------------------------------------------------------


def _fetch(room: Room, task: Task) -> Made:
    """A round is planned, then asked by each group of hosts; after the last one, what came of it is gathered."""
    work = {PLAN: plan_round, GATHERED: gather}.get(task.shard.id, fetch_hosts)
    return work(room, task)


STEPS: Mapping[str, Callable[[Room, Task], Made]] = {
    "index": _index,
    "screen": _screen,
    "fetch": _fetch,
    "match": _match,
    "expand": settle_shard,
    "clean": clean_shard,
}
