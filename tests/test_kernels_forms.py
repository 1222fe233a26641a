"""Kernels: the URL column under a form, made quickly for the plainest addresses, against the definition of each form."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.batches import paddings, sealed, values_of
from vetset import kernels
from vetset.kernels import url
from vetset.records import UrlForm

pytestmark = pytest.mark.usefixtures("either_kernels")

QUICK = (UrlForm.TX, UrlForm.WHATWG)


def check(values: list[bytes | None], padding: dict[str, int] | None = None) -> None:
    """All forms of a column, each against its definition value by value."""
    rows = sealed(**(padding or {}), url=values)
    for form in UrlForm:
        made = kernels.url_values(rows, form).unseal().to_pylist()
        assert made == [None if value is None else kernels.FORM_OF[form](value) for value in values], form


def settled(value: bytes) -> bool:
    """Whether the quick way takes the value; RE2's end of text is Python's `\\Z`."""
    return re.search(url.SETTLED.replace(r"\z", r"\Z").encode(), value) is not None


# --- hostile: whatever a step of the parser might touch -------------------------------------------------------------

NEVER_QUICK = [
    b"http://example.org",
    b"http://example.org?a",
    b"http://example.org/?",
    b"http://example.org/#",
    b"http://example.org/a#b",
    b"http://example.org/a?b#",
    b"http://example.org/.",
    b"http://example.org/..",
    b"http://example.org/a/./b",
    b"http://example.org/a/../b",
    b"http://example.org/a/..",
    b"http://example.org/a/.%2e/b",
    b"http://example.org/a/%2e",
    b"http://example.org/a/%2E%2e/b",
    b"http://example.org/a\\b",
    b"http://example.org\\a",
    b"http:/example.org/a",
    b"http:///example.org/a",
    b"HTTP://example.org/a",
    b"http://Example.org/a",
    b"http://example.org./a",
    b"http://example..org/a",
    b"http://.example.org/a",
    b"http://example.org:80/a",
    b"http://example.org:/a",
    b"https://example.org:443/a",
    b"http://user@example.org/a",
    b"http://@example.org/a",
    b"http://1.2.3.4/a",
    b"http://0x7f.1/a",
    b"http://127.1/a",
    b"http://2130706433/a",
    b"http://example.0/a",
    b"http://example.0x/a",
    b"http://example.0x1f/a",
    b"http://[::1]/a",
    b"http://xn--a/b",
    b"http://xn--bcher-kva.example/b",
    b"http://a.xn--/b",
    b"http://XN--A.example/b",
    b"http://%65xample.org/a",
    b"http://exa_mple.org/a",
    b"http://-example.org/a",
    b"http://example-.org/a",
    b"http:///a",
    b"http://example.org/a b",
    b" http://example.org/a",
    b"http://example.org/a ",
    b"http://example.org/a\n",
    b"http://example.org/a\nb",
    b"\nhttp://example.org/a",
    b"http://other/\nhttp://example.org/a",
    b"http://exa\tmple.org/a",
    b"http://example.org/a\x00",
    b"http://example.org/a\x7f",
    b'http://example.org/"',
    b"http://example.org/<",
    b"http://example.org/a`",
    b"http://example.org/{a}",
    b"http://example.org/^",
    b"http://example.org/a?it's",
    "http://example.org/é".encode(),
    "http://bücher.example/".encode(),
    "http://example。org/a".encode(),
    b"http://example.org/\xff",
    b"ftp://example.org/a",
    b"//example.org/a",
    b"example.org/a",
    b"",
    b"javascript:http://example.org/a",
]


@pytest.mark.parametrize("value", NEVER_QUICK, ids=repr)
def test_what_the_rules_might_touch_goes_the_slow_way_and_agrees(value: bytes) -> None:
    assert not settled(value)
    check([value])
    check([b"http://example.org/a", value, None, b"https://example.org/b"])


QUICKLY = [
    b"http://example.org/",
    b"https://example.org/a.jpg",
    b"https://a-b.example.org//a///b/",
    b"http://localhost/A%20b/c.%2e.jpg?q=1&r=/./../%2e?",
    b"http://9gag.example/a..b/c./d:80@e;f=(g)!h*i,j$k~l+m",
    b"https://a1.b2.c3d/x?=&&",
]


@pytest.mark.parametrize("value", QUICKLY, ids=repr)
def test_what_is_in_normal_form_goes_the_quick_way_and_agrees(value: bytes) -> None:
    assert settled(value)
    check([value])
    check([None, value, b"", value])


# --- whatever else ----------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *("http://", "https://", "HTTP://", "//", "/", "/.", "/..", "/.a", "/%2e", "/%2E%2E", "?", "#", "@"),
        *(":", ":80", ":443", ".", "..", "-", "--", "xn--", "www.", "example", ".org", ".0", "0x7f", "1"),
        *"[]|^`{}'\"<>\\%&=+~!*(),;$_aZ\t\n\r\x00\x0b\x1f\x7f",
        *("%20", "%zz", "\u00e9", "\u3002", "\u00ad", "\ufb01"),
    ]
).map(str.encode)
LABEL = st.one_of(st.sampled_from(["www", "img-2", "9", "a-b-c"]), st.text("az09", min_size=1, max_size=4))
LAST_LABEL = st.sampled_from(["org", "x", "a-1", "z9", "example"])
START = "AZaz09_~!$&()*+,;=:@-"
SEGMENT = st.one_of(st.just(""), st.builds(str.__add__, st.sampled_from(START), st.text(START + ".%", max_size=6)))


@st.composite
def plainest(draw: st.DrawFn) -> bytes:
    """An address that is in normal form by its looks."""
    host = ".".join([*draw(st.lists(LABEL, max_size=3)), draw(LAST_LABEL)])
    path = "".join(f"/{segment}" for segment in draw(st.lists(SEGMENT, min_size=1, max_size=4)))
    query = draw(st.one_of(st.just(""), st.text(START + ".%/?", min_size=1, max_size=6).map("?{}".format)))
    return f"{draw(st.sampled_from(['http', 'https']))}://{host}{path}{query}".encode()


PLAINEST = plainest()


@st.composite
def nearly_settled(draw: st.DrawFn) -> bytes:
    """An address in normal form with something put into it, or taken out."""
    value = draw(PLAINEST)
    place = draw(st.integers(0, len(value)))
    return value[:place] + draw(st.one_of(PIECES, st.binary(max_size=2))) + value[place + draw(st.integers(0, 2)) :]


ANY = st.one_of(
    PLAINEST,
    nearly_settled(),
    st.lists(PIECES, max_size=10).map(b"".join),
    st.lists(PIECES, max_size=8).map(lambda pieces: b"http://" + b"".join(pieces)),
    st.binary(max_size=20),
    st.none(),
)


@settings(max_examples=200)
@given(values=st.lists(ANY, max_size=12), padding=paddings())
@example(values=[], padding={"before": 0, "after": 0})
@example(values=[None, None], padding={"before": 2, "after": 1})
@example(values=[b"", b""], padding={"before": 0, "after": 0})
def test_a_column_under_a_form_agrees_with_the_definition(values: list[bytes | None], padding: dict[str, int]) -> None:
    check(values, padding)


@settings(max_examples=200)
@given(PLAINEST)
def test_an_address_of_the_plainest_kind_is_its_own_normal_form(value: bytes) -> None:
    assert settled(value)
    assert kernels.whatwg_of(value) == value
    assert kernels.tx_of(value) == value.partition(b"://")[2].lower()


@pytest.mark.parametrize("character", range(256))
@pytest.mark.parametrize("around", [b"http://%bexample.org/a", b"http://example.o%b/a", b"http://example.org/%b", b"http://example.org/a%b/b?c", b"http://example.org/?%b", b"http://example.org/a%b"])  # fmt: skip
def test_every_byte_in_every_part_agrees(around: bytes, character: int) -> None:
    check([around % bytes([character])])


@pytest.mark.parametrize("form", QUICK)
def test_the_quick_way_asks_the_definition_for_nothing_it_can_tell_itself(
    form: UrlForm, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    def noting(value: bytes) -> bytes:
        asked.append(value)
        return b"made"

    monkeypatch.setitem(url.FORM_OF, form, noting)
    odd = "http://a/é".encode()
    values = [QUICKLY[0], odd, None, QUICKLY[1]]
    made: Any = kernels.url_values(sealed(url=values), form).unseal().to_pylist()
    assert asked == [odd]
    assert made[1] == b"made"
    assert made[2] is None


# --- digests that are known already -----------------------------------------------------------------------------------


@given(
    pairs=st.lists(st.tuples(*[st.one_of(st.none(), st.just(b""), st.sampled_from([b"a", b"b"]))] * 2), max_size=10),
    algorithm=st.sampled_from([("md5", 16), ("sha1", 20), ("sha256", 32)]),
)
def test_digests_that_are_known_change_nothing(
    pairs: list[tuple[bytes | None, bytes | None]], algorithm: tuple[str, int]
) -> None:
    known, wanted = (values_of(*(pair[place] for pair in pairs)) for place in (0, 1))
    plain = kernels.digests_of(wanted, *algorithm)
    quick = kernels.digests_of(wanted, *algorithm, (known, kernels.digests_of(known, *algorithm)))
    assert (quick.data == plain.data).all()
    assert (quick.present == plain.present).all()
    assert not quick.data[~quick.present].any()
    assert quick.malformed == plain.malformed == 0
    defined = [pair[1] and kernels.digest_of(pair[1], algorithm[0]) for pair in pairs if pair[1]]
    assert [row.tobytes() for row, pair in zip(plain.data, pairs, strict=True) if pair[1]] == defined


def test_known_digests_are_taken_and_not_made_again() -> None:
    known = values_of(b"a", b"b", None)
    marks = kernels.digests_of(known, "md5", 16)
    marked = kernels.Digests(np.full_like(marks.data, 0xFF), marks.present)
    taken = kernels.digests_of(values_of(b"a", b"c", b"d"), "md5", 16, (known, marked))
    assert (taken.data[0] == 0xFF).all()
    assert taken.data[1].tobytes() == kernels.digest_of(b"c", "md5")
    assert taken.data[2].tobytes() == kernels.digest_of(b"d", "md5")
