"""What passes between the coordinator, runners and workers: tasks, reports, a stage's result.

In it: frozen, picklable data. Not in it: running. Rules: no value of a row is in any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from vetset.records.outcome import Tally
from vetset.records.row import Shard

Onward = TypeVar("Onward")


@dataclass(frozen=True, slots=True)
class StageResult(Generic[Onward]):
    """What a stage gives: something for the next stage, and an outcome for every row it took."""

    onward: Onward
    tally: Tally


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of work: a stage over a shard. Picklable and small; everything else comes by file."""

    stage: str
    shard: Shard
    round: int = 0
    attempt: int = 1
    basis: str = ""  # digest of what the step rests on beside the shard; another basis is another result
    again: tuple[str, ...] = ()  # outcomes of an earlier attempt that are tried again; the rest of it stays

    @property
    def step(self) -> str:
        """The stage's name in the ledger; rounds of expand are steps of their own."""
        return f"{self.stage}-{self.round}" if self.round else self.stage


@dataclass(frozen=True, slots=True)
class TaskReport:
    """What a runner brings back. `trouble` is None when the task's manifest is written; no value of a row is in it."""

    task: Task
    rows: int = 0
    tally: Mapping[str, int] = field(default_factory=dict)
    trouble: str | None = None
    place: str = ""
    detail: str = ""
    seconds: float = 0.0
    stop: str | None = None  # operator trouble met inside a worker: the run stops with this message
    hint: str = ""
