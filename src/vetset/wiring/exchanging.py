"""Lists got from exchanges: `[exchanges.NAME]` of the settings made into an exchange, and asked.

In it: what a table must say, which service it leads to, and the fetch. Not in it: options, words on a screen.
Rules: without `live` only a `sandbox_url` or a file is ever asked; a list from a sandbox bears another name, so that
none is taken for the other.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from vetset.config import ExchangeSettings
from vetset.errors import Stop
from vetset.hashlists import fetching
from vetset.hashlists.csvfile import ColumnMap, column_map
from vetset.hashlists.document import Document, FromFile, FromService, Whence, reader_of
from vetset.hashlists.exchange import Exchange
from vetset.hashlists.hma_banks import HmaBank
from vetset.hashlists.layout import About
from vetset.hashlists.ncmec_service import Ncmec
from vetset.hashlists.seen import highest_seen
from vetset.hashlists.service import Secret, Service
from vetset.platforms.credential import Credential
from vetset.records import Sealed, Signal
from vetset.vault import check_recipients, custodian, read_identities
from vetset.vault.custody import CUSTODIAN_KEY

SANDBOX = "-sandbox"


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """One `lists fetch`. `identities` are files that open what is known so far, beside the custodian's own."""

    name: str
    exchanges: Mapping[str, ExchangeSettings]
    config_folder: Path
    live: bool = False
    identities: Sequence[Path] = ()


def may_ask(request: FetchRequest) -> bool:
    """Whether `fetch_list` would ask anything: it may ask a sandbox and a file, and with `live` all. Raises Stop."""
    settings = _settings(request)
    return request.live or bool(settings.sandbox_url or settings.file)


def fetch_list(request: FetchRequest) -> fetching.Fetched:
    """Fetches what is new and compiles it. Raises Stop; without a sandbox, a file or `live` nothing is asked."""
    settings = _settings(request)
    if not may_ask(request):
        raise Stop(f"[exchanges.{request.name}] is a live service: nothing was asked", hint="ask with --live")
    with _exchange(request, settings) as exchange:
        return fetching.fetch(exchange, _wanted(request, settings, create=True), datetime.now(UTC))


def plan_of(request: FetchRequest) -> Sequence[str]:
    """What `fetch_list` with the same request, live, would ask. Nothing is asked, and no key is made."""
    settings = _settings(request)
    with _exchange(request, settings, bare=True) as exchange:
        wanted = _wanted(request, settings, create=False)
        return [f"{request.name}: {exchange.origin}", *fetching.plan(exchange, wanted)]


def _settings(request: FetchRequest) -> ExchangeSettings:
    found = request.exchanges.get(request.name)
    if found is None:
        known = ", ".join(sorted(request.exchanges)) or "none"
        raise Stop(
            f"no exchange is named {request.name}",
            hint=f"name it in the settings as [exchanges.{request.name}]; known there: {known}",
        )
    if fault := About(request.name, 1, "2026-01-01T00:00:00Z", found.source, "", found.purpose).fault():
        raise Stop(f"[exchanges.{request.name}]: {fault}", hint="see docs/reference/settings.md")
    return found


# --- the exchange -----------------------------------------------------------------------------------------------------


@contextmanager
def _exchange(request: FetchRequest, settings: ExchangeSettings, *, bare: bool = False) -> Iterator[Exchange]:
    """The exchange; `bare`: only to plan, without credentials."""
    where = f"exchanges.{request.name}"
    if settings.file:
        if settings.url or settings.sandbox_url or settings.kind in ("ncmec", "hma"):
            raise Stop(f"[{where}] names a file: that goes with csv, json and text, and without url", hint="name one")
        yield _document(settings, where, FromFile(Path(settings.file), settings.max_bytes))
        return
    service = _service(request, settings, where, bare=bare)
    try:
        if settings.kind == "ncmec":
            window = timedelta(days=settings.window_days)
            yield Ncmec(service, _day(settings.since, where), window, lambda: datetime.now(UTC))
        elif settings.kind == "hma":
            if not settings.bank:
                raise Stop(f"[{where}] names no bank", hint='bank = "NAME", as the HMA spells it')
            yield HmaBank(service, settings.bank, settings.gap_numbers, lambda: datetime.now(UTC))
        else:
            yield _document(settings, where, FromService(service, settings.max_bytes))
    finally:
        service.close()


def _service(request: FetchRequest, settings: ExchangeSettings, where: str, *, bare: bool) -> Service:
    """Live if asked so; else the sandbox, and for a plan the live one where there is no sandbox."""
    live = request.live or not settings.sandbox_url
    url = settings.url if live else settings.sandbox_url
    if not url:
        raise Stop(f"[{where}] names no {'url' if live else 'sandbox_url'}", hint="see docs/reference/settings.md")
    secret = None if bare else _secret(settings, where)
    make = Service.live if live else Service.sandbox
    return make(request.name, url, secret)


def _secret(settings: ExchangeSettings, where: str) -> Secret | None:
    kind = settings.authorization
    if kind == "none":
        return None
    named = Credential(f"[{where}]", settings.credentials_variable, settings.credentials_file)
    if kind == "header":
        if not settings.header.strip():
            raise Stop(f"[{where}] names no header", hint='header = "X-Api-Key", or whatever the body asks for')
        return Secret(settings.header.strip(), Sealed(named.resolve()))
    if kind == "bearer":
        return Secret("Authorization", Sealed(f"Bearer {named.resolve()}"))
    pair = ":".join(named.pair()).encode("ascii")
    return Secret("Authorization", Sealed("Basic " + base64.b64encode(pair).decode("ascii")))


def _document(settings: ExchangeSettings, where: str, whence: Whence) -> Document:
    columns = _columns(settings, where)
    signal = _signal(settings.signal, where) if settings.signal else None
    read = reader_of(settings.kind, columns=columns, items=settings.items, signal=signal)
    read_with = repr((settings.kind, sorted(settings.columns.items()), settings.items, settings.signal))
    return Document(whence, read, read_with)


def _columns(settings: ExchangeSettings, where: str) -> ColumnMap | None:
    return column_map(settings.columns, f"[{where}.columns]") if settings.columns else None


def _day(text: str, where: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Stop(f"since of [{where}] is no day", hint='as in since = "2014-01-01"') from None


def _signal(text: str, where: str) -> Signal:
    try:
        return Signal(text)
    except ValueError:
        raise Stop(f"[{where}] names an unknown signal", hint=f"known: {', '.join(Signal)}") from None


# --- the list ---------------------------------------------------------------------------------------------------------


def _wanted(request: FetchRequest, settings: ExchangeSettings, *, create: bool) -> fetching.Wanted:
    sandbox = not request.live and bool(settings.sandbox_url)
    name = request.name + SANDBOX if sandbox else request.name
    where = f"exchanges.{request.name}"
    recipients = check_recipients(settings.recipients) or _own(request, create=create)
    own = request.config_folder / CUSTODIAN_KEY
    identities = read_identities([*request.identities, *([own] if own.is_file() else [])])
    return fetching.Wanted(
        name,
        Path(settings.folder),
        recipients,
        tuple(identities),
        frozenset(_signal(text, where) for text in settings.signals) or frozenset(Signal),
        settings.source,
        settings.purpose,
        settings.valid_days,
        highest_seen(request.config_folder, name) + 1,
        settings.most_withdrawn,
    )


def _own(request: FetchRequest, *, create: bool) -> tuple[str, ...]:
    own = request.config_folder / CUSTODIAN_KEY
    return (custodian(request.config_folder)[0],) if create or own.is_file() else ()
