"""Spellings of an address: the forms under which it is compared, and its host. One value at a time."""

from __future__ import annotations

import re
from collections.abc import Callable

import ada_url

from vetset.records import UrlForm


def raw_of(value: bytes) -> bytes | None:
    """Form `raw`: the bytes of the value as the dataset holds them."""
    return value or None


# The two rules that ThreatExchange's url_md5 takes from the standard library's URL splitter, frozen here because
# that library changes between versions: which characters a scheme may have, and what it strips (WHATWG's C0 and space).
# A scheme counts only with its `//` (as ThreatExchange cuts it off): else `host:8080/a` would lose its host.
_TX_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*:(?=//)")


_TX_STRIP = "".join(chr(code) for code in range(0x21))


_TX_REMOVE = str.maketrans("", "", "\t\r\n")


def tx_of(value: bytes) -> bytes | None:
    """Form `tx`: ThreatExchange's rule for url_md5, frozen as our own definition (tests/vectors/url_forms.json).

    Outer control characters and spaces are stripped and tabs and line breaks removed; the text is lower-cased; the
    scheme and the `//` behind it go; an empty `?` or `#` is dropped, any other query and fragment is kept. A value
    that is not UTF-8, has an unclosed bracket in its authority, or leaves nothing has no such form.
    """
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return None
    text = text.strip(_TX_STRIP).translate(_TX_REMOVE).lower()
    scheme = _TX_SCHEME.match(text)
    if scheme:
        text = text[scheme.end() :]
    if text.startswith("//"):
        text = text[2:]
        authority = re.split(r"[/?#]", text, maxsplit=1)[0]
        if ("[" in authority) != ("]" in authority):
            return None
    body, hash_mark, fragment = text.partition("#")
    path, question_mark, query = body.partition("?")
    text = path + (question_mark + query if query else "") + (hash_mark + fragment if fragment else "")
    return text.encode("utf-8") or None


def whatwg_of(value: bytes) -> bytes | None:
    """Form `whatwg`: the href that ada-url makes of it (WHATWG URL Standard); none if it is no absolute URL."""
    try:
        return str(ada_url.URL(value.decode("utf-8")).href).encode("utf-8") or None
    except ValueError:  # UnicodeDecodeError is one of these; ada-url raises it for what it cannot parse
        return None


FORM_OF: dict[UrlForm, Callable[[bytes], bytes | None]] = {
    UrlForm.RAW: raw_of,
    UrlForm.TX: tx_of,
    UrlForm.WHATWG: whatwg_of,
}


def host_of(value: bytes) -> str | None:
    """The host of an address, by the WHATWG rules; None if it has none."""
    try:
        return str(ada_url.URL(value.decode("utf-8")).hostname) or None
    except ValueError:
        return None
