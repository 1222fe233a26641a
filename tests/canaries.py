"""Canaries: values that must never be seen, and the search for them in every spelling that a leak could have.

Spellings are those of the threat model (threats §6, L3): as it is, reversed, in other case, hex, percent-encoded, base64
at each of the three offsets, UTF-16 and UTF-32, punycode, escaped as in JSON or a repr, and split over lines.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

#: A spelling shorter than this would be found by chance.
SHORTEST_BYTES = 8


def spellings_of(value: bytes) -> Mapping[str, bytes]:
    """The spellings of a byte string, by their names."""
    text = value.decode("latin-1")
    found = {
        "raw": value,
        "reversed": value[::-1],
        "lower": value.lower(),
        "upper": value.upper(),
        "hex": value.hex().encode(),
        "HEX": value.hex().upper().encode(),
        "percent": "".join(f"%{byte:02X}" for byte in value).encode(),
        "quoted": quote(value, safe="").encode(),
        "quoted path": quote(value).encode(),
        "utf-16-le": text.encode("utf-16-le"),
        "utf-16-be": text.encode("utf-16-be"),
        "utf-32-le": text.encode("utf-32-le"),
        "json": text.encode("unicode_escape"),
        "repr": repr(value)[2:-1].encode(),
    }
    for offset in range(3):
        # Of a value inside something longer only whole groups of three bytes are spelled the same wherever it stands.
        whole = value[offset : offset + (len(value) - offset) // 3 * 3]
        found[f"base64 at {offset}"] = base64.b64encode(whole)
        found[f"urlsafe base64 at {offset}"] = base64.urlsafe_b64encode(whole)
    return found


def spellings_of_text(value: str) -> Mapping[str, bytes]:
    """The spellings of a text: of its UTF-8, of the bytes it is the hex of, and those of its characters."""
    found = dict(spellings_of(value.encode()))
    found["json text"] = json.dumps(value)[1:-1].encode()
    found["wide"] = value.encode("utf-16-le")
    found["escaped"] = value.encode("unicode_escape")
    found["punycode"] = value.encode("punycode")
    try:
        found.update({f"bytes, {name}": spelling for name, spelling in spellings_of(bytes.fromhex(value)).items()})
    except ValueError:
        return found
    return found


def sightings(root: Path, values: Iterable[bytes]) -> list[str]:
    """Each file under the root, by name or contents, that holds a value in any spelling."""
    spelled = [(name, needle) for value in values for name, needle in spellings_of(value).items()]
    return [f"{path}: {name}" for path, data in files_below(root) for name, needle in spelled if needle in data]


def leaks(texts: Iterable[tuple[str, bytes]], canaries: Iterable[str]) -> list[str]:
    """The names of the texts in which a spelling of a canary stands, also split over lines."""
    needles = {needle for canary in canaries for needle in spellings_of_text(canary).values()}
    needles = {needle for needle in needles if len(needle) >= SHORTEST_BYTES}
    found = []
    for name, text in texts:
        joined = text.replace(b"\r", b"").replace(b"\n", b"")
        if any(needle in text or needle in joined for needle in needles):
            found.append(name)
    return found


def files_below(*roots: Path) -> Iterator[tuple[str, bytes]]:
    """Every file and folder under the roots: its path, and its name and contents to be searched."""
    for root in roots:
        for path in sorted(root.rglob("*")):
            data = path.read_bytes() if path.is_file() else b""
            yield str(path), os.fsencode(path.relative_to(root)) + b"\n" + data
