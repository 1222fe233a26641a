"""What a robots.txt asks (RFC 9309): read once into rules for us, then asked about paths.

In it: pure functions over bytes and text. Not in it: fetching it, keeping it, and what to do when there is none.
Rules: of several groups for us all rules count together; the longest pattern decides, and of equals the one that
allows; a line that cannot be read is passed over; a file with more rules than can be checked quickly asks us to stay
away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

#: A parser must read at least so much (RFC 9309, 2.5); the rest is not looked at.
MOST_BYTES = 500 * 1024
#: More rules than the largest honest files have; every path is compared with each of them.
MOST_RULES = 10_000
#: A longer delay is not waited for: the wish is honoured up to here.
MOST_DELAY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A pattern cut at its stars: the first piece begins the path, the others follow in order."""

    allows: bool
    octets: int
    pieces: tuple[str, ...]
    to_the_end: bool

    def meets(self, path: str) -> bool:
        first, *others = self.pieces
        if not path.startswith(first):
            return False
        at = len(first)
        if not others:
            return not self.to_the_end or at == len(path)
        *middle, last = others
        for piece in middle:
            found = path.find(piece, at)
            if found < 0:
                return False
            at = found + len(piece)
        if self.to_the_end:
            return len(path) - len(last) >= at and path.endswith(last)
        return path.find(last, at) >= 0


@dataclass(frozen=True, slots=True)
class Robots:
    """The rules of one origin for us, longest first."""

    patterns: tuple[_Pattern, ...] = ()
    delay_seconds: float = 0.0

    def allows(self, path: str) -> bool:
        """Whether a path, with its query, may be requested."""
        if not self.patterns or path == "/robots.txt":
            return True
        path = _spelled(path)
        return next((pattern.allows for pattern in self.patterns if pattern.meets(path)), True)


ALLOWS_ALL = Robots()
ALLOWS_NONE = Robots((_Pattern(allows=False, octets=1, pieces=("/",), to_the_end=False),))


def robots_of(body: bytes, name: str) -> Robots:
    """The rules of a robots.txt for a crawler of this name."""
    groups = list(_groups(body[:MOST_BYTES]))
    ours = [group for group in groups if name.lower() in group.names]
    chosen = ours or [group for group in groups if "*" in group.names]
    rules = [rule for group in chosen for rule in group.rules]
    if len(rules) > MOST_RULES:
        return ALLOWS_NONE
    patterns = sorted({_pattern(allows, text) for allows, text in rules if text}, key=_order)
    return Robots(tuple(patterns), max((group.delay_seconds for group in chosen), default=0.0))


def _order(pattern: _Pattern) -> tuple[int, bool]:
    return (-pattern.octets, not pattern.allows)


@dataclass(slots=True)
class _Group:
    names: set[str]
    rules: list[tuple[bool, str]]
    delay_seconds: float = 0.0


# A product token is letters, `_` and `-`; what follows it (a version, say) does not count (RFC 9309, 2.2.1).
_NAME = re.compile(r"[A-Za-z_\-]+|\*")


def _groups(body: bytes) -> Iterator[_Group]:
    group, naming = _Group(set(), []), True
    for key, value in _lines(body):
        if key == "user-agent":
            if not naming:
                yield group
                group, naming = _Group(set(), []), True
            name = _NAME.match(value)
            group.names.add(name.group().lower() if name else "")
        elif key in {"allow", "disallow"}:
            naming = False
            group.rules.append((key == "allow", value))
        elif key == "crawl-delay":  # no part of the RFC, and widely meant
            naming = False
            group.delay_seconds = max(group.delay_seconds, _delay(value))
    yield group


def _lines(body: bytes) -> Iterator[tuple[str, str]]:
    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    for line in re.split(r"\r\n|\r|\n", text):
        key, colon, value = line.partition("#")[0].partition(":")
        if colon:
            yield key.strip().lower(), value.strip()


def _delay(value: str) -> float:
    return min(float(value), MOST_DELAY_SECONDS) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) else 0.0


def _pattern(allows: bool, text: str) -> _Pattern:  # noqa: FBT001 - the two kinds of line
    to_the_end = text.endswith("$")
    pieces = [_spelled(piece) for piece in re.split(r"\*+", text.removesuffix("$"))]
    octets = sum(map(len, pieces)) + len(pieces) - 1 + to_the_end
    if to_the_end and len(pieces) > 1 and not pieces[-1]:
        to_the_end = False  # a star reaches the end anyway
    return _Pattern(allows, octets, tuple(pieces), to_the_end)


# Escapes, and characters that are neither unreserved nor reserved (RFC 3986, 2.2 and 2.3), nor `*` and `$`, which in
# a pattern stand for something else.
_UNUSUAL = re.compile(r"%([0-9A-Fa-f]{2})|([^A-Za-z0-9\-._~:/?#\[\]@!&'()+,;=])")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def _spelled(text: str) -> str:
    """Text with the escapes of unreserved characters undone, and all that must be escaped so (RFC 9309, 2.2.2)."""
    return _UNUSUAL.sub(_respelled, text)


def _respelled(found: re.Match[str]) -> str:
    digits, character = found.groups()
    if digits is None:
        return quote(character, safe="")
    character = chr(int(digits, 16))
    return character if character in _UNRESERVED else found.group().upper()
