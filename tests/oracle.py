"""The slow oracle: outcomes of rows from first principles, with hashlib and sets, sharing no code with the package.

Rows are dicts with keys shard, url, md5, sha1, sha256 (values as the dataset holds them, or None). Lists map a signal to
a set of values: digests as bytes, URLs as text. Only for URLs on which urllib and the WHATWG rules are plain (see
`whatwg`): the generated datasets keep to those.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

Row = dict[str, Any]
SIZES = {"md5": 16, "sha1": 20, "sha256": 32}
EMPTY = {name: hashlib.new(name, b"").digest() for name in SIZES}


def digest(row: Row, name: str) -> bytes | None:
    try:
        value = bytes.fromhex((row.get(name) or "").strip(" \t\r\n"))
    except ValueError:
        return None
    return value if len(value) == SIZES[name] and len((row[name] or "").strip()) == 2 * SIZES[name] else None


def tx(url: str) -> str:
    parts = urlsplit(url.strip().replace("\t", "").lower())
    query = f"?{parts.query}" if parts.query else ""
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    return parts.netloc + parts.path + query + fragment


def whatwg(url: str) -> str | None:
    parts = urlsplit(url.strip())
    if parts.scheme.lower() not in {"http", "https"} or not parts.netloc:
        return None
    path = parts.path or "/"
    encoded = "".join(c if "\x21" <= c <= "\x7e" and c not in '"<>`{}^' else quoted(c) for c in path)
    tail = url.strip()[url.strip().find(parts.path, len(parts.scheme) + 3 + len(parts.netloc)) + len(parts.path) :]
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{encoded}{tail}"


def quoted(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def forms(url: str | None) -> dict[str, str]:
    if not url:
        return {}
    made = {"raw": url, "tx": tx(url), "whatwg": whatwg(url)}
    return {name: value for name, value in made.items() if value}


def is_hit(row: Row, lists: list[dict[str, set[Any]]]) -> bool:
    spelled = forms(row.get("url")).items()
    for held in lists:
        if any(digest(row, name) in held.get(name, ()) for name in SIZES):
            return True
        for form, text in spelled:
            if text in {forms(url).get(form) for url in held.get("url", ())}:
                return True
            if any(hashlib.new(name, text.encode()).digest() in held.get(f"url_{name}", ()) for name in SIZES):
                return True
    return False


def assessable(row: Row, lists: list[dict[str, set[Any]]]) -> bool:
    signals = {signal for held in lists for signal, values in held.items() if values}
    if row.get("url") and signals & {"url", "url_md5", "url_sha1", "url_sha256"}:
        return True
    return any(name in signals and digest(row, name) for name in SIZES)


def borne(row: Row) -> set[tuple[str, Any]]:
    values: set[tuple[str, Any]] = {("url", row["url"])} if row.get("url") else set()
    for name in SIZES:
        if digest(row, name) not in (None, EMPTY[name]):
            values.add((name, digest(row, name)))
    return values


def outcomes(rows: list[Row], lists: list[dict[str, set[Any]]], limit: int, in_policy: set[int]) -> list[str]:
    bearers = Counter(value for row in rows for value in borne(row))
    out = {number for number, row in enumerate(rows) if is_hit(row, lists)}
    hits = set(out)
    while True:
        reached = {value for number in out for value in borne(rows[number])}
        spread = {value for value in reached if bearers[value] <= limit}
        more = {number for number, row in enumerate(rows) if borne(row) & spread} | out
        if more == out:
            break
        out = more
    held = {number for number, row in enumerate(rows) if borne(row) & (reached - spread)}
    named = [(hits, "hit"), (out, "expanded"), (held, "held"), (in_policy, "policy")]
    rest = ["clear" if assessable(row, lists) else "not_assessable" for row in rows]
    return [next((name for which, name in named if number in which), rest[number]) for number in range(len(rows))]
