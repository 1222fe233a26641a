"""Kernels: spellings of an address and its host, against vectors and against the standard library's splitter."""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vetset import kernels
from vetset.records import UrlForm

pytestmark = pytest.mark.usefixtures("either_kernels")

VECTORS = json.loads((Path(__file__).parent / "vectors" / "url_forms.json").read_text("utf-8"))
CASES: list[dict[str, Any]] = VECTORS["cases"]


def octets(value: Any) -> bytes | None:
    """A value of the vectors: text, bytes as base64, or null."""
    if isinstance(value, dict):
        return base64.b64decode(value["base64"], validate=True)
    return None if value is None else str(value).encode("utf-8")


def why(case: dict[str, Any]) -> str:
    return str(case["why"])


def threatexchange(url: str) -> str:
    """The rule as ThreatExchange has it (python-threatexchange, common.normalize_url), for this Python's splitter."""
    parsed = urlparse(url.lower())
    return parsed.geturl().replace(f"{parsed.scheme}://", "", 1)


# --- the vectors --------------------------------------------------------------------------------------------------


def test_the_vectors_are_many_and_say_why() -> None:
    assert VECTORS["why"]
    assert len(CASES) >= 60
    assert len({why(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=why)
@pytest.mark.parametrize("form", UrlForm)
def test_a_form_is_what_its_vector_says(case: dict[str, Any], form: UrlForm) -> None:
    value = octets(case["value"])
    assert value is not None
    assert kernels.FORM_OF[form](value) == octets(case[form.value])


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="the splitter's rule follows the version; this one is frozen"
)
@pytest.mark.parametrize("case", [case for case in CASES if isinstance(case["value"], str)], ids=why)
def test_the_vectors_name_each_case_where_threatexchange_decides_otherwise(case: dict[str, Any]) -> None:
    try:
        theirs = threatexchange(case["value"]) or None
    except ValueError:
        theirs = None
    assert theirs == case.get("elsewhere", case["tx"])
    assert "elsewhere" not in case or case["elsewhere"] != case["tx"]


# --- tx against the standard library ------------------------------------------------------------------------------

LABELS = st.text("abcdefgXYZ0123456789-", min_size=1, max_size=12)
HOSTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
PORTS = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))
USERS = st.sampled_from(["", "user@", "User:Pass@", "@"])
PLAIN = st.text("abcXYZ019-._~%!$&'()*+,=:@/ é\u00dc\U0001f6b2", max_size=20)
PATHS = st.one_of(st.just(""), PLAIN.map(lambda path: "/" + path.rstrip(" ")))
QUERIES = st.one_of(st.just(""), PLAIN.map(lambda query: "?" + query.rstrip(" ")))
FRAGMENTS = st.one_of(st.just(""), PLAIN.map(lambda fragment: "#" + fragment.rstrip(" ")))
SCHEMES = st.sampled_from(["http", "https", "HTTP", "Https", "ftp"])


@st.composite
def ordinary_urls(draw: st.DrawFn) -> str:
    """Addresses on which our rule and the standard library's agree by definition."""
    authority = draw(USERS) + draw(HOSTS) + draw(PORTS)
    return f"{draw(SCHEMES)}://{authority}{draw(PATHS)}{draw(QUERIES)}{draw(FRAGMENTS)}"


@given(ordinary_urls())
@example("https://example.org?")
@example("https://example.org/?#")
@example("https://example.org//a//b")
def test_tx_agrees_with_threatexchange_on_ordinary_addresses(url: str) -> None:
    assert kernels.tx_of(url.encode()) == threatexchange(url).encode()


@given(ordinary_urls())
def test_a_trailing_empty_parameter_is_the_one_ordinary_thing_we_keep(url: str) -> None:
    plain = re.split(r"[?#]", url, maxsplit=1)[0] + "/a"
    kept = kernels.tx_of(f"{plain};".encode())
    assert kept == threatexchange(plain).encode() + b";"


@given(ordinary_urls(), st.text(" \t\r\n\x00\x0b\x1f", max_size=4), st.text(" \t\r\n\x00\x1f", max_size=4))
def test_tx_overlooks_outer_space_and_controls(url: str, before: str, after: str) -> None:
    assert kernels.tx_of((before + url + after).encode()) == kernels.tx_of(url.encode())


@given(ordinary_urls(), st.data())
def test_tx_overlooks_tabs_and_line_breaks_anywhere(url: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(url)))
    broken = url[:place] + data.draw(st.sampled_from("\t\r\n")) + url[place:]
    assert kernels.tx_of(broken.encode()) == kernels.tx_of(url.encode())


@given(ordinary_urls())
def test_tx_overlooks_case_and_scheme(url: str) -> None:
    body = url.partition("://")[2]
    upper = body.upper()
    if upper.lower() == body.lower():  # some letters do not survive the way up and down
        assert kernels.tx_of(f"HTTPS://{upper}".encode()) == kernels.tx_of(f"http://{body}".encode())
    assert kernels.tx_of(body.encode()) == kernels.tx_of(url.encode())


@given(HOSTS, HOSTS, PORTS.filter(bool), PATHS)
def test_tx_never_drops_the_host_of_an_address_without_scheme(one: str, other: str, port: str, path: str) -> None:
    same = kernels.tx_of(f"{one}{port}{path}".encode()) == kernels.tx_of(f"{other}{port}{path}".encode())
    assert same == (one.lower() == other.lower())


@pytest.mark.parametrize("authority", ["[::1", "::1]", "[", "]", "a[b"])
@pytest.mark.parametrize("tail", ["", "/]", "/[", "?]", "#["])
def test_an_unclosed_bracket_in_the_authority_has_no_tx_form(authority: str, tail: str) -> None:
    assert kernels.tx_of(f"http://{authority}{tail}".encode()) is None


# --- what holds for every form ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", UrlForm)
@given(value=st.binary(max_size=60))
@example(value=b"")
@example(value=b"http://\xff/")
@example(value=b"http://[")
def test_no_bytes_at_all_make_a_form_raise(form: UrlForm, value: bytes) -> None:
    made = kernels.FORM_OF[form](value)
    assert made is None or len(made) > 0


@given(st.binary(max_size=40))
def test_raw_is_the_value_itself_and_nothing_has_no_form(value: bytes) -> None:
    assert kernels.raw_of(value) == (value or None)


@given(st.text(max_size=60))
def test_tx_is_lower_case_text_without_tabs_or_line_breaks(text: str) -> None:
    made = kernels.tx_of(f"http://example.org/{text}.".encode())
    assert made is not None
    spelled = made.decode("utf-8")
    assert not set(spelled) & set("\t\r\n")
    assert spelled == spelled.strip("".join(map(chr, range(0x21))))


@given(ordinary_urls())
def test_whatwg_is_its_own_normal_form(url: str) -> None:
    made = kernels.whatwg_of(url.encode())
    if made is not None:
        assert kernels.whatwg_of(made) == made
        assert made.isascii()


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_what_is_not_utf8_has_only_the_raw_form(before: bytes, after: bytes) -> None:
    value = before + b"\xff" + after
    assert kernels.tx_of(value) is None
    assert kernels.whatwg_of(value) is None
    assert kernels.host_of(value) is None
    assert kernels.raw_of(value) == value


# --- hosts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://User:Pass@Example.ORG:8443/a", "example.org"),
        ("http://[2001:DB8:0::1]:80/a", "[2001:db8::1]"),
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://0x7f.1/", "127.0.0.1"),
        ("http://example.org./", "example.org."),
        ("http://example.org\\@example.net/", "example.org"),
        ("  http://example.org  ", "example.org"),
        ("example.org/a", None),
        ("example.org:8080/a", None),
        ("mailto:someone@example.org", None),
        ("file:///a", None),
        ("http://", None),
        ("http://[::1", None),
        ("http://example.org:99999/", None),
        ("", None),
    ],
)
def test_the_host_is_what_a_browser_would_ask(url: str, host: str | None) -> None:
    assert kernels.host_of(url.encode()) == host
