"""The step `fetch` on a group of hosts: addresses asked, bodies looked into and forgotten, outcomes committed in parts.

In it: the requests with their addresses read from the dataset, the way from an answer to the sandbox and the lists, and
what the group's manifest says. Not in it: what is asked (`planning`), parts (`parts`), the network (a `Fetcher`).
Rules: a body is in memory from its answer to the end of its batch and nowhere else; what is found is bound to the row,
the digests of the bytes and the time, and sealed with the part; digests of other rows are dropped, unless they were
asked for, and then they are sealed too.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import cast

import numpy as np

from vetset import kernels
from vetset.errors import ShardError, Trouble
from vetset.pipeline.intake import Intake
from vetset.pipeline.observed import FETCHED, outcome_counts, picture_counts, troubles_of
from vetset.pipeline.parts import Parts, opened_parts
from vetset.pipeline.pictures import digests_of
from vetset.pipeline.room import I64, Made, Room
from vetset.ports import Decoder, Fetcher
from vetset.records import (
    Address,
    Answer,
    FetchOutcome,
    FingerprintOutcome,
    Fingerprints,
    Hit,
    Picture,
    Request,
    Sealed,
    Stored,
    Task,
)
from vetset.stages.expand import SPREADING, looked_up
from vetset.stages.fingerprint import fingerprint
from vetset.stages.match import match, meets_by_distance, too_plain

BATCH_ANSWERS = 64
#: After so long without an answer it is looked whether a part is due.
PATIENCE_SECONDS = 1.0
#: Addresses read from the dataset at a time: in the dataset's order, so that few of its parts are read twice.
BLOCK_REQUESTS = 16_384

_OUTCOMES = {outcome: code for code, outcome in enumerate(FetchOutcome)}
_PICTURES = {outcome: code for code, outcome in enumerate(FingerprintOutcome)}


def fetch_hosts(room: Room, task: Task) -> Made:
    """Asks what the group's plan says and has no outcome yet."""
    if room.fetcher is None or room.decoder is None:
        raise ShardError(Trouble.INTERNAL, "no network to ask, or no sandbox to decode in")
    parts = opened_parts(room, task)
    asking = Asking(room, parts)
    if len(parts.missing()):
        try:
            _ask(room.fetcher(), asking, parts)
        finally:  # whatever ends the asking, what was answered is not asked again
            parts.commit()
    if asking.out:
        raise ShardError(Trouble.BOOKS, f"{len(asking.out)} addresses were asked and got no answer")
    return _concluded(room, task, parts, asking)


def _ask(fetcher: Fetcher, asking: Asking, parts: Parts) -> None:
    """Takes answers as they come, and commits them now and then."""
    with Intake(fetcher, asking.requests(), heard=asking.hear) as intake:
        for answers in intake.batches(BATCH_ANSWERS, PATIENCE_SECONDS):
            asking.take(answers)
            if parts.due():
                parts.commit()
                asking.note()


def _concluded(room: Room, task: Task, parts: Parts, asking: Asking) -> Made:
    room.ledger.note(task.step, task.shard.id, {"vault": parts.conclude(), **asking.figures()})
    counts = outcome_counts(parts.observed)
    tally = {outcome.value: counts[outcome] for outcome in FetchOutcome if counts[outcome]}
    unasked = len(parts.observed) - sum(tally.values())
    if unasked:
        tally["unasked"] = unasked
    materials = {"plan": parts.plan, "troubles": ",".join(sorted(troubles_of(parts.observed)))}
    if any(picture_counts(parts.observed)):
        materials["sandbox"] = asking.level()
    return Made(len(parts.observed), tally, materials, {})


@dataclass(slots=True, repr=False, eq=False)
class Asking:
    """A group's requests under way: the rows behind those that are out, and what each host has answered so far."""

    room: Room
    parts: Parts
    out: dict[int, Sealed[Address]] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)  # requests by host; only the thread of the intake writes it
    answered: Counter[int] = field(default_factory=Counter)
    fetched: Counter[int] = field(default_factory=Counter)

    # --- in the thread of the intake -------------------------------------------------------------------------------

    def requests(self) -> Iterator[Request]:
        """A request for each address without an outcome, until there are none or the budget is spent."""
        for block, addresses in self._blocks(self.parts.missing()):
            for number in self._by_turns(block):
                if self.parts.spent():
                    return
                self.out[number] = addresses.pop(number)
                host = int(self.parts.requests["host"][number])
                self.sent[host] = self.sent.get(host, 0) + 1
                yield from kernels.requests_of([(number, self.out[number])])

    def _blocks(self, missing: I64) -> Iterator[tuple[I64, dict[int, Sealed[Address]]]]:
        """The numbers in blocks with their addresses; the next block is read ahead, so that no socket waits for it."""
        blocks = [missing[start : start + BLOCK_REQUESTS] for start in range(0, len(missing), BLOCK_REQUESTS)]
        with ThreadPoolExecutor(1, thread_name_prefix="vetset-addresses") as reader:
            ahead = deque([reader.submit(self._addresses, blocks[0])])
            for number, block in enumerate(blocks):
                if number + 1 < len(blocks):
                    ahead.append(reader.submit(self._addresses, blocks[number + 1]))
                yield block, ahead.popleft().result()

    def _by_turns(self, block: I64) -> list[int]:
        """The order of the plan, but hosts by turns: of each its first, then of each its second, and so on."""
        _, hosts = np.unique(self.parts.requests["host"][block], return_inverse=True)
        hosts = hosts.reshape(-1)
        order = np.argsort(hosts, kind="stable")
        starts = np.flatnonzero(np.diff(hosts[order], prepend=-1))
        lengths = np.diff([*starts, len(order)])
        turn = np.empty(len(order), np.int64)
        turn[order] = np.arange(len(order)) - np.repeat(starts, lengths)
        ordered: list[int] = block[np.argsort(turn, kind="stable")].tolist()
        return ordered

    def _addresses(self, block: I64) -> dict[int, Sealed[Address]]:
        """What the rows behind some numbers record, read from the dataset shard by shard."""
        requests = self.parts.requests[block]
        known: dict[int, Sealed[Address]] = {}
        for which in np.unique(requests["shard"]).tolist():
            mine = np.flatnonzero(requests["shard"] == which)
            mine = mine[np.argsort(requests["row"][mine], kind="stable")]
            rows = requests["row"][mine].astype(np.int64)
            batches = self.room.dataset.lookup(self.room.shards[which], rows, frozenset(SPREADING))
            found = list(looked_up(batches, rows).values())
            hashes = [kernels.web_hashes_of(address, self.room.keys.join_key)[0] for address in found]
            if hashes != requests["asked"][mine].tolist():
                raise ShardError(Trouble.SOURCE_CHANGED, "the shard's rows are not what was screened; audit it anew")
            known.update(zip(block[mine].tolist(), found, strict=True))
        return known

    def hear(self, answer: Answer) -> None:
        """Counts bytes as they come, since a budget of them must not wait until the bodies were looked into."""
        self.parts.received_bytes += answer.received_bytes

    # --- in the thread of the step ---------------------------------------------------------------------------------

    def take(self, answers: Sequence[Answer]) -> None:
        """Notes outcomes, looks into the bodies, and forgets them."""
        addresses = {answer.number: self.out.pop(answer.number) for answer in answers}
        for answer in answers:
            self._note(answer)
        bodies = [answer for answer in answers if answer.body is not None]
        if len(bodies) != sum(answer.outcome is FetchOutcome.FETCHED for answer in answers):
            raise ShardError(Trouble.BOOKS, "a body came where none was fetched, or none where one was")
        found = self._look(bodies, addresses) if bodies else {}
        self.parts.add(addresses, found)

    def _note(self, answer: Answer) -> None:
        host = int(self.parts.requests["host"][answer.number])
        entry = self.parts.observed
        entry["outcome"][answer.number] = _OUTCOMES[answer.outcome]
        entry["status"][answer.number] = answer.status
        entry["hops"][answer.number] = min(answer.hops, 255)
        entry["bytes"][answer.number] = answer.received_bytes
        entry["at"][answer.number] = answer.at_seconds
        entry["seconds"][answer.number] = answer.seconds
        self.answered[host] += 1
        self.fetched[host] += answer.outcome is FetchOutcome.FETCHED

    def _look(self, bodies: Sequence[Answer], addresses: dict[int, Sealed[Address]]) -> dict[int, Hit]:
        """Fingerprints and matches bodies; what was found by number, with the rows it was found at."""
        pictures = [
            Picture(
                answer.number,
                cast("Sealed[bytes | memoryview]", answer.body),
                kernels.recorded_by(addresses[answer.number]),
                Stored(intact=True),
            )
            for answer in bodies
            if answer.body is not None
        ]
        settings = self.room.settings.match
        printed = fingerprint(pictures, self._decoder())
        matched = match(printed.onward, self.room.lists, settings, shard_id="", kinds=self.room.kinds)
        for rows in (printed.tally.rows(), matched.tally.rows() + matched.onward.not_compared):
            if rows != len(bodies):
                raise ShardError(Trouble.BOOKS, f"{len(bodies)} pictures went in, {rows} outcomes came out")
        self._note_pictures(pictures, printed.onward)
        if self.room.digests is not None:
            self.parts.kept.extend(self._digests(pictures, printed.onward))
        self.parts.observed["assessed"][matched.onward.assessed] = 1
        times = {answer.number: answer.at_seconds for answer in bodies}
        return {hit.row: self._placed(hit, addresses[hit.row], times[hit.row]) for hit in matched.onward.hits}

    def _digests(self, pictures: Sequence[Picture], prints: Fingerprints) -> Iterator[dict[str, object]]:
        """Everything that a later list could be compared with, for each picture, in hex; to be sealed."""
        for place, picture in enumerate(pictures):
            request = self.parts.requests[picture.row]
            yield {
                "shard": self.room.shards[int(request["shard"])].path,
                "row": int(request["row"]),
                "at": float(self.parts.observed["at"][picture.row]),
                **digests_of(prints, place),
            }

    def _note_pictures(self, pictures: Sequence[Picture], prints: Fingerprints) -> None:
        entry, floor = self.parts.observed, self.room.settings.match.quality_floor
        changed = kernels.contradicts(pictures, prints.digests)
        for picture, decoded, other in zip(pictures, prints.decoded, changed, strict=True):
            entry["picture"][picture.row] = _PICTURES[decoded.outcome]
            entry["near"][picture.row] = meets_by_distance(decoded, floor)
            entry["plain"][picture.row] = too_plain(decoded, floor)
            entry["same"][picture.row] = bool(picture.recorded) and not other
            entry["kinds"][picture.row] = sum(
                1 << place
                for place, kind in enumerate(self.room.kinds)
                if any(kind.name in view.other for view in decoded.views)
            )

    def _placed(self, hit: Hit, address: Sealed[Address], at_seconds: float) -> Hit:
        """A finding at its row in the dataset, with what the row records and when its bytes were served."""
        request = self.parts.requests[hit.row]
        when = datetime.fromtimestamp(at_seconds, UTC).isoformat(timespec="seconds")
        shard = self.room.shards[int(request["shard"])]
        noted = {**hit.noted, "served_at": when}
        return replace(kernels.hit_at(hit, address), shard_id=shard.id, row=int(request["row"]), noted=noted)

    def _decoder(self) -> Decoder:
        if self.room.decoder is None:
            raise ShardError(Trouble.INTERNAL, "no sandbox to decode in")
        return self.room.decoder()

    def level(self) -> str:
        return self._decoder().level

    # --- how far it is ---------------------------------------------------------------------------------------------

    def note(self) -> None:
        """Leaves word of how far the group is, for whoever shows it. Counts only."""
        self.room.ledger.note(self.parts.task.step, self.parts.task.shard.id, self.figures())

    def figures(self) -> dict[str, object]:
        """Addresses planned, answered and fetched, bytes, hosts out, and hosts that hardly ever answer well."""
        observed, floor = self.parts.observed, self.room.settings.fetch.floor
        low = [
            host
            for host, count in self.answered.items()
            if count >= LEAST_ANSWERS and self.fetched[host] < floor * count
        ]
        return {
            "planned": len(observed),
            "answered": sum(outcome_counts(observed).values()),
            "fetched": int((observed["outcome"] == FETCHED).sum()),
            "bytes": int(observed["bytes"].sum()),
            "hosts": sum(count > self.answered[host] for host, count in self.sent.copy().items()),
            "low": len(low),
        }


#: A host is judged by its success from so many answers on.
LEAST_ANSWERS = 20
