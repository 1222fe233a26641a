"""The life of a case: one table of states and moves. Whatever moves a case asks this table, and nothing else does.

In it: states, events, the table, its drawing for the docs. Not in it: where cases are kept (the vault), who gives
verdicts (platforms), and removal, which stands beside the table: a row leaves the dataset at the match, and no state
brings it back but `refuted`.
Rules: a match is a claim, `unverified`; only a body's word makes it `confirmed`, and only from there can it be
`reported`. A machine's "no match" is `undecided`: it refutes nothing. Only people's verdicts, or the withdrawal of
every list entry that hit, refute.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


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
    VERDICT_HARMFUL = "verdict_harmful"
    VERDICT_REFUTED = "verdict_refuted"
    NO_MATCH = "no_match"
    COULD_NOT_JUDGE = "could_not_judge"
    TEST_ENTRY = "test_entry"
    ENTRIES_WITHDRAWN = "entries_withdrawn"
    REPORT = "report"


#: A finding begins here, at the moment of the match.
INITIAL = CaseState.UNVERIFIED

_VERDICTS: Mapping[CaseEvent, CaseState] = {
    CaseEvent.VERDICT_CONFIRMED: CaseState.CONFIRMED,
    CaseEvent.VERDICT_HARMFUL: CaseState.HARMFUL_NOT_ILLEGAL,
    CaseEvent.VERDICT_REFUTED: CaseState.REFUTED,
    CaseEvent.NO_MATCH: CaseState.UNDECIDED,
    CaseEvent.COULD_NOT_JUDGE: CaseState.UNREACHABLE,
    CaseEvent.TEST_ENTRY: CaseState.TEST,
}
_ASKED_AGAIN = (CaseState.UNVERIFIED, CaseState.UNDECIDED, CaseState.UNREACHABLE)
_WITHDRAWABLE = (CaseState.UNVERIFIED, CaseState.SENT, CaseState.UNDECIDED, CaseState.UNREACHABLE)

#: The table: from a state, by an event, to a state. What is not here cannot happen.
MOVES: Mapping[tuple[CaseState, CaseEvent], CaseState] = {
    **{(state, CaseEvent.SEND): CaseState.SENT for state in _ASKED_AGAIN},
    **{(CaseState.SENT, event): state for event, state in _VERDICTS.items()},
    **{(state, CaseEvent.ENTRIES_WITHDRAWN): CaseState.REFUTED for state in _WITHDRAWABLE},
    (CaseState.CONFIRMED, CaseEvent.REPORT): CaseState.REPORTED,
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


def drawn() -> str:
    """The table as a Mermaid state diagram, for the docs."""
    moves = sorted((before.value, event.value, after.value) for (before, event), after in MOVES.items())
    lines = [f"    {before} --> {after} : {event}" for before, event, after in moves]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {INITIAL.value} : match", *lines]) + "\n"
