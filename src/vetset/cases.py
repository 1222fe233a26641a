"""The life of a case: one table of states and moves. Whatever moves a case asks this table, and nothing else does.

In it: states, events, the table, what a body's word is to a case, its drawing for the docs. Not in it: where cases are
kept (the vault), who gives verdicts (platforms), and removal, which stands beside the table: a row leaves the dataset
at the match, and no state brings it back but `refuted`.
Rules: a match is a claim, `unverified`; only a body's word makes it `confirmed`, or where the settings ask for it those
of several parties, and only from there can it be `reported`. A machine's "no match" is `undecided`: it refutes nothing.
Only people's verdicts, or the withdrawal of every list entry that hit, refute, and neither does while a body says
otherwise. The order in which bodies speak changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from vetset.records import Ruling


class CaseState(StrEnum):
    """Where a case stands."""

    UNVERIFIED = "unverified"
    SENT = "sent"
    CONFIRMED = "confirmed"
    HARMFUL_NOT_ILLEGAL = "harmful_not_illegal"
    UNDECIDED = "undecided"
    UNREACHABLE = "unreachable"
    TEST = "test"
    REFUTED = "refuted"
    REPORTED = "reported"


class CaseEvent(StrEnum):
    """What can happen to a case."""

    SEND = "send"
    VERDICT_CONFIRMED = "verdict_confirmed"
    VERDICT_ALONE = "verdict_alone"  # a body confirms, and the settings ask for more parties than have done so
    VERDICT_CONTESTED = "verdict_contested"  # people refute what another body, or the same, confirmed
    VERDICT_HARMFUL = "verdict_harmful"
    VERDICT_REFUTED = "verdict_refuted"
    NO_MATCH = "no_match"
    COULD_NOT_JUDGE = "could_not_judge"
    TEST_ENTRY = "test_entry"
    ENTRIES_WITHDRAWN = "entries_withdrawn"
    REPORT = "report"


#: A finding begins here, at the moment of the match.
INITIAL = CaseState.UNVERIFIED

_OPEN = (CaseState.SENT, CaseState.UNDECIDED, CaseState.UNREACHABLE)
_LESSER = (*_OPEN, CaseState.TEST, CaseState.REFUTED)

#: The states from which an event leads to a state. A word may come late: after another body's, or after a refutation.
_FROM: Mapping[tuple[CaseEvent, CaseState], tuple[CaseState, ...]] = {
    (CaseEvent.SEND, CaseState.SENT): (CaseState.UNVERIFIED, *_OPEN),
    (CaseEvent.VERDICT_CONFIRMED, CaseState.CONFIRMED): (*_LESSER, CaseState.HARMFUL_NOT_ILLEGAL),
    (CaseEvent.VERDICT_HARMFUL, CaseState.HARMFUL_NOT_ILLEGAL): _LESSER,
    (CaseEvent.VERDICT_ALONE, CaseState.UNDECIDED): _LESSER,
    (CaseEvent.VERDICT_CONTESTED, CaseState.UNDECIDED): _OPEN,
    (CaseEvent.VERDICT_REFUTED, CaseState.REFUTED): _OPEN,
    (CaseEvent.NO_MATCH, CaseState.UNDECIDED): _OPEN,
    (CaseEvent.COULD_NOT_JUDGE, CaseState.UNREACHABLE): (CaseState.SENT, CaseState.UNREACHABLE),
    (CaseEvent.COULD_NOT_JUDGE, CaseState.UNDECIDED): (CaseState.UNDECIDED,),
    (CaseEvent.TEST_ENTRY, CaseState.TEST): _OPEN,
    (CaseEvent.ENTRIES_WITHDRAWN, CaseState.REFUTED): (CaseState.UNVERIFIED, *_OPEN),
    (CaseEvent.REPORT, CaseState.REPORTED): (CaseState.CONFIRMED,),
}

#: The table: from a state, by an event, to a state. What is not here cannot happen.
MOVES: Mapping[tuple[CaseState, CaseEvent], CaseState] = {
    (before, event): after for (event, after), befores in _FROM.items() for before in befores
}

#: States in which the row may be in a dataset again; every other state keeps it out.
RELEASED = frozenset({CaseState.REFUTED})


class MoveRefusedError(Exception):
    """The table has no such move. Names the state and the event, and no case."""


def moved(state: CaseState, event: CaseEvent) -> CaseState:
    """The state after an event. Raises MoveRefusedError for a move that the table does not hold."""
    try:
        return MOVES[state, event]
    except KeyError:
        raise MoveRefusedError(f"a case that is {state} cannot take {event}") from None


@dataclass(frozen=True, slots=True)
class Word:
    """What one body said, and whether people said it."""

    party: str
    ruling: Ruling
    by_people: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """A case's state, and the words that it rests on. Only the functions below make another of one."""

    state: CaseState = INITIAL
    words: frozenset[Word] = frozenset()

    def parties(self, ruling: Ruling) -> frozenset[str]:
        """Whose word a ruling is."""
        return frozenset(word.party for word in self.words if word.ruling is ruling)


def sent(standing: Standing) -> Standing:
    """After it was sent to a body. A case that is settled stays what it is."""
    return _after(standing, CaseEvent.SEND)


def told(standing: Standing, word: Word, parties: int = 1) -> Standing:
    """After a body's word, where `parties` independent ones are needed to confirm. A settled case may stay as it is."""
    heard = replace(standing, words=standing.words | {word})
    return _after(heard, _event_of(word, heard, parties))


def withdrawn(standing: Standing) -> Standing:
    """After every entry that hit was withdrawn from its list. A body that confirmed outweighs that."""
    return standing if _accused(standing) else _after(standing, CaseEvent.ENTRIES_WITHDRAWN)


def reported(standing: Standing) -> Standing:
    """After an authority was told. Raises MoveRefusedError unless the case was confirmed."""
    return replace(standing, state=moved(standing.state, CaseEvent.REPORT))


def _after(standing: Standing, event: CaseEvent) -> Standing:
    if (standing.state, event) not in MOVES:
        return standing
    return replace(standing, state=moved(standing.state, event))


def _accused(standing: Standing) -> bool:
    return bool(standing.parties(Ruling.CSAM) | standing.parties(Ruling.HARMFUL))


_EVENTS: Mapping[Ruling, CaseEvent] = {
    Ruling.HARMFUL: CaseEvent.VERDICT_HARMFUL,
    Ruling.NO_MATCH: CaseEvent.NO_MATCH,
    Ruling.UNREACHABLE: CaseEvent.COULD_NOT_JUDGE,
    Ruling.TEST: CaseEvent.TEST_ENTRY,
}


def _event_of(word: Word, heard: Standing, parties: int) -> CaseEvent:
    """What a word does to a case that has heard it."""
    if word.ruling is Ruling.CSAM:
        enough = len(heard.parties(Ruling.CSAM)) >= parties
        return CaseEvent.VERDICT_CONFIRMED if enough else CaseEvent.VERDICT_ALONE
    if word.ruling is Ruling.REFUTED:
        if not word.by_people:
            return CaseEvent.NO_MATCH
        return CaseEvent.VERDICT_CONTESTED if _accused(heard) else CaseEvent.VERDICT_REFUTED
    return _EVENTS[word.ruling]


def drawn() -> str:
    """The table as a Mermaid state diagram, for the docs."""
    moves = sorted((before.value, event.value, after.value) for (before, event), after in MOVES.items())
    lines = [f"    {before} --> {after} : {event}" for before, event, after in moves]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {INITIAL.value} : match", *lines]) + "\n"
