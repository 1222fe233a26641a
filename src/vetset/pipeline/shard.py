"""What is done with one shard in each step: read, run the stage, seal, write the small tables, commit.

In it: `do`, which carries any task, and the steps index, screen and match; expand is in `settling`, clean in
`cleaning`. Not in it: which shards, in which order, on which machine (`audit`, runners), the building of adapters.
Rules: a step writes its manifest last; a step whose manifest is there and rests on the same basis is not done again;
the books are balanced before the manifest is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from vetset.errors import ShardError, Trouble
from vetset.ledger import Ledger, Manifest, Sink
from vetset.pipeline import pictures
from vetset.pipeline.cleaning import clean_shard, cleaned_stands
from vetset.pipeline.room import Made, Room, balance, needed, put_table
from vetset.pipeline.settling import compared_name, joins_name, settle_shard
from vetset.pipeline.source import digest_of_files, note_standing, standing_of
from vetset.records import Column, Hit, Shard, Tally, Task, TaskReport, merged
from vetset.stages import expand, index, screen
from vetset.vault import Vault


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
    before = {"index": "", "screen": "index", "match": "screen", "expand": "screen", "clean": task.basis}[task.stage]
    if task.stage == "expand" and ledger.done("match", task.shard.id) is not None:
        before = "match"
    return needed(ledger, before, task.shard).digest if before else ledger.run_digest


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
    if room.settings.joins:
        with room.ledger.sink.product(joins_name(shard)) as joins:
            joins.write(expand.join_header(spreading))
            hits = _screened(room, shard, spreading, books, parts, joins.write)
            digest = room.vault.seal_hits("screen", shard, hits, books.tally, books.base)
    else:
        hits = _screened(room, shard, spreading, books, parts, None)
        digest = room.vault.seal_hits("screen", shard, hits, books.tally, books.base)
    room.ledger.note("screen", shard.id, {"vault": digest})
    note_standing(room, shard, source, standing)
    products = put_table(room, task, screen.table_of(parts))
    return Made(books.tally.rows(), merged(books.base), {"source": source}, products)


def _screened(
    room: Room,
    shard: Shard,
    spreading: frozenset[Column],
    books: _Books,
    parts: screen.Screened,
    write: Callable[[bytes], int] | None,
) -> Iterator[Hit]:
    """Hits as they are found; adds to the books and the counts on the way, and writes the joins."""
    settings = screen.ScreenSettings(room.settings.rules)
    columns = screen.columns_needed(room.lists, settings) | frozenset(expand.SPREADING)  # a hit's address needs these
    for batch in room.dataset.batches(shard, columns):
        result = screen.screen(batch, room.lists, settings, shard_id=shard.id)
        balance(result.tally, batch.rows)
        if write is not None:
            write(expand.join_rows(batch, result.onward.base, spreading, room.keys.join_key))
        books.tally.update(result.tally)
        books.base.update(screen.base_tally(result.onward))
        parts.compared.update(result.onward.compared)
        parts.blank.update(result.onward.blank)
        parts.malformed.update(result.onward.malformed)
        yield from result.onward.hits


# --- match ---------------------------------------------------------------------------------------------------------


def _match(room: Room, task: Task) -> Made:
    """Fingerprints and matches the shard's pictures; notes beside the joins which rows were compared."""
    shard = task.shard
    if room.decoder is None:
        raise ShardError(Trouble.INTERNAL, "no sandbox to decode in")
    screened = needed(room.ledger, "screen", shard)
    decoder = room.decoder()
    looking = pictures.Looking(room.dataset, decoder, room.lists, room.settings.match, room.kinds)
    found, hits = pictures.match_pictures(looking, shard, screened.rows)
    room.ledger.sink.put(compared_name(shard), found.compared.tobytes())
    room.ledger.note("match", shard.id, {"vault": room.vault.seal_hits("match", shard, hits, found.match)})
    products = put_table(room, task, pictures.table_of(found))
    materials = {"source": screened.materials["source"], "sandbox": decoder.level}
    return Made(screened.rows, pictures.shown(found), materials, products)


STEPS: Mapping[str, Callable[[Room, Task], Made]] = {
    "index": _index,
    "screen": _screen,
    "match": _match,
    "expand": settle_shard,
    "clean": clean_shard,
}
