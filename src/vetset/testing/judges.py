"""Platforms and an authority in memory, for tests of what asks and tells them: they note what they were asked and told.

In it: answers by fingerprint, abilities, a place at which they fail. Not in it: any service's spelling, HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from vetset.errors import ServiceError, Stop
from vetset.ports import Authority, Platform
from vetset.records import Abilities, Letter, Question, Receipt, Ruling, Verdict

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


TIPLINELIKE = Abilities("authority", "of the law", (), batch=1, learns="addresses, and nothing else", live=True)


@dataclass
class MemoryAuthority:
    """Opens and finishes reports. `spoils` is called with each request's name, and may raise in place of an answer.

    `before` is true while the request has not reached it yet: what is raised then, it never heard.
    """

    spoils: Callable[[str, bool], None] = lambda _request, _before: None
    abilities: Abilities = TIPLINELIKE
    open_reports: dict[str, list[str]] = field(default_factory=dict)
    finished: dict[str, list[str]] = field(default_factory=dict)  # by report: its addresses
    letters: list[Letter] = field(default_factory=list)
    finished_at: datetime = datetime(2026, 11, 30, tzinfo=UTC)

    def ready(self) -> None:
        return

    def open(self, letter: Letter) -> str:
        self.spoils("open", True)
        report_id = str(len(self.letters) + 1)
        self.letters.append(letter)
        self.open_reports[report_id] = [url.unseal().decode() for url in letter.urls]
        self.spoils("open", False)
        return report_id

    def finish(self, report_id: str) -> Receipt:
        self.spoils("finish", True)
        if report_id not in self.finished:
            if report_id not in self.open_reports:
                raise ServiceError("authority", "gone")
            self.finished[report_id] = self.open_reports.pop(report_id)
        self.spoils("finish", False)
        return Receipt(report_id, self.finished_at)

    def retract(self, report_id: str) -> None:
        self.open_reports.pop(report_id, None)

    @contextmanager
    def authority(self, _name: str) -> Iterator[Authority]:
        """As the wiring opens one by its name."""
        yield self
