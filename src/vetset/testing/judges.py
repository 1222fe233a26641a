"""A platform in memory, for tests of what asks platforms: it judges by what it was told and notes what it was asked.

In it: answers by fingerprint, abilities, and a place at which it fails. Not in it: any service's spelling, HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from vetset.errors import ServiceError, Stop
from vetset.ports import Platform
from vetset.records import Abilities, Question, Ruling, Verdict

SHIELDLIKE = Abilities("judge", "party", ("pdq",), batch=5, learns="fingerprints, and nothing else", live=True)


@dataclass
class MemoryPlatform:
    """Answers `verdicts` by fingerprint, else NO_MATCH. `fails_at`: the request, from 1, that gets no answer."""

    verdicts: Mapping[bytes, Verdict] = field(default_factory=dict)
    abilities: Abilities = SHIELDLIKE
    fails_at: int = 0
    asked: list[list[bytes]] = field(default_factory=list)

    def ready(self) -> None:
        return

    def judge(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        if len(questions) > self.abilities.batch:
            raise ServiceError(self.abilities.name, "too many")
        self.asked.append([question.fingerprint.unseal() for question in questions])
        if len(self.asked) == self.fails_at:
            raise ServiceError(self.abilities.name, "500", may_pass=True)
        return [self.verdicts.get(print_, Verdict(Ruling.NO_MATCH)) for print_ in self.asked[-1]]


@dataclass
class MemoryBodies:
    """Platforms by name, as the wiring has them."""

    platforms: Mapping[str, MemoryPlatform]

    def abilities(self, name: str) -> Abilities:
        if name not in self.platforms:
            raise Stop(f"unknown platform {name}", hint=f"known: {', '.join(sorted(self.platforms))}")
        return self.platforms[name].abilities

    def used_this_month(self, name: str) -> int:
        return len(self.platforms[name].asked)

    @contextmanager
    def platform(self, name: str) -> Iterator[Platform]:
        yield self.platforms[name]
