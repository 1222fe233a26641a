"""The bodies that the settings name, as platforms: limited and asked again with `live`, and only counted without.

In it: `[platforms.NAME]` checked and made into adapters, what each was asked this month. Not in it: who is asked what,
and when (`stages.verify`), and the bodies' own ways (`platforms`).
Rules: without `live` there is no way to any body, and nothing answers that could be a verdict; a kind of fingerprint
that the user brings goes only to platforms that it may be sent to by its own word; names of credentials are read here,
and what stands under them only by an adapter, when it asks.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random, SystemRandom

from vetset.config import PlatformSettings, Settings
from vetset.errors import Stop
from vetset.kernels import Plan, planned, seconds_left_of_month
from vetset.platforms import hma, photodna, shield
from vetset.platforms.credential import Credential
from vetset.platforms.hma import Banks, HmaPlatform
from vetset.platforms.photodna import EdgeHashes, PhotoDnaPlatform
from vetset.platforms.shield import ShieldPlatform
from vetset.platforms.terms import Terms
from vetset.ports import FingerprintKind, Platform
from vetset.records import Abilities, Ruling
from vetset.wiring.worker import kinds_of
from vetset.wrappers import Clock, DryRun, Limited, Patience, Retrying, Wait, requests_counted

#: Where requests are counted, in the user's settings folder.
_COUNTS = "requests"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

Adapter = ShieldPlatform | PhotoDnaPlatform | HmaPlatform


@dataclass(frozen=True, slots=True, kw_only=True)
class Bodies:
    """The platforms of the settings, by name. Nothing is asked of anybody before `platform(...).judge`."""

    settings: Settings
    config_folder: Path
    live: bool = False
    clock: Clock = time.time
    wait: Wait = time.sleep
    random: Random = field(default_factory=SystemRandom)

    def abilities(self, name: str) -> Abilities:
        """What a platform takes, allows and learns. Raises Stop for one that is not named, or not as it should be."""
        with self._adapter(name) as adapter:
            return adapter.abilities

    def used_this_month(self, name: str) -> int:
        """How many requests to it were counted in this month (UTC)."""
        return requests_counted(self._counted_in(name), self.clock())

    def plan(self, counts: Mapping[str, int], names: Iterable[str]) -> Plan:
        """How many requests each of these platforms is sent for so many unique fingerprints by kind, and how long."""
        asked = [self.abilities(name) for name in names]
        used = {body.name: self.used_this_month(body.name) for body in asked}
        left = seconds_left_of_month(datetime.fromtimestamp(self.clock(), UTC))
        return planned(counts, asked, used_this_month=used, seconds_left_of_month=left)

    def platform(self, name: str) -> AbstractContextManager[Platform]:
        """The platform: with `live` the body within its limits, else a `DryRun`."""
        return self._live(name) if self.live else contextlib.nullcontext(DryRun(self.abilities(name)))

    @contextlib.contextmanager
    def _live(self, name: str) -> Iterator[Platform]:
        patience = Patience(attempts=self._table(name).attempts)
        with self._adapter(name) as adapter:
            limited = Limited(adapter, counted_in=self._counted_in(name), clock=self.clock, wait=self.wait)
            yield Retrying(limited, wait=self.wait, random=self.random, patience=patience)

    def _counted_in(self, name: str) -> Path:
        return self.config_folder / _COUNTS / f"{name}.json"

    def _table(self, name: str) -> PlatformSettings:
        tables = self.settings.platforms
        if name not in tables:
            known = ", ".join(sorted(tables)) or "none"
            raise Stop(f"the settings know no platform {name}", hint=f"known: {known}; see [platforms.NAME]")
        if not _NAME.fullmatch(name):
            raise Stop(f"[platforms.{name}] has no name that a file can bear", hint="letters, digits, - and _")
        return tables[name]

    @contextlib.contextmanager
    def _adapter(self, name: str) -> Iterator[Adapter]:
        table = self._table(name)
        if table.kind not in _MAKERS:
            raise Stop(f"[platforms.{name}] says no kind", hint=f"kind = one of {', '.join(_MAKERS)}")
        _check_foreign_keys(name, table)
        adapter = _MAKERS[table.kind](name, table, self.settings)
        try:
            yield adapter
        finally:
            adapter.close()


# --- one table, one adapter -----------------------------------------------------------------------------------------

#: What only some kinds of platform have a use for.
_ONLY: Mapping[str, tuple[str, ...]] = {
    "url": ("hma",),
    "kinds": ("photodna",),
    "party": ("hma",),
    "banks": ("hma",),
    "canary": ("hma", "photodna"),
}


def _check_foreign_keys(name: str, table: PlatformSettings) -> None:
    for key, kinds in _ONLY.items():
        if getattr(table, key) and table.kind not in kinds:
            raise Stop(
                f"[platforms.{name}] {key} says nothing to {table.kind}", hint=f"it is for {' and '.join(kinds)}"
            )
    if table.url and table.sandbox_url:
        raise Stop(f"[platforms.{name}] has two addresses", hint="sandbox_url is asked in place of url: leave one out")


def _shield(name: str, table: PlatformSettings, _settings: Settings) -> ShieldPlatform:
    credential, terms = _credential(name, table), _terms(name, table, shield.TERMS)
    if table.sandbox_url:
        return ShieldPlatform.sandbox(table.sandbox_url, credential, terms)
    return ShieldPlatform.live(credential, terms)


def _photodna(name: str, table: PlatformSettings, settings: Settings) -> PhotoDnaPlatform:
    credential, terms = _credential(name, table), _terms(name, table, photodna.TERMS)
    hashes = EdgeHashes(_sendable(name, table, kinds_of(settings)), _of_base64(name, table.canary))
    if table.sandbox_url:
        return PhotoDnaPlatform.sandbox(table.sandbox_url, credential, hashes, terms)
    return PhotoDnaPlatform.live(credential, hashes, terms)


def _hma(name: str, table: PlatformSettings, _settings: Settings) -> HmaPlatform:
    named = bool(table.credentials_file or table.credentials_variable)
    credential, terms = _credential(name, table) if named else None, _terms(name, table, hma.TERMS)
    banks = Banks(table.party, {bank: _ruling(name, word) for bank, word in table.banks.items()}, _of_hex(name, table))
    if table.sandbox_url:
        return HmaPlatform.sandbox(table.sandbox_url, banks, credential, terms)
    if not table.url:
        raise Stop(f"[platforms.{name}] says not where it is", hint="set url, or sandbox_url for one on this machine")
    return HmaPlatform.live(table.url, banks, credential, terms)


_MAKERS: Mapping[str, Callable[[str, PlatformSettings, Settings], Adapter]] = {
    "shield": _shield,
    "photodna": _photodna,
    "hma": _hma,
}


def _credential(name: str, table: PlatformSettings) -> Credential:
    if bool(table.credentials_file) == bool(table.credentials_variable):
        raise Stop(
            f"[platforms.{name}] should name its credentials once",
            hint="credentials_file = a file, or credentials_variable = a variable of the environment that holds them",
        )
    return Credential(name, table.credentials_variable, table.credentials_file)


def _terms(name: str, table: PlatformSettings, usual: Terms) -> Terms:
    return replace(
        usual,
        name=name,
        batch=table.batch or usual.batch,
        requests_per_second=table.requests_per_second or usual.requests_per_second,
        requests_per_month=table.requests_per_month,
        timeout_seconds=float(table.timeout_seconds),
        certificates_file=table.certificates_file,
    )


def _sendable(name: str, table: PlatformSettings, kinds: tuple[FingerprintKind, ...]) -> tuple[str, ...]:
    """The kinds of fingerprint that the table names, if each is there and may be sent there by its own word."""
    if not table.kinds:
        raise Stop(
            f"[platforms.{name}] names no kind of fingerprint that it takes",
            hint="edge hashes come from a library under a licence of yours: see docs/guides/photodna-cloud.md",
        )
    known = {kind.name: kind for kind in kinds}
    for wanted in table.kinds:
        if wanted not in known:
            raise Stop(
                f"[platforms.{name}] names the kind {wanted}, which [fingerprint] kinds does not bring",
                hint="name its module:Class there, under the licence that you hold",
            )
        if table.kind not in known[wanted].may_be_sent_to:
            raise Stop(f"the kind {wanted} may not be sent to {table.kind}", hint="its library says where it may go")
        if known[wanted].width_bytes != photodna.EDGE_HASH_BYTES:
            raise Stop(f"the kind {wanted} is no edge hash", hint=f"those have {photodna.EDGE_HASH_BYTES} bytes")
    return table.kinds


def _ruling(name: str, word: str) -> Ruling:
    allowed = (Ruling.CSAM, Ruling.HARMFUL, Ruling.TEST)
    if word not in allowed:
        raise Stop(f"[platforms.{name}] banks hold nothing called that", hint=f"one of {', '.join(allowed)}")
    return Ruling(word)


def _of_hex(name: str, table: PlatformSettings) -> bytes:
    try:
        return bytes.fromhex(table.canary)
    except ValueError:
        raise Stop(f"[platforms.{name}] canary is no hex", hint="64 hexadecimal digits of a PDQ") from None


def _of_base64(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Stop(f"[platforms.{name}] canary is no base64", hint="the hash for tests as the body gives it") from None
