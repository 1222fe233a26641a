"""The table of cases: what it allows, and above all what it does not."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.cases import INITIAL, MOVES, RELEASED, CaseEvent, CaseState, MoveRefusedError, drawn, moved

EVENTS = st.lists(st.sampled_from(CaseEvent), max_size=12)


def walk(events: list[CaseEvent]) -> list[CaseState]:
    """The states of a case that takes what events it can."""
    states = [INITIAL]
    for event in events:
        if (states[-1], event) in MOVES:
            states.append(moved(states[-1], event))
    return states


@given(EVENTS)
def test_nothing_is_reported_that_was_not_confirmed_just_before(events: list[CaseEvent]) -> None:
    states = walk(events)
    for before, after in pairwise(states):
        if after == CaseState.REPORTED:
            assert before == CaseState.CONFIRMED


@given(EVENTS)
def test_nothing_is_confirmed_that_was_not_sent_just_before(events: list[CaseEvent]) -> None:
    states = walk(events)
    for before, after in pairwise(states):
        if after == CaseState.CONFIRMED:
            assert before == CaseState.SENT


def test_a_machines_no_match_refutes_nothing() -> None:
    after_no_match = {after for (_, event), after in MOVES.items() if event == CaseEvent.NO_MATCH}
    assert after_no_match == {CaseState.UNDECIDED}
    refuting = {event for (_, event), after in MOVES.items() if after == CaseState.REFUTED}
    assert refuting == {CaseEvent.VERDICT_REFUTED, CaseEvent.ENTRIES_WITHDRAWN}


def test_only_a_refuted_row_comes_back() -> None:
    assert {CaseState.REFUTED} == RELEASED
    assert not [event for state, event in MOVES if state in RELEASED]


def test_what_a_body_confirmed_no_withdrawal_undoes() -> None:
    for state in (CaseState.CONFIRMED, CaseState.HARMFUL_NOT_ILLEGAL, CaseState.REPORTED):
        with pytest.raises(MoveRefusedError, match="cannot take entries_withdrawn"):
            moved(state, CaseEvent.ENTRIES_WITHDRAWN)


def test_every_state_is_reached_and_every_event_used() -> None:
    reached, new = {INITIAL}, {INITIAL}
    while new:
        new = {after for (before, _), after in MOVES.items() if before in reached} - reached
        reached |= new
    assert reached == set(CaseState)
    assert {event for _, event in MOVES} == set(CaseEvent)


@pytest.mark.parametrize("state", list(CaseState))
@pytest.mark.parametrize("event", list(CaseEvent))
def test_the_table_is_the_only_way(state: CaseState, event: CaseEvent) -> None:
    if (state, event) in MOVES:
        assert moved(state, event) == MOVES[state, event]
    else:
        with pytest.raises(MoveRefusedError):
            moved(state, event)


def test_the_drawing_shows_every_move_once() -> None:
    lines = drawn().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert len(lines) == 2 + len(MOVES)
    assert len(set(lines)) == len(lines)
    for (before, event), after in MOVES.items():
        assert f"    {before.value} --> {after.value} : {event.value}" in lines
