"""The plan of a round of fetch: which addresses are asked, by whom, in which order; committed before the first request.

In it: the marks of all rows, what earlier rounds and the lists found, the division among groups of hosts.
Not in it: choosing (`stages.fetch`), asking (`fetching`).
Rules: a plan that is made stands, whatever is found out later; which rows are asked is sealed, since what is left out
of them tells of hits; in clear stand the seed, the rules and the budget. A host is one group's, by a keyed hash that
tells nobody which (of the host's full name: hosts of one registrable domain may lie in different groups).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vetset import kernels
from vetset.errors import ShardError, Trouble
from vetset.pipeline.observed import NONE, REQUEST, Entries, fill, lines_of, unobserved
from vetset.pipeline.room import I64, Made, Room, distinct
from vetset.records import Column, Hit, ScreenOutcome, Shard, Task
from vetset.stages import fetch

#: The first task of a round, and the task after the last. No shard of a dataset has such a name: it has no ending.
PLAN, GATHERED = "plan", "gathered"


def group_of(number: int) -> Shard:
    """A group of hosts as something that a task is about."""
    return named(f"hosts-{number:03d}")


def named(name: str) -> Shard:
    return Shard(name, name, 0, "")


def step_of(number: int) -> str:
    return f"fetch-{number}"


def marks_name(shard: Shard) -> str:
    """Where the marks of a shard's rows lie until the run is closed."""
    return f"joins/{shard.id}.web"


def marks_of(room: Room, shard: Shard) -> Entries:
    """The marks of a shard's rows."""
    path = room.ledger.sink.root / marks_name(shard)
    try:
        return np.fromfile(path, fetch.WEB_RECORD)
    except OSError:
        raise ShardError(Trouble.UNREADABLE, "the marks of a shard's addresses are gone; screen it again") from None


# --- all rows ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class AllRows:
    """The marks of all rows that were screened, shard after shard; `hit` marks those that columns alone make hits."""

    shards: tuple[int, ...]  # numbers of the shards, as in `room.shards`
    starts: I64
    records: Entries
    hit: Any

    def place(self, places: I64) -> tuple[I64, I64]:
        """(number of the shard, row) of places among all rows."""
        which = np.searchsorted(self.starts, places, side="right") - 1
        return np.array(self.shards, np.int64)[which], places - self.starts[which]


def all_rows(room: Room) -> AllRows:
    """The rows of every shard that was screened."""
    numbers = [n for n, shard in enumerate(room.shards) if _was_screened(room, shard)]
    parts = [marks_of(room, room.shards[number]) for number in numbers]
    starts = np.cumsum([0, *(len(part) for part in parts)])[:-1].astype(np.int64)
    records = np.concatenate([*parts, np.zeros(0, fetch.WEB_RECORD)])
    hit = np.zeros(len(records), np.bool_)
    for start, number in zip(starts.tolist(), numbers, strict=True):
        hit[start + distinct(room.vault.rows("screen", room.shards[number]))] = True
    return AllRows(tuple(numbers), starts, records, hit)


# --- what is known ----------------------------------------------------------------------------------------------------


@dataclass(slots=True, repr=False, eq=False)
class Group:
    """A group of hosts in a round: what was planned, and what came back so far."""

    name: str
    requests: Entries
    observed: Entries
    found: list[Hit]
    done: bool
    seconds: float = 0.0  # of asking


def groups_of(room: Room, number: int) -> Iterator[Group]:
    """The groups of a round that was planned."""
    step = step_of(number)
    for line in room.vault.lines(step, PLAN):
        for name in line.get("groups", ()):
            requests, _ = read_requests(room, step, name)
            group = Group(name, requests, unobserved(len(requests)), [], room.ledger.done(step, name) is not None)
            if group.done:
                (head, *lines), group.found = room.vault.observed(step, name)
                fill(group.observed, lines)
                group.seconds = float(head["seconds"])
            yield group


def read_requests(room: Room, step: str, name: str) -> tuple[Entries, dict[str, Any]]:
    """What a group was planned to ask, and its shares of the budget."""
    head, *lines = room.vault.lines(step, f"{name}.{PLAN}")
    requests = np.zeros(int(head["count"]), REQUEST)
    fill(requests, lines)
    return requests, head


def known_before(room: Room, rounds: Iterable[int]) -> fetch.Known:
    """What columns and the rounds named have found."""
    asked, tried, seen = [], [], []
    hits = [hit for shard in room.shards if _was_screened(room, shard) for hit in room.vault.hits("screen", shard)]
    spared, hosts = _places_of(hits, room.keys.join_key)
    exact = list(hits)
    for number in rounds:
        for group in groups_of(room, number):
            # What a group that failed was to ask may have been asked: it is not asked again by another.
            answered = (group.observed["outcome"] != NONE) | (not group.done)
            asked.append(group.requests["asked"][answered])
            tried.append(group.requests["digest"][answered])
            seen.append(group.requests["digest"][group.observed["same"] != 0])
            exact.extend(hit for hit in group.found if hit.outcome is ScreenOutcome.HIT)
            hosts.extend(_places_of(group.found, room.keys.join_key)[1])
    raw, digests = _values_of(exact, room.keys.join_key)
    return fetch.Known(
        asked=_joined(asked),
        tried=_joined(tried),
        seen=_joined(seen),
        spared=fetch.ranked_hashes(spared),
        raw=raw,
        digests=digests,
        hosts=np.array(hosts, np.uint64),
    )


def _was_screened(room: Room, shard: Shard) -> bool:
    return room.ledger.done("screen", shard.id) is not None


def _places_of(hits: Iterable[Hit], key: bytes) -> tuple[list[int], list[int]]:
    """Keyed hashes of the addresses of hits, and of their hosts."""
    pairs = [kernels.web_hashes_of(hit.address, key) for hit in hits]
    return [asked for asked, _ in pairs if asked], [host for _, host in pairs if host]


def _values_of(hits: Iterable[Hit], key: bytes) -> tuple[Any, Any]:
    """Keyed hashes of the values by which hits spread: raw URLs, digests."""
    raw: list[int] = []
    digests: list[int] = []
    for hit in hits:
        for borne in kernels.borne_by(hit.address):
            (raw if borne.column is Column.URL else digests).append(kernels.keyed_hash(borne.value, key))
    return fetch.ranked_hashes(raw), fetch.ranked_hashes(digests)


def _joined(parts: list[Any]) -> Any:
    return fetch.ranked_hashes(np.concatenate([*parts, np.zeros(0, np.uint64)]))


# --- the plan ---------------------------------------------------------------------------------------------------------


def plan_round(room: Room, task: Task) -> Made:
    """Chooses what a round asks, seals it group by group, and says in clear by what rules."""
    settings, rows = room.settings.fetch, all_rows(room)
    known = known_before(room, range(1, task.round))
    result = fetch.fetch(rows.records, rows.hit, known, settings.plan, number=task.round)
    requests = _requests(rows, result.onward)
    left_bytes, left_seconds = _left(room, task.round)
    if _spent(settings.bytes, left_bytes) or _spent(settings.seconds, left_seconds):
        requests = requests[:0]
    names = []
    for number in range(settings.groups):
        mine = requests[requests["host"] % np.uint64(settings.groups) == number]
        if len(mine):
            share = len(mine) / len(requests)
            head: dict[str, object] = {
                "count": len(mine),
                "bytes": int(left_bytes * share),
                "seconds": left_seconds * share,
            }
            names.append(group_of(number).id)
            room.vault.seal(task.step, f"{names[-1]}.{PLAN}", _request_lines(head, mine))
    room.ledger.note(task.step, PLAN, {"vault": room.vault.seal(task.step, PLAN, [_sealed(result.onward, names)])})
    product = room.ledger.sink.put(f"results/{task.step}/{PLAN}.json", _in_clear(room, task.round))
    return Made(len(requests), {}, {}, {"plan": product})


def _requests(rows: AllRows, plan: fetch.Plan) -> Entries:
    requests = np.zeros(len(plan.places), REQUEST)
    requests["shard"], requests["row"] = rows.place(plan.places)
    for name in ("asked", "host", "digest"):
        requests[name] = rows.records[name][plan.places]
    requests["stratum"], requests["drawn"], requests["rows"] = plan.stratum, plan.drawn, plan.rows
    return requests


def _request_lines(head: dict[str, object], requests: Entries) -> Iterator[dict[str, object]]:
    yield head
    yield from lines_of(requests)


def _left(room: Room, number: int) -> tuple[int, float]:
    """What is left of the budgets in bytes and seconds before a round."""
    settings = room.settings.fetch
    used_bytes, used_seconds = 0, 0.0
    for before in range(1, number) if settings.bytes or settings.seconds else ():
        for group in groups_of(room, before):
            used_bytes += int(group.observed["bytes"].sum())
            used_seconds += group.seconds
    return settings.bytes - used_bytes, settings.seconds - used_seconds


def _spent(limit: float, left: float) -> bool:
    return bool(limit) and left <= 0


def _sealed(plan: fetch.Plan, groups: list[str]) -> dict[str, object]:
    """How many addresses there were in each stratum, and how many were drawn and ranked: it would tell of hits."""
    counts = {"population": plan.population, "drawn": plan.allotted, "ranked": plan.ranked}
    return {"groups": groups, "strata": list(fetch.STRATA), **{name: list(count) for name, count in counts.items()}}


def _in_clear(room: Room, number: int) -> bytes:
    """The rules of the choice, all of them known before anything was looked at."""
    settings = room.settings.fetch
    tree = {
        "round": number,
        "seed": settings.plan.seed,
        "strata": list(fetch.STRATA),
        "random_share": settings.plan.random_share,
        "drawn": "evenly from the strata, as far as each has addresses",
        "budget": {"urls": settings.plan.urls, "bytes": settings.bytes, "seconds": settings.seconds},
        "rounds": settings.plan.rounds,
        "groups": settings.groups,
    }
    return (json.dumps(tree, sort_keys=True, indent=2) + "\n").encode("ascii")
