"""Failures of tasks, in words and as reports.

In it: a recorded failure as the report that it was, and what a person is told of one. Not in it: what becomes of it.
Rules: a failure is a code and a detail free of row values.
"""

from __future__ import annotations

from collections.abc import Mapping

from vetset.errors import Trouble
from vetset.ledger import Failure
from vetset.records import Shard, Task, TaskReport


def first_of(failed: Mapping[str, TaskReport]) -> str:
    """The first of some failed shards, for a person."""
    report = next(iter(failed.values()))
    return f"{report.task.shard.path}: {explained(report)}"


def failed_report(step: str, shard: Shard, failure: Failure) -> TaskReport:
    """The report of a recorded failure, as the runner gave it then; rounds of expand are steps like `expand-2`."""
    stage, _, number = step.partition("-")
    task = Task(stage, shard, int(number or 0), failure.attempt)
    return TaskReport(task, trouble=failure.trouble, place=failure.place, detail=failure.detail)


def explained(report: TaskReport) -> str:
    """A shard's trouble for a person."""
    words = (report.trouble or Trouble.INTERNAL.value).replace("_", " ")
    return f"{words} ({report.detail})" if report.detail else words
