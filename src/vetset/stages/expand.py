"""Expand: from the rows that were hit to every row that shares their URL or picture digest, to closure, blind.

In it: the joins of a shard (keyed hashes of what each row bears), the search for bearers of a value in them, the
breaker, and the closure over shards. Not in it: files, sealing, and any distance between pictures.
Rules: a value spreads only if it is neither null, empty, nor the digest of no bytes, and only if at most
`spread_limit` rows of the whole dataset bear it; the rows of a value that does not spread are `held`. A row found by
its keyed hash is `expanded` only once its full value was compared; where a shard alone meets a value more often than
the limit, and for the rows that are held, the keyed hash decides (64 bits: two values share one by chance once in
1.8e19 pairs). The order of shards and rows changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vetset import kernels
from vetset.errors import ShardError, Trouble
from vetset.records import (
    DIGEST_COLUMNS,
    Address,
    Borne,
    Column,
    Hit,
    RowBatch,
    ScreenOutcome,
    Sealed,
    StageResult,
    Tally,
)

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

#: The columns by whose values a finding spreads.
SPREADING = (Column.URL, *DIGEST_COLUMNS)

_MAGIC = b"vsjoin1\n"
_HEADER_BYTES = 16
_CHUNK_ROWS = 262_144
_CODES = list(ScreenOutcome)
_NOT_ASSESSABLE, _CLEAR = _CODES.index(ScreenOutcome.NOT_ASSESSABLE), _CODES.index(ScreenOutcome.CLEAR)


# --- the joins of a shard -----------------------------------------------------------------------------------------


def join_header(columns: frozenset[Column]) -> bytes:
    """The first 16 bytes of a joins file: magic, and one bit for each column of `SPREADING` that it holds."""
    bits = sum(1 << place for place, column in enumerate(SPREADING) if column in columns)
    return _MAGIC + bits.to_bytes(8, "little")


def join_rows(batch: RowBatch, base: U8, columns: frozenset[Column], key: bytes) -> bytes:
    """One record a row: the keyed hash of what it bears in each column (0: nothing), and its outcome without hits."""
    records = np.zeros(batch.rows, _record_type(columns))
    for column in SPREADING:
        if column in columns:
            records[column.value] = kernels.keyed_hashes(batch.values, column, key)
    records["base"] = base
    return records.tobytes()


def _record_type(columns: Iterable[Column]) -> np.dtype[np.void]:
    held = set(columns)
    return np.dtype([*((column.value, "<u8") for column in SPREADING if column in held), ("base", "u1")])


_NONE: I64 = np.zeros(0, np.int64)


class Joins:
    """A shard's joins over a buffer that holds them whole; read in chunks, never copied at once."""

    def __init__(
        self,
        buffer: bytes | memoryview | np.memmap[tuple[int], np.dtype[np.uint8]],
        rows: int,
        compared: U8 | None = None,
    ) -> None:
        data = np.frombuffer(buffer, np.uint8)
        if data[: len(_MAGIC)].tobytes() != _MAGIC:
            raise ShardError(Trouble.UNREADABLE, "the shard's joins are damaged; screen it again")
        bits = int.from_bytes(data[len(_MAGIC) : _HEADER_BYTES].tobytes(), "little")
        if bits >> len(SPREADING):
            raise ShardError(Trouble.UNREADABLE, "the shard's joins are damaged; screen it again")
        self.columns = frozenset(column for place, column in enumerate(SPREADING) if bits >> place & 1)
        kind = _record_type(self.columns)
        if len(data) != _HEADER_BYTES + rows * kind.itemsize:
            raise ShardError(Trouble.COUNTS_DISAGREE, "the shard's joins are cut short; screen it again")
        self._records = data[_HEADER_BYTES:].view(kind)
        if compared is not None and len(compared) != rows:
            raise ShardError(Trouble.COUNTS_DISAGREE, "the shard's joins are cut short; match it again")
        self._compared = compared

    def chunks(self) -> Iterator[tuple[int, npt.NDArray[np.void]]]:
        """(number of the first row, records) in order."""
        for first in range(0, len(self._records), _CHUNK_ROWS):
            yield first, self._records[first : first + _CHUNK_ROWS]

    def base_counts(self) -> list[int]:
        """Rows by the code of their outcome without hits."""
        counts = np.zeros(len(ScreenOutcome), np.int64)
        for first, chunk in self.chunks():
            if chunk["base"].max() >= len(counts):
                raise ShardError(Trouble.UNREADABLE, "the shard's joins are damaged; screen it again")
            rows = slice(first, first + len(chunk))
            counts += np.bincount(self._with_pictures(chunk["base"], rows), minlength=len(counts))
        return [int(count) for count in counts]

    def base_of(self, rows: I64) -> U8:
        """The outcomes without hits of some rows, as codes."""
        return self._with_pictures(self._records["base"][rows], rows)

    def _with_pictures(self, base: U8, rows: slice | I64) -> U8:
        """A row that its columns alone could not assess is clear once its picture was compared."""
        if self._compared is None:
            return base
        return np.where((base == _NOT_ASSESSABLE) & (self._compared[rows] != 0), _CLEAR, base).astype(np.uint8)


# --- bearers of values in a shard ---------------------------------------------------------------------------------


@dataclass(slots=True, repr=False)
class Bearers:
    """For each asked value, by its number: how many rows bear it here, and which, up to the limit."""

    counts: list[int]
    rows: list[list[int]]


def find_bearers(joins: Joins, values: Sequence[Borne], key: bytes, *, limit: int) -> Bearers:
    """Rows whose keyed hash meets a value's. Beyond `limit` rows only the count goes on: it cannot spread any more."""
    found = Bearers([0] * len(values), [[] for _ in values])
    for number, rows in _meetings(joins, values, key):
        room = max(0, limit + 1 - len(found.rows[number]))
        found.counts[number] += len(rows)
        found.rows[number].extend(rows[:room].tolist())
    return found


def _meetings(joins: Joins, values: Sequence[Borne], key: bytes) -> Iterator[tuple[int, I64]]:
    """(number of a value, rows whose keyed hash is that value's), in pieces, rows of a value ascending."""
    for column in sorted(joins.columns):
        numbers = [number for number, borne in enumerate(values) if borne.column == column]
        if numbers:
            hashes = np.array([kernels.keyed_hash(values[number].value, key) for number in numbers], np.uint64)
            yield from ((numbers[which], rows) for which, rows in _scan(joins, column, hashes))


def _scan(joins: Joins, column: Column, hashes: npt.NDArray[np.uint64]) -> Iterator[tuple[int, I64]]:
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    past = np.searchsorted(ranked, ranked, side="right").tolist()
    for first, chunk in joins.chunks():
        rows, places = kernels.meetings(chunk, column, ranked)
        by_value = np.argsort(places, kind="stable")
        starts = np.flatnonzero(np.diff(places[by_value], prepend=-1))
        for meeting in np.split(by_value, starts[1:]) if len(rows) else ():
            which = int(places[meeting[0]])
            for number in order[which : past[which]].tolist():  # values may share a keyed hash
                yield number, rows[meeting] + first


def confirm(
    addresses: Mapping[int, Sealed[Address]], values: Sequence[Borne], found: Bearers, *, shard_id: str, limit: int
) -> list[Hit]:
    """A hit for each candidate row that truly bears a value, by ascending row, noting the numbers of the values.

    `addresses` holds what every candidate records. A row that only shares a keyed hash is taken off the counts.
    """
    hits = []
    for row, numbers in sorted(_values_by_row(found, limit).items()):
        address = addresses[row]
        because = [number for number in numbers if kernels.bears(address, values[number])]
        for number in set(numbers) - set(because):
            found.counts[number] -= 1
        if because:
            hits.append(Hit(shard_id, row, ScreenOutcome.EXPANDED, address, noted={"because": because}))
    return hits


def looked_up(batches: Iterable[RowBatch], rows: I64) -> dict[int, Sealed[Address]]:
    """What some rows record; `batches` are those rows in that order."""
    found = [address for batch in batches for address in kernels.addresses(batch.values, range(batch.rows))]
    if len(found) != len(rows):
        raise ShardError(Trouble.COUNTS_DISAGREE, "the rows looked up are not the rows asked for")
    return dict(zip(rows.tolist(), found, strict=True))


def candidates(found: Bearers, limit: int) -> I64:
    """The rows to look up: those of values that may still spread, ascending and distinct."""
    return np.array(sorted(_values_by_row(found, limit)), np.int64)


def _values_by_row(found: Bearers, limit: int) -> dict[int, list[int]]:
    wanted: dict[int, list[int]] = {}
    for number, rows in enumerate(found.rows):
        if found.counts[number] <= limit:
            for row in rows:
                wanted.setdefault(row, []).append(number)
    return wanted


# --- the closure over all shards ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class ShardBearers:
    """What one shard answered in a round: counts for each value of the frontier, and its confirmed bearers."""

    counts: Sequence[int]
    bearers: Sequence[Hit]


@dataclass(slots=True, repr=False)
class Closure:
    """The state of the search: what spreads, what is held, which rows are out, and what to ask next.

    `key` names values without holding them; `limit` is the breaker. Feed it rounds until `frontier` is empty.
    """

    key: bytes
    limit: int
    spread: dict[str, Borne] = field(default_factory=dict)
    held: dict[str, Borne] = field(default_factory=dict)
    frontier: dict[str, Borne] = field(default_factory=dict)
    rounds: int = 0

    def seed(self, hits: Iterable[Hit]) -> None:
        """What direct hits bear is the first frontier."""
        for hit in hits:
            self._ask(kernels.borne_by(hit.address))

    def ordered(self) -> list[tuple[str, Borne]]:
        """The frontier in an order that no shard or worker decides; its numbers are the values' numbers."""
        return sorted(self.frontier.items())

    def take(self, answers: Iterable[ShardBearers]) -> None:
        """Ends a round: sums the counts, decides each value, and asks next for what the new rows bear."""
        asked, answers = self.ordered(), list(answers)
        totals = Counter[int]()
        for answer in answers:
            totals.update(dict(enumerate(answer.counts)))
        self.frontier = {}
        self.rounds += 1
        for number, (name, borne) in enumerate(asked):
            (self.spread if totals[number] <= self.limit else self.held)[name] = borne
        for answer in answers:
            for bearer in answer.bearers:
                if any(totals[number] <= self.limit for number in bearer.noted["because"]):
                    self._ask(kernels.borne_by(bearer.address))

    def _ask(self, values: Iterable[Borne]) -> None:
        for borne in values:
            name = kernels.name_of(borne, self.key)
            if name not in self.spread and name not in self.held:
                self.frontier[name] = borne


# --- the end for one shard ----------------------------------------------------------------------------------------


@dataclass(slots=True, repr=False)
class Expanded:
    """A shard after the closure: the rows that left beside its hits, and the rows held.

    `base` counts every row as if nothing had met it: facts about the data, whatever was found.
    """

    expanded: list[Hit]
    held: I64
    base: Tally


def expand(
    joins: Joins,
    *,
    hit_rows: I64,
    bearers: Iterable[Hit],
    held: Sequence[Borne],
    key: bytes,
    near_rows: I64 = _NONE,
    near_held: I64 = _NONE,
) -> StageResult[Expanded]:
    """Final outcomes of a shard's rows. `bearers` are its confirmed bearers of values that spread.

    `near_rows` are near hits that stand, `near_held` those that only noisy entries made; a row hit besides is a hit.
    """
    near_rows = np.setdiff1d(near_rows, hit_rows)
    taken = {*hit_rows.tolist(), *near_rows.tolist()}
    expanded: dict[int, Hit] = {}
    for bearer in bearers:
        if bearer.row not in taken:
            expanded.setdefault(bearer.row, Hit(bearer.shard_id, bearer.row, ScreenOutcome.EXPANDED, bearer.address))
    taken |= expanded.keys()
    bearing = np.unique(np.concatenate([near_held, *(rows for _, rows in _meetings(joins, held, key))]))
    held_rows = np.setdiff1d(bearing, np.array(sorted(taken), np.int64)).astype(np.int64)
    base = Tally({code.value: count for code, count in zip(_CODES, joins.base_counts(), strict=True) if count})
    settled = Expanded([expanded[row] for row in sorted(expanded)], held_rows, base)
    return StageResult(settled, _final_tally(joins, hit_rows, near_rows, settled))


def _final_tally(joins: Joins, hit_rows: I64, near_rows: I64, settled: Expanded) -> Tally:
    codes = _CODES
    counts = {code: settled.base[code] for code in codes}
    moved: Mapping[ScreenOutcome, I64] = {
        ScreenOutcome.HIT: hit_rows,
        ScreenOutcome.NEAR_HIT: near_rows,
        ScreenOutcome.EXPANDED: np.array([hit.row for hit in settled.expanded], np.int64),
        ScreenOutcome.HELD: settled.held,
    }
    for outcome, rows in moved.items():
        for code, number in enumerate(np.bincount(joins.base_of(rows), minlength=len(codes)).tolist()):
            counts[codes[code]] -= number
        counts[outcome] += len(rows)
    return Tally({outcome.value: count for outcome, count in counts.items() if count})
