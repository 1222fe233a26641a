"""The serial runner: every task in this process, one after the other, for debugging.

In it: `Serial`, and `reported`, which both runners put around a task. Not in it: surviving a killed or starved
process, for there is only this one. Rules: a report leaves here, never an exception's message.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

from vetset.errors import Stop, Trouble
from vetset.ports import Boot, RunTask
from vetset.records import Task, TaskReport


def reported(run_task: RunTask, task: Task) -> TaskReport:
    """The task's report, whatever `run_task` lets through: a stop, `out_of_memory`, or else `internal_error`.

    This is the shard boundary: it stands inside the worker, and turns any exception into a code and a place, since a
    library's message may quote a value of a row.
    """
    try:
        return run_task(task)
    except Stop as stop:
        return TaskReport(task, stop=stop.message, hint=stop.hint)
    except MemoryError as error:
        return TaskReport(task, trouble=Trouble.OUT_OF_MEMORY.value, place=place_of(error))
    except Exception as error:  # noqa: BLE001 - the shard boundary
        return TaskReport(task, trouble=Trouble.INTERNAL.value, place=place_of(error))


def place_of(error: BaseException) -> str:
    """Where it happened, as `Kind at file:line in function`; the message stays behind."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno} in {last.name}"


class Serial:
    """A `ports.Runner` in this process. `boot` is entered before the first task and left after the last."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot

    def run(self, run_task: RunTask, tasks: Iterable[Task]) -> Iterator[TaskReport]:
        """One report for each task, in their order; a task is drawn only when the one before it has been reported."""
        with self._boot():
            for task in tasks:
                yield reported(run_task, task)
