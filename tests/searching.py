"""A whole search over shards in memory, as the coordinator carries it; and the slow oracle it must agree with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tests.batches import batch
from vetset import kernels
from vetset.records import DIGEST_COLUMNS, WIDTH_BYTES, Borne, Column, Hit, RowBatch, ScreenOutcome, SealedBatch
from vetset.stages import expand

KEY = b"k" * 32
CODES = list(ScreenOutcome)
I64 = npt.NDArray[np.int64]
Value = tuple[Column, bytes]


@dataclass(frozen=True)
class Row:
    """A row of a shard as the dataset holds it, whether a list hits it, and its outcome if none does."""

    cells: Mapping[str, bytes | None]
    hit: bool = False
    base: ScreenOutcome = ScreenOutcome.CLEAR


@dataclass
class Result:
    """What a search ended with: outcomes by shard and row, the values decided, and how many rounds it took."""

    outcomes: list[list[str]]
    spread: set[Value] = field(default_factory=set)
    held: set[Value] = field(default_factory=set)
    rounds: int = 0


@dataclass
class Part:
    """One shard of a search: its rows, their joins, and the hits of screen."""

    name: str
    values: RowBatch
    joins: expand.Joins
    hits: list[Hit]
    answers: list[expand.ShardBearers] = field(default_factory=list)


def batch_of(rows: Sequence[Row], columns: Sequence[Column]) -> RowBatch:
    cells: dict[str, Any] = {column.value: [row.cells.get(column.value) for row in rows] for column in columns}
    return batch(**cells)


def joins_of(rows: Sequence[Row], columns: Sequence[Column], *, key: bytes = KEY) -> expand.Joins:
    bases = np.array([CODES.index(row.base) for row in rows], np.uint8)
    held = frozenset(columns)
    records = expand.join_rows(batch_of(rows, columns), bases, held, key)
    return expand.Joins(expand.join_header(held) + records, len(rows))


def part_of(name: str, rows: Sequence[Row], columns: Sequence[Column]) -> Part:
    values = batch_of(rows, columns)
    struck = [number for number, row in enumerate(rows) if row.hit]
    hits = [
        Hit(name, number, ScreenOutcome.HIT, address)
        for number, address in zip(struck, kernels.addresses(values.values, struck), strict=True)
    ]
    return Part(name, values, joins_of(rows, columns), hits)


def looked_up(values: RowBatch, rows: I64, *, at_once: int = 2) -> list[RowBatch]:
    """The named rows in order, a few to a batch, as a dataset's lookup gives them."""
    record = values.values.unseal()
    taken = pa.RecordBatch.from_struct_array(record.to_struct_array().take(pa.array(rows)))
    return [
        RowBatch(int(rows[start]), SealedBatch(taken.slice(start, at_once))) for start in range(0, len(rows), at_once)
    ]


def answer(part: Part, values: Sequence[Borne], limit: int) -> expand.ShardBearers:
    found = expand.find_bearers(part.joins, values, KEY, limit=limit)
    rows = expand.candidates(found, limit)
    bearers = expand.confirm(
        expand.looked_up(looked_up(part.values, rows), rows), values, found, shard_id=part.name, limit=limit
    )
    return expand.ShardBearers(found.counts, bearers)


def searched(shards: Sequence[Sequence[Row]], limit: int, columns: Sequence[Column] = expand.SPREADING) -> Result:
    """The search round by round, then the end for each shard; checks that the books balance."""
    parts = [part_of(f"part-{number}", rows, columns) for number, rows in enumerate(shards)]
    closure = expand.Closure(KEY, limit)
    closure.seed(hit for part in parts for hit in part.hits)
    spreading: list[set[int]] = []
    while closure.frontier:
        asked = closure.ordered()
        for part in parts:
            part.answers.append(answer(part, [borne for _, borne in asked], limit))
        closure.take([part.answers[-1] for part in parts])
        spreading.append({number for number, (name, _) in enumerate(asked) if name in closure.spread})
    outcomes = [settled(part, closure, spreading) for part in parts]
    return Result(outcomes, plain(closure.spread), plain(closure.held), closure.rounds)


def settled(part: Part, closure: expand.Closure, spreading: Sequence[set[int]]) -> list[str]:
    """The outcomes of a shard's rows, from the end of the search for that shard."""
    hit_rows = np.array([hit.row for hit in part.hits], np.int64)
    bearers = [
        bearer
        for reply, spreads in zip(part.answers, spreading, strict=True)
        for bearer in reply.bearers
        if spreads.intersection(bearer.noted["because"])
    ]
    held = list(closure.held.values())
    result = expand.expand(part.joins, hit_rows=hit_rows, bearers=bearers, held=held, key=KEY)
    every = np.arange(part.values.rows, dtype=np.int64)
    outcomes = [CODES[code].value for code in part.joins.base_of(every)]
    moved = [*((row, "held") for row in result.onward.held), *((hit.row, "hit") for hit in part.hits)]
    for row, outcome in [*moved, *((hit.row, hit.outcome.value) for hit in result.onward.expanded)]:
        outcomes[row] = outcome
    assert dict(result.tally) == Counter(outcomes)
    assert result.tally.rows() == part.values.rows
    return outcomes


def plain(values: Mapping[str, Borne]) -> set[Value]:
    return {(borne.column, borne.value.unseal()) for borne in values.values()}


# --- the oracle ---------------------------------------------------------------------------------------------------


def borne_of(row: Row) -> set[Value]:
    url = row.cells.get("url")
    values: set[Value] = {(Column.URL, url)} if url else set()
    for column, signal in DIGEST_COLUMNS.items():
        digest = kernels.hex_digest_of(row.cells.get(column.value), WIDTH_BYTES[signal])
        if digest is not None and digest not in kernels.EMPTY_DIGESTS:
            values.add((column, digest))
    return values


def oracle(shards: Sequence[Sequence[Row]], limit: int) -> Result:
    """Slow and obvious: grow the set of rows that leave until it grows no more."""
    rows = [row for shard in shards for row in shard]
    bearers = Counter(value for row in rows for value in borne_of(row))
    leaving = {number for number, row in enumerate(rows) if row.hit}
    while True:
        reached = {value for number in leaving for value in borne_of(rows[number])}
        spread = {value for value in reached if bearers[value] <= limit}
        grown = leaving | {number for number, row in enumerate(rows) if borne_of(row) & spread}
        if grown == leaving:
            break
        leaving = grown
    held = reached - spread
    found = iter(final_of(row, leaves=number in leaving, held=held) for number, row in enumerate(rows))
    return Result([[next(found) for _ in shard] for shard in shards], spread, held)


def final_of(row: Row, *, leaves: bool, held: set[Value]) -> str:
    if row.hit:
        return "hit"
    if leaves:
        return "expanded"
    return "held" if borne_of(row) & held else row.base.value
