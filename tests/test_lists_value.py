"""How a source may write a value: what is taken, and why the rest is not."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.hashlists.account import MAX_LINES_KEPT, Account, Reason
from vetset.hashlists.value import MAX_VALUE_BYTES, value_of
from vetset.records import WIDTH_BYTES, Signal

HEX = re.compile(b"[0-9A-F]*")
DIGESTS = [signal for signal in Signal if signal is not Signal.URL]


@pytest.mark.parametrize("signal", DIGESTS)
@given(data=st.data())
def test_hex_of_any_case_is_the_digest(signal: Signal, data: st.DataObject) -> None:
    value = data.draw(st.binary(min_size=WIDTH_BYTES[signal], max_size=WIDTH_BYTES[signal]))
    text = "".join(data.draw(st.sampled_from([c.lower(), c.upper()])) for c in value.hex())
    space = data.draw(st.sampled_from(["", " ", "\t", " \r"]))
    assert value_of(signal, f"{space}{text}{space}".encode()) == value


@pytest.mark.parametrize("signal", DIGESTS)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda _: b"", Reason.NO_VALUE),
        (lambda _: b" \t", Reason.NO_VALUE),
        (lambda text: text[:-1], Reason.WRONG_LENGTH),
        (lambda text: text + b"0", Reason.WRONG_LENGTH),
        (lambda text: text + b"00", Reason.WRONG_LENGTH),
        (lambda _: b"a" * (MAX_VALUE_BYTES + 1), Reason.TOO_LONG),
    ],
)
def test_digests_of_another_length_are_none(signal: Signal, change: Callable[[bytes], bytes], reason: Reason) -> None:
    assert value_of(signal, change(b"ab" * WIDTH_BYTES[signal])) == reason


@pytest.mark.parametrize("signal", [signal for signal in DIGESTS if signal is not Signal.PHOTODNA])
@pytest.mark.parametrize("bad", [b"g", b"\xff", b"-", b"\x00", b" ", "é".encode()])
def test_digests_with_a_stranger_among_the_digits_are_none(signal: Signal, bad: bytes) -> None:
    text = b"ab" * WIDTH_BYTES[signal]
    middle = len(text) // 2
    assert value_of(signal, text[:middle] + bad + text[middle + len(bad) :]) == Reason.NOT_HEX


@given(value=st.binary(min_size=20, max_size=20).filter(lambda value: not HEX.fullmatch(base64.b32encode(value))))
def test_sha1_may_be_base32_of_any_case(value: bytes) -> None:
    text = base64.b32encode(value)
    assert len(text) == 32
    assert value_of(Signal.SHA1, text) == value
    assert value_of(Signal.SHA1, text.lower()) == value


def test_an_md5_is_no_sha1_in_base32_though_its_characters_would_do() -> None:
    md5_of_fitting_digits = b"abcdef234567abcdef234567abcdef23"
    assert len(md5_of_fitting_digits) == 32
    assert value_of(Signal.SHA1, md5_of_fitting_digits) == Reason.WRONG_LENGTH
    assert value_of(Signal.MD5, md5_of_fitting_digits) == bytes.fromhex(md5_of_fitting_digits.decode())


@pytest.mark.parametrize("signal", [Signal.MD5, Signal.SHA256, Signal.URL_SHA1, Signal.PDQ])
def test_base32_is_for_sha1_alone(signal: Signal) -> None:
    assert value_of(signal, base64.b32encode(bytes(range(200, 220)))) == Reason.NOT_HEX


@given(value=st.binary(min_size=144, max_size=144))
def test_photodna_is_base64_of_144_bytes_or_hex(value: bytes) -> None:
    assert value_of(Signal.PHOTODNA, base64.b64encode(value)) == value
    assert value_of(Signal.PHOTODNA, value.hex().encode()) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (base64.b64encode(bytes(range(143))), Reason.WRONG_LENGTH),
        (base64.b64encode(bytes(147)), Reason.WRONG_LENGTH),
        (base64.b64encode(bytes(144))[:-1] + b"!", Reason.NOT_BASE64),
        (base64.b64encode(bytes(144))[:100] + b"\n" + base64.b64encode(bytes(144))[100:], Reason.NOT_BASE64),
        (b"a1a1a1...", Reason.NOT_BASE64),
        ("é" * 96, Reason.NOT_BASE64),
    ],
)
def test_other_photodna_is_none(text: bytes | str, reason: Reason) -> None:
    assert value_of(Signal.PHOTODNA, text if isinstance(text, bytes) else text.encode()) == reason


@given(text=st.text(min_size=1, max_size=80))
def test_a_url_is_any_text_less_the_space_around_it(text: str) -> None:
    wanted = text.encode().strip(b" \t\r\n")
    found = value_of(Signal.URL, text.encode())
    if not wanted:
        assert found == Reason.NO_VALUE
    elif b"\n" in wanted or b"\r" in wanted:
        assert found == Reason.LINE_BREAK
    else:
        assert found == wanted


def test_a_url_keeps_the_spaces_and_marks_inside_it() -> None:
    assert value_of(Signal.URL, b"  http://a.example/b c#d,e\t") == b"http://a.example/b c#d,e"


@pytest.mark.parametrize("text", [b"http://a.example/\xff", b"\xed\xa0\x80", b"\xc0\xaf"])
def test_a_url_that_is_no_text_is_none(text: bytes) -> None:
    assert value_of(Signal.URL, text) == Reason.NOT_UTF8


@given(signal=st.sampled_from(list(Signal)), text=st.binary(max_size=300))
def test_nothing_makes_it_fail(signal: Signal, text: bytes) -> None:
    found = value_of(signal, text)
    assert isinstance(found, Reason) or (signal is Signal.URL and found) or len(found) == WIDTH_BYTES[signal]


def test_the_digest_of_nothing_is_a_value_like_any_other() -> None:
    nothing = hashlib.md5(b"", usedforsecurity=False)
    assert value_of(Signal.MD5, nothing.hexdigest().encode()) == nothing.digest()


def test_an_account_counts_all_and_keeps_the_first_lines() -> None:
    account = Account("a source")
    for line in range(1, 3 * MAX_LINES_KEPT):
        account.count(Reason.NOT_HEX, line)
    account.count(Reason.TOO_LONG, 7)
    assert account.faults == {Reason.NOT_HEX: 3 * MAX_LINES_KEPT - 1, Reason.TOO_LONG: 1}
    assert account.lines[Reason.NOT_HEX] == list(range(1, MAX_LINES_KEPT + 1))
    sentences = account.sentences()
    assert "1 too_long (line 7)" in sentences
    assert any(text.startswith("59 not_hex (lines 1, 2, ") and text.endswith("20, …)") for text in sentences)


def test_an_account_without_faults_has_nothing_to_say() -> None:
    assert Account("a source", taken=3).sentences() == []


def test_notes_come_after_the_faults() -> None:
    account = Account("a source")
    account.notes.append("a note")
    account.count(Reason.NO_VALUE, 1)
    assert account.sentences() == ["1 no_value (line 1)", "a note"]
