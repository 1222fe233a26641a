"""The parts of a group's work: what came back is committed every few seconds, so that a crash costs little.

In it: what is known of a group's addresses so far, loaded from its last attempt and its parts; the next part.
Not in it: asking and looking (`fetching`).
Rules: a part is one sealed file, whole or absent; its first line chains it to the part before by that file's digest,
and to the plan; an address whose outcome is in a part is not asked again, but where a later attempt is told to; parts
go once every group of the round is done, since what they say then stands in one file for each group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from vetset.errors import ShardError, Trouble
from vetset.pipeline.observed import NONE, Entries, fill, lines_of, numbers_in, unobserved
from vetset.pipeline.planning import PLAN, read_requests
from vetset.pipeline.room import I64, Room
from vetset.pipeline.source import digest_of_file
from vetset.records import Hit, Shard, Task

REQUEST_NUMBER = "request"


def parts_step(step: str) -> str:
    """The folder of the vault in which the parts of a round lie."""
    return f"{step}-parts"


@dataclass(slots=True, repr=False, eq=False)
class Parts:
    """A group's addresses, what is known of each, and what was not committed yet."""

    room: Room
    task: Task
    plan: str  # the digest of the round's plan
    requests: Entries
    most_bytes: int
    most_seconds: float
    observed: Entries
    found: dict[int, Hit] = field(default_factory=dict)
    received_bytes: int = 0  # counted as they come; asked for before every request
    seconds: float = 0.0  # of asking, as far as committed
    fresh: list[int] = field(default_factory=list)
    kept: list[dict[str, object]] = field(default_factory=list)  # digests for those who asked for them
    last: str = ""
    count: int = 0
    began: float = 0.0  # by the room's clock, the current part

    def missing(self) -> I64:
        """The numbers of the addresses that have no outcome, in the order in which they are to be asked."""
        return np.flatnonzero(self.observed["outcome"] == NONE).astype(np.int64)

    def spent(self) -> bool:
        """Whether the group's share of a budget in bytes or time is used up."""
        settings = self.room.settings.fetch
        over = bool(settings.bytes) and self.received_bytes >= max(1, self.most_bytes)
        if not settings.seconds:
            return over
        return over or self.seconds + (self.room.clock() - self.began) >= self.most_seconds

    def add(self, numbers: Iterable[int], found: dict[int, Hit]) -> None:
        """Notes that these addresses have their outcome, and what was found."""
        for number in numbers:
            self.fresh.append(number)
            self.found.pop(number, None)
        self.found.update(found)

    def due(self) -> bool:
        return bool(self.fresh) and self.room.clock() - self.began >= self.room.settings.fetch.part_seconds

    def commit(self) -> None:
        """Seals what is new as the next part."""
        now = self.room.clock()
        self.seconds += now - self.began
        self.began = now
        if not self.fresh:
            return
        numbers = np.array(sorted(self.fresh), np.int64)
        head: dict[str, object] = {
            "part": self.count + 1,
            "previous": self.last,
            "plan": self.plan,
            "seconds": self.seconds,
        }
        found = [(number, self.found[number]) for number in numbers.tolist() if number in self.found]
        lines = [head, *lines_of(self.observed, numbers)]
        name = part_name(self.task, self.task.attempt, self.count + 1)
        if self.room.digests is not None:
            self.room.digests.seal(self.task.step, name, self.kept)
            self.kept = []
        self.last = self.room.vault.seal_observed(parts_step(self.task.step), name, lines, self._with_shards(found))
        self.count += 1
        self.fresh = []

    def conclude(self) -> str:
        """Seals everything in one file, which stands for the parts; answers its digest."""
        lines: list[dict[str, object]] = [{"seconds": self.seconds}, *lines_of(self.observed)]
        found = self._with_shards(sorted(self.found.items()))
        return self.room.vault.seal_observed(self.task.step, self.task.shard.id, lines, found)

    def _with_shards(self, found: Iterable[tuple[int, Hit]]) -> Iterator[tuple[Shard, Hit]]:
        for number, hit in found:
            shard = self.room.shards[int(self.requests["shard"][number])]
            yield shard, replace(hit, noted={**hit.noted, REQUEST_NUMBER: number})


def part_name(task: Task, attempt: int, number: int) -> str:
    return f"{task.shard.id}.{attempt}-{number:06d}"


def opened_parts(room: Room, task: Task) -> Parts:
    """What is known of a group's addresses: by its last attempt that was concluded, and by the parts since."""
    plan = room.ledger.done(task.step, PLAN)
    if plan is None:
        raise ShardError(Trouble.UNREADABLE, "the plan of this round is missing")
    requests, head = read_requests(room, task.step, task.shard.id)
    parts = Parts(
        room=room,
        task=task,
        plan=plan.digest,
        requests=requests,
        most_bytes=int(head["bytes"]),
        most_seconds=float(head["seconds"]),
        observed=unobserved(len(requests)),
        began=room.clock(),
    )
    done = room.ledger.done(task.step, task.shard.id)
    if done is not None:
        _take_concluded(parts)
    for attempt in range((done.attempt if done else 0) + 1, task.attempt + 1):
        _take_parts(parts, attempt)
    parts.received_bytes = int(parts.observed["bytes"].sum())
    return parts


def _take_concluded(parts: Parts) -> None:
    """An earlier attempt, less what is to be tried again."""
    (head, *lines), found = parts.room.vault.observed(parts.task.step, parts.task.shard.id)
    fill(parts.observed, lines)
    parts.seconds = float(head["seconds"])
    parts.found = {int(hit.noted[REQUEST_NUMBER]): hit for hit in found}
    anew = numbers_in(parts.observed, parts.task.again)
    parts.observed[anew] = unobserved(len(anew))
    for number in anew.tolist():
        parts.found.pop(number, None)


def _take_parts(parts: Parts, attempt: int) -> None:
    """The parts of an attempt, each held to the one before it."""
    vault, step, parts.last, parts.count = parts.room.vault, parts_step(parts.task.step), "", 0
    while True:
        name = part_name(parts.task, attempt, parts.count + 1)
        path = parts.room.ledger.sink.root / f"vault/{step}/{name}.age"
        if not path.is_file():
            return
        (head, *lines), found = vault.observed(step, name)
        if (head.get("part"), head.get("previous"), head.get("plan")) != (parts.count + 1, parts.last, parts.plan):
            raise ShardError(Trouble.VAULT, f"vault/{step}/{name}.age does not follow the part before it")
        for number in fill(parts.observed, lines).tolist():
            parts.found.pop(number, None)
        parts.found.update({int(hit.noted[REQUEST_NUMBER]): hit for hit in found})
        parts.seconds = float(head["seconds"])
        parts.last, parts.count = digest_of_file(path), parts.count + 1
