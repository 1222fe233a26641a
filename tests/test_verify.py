"""Verify as a stage: grouping and release against slow definitions, and the asking under answers that fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.errors import ServiceError
from vetset.records import Address, Case, Question, Ruling, ScreenOutcome, Sealed, Verdict
from vetset.stages.verify import SENT, WORD, Asked, Found, exhibits, questions, released, verify
from vetset.testing.judges import SHIELDLIKE, MemoryPlatform

NAMES = st.frozensets(st.sampled_from("abcdef"), max_size=3)


def case(number: int, likenesses: Iterable[str] = (), prints: Mapping[str, Question] | None = None) -> Case:
    return Case(
        f"c{number}", "s", number, ScreenOutcome.HIT, Sealed(Address(None, {})), (), prints or {}, frozenset(likenesses)
    )


def question(name: str, kind: str = "pdq") -> Question:
    return Question(kind, Sealed(name.encode()))


# --- exhibits ---------------------------------------------------------------------------------------------------------


def slowly_grouped(cases: list[Case]) -> list[set[str]]:
    """Groups joined until none shares a likeness with another."""
    groups = [({item.id}, set(item.likenesses)) for item in cases]
    for place in range(len(groups)):
        for other in range(len(groups)):
            if place != other and groups[place][1] & groups[other][1]:
                ids, names = groups.pop(max(place, other))
                groups[min(place, other)][0].update(ids)
                groups[min(place, other)][1].update(names)
                return slowly_grouped_again(groups)
    return [ids for ids, _ in groups]


def slowly_grouped_again(groups: list[tuple[set[str], set[str]]]) -> list[set[str]]:
    for place, (ids, names) in enumerate(groups):
        for other in range(place + 1, len(groups)):
            if names & groups[other][1]:
                merged = (ids | groups[other][0], names | groups[other][1])
                rest = [group for number, group in enumerate(groups) if number not in {place, other}]
                return slowly_grouped_again([*rest, merged])
    return [ids for ids, _ in groups]


@given(st.lists(NAMES, max_size=12))
def test_cases_that_share_a_likeness_are_one_exhibit_to_closure(likenesses: list[frozenset[str]]) -> None:
    cases = [case(number, names) for number, names in enumerate(likenesses)]
    found = exhibits(cases, lambda first: f"of {first}")
    assert sorted(sorted(item.id for item in exhibit.cases) for exhibit in found) == sorted(
        sorted(group) for group in slowly_grouped(cases)
    )
    assert [exhibit.id for exhibit in found] == [f"of {exhibit.cases[0].id}" for exhibit in found]
    firsts = [exhibit.cases[0].row for exhibit in found]
    assert firsts == sorted(firsts)
    assert all(min(item.row for item in exhibit.cases) == exhibit.cases[0].row for exhibit in found)


def test_each_fingerprint_is_asked_once_and_only_of_kinds_that_are_taken() -> None:
    one = {"x": question("x"), "e": question("e", "edge")}
    cases = [case(0, (), one), case(1, (), {"x": question("x"), "y": question("y")})]
    found = exhibits(cases, str)
    assert [item.name for item in questions(found, {"pdq"}, ())] == ["x", "y"]
    assert [item.name for item in questions(found, {"pdq", "edge"}, ())] == ["x", "e", "y"]
    assert [item.name for item in questions(found, {"pdq"}, {"x"})] == ["y"]


# --- asking -----------------------------------------------------------------------------------------------------------


class Memory:
    """A journal in memory; `lines` are what is durable."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        self.lines += [dict(line) for line in lines]


def asked(count: int, kind: str = "pdq") -> list[Asked]:
    return [Asked(f"{kind}{number}", question(f"{kind}{number}", kind)) for number in range(count)]


def moment() -> str:
    return "2026-11-30T00:00:00+00:00"


@given(st.integers(0, 23), st.integers(1, 7), st.data())
def test_every_verdict_is_kept_beside_its_own_fingerprint(count: int, batch: int, data: st.DataObject) -> None:
    items = asked(count)
    rulings = data.draw(st.lists(st.sampled_from(Ruling), min_size=count, max_size=count))
    verdicts = {item.name.encode(): Verdict(ruling) for item, ruling in zip(items, rulings, strict=True)}
    platform, journal = MemoryPlatform(verdicts, replace(SHIELDLIKE, batch=batch)), Memory()
    result = verify(items, platform, journal, moment)
    words = [line for line in journal.lines if line["what"] == WORD]
    assert {line["print"]: line["ruling"] for line in words} == {
        item.name: r for item, r in zip(items, rulings, strict=True)
    }
    assert {name: verdict.ruling for name, verdict in result.onward.items()} == {
        line["print"]: Ruling(line["ruling"]) for line in words
    }
    assert result.tally.rows() == count
    assert all(len(request) <= batch for request in platform.asked)
    assert len(platform.asked) == -(-count // batch)


def test_a_request_is_of_one_kind() -> None:
    items = [*asked(3), *asked(3, "edge")]
    mixed = [items[0], items[3], items[1], items[4], items[2], items[5]]
    platform = MemoryPlatform(abilities=replace(SHIELDLIKE, kinds=("pdq", "edge"), batch=2))
    verify(mixed, platform, Memory(), moment)
    assert [[name[:3] for name in request] for request in platform.asked] == [
        [b"pdq", b"pdq"], [b"pdq"], [b"edg", b"edg"], [b"edg"],
    ]  # fmt: skip


def test_what_is_sent_is_noted_before_it_is_sent() -> None:
    journal = Memory()

    class Watching(MemoryPlatform):
        def judge(self, questions: Any) -> Any:
            names = [item.fingerprint.unseal().decode() for item in questions]
            assert journal.lines[-1] == {"what": SENT, "body": "judge", "live": True, "prints": names}
            known = [line for line in journal.lines if line["what"] == WORD]
            assert len(known) == sum(map(len, self.asked))  # every answer before is durable too
            return super().judge(questions)

    verify(asked(11), Watching(), journal, moment)
    assert sum(line["what"] == WORD for line in journal.lines) == 11


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_an_answer_that_is_none_ends_the_asking_and_loses_no_other(fails_at: int) -> None:
    journal = Memory()
    with pytest.raises(ServiceError):
        verify(asked(11), MemoryPlatform(fails_at=fails_at), journal, moment)
    assert sum(line["what"] == WORD for line in journal.lines) == 5 * (fails_at - 1)
    assert sum(line["what"] == SENT for line in journal.lines) == fails_at


def test_an_answer_of_another_length_is_none() -> None:
    class Short(MemoryPlatform):
        def judge(self, questions: Any) -> Any:
            return super().judge(questions)[:-1]

    journal = Memory()
    with pytest.raises(ServiceError, match="not one answer for each question"):
        verify(asked(3), Short(), journal, moment)
    assert [line["what"] for line in journal.lines] == [SENT]


def test_no_line_holds_a_fingerprint() -> None:
    journal = Memory()
    secret = b"\x01fingerprint of a hit\x02"
    verify([Asked("name", Question("pdq", Sealed(secret)))], MemoryPlatform(), journal, moment)
    assert secret.hex() not in repr(journal.lines)
    assert repr(secret)[2:-1] not in repr(journal.lines)


# --- release ----------------------------------------------------------------------------------------------------------

FOUND = st.lists(st.tuples(st.booleans(), NAMES, NAMES), max_size=10)


def slowly_standing(found: list[Found]) -> set[tuple[str, int]]:
    """Rows that stand, and over and over those that bear what any of them spreads."""
    standing = {row.place for row in found if row.stands}
    while True:
        spread = {value for row in found if row.place in standing for value in row.spreads}
        more = {row.place for row in found if row.bears & spread} - standing
        if not more:
            return standing
        standing |= more


@given(FOUND)
def test_a_row_is_released_when_nothing_that_stands_reaches_it(
    rows: list[tuple[bool, frozenset[str], frozenset[str]]],
) -> None:
    found = [
        Found(("s", number), stands, bears, bears | spreads) for number, (stands, bears, spreads) in enumerate(rows)
    ]
    assert released(found) == {row.place for row in found} - slowly_standing(found)


@given(FOUND)
def test_what_stands_is_never_released_and_without_refutation_nothing_is(
    rows: list[tuple[bool, frozenset[str], frozenset[str]]],
) -> None:
    found = [Found(("s", number), stands, bears, bears) for number, (stands, bears, _) in enumerate(rows)]
    assert not released(found) & {row.place for row in found if row.stands}
    assert not released([replace(row, stands=True) for row in found])
