"""Progress on stderr: figures that are right, lines that are few, nothing of a row, and no harm done by it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.cli.asking import clock_face
from vetset.cli.progress import INTERVAL_SECONDS, Progress, StageCount
from vetset.records import Shard, Task, TaskReport

CANARY = "canary-of-progress"


class Clock:
    """Seconds that a test moves by hand."""

    def __init__(self) -> None:
        self.now_seconds = 1000.0

    def __call__(self) -> float:
        return self.now_seconds


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    """A stream whose reader went away."""

    error_number = errno.EPIPE
    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        raise OSError(self.error_number, f"nobody reads {len(text)} characters")


class BrokenTerminal(Broken, Terminal):
    """A terminal that hung up."""

    error_number = errno.EIO


def report(rows: int = 100, *, seconds: float = 1.0, trouble: str | None = None) -> TaskReport:
    """A report in which everything but its counts is a canary."""
    task = Task(CANARY, Shard(CANARY, CANARY, 1, CANARY), basis=CANARY)
    return TaskReport(task, rows, {CANARY: rows}, trouble, place=CANARY, detail=CANARY, seconds=seconds)


def plain(*, quiet: bool = False) -> tuple[io.StringIO, Clock, Progress]:
    stream, clock = io.StringIO(), Clock()
    return stream, clock, Progress(stream, quiet=quiet, clock=clock)


def interrupted(progress: Progress) -> None:
    with progress:
        progress.stage("screen", 4, 400)
        raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _a_capable_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


# --- without a terminal -------------------------------------------------------------------------------------------


def test_a_stage_ends_with_one_line() -> None:
    stream, clock, progress = plain()
    with progress:
        progress.stage("screen", 2, 1500)
        clock.now_seconds += 1
        progress.advance(report(1000))
        clock.now_seconds += 2
        progress.advance(report(500))
        progress.finish()
    assert stream.getvalue() == "screen: 2/2 shards, 1,500/1,500 rows, 500 rows/s, in 0:03\n"


def test_the_stage_that_opens_pictures_goes_by_pictures() -> None:
    """Four of five rows hold one, and what was done before this run has no part in the rate."""
    stream, clock, progress = plain()
    with progress:
        progress.stage("match", 3, 4000)
        progress.advance(replace(report(1000, seconds=0.0), tally={"fingerprinted": 800}))
        clock.now_seconds += 10
        progress.advance(replace(report(1000), tally={"fingerprinted": 700, "undecodable": 100}))
        clock.now_seconds += 10
        progress.advance(replace(report(2000), tally={}))
        progress.finish()
    assert stream.getvalue().splitlines() == [
        "match: 2/3 shards, 2,000/4,000 rows, 1,600 pictures, 80 pictures/s, 0:20 left",
        "match: 3/3 shards, 4,000/4,000 rows, 1,600 pictures, 40 pictures/s, 0:00 left",
        "match: 3/3 shards, 4,000/4,000 rows, 1,600 pictures, 40 pictures/s, in 0:20",
    ]


def test_lines_come_no_more_often_than_every_ten_seconds() -> None:
    stream, clock, progress = plain()
    progress.stage("screen", 100, None)
    for _ in range(41):
        clock.now_seconds += 1
        progress.advance(report(10))
    assert stream.getvalue().splitlines() == [
        "screen: 10/100 shards, 100 rows, 10 rows/s, 1:30 left",
        "screen: 20/100 shards, 200 rows, 10 rows/s, 1:20 left",
        "screen: 30/100 shards, 300 rows, 10 rows/s, 1:10 left",
        "screen: 40/100 shards, 400 rows, 10 rows/s, 1:00 left",
    ]


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 100), st.integers(0, 10**9), st.sampled_from([None, "unreadable"])), max_size=40
    ),
    rows_total=st.none() | st.integers(0, 10**9),
)
def test_whatever_comes_lines_are_few_and_counts_are_right(
    steps: list[tuple[float, int, str | None]], rows_total: int | None
) -> None:
    stream, clock, progress = plain()
    progress.stage("clean", len(steps), rows_total)
    for seconds, rows, trouble in steps:
        clock.now_seconds += seconds
        progress.advance(report(rows, trouble=trouble))
    progress.finish()
    lines = stream.getvalue().splitlines()
    assert 1 <= len(lines) <= 1 + (clock.now_seconds - 1000.0) / INTERVAL_SECONDS
    assert lines[-1].startswith(f"clean: {len(steps):,}/{len(steps):,} shards")
    assert f" {sum(rows for _, rows, _ in steps):,}" in lines[-1]
    assert CANARY not in stream.getvalue()


def test_stages_follow_each_other() -> None:
    stream, clock, progress = plain()
    for name in ("screen", "expand-1", "clean"):
        progress.stage(name, 1, None)
        clock.now_seconds += 1
        progress.advance(report(10))
        progress.finish()
    assert [line.split(":")[0] for line in stream.getvalue().splitlines()] == ["screen", "expand-1", "clean"]


def test_a_stage_without_shards_ends_all_the_same() -> None:
    stream, _, progress = plain()
    progress.stage("expand", 0, 0)
    progress.finish()
    assert stream.getvalue() == "expand: 0/0 shards, 0/0 rows, 0 rows/s, in 0:00\n"


def test_finishing_twice_or_before_a_stage_says_nothing_more() -> None:
    stream, _, progress = plain()
    progress.finish()
    progress.advance(report())
    assert stream.getvalue() == ""
    progress.stage("clean", 1, None)
    progress.finish()
    progress.finish()
    assert len(stream.getvalue().splitlines()) == 1


def test_an_exception_passes_through_without_a_last_line() -> None:
    stream, _, progress = plain()
    with pytest.raises(KeyboardInterrupt):
        interrupted(progress)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_quiet_says_nothing_at_all(stream: io.StringIO) -> None:
    clock = Clock()
    with Progress(stream, quiet=True, clock=clock) as progress:
        progress.stage("screen", 2, 10)
        clock.now_seconds += 60
        progress.advance(report())
        progress.finish()
    assert stream.getvalue() == ""


@pytest.mark.parametrize("stream", [Broken(), BrokenTerminal()])
def test_a_reader_that_went_away_ends_the_progress_only(stream: Broken) -> None:
    clock = Clock()
    with Progress(stream, quiet=False, clock=clock) as progress:
        progress.stage("screen", 2, None)
        for _ in range(2):
            clock.now_seconds += 60
            progress.advance(report())
        progress.finish()
    assert stream.writes <= 3  # a terminal's: hide the cursor, draw, show the cursor


# --- the figures --------------------------------------------------------------------------------------------------


def counted(shards_total: int, rows_total: int | None, *reports: TaskReport) -> StageCount:
    count = StageCount("screen", shards_total, rows_total, 0.0)
    for each in reports:
        count.add(each)
    return count


def test_time_left_goes_by_rows_where_they_are_known_and_else_by_shards() -> None:
    assert counted(10, 1000, report(900)).seconds_left(9.0) == 1.0
    assert counted(10, None, report(900)).seconds_left(9.0) == 81.0


def test_time_left_goes_by_shards_once_rows_are_missing() -> None:
    assert counted(4, 1000, report(100), report(0, trouble="unreadable")).seconds_left(8.0) == 8.0


def test_more_rows_than_were_announced_leave_no_time_below_nothing() -> None:
    assert counted(2, 10, report(100)).seconds_left(5.0) == 0.0


def test_work_done_before_counts_as_done_and_not_as_speed() -> None:
    count = counted(4, 4000, report(1000, seconds=0.0), report(1000, seconds=0.0), report(1000))
    assert count.rows_per_second(10.0) == 100.0
    assert count.seconds_left(10.0) == 10.0
    assert count.line(10.0) == "screen: 3/4 shards, 3,000/4,000 rows, 100 rows/s, 0:10 left"


def test_nothing_is_foretold_before_something_was_done() -> None:
    assert "time left unknown" in counted(4, 4000).line(3.0)
    assert "time left unknown" in counted(4, 4000, report(1000, seconds=0.0)).line(3.0)
    assert counted(4, None, report(10)).rows_per_second(0.0) == 0.0


def test_failed_shards_are_counted_in_the_line() -> None:
    count = counted(3, None, report(5), report(0, seconds=0.0, trouble="quarantined"))
    assert count.line(1.0) == "screen: 2/3 shards, 1 failed, 5 rows, 5 rows/s, 0:00 left"
    assert "1 failed" in count.last_line(1.0)


@pytest.mark.parametrize(
    ("seconds", "face"),
    [
        (0, "0:00"),
        (0.4, "0:00"),
        (59.6, "1:00"),
        (61, "1:01"),
        (3599.7, "1:00:00"),
        (3723, "1:02:03"),
        (1e6, "277:46:40"),
    ],
)
def test_the_face_of_a_clock(seconds: float, face: str) -> None:
    assert clock_face(seconds) == face


@given(seconds=st.floats(0, 1e9))
def test_a_clock_face_tells_the_seconds(seconds: float) -> None:
    parts = [int(part) for part in clock_face(seconds).split(":")]
    told = sum(part * 60**power for power, part in enumerate(reversed(parts)))
    assert told == round(seconds)
    assert all(part < 60 for part in parts[1:])


# --- on a terminal ------------------------------------------------------------------------------------------------


def test_a_terminal_gets_a_live_line_and_then_a_plain_one() -> None:
    stream, clock = Terminal(), Clock()
    with Progress(stream, quiet=False, clock=clock) as progress:
        progress.stage("screen", 4, 400)
        clock.now_seconds += 2
        progress.advance(report(100))
        live = stream.getvalue()
        progress.finish()
    assert "screen: 0/4 shards" in live
    assert "\x1b[?25l" in live  # the cursor is hidden while the line lives
    written = stream.getvalue()
    assert "screen: 1/4 shards, 100/400 rows, 50 rows/s, 0:06 left" in written  # drawn once more at the end
    assert written.endswith("\x1b[?25h" + written.rpartition("\x1b[?25h")[2])
    assert written.splitlines()[-1].endswith("screen: 1/4 shards, 100/400 rows, 50 rows/s, in 0:02")
    assert CANARY not in written


def test_a_live_line_is_taken_away_when_the_run_is_interrupted() -> None:
    stream = Terminal()
    with pytest.raises(KeyboardInterrupt):
        interrupted(Progress(stream, quiet=False, clock=Clock()))
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 1
    assert stream.getvalue().endswith("\x1b[2K")


def test_a_stage_that_begins_before_the_last_has_finished_takes_its_line_over() -> None:
    stream = Terminal()
    with Progress(stream, quiet=False, clock=Clock()) as progress:
        progress.stage("screen", 4, None)
        progress.stage("clean", 4, None)
        progress.finish()
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 2
    assert stream.getvalue().splitlines()[-1].endswith("clean: 0/4 shards, 0 rows, 0 rows/s, in 0:00")


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    with Progress(stream, quiet=False, clock=Clock()) as progress:
        progress.stage("screen", 1, None)
        progress.finish()
    assert stream.getvalue() == "screen: 0/1 shards, 0 rows, 0 rows/s, in 0:00\n"


def test_a_narrow_terminal_cuts_the_line_and_does_not_break_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    with Progress(stream, quiet=False, clock=Clock()) as progress:
        progress.stage("screen", 4, 400)
        live = stream.getvalue()
    assert "screen: 0/4 shards" in live
    assert "rows/s" not in live


def test_rich_is_not_loaded_without_a_terminal() -> None:
    script = (
        "import io, sys, time\n"
        "from vetset.cli.progress import Progress\n"
        "with Progress(io.StringIO(), quiet=False, clock=time.monotonic) as progress:\n"
        "    progress.stage('screen', 1, None)\n"
        "    progress.finish()\n"
        "sys.exit(any(name.split('.')[0] == 'rich' for name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_real_terminal_shows_the_line() -> None:
    leader, follower = os.openpty()
    with os.fdopen(follower, "w") as stream, Progress(stream, quiet=False, clock=Clock()) as progress:
        progress.stage("screen", 2, None)
        progress.advance(report(7))
        progress.finish()
    shown = everything_from(leader)
    assert "screen: 0/2 shards" in shown
    assert "screen: 1/2 shards, 7 rows" in shown
    assert CANARY not in shown


def everything_from(leader: int) -> str:
    """What a terminal was sent; reading past that is EIO once the other side is closed."""
    parts = []
    with os.fdopen(leader, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
        while part := terminal.read(65536):
            parts.append(part)
    return b"".join(parts).decode()
