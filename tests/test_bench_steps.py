"""The benchmark's clock: it knows every function that it times, and what it gives adds up."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

STEPS_FILE = Path(__file__).parents[1] / "bench" / "steps.py"


@pytest.fixture(scope="module")
def steps() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_steps", STEPS_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Seconds:
    """A process clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def process_time(self) -> float:
        return self.now


@pytest.fixture
def seconds(steps: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Seconds:
    clock = Seconds()
    monkeypatch.setattr(steps, "time", clock)
    return clock


def test_every_function_that_is_timed_is_still_there(steps: ModuleType) -> None:
    found = steps.places()
    assert len(found) == len(steps.STEPS)
    assert all(callable(getattr(owner, name)) for owner, name, _ in found)


def test_a_function_that_is_gone_is_an_error(steps: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(steps.STEPS, "vetset.kernels:no_such_kernel", "a step")
    with pytest.raises(AttributeError, match="no_such_kernel"):
        steps.places()


def test_a_step_within_a_step_is_taken_off_the_outer_one(steps: ModuleType, seconds: Seconds) -> None:
    clock = steps.StepClock()

    def inner() -> str:
        seconds.now += 3
        return "given"

    timed_inner = clock.wrapped(inner, "inner")

    def outer() -> Any:
        seconds.now += 1
        given = timed_inner()
        seconds.now += 2
        return given

    assert clock.wrapped(outer, "outer")() == "given"
    seconds.now += 5
    clock.leave()
    assert clock.seconds == {steps.START: 100.0, steps.OTHER: 5.0, "outer": 3.0, "inner": 3.0}
    assert sum(clock.seconds.values()) == seconds.now


def test_of_a_generator_only_its_turns_are_timed(steps: ModuleType, seconds: Seconds) -> None:
    clock = steps.StepClock()

    def numbers(count: int) -> Iterator[int]:
        for number in range(count):
            seconds.now += 1
            yield number

    taken = []
    for number in clock.wrapped(numbers, "turns")(3):
        seconds.now += 10
        taken.append(number)
    clock.leave()
    assert taken == [0, 1, 2]
    assert clock.seconds["turns"] == 3.0
    assert clock.seconds[steps.OTHER] == 30.0


def test_an_exception_passes_and_ends_its_step(steps: ModuleType, seconds: Seconds) -> None:
    clock = steps.StepClock()

    def fails() -> None:
        seconds.now += 4
        raise KeyError("x")

    with pytest.raises(KeyError):
        clock.wrapped(fails, "failing")()
    seconds.now += 6
    clock.leave()
    assert clock.seconds["failing"] == 4.0
    assert clock.seconds[steps.OTHER] == 6.0
