"""The line while addresses are asked: rates, share, hosts, time left; its warnings; and that it ends with the round."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import pytest

from vetset.cli import progress as module
from vetset.cli.asking import LEAST_ANSWERS, AskingCount
from vetset.cli.progress import Progress
from vetset.errors import Stop
from vetset.pipeline.watching import Pulse
from vetset.records import Shard, Task, TaskReport

FULL = Pulse(planned=1000, answered=400, fetched=300, bytes=8_000_000, hosts=12, floor=0.2)


def counting(*pulses: Pulse) -> AskingCount:
    """Begun with the first pulse; each look gives the next, and then the last for ever."""
    source: Iterator[Pulse] = iter(pulses)
    last = [pulses[0]]

    def look() -> Pulse:
        last[0] = next(source, last[0])
        return last[0]

    return AskingCount.begun("fetch-1", look, 100.0)


def test_the_line_tells_rates_of_this_run_and_counts_of_the_whole() -> None:
    count = counting(Pulse(planned=1000, answered=200, fetched=100, bytes=4_000_000), FULL)
    assert count.line(110.0) == (
        "fetch-1: 400/1,000 addresses, 20.0 addresses/s, 0.4 MB/s, 75% with a picture, 12 hosts open, 0:30 left"
    )


def test_where_nothing_was_answered_no_time_is_told() -> None:
    line = counting(Pulse(planned=10), Pulse(planned=10)).line(101.0)
    assert "time left unknown" in line
    assert "100% with a picture" in line


def test_a_run_below_the_floor_is_warned_of_once_and_only_after_enough_answers() -> None:
    few = Pulse(planned=1000, answered=LEAST_ANSWERS - 1, fetched=0, floor=0.2)
    many = Pulse(planned=1000, answered=LEAST_ANSWERS, fetched=10, floor=0.2)
    count = counting(few, few, many, many)
    told = []
    for now in (101.0, 102.0, 103.0):
        count.line(now)
        told.append(list(count.warnings()))
    assert [len(texts) for texts in told] == [0, 1, 0]
    assert "only 10% of the answers" in told[1][0]


def test_hosts_below_the_floor_are_told_by_count_each_time_they_are_twice_as_many() -> None:
    pulses = [Pulse(planned=9, low=low, floor=0.2) for low in (0, 0, 1, 1, 2, 3, 4)]
    count, told = counting(*pulses), []
    for now in range(6):
        count.line(101.0 + now)
        told += list(count.warnings())
    assert [text.split()[1] for text in told] == ["1", "2", "4"]
    assert "1 host answers" in told[0]
    assert "2 hosts answer" in told[1]


class Stream(io.StringIO):
    """Notes that a line came."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Event()

    def write(self, text: str) -> int:
        self.came.set()
        return super().write(text)


def test_lines_come_between_reports_and_end_with_the_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 0.001)
    stream, clock = Stream(), iter(range(10**9))
    with Progress(stream, quiet=False, clock=lambda: float(next(clock))) as progress:
        progress.stage("fetch-1", 3, 1000)
        progress.follow(lambda: FULL)
        assert stream.came.wait(10)
        progress.finish()
        before, threads = stream.getvalue(), threading.active_count()
        progress.stage("match", 3, 1000)
        progress.finish()
    assert before.count("fetch-1: 400/1,000 addresses") >= 2
    assert "addresses" not in stream.getvalue()[len(before) :]
    assert threading.active_count() == threads


def test_a_quiet_command_looks_at_nothing() -> None:
    def never() -> Pulse:
        raise AssertionError

    with Progress(Stream(), quiet=True, clock=lambda: 0.0) as progress:
        progress.stage("fetch-1", 3, 1000)
        progress.follow(never)
        progress.finish()


def test_a_damaged_word_of_how_far_it_is_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([FULL])

    def look() -> Pulse:
        for pulse in looks:
            return pulse
        raise Stop("sidecar is damaged")

    with Progress(Stream(), quiet=False, clock=lambda: 0.0) as progress:
        progress.stage("fetch-1", 3, 1000)
        progress.follow(look)
        progress.finish()


def test_the_tasks_of_a_fetch_are_no_shards() -> None:
    stream = Stream()
    with Progress(stream, quiet=False, clock=lambda: 0.0) as progress:
        progress.stage("fetch-1", 1, None)
        progress.advance(TaskReport(Task("fetch", Shard("plan", "plan", 0, ""), 1), rows=40))
        progress.finish()
    assert stream.getvalue() == "fetch-1: 1/1 tasks, 40 addresses, in 0:00\n"
