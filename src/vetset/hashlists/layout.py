"""The layout of a compiled list's payload: one header, then arrays in a fixed order at places that follow from counts.

In it: what the header says, its one spelling, and where each array lies. Not in it: the arrays, files, sealing.
Rules: the payload is canonical. A header is read by building it again from what it says: a spelling, an offset or a
length that differs by one byte is refused, so no offset is ever trusted.

    magic (16 bytes) · length of the header (u64) · header (JSON: sorted keys, ASCII, no spaces) · zeros to 64
    for each table, each array from a multiple of 64 on: heads u64[count] · tails u8[count, width-8] · words u64[words]
    entries: one Arrow IPC stream (see `entries`), only if there are any

All numbers are little-endian. Offsets in the header count from the end of its padding.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from vetset.records import WIDTH_BYTES, Signal, UrlForm

FORMAT = 1
FORMAT_NAME = f"vetset-list/{FORMAT}"
MAGIC = FORMAT_NAME.encode().ljust(16, b"\0")
PREFIX_BYTES = len(MAGIC) + 8
ALIGNMENT_BYTES = 64
MAX_HEADER_BYTES = 64 * 1024

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._ -]{0,62}[A-Za-z0-9._-])?")
_MAX_TEXT_CHARACTERS = 500
_MOST = 2**48


class NotCanonical(Exception):  # noqa: N818 - it says what the bytes are
    """Bytes that `compile` would not have written. Says what, and no value."""


@dataclass(frozen=True, slots=True)
class About:
    """What a list says of itself. `created` is UTC to the second (…Z), `expires` its last good day or empty."""

    name: str
    version: int
    created: str
    source: str = ""
    expires: str = ""
    purpose: str = ""

    def fault(self) -> str:
        """What cannot stand so, or nothing. The name goes into messages and file names, so it is plain ASCII."""
        if not _NAME.fullmatch(self.name):
            return "the name should be 1 to 64 of A-Z a-z 0-9 . _ - and inner spaces, a letter or digit first"
        if not 1 <= self.version < 2**63:
            return "the version should be a whole number from 1"
        if not _is_time(self.created):
            return "the time of creation should be UTC as in 2026-01-31T12:00:00Z"
        if self.expires and not _is_day(self.expires):
            return "the day of expiry should be as in 2026-01-31"
        texts = (self.source, self.purpose)
        if not all(text.isprintable() and len(text) <= _MAX_TEXT_CHARACTERS for text in texts):
            return f"source and purpose should be one printable line of at most {_MAX_TEXT_CHARACTERS} characters"
        return ""

    def expired(self, today: date) -> bool:
        """A list is good through its day of expiry."""
        return bool(self.expires) and today > date.fromisoformat(self.expires)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%dT%H:%M:%SZ") == text
    except ValueError:
        return False


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Shape:
    """A table's measures: keys, words of prefilter, and lines of `entries` that belong to it."""

    signal: Signal
    forms: tuple[UrlForm, ...]  # sorted
    count: int
    words: int
    entries: int

    def lengths(self) -> tuple[int, int, int]:
        """Bytes of heads, tails and words."""
        return 8 * self.count, self.count * (WIDTH_BYTES[self.signal] - 8), 8 * self.words


@dataclass(frozen=True, slots=True)
class Places:
    """Where a table's arrays start, from the end of the header's padding."""

    heads_offset: int
    tails_offset: int
    words_offset: int


@dataclass(frozen=True, slots=True)
class Layout:
    """All that the header says."""

    about: About
    shapes: tuple[Shape, ...]
    entries_bytes: int

    def counts(self) -> dict[Signal, int]:
        """Distinct values by signal; a URL counts once, whatever the number of its forms."""
        most: Counter[Signal] = Counter()
        for shape in self.shapes:
            most[shape.signal] = max(most[shape.signal], shape.count)
        return dict(most)

    def places(self) -> tuple[tuple[Places, ...], int, int]:
        """The places of every table, where the entries start, and the length of it all."""
        end = 0
        found = []
        for shape in self.shapes:
            starts = []
            for length in shape.lengths():
                starts.append(aligned(end))
                end = starts[-1] + length
            found.append(Places(*starts))
        entries = aligned(end)
        return tuple(found), entries, entries + self.entries_bytes

    def header(self) -> bytes:
        """Magic, length, JSON and padding: all that stands before the arrays."""
        places, entries, total = self.places()
        tables = [
            {**asdict(shape), **asdict(place), "width_bytes": WIDTH_BYTES[shape.signal]}
            for shape, place in zip(self.shapes, places, strict=True)
        ]
        text = canonical_json(
            {
                **asdict(self.about),
                "counts": self.counts(),
                "tables": tables,
                "entries": {"offset": entries, "bytes": self.entries_bytes},
                "data_bytes": total,
            }
        )
        whole = MAGIC + len(text).to_bytes(8, "little") + text
        return whole.ljust(aligned(len(whole)), b"\0")


def aligned(offset: int) -> int:
    """The next multiple of 64 that is not smaller."""
    return -(-offset // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def canonical_json(value: Any) -> bytes:
    """The one spelling: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def layout_of(payload: memoryview) -> tuple[Layout, int]:
    """The layout at the start of a payload, and where its data start. Raises NotCanonical.

    Checks that the header is the one that `Layout.header` builds, and that the payload ends where it says.
    """
    length = int.from_bytes(payload[len(MAGIC) : PREFIX_BYTES], "little")
    if payload[: len(MAGIC)] != MAGIC or not 0 < length <= MAX_HEADER_BYTES:
        raise NotCanonical("no header")
    layout = _parsed(bytes(payload[PREFIX_BYTES : PREFIX_BYTES + length]))
    header = layout.header()
    if payload[: len(header)] != header:
        raise NotCanonical("a header in another spelling")
    if len(payload) != len(header) + layout.places()[2]:
        raise NotCanonical("another length than the header's")
    return layout, len(header)


def _parsed(text: bytes) -> Layout:
    try:
        data = json.loads(text)
        about = About(**{name: data[name] for name in About.__slots__})
        shapes = tuple(_shape(table) for table in data["tables"])
        layout = Layout(about, shapes, data["entries"]["bytes"])
        sound = not about.fault() and all(_is_count(n, least) for n, least in _measures(layout))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise NotCanonical("a header that is none") from None
    if not sound:
        raise NotCanonical("a header with impossible figures")
    return layout


def _measures(layout: Layout) -> Iterator[tuple[int, int]]:
    """Every figure with the least it can be: a table without keys is not written, and a filter has a word at least."""
    yield layout.entries_bytes, 0
    for shape in layout.shapes:
        yield from ((shape.count, 1), (shape.words, 1), (shape.entries, 0))


def _is_count(figure: int, least: int) -> bool:
    return type(figure) is int and least <= figure < _MOST


def _shape(table: dict[str, Any]) -> Shape:
    forms = tuple(UrlForm(form) for form in table["forms"])
    return Shape(Signal(table["signal"]), forms, table["count"], table["words"], table["entries"])
