"""What is done with one shard in each step: read, run the stage, seal, write the small tables, commit.

In it: one function for each step, from a `Room` (what a worker has) and a task to a manifest. Not in it: which shards,
in which order, on which machine (`audit`, runners), and the building of adapters (`wiring`).
Rules: a step writes its manifest last; a step whose manifest is there and rests on the same basis is not done again;
the books are balanced before the manifest is made.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vetset.config import Rule
from vetset.errors import ShardError, Trouble
from vetset.ledger import Ledger, Manifest, Product, ProductStream, Sink
from vetset.pipeline import pictures
from vetset.ports import Dataset, Decoder, FingerprintKind, HashList
from vetset.records import (
    Borne,
    Column,
    Hit,
    Reach,
    RowBatch,
    ScreenOutcome,
    Sealed,
    Shard,
    Tally,
    Task,
    TaskReport,
    merged,
)
from vetset.stages import clean, expand, index, match, screen
from vetset.vault import RunKeys, Vault

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ShardSettings:
    """The settings that a step on a shard needs."""

    rules: tuple[Rule, ...] = ()
    spread_limit: int = 1000
    remove_held: bool = False
    expand: bool = True
    reach: Reach = Reach.COLUMNS
    match: match.MatchSettings = field(default_factory=match.MatchSettings)

    @property
    def joins(self) -> bool:
        """Whether the rows' outcomes are settled after screen: by what they share, or by their pictures."""
        return self.expand or self.reach is not Reach.COLUMNS


@dataclass(frozen=True, slots=True, repr=False)
class Room:
    """All that a worker has: ports, ledger, vault and keys, built by `wiring` inside the worker."""

    root: Path
    dataset: Dataset
    lists: Sequence[HashList]
    ledger: Ledger
    vault: Vault
    keys: RunKeys
    settings: ShardSettings
    cleaned: Sink | None = None
    decoder: Callable[[], Decoder] | None = None  # starts the sandbox when first asked; only where it may be needed
    kinds: Sequence[FingerprintKind] = ()


@dataclass(slots=True)
class _Made:
    """What a step has to say in its manifest."""

    rows: int
    tally: Mapping[str, int]
    materials: dict[str, str]
    products: dict[str, Product]


def do(room: Room, task: Task) -> TaskReport:
    """Runs a task, or finds it done. A retry after a commit costs a look at the manifest."""
    manifest = standing(room.ledger, task, room.cleaned)
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


def standing(ledger: Ledger, task: Task, cleaned: Sink | None = None) -> Manifest | None:
    """The manifest of a task that is done and still rests on what it rested on; else None."""
    manifest = ledger.done(task.step, task.shard.id)
    if manifest is None or manifest.materials.get("basis") != task.basis:
        return None
    if manifest.attempt < task.attempt or manifest.previous != _previous(ledger, task):
        return None
    if task.stage != "index" and not (ledger.root / f"vault/{task.step}/{task.shard.id}.age").is_file():
        return None
    if cleaned is not None and task.stage == "clean":
        return manifest if all(_stands(cleaned, product) for product in manifest.products.values()) else None
    return manifest


#: The name under which a manifest of `clean` names the shard's file in the cleaned dataset.
CLEANED = "cleaned"


def _stands(cleaned: Sink, product: Product) -> bool:
    path = cleaned.root / product.name
    return path.is_file() and path.stat().st_size == product.bytes


def _previous(ledger: Ledger, task: Task) -> str:
    """The digest that a task's manifest chains to: that of the shard's step before, or of run.toml."""
    before = {"index": "", "screen": "index", "match": "screen", "expand": "screen", "clean": task.basis}[task.stage]
    if task.stage == "expand" and ledger.done("match", task.shard.id) is not None:
        before = "match"
    return _needed(ledger, before, task.shard).digest if before else ledger.run_digest


def _needed(ledger: Ledger, step: str, shard: Shard) -> Manifest:
    manifest = ledger.done(step, shard.id)
    if manifest is None:
        raise ShardError(Trouble.UNREADABLE, f"the step {step} of this shard is missing")
    return manifest


# --- index ---------------------------------------------------------------------------------------------------------


def _index(room: Room, task: Task) -> _Made:
    facts = room.dataset.facts(task.shard)
    result = index.index(task.shard, facts)
    products = _put_table(room, task, result.onward)
    tally = {} if facts.rows is None else dict(result.tally)
    return _Made(facts.rows or 0, tally, {"probe": task.shard.probe}, products)


def _put_table(room: Room, task: Task, table: pa.Table) -> dict[str, Product]:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", store_schema=False)
    name = f"results/{task.step}/{task.shard.id}.parquet"
    return {"results": room.ledger.sink.put(name, buffer.getvalue())}


# --- screen --------------------------------------------------------------------------------------------------------


def _screen(room: Room, task: Task) -> _Made:
    shard = task.shard
    source = digest_of_files(room, shard)
    columns = frozenset(room.dataset.facts(shard).columns)
    spreading = columns & frozenset(expand.SPREADING) if room.settings.expand else frozenset()
    tally, parts = Tally(), screen.Screened(np.empty(0, np.uint8))
    if room.settings.joins:
        with room.ledger.sink.product(joins_name(shard)) as joins:
            joins.write(expand.join_header(spreading))
            hits = _screened(room, shard, spreading, tally, parts, joins.write)
            digest = room.vault.seal_hits("screen", shard, hits, tally)
    else:
        digest = room.vault.seal_hits("screen", shard, _screened(room, shard, spreading, tally, parts, None), tally)
    room.ledger.note("screen", shard.id, {"vault": digest})
    products = _put_table(room, task, screen.table_of(parts))
    return _Made(tally.rows(), merged(tally), {"source": source}, products)


def joins_name(shard: Shard) -> str:
    """Where a shard's keyed hashes lie until the run is closed."""
    return f"joins/{shard.id}.bin"


def _screened(
    room: Room,
    shard: Shard,
    spreading: frozenset[Column],
    tally: Tally,
    parts: screen.Screened,
    write: Callable[[bytes], int] | None,
) -> Iterator[Hit]:
    """Hits as they are found; adds to the tally and the counts on the way, and writes the joins."""
    settings = screen.ScreenSettings(room.settings.rules)
    columns = screen.columns_needed(room.lists, settings) | frozenset(expand.SPREADING)  # a hit's address needs these
    for batch in room.dataset.batches(shard, columns):
        result = screen.screen(batch, room.lists, settings, shard_id=shard.id)
        balance(result.tally, batch.rows)
        if write is not None:
            write(expand.join_rows(batch, result.onward.base, spreading, room.keys.join_key))
        tally.update(result.tally)
        parts.compared.update(result.onward.compared)
        parts.blank.update(result.onward.blank)
        parts.malformed.update(result.onward.malformed)
        yield from result.onward.hits


def balance(tally: Tally, rows: int) -> None:
    """The law of the books: outcomes add up to the rows that went in, or the shard fails."""
    if tally.rows() != rows:
        raise ShardError(Trouble.BOOKS, f"{rows} rows went in, {tally.rows()} outcomes came out")


def digest_of_files(room: Room, shard: Shard) -> str:
    """SHA-256 in hex of a shard's file, or where it is several files, over a line of digest and name for each."""
    names = room.dataset.files(shard)
    digests = [digest_of_file(room.root / name) for name in names]
    if len(names) == 1:
        return digests[0]
    lines = "".join(f"{digest} {name}\n" for digest, name in zip(digests, names, strict=True))
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ShardError(Trouble.UNREADABLE, error.strerror or "cannot be read") from None


# --- match ---------------------------------------------------------------------------------------------------------


def _match(room: Room, task: Task) -> _Made:
    """Fingerprints and matches the shard's pictures; notes beside the joins which rows were compared."""
    shard = task.shard
    if room.decoder is None:
        raise ShardError(Trouble.INTERNAL, "no sandbox to decode in")
    screened = _needed(room.ledger, "screen", shard)
    decoder = room.decoder()
    looking = pictures.Looking(room.dataset, decoder, room.lists, room.settings.match, room.kinds)
    found, hits = pictures.match_pictures(looking, shard, screened.rows)
    room.ledger.sink.put(compared_name(shard), found.compared.tobytes())
    room.ledger.note("match", shard.id, {"vault": room.vault.seal_hits("match", shard, hits, found.match)})
    products = _put_table(room, task, pictures.table_of(found))
    materials = {"source": screened.materials["source"], "sandbox": decoder.level}
    return _Made(screened.rows, pictures.shown(found), materials, products)


def compared_name(shard: Shard) -> str:
    """Where it lies which rows of a shard had their picture compared, until the run is closed."""
    return f"joins/{shard.id}.compared"


# --- expand --------------------------------------------------------------------------------------------------------


def borne_line(borne: Borne) -> dict[str, object]:
    """A value as a line of the vault."""
    return {"column": borne.column.value, "value": borne.value}


def borne_from(line: Mapping[str, object]) -> Borne:
    value = line["value"]
    if not isinstance(value, Sealed):
        raise ShardError(Trouble.VAULT, "a value of the search is damaged")
    return Borne(Column(str(line["column"])), value)


def _expand(room: Room, task: Task) -> _Made:
    return _round(room, task) if task.round else _settle(room, task)


def _joins(room: Room, shard: Shard) -> tuple[expand.Joins, int]:
    rows = _needed(room.ledger, "screen", shard).rows
    root = room.ledger.sink.root
    try:
        buffer = np.memmap(root / joins_name(shard), np.uint8, mode="r")
        compared = None if room.settings.reach is Reach.COLUMNS else np.fromfile(root / compared_name(shard), np.uint8)
    except (OSError, ValueError):
        raise ShardError(Trouble.UNREADABLE, "the shard's joins are gone; screen it again") from None
    return expand.Joins(buffer, rows, compared), rows


def _round(room: Room, task: Task) -> _Made:
    shard, limit = task.shard, room.settings.spread_limit
    joins, rows = _joins(room, shard)
    values = [borne_from(line) for line in room.vault.lines(task.step, "frontier")]
    found = expand.find_bearers(joins, values, room.keys.join_key, limit=limit)
    wanted = expand.candidates(found, limit)
    batches: Iterable[RowBatch] = ()
    if len(wanted):
        batches = room.dataset.lookup(shard, wanted, frozenset(expand.SPREADING))
    bearers = expand.confirm(batches, wanted, values, found, shard_id=shard.id, limit=limit)
    counts = {str(number): count for number, count in enumerate(found.counts) if count}
    digest = room.vault.seal_hits(task.step, shard, bearers, counts)
    room.ledger.note(task.step, shard.id, {"vault": digest})
    return _Made(rows, {}, {}, {})


def _settle(room: Room, task: Task) -> _Made:
    shard = task.shard
    joins, rows = _joins(room, shard)
    held: list[Borne] = []
    bearers: list[Hit] = []
    noisy: frozenset[str] = frozenset()
    for line in room.vault.lines("expand", "decided"):
        if "round" in line:
            bearers += _spreading(room, shard, int(line["round"]), frozenset(line["spreads"]))
        elif "noisy" in line:
            noisy = frozenset(line["noisy"])
        else:
            held.append(borne_from(line))
    near, near_held = _near(room, shard, noisy)
    result = expand.expand(
        joins,
        hit_rows=_hit_rows(room, shard),
        near_rows=near,
        near_held=near_held,
        bearers=bearers,
        held=held,
        key=room.keys.join_key,
    )
    balance(result.tally, rows)
    sealed = room.vault.seal("held", shard.id, _held_lines(result.onward.held))
    digest = room.vault.seal_hits("expand", shard, result.onward.expanded, result.tally)
    room.ledger.note("expand", shard.id, {"vault": digest, "held": sealed})
    return _Made(rows, merged(result.tally), {}, {})


def _hit_rows(room: Room, shard: Shard) -> I64:
    """Rows hit by what they record or by the digest of their picture."""
    found = [room.vault.hits("screen", shard), _matches(room, shard)]
    return _rows_of(hit for hits in found for hit in hits if hit.outcome is ScreenOutcome.HIT)


def _matches(room: Room, shard: Shard) -> Iterable[Hit]:
    return () if room.settings.reach is Reach.COLUMNS else room.vault.hits("match", shard)


def _near(room: Room, shard: Shard, noisy: frozenset[str]) -> tuple[I64, I64]:
    """Rows near a list's entry, and those that only noisy entries are near to."""
    near = [hit for hit in _matches(room, shard) if hit.outcome is ScreenOutcome.NEAR_HIT]
    standing, held = match.settle_near(near, noisy, room.keys.case_key)
    return _rows_of(standing), held


def _spreading(room: Room, shard: Shard, number: int, spreads: frozenset[int]) -> list[Hit]:
    bearers = room.vault.hits(f"expand-{number}", shard)
    return [bearer for bearer in bearers if spreads.intersection(bearer.noted["because"])]


def _rows_of(hits: Iterable[Hit]) -> I64:
    return np.array(sorted({hit.row for hit in hits}), np.int64)


_HELD_ROWS_PER_LINE = 4096


def _held_lines(rows: I64) -> Iterator[dict[str, object]]:
    for start in range(0, len(rows), _HELD_ROWS_PER_LINE):
        yield {"rows": rows[start : start + _HELD_ROWS_PER_LINE].tolist()}


def held_rows(vault: Vault, shard: Shard) -> I64:
    """The rows of a shard that are held, ascending."""
    pieces = [np.array(line["rows"], np.int64) for line in vault.lines("held", shard.id)]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int64)


# --- clean ---------------------------------------------------------------------------------------------------------


def _clean(room: Room, task: Task) -> _Made:
    """Writes the shard's file of the cleaned dataset: a copy where nothing goes, else the shard less its rows."""
    shard, cleaned = task.shard, room.cleaned
    if cleaned is None:
        raise ShardError(Trouble.INTERNAL, "no folder to clean into")
    screened = _needed(room.ledger, "screen", shard)
    result = clean.clean(
        screened.rows, **_removals(room, task), settings=clean.CleanSettings(room.settings.remove_held)
    )
    balance(result.tally, screened.rows)
    if digest_of_files(room, shard) != screened.materials["source"]:
        raise ShardError(Trouble.SOURCE_CHANGED, "the shard's file is not what was screened; audit it anew")
    products = _write_cleaned(room, cleaned, shard, result.onward)
    digest = room.vault.seal_hits("clean", shard, (), result.tally)
    room.ledger.note("clean", shard.id, {"vault": digest})
    return _Made(screened.rows, {"cleaned": screened.rows}, {"source": screened.materials["source"]}, products)


def _removals(room: Room, task: Task) -> dict[str, I64]:
    found = _rows_of(room.vault.hits("screen", task.shard))
    held = np.zeros(0, np.int64)
    if task.basis == "expand":
        held = held_rows(room.vault, task.shard)
        near = np.setdiff1d(_rows_of(_matches(room, task.shard)), held)
        found = np.union1d(found, _rows_of(room.vault.hits("expand", task.shard)))
        found = np.union1d(found, near).astype(np.int64)
    return {"found": found, "held": held, "by_policy": _policy_rows(room, task.shard)}


def _policy_rows(room: Room, shard: Shard) -> I64:
    """Recomputed from the columns, since policy is no secret and is never sealed."""
    columns = frozenset(column for rule in room.settings.rules for column in screen.rule_columns(rule))
    pieces = [np.zeros(0, np.int64)]
    if columns:
        for batch in room.dataset.batches(shard, columns):
            mask = screen.policy_rows(batch.values, room.settings.rules)
            pieces.append(np.flatnonzero(mask) + batch.first_row)
    return np.concatenate(pieces)


def _write_cleaned(room: Room, cleaned: Sink, shard: Shard, removed: I64) -> dict[str, Product]:
    """Every file of the shard: as it is, or less what belongs to the rows removed."""
    if not len(removed):
        return _named(cleaned.copy(name, room.root / name) for name in room.dataset.files(shard))
    written: list[ProductStream] = []

    @contextlib.contextmanager
    def product(name: str) -> Iterator[ProductStream]:
        with cleaned.product(name) as stream:
            yield stream
        written.append(stream)

    room.dataset.write_without(shard, removed, product)
    return _named(stream.product for stream in written)


def _named(products: Iterable[Product]) -> dict[str, Product]:
    """The shard's own file as `cleaned`, those beside it as `cleaned 1`, `cleaned 2`, ..."""
    return {f"{CLEANED} {number}" if number else CLEANED: product for number, product in enumerate(products)}


STEPS: Mapping[str, Callable[[Room, Task], _Made]] = {
    "index": _index,
    "screen": _screen,
    "match": _match,
    "expand": _expand,
    "clean": _clean,
}
