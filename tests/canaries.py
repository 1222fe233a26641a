"""Canaries: values that must never be seen, and the search for them in every spelling that a leak could have."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote


def spellings_of(value: bytes) -> Mapping[str, bytes]:
    """The value as it is, and as hex, percent, base64 at each of the three offsets, UTF-16, reversed (threats §6, L3)."""
    text = value.decode("latin-1")
    found = {
        "raw": value,
        "reversed": value[::-1],
        "hex": value.hex().encode(),
        "HEX": value.hex().upper().encode(),
        "percent": "".join(f"%{byte:02X}" for byte in value).encode(),
        "quoted": quote(value, safe="").encode(),
        "utf-16-le": text.encode("utf-16-le"),
        "utf-16-be": text.encode("utf-16-be"),
        "json": text.encode("unicode_escape"),
    }
    for offset in range(3):
        # Of a value inside something longer only whole groups of three bytes are spelled the same wherever it stands.
        whole = value[offset : offset + (len(value) - offset) // 3 * 3]
        found[f"base64 at {offset}"] = base64.b64encode(whole)
        found[f"urlsafe base64 at {offset}"] = base64.urlsafe_b64encode(whole)
    return found


def sightings(root: Path, values: Iterable[bytes]) -> list[str]:
    """Each file under the root, by name or contents, that holds a value in any spelling."""
    spelled = [(name, needle) for value in values for name, needle in spellings_of(value).items()]
    found = []
    for path in sorted(root.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        haystack = str(path.relative_to(root)).encode() + b"\n" + data
        found += [f"{path}: {name}" for name, needle in spelled if needle in haystack]
    return found
