"""The serial runner: every task in this process, one after the other, for debugging.

In it: `Serial`, and `reported`, which both runners put around a task. Not in it: surviving a killed or starved
process, for there is only this one. Rules: a report leaves here, never an exception's message.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from vetset.errors import Stop, Trouble
from vetset.ports import Boot, RunTask
from vetset.records import Task, TaskReport


def reported(run_task: RunTask, task: Task) -> TaskReport:
    """The task's report, whatever `run_task` lets through: a stop, `out_of_memory`, or else `internal_error`.

    The shard boundary is inside `run_task`; this is for what slips past it, so that a run neither hangs nor shows a
    library's message, which may quote a value of a row.
    """
    with contextlib.suppress(Exception):
        try:
            return run_task(task)
        except Stop as stop:
            return TaskReport(task, stop=stop.message, hint=stop.hint)
        except MemoryError:
            return TaskReport(task, trouble=Trouble.OUT_OF_MEMORY.value)
    return TaskReport(task, trouble=Trouble.INTERNAL.value)


class Serial:
    """A `ports.Runner` in this process. `boot` is entered before the first task and left after the last."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot

    def run(self, run_task: RunTask, tasks: Iterable[Task]) -> Iterator[TaskReport]:
        """One report for each task, in their order; a task is drawn only when the one before it has been reported."""
        with self._boot():
            for task in tasks:
                yield reported(run_task, task)
