"""Who watches a run, and what there is to see.

In it: the protocol of a watcher, and the pulse of a round of fetch. Not in it: words and streams (`cli`).
Rules: counts only; nothing of a shard's rows, and no host by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from vetset.records import TaskReport


@dataclass(frozen=True, slots=True)
class Pulse:
    """How far a round is, summed over its groups as they last left word."""

    planned: int = 0
    answered: int = 0
    fetched: int = 0
    bytes: int = 0
    hosts: int = 0  # with a request out
    low: int = 0  # that hardly ever answer with a picture
    floor: float = 0.0  # the share of answers with a picture below which somebody should be warned


class Watcher(Protocol):
    """Who shows how far a run is; sees counts only."""

    def stage(self, name: str, shards_total: int, rows_total: int | None) -> None: ...
    def follow(self, look: Callable[[], Pulse]) -> None: ...
    def advance(self, report: TaskReport) -> None: ...
    def finish(self) -> None: ...
