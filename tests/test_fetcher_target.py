"""What an address of the web is: the quick way against the parser, what is dropped, and what is asked nobody."""

from __future__ import annotations

from urllib.parse import urlsplit

import ada_url
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.fetcher.target import Target, target_of

PORTS = frozenset({80, 443})


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://a.test", ("http://a.test/", False, "a.test", 80, "/")),
        ("https://A.Test:443/x?y#z", ("https://a.test/x?y", True, "a.test", 443, "/x?y")),
        ("http://user:secret@a.test/x", ("http://a.test/x", False, "a.test", 80, "/x")),
        ("http://user@b@a.test/x", ("http://a.test/x", False, "a.test", 80, "/x")),
        ("http://a.test:443/", ("http://a.test:443/", False, "a.test", 443, "/")),
        ("https://a.test:80/", ("https://a.test:80/", True, "a.test", 80, "/")),
        ("http:\\\\a.test\\x", ("http://a.test/x", False, "a.test", 80, "/x")),
        (" http://a.test/a b ", ("http://a.test/a%20b", False, "a.test", 80, "/a%20b")),
        ("http://a.test/a/../b/./c", ("http://a.test/b/c", False, "a.test", 80, "/b/c")),
        ("http://a.test/%2e%2e/b", ("http://a.test/b", False, "a.test", 80, "/b")),
        ("http://bücher.test/ü", ("http://xn--bcher-kva.test/%C3%BC", False, "xn--bcher-kva.test", 80, "/%C3%BC")),
        ("http://[2a00:11::1]/x", ("http://[2a00:11::1]/x", False, "[2a00:11::1]", 80, "/x")),
        ("http://2130706433/x", ("http://127.0.0.1/x", False, "127.0.0.1", 80, "/x")),
        ("http://a_b.test/x", ("http://a_b.test/x", False, "a_b.test", 80, "/x")),
    ],
)
def test_addresses_as_they_are_asked(url: str, wanted: tuple[str, bool, str, int, str]) -> None:
    found = target_of(url, PORTS)
    assert found is not None
    assert (found.url, found.secure, found.host, found.port, found.path) == wanted
    assert found.root + found.path == found.url


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "/x.jpg", "//a.test/x", "file:///etc/passwd", "ftp://a.test/x", "data:image/png;base64,AAAA", "gopher://a.test/",
        "javascript:1", "about:blank", "blob:http://a.test/x", "ws://a.test/", "http://", "http:///", "http://a.test:22/",
        "http://a.test:8080/", "https://a.test:99999/", "http://a.test:x/", "http://a b/", "http://[::1", "http://%00/",
        "http://1.2.3.4.5/", "http://256.1.1.1/", "dict://a.test:80/", "http://a.test/" + "x" * 9000, "\ud800",
        "unix:/run/x.sock", "https://fe80::1%25lo/",
    ],
)  # fmt: skip
def test_what_is_no_address_of_the_web(url: str) -> None:
    assert target_of(url, PORTS) is None


def test_other_ports_where_they_are_allowed() -> None:
    assert target_of("http://a.test:8080/", frozenset({8080})) is not None
    assert target_of("http://a.test/", frozenset({8080})) is None


def test_relative_addresses_are_seen_from_where_they_stand() -> None:
    base = target_of("https://a.test/one/two?x", PORTS)
    for said, wanted in {
        "three": "https://a.test/one/three", "/three": "https://a.test/three", "//b.test/y": "https://b.test/y", "?z": "https://a.test/one/two?z",
        "http://c.test": "http://c.test/", "": "https://a.test/one/two?x", "#q": "https://a.test/one/two?x",
    }.items():  # fmt: skip
        found = target_of(said, PORTS, base)
        assert found is not None
        assert found.url == wanted
    for said in ("file:///x", "ftp:x", "http://a.test:22/", "//", "https://"):
        assert target_of(said, PORTS, base) is None


def test_origins_differ_by_scheme_and_port() -> None:
    origins = {
        target_of(url, PORTS).origin  # type: ignore[union-attr]
        for url in ("http://a.test/", "https://a.test/", "http://a.test:443/", "http://b.test/x", "http://a.test/y")
    }
    assert len(origins) == 4


_HOST = st.from_regex(r"([a-z0-9\-_]{1,8}\.){0,2}[a-z0-9\-_A-Z]{1,8}", fullmatch=True)
_REST = st.text(st.characters(min_codepoint=32, max_codepoint=0x17F), max_size=20)


@given(st.sampled_from(["http://", "https://", "HTTP:", "http:/"]), _HOST, _REST)
def test_the_quick_way_says_what_the_parser_says(scheme: str, host: str, rest: str) -> None:
    url = f"{scheme}{host}/{rest}"
    found = target_of(url, PORTS)
    try:
        parsed = ada_url.URL(url)
    except ValueError:
        assert found is None
        return
    parsed.username = parsed.password = parsed.hash = ""
    if found is None:
        assert int(parsed.port or 80) not in PORTS
        return
    assert found.url == parsed.href.removesuffix("#")
    assert (found.host, found.path) == (parsed.hostname, parsed.pathname + parsed.search or "/")
    assert isinstance(found, Target)


@given(_REST)
def test_no_text_makes_it_stumble(text: str) -> None:
    found = target_of(text, PORTS)
    if found is not None:
        assert urlsplit(found.url).scheme in {"http", "https"}
