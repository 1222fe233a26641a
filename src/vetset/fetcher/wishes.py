"""What the headers of an answer say: wishes not to be used, where to go instead, how long to wait, how it is encoded.

In it: pure functions over header lines. Not in it: robots.txt, and what is done about any of it.
Rules: opting out is honoured as img2dataset honours it by default (`X-Robots-Tag` with noai, noimageai, noindex or
noimageindex, for everybody or for us by name), and two ways more: `none`, and TDM-Reservation (W3C TDMRep).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

_OPT_OUTS = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
#: Content codings that IANA knows: nobody asked for them, and what is sent in one is not the picture's own bytes.
_CODINGS = frozenset({
    "aes128gcm", "br", "compress", "dcb", "dcz", "deflate", "exi", "gzip", "pack200-gzip", "x-compress", "x-gzip",
    "zstd",
})  # fmt: skip
_ASKED_FOR = re.compile(
    rb"^(x-robots-tag|tdm-reservation|location|retry-after|content-encoding|content-length)[ \t]*:[ \t]*([^\r\n]*)",
    re.IGNORECASE | re.MULTILINE,
)

Headers = Mapping[str, tuple[str, ...]]


def headers_of(lines: bytes) -> Headers:
    """The headers that are of interest here, among the lines of one answer; names in lower case."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in _ASKED_FOR.findall(lines):
        key = name.decode("ascii").lower()
        found[key] = (*found.get(key, ()), value.rstrip().decode("utf-8", "replace"))
    return found


def opted_out(headers: Headers, name: str) -> bool:
    """Whether an answer asks not to be used, by everybody or by a crawler of this name."""
    if "1" in headers.get("tdm-reservation", ()):
        return True
    return "x-robots-tag" in headers and any(_asks_us(value, name.lower()) for value in headers["x-robots-tag"])


def _asks_us(value: str, name: str) -> bool:
    """`directive, directive` for all, or `name: directive, …`; a later `name:` in the same value begins anew."""
    whom = ""
    for part in value.lower().split(","):
        named, colon, rest = part.partition(":")
        directive = part.strip()
        if colon and named.strip() not in _WITH_VALUES:
            whom, directive = named.strip(), rest.strip()
        if directive in _OPT_OUTS and whom in {"", "*", name}:
            return True
    return False


#: Directives that themselves hold a colon.
_WITH_VALUES = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def is_encoded(headers: Headers) -> bool:
    """Whether the body is not sent as it is."""
    values = headers.get("content-encoding")
    return values is not None and any(
        coding.strip() in _CODINGS for value in values for coding in value.lower().split(",")
    )


_LENGTH = re.compile(r"[0-9]{1,18}")


def length_of(headers: Headers) -> int:
    """How many bytes the body is said to have; 0 if nothing that can be read is said."""
    values = headers.get("content-length", ())
    return int(values[-1]) if values and _LENGTH.fullmatch(values[-1]) else 0


def wait_of(headers: Headers, at_seconds: float) -> float:
    """Seconds to wait by `Retry-After`, a number or a date (RFC 9110, 10.2.3); 0 if nothing is said."""
    value = next(iter(headers.get("retry-after", ())), "")
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - at_seconds)
    except (ValueError, TypeError, OverflowError):
        return 0.0
