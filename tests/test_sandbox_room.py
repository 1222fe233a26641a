"""The worker's side of the sandbox, with real children: what becomes of pictures whose child dies, hangs or lies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests import sandboxes
from tests.sandboxes import canary, child_of, encoded, named, outcomes, pictures_of, sandbox, with_trigger
from vetset.config import FingerprintSettings, SandboxSettings
from vetset.errors import Stop
from vetset.records import FingerprintOutcome, ResizeMode, Stored, View
from vetset.sandbox.level import SandboxLevel
from vetset.sandbox.room import Sandbox

FINE = FingerprintOutcome.FINGERPRINTED.value
DEATH = FingerprintOutcome.SANDBOX_DEATH.value
ALARM = FingerprintOutcome.SANDBOX_ALARM.value


def test_one_answer_for_each_picture_in_order() -> None:
    bodies = [encoded(canary(number)) if number % 3 else b"no picture" for number in range(40)]
    with sandbox() as room:
        answers = list(room.decode(pictures_of(bodies)))
    assert [answer.row for answer in answers] == list(range(40))
    assert outcomes(answers) == [FINE if number % 3 else "unsupported" for number in range(40)]
    assert len({answer.views[0].pdq.tobytes() for answer in answers if answer.views}) == 26


def test_nothing_in_nothing_out() -> None:
    with sandbox() as room:
        assert list(room.decode([])) == []
        assert outcomes(room.decode(pictures_of([b""]))) == ["undecodable"]


def test_the_child_is_at_work_before_the_first_answer_is_asked_for() -> None:
    with sandbox() as room:
        answers = room.decode(pictures_of([encoded(canary(1))]))
        assert len(room._in_flight) == 1
        assert outcomes(answers) == [FINE]


def test_a_file_is_too_large_by_bytes_or_pixels() -> None:
    small, large = encoded(canary(1, 16, 12)), encoded(canary(1, 64, 64), "BMP")
    with sandbox(max_bytes=len(large) - 1, max_pixels=16 * 12) as room:
        assert outcomes(room.decode(pictures_of([small, large, encoded(canary(1, 17, 12))]))) == [
            FINE,
            "too_large",
            "too_large",
        ]


def test_what_a_cut_to_a_square_lost_is_never_looked_at() -> None:
    picture = encoded(canary(1, 64, 64))
    asked = [
        Stored(ResizeMode.CENTER_CROP),
        Stored(ResizeMode.CENTER_CROP, 640, 480),
        Stored(ResizeMode.CENTER_CROP, 9, 9),
    ]
    with sandbox() as room:
        answers = [next(iter(room.decode(pictures_of([picture], stored)))) for stored in asked]
    assert outcomes(answers) == ["not_auditable", "not_auditable", FINE]
    assert [len(answer.views) for answer in answers] == [0, 0, 1]


# --- deaths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 2, 6])
def test_a_picture_that_kills_is_tried_twice_and_named_and_no_other(place: int) -> None:
    with sandbox(kinds=named(sandboxes.Aborts)) as room:
        started = starts(room)
        answers = list(room.decode(with_trigger(7, at=(place,))))
    assert outcomes(answers) == [DEATH if row == place else FINE for row in range(7)]
    assert answers[place].views == ()
    assert len(started) == (1 if place == 6 else 2)  # after the last picture none is needed


def starts(room: Sandbox) -> list[int]:
    """Pids of the children that are started from now on."""
    pids: list[int] = []
    fresh = room._fresh

    def counted() -> object:
        hello = fresh()
        pids.append(child_of(room))
        return hello

    room._fresh = counted  # type: ignore[method-assign, assignment]
    return pids


def test_killers_in_a_row_are_each_named() -> None:
    with sandbox(kinds=named(sandboxes.Aborts)) as room:
        assert outcomes(room.decode(with_trigger(5, at=(1, 2, 4)))) == [FINE, DEATH, DEATH, FINE, DEATH]


def test_a_hanging_child_is_ended_at_the_deadline() -> None:
    with sandbox(kinds=named(sandboxes.Hangs), timeout_seconds=1) as room:
        started = time.monotonic()
        assert outcomes(room.decode(with_trigger(4))) == [FINE, FINE, DEATH, FINE]
        assert time.monotonic() - started >= 2  # the deadline ran out twice


@pytest.mark.parametrize("pictures", [1, 5, 300])
def test_a_child_killed_from_outside_costs_no_picture(pictures: int) -> None:
    body = encoded(canary(3, 640, 480), "JPEG")
    with sandbox() as room:
        answers = room.decode(pictures_of([body] * pictures))
        os.kill(child_of(room), signal.SIGKILL)
        first = next(answers)
        if room._child is not None:
            os.kill(child_of(room), signal.SIGKILL)
        rest = list(answers)
    assert outcomes([first, *rest]).count(FINE) >= pictures - 1  # one that two kills met is named
    assert len(rest) == pictures - 1


def test_a_child_that_died_between_batches_is_replaced() -> None:
    with sandbox() as room:
        for _ in range(3):
            assert outcomes(room.decode(pictures_of([encoded(canary(1))] * 3))) == [FINE] * 3
            pid = child_of(room)
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_a_batch_left_in_the_middle_does_not_answer_for_the_next() -> None:
    with sandbox() as room:
        left = room.decode(pictures_of([encoded(canary(1))] * 9))
        next(left)
        (answer,) = room.decode(pictures_of([encoded(canary(5))]))
        (alone,) = room.decode(pictures_of([encoded(canary(5))]))
    assert answer.views[0].pdq.tobytes() == alone.views[0].pdq.tobytes()


def test_a_child_is_replaced_after_its_thousand() -> None:
    with sandbox(pictures_of_a_child=4) as room:
        seen = {child_of(room)}
        for answer in room.decode(pictures_of([encoded(canary(1))] * 11)):
            assert answer.outcome is FingerprintOutcome.FINGERPRINTED
            seen.add(child_of(room))
        assert len(seen) == 3
    for pid in seen:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_child_that_lies_is_not_believed() -> None:
    """Replies that no sound child gives: the picture is charged, the child replaced."""
    with sandbox() as room:
        assert room._child is not None
        room._child._heard += b"\xff" * room._child._reply_bytes
        assert outcomes(room.decode(pictures_of([encoded(canary(1))] * 3))) == [FINE] * 3
        room._child._heard += bytes(room._child._reply_bytes)  # well formed, of another picture
        assert outcomes(room.decode(pictures_of([encoded(canary(1))] * 3))) == [FINE] * 3


# --- beginning and end ------------------------------------------------------------------------------------------------


def test_the_level_is_what_this_machine_can_do() -> None:
    with sandbox(required=True) as room:
        assert room.level == "seccomp+landlock"


@pytest.mark.parametrize("level", [SandboxLevel.NONE, SandboxLevel.LIMITS])
def test_required_refuses_less(level: SandboxLevel) -> None:
    with sandbox(strongest=level) as room:
        assert room.level == level
        assert outcomes(room.decode(pictures_of([encoded(canary(1))]))) == [FINE]
    with pytest.raises(Stop, match=level.value) as stopped, sandbox(strongest=level, required=True):
        pass
    assert stopped.value.hint


def test_children_start_in_the_main_thread_only() -> None:
    caught: list[BaseException] = []

    def start() -> None:
        try:
            Sandbox(FingerprintSettings(), SandboxSettings())
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(caught) == 1


def test_the_child_dies_with_its_worker(tmp_path: Path) -> None:
    """A worker that is killed cannot end its child; the kernel and the closed pipe do."""
    script = (
        "import time, sys; from tests.sandboxes import sandbox, child_of\n"
        "with sandbox() as room:\n    print(child_of(room), flush=True)\n    time.sleep(60)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent)
    assert worker.stdout is not None
    child = int(worker.stdout.readline())
    gone = os.pidfd_open(child)
    worker.kill()
    worker.wait()
    worker.stdout.close()
    import select

    assert select.select([gone], [], [], 10)[0]
    os.close(gone)


def open_descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_nothing_is_left_open() -> None:
    before = open_descriptors()
    with sandbox(pictures_of_a_child=2, kinds=named(sandboxes.Aborts)) as room:
        list(room.decode(with_trigger(7)))
    assert open_descriptors() == before


def test_a_start_that_the_system_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    before = open_descriptors()
    with pytest.raises(Stop) as stopped:
        Sandbox(FingerprintSettings(), SandboxSettings())
    assert "No such file" in stopped.value.message
    assert open_descriptors() == before


def test_a_child_that_never_speaks_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vetset.sandbox.process._START", "import sys; sys.exit(3)")
    with pytest.raises(Stop, match="cannot start"):
        Sandbox(FingerprintSettings(), SandboxSettings())


# --- optional kinds ---------------------------------------------------------------------------------------------------


class Counts(sandboxes._Kind):
    name = "counts"
    width_bytes = 4

    def compute(self, rgb: sandboxes.U8) -> bytes | None:
        return rgb.shape[1].to_bytes(4, "big") if rgb.shape[0] > 8 else None


def test_optional_kinds_come_with_each_view() -> None:
    with sandbox(kinds=("tests.test_sandbox_room:Counts", *named(sandboxes._Kind))) as room:
        (answer,) = room.decode(pictures_of([encoded(canary(1, 33, 20).convert("LA"))]))
    assert dict(answer.views[0].other) == {"counts": bytes([0, 0, 0, 33]), "test": b"fine"}
    assert {view.view for view in answer.views} == {View.FIRST}


@pytest.mark.parametrize(
    "kind", [sandboxes.NoKind, sandboxes.TooMuch, type("Missing", (), {})], ids=lambda kind: kind.__name__
)
def test_a_kind_that_is_none_stops_the_run(kind: type) -> None:
    with pytest.raises(Stop, match=kind.__name__) as stopped, sandbox(kinds=named(kind)):
        pass
    assert stopped.value.hint


@pytest.mark.parametrize(
    "kind",
    [
        sandboxes.Raises,
        sandboxes.Imports,
        sandboxes.Unpickles,
        sandboxes.LoadsObjects,
        sandboxes.Saves,
        sandboxes.TooWide,
    ],
)
def test_what_a_kind_does_wrong_is_an_internal_error(kind: type) -> None:
    with sandbox(kinds=named(kind)) as room:
        pid = child_of(room)
        assert outcomes(room.decode(with_trigger(4))) == [FINE, FINE, "internal_error", FINE]
        assert child_of(room) == pid


def test_memory_beyond_the_limit_is_too_large_and_no_death() -> None:
    with sandbox(kinds=named(sandboxes.Eats)) as room:
        assert outcomes(room.decode(with_trigger(4))) == [FINE, FINE, "too_large", FINE]
