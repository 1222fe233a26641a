"""Canaries: values that must appear nowhere, in all the spellings in which they could slip out.

Spellings are those of the threat model: raw, percent-encoded, hex, base64 at each alignment, UTF-16 and UTF-32,
punycode, reversed, escaped as in JSON or a repr, and split over lines (which is searched with line breaks taken out).
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

SHORTEST = 8


def spellings(value: str) -> set[bytes]:
    raw = value.encode()
    found = {
        raw,
        raw[::-1],
        value.lower().encode(),
        value.upper().encode(),
        quote(value, safe="").encode(),
        quote(value).encode(),
        json.dumps(value)[1:-1].encode(),
        repr(raw)[2:-1].encode(),
        value.encode("unicode_escape"),
        raw.hex().encode(),
        raw.hex().upper().encode(),
        value.encode("utf-16-le"),
        value.encode("utf-16-be"),
        value.encode("utf-32-le"),
        *base64s(raw),
    }
    try:
        found.add(value.encode("punycode"))
        found.add(bytes.fromhex(value))
        found.add(bytes.fromhex(value)[::-1])
        found |= set(base64s(bytes.fromhex(value)))
    except ValueError:
        found.discard(b"")
    return {spelling for spelling in found if len(spelling) >= SHORTEST}


def base64s(raw: bytes) -> Iterator[bytes]:
    """Every base64 of a longer text that holds `raw`: three alignments, without the characters that neighbours share."""
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * shift + raw).rstrip(b"=")
            yield text[-(-shift * 8 // 6) : len(text) - (len(text) + 2) % 3 or None]


def leaks(texts: Iterable[tuple[str, bytes]], canaries: Iterable[str]) -> list[str]:
    """Where a spelling of a canary stands; names of places only."""
    patterns = {spelling for canary in canaries for spelling in spellings(canary)}
    found = []
    for name, text in texts:
        joined = text.replace(b"\r", b"").replace(b"\n", b"")
        if any(pattern in text or pattern in joined for pattern in patterns):
            found.append(name)
    return found


def files_below(*roots: Path) -> Iterator[tuple[str, bytes]]:
    """Every file's name and bytes; a name is searched as well, and what is compressed is opened."""
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder) / name
                data = path.read_bytes()
                yield str(path), data + b"\n" + os.fsencode(path)
                if data[:2] == b"\x1f\x8b" or data[:1] == b"\x78":
                    yield f"{path} (opened)", opened(data)


def opened(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(47).decompress(data)
    except zlib.error:
        return b""
