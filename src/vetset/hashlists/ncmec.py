"""Pages of NCMEC's hash-sharing interface, version 2, as XML.

In it: what a page says of entries of images and videos, and of the tombstones that withdraw them; and what stands of
it over all files given.
Not in it: asking the service for pages (`ncmec_service`).
Rules: a page with a document type is refused (defusedxml); a page that is not whole stops the reading, because what it
should have held is unknown. Entries come in no order of time, so nothing is decided before the last page is read:

- an entry is known by member id and entry id; of its versions the one with the newest timestamp counts, and versions
  of the same time count together;
- a tombstone (`deletedImage`, `deletedVideo`) withdraws the entry when it is not older than that newest version. An
  entry without a readable timestamp counts as older than any tombstone; a tombstone without one withdraws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from vetset.errors import Stop
from vetset.hashlists.account import Account, Reason
from vetset.hashlists.gathering import Gathered
from vetset.hashlists.value import value_of
from vetset.records import ListEntry, Signal

#: A page holds 1,000 entries, some 2 MB; whatever is much larger is no page.
MAX_PAGE_BYTES = 32 * 1024 * 1024

_NAMESPACE = "{https://hashsharing.ncmec.org/hashsharing/v2}"
_SECTIONS = ("images", "videos")
_ENTRIES = ("image", "video")
_TOMBSTONES = ("deletedImage", "deletedVideo")
_SIGNALS = {"md5": Signal.MD5, "sha1": Signal.SHA1, "pdq": Signal.PDQ, "pdna": Signal.PHOTODNA}
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_HINT = "save the answer of the service's `entries` call as it is"

Key = tuple[str, str]
Lines = dict[Element, int]


@dataclass(frozen=True, slots=True, repr=False)
class Said:
    """What a page says of one entry at one time. `values` None: a tombstone; `key` None: it cannot be withdrawn."""

    key: Key | None  # member id and entry id
    time: datetime | None
    line: int
    member: str
    values: frozenset[tuple[Signal, bytes, str]] | None  # with their classification

    @property
    def entry_id(self) -> str:
        return "/".join(self.key) if self.key else ""


@dataclass(frozen=True, slots=True, repr=False)
class Page:
    """What a page says, in its order, and the path of the next one, if it names one."""

    said: tuple[Said, ...]
    next_path: str


def read_page(stream: BinaryIO, account: Account) -> Page:
    """A page. What is wrong in it is counted in the account; raises Stop if it is no page."""
    root, lines = _parsed(stream, account.source)
    said: list[Said] = []
    for section in root:
        name = _name(section)
        if name in _SECTIONS:
            said += [found for element in section if (found := _said(element, lines, account))]
        elif name != "paging":
            account.count(Reason.UNKNOWN_ELEMENT, lines[section])
    return Page(tuple(said), _text(root, "paging/next"))


def _said(element: Element, lines: Lines, account: Account) -> Said | None:
    name, line = _name(element), lines[element]
    time = _time(element)
    if time is None:
        account.count(Reason.BAD_TIMESTAMP, line)
    if name not in _ENTRIES and name not in _TOMBSTONES:
        account.count(Reason.UNKNOWN_ELEMENT, line)
        return None
    key = _key(element, line, account)
    values = frozenset(_values(element, lines, account)) if name in _ENTRIES else None
    return Said(key, time, line, _member(element), values)


def _key(element: Element, line: int, account: Account) -> Key | None:
    """An entry that lacks a part of its key is nobody's namesake."""
    member, entry = _member(element), _text(element, "id")
    if member and entry:
        return member, entry
    account.count(Reason.NO_ENTRY_ID, line)
    return None


@dataclass(slots=True, repr=False)
class _Version:
    """The newest version known of an entry, and where it stood."""

    time: datetime
    account: Account
    said: Said
    values: frozenset[tuple[Signal, bytes, str]]


class Pages:
    """Pages read one after another; `finish` hands over what no tombstone withdrew."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._entries: dict[Key, _Version] = {}
        self._tombstones: dict[Key, datetime] = {}
        self._last: tuple[Account, bool] | None = None

    def read(self, stream: BinaryIO, account: Account) -> None:
        """Reads a page. Raises Stop if it is not one."""
        page = read_page(stream, account)
        for said in page.said:
            self._take(said, account)
        self._last = (account, bool(page.next_path))

    def finish(self) -> None:
        """Puts the values of the entries that stand into what was gathered."""
        for key, version in self._entries.items():
            if key in self._tombstones and self._tombstones[key] >= version.time:
                version.account.count(Reason.WITHDRAWN, version.said.line)
                continue
            for signal, value, category in sorted(version.values):
                self._gathered.hold(signal, value, ListEntry(version.said.entry_id, category, version.said.member))
                version.account.taken += 1
        if self._last and self._last[1]:
            self._last[0].notes.append("the last page given names a next one: the list may lack what stands there")

    def _take(self, said: Said, account: Account) -> None:
        key = said.key or (f"\x00{account.source}", str(said.line))
        if said.values is not None:
            self._take_entry(key, said, said.values, account)
        elif said.time:
            self._tombstones[key] = max(said.time, self._tombstones.get(key, said.time))

    def _take_entry(self, key: Key, said: Said, values: frozenset[tuple[Signal, bytes, str]], account: Account) -> None:
        time = said.time or _EARLIEST
        known = self._entries.get(key)
        if known and known.time > time:
            account.count(Reason.SUPERSEDED, said.line)
        elif known and known.time == time:
            known.values |= values
        else:
            if known:
                known.account.count(Reason.SUPERSEDED, known.said.line)
            self._entries[key] = _Version(time, account, said, values)


def _parsed(stream: BinaryIO, source: str) -> tuple[Element, Lines]:
    data = stream.read(MAX_PAGE_BYTES + 1)
    if len(data) > MAX_PAGE_BYTES:
        raise Stop(f"{source} is larger than {MAX_PAGE_BYTES:,} bytes", hint="a page holds 1,000 entries; " + _HINT)
    builder = _LinedBuilder()
    parser = DefusedXMLParser(target=builder, forbid_dtd=True)
    builder.parser = parser
    try:
        parser.feed(data)
        root: Element = parser.close()
    except DefusedXmlException:
        raise Stop(f"{source} declares a document type or entities", hint="no page does; " + _HINT) from None
    except ParseError as error:
        raise Stop(f"{source} is not whole XML: trouble in line {error.position[0]}", hint=_HINT) from None
    except (ValueError, LookupError):
        raise Stop(f"{source} is not XML in a known encoding", hint=_HINT) from None
    if root.tag != f"{_NAMESPACE}queryResult":
        raise Stop(f"{source} is no page of entries of NCMEC's hash-sharing version 2", hint=_HINT)
    return root, builder.lines


class _LinedBuilder(TreeBuilder):
    """Builds the tree and notes the line in which each element starts."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: Lines = {}
        self.parser: DefusedXMLParser | None = None

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        element = super().start(tag, attrs)
        if self.parser is not None:
            self.lines[element] = self.parser.parser.CurrentLineNumber
        return element


def _values(element: Element, lines: Lines, account: Account) -> Iterator[tuple[Signal, bytes, str]]:
    """The fingerprints we hold kinds of; all others are counted."""
    category = _text(element, "classification")
    for fingerprint in element.iterfind(f"{_NAMESPACE}fingerprints/*"):
        line = lines[fingerprint]
        signal = _SIGNALS.get(_name(fingerprint))
        text = (fingerprint.text or "").strip()
        # What lies behind a reference has no documented shape: it is counted, and not followed.
        if "href" in fingerprint.attrib and (signal is None or not text):
            account.count(Reason.BY_REFERENCE, line)
            continue
        if signal is None:
            account.count(Reason.UNKNOWN_SIGNAL, line)
            continue
        value = value_of(signal, text.encode())
        if isinstance(value, Reason):
            account.count(value, line)
        else:
            yield signal, value, category


def _name(element: Element) -> str:
    return element.tag.removeprefix(_NAMESPACE)


def _text(element: Element, path: str) -> str:
    steps = "/".join(_NAMESPACE + step for step in path.split("/"))
    return (element.findtext(steps) or "").strip()


def _member(element: Element) -> str:
    member = element.find(f"{_NAMESPACE}member")
    return member.get("id", "").strip() if member is not None else ""


def _time(element: Element) -> datetime | None:
    """The timestamp, by ISO 8601; one without an offset is UTC, as the service's are."""
    try:
        time = datetime.fromisoformat(_text(element, "timestamp"))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
