"""Bodies for the tests of exchanges: emulated, with clients that wait for nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

from vetset.hashlists import hma_banks
from vetset.hashlists.csvfile import column_map
from vetset.hashlists.document import Document, FromService, reader_of
from vetset.hashlists.exchange import Exchange
from vetset.hashlists.hma_banks import HmaBank
from vetset.hashlists.ncmec_service import Ncmec
from vetset.hashlists.service import Secret, Service
from vetset.records import Sealed
from vetset.testing.document_server import Documents, document_server
from vetset.testing.hashlist_contract import Body
from vetset.testing.hma_bank_server import Banked, Curator, hma_bank_server
from vetset.testing.ncmec_server import PASSWORD, USER, Exchanged, SharedEntry, ncmec_server

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
BASIC = Secret("Authorization", Sealed("Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()))
Pause = Callable[[float], None]


def spelled(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


class Moments:
    """A clock that a test moves."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@contextmanager
def ncmec_of(
    url: str, pause: Pause, moments: Moments, *, window_days: int = 30, since: date = date(2026, 9, 1)
) -> Iterator[Ncmec]:
    service = Service.sandbox("ncmec", url, BASIC, pause=pause, now=moments)
    try:
        yield Ncmec(service, since, timedelta(days=window_days), moments)
    finally:
        service.close()


@contextmanager
def ncmec_body(page_entries: int = 2) -> Iterator[Body]:
    books, moments = Exchanged(page_entries=page_entries), Moments()
    given: dict[str, bytes] = {}

    def publish(entries: Mapping[str, bytes]) -> None:
        """What changed is said a day later, the newest first: entries come in no order of time."""
        nonlocal given
        moments.now += timedelta(days=2)
        times = iter(range(23, 0, -1))
        for name in sorted({*given, *entries}):
            if given.get(name) != entries.get(name):
                when = spelled(moments.now - timedelta(days=1, hours=next(times)))
                digest = entries.get(name)
                prints = {"md5": digest.hex()} if digest else {}
                books.said.append(SharedEntry(name, when, prints, deleted=digest is None))
        given = dict(entries)

    with ncmec_server(books) as served:
        yield Body(served, publish, lambda pause: ncmec_of(served.url, pause, moments), PASSWORD)


@contextmanager
def hma_of(
    url: str, pause: Pause, moments: Moments, *, bank: str = "KNOWN", gap: int = 6, secret: Secret | None = BASIC
) -> Iterator[HmaBank]:
    service = Service.sandbox("hma", url, secret, pause=pause, now=moments)
    try:
        yield HmaBank(service, bank, gap, moments)
    finally:
        service.close()


@contextmanager
def hma_body(part_numbers: int = 3) -> Iterator[Body]:
    """A bank whose contents get new numbers when they come, between those of another bank."""
    curator, moments, numbers = Curator(value=BASIC.value.unseal()), Moments(), dict[str, int]()
    before, hma_banks.PART_NUMBERS = hma_banks.PART_NUMBERS, part_numbers

    def publish(entries: Mapping[str, bytes]) -> None:
        moments.now += timedelta(days=2)
        for name in set(numbers) - set(entries):
            del curator.contents[numbers.pop(name)]
        for name, digest in entries.items():
            if name not in numbers:
                numbers[name] = max(curator.contents, default=0) + 2
                curator.contents[numbers[name] - 1] = Banked("OTHER", {"md5": "00" * 16})
            curator.contents[numbers[name]] = Banked("KNOWN", {"video_md5": digest.hex()})

    try:
        with hma_bank_server(curator) as served:
            yield Body(served, publish, lambda pause: hma_of(served.url, pause, moments), PASSWORD)
    finally:
        hma_banks.PART_NUMBERS = before


def as_csv(entries: Mapping[str, bytes]) -> bytes:
    lines = "".join(f"{name},{digest.hex()}\n" for name, digest in entries.items())
    return f"ID,Digest\n{lines}".encode()


def as_json(entries: Mapping[str, bytes]) -> bytes:
    return json.dumps({"hashes": [{"ID": name, "Digest": digest.hex()} for name, digest in entries.items()]}).encode()


def as_text(entries: Mapping[str, bytes]) -> bytes:
    return b"".join(b"md5 " + digest.hex().encode() + b"\n" for digest in entries.values())


def document_bodies(kind: str, *, tagged: bool = True) -> Callable[[], object]:
    write = {"csv": as_csv, "json": as_json, "text": as_text}[kind]
    columns = None if kind == "text" else column_map({"md5": "Digest", "entry_id": "ID"}, "here")
    read = reader_of(kind, columns=columns, items="hashes" if kind == "json" else "", signal=None)

    @contextmanager
    def open_body() -> Iterator[Body]:
        documents = Documents(header="X-Api-Key", value="made-up-word", tagged=tagged)

        @contextmanager
        def exchange(pause: Pause) -> Iterator[Exchange]:
            secret = Secret("X-Api-Key", Sealed("made-up-word"))
            service = Service.sandbox("body", f"{served.url}/list", secret, pause=pause)
            try:
                yield Document(FromService(service, 1 << 20), read, kind)
            finally:
                service.close()

        def publish(entries: Mapping[str, bytes]) -> None:
            documents.by_path["/list"] = write(entries)

        with document_server(documents) as served:
            yield Body(served, publish, exchange, "made-up-word")

    return open_body
