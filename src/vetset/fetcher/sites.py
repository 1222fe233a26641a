"""Which request is next: a queue for each host, its pace, what its robots.txt says, and what is settled unasked.

In it: `Job` (a request on its way), `Schedule`. Not in it: clocks (seconds are handed in), sockets.
Rules: no host has more requests under way than its share; requests of one host go in order; one whose robots.txt is not
known waits until it is; what robots.txt forbids, and what a host that was given up would be asked, ends without a
request.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random

from vetset.fetcher.pace import Pace, Patience
from vetset.fetcher.robots import ALLOWS_ALL, Robots
from vetset.fetcher.target import Target, target_of
from vetset.records import FetchOutcome

#: Hosts that are remembered; idle ones beyond are forgotten, oldest first.
MOST_SITES = 65_536
#: Rules of robots.txt that are remembered, of all hosts together; a stranger's file may hold thousands.
MOST_RULES = 1_000_000
#: A robots.txt is not believed for longer (RFC 9309, 2.4).
ROBOTS_SECONDS = 24 * 3600.0

Origin = tuple[bool, str, int]


@dataclass(slots=True, repr=False, eq=False)
class Job:
    """A request, or a look at a robots.txt, on its way: where it stands, and what it has cost."""

    number: int  # the asker's; -1 for robots.txt
    target: Target  # of the hop that is next
    asked_for: Target  # where it began; robots.txt speaks for that origin, wherever it was found
    robots: bool = False
    hops: int = 0
    attempts: int = 0
    spent_seconds: float = 0.0  # under way in this attempt
    began_seconds: float | None = None
    received_bytes: int = 0
    status: int = 0

    def again(self) -> None:
        """From its start, as another attempt."""
        self.target, self.hops, self.spent_seconds = self.asked_for, 0, 0.0
        self.attempts += 1


@dataclass(slots=True, eq=False)
class _Known:
    """What is known of an origin's robots.txt: rules, or what became of the look at it; neither while it is asked."""

    until: float
    robots: Robots | None = None
    failed: FetchOutcome | None = None
    parked: list[Job] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Site:
    """One host."""

    pace: Pace
    queue: deque[Job] = field(default_factory=deque)
    under_way: int = 0
    listed: bool = False  # in the schedule's heap
    origins: dict[Origin, _Known] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        return not (self.queue or self.under_way or any(known.parked for known in self.origins.values()))


class Schedule:
    """Jobs in, the next one out. All times are seconds of the caller's clock."""

    def __init__(
        self,
        *,
        most_per_host: int,
        interval_seconds: float,
        robots: bool,
        patience: Patience,
        random: Random,
        most_sites: int = MOST_SITES,
        most_rules: int = MOST_RULES,
    ) -> None:
        self.waiting = 0  # jobs that were added and have neither started nor settled
        self._most_per_host = most_per_host
        self._interval_seconds = interval_seconds
        self._robots = robots
        self._patience = patience
        self._random = random
        self._most_sites, self._most_rules = most_sites, most_rules
        self._rules = 0
        self._sites: dict[str, _Site] = {}
        self._ready: list[tuple[float, int, _Site]] = []
        self._later: list[tuple[float, int, Job]] = []
        self._order = count()
        self._settled: deque[tuple[Job, FetchOutcome]] = deque()

    @property
    def hosts_open(self) -> int:
        """Hosts with requests under way."""
        return sum(site.under_way > 0 for site in self._sites.values())

    def add(self, job: Job, now: float, *, first: bool = False) -> None:
        """Puts a job into its host's queue, at its end or, if it has waited before, at its head."""
        site = self._site(job.target.host, now)
        self.waiting += 1
        if first:
            site.queue.appendleft(job)
        else:
            site.queue.append(job)
        self._list(site)

    def add_later(self, job: Job, at: float) -> None:
        """Puts a job into its host's queue when its time comes."""
        self.waiting += 1
        heapq.heappush(self._later, (at, next(self._order), job))

    def next(self, now: float) -> Job | None:
        """The next job to start, if one may start now; it counts as under way from here on."""
        self._bring_due(now)
        while self._ready and self._ready[0][0] <= now:
            _, _, site = heapq.heappop(self._ready)
            site.listed = False
            if site.pace.next_seconds > now:
                self._list(site)
                continue
            job = self._taken(site, now)
            if job is not None:
                site.under_way += 1
                site.pace.asked(now)
                self._list(site)
                return job
        return None

    def wake_at(self) -> float | None:
        """The earliest second at which a job may start; None if none waits for time alone."""
        times = [queue[0][0] for queue in (self._ready, self._later) if queue]
        return min(times, default=None)

    def settled(self) -> Iterator[tuple[Job, FetchOutcome]]:
        """Jobs that ended without a request since this was last asked, each once."""
        while self._settled:
            yield self._settled.popleft()

    def ended(self, job: Job, now: float, outcome: FetchOutcome, *, reached: bool) -> None:
        """A job that was under way is no more."""
        site = self._left(job)
        site.pace.answered(now, outcome, reached=reached)
        self._list(site)

    def held(self, job: Job, now: float, wished_seconds: float) -> bool:
        """A job that was under way was told to come back later. False: too late to wait for."""
        site = self._left(job)
        will_wait = site.pace.hold(now, wished_seconds)
        self._list(site)
        return will_wait

    def robots_known(self, job: Job, now: float, robots: Robots | None, failed: FetchOutcome | None) -> None:
        """What a look at a robots.txt gave; those who waited for it go on."""
        site = self._site(job.asked_for.host, now)
        known = site.origins.setdefault(job.asked_for.origin, _Known(0.0))
        known.robots, known.failed, known.until = robots, failed, now + ROBOTS_SECONDS
        if robots is not None:
            site.pace.slow_down(robots.delay_seconds)
            self._rules += len(robots.patterns)
            if self._rules > self._most_rules:
                self._forget_rules(site)
        site.queue.extendleft(reversed(known.parked))
        known.parked.clear()
        self._list(site)

    def drop(self) -> None:
        """Forgets every job, waiting or under way. What is known of hosts stays."""
        for site in self._sites.values():
            site.queue.clear()
            site.under_way, site.listed = 0, False
            site.origins = {
                origin: known
                for origin, known in site.origins.items()
                if known.robots is not None or known.failed is not None
            }
        self._ready.clear()
        self._later.clear()
        self._settled.clear()
        self.waiting = 0

    # --- within ---------------------------------------------------------------------------------------------------

    def _site(self, host: str, now: float) -> _Site:
        site = self._sites.get(host)
        if site is None:
            if len(self._sites) >= self._most_sites:
                self._forget(now)
            site = self._sites[host] = _Site(Pace(self._interval_seconds, self._patience, self._random))
        return site

    def _forget(self, now: float) -> None:
        """Forgets a part of the hosts that nobody waits for and that may be asked again anyway."""
        idle = [
            host
            for host, site in self._sites.items()
            if site.idle and site.pace.next_seconds <= now and site.pace.given_up(now) is None
        ]
        for host in idle[: max(1, self._most_sites // 4)]:
            gone = self._sites.pop(host)
            self._rules -= sum(len(known.robots.patterns) for known in gone.origins.values() if known.robots)

    def _forget_rules(self, kept: _Site) -> None:
        """Forgets the robots.txt of hosts that nobody waits for; if that is not half of them, of all others too."""
        for spared in (True, False):
            if self._rules <= self._most_rules // 2:
                return
            for site in self._sites.values():
                if site is not kept and not (spared and site.queue):
                    site.origins = {origin: known for origin, known in site.origins.items() if known.robots is None}
            self._rules = sum(
                len(known.robots.patterns)
                for site in self._sites.values()
                for known in site.origins.values()
                if known.robots is not None
            )

    def _list(self, site: _Site) -> None:
        """Lists a host for its next request, if it has one and may have one more under way."""
        most = 1 if site.pace.one_at_a_time else self._most_per_host
        if not site.listed and site.queue and site.under_way < most:
            site.listed = True
            heapq.heappush(self._ready, (site.pace.next_seconds, next(self._order), site))

    def _bring_due(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _, _, job = heapq.heappop(self._later)
            self.waiting -= 1
            self.add(job, now, first=True)

    def _taken(self, site: _Site, now: float) -> Job | None:
        """The first job of a host that may start; those before it are settled or parked."""
        while site.queue:
            job = site.queue.popleft()
            gone = site.pace.given_up(now)
            if gone is not None:
                self._settle(job, gone)
            elif job.robots or not self._robots:
                self.waiting -= 1
                return job
            else:
                known = site.origins.get(job.target.origin)
                if known is None or (known.until <= now and not known.parked):
                    return self._look(site, job)
                if self._may_start(known, job):
                    self.waiting -= 1
                    return job
        return None

    def _look(self, site: _Site, job: Job) -> Job:
        """A look at the robots.txt of a job's origin; the job waits for it."""
        site.origins[job.target.origin] = _Known(float("inf"), parked=[job])
        target = target_of(f"{job.target.root}/robots.txt", frozenset({job.target.port})) or job.target
        return Job(-1, target, job.target, robots=True)

    def _may_start(self, known: _Known, job: Job) -> bool:
        if known.robots is None and known.failed is None:
            known.parked.append(job)
        elif known.failed is not None:
            self._settle(job, known.failed)
        elif (known.robots or ALLOWS_ALL).allows(job.target.path):
            return True
        else:
            self._settle(job, FetchOutcome.ROBOTS)
        return False

    def _settle(self, job: Job, outcome: FetchOutcome) -> None:
        self.waiting -= 1
        self._settled.append((job, outcome))

    def _left(self, job: Job) -> _Site:
        site = self._sites[job.target.host]
        site.under_way -= 1
        return site
