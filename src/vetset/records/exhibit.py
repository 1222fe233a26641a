"""What bodies are asked about: cases, and exhibits, each one picture with all the cases that share its verdict.

In it: frozen data. Not in it: states (`cases`), grouping and asking (`stages.verify`), journals (`vault`).
Rules: addresses and fingerprints are sealed; an exhibit's id is opaque and means nothing outside the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vetset.records.finding import Address, Match
from vetset.records.outcome import ScreenOutcome
from vetset.records.value import Sealed
from vetset.records.verdict import Question


@dataclass(frozen=True, slots=True, repr=False)
class Case:
    """One row with findings. `prints` are the fingerprints by which it can be judged, by their names in the run.

    `likenesses` name what makes it one picture with others.
    """

    id: str
    shard_id: str
    row: int
    outcome: ScreenOutcome
    address: Sealed[Address]
    matches: tuple[Match, ...] = ()
    prints: Mapping[str, Question] = field(default_factory=dict)
    likenesses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, repr=False)
class Exhibit:
    """One picture, and all its cases, in the order of shards and rows."""

    id: str
    cases: tuple[Case, ...]

    @property
    def prints(self) -> dict[str, Question]:
        return {name: question for case in self.cases for name, question in case.prints.items()}

    @property
    def matches(self) -> tuple[Match, ...]:
        return tuple(match for case in self.cases for match in case.matches)
