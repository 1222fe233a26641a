"""Spellings of an address: the forms under which it is compared, one value or a whole column, and its host."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import ada_url
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vetset.kernels import native
from vetset.records import Column, Sealed, SealedBatch, UrlForm


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


def url_values(batch: SealedBatch, form: UrlForm) -> Sealed[Any]:
    """The URL column under a form, as a large_binary array; null where the value is null or has no such form."""
    urls = batch.unseal().column(Column.URL.value)
    if form is UrlForm.RAW:
        blank = pc.equal(pc.binary_length(urls), 0)
        return Sealed(pc.if_else(blank, None, urls) if pc.any(blank).as_py() else urls)
    if native.LIB is not None and len(urls):
        return Sealed(_quick_form(native.LIB, urls, form))
    settled = pc.fill_null(pc.match_substring_regex(urls, SETTLED), True)  # a null is as settled as can be
    quick = urls if form is UrlForm.WHATWG else _without_scheme(_lower(urls))
    return Sealed(_with_others(quick, urls, pc.invert(settled), form))


def _with_others(quick: Any, urls: Any, others: Any, form: UrlForm) -> Any:
    """The quick array with what the definition makes of the other values."""
    made = [FORM_OF[form](value) for value in urls.filter(others).to_pylist()]
    return pc.replace_with_mask(quick, others, pa.array(made, pa.large_binary()))


# Most addresses by far are in normal form already. This tells the simplest of them, so that they need no parser: the
# href of the WHATWG URL Standard is then the value itself, and `tx` is the value lower-cased without its scheme. It
# leaves to the parser all that some step of either rule might touch: user, port, IP address (a last label that starts
# with a digit), punycode and any other double hyphen, no path, path segments that might read as `.` or `..` (they
# start with `.` or `%`), characters that are escaped somewhere, an empty query, any fragment.
_LABEL = "[a-z0-9]+(?:-[a-z0-9]+)*"
_LAST_LABEL = "[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
_START = r"A-Za-z0-9_~!$&()*+,;=:@\-"
_SEGMENT = f"/(?:[{_START}][{_START}.%]*)?"
SETTLED = rf"^https?://(?:{_LABEL}\.)*{_LAST_LABEL}(?:{_SEGMENT})+(?:\?[{_START}.%/?]+)?\z"


# What native/url.c says of an address, and what it makes of one.
_OTHER, _SETTLED_ALREADY = 0, 1
_LEFT = 2


def _quick_form(lib: ModuleType, urls: Any, form: UrlForm) -> Any:
    """A form made natively; what is left to the definition is not of the language above, or not ASCII."""
    _, offsets, values = urls.buffers()
    here = urls.is_valid().to_numpy(zero_copy_only=False)
    marks, values = here.astype(np.uint8), values or b""
    if form is UrlForm.WHATWG:
        lib.settled(offsets, values, urls.offset, marks)
        marks[~here] = _OTHER
        if (marks[here] == _SETTLED_ALREADY).all():
            return urls
    # Arrow's own memory, which it uses again: fresh pages for every batch would cost more than what is done with them.
    ends, data = pa.allocate_buffer(8 * (len(urls) + 1)), pa.allocate_buffer(_bytes_of(urls, offsets))
    left = here & (marks == _OTHER)  # by what `settled` said
    used = (lib.tx if form is UrlForm.TX else lib.whatwg)(offsets, values, urls.offset, marks, ends, data)
    if form is UrlForm.TX:
        left = marks == _LEFT
    made = np.packbits((marks != 0) & ~left, bitorder="little")
    quick = pa.Array.from_buffers(urls.type, len(urls), [pa.py_buffer(made), ends, data.slice(0, used)])
    return _with_others(quick, urls, pa.array(left), form) if left.any() else quick


def _bytes_of(urls: Any, offsets: Any) -> int:
    """How many bytes the values of an array take."""
    ends = np.frombuffer(offsets, np.int64)[urls.offset : urls.offset + len(urls) + 1]
    return int(ends[-1] - ends[0])


def _lower(urls: Any) -> Any:
    """A binary array with its ASCII letters in lower case; nothing is asked of the other bytes."""
    validity, offsets, data = urls.buffers()
    lower = pa.py_buffer(data.to_pybytes().lower())
    return pa.Array.from_buffers(urls.type, len(urls), [validity, offsets, lower], urls.null_count, urls.offset)


def _without_scheme(urls: Any) -> Any:
    """A binary array less the first 7 bytes of every value, or 8 where it starts with `https:`."""
    secure = pc.starts_with(urls, pattern="https:")
    return pc.if_else(
        secure,
        pc.binary_replace_slice(urls, 0, 8, replacement=b""),
        pc.binary_replace_slice(urls, 0, 7, replacement=b""),
    )


def host_of(value: bytes) -> str | None:
    """The host of an address, by the WHATWG rules; None if it has none."""
    try:
        return str(ada_url.URL(value.decode("utf-8")).hostname) or None
    except ValueError:
        return None
