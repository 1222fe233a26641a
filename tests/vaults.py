"""Runs with keys for tests of the ledger and the vault, and findings made up for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vetset.ledger import Disk, Ledger, create_run
from vetset.records import Address, Hit, ListEntry, Match, ScreenOutcome, Sealed, Shard, Signal, UrlForm
from vetset.vault import RunKeys, Vault, age, new_keys

SHARD = Shard("part-0.parquet", "part-0.parquet", 100, "0" * 64)


@cache
def custodian_identity() -> str:
    """One identity for all tests, since no test changes it."""
    return age.new_identity()


def recipient() -> str:
    return age.recipient_of(custodian_identity())


@dataclass
class Opened:
    """A run, its keys and its vault."""

    ledger: Ledger
    keys: RunKeys
    vault: Vault

    @property
    def root(self) -> Path:
        return self.ledger.root


def made_run(root: Path, disk: Disk | None = None, *, strict: bool = False, part_bytes: int = 1 << 20) -> Opened:
    """A run as the wiring makes it: the keys before run.toml."""
    keys = new_keys()
    ledger = create_run(root, {"schema": 1}, disk, lambda sink: keys.store(sink, [recipient()], strict=strict))
    return Opened(ledger, keys, Vault(ledger.sink, keys, [recipient()], part_bytes=part_bytes))


def hit(row: int = 0, url: bytes | None = b"http://a.example/1", **changes: Any) -> Hit:
    """A hit by MD5, with whatever else is asked for."""
    digests: Mapping[Signal, bytes] = changes.pop("digests", {Signal.MD5: bytes(range(16))})
    matches: Sequence[Match] = changes.pop("matches", (match(),))
    given: dict[str, Any] = {"shard_id": SHARD.id, "outcome": ScreenOutcome.HIT, **changes}
    return Hit(row=row, address=Sealed(Address(url, digests)), matches=tuple(matches), **given)


def match(key: bytes = bytes(range(16)), form: UrlForm | None = None) -> Match:
    return Match("made-up", 3, Signal.MD5, form, Sealed(key), ListEntry("entry-7", "A1", "a body"))


def plain_of(found: Hit) -> tuple[Any, ...]:
    """A hit as plain values, so that tests can compare what the records refuse to."""
    address = found.address.unseal()
    matches = tuple(
        (item.list_name, item.list_version, item.signal, item.form, item.key.unseal(), item.entry)
        for item in found.matches
    )
    noted = {name: unsealed(value) for name, value in found.noted.items()}
    return found.shard_id, found.row, found.outcome, address.url, dict(address.digests), matches, noted


def unsealed(value: Any) -> Any:
    """A tree of values with every `Sealed` opened."""
    if isinstance(value, Sealed):
        return ("sealed", value.unseal())
    if isinstance(value, Mapping):
        return {name: unsealed(item) for name, item in value.items()}
    return [unsealed(item) for item in value] if isinstance(value, list | tuple) else value
