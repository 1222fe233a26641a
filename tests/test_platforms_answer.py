"""Answers in JSON, read strictly: what is not exactly as documented is an error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bodies import made_up, pdq
from vetset.errors import ServiceError
from vetset.platforms.answer import at, exactly, items, parsed, word
from vetset.platforms.asked import answered
from vetset.records import Abilities, Question, Ruling, Sealed, Verdict


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"nul", b"NaN", b"Infinity", b"-Infinity", b'{"a": NaN}', b"\xff", b'"\xed\xa0\x80"', b"{}{}", b"'a'",
        b'{"a": 1, "a": 1}', b'{"b": {"a": 1, "a": 2}}', b"[" * 100_000, b'{"a":' * 50_000, b"9" * 31, b"\xef\xbb\xbf{}",
    ],
)  # fmt: skip
def test_what_is_no_plain_json_is_an_error(body: bytes) -> None:
    with pytest.raises(ServiceError, match="not_json"):
        parsed(body, "body")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_plain_json_is_read(value: Any) -> None:
    assert parsed(json.dumps(value).encode(), "body") == value


def test_kinds_are_exact() -> None:
    assert exactly(True, bool, "body") is True
    for value, kind in ((True, int), (1, bool), (1, float), (1.0, int), ("1", int), (None, str), ({}, list)):
        with pytest.raises(ServiceError, match="broken_answer"):
            exactly(value, kind, "body")
    assert at({"a": 1}, "a", int, "body") == 1
    for table, name in (({}, "a"), ([], "a"), ({"a": None}, "a")):
        with pytest.raises(ServiceError, match="broken_answer"):
            at(table, name, int, "body")
    assert items({}, "a", "body") == items({"a": None}, "a", "body") == []
    for listed in (1, [1], {"b": 1}):
        with pytest.raises(ServiceError, match="broken_answer"):
            items({"a": listed}, "a", "body")


def test_words_are_short_and_printable() -> None:
    assert (word("A1", "body"), word(1001, "body"), word("", "body")) == ("A1", "1001", "")
    for value in (None, True, 1.0, ["x"], {"x": "x"}, "x" * 201, "line\nfeed", "\x1b]8;;", "caf\u00e9"):
        with pytest.raises(ServiceError, match="broken_answer"):
            word(value, "body")


# --- questions ------------------------------------------------------------------------------------------------------

BODY = Abilities("body", "party", ("pdq", "other"), 50, "it learns little.")
WIDTHS = {"pdq": 32, "other": 4}
numbers = st.lists(
    st.tuples(st.sampled_from(["pdq", "other", "foreign"]), st.integers(0, 3), st.sampled_from([4, 32])), max_size=50
)


@given(numbers)
def test_each_question_gets_its_verdict_and_each_fingerprint_is_asked_once(given_: list[tuple[str, int, int]]) -> None:
    asked: list[tuple[str, bytes]] = []

    def judge(pairs: Any) -> list[Verdict]:
        asked.extend(pairs)
        return [Verdict(Ruling.CSAM, (f"{kind} {value.hex()}",)) for kind, value in pairs]

    pairs = [(kind, made_up(str(number), width)) for kind, number, width in given_]
    verdicts = answered([Question(kind, Sealed(value)) for kind, value in pairs], BODY, WIDTHS, judge)
    taken = [pair for pair in pairs if WIDTHS.get(pair[0]) == len(pair[1])]
    assert asked == list(dict.fromkeys(taken))
    for (kind, value), verdict in zip(pairs, verdicts, strict=True):
        if (kind, value) in taken:
            assert verdict.match_ids == (f"{kind} {value.hex()}",)
        else:
            assert (verdict.ruling, verdict.match_ids) == (Ruling.UNREACHABLE, ())


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_verdicts_is_an_error(count: int) -> None:
    with pytest.raises(ServiceError, match="broken_answer"):
        answered(pdq(made_up("a"), made_up("b")), BODY, WIDTHS, lambda _: [Verdict(Ruling.NO_MATCH)] * count)
