"""Verify: bodies that may judge are asked about pictures by their fingerprints, each once, and their words are kept.

In it: which cases are one picture, which fingerprints a body is asked, the asking batch by batch, and which rows a
refutation releases. Not in it: states of cases (`cases`), who is asked and how quickly (platforms, wrappers), where
words are kept (the journal).
Rules: what is sent is noted before it is sent, and what came back before anything else is sent, so that a process that
dies at any point sends at most the one unanswered batch again; a broken answer ends the asking and is no word at all; a
body is not asked again what it answered; a row is released only when no finding that stands reaches it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vetset.errors import ServiceError
from vetset.ports import Platform
from vetset.records import Abilities, Case, Exhibit, Question, StageResult, Tally, Verdict

#: What a line of the journal is.
SENT, WORD = "sent", "word"


class Noting(Protocol):
    """Where lines are kept; they are durable when it returns."""

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None: ...


# --- exhibits ---------------------------------------------------------------------------------------------------------


def exhibits(cases: Sequence[Case], name: Callable[[str], str]) -> list[Exhibit]:
    """The cases as pictures: those that share a likeness, to closure. `name` makes an opaque id of a case's."""
    leader = list(range(len(cases)))

    def led(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    first: dict[str, int] = {}
    for place, case in enumerate(cases):
        for likeness in case.likenesses:
            one, other = sorted((led(place), led(first.setdefault(likeness, place))))
            leader[other] = one
    groups: dict[int, list[Case]] = defaultdict(list)
    for place, case in enumerate(cases):
        groups[led(place)].append(case)
    return [Exhibit(name(group[0].id), tuple(group)) for _, group in sorted(groups.items())]


# --- asking -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """A fingerprint to be asked about, by its name in the run."""

    name: str
    question: Question


def questions(open_exhibits: Iterable[Exhibit], kinds: Collection[str], answered: Collection[str]) -> list[Asked]:
    """The fingerprints of some kinds that are not answered yet, each once, in the order of exhibits."""
    found: dict[str, Question] = {}
    for exhibit in open_exhibits:
        found.update(
            (name, question)
            for name, question in exhibit.prints.items()
            if question.kind in kinds and name not in answered
        )
    return [Asked(name, question) for name, question in found.items()]


def verify(
    asked: Sequence[Asked], platform: Platform, journal: Noting, moment: Callable[[], str]
) -> StageResult[dict[str, Verdict]]:
    """Asks the platform about every fingerprint, batch by batch; answers verdicts by name, tallied by ruling.

    `moment` tells the time of an answer, ISO 8601 in UTC. Raises ServiceError for an answer that is none; every
    answer before it is kept.
    """
    abilities, found, words = platform.abilities, dict[str, Verdict](), list[dict[str, Any]]()
    for batch in _batches(asked, abilities.batch):
        journal.append([*words, _sent_line(batch, abilities)])
        verdicts = platform.judge([item.question for item in batch])
        if len(verdicts) != len(batch):
            raise ServiceError(abilities.name, "not one answer for each question")
        at = moment()
        answers = {item.name: verdict for item, verdict in zip(batch, verdicts, strict=True)}
        words = [_word_line(name, verdict, abilities, at) for name, verdict in answers.items()]
        found.update(answers)
    journal.append(words)
    return StageResult(found, Tally(verdict.ruling.value for verdict in found.values()))


def _batches(asked: Sequence[Asked], size: int) -> Iterator[Sequence[Asked]]:
    """Batches of one kind each, since a request is of one."""
    by_kind: dict[str, list[Asked]] = defaultdict(list)
    for item in asked:
        by_kind[item.question.kind].append(item)
    for items in by_kind.values():
        for start in range(0, len(items), size):
            yield items[start : start + size]


def _sent_line(batch: Sequence[Asked], abilities: Abilities) -> dict[str, Any]:
    return {
        "what": SENT,
        "body": abilities.name,
        "live": abilities.live,
        "prints": [item.name for item in batch],
    }


def _word_line(name: str, verdict: Verdict, abilities: Abilities, at: str) -> dict[str, Any]:
    return {
        "what": WORD,
        "body": abilities.name,
        "party": abilities.party,
        "live": abilities.live,
        "people": abilities.by_people,
        "print": name,
        "ruling": verdict.ruling.value,
        "match_ids": list(verdict.match_ids),
        "near": verdict.near,
        "distance": verdict.distance,
        "noted": dict(verdict.noted),
        "at": at,
    }


# --- release ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A row that was left out. `stands`: by itself, since a list met it and nobody refuted that, or a body accuses it.

    `bears` and `spreads` name the spreading values that it records, and those that it leads to.
    """

    place: tuple[str, int]  # shard id, row
    stands: bool
    bears: frozenset[str]
    spreads: frozenset[str]


def released(found: Sequence[Found]) -> set[tuple[str, int]]:
    """The rows that stay in after all: of those left out, all that nothing which stands reaches."""
    bearers: dict[str, list[Found]] = defaultdict(list)
    for row in found:
        for value in row.bears:
            bearers[value].append(row)
    ahead = [row for row in found if row.stands]
    standing, followed = {row.place for row in ahead}, set[str]()
    while ahead:
        row = ahead.pop()
        for value in row.spreads - followed:
            followed.add(value)
            reached = [bearer for bearer in bearers[value] if bearer.place not in standing]
            standing.update(bearer.place for bearer in reached)
            ahead.extend(reached)
    return {row.place for row in found} - standing
