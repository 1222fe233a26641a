"""Kernels: the conditions of a policy as masks over rows, each against a slow definition."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.batches import paddings, sealed
from vetset import kernels
from vetset.records import Column

# --- scores -------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.one_of(st.none(), st.floats(), st.sampled_from([0.45, 0.95])), max_size=12),
    st.sampled_from([0.0, 0.45, 0.95, 1.0]),
    paddings(),
)
def test_above_is_strictly_above_and_never_null_or_nan(
    values: list[float | None], limit: float, padding: dict[str, int]
) -> None:
    mask = kernels.above(sealed(**padding, punsafe=values), Column.PUNSAFE, limit)
    assert mask.tolist() == [value is not None and not math.isnan(value) and value > limit for value in values]
    assert mask.dtype == bool


def test_the_limit_itself_is_not_above() -> None:
    rows = sealed(punsafe=[0.95, math.nextafter(0.95, 1), math.inf, -math.inf, math.nan, None])
    assert kernels.above(rows, Column.PUNSAFE, 0.95).tolist() == [False, True, True, False, False, False]


# --- one of some words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "met"),
    [
        (b"NSFW", True),
        (b"nsfw", True),
        (b" Nsfw\t", True),
        (b"UNSURE", True),
        (b"UNLIKELY", False),
        (b"NSFW!", False),
        (b"N SFW", False),
        (b"NSFWUNSURE", False),
        (b"", False),
        (b"\xff", False),
        (None, False),
    ],
)
def test_one_of_compares_the_whole_text_case_aside(value: bytes | None, met: bool) -> None:
    assert kernels.one_of(sealed(nsfw=[value]), Column.NSFW, frozenset({"NSFW", "unsure "})).tolist() == [met]


def test_one_of_nothing_is_met_by_nothing() -> None:
    assert not kernels.one_of(sealed(nsfw=[b"NSFW", b"", None]), Column.NSFW, frozenset()).any()


# --- words --------------------------------------------------------------------------------------------------------


def met_by(words: list[str], *texts: bytes | None) -> list[bool]:
    mask: list[bool] = kernels.with_words(sealed(text=texts), Column.TEXT, kernels.word_pattern(words)).tolist()
    return mask


@pytest.mark.parametrize(
    ("word", "text", "met"),
    [
        ("plum", "plum", True),
        ("plum", "a ripe plum, cut", True),
        ("plum", "PLUM", True),
        ("PLUM", "plum", True),
        ("plum", "plumage", False),
        ("plum", "aplum", False),
        ("plum", "plum_tree", False),
        ("plum", "plum7", False),
        ("plum", "plum-tree", True),
        ("plum", "'plum'", True),
        ("plum", "plum\u0301", True),
        ("plum", "éplum", False),
        ("plum", "plumé", False),
        ("plum", "梅plum", False),
        ("plum", "plum\U0001f6b2", True),
        ("plum", "plum\U00010400", False),
        ("red plum", "one red plum", True),
        ("red plum", "red plums", False),
        ("red plum", "plum red", False),
        ("straße", "STRASSE", True),
        ("STRASSE", "straße", True),
        ("ὀδός", "ὈΔΌΣ", True),
        ("i\u0307", "\u0130", True),
        ("\U00010400", "\U00010428", True),
        ("\U0001f6b2", "a \U0001f6b2 b", True),
        ("c++", "in c++ only", True),
        ("c++", "in c+ only", False),
        ("a.b", "a.b", True),
        ("a.b", "axb", False),
        (".*", "anything", False),
        ("(", "a ( b", True),
        ("[a-z]", "q", False),
        ("\\w", "w", False),
    ],
)
def test_a_word_is_found_whole_and_case_aside(word: str, text: str, met: bool) -> None:
    assert met_by([word], text.encode()) == [met]


def test_null_empty_and_broken_texts_are_no_trouble() -> None:
    assert met_by(["plum"], None, b"", b"\xff\xfe", b"\xff plum \xff", b"plum\xff") == [False, False, False, True, True]


@pytest.mark.parametrize("words", [[], [""], [" "], ["", "\t"]])
def test_without_words_nothing_is_met(words: list[str]) -> None:
    assert met_by(words, b"", b" ", b"anything at all", b".") == [False] * 4


def test_a_blank_among_the_words_adds_nothing() -> None:
    assert met_by(["", "plum"], b"", b"a pear", b"a plum") == [False, False, True]


@given(st.permutations(["plum", "red plum", "plum tree", "red"]))
def test_the_order_of_words_changes_nothing(words: list[str]) -> None:
    assert kernels.word_pattern(words).pattern == kernels.word_pattern(sorted(words)).pattern


PIECES = st.lists(
    st.sampled_from(["plum", "red", "Red Plum", " ", "-", "_", "é", "7", "\U0001f6b2", "ß", "SS"]), max_size=6
)


@given(st.lists(st.sampled_from(["plum", "red plum", "ss", "é", "red"]), min_size=1, max_size=3), PIECES.map("".join))
@example(["red plum"], "Red PlumRed Plum")
def test_words_agree_with_a_search_place_by_place(words: list[str], text: str) -> None:
    folded = text.casefold()
    assert met_by(words, text.encode()) == [any(stands_in(folded, word.casefold()) for word in words)]


def stands_in(text: str, word: str) -> bool:
    """Slow and obvious: the word begins at some place with no word character on either side."""
    for start in range(len(text)):
        around = text[max(0, start - 1) : start] + text[start + len(word) : start + len(word) + 1]
        if text.startswith(word, start) and not re.search(r"\w", around):
            return True
    return False


# --- hosts --------------------------------------------------------------------------------------------------------


def lies_on(url: bytes | None, *hosts: str) -> bool:
    (met,) = kernels.on_hosts(sealed(url=[url]), frozenset(hosts)).tolist()
    return bool(met)


@pytest.mark.parametrize(
    "url",
    [
        b"http://example.org/a",
        b"https://img.example.org/a",
        b"https://a.b.c.example.org",
        b"HTTP://EXAMPLE.ORG:8080/",
        b"http://user@example.org/",
        b"http://example.org./a",
        b"http://img.example.org.:80/",
        b"  http://example.org/",
        b"http://ex%61mple.org/",
        b"http:\\\\example.org\\a",
    ],
)
def test_a_host_covers_itself_and_what_lies_below(url: bytes) -> None:
    assert lies_on(url, "example.org")


@pytest.mark.parametrize(
    "url",
    [
        b"http://badexample.org/",
        b"http://example.org.evil.example/",
        b"http://org/",
        b"http://example.com/?u=http://example.org/",
        b"http://example.org@example.com/",
        b"http://example.com/#@example.org",
        b"http://example.com\\@example.org/",
        b"example.org/a",
        b"//example.org/a",
        b"mailto:someone@example.org",
        b"http://[::1]/",
        b"http://[::1/",
        b"\xffhttp://example.org/",
        b"",
        None,
    ],
)
def test_a_host_covers_nothing_else(url: bytes | None) -> None:
    assert not lies_on(url, "example.org")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("Example.ORG", b"http://example.org/"),
        ("example.org.", b"http://example.org/"),
        ("bücher.example", b"http://xn--bcher-kva.example/"),
        ("xn--bcher-kva.example", "http://img.bücher.example/".encode()),
        ("straße.example", "http://STRAßE.example/".encode()),
        ("[2001:db8::1]", b"http://[2001:DB8:0::1]:80/"),
        ("2001:db8::1", b"http://[2001:db8::1]/"),
        ("192.0.2.1", b"http://0xC0.0.2.1/"),
        ("org", b"http://example.org/"),
        ("exam_ple.org", b"http://exam_ple.org/"),
    ],
)
def test_a_host_may_be_given_in_any_spelling(host: str, url: bytes) -> None:
    assert lies_on(url, host)


@pytest.mark.parametrize(
    "host", ["", ".", "example.org/path", "http://example.org", "user@example.org", "*.example.org"]
)
def test_what_is_no_host_is_never_cut_down_to_one(host: str) -> None:
    assert not lies_on(b"http://example.org/", host)
    assert not lies_on(b"http://http/", host)


@given(
    st.lists(st.sampled_from(["a", "b", "c", "example"]), min_size=1, max_size=4),
    st.lists(st.sampled_from(["a", "b", "c", "example"]), min_size=1, max_size=4),
)
def test_covering_is_a_matter_of_whole_labels_from_the_end(labels: list[str], host: list[str]) -> None:
    covered = labels[-len(host) :] == host
    assert lies_on(f"http://{'.'.join(labels)}.example/".encode(), f"{'.'.join(host)}.example") == covered


def test_one_of_several_hosts_is_enough_and_none_is_met_by_nothing() -> None:
    rows = sealed(before=1, url=[b"http://a.example/", b"http://b.example/", b"http://c.example/", None])
    assert kernels.on_hosts(rows, frozenset({"a.example", "b.example"})).tolist() == [True, True, False, False]
    assert not kernels.on_hosts(rows, frozenset()).any()
