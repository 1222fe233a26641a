"""How a whole run of the local runner ends from outside: its coordinator killed or interrupted, early and late."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vetset.records import Task, TaskReport
from vetset.runners.local import Local, _undisturbed
from vetset.testing.runner_contract import Standing, tasks_of

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 60


# --- what the coordinators under test run -------------------------------------------------------------------------


def announce_and_wait(task: Task) -> TaskReport:
    os.write(1, f"{os.getpid()}\n".encode())
    while True:
        signal.pause()


def endless_work() -> None:
    """Two workers that never end, and what a coordinator does with an interruption."""
    try:
        list(Local(Standing(), 2).run(announce_and_wait, tasks_of(["count"] * 5, Path())))
    except KeyboardInterrupt:
        os.write(1, f"interrupted {multiprocessing.active_children()}\n".encode())


def signal_while_workers_start(number: int, *, group: bool) -> None:
    """The signal comes when the first worker has been spawned and cannot have reached its first line."""

    def drawing() -> Iterator[Task]:
        yield tasks_of(["count"], Path())[0]
        os.kill(0 if group else os.getpid(), number)
        yield from tasks_of(["count"] * 4, Path())

    try:
        list(Local(Standing(), 2).run(announce_and_wait, drawing()))
    except KeyboardInterrupt:
        os.write(1, f"interrupted {multiprocessing.active_children()}\n".encode())


# --- the tests ----------------------------------------------------------------------------------------------------


def coordinator(call: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", f"from tests.test_runners_ends import *; {call}"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, start_new_session=True)


@pytest.fixture
def at_work() -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """A coordinator with two workers in the middle of their tasks."""
    with coordinator("endless_work()") as process:
        assert process.stdout is not None
        yield process, [int(process.stdout.readline()) for _ in range(2)]
        process.kill()


def gone(pid: int) -> bool:
    """Whether a process is dead; an orphan's remains may wait for whoever inherited them."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return True


def all_gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if all(gone(pid) for pid in pids):
            return True
    return False


def ended(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What was left to read. The end comes when nobody holds the pipes any more: neither worker nor tracker."""
    return process.communicate(timeout=PATIENCE_SECONDS)


def test_workers_die_with_a_killed_coordinator(at_work: tuple[subprocess.Popen[bytes], list[int]]) -> None:
    process, pids = at_work
    assert not any(gone(pid) for pid in pids)
    process.send_signal(signal.SIGKILL)
    ended(process)
    assert process.returncode == -signal.SIGKILL
    assert all_gone(pids)


def test_workers_die_with_a_coordinator_that_is_killed_while_they_start() -> None:
    with coordinator("signal_while_workers_start(9, group=False)") as process:
        ended(process)
    assert process.returncode == -signal.SIGKILL


def test_a_coordinator_told_to_terminate_leaves_no_worker(at_work: tuple[subprocess.Popen[bytes], list[int]]) -> None:
    process, pids = at_work
    process.send_signal(signal.SIGTERM)
    ended(process)
    assert process.returncode == -signal.SIGTERM
    assert all_gone(pids)


@pytest.mark.parametrize("whole_group", [True, False])
def test_an_interruption_ends_workers_at_once_and_without_noise(
    at_work: tuple[subprocess.Popen[bytes], list[int]], whole_group: bool
) -> None:
    process, pids = at_work
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    out, err = ended(process)
    assert out == b"interrupted []\n"
    assert err == b""
    assert all_gone(pids)


def test_an_interruption_while_workers_start_is_as_quiet() -> None:
    with coordinator("signal_while_workers_start(2, group=True)") as process:
        out, err = ended(process)
    assert out == b"interrupted []\n"
    assert err == b""
    assert process.returncode == 0


def take_an_interruption() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)


def interrupted_within(reached: list[bool]) -> None:
    with _undisturbed():
        taker = threading.Thread(target=take_an_interruption)
        taker.start()
        taker.join()
        reached.append(True)


def test_an_interruption_that_another_thread_takes_waits_for_the_worker_to_be_born() -> None:
    reached: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted_within(reached)
    assert reached


def test_what_handles_an_interruption_is_as_it_was() -> None:
    before = signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with _undisturbed():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert (signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, [])) == before
