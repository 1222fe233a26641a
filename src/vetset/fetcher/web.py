"""The fetcher behind the port: requests in, answers out, from the schedule through the transfers to the outcome.

In it: `WebFetcher`. Not in it: how a transfer is done (`lane`, `loop`), which is next (`sites`, `pace`), what may be
connected to (`address`).
Rules: every request gets exactly one answer; each hop of a redirect is a request like any other; a deadline counts the
seconds under way and not those in which the asker is busy with an answer; nothing of a request is in a message.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Any, Self

import pycurl

from vetset.config import FetchSettings
from vetset.errors import Stop
from vetset.fetcher.lane import Ending, Lane
from vetset.fetcher.loop import Loop
from vetset.fetcher.pace import Patience
from vetset.fetcher.readiness import certificates_of, check_system, user_agent_of
from vetset.fetcher.robots import ALLOWS_ALL, ALLOWS_NONE, Robots, robots_of
from vetset.fetcher.sites import Job, Schedule
from vetset.fetcher.target import target_of
from vetset.fetcher.wishes import is_encoded, wait_of
from vetset.kernels import begins_as_image
from vetset.records import Answer, FetchOutcome, Request, Sealed

#: Requests that wait in memory at most; more are taken from the asker as they end.
MOST_WAITING = 32_768
#: Redirects of a robots.txt that are followed at least, and here at most (RFC 9309, 2.3.1.2).
_ROBOTS_HOPS = 5
_LOOK_SECONDS = 0.25  # how often deadlines are looked at


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a fetcher takes from outside: clocks and chance. Tests hand in their own."""

    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    random: Random | None = None
    patience: Patience = Patience()  # noqa: RUF009 - frozen


class WebFetcher:
    """A `ports.Fetcher`. One asker at a time; hosts, robots.txt and connections are remembered between its calls."""

    def __init__(self, settings: FetchSettings, surroundings: Surroundings | None = None) -> None:
        """Raises Stop where the settings or this machine lack what a polite and safe fetch needs."""
        around = surroundings or Surroundings()
        user_agent = user_agent_of(settings)
        certificates = certificates_of(settings)
        check_system(settings)
        self._settings = settings
        self._clock, self._wall = around.clock, around.wall
        self._random = around.random or Random()  # noqa: S311 - it spreads waiting times
        self._ports = frozenset(settings.ports)
        self._loop = Loop(2 * settings.connections)
        self._free = [Lane(settings, user_agent, certificates) for _ in range(settings.connections)]
        self._lanes: dict[Any, Lane] = {lane.curl: lane for lane in self._free}
        self._under_way: set[Lane] = set()
        self._answers: deque[Answer] = deque()
        self._looked_at = 0.0
        self._speed_seconds = around.patience.speed_seconds
        self._away_seconds = 0.0  # in which the asker was busy with an answer
        self._schedule = Schedule(
            most_per_host=settings.connections_per_host,
            interval_seconds=settings.milliseconds_between_requests / 1000,
            robots=settings.robots,
            patience=around.patience,
            random=self._random,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cuts off what is under way and closes every connection."""
        self._abandon()
        self._loop.close()
        for lane in self._lanes.values():
            lane.curl.close()

    @property
    def hosts_open(self) -> int:
        """Hosts that are being asked just now."""
        return self._schedule.hosts_open

    def fetch(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """One answer for each request, as they end. Left before its end, it drops what is under way."""
        source = iter(requests)
        try:
            more = True
            while more or self._under_way or self._schedule.waiting or self._answers:
                more = more and self._take(source)
                self._start()
                yield from self._handed_out()
                if self._under_way or self._schedule.waiting:
                    self._turn()
        finally:
            if self._under_way or self._schedule.waiting or self._answers:
                self._abandon()

    # --- in and out -----------------------------------------------------------------------------------------------

    def _take(self, source: Iterator[Request]) -> bool:
        """Takes requests as there is room for them. False: there are no more."""
        now = self._clock()
        while self._schedule.waiting < MOST_WAITING:
            request = next(source, None)
            if request is None:
                return False
            target = target_of(request.url.unseal(), self._ports)
            if target is None:
                self._answers.append(Answer(request.number, FetchOutcome.BLOCKED_ADDRESS, self._wall()))
            else:
                self._schedule.add(Job(request.number, target, target), now)
        return True

    def _handed_out(self) -> Iterator[Answer]:
        while self._answers:
            left = self._clock()
            yield self._answers.popleft()
            self._away_seconds += self._clock() - left

    def _finish(self, job: Job, outcome: FetchOutcome, body: bytes | None = None) -> None:
        """The end of a job: an answer, or what its robots.txt says."""
        now = self._clock()
        if job.robots:
            self._schedule.robots_known(job, now, *self._robots(job, outcome, body))
            return
        self._answers.append(
            Answer(
                job.number,
                outcome,
                self._wall(),
                0.0 if job.began_seconds is None else now - job.began_seconds,
                job.status,
                job.hops,
                job.received_bytes,
                None if body is None else Sealed(body),
            )
        )

    # --- one turn -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Starts as many jobs as there are lanes for and hosts that may be asked."""
        now = self._clock()
        while self._free:
            job = self._schedule.next(now)
            if job is None:
                break
            if job.began_seconds is None:
                job.began_seconds = now
            lane = self._free.pop()
            lane.begin(job, now - self._away_seconds)
            self._under_way.add(lane)
            self._loop.add(lane.curl)
        for job, outcome in self._schedule.settled():
            self._finish(job, outcome)

    def _turn(self) -> None:
        """Waits until something happens, and takes in what did."""
        now = self._clock()
        wake_at = self._schedule.wake_at() if self._free else None
        most_seconds = _LOOK_SECONDS if self._under_way else 60.0
        if wake_at is not None:
            most_seconds = min(most_seconds, max(0.0, wake_at - now))
        for curl, error in self._loop.turn(0.0 if self._answers else most_seconds):
            self._ended(self._lanes[curl], error)
        now = self._clock() - self._away_seconds
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            for lane, outcome in [(lane, self._overdue(lane, now)) for lane in self._under_way]:
                if outcome is not None:
                    self._left(lane, outcome)

    def _overdue(self, lane: Lane, now: float) -> FetchOutcome | None:
        """Whether a transfer has taken too long, has been too slow of late, or has brought too many headers."""
        if now >= lane.deadline:
            return FetchOutcome.TIMEOUT
        header_bytes = lane.header_bytes
        if header_bytes > self._settings.max_header_bytes:
            return FetchOutcome.TOO_LARGE
        if now - lane.seen_at < self._speed_seconds:
            return None
        got = lane.received_bytes + header_bytes
        least = self._settings.min_bytes_per_second * (now - lane.seen_at)
        if header_bytes and got - lane.seen_bytes < least:
            return FetchOutcome.TOO_SLOW
        lane.seen_at, lane.seen_bytes = now, got
        return None

    def _abandon(self) -> None:
        """Drops every request that has no answer yet, and answers that nobody took."""
        for lane in self._under_way:
            self._loop.remove(lane.curl)
            lane.end(pycurl.E_ABORTED_BY_CALLBACK)
            self._free.append(lane)
        self._under_way.clear()
        self._answers.clear()
        self._schedule.drop()

    # --- what a transfer came to ----------------------------------------------------------------------------------

    def _left(self, lane: Lane, outcome: FetchOutcome) -> None:
        """Cuts a transfer off."""
        job, ending = self._freed(lane), lane.end(pycurl.E_OPERATION_TIMEDOUT)
        job.status = ending.status
        self._done(job, Ending(outcome, ending.status))

    def _ended(self, lane: Lane, error: int) -> None:
        """A transfer ended by itself."""
        job, ending = self._freed(lane), lane.end(error)
        if error == pycurl.E_SSL_CACERT_BADFILE:
            raise Stop(
                "the certificates to verify hosts with cannot be read",
                hint="install ca-certificates anew, or name a file of PEM as certificates_file in [fetch]",
            )
        job.status = ending.status
        if ending.location is not None:
            self._follow(job, ending.location)
        else:
            self._done(job, ending)

    def _freed(self, lane: Lane) -> Job:
        job = lane.job
        if job is None:
            raise RuntimeError("a transfer without a job")
        self._loop.remove(lane.curl)
        self._under_way.discard(lane)
        self._free.append(lane)
        job.spent_seconds += self._clock() - self._away_seconds - lane.started
        job.received_bytes += lane.received_bytes
        return job

    def _follow(self, job: Job, location: str) -> None:
        """The next hop: a request like any other, of another host perhaps."""
        now = self._clock()
        self._schedule.ended(job, now, FetchOutcome.FETCHED, reached=True)
        if job.hops >= (_ROBOTS_HOPS if job.robots else self._settings.max_redirects):
            self._finish(job, FetchOutcome.REDIRECT_LIMIT)
            return
        job.hops += 1
        target = target_of(location, self._ports, job.target)
        if target is None:
            self._finish(job, FetchOutcome.BLOCKED_ADDRESS)
            return
        job.target = target
        self._schedule.add(job, now, first=True)

    def _done(self, job: Job, ending: Ending) -> None:
        """No further hop: another attempt, or the end."""
        now, outcome = self._clock(), ending.outcome or FetchOutcome.INTERNAL_ERROR
        again = job.attempts < self._settings.retries
        if ending.hold:
            will_wait = self._schedule.held(job, now, wait_of(ending.headers or {}, self._wall()))
            if will_wait and again:
                job.again()
                self._schedule.add(job, now, first=True)
                return
        else:
            self._schedule.ended(job, now, outcome, reached=ending.status != 0)
            if ending.may_change and again and not (outcome is FetchOutcome.DNS and job.attempts):
                job.again()
                self._schedule.add_later(job, now + 2**job.attempts * (0.5 + self._random.random()))
                return
        self._finish(job, *self._judged(job, ending, outcome))

    def _judged(self, job: Job, ending: Ending, outcome: FetchOutcome) -> tuple[FetchOutcome, bytes | None]:
        """What a body is worth."""
        if outcome is not FetchOutcome.FETCHED:
            return outcome, None
        if job.robots:
            return outcome, None if is_encoded(ending.headers or {}) else ending.body
        if not begins_as_image(memoryview(ending.body)):
            return FetchOutcome.NOT_AN_IMAGE, None
        return outcome, ending.body

    def _robots(self, job: Job, outcome: FetchOutcome, body: bytes | None) -> tuple[Robots | None, FetchOutcome | None]:
        """What a look at a robots.txt means (RFC 9309, 2.3.1): its rules, or what becomes of who waited for it.

        Where there is none, everything may be asked. Where it could not be seen, nothing may: the requests end as the
        look at it did, since robots.txt has not forbidden them.
        """
        if outcome is FetchOutcome.FETCHED:
            return (ALLOWS_NONE if body is None else robots_of(body, self._settings.user_agent)), None
        unavailable = outcome is FetchOutcome.REDIRECT_LIMIT or 400 <= job.status < 500  # noqa: PLR2004 - 4xx
        if (unavailable or outcome is FetchOutcome.NOT_AN_IMAGE) and job.status != 429:  # noqa: PLR2004
            return ALLOWS_ALL, None
        return None, FetchOutcome.ROBOTS if job.hops else outcome
