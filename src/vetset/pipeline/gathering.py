"""What the rounds of fetch found, gathered over all groups of hosts and settled shard by shard.

In it: the task after the last round, and the step `match` on a shard whose pictures were fetched. Not in it: rounds,
asking, expand.
Rules: counts that stand in clear are of the whole run, since a shard's would tell of its hits by what is missing; in
the lists of keyed hashes beside the joins the addresses of hits stand with those that were asked, for the same reason;
every row that bears the address of a finding is found with it, once its address was compared in full.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from vetset import kernels
from vetset.errors import ShardError, Trouble
from vetset.pipeline.observed import FETCHED, NONE, Entries, outcome_counts, picture_counts
from vetset.pipeline.parts import REQUEST_NUMBER
from vetset.pipeline.pictures import SCHEMA
from vetset.pipeline.planning import GATHERED, Group, all_rows, groups_of, known_before, marks_of
from vetset.pipeline.room import Made, Room, needed, put_table, rows_of
from vetset.pipeline.settling import compared_name
from vetset.records import Address, Asking, FetchOutcome, Hit, MatchOutcome, Sealed, Shard, Tally, Task
from vetset.stages import fetch
from vetset.stages.expand import SPREADING, looked_up
from vetset.stages.match import comparisons

#: Lists of keyed hashes that the shards are settled by: name, and what the hashes stand for.
HASHES = ("covered", "compared", "seen")
_JOINED = "joins/fetch.hashes"
#: What a sealed tally of a shard's `match` counts beside outcomes: rows that fetch could be about, and those left out.
CANDIDATES, UNASKED = "candidates", "unasked"


def gather(room: Room, task: Task) -> Made:
    """Sums what came back, seals what was found in one file, and leaves the keyed hashes for the shards."""
    rounds = planned_rounds(room)
    groups = [group for number in rounds for group in groups_of(room, number)]
    found = sorted((hit for group in groups for hit in group.found), key=lambda hit: (hit.shard_id, hit.row))
    by_id = {shard.id: shard for shard in room.shards}
    bare = (replace(hit, noted=_less(hit.noted)) for hit in found)
    lines: list[dict[str, object]] = [
        _span(groups),
        {"left": _left(groups)},
    ]
    digest = room.vault.seal_observed("fetch", GATHERED, lines, ((by_id[hit.shard_id], hit) for hit in bare))
    room.ledger.note("fetch", GATHERED, {"vault": digest})
    _put_hashes(room, rounds, groups)
    table = pa.Table.from_pylist(list(_table_lines(room, groups)), schema=SCHEMA)
    return Made(sum(len(group.observed) for group in groups), {}, {}, put_table(room, task, table))


def _left(groups: Iterable[Group]) -> int:
    """Addresses of groups that failed: what came back of them is not here."""
    return sum(len(group.observed) for group in groups if not group.done)


def planned_rounds(room: Room) -> range:
    """The rounds that were planned."""
    number = 1
    while room.ledger.done(f"fetch-{number}", "plan") is not None:
        number += 1
    return range(1, number)


def _less(noted: Any) -> dict[str, Any]:
    return {name: value for name, value in noted.items() if name != REQUEST_NUMBER}


def _span(groups: Iterable[Group]) -> dict[str, object]:
    """When the first and the last answer came, in seconds since 1970; nothing where none did."""
    times = [group.observed["at"][group.observed["outcome"] != NONE] for group in groups]
    every = np.concatenate([*times, np.zeros(0)])
    return {"first_at": float(every.min()), "last_at": float(every.max())} if len(every) else {}


def _put_hashes(room: Room, rounds: Iterable[int], groups: Iterable[Group]) -> None:
    """Addresses that needed no more asking, those compared, digests of pictures that were compared."""
    rows = all_rows(room)
    known = known_before(room, rounds).reaching(rows.records, room.settings.fetch.plan)
    codes = fetch.askings(rows.records, rows.hit, known)
    reached = rows.hit | fetch.is_among(rows.records["raw"], known.raw)
    reached |= fetch.is_among(rows.records["digest"], known.digests)
    looked = [group.requests["asked"][group.observed["assessed"] != 0] for group in groups]
    lists = {
        "covered": rows.records["asked"][codes < fetch.ASKINGS.index(Asking.UNASKED)],
        "compared": np.concatenate([*looked, rows.records["asked"][reached]]),
        "seen": np.concatenate([known.seen, known.digests]),
    }
    ranked = {name: fetch.ranked_hashes(hashes) for name, hashes in lists.items()}
    sizes = json.dumps({name: len(ranked[name]) for name in HASHES}, sort_keys=True).encode("ascii")
    with room.ledger.sink.product(_JOINED) as stream:
        stream.write(sizes + b"\n")
        for name in HASHES:
            stream.write(ranked[name].astype("<u8").tobytes())


def _hashes(room: Room) -> dict[str, Any]:
    try:
        with (room.ledger.sink.root / _JOINED).open("rb") as stream:
            sizes = json.loads(stream.readline())
            found = {name: np.fromfile(stream, "<u8", int(sizes[name])) for name in HASHES}
    except (OSError, ValueError, KeyError, TypeError):
        sizes, found = {}, {}
    if {name: len(hashes) for name, hashes in found.items()} != sizes or not sizes:
        raise ShardError(Trouble.UNREADABLE, "what was fetched is gone or damaged; audit anew")
    return found


# --- the small table --------------------------------------------------------------------------------------------------


def _table_lines(room: Room, groups: list[Group]) -> Iterator[dict[str, object]]:
    if not groups:
        return
    observed = np.concatenate([group.observed for group in groups])
    fetched = observed[observed["outcome"] == FETCHED]
    yield from _compared_lines(room, fetched)
    facts: tuple[tuple[str, Counter[str]], ...] = (
        ("fetch", Counter({outcome.value: count for outcome, count in outcome_counts(observed).items()})),
        ("match", Counter({MatchOutcome.TOO_PLAIN.value: int(fetched["plain"].sum())})),
        ("outcome", Counter({outcome.value: count for outcome, count in picture_counts(observed).items()})),
        ("unasked", Counter({"address": int((observed["outcome"] == NONE).sum())})),
    )
    for what, counts in facts:
        yield from ({"what": what, "name": name, "pictures": counts[name]} for name in sorted(+counts))
    yield from _stratum_lines(groups)


def _compared_lines(room: Room, fetched: Entries) -> Iterator[dict[str, object]]:
    by_kind = [int((fetched["kinds"] >> place & 1).sum()) for place in range(len(room.kinds))]
    counts = comparisons(room.lists, room.kinds, bodies=len(fetched), near=int(fetched["near"].sum()), by_kind=by_kind)
    for what, count in sorted(counts.items(), key=lambda item: (item[0].column, item[0].list_name)):
        yield {
            "what": "compared",
            "name": what.column,
            "list": what.list_name,
            "signal": what.signal.value,
            "pictures": count,
        }


def _stratum_lines(groups: list[Group]) -> Iterator[dict[str, object]]:
    """Addresses asked by stratum, and how each was chosen, for whoever estimates the whole from them."""
    requests = np.concatenate([group.requests for group in groups])
    outcomes = np.concatenate([group.observed["outcome"] for group in groups])
    for stratum, name in enumerate(fetch.STRATA):
        for drawn, how in enumerate(("ranked", "drawn")):
            mine = outcomes[(requests["stratum"] == stratum) & (requests["drawn"] == drawn)]
            counts = {"asked": int((mine != NONE).sum()), "fetched": int((mine == FETCHED).sum())}
            for what, count in counts.items():
                if counts["asked"]:
                    yield {"what": f"stratum {what}", "name": name, "list": how, "pictures": count}


# --- one shard --------------------------------------------------------------------------------------------------------


def settle_fetched(room: Room, task: Task) -> Made:
    """The findings of a shard's rows, and which of them were compared by their picture."""
    shard, hashes = task.shard, _hashes(room)
    screened = needed(room.ledger, "screen", shard)
    records = marks_of(room, shard)
    if len(records) != screened.rows:
        raise ShardError(Trouble.COUNTS_DISAGREE, "the marks of a shard's addresses are cut short; screen it again")
    hit = np.zeros(len(records), np.bool_)
    hit[rows_of(room.vault.hits("screen", shard))] = True
    found = list(_found(room, shard, records))
    compared = hit | fetch.is_among(records["asked"], hashes["compared"])
    compared |= fetch.is_among(records["digest"], hashes["seen"])
    room.ledger.sink.put(compared_name(shard), compared.astype(np.uint8).tobytes())
    tally = _tally(records, hashes)
    room.ledger.note("match", shard.id, {"vault": room.vault.seal_hits("match", shard, found, tally)})
    return Made(screened.rows, {}, {"source": screened.materials["source"]}, {})


def _tally(records: Entries, hashes: dict[str, Any]) -> Tally:
    """How many of a shard's rows fetch could be about, and how many it left out."""
    candidates = records["open"] != 0
    left = candidates & ~fetch.is_among(records["asked"], hashes["covered"])
    return Tally({CANDIDATES: int(candidates.sum()), UNASKED: int(left.sum())})


def _found(room: Room, shard: Shard, records: Entries) -> Iterator[Hit]:
    """A finding for every row that bears the address of one, in the order of rows."""
    key = room.keys.join_key
    _, findings = room.vault.observed("fetch", GATHERED)
    by_hash: dict[int, list[Hit]] = {}
    for finding in findings:
        by_hash.setdefault(kernels.web_hashes_of(finding.address, key)[0], []).append(finding)
    rows = np.flatnonzero(fetch.is_among(records["asked"], fetch.ranked_hashes(by_hash))).astype(np.int64)
    if not len(rows):
        return
    known: dict[int, Sealed[Address]] = looked_up(room.dataset.lookup(shard, rows, frozenset(SPREADING)), rows)
    for row, address in known.items():
        for finding in by_hash[int(records["asked"][row])]:
            if kernels.same_web(address, finding.address):
                yield replace(kernels.hit_at(replace(finding, row=row), address), shard_id=shard.id, row=row)


def fetch_outcomes(lines: Iterable[dict[str, Any]]) -> dict[FetchOutcome, int]:
    """Addresses by what came back, from the lines of the table."""
    return {FetchOutcome(line["name"]): line["pictures"] for line in lines if line["what"] == "fetch"}
