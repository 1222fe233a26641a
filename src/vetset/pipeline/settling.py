"""The step `expand` on one shard: who bears the values of a round, and in the end what every row is.

In it: rounds and the settling, between the joins on disk and the sealed frontier. Not in it: which values are asked
next and when it ends (`audit`), the rules themselves (`stages.expand`, `stages.match`).
Rules: values come sealed from the vault and go sealed into it; in clear stand counts only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

import numpy as np

from vetset.errors import ShardError, Trouble
from vetset.pipeline.room import I64, Made, Room, balance, distinct, matches, needed, rows_of
from vetset.records import Address, Borne, Column, Hit, Reach, ScreenOutcome, Sealed, Shard, Task, merged
from vetset.stages import expand, match


def joins_name(shard: Shard) -> str:
    """Where a shard's keyed hashes lie until the run is closed."""
    return f"joins/{shard.id}.bin"


def compared_name(shard: Shard) -> str:
    """Where it lies which rows of a shard had their picture compared, until the run is closed."""
    return f"joins/{shard.id}.compared"


def borne_line(borne: Borne) -> dict[str, object]:
    """A value as a line of the vault."""
    return {"column": borne.column.value, "value": borne.value}


def borne_from(line: Mapping[str, object]) -> Borne:
    value = line["value"]
    if not isinstance(value, Sealed):
        raise ShardError(Trouble.VAULT, "a value of the search is damaged")
    return Borne(Column(str(line["column"])), value)


def settle_shard(room: Room, task: Task) -> Made:
    return _round(room, task) if task.round else _settle(room, task)


def _joins(room: Room, shard: Shard) -> tuple[expand.Joins, int]:
    rows = needed(room.ledger, "screen", shard).rows
    root = room.ledger.sink.root
    try:
        buffer = np.memmap(root / joins_name(shard), np.uint8, mode="r")
        compared = None if room.settings.reach is Reach.COLUMNS else np.fromfile(root / compared_name(shard), np.uint8)
    except (OSError, ValueError):
        raise ShardError(Trouble.UNREADABLE, "the shard's joins are gone; screen it again") from None
    return expand.Joins(buffer, rows, compared), rows


def _round(room: Room, task: Task) -> Made:
    shard, limit = task.shard, room.settings.spread_limit
    joins, rows = _joins(room, shard)
    values = [borne_from(line) for line in room.vault.lines(task.step, "frontier")]
    found = expand.find_bearers(joins, values, room.keys.join_key, limit=limit)
    addresses = _addresses(room, task, expand.candidates(found, limit))
    bearers = expand.confirm(addresses, values, found, shard_id=shard.id, limit=limit)
    counts = {str(number): count for number, count in enumerate(found.counts) if count}
    digest = room.vault.seal_hits(task.step, shard, bearers, counts)
    room.ledger.note(task.step, shard.id, {"vault": digest})
    return Made(rows, {}, {}, {})


def _addresses(room: Room, task: Task, wanted: I64) -> dict[int, Sealed[Address]]:
    """What the wanted rows record: out of the vault where screen or an earlier round found them, else read anew."""
    if not len(wanted):
        return {}
    rows, known = frozenset(wanted.tolist()), {}
    for step in ("screen", *(f"expand-{number}" for number in range(1, task.round))):
        known.update(room.vault.addresses(step, task.shard, rows))
    asked = np.array([row for row in wanted.tolist() if row not in known], np.int64)
    if not len(asked):
        return known
    batches = room.dataset.lookup(task.shard, asked, frozenset(expand.SPREADING))
    return known | expand.looked_up(batches, asked)


def _settle(room: Room, task: Task) -> Made:
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
    base = result.onward.base
    digest = room.vault.seal_hits("expand", shard, result.onward.expanded, result.tally, base)
    room.ledger.note("expand", shard.id, {"vault": digest, "held": sealed})
    return Made(rows, merged(base), {}, {})


def _hit_rows(room: Room, shard: Shard) -> I64:
    """Rows hit by what they record or by the digest of their picture."""
    pictures = (hit.row for hit in matches(room, shard) if hit.outcome is ScreenOutcome.HIT)
    return distinct(chain(room.vault.rows("screen", shard, ScreenOutcome.HIT), pictures))


def _near(room: Room, shard: Shard, noisy: frozenset[str]) -> tuple[I64, I64]:
    """Rows near a list's entry, and those that only noisy entries are near to."""
    near = [hit for hit in matches(room, shard) if hit.outcome is ScreenOutcome.NEAR_HIT]
    standing, held = match.settle_near(near, noisy, room.keys.case_key)
    return rows_of(standing), held


def _spreading(room: Room, shard: Shard, number: int, spreads: frozenset[int]) -> list[Hit]:
    bearers = room.vault.hits(f"expand-{number}", shard)
    return [bearer for bearer in bearers if spreads.intersection(bearer.noted["because"])]


_HELD_ROWS_PER_LINE = 4096


def _held_lines(rows: I64) -> Iterator[dict[str, object]]:
    for start in range(0, len(rows), _HELD_ROWS_PER_LINE):
        yield {"rows": rows[start : start + _HELD_ROWS_PER_LINE].tolist()}
