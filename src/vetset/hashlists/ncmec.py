"""Pages of NCMEC's hash-sharing interface, version 2, as XML files.

In it: entries of images and videos, and the tombstones that withdraw them, over all pages given.
Not in it: asking the service for pages.
Rules: a page with a document type is refused (defusedxml); a page that is not whole stops the reading, because what it
should have held is unknown. Entries come in no order of time, so nothing is decided before the last page is read:

- an entry is known by member id and entry id; of its versions the one with the newest timestamp counts, and versions
  of the same time count together;
- a tombstone (`deletedImage`, `deletedVideo`) withdraws the entry when it is not older than that newest version. An
  entry without a readable timestamp counts as older than any tombstone; a tombstone without one withdraws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
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


@dataclass(slots=True, repr=False)
class _Version:
    """The newest version known of an entry, where it stood, and its values with their classification."""

    time: datetime
    account: Account
    line: int
    entry_id: str
    member: str
    values: set[tuple[Signal, bytes, str]] = field(default_factory=set)


class Pages:
    """Pages read one after another; `finish` hands over what no tombstone withdrew."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._entries: dict[Key, _Version] = {}
        self._tombstones: dict[Key, datetime] = {}
        self._last: tuple[Account, bool] | None = None

    def read(self, stream: BinaryIO, account: Account) -> None:
        """Reads a page. Raises Stop if it is not one."""
        root, lines = _parsed(stream, account.source)
        for section in root:
            name = _name(section)
            if name in _SECTIONS:
                for element in section:
                    self._read_element(element, lines, account)
            elif name != "paging":
                account.count(Reason.UNKNOWN_ELEMENT, lines[section])
        self._last = (account, bool(_text(root, "paging/next")))

    def finish(self) -> None:
        """Puts the values of the entries that stand into what was gathered."""
        for key, version in self._entries.items():
            if key in self._tombstones and self._tombstones[key] >= version.time:
                version.account.count(Reason.WITHDRAWN, version.line)
                continue
            for signal, value, category in sorted(version.values):
                self._gathered.hold(signal, value, ListEntry(version.entry_id, category, version.member))
                version.account.taken += 1
        if self._last and self._last[1]:
            self._last[0].notes.append("the last page given names a next one: the list may lack what stands there")

    def _read_element(self, element: Element, lines: Lines, account: Account) -> None:
        name, line = _name(element), lines[element]
        time = _time(element)
        if time is None:
            account.count(Reason.BAD_TIMESTAMP, line)
        if name in _ENTRIES:
            self._read_entry(element, time or _EARLIEST, lines, account)
        elif name in _TOMBSTONES:
            key = self._key(element, line, account)
            if time:
                self._tombstones[key] = max(time, self._tombstones.get(key, time))
        else:
            account.count(Reason.UNKNOWN_ELEMENT, line)

    def _key(self, element: Element, line: int, account: Account) -> Key:
        """Member id and entry id; an entry that lacks one is nobody's namesake, and cannot be withdrawn."""
        member, entry = _member(element), _text(element, "id")
        if member and entry:
            return member, entry
        account.count(Reason.NO_ENTRY_ID, line)
        return f"\x00{account.source}", str(line)

    def _read_entry(self, element: Element, time: datetime, lines: Lines, account: Account) -> None:
        line = lines[element]
        key = self._key(element, line, account)
        known = self._entries.get(key)
        values = set(_values(element, lines, account))
        if known and known.time > time:
            account.count(Reason.SUPERSEDED, line)
        elif known and known.time == time:
            known.values |= values
        else:
            if known:
                known.account.count(Reason.SUPERSEDED, known.line)
            entry_id = "" if key[0].startswith("\x00") else "/".join(key)
            self._entries[key] = _Version(time, account, line, entry_id, _member(element), values)


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
        if signal is None:
            known = "href" in fingerprint.attrib
            account.count(Reason.BY_REFERENCE if known else Reason.UNKNOWN_SIGNAL, line)
            continue
        value = value_of(signal, (fingerprint.text or "").encode())
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
