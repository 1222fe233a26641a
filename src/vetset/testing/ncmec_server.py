"""NCMEC's hash sharing, version 2, emulated: status, members, entries in pages, over real HTTP.

In it: what the public facts of the interface say, its traps among them: entries in no order of time, an update and a
delete of one id, windows without entries, fingerprints by reference only, pages that lead to a next one.
Not in it: HTTP and its faults (`serving`), feedback, the client, from which nothing here was taken.
Rules: every value is made up. An answer shows what was said in the window asked for, in the order in which it came in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

from vetset.testing.serving import Asked, Reply, Served, lets_in, served

NAMESPACE = "https://hashsharing.ncmec.org/hashsharing/v2"
USER, PASSWORD = "invented", "made-up-word"
PAGE_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class SharedEntry:
    """What a member shares, or with `deleted`, withdraws. `time` is UTC, as 2026-01-31T12:00:00Z."""

    id: str
    time: str
    prints: Mapping[str, str] = field(default_factory=dict)  # by tag: md5, sha1, pdna, pdq
    references: Sequence[str] = ()  # tags of large fingerprints, given by reference
    member: str = "42"
    classification: str = ""
    deleted: bool = False
    video: bool = False


@dataclass(slots=True)
class Exchanged:
    """The service's books. `page_entries` on a page; `user` and `password` are let in."""

    said: list[SharedEntry] = field(default_factory=list)
    page_entries: int = PAGE_ENTRIES
    user: str = USER
    password: str = PASSWORD
    to_is_within: bool = False  # whether a window holds its last second; the public facts do not say

    def answer(self, asked: Asked) -> Reply:
        if not lets_in(asked, self.user, self.password):
            return Reply(401)
        if asked.method != "GET":
            return Reply(405)
        pages = {"/v2/status": self._status, "/v2/members": self._members}
        if asked.path in pages:
            return _xml(pages[asked.path]())
        return self._entries(asked.query) if asked.path == "/v2/entries" else Reply(404)

    def _status(self) -> str:
        return (
            f"<status xmlns={quoteattr(NAMESPACE)}><ipAddress>127.0.0.1</ipAddress>"
            f"<username>{escape(self.user)}</username>{_member('1')}</status>"
        )

    def _members(self) -> str:
        names = sorted({entry.member for entry in self.said})
        return f"<members xmlns={quoteattr(NAMESPACE)}>{''.join(map(_member, names))}</members>"

    def _entries(self, query: Mapping[str, str]) -> Reply:
        first, last = _second(query.get("from", "")), _second(query.get("to", ""))
        if not first or not last:
            return Reply(400)
        found = [entry for entry in self.said if self._within(entry.time, first, last)]
        start = int(query.get("start", "1")) - 1
        page = found[start : start + self.page_entries]
        more = self._next(query, start) if start + self.page_entries < len(found) else ""
        return _xml(
            f"<queryResult xmlns={quoteattr(NAMESPACE)}>{_section('images', page, video=False)}"
            f"{_section('videos', page, video=True)}{more}</queryResult>"
        )

    def _within(self, time: str, first: str, last: str) -> bool:
        return first <= time < last or (self.to_is_within and time == last)

    def _next(self, query: Mapping[str, str], start: int) -> str:
        begin = start + self.page_entries
        asked = {"from": query["from"], "to": query["to"], "start": begin + 1, "size": self.page_entries}
        path = "/v2/entries?" + urlencode({**asked, "max": begin + self.page_entries})
        return f"<paging><next>{escape(path)}</next></paging>"


def _second(text: str) -> str:
    """A time as it is compared with entries', or nothing for what is no time."""
    head, dot, _ = text.partition(".")
    return head + "Z" if dot else text if text.endswith("Z") else ""


def _xml(text: str) -> Reply:
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    return Reply(200, (head + text).encode(), {"Content-Type": "application/xml"})


def _section(name: str, page: Sequence[SharedEntry], *, video: bool) -> str:
    own = [entry for entry in page if entry.video == video]
    newest = f" maxTimestamp={quoteattr(max(entry.time for entry in own))}" if own else ""
    return f'<{name} count="{len(own)}"{newest}>{"".join(map(_element, own))}</{name}>'


def _member(member: str) -> str:
    return f"<member id={quoteattr(member)}>Member {escape(member)}</member>"


def _element(entry: SharedEntry) -> str:
    """As in the service's own examples: a deleted entry has its id before its time."""
    kind = "video" if entry.video else "image"
    time, name = f"<timestamp>{entry.time}</timestamp>", f"<id>{escape(entry.id)}</id>"
    if entry.deleted:
        tag = f"deleted{kind.capitalize()}"
        return f"<{tag}>{_member(entry.member)}{name}{time}</{tag}>"
    said = f"<classification>{entry.classification}</classification>" if entry.classification else ""
    prints = "".join(f"<{tag}>{escape(value)}</{tag}>" for tag, value in entry.prints.items())
    prints += "".join(
        f'<{tag} rel="self" href="/v2/entries/{entry.member}/fingerprints/{tag.upper()}"/>' for tag in entry.references
    )
    return f"<{kind}>{_member(entry.member)}{time}{name}{said}<fingerprints>{prints}</fingerprints><feedback/></{kind}>"


@contextmanager
def ncmec_server(books: Exchanged) -> Iterator[Served]:
    """The service for as long as the context lasts."""
    with served(books.answer) as service:
        yield service
