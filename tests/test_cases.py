"""The table of cases: what it allows, and above all what it does not."""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset import cases
from vetset.cases import (
    INITIAL,
    MOVES,
    RELEASED,
    CaseEvent,
    CaseState,
    MoveRefusedError,
    Standing,
    Word,
    drawn,
    moved,
    reported,
    sent,
    told,
    withdrawn,
)
from vetset.records import Ruling

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
def test_nothing_is_confirmed_that_was_neither_sent_nor_released(events: list[CaseEvent]) -> None:
    states = walk(events)
    for place, state in enumerate(states):
        if state == CaseState.CONFIRMED:
            assert {CaseState.SENT, CaseState.REFUTED} & set(states[:place])


def test_a_machines_no_match_refutes_nothing() -> None:
    after_no_match = {after for (_, event), after in MOVES.items() if event == CaseEvent.NO_MATCH}
    assert after_no_match == {CaseState.UNDECIDED}
    refuting = {event for (_, event), after in MOVES.items() if after == CaseState.REFUTED}
    assert refuting == {CaseEvent.VERDICT_REFUTED, CaseEvent.ENTRIES_WITHDRAWN}


def test_only_a_refuted_row_comes_back_and_only_a_bodys_word_takes_it_out_again() -> None:
    assert {CaseState.REFUTED} == RELEASED
    out = {event for state, event in MOVES if state in RELEASED}
    assert out == {CaseEvent.VERDICT_CONFIRMED, CaseEvent.VERDICT_HARMFUL, CaseEvent.VERDICT_ALONE}


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


# --- words ------------------------------------------------------------------------------------------------------------

PARTIES = ("one", "two", "three")
WORDS = st.builds(Word, st.sampled_from(PARTIES), st.sampled_from(Ruling), st.booleans())


def after(words: list[Word], parties: int = 1) -> Standing:
    standing = sent(Standing())
    for word in words:
        standing = told(standing, word, parties)
    return standing


def slow_state(words: list[Word], parties: int) -> CaseState:
    """What a case is by the weightiest of its words, said without any table."""
    csam = {word.party for word in words if word.ruling is Ruling.CSAM}
    harmful = any(word.ruling is Ruling.HARMFUL for word in words)
    refuted = any(word.ruling is Ruling.REFUTED and word.by_people for word in words)
    if len(csam) >= parties:
        return CaseState.CONFIRMED
    if harmful:
        return CaseState.HARMFUL_NOT_ILLEGAL
    if csam:
        return CaseState.UNDECIDED
    if refuted:
        return CaseState.REFUTED
    if any(word.ruling in {Ruling.NO_MATCH, Ruling.REFUTED} for word in words):
        return CaseState.UNDECIDED
    return CaseState.UNREACHABLE if words else CaseState.SENT


@given(st.lists(WORDS.filter(lambda word: word.ruling is not Ruling.TEST), max_size=6), st.integers(1, 3))
def test_the_weightiest_words_decide_in_whatever_order_they_come(words: list[Word], parties: int) -> None:
    assert after(words, parties).state is slow_state(words, parties)


@given(st.lists(WORDS, max_size=6), st.integers(1, 3))
def test_fewer_parties_than_the_policy_asks_confirm_nothing(words: list[Word], parties: int) -> None:
    state = after(words, parties).state
    csam = {word.party for word in words if word.ruling is Ruling.CSAM}
    assert (state is CaseState.CONFIRMED) == (len(csam) >= parties)


@given(st.lists(WORDS, max_size=6))
def test_no_machine_releases_a_row(words: list[Word]) -> None:
    machines = [Word(word.party, word.ruling) for word in words]
    assert after(machines).state not in RELEASED


@given(st.lists(WORDS, max_size=6), st.sampled_from([Ruling.CSAM, Ruling.HARMFUL]))
def test_nothing_is_released_that_any_body_accuses(words: list[Word], ruling: Ruling) -> None:
    for parties in (1, 2):
        standing = after([*words, Word("one", ruling)], parties)
        assert standing.state not in RELEASED
        assert withdrawn(standing).state not in RELEASED


def test_one_party_twice_is_one_party() -> None:
    twice = [Word("one", Ruling.CSAM), Word("one", Ruling.CSAM, by_people=True)]
    assert after(twice, parties=2).state is CaseState.UNDECIDED
    assert after([*twice, Word("two", Ruling.CSAM)], parties=2).state is CaseState.CONFIRMED


def test_entries_that_were_withdrawn_release_what_nobody_judged() -> None:
    assert withdrawn(Standing()).state is CaseState.REFUTED
    assert withdrawn(after([Word("one", Ruling.NO_MATCH)])).state is CaseState.REFUTED
    late = told(withdrawn(Standing()), Word("one", Ruling.CSAM))
    assert late.state is CaseState.CONFIRMED


def test_only_what_is_confirmed_can_be_reported_and_that_stays() -> None:
    confirmed = after([Word("one", Ruling.CSAM)])
    told_of = reported(confirmed)
    assert told_of.state is CaseState.REPORTED
    assert told(told_of, Word("two", Ruling.REFUTED, by_people=True)).state is CaseState.REPORTED
    assert sent(told_of).state is CaseState.REPORTED
    for ruling in set(Ruling) - {Ruling.CSAM}:
        with pytest.raises(MoveRefusedError):
            reported(after([Word("one", ruling, by_people=True)]))


def test_no_other_module_moves_a_case() -> None:
    """Elsewhere a state may be read and counted; the table, its events and `Standing`'s parts are this module's alone."""
    package = Path(cases.__file__).parent
    for path in package.rglob("*.py"):
        if path.name == "cases.py":
            continue
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "vetset.cases":
                assert {alias.name for alias in node.names} <= OTHERS_MAY_USE, f"{path}:{node.lineno}"
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "cases":
                assert node.attr in OTHERS_MAY_USE, f"{path}:{node.lineno} moves a case by itself"
            if isinstance(node, ast.Call) and ast.unparse(node.func) in standings_of(tree):
                assert not node.args, f"{path}:{node.lineno} makes a standing of its own"
                assert not node.keywords, f"{path}:{node.lineno} makes a standing of its own"
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "replace":
                assert "state" not in {word.arg for word in node.keywords}, f"{path}:{node.lineno} sets a state"


def standings_of(tree: ast.Module) -> set[str]:
    """The spellings by which a module could make a standing."""
    names = [alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
             if node.module == "vetset.cases" and alias.name == "Standing"]  # fmt: skip
    return {"cases.Standing", *(alias.asname or alias.name for alias in names)}


#: What reads a state, and the functions that make a standing of another. `Standing()` elsewhere is where a case begins.
OTHERS_MAY_USE = {
    "INITIAL", "RELEASED", "CaseState", "MoveRefusedError", "Standing", "Word", "reported", "sent", "told", "withdrawn",
}  # fmt: skip
