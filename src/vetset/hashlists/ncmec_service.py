"""NCMEC's hash sharing, version 2, asked for what is new.

In it: windows of time, their pages, the checkpoint. Not in it: what a page says (`ncmec`), HTTP (`service`).
Rules: entries of a window come in no order of time, so the checkpoint passes a window only when its last page is kept
(`next` is exhausted). Times are UTC. Windows overlap by an hour, for clocks that differ and entries that came in late;
an entry met twice changes nothing. A path that the service names as next is followed within `entries` only.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

from vetset.errors import ServiceError, Stop
from vetset.hashlists.account import Account
from vetset.hashlists.exchange import Checkpoint, Entry, Part, Value
from vetset.hashlists.ncmec import MAX_PAGE_BYTES, Page, Said, read_page
from vetset.hashlists.service import Service
from vetset.records import ListEntry

OVERLAP = timedelta(hours=1)
#: The path of a next page is good for about 12 hours; after this its window is begun again.
NEXT_GOOD_FOR = timedelta(hours=11)
_ENTRIES = "/v2/entries?"
_GONE = ("http_400", "http_404", "http_410")


@dataclass(frozen=True, slots=True, repr=False)
class Ncmec:
    """The exchange. `since`: the first day of all; `window` at most is asked for at once."""

    service: Service
    since: date
    window: timedelta
    now: Callable[[], datetime]

    @property
    def origin(self) -> str:
        return f"ncmec {self.service.base}"

    def plan(self, checkpoint: Checkpoint) -> Sequence[str]:
        start, until = self._start(checkpoint), self.now()
        windows = max(1, -(-(until - start) // self.window))
        return [
            f"entries from {spelled(start)} to {spelled(until)}, in {windows:,} window(s) of time, all pages of each",
            "it learns who asks, when, and from which network address; nothing of any dataset is sent",
        ]

    def parts(self, checkpoint: Checkpoint) -> Iterator[Part]:
        """One part a page."""
        start, until = self._start(checkpoint), self.now()
        if checkpoint.get("next"):
            end = _read(checkpoint["to"])
            yield from self._window_gone_on_with(start, end, checkpoint)
            start = end
        while start < until:
            end = min(start + self.window, until)
            yield from self._window(start, end, self._first(start, end))
            start = end

    def _start(self, checkpoint: Checkpoint) -> datetime:
        if "from" in checkpoint:
            return _read(checkpoint["from"])
        return datetime(self.since.year, self.since.month, self.since.day, tzinfo=UTC)

    def _first(self, start: datetime, end: datetime) -> str:
        return _ENTRIES + urlencode({"from": spelled(start - OVERLAP), "to": spelled(end)})

    def _window_gone_on_with(self, start: datetime, end: datetime, checkpoint: Checkpoint) -> Iterator[Part]:
        """The rest of a window that was left in the middle; all of it, if its next page is not to be had any more."""
        first = self._first(start, end)
        if self.now() - _read(checkpoint["asked"]) > NEXT_GOOD_FOR:
            yield from self._window(start, end, first)
            return
        try:
            yield from self._window(start, end, checkpoint["next"])
        except ServiceError as error:
            if error.code not in _GONE:
                raise
            yield from self._window(start, end, first)

    def _window(self, start: datetime, end: datetime, path: str) -> Iterator[Part]:
        """Pages from `path` on; the part of the last one has the checkpoint behind the window."""
        seen: set[str] = set()
        while path:
            seen.add(path)
            account, asked = Account(f"a page of {self.service.name}"), self.now()
            page = read_page(io.BytesIO(self.service.get(path, max_bytes=MAX_PAGE_BYTES)), account)
            path = self._checked(page, seen)
            checkpoint = {"from": spelled(start), "to": spelled(end), "next": path, "asked": spelled(asked)}
            entries = [found for said in page.said if (found := _entry(said))]
            yield Part(entries, checkpoint if path else {"from": spelled(end)}, faults=account.faults)

    def _checked(self, page: Page, seen: set[str]) -> str:
        path = page.next_path
        if path and (not path.startswith(_ENTRIES) or not path.isascii() or not path.isprintable() or "\\" in path):
            raise Stop(f"{self.service.name} names a next page that lies elsewhere", hint="tell the body that runs it")
        if path in seen:
            raise Stop(f"{self.service.name} names a page as its own next", hint="try again later, and tell the body")
        return path


def _entry(said: Said) -> Entry | None:
    """What a page says, as an entry. A tombstone without key or time withdraws nothing."""
    time = said.time.isoformat(timespec="microseconds") if said.time else ""
    if said.values is None:
        return Entry(_key(said), time, None) if said.key and time else None
    values: frozenset[Value] = frozenset(
        (signal, value, ListEntry(said.entry_id, category, said.member)) for signal, value, category in said.values
    )
    return Entry(_key(said), time, values)


def _key(said: Said) -> str:
    """Member and entry; where one is missing, what the entry holds, so that the same page twice gives it once."""
    if said.key:
        return "\x1f".join(said.key)
    digest = hashlib.sha256()
    for signal, value, category in sorted(said.values or ()):
        digest.update(repr((signal.value, value, category)).encode())
    return f"\x00{digest.hexdigest()}"


def spelled(time: datetime) -> str:
    """As the service asks for times: UTC to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
