"""Which request is next: shares of a host, order, robots.txt, hosts that are given up; driven by a made-up clock."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vetset.fetcher.pace import Patience
from vetset.fetcher.robots import ALLOWS_ALL, ALLOWS_NONE, robots_of
from vetset.fetcher.sites import ROBOTS_SECONDS, Job, Schedule
from vetset.fetcher.target import target_of
from vetset.records import FetchOutcome

PATIENCE = Patience(first_pause_seconds=1, most_pause_seconds=50, failures_to_open=3, rest_seconds=5, trials=1)


def schedule(**changes: Any) -> Schedule:
    given = {"most_per_host": 2, "interval_seconds": 0.0, "robots": False, "patience": PATIENCE, "random": Random(5)}
    return Schedule(**{**given, **changes})


def job(url: str, number: int = 0) -> Job:
    target = target_of(url, frozenset({80, 443}))
    assert target is not None
    return Job(number, target, target)


def added(to: Schedule, urls: Iterable[str], now: float = 0.0) -> None:
    for number, url in enumerate(urls):
        to.add(job(url, number), now)


def started(of: Schedule, now: float) -> list[Job]:
    found = []
    while (one := of.next(now)) is not None:
        found.append(one)
    return found


def numbers(jobs: Iterable[Job]) -> list[int]:
    return [one.number for one in jobs]


def test_a_host_has_no_more_than_its_share_and_its_requests_go_in_order() -> None:
    one = schedule()
    added(one, [f"http://a.test/{number}" for number in range(5)])
    first = started(one, 0)
    assert numbers(first) == [0, 1]
    assert one.waiting == 3
    one.ended(first[1], 1, FetchOutcome.FETCHED, reached=True)
    assert numbers(started(one, 1)) == [2]
    assert one.hosts_open == 1


def test_hosts_take_turns() -> None:
    one = schedule(most_per_host=1)
    added(one, ["http://a.test/", "http://a.test/x", "http://b.test/", "http://c.test/"])
    assert [each.target.host for each in started(one, 0)] == ["a.test", "b.test", "c.test"]


def test_the_interval_keeps_starts_apart_and_says_when_to_wake() -> None:
    one = schedule(interval_seconds=2)
    added(one, ["http://a.test/1", "http://a.test/2"])
    assert len(started(one, 0)) == 1
    assert one.wake_at() == 2
    assert started(one, 1.9) == []
    assert len(started(one, 2)) == 1
    assert one.wake_at() is None


def test_both_schemes_of_a_host_are_one_host() -> None:
    one = schedule(interval_seconds=2)
    added(one, ["http://a.test/1", "https://a.test/2"])
    assert len(started(one, 0)) == 1


def test_robots_are_looked_at_once_for_each_origin_and_the_others_wait() -> None:
    one = schedule(robots=True, most_per_host=4)
    added(one, ["http://a.test/1", "http://a.test/2", "https://a.test/3"])
    looks = started(one, 0)
    assert [each.target.url for each in looks] == ["http://a.test/robots.txt", "https://a.test/robots.txt"]
    assert all(each.robots for each in looks)
    assert one.waiting == 3
    one.ended(looks[0], 1, FetchOutcome.FETCHED, reached=True)
    one.robots_known(looks[0], 1, ALLOWS_ALL, None)
    assert numbers(started(one, 1)) == [0, 1]
    one.ended(looks[1], 1, FetchOutcome.FETCHED, reached=True)
    one.robots_known(looks[1], 1, ALLOWS_NONE, None)
    assert started(one, 1) == []
    assert [(each.number, outcome) for each, outcome in one.settled()] == [(2, FetchOutcome.ROBOTS)]
    assert one.waiting == 0
    added(one, ["http://a.test/4"], 2)
    assert numbers(started(one, ROBOTS_SECONDS - 1)) == [0]


def test_robots_are_looked_at_again_after_a_day() -> None:
    one = schedule(robots=True)
    added(one, ["http://a.test/1"])
    look = started(one, 0)[0]
    one.ended(look, 0, FetchOutcome.FETCHED, reached=True)
    one.robots_known(look, 0, ALLOWS_ALL, None)
    assert not started(one, 0)[0].robots
    added(one, ["http://a.test/2"], ROBOTS_SECONDS)
    assert started(one, ROBOTS_SECONDS)[0].robots


def test_robots_decide_by_path_and_a_delay_slows_the_host() -> None:
    one = schedule(robots=True)
    added(one, ["http://a.test/no/1", "http://a.test/yes/2", "http://a.test/yes/3"])
    look = started(one, 0)[0]
    one.ended(look, 0, FetchOutcome.FETCHED, reached=True)
    one.robots_known(look, 0, robots_of(b"User-agent: *\nCrawl-delay: 7\nDisallow: /no/", "vetset"), None)
    assert numbers(started(one, 0)) == [1]
    assert [each.number for each, _ in one.settled()] == [0]
    assert numbers(started(one, 6.9)) == []
    assert numbers(started(one, 7)) == [2]


def test_where_robots_could_not_be_seen_the_requests_end_as_the_look_did() -> None:
    one = schedule(robots=True)
    added(one, ["http://a.test/1", "http://a.test/2"])
    look = started(one, 0)[0]
    one.ended(look, 0, FetchOutcome.TLS_INVALID, reached=False)
    one.robots_known(look, 0, None, FetchOutcome.TLS_INVALID)
    assert started(one, 0) == []
    assert [outcome for _, outcome in one.settled()] == [FetchOutcome.TLS_INVALID] * 2


def test_a_host_that_does_not_answer_is_tried_one_at_a_time_and_then_given_up() -> None:
    one, now, asked = schedule(), 0.0, 0
    added(one, [f"http://a.test/{number}" for number in range(100)])
    while one.waiting:
        under_way = started(one, now)
        asked += len(under_way)
        for each in under_way:
            one.ended(each, now, FetchOutcome.TIMEOUT, reached=False)
        now = max(now, one.wake_at() or now)
    assert 4 <= asked <= 6
    outcomes = Counter(outcome for _, outcome in one.settled())
    assert outcomes == {FetchOutcome.TIMEOUT: 100 - asked}
    assert now < 10


def test_a_host_that_asks_for_less_haste_is_left_alone_and_another_is_not() -> None:
    one = schedule()
    added(one, ["http://a.test/1", "http://a.test/2", "http://a.test/3"])
    first, second = started(one, 0)
    assert one.held(first, 0, 20)
    one.add(first, 0, first=True)
    one.ended(second, 0, FetchOutcome.FETCHED, reached=True)
    added(one, ["http://b.test/"])
    assert [each.target.host for each in started(one, 1)] == ["b.test"]
    assert 20 <= (one.wake_at() or 0) <= 25
    assert numbers(started(one, 25)) == [0, 2]


def test_later_means_later() -> None:
    one = schedule()
    one.add_later(job("http://a.test/1", 7), 30)
    assert one.waiting == 1
    assert started(one, 29) == []
    assert one.wake_at() == 30
    assert numbers(started(one, 30)) == [7]
    assert one.waiting == 0


def test_what_is_dropped_is_gone_and_hosts_are_as_they_were() -> None:
    one = schedule(robots=True, most_per_host=1)
    added(one, ["http://a.test/1", "http://a.test/2", "http://b.test/3"])
    look = started(one, 0)[0]
    one.robots_known(look, 0, ALLOWS_NONE, None)
    one.add_later(job("http://c.test/4"), 5)
    one.drop()
    assert (one.waiting, one.hosts_open, one.wake_at(), list(one.settled())) == (0, 0, None, [])
    added(one, ["http://a.test/1", "http://b.test/3"])
    assert [each.target.url for each in started(one, 9)] == ["http://b.test/robots.txt"]
    assert [outcome for _, outcome in one.settled()] == [FetchOutcome.ROBOTS]


def test_idle_hosts_are_forgotten_and_busy_ones_are_not() -> None:
    one = schedule(most_sites=10, interval_seconds=1)
    added(one, [f"http://busy{number}.test/" for number in range(5)])
    busy = started(one, 0)
    for number in range(100):
        now = 10.0 + number
        one.add(job(f"http://h{number}.test/"), now)
        (each,) = started(one, now)
        one.ended(each, now, FetchOutcome.FETCHED, reached=True)
    assert len(one._sites) <= 10
    for each in busy:
        one.ended(each, 200, FetchOutcome.FETCHED, reached=True)


def test_rules_are_remembered_up_to_a_number_and_idle_hosts_lose_theirs_first() -> None:
    one = schedule(robots=True, most_rules=100)
    ten = robots_of(b"User-agent: *\n" + b"".join(b"Disallow: /%d/\n" % number for number in range(10)), "vetset")
    added(one, ["http://busy.test/x", "http://busy.test/y"])
    busy = started(one, 0)[0]
    one.ended(busy, 0, FetchOutcome.FETCHED, reached=True)
    one.robots_known(busy, 0, ten, None)
    for number in range(50):
        one.add(job(f"http://h{number}.test/"), 0)
        for look in [each for each in started(one, 0) if each.robots]:
            one.ended(look, 0, FetchOutcome.FETCHED, reached=True)
            one.robots_known(look, 0, ten, None)
            for each in started(one, 0):
                one.ended(each, 0, FetchOutcome.FETCHED, reached=True)
        kept = [known for site in one._sites.values() for known in site.origins.values() if known.robots is not None]
        assert sum(len(known.robots.patterns) for known in kept if known.robots) == one._rules <= 100
    one.add(job("http://h49.test/"), 0)
    assert not started(one, 0)[0].robots
    one.add(job("http://h0.test/"), 0)
    assert started(one, 0)[0].robots


_WEB = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.floats(0, 3)), min_size=1, max_size=60)


@given(_WEB, st.integers(1, 3), st.sampled_from([0.0, 0.5]), st.booleans(), st.integers(0, 10**6))
def test_every_job_ends_once_and_no_limit_is_passed(
    links: list[tuple[int, bool, float]], most: int, interval_seconds: float, robots: bool, seed: int
) -> None:
    """A whole web driven by a made-up clock: hosts 0 and 1 are sound, 2 forbids, 3 is dead, 4 holds at times."""
    chance, now = Random(seed), 0.0
    one = schedule(most_per_host=most, interval_seconds=interval_seconds, robots=robots, random=Random(seed))
    hosts = [f"h{host}.test" for host, _, _ in links]
    for number, (host, secure, _) in enumerate(links):
        one.add(job(f"{'https' if secure else 'http'}://h{host}.test/{number}", number), now)
    under_way: list[tuple[float, Job]] = []
    starts: dict[str, list[float]] = defaultdict(list)
    ends: Counter[int] = Counter()
    for _ in range(5000):
        for each in started(one, now):
            starts[each.target.host].append(now)
            under_way.append((now + links[each.number][2], each))
        for each, _outcome in one.settled():
            if each.robots:
                one.robots_known(each, now, None, FetchOutcome.DNS)
            else:
                ends[each.number] += 1
        assert max(Counter(each.target.host for _, each in under_way).values(), default=0) <= most
        if not under_way and not one.waiting:
            break
        times = [at for at, _ in under_way] + [at for at in [one.wake_at()] if at is not None]
        now = max(now, min(times))
        for at, each in [pair for pair in under_way if pair[0] <= now]:
            under_way.remove((at, each))
            _finish(one, each, now, chance, ends)
    assert dict(ends) == dict.fromkeys(range(len(hosts)), 1)
    for times in starts.values():
        assert all(later - earlier >= interval_seconds - 1e-9 for earlier, later in pairwise(times))


def _finish(one: Schedule, each: Job, now: float, chance: Random, ends: Counter[int]) -> None:
    host, dead = each.target.host, each.target.host == "h3.test"
    if host == "h4.test" and chance.random() < 0.3:
        if one.held(each, now, chance.choice([0, 3])):
            one.add(each, now, first=True)
            return
    else:
        outcome = FetchOutcome.TIMEOUT if dead else FetchOutcome.FETCHED
        one.ended(each, now, outcome, reached=not dead)
    if each.robots:
        known = None if dead else (ALLOWS_NONE if host == "h2.test" else ALLOWS_ALL)
        one.robots_known(each, now, known, FetchOutcome.TIMEOUT if dead else None)
    else:
        ends[each.number] += 1
