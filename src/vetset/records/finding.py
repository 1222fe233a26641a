"""What a list says and what was found: entries, reasons, hits. Sealed where it names a place.

In it: frozen data. Not in it: comparing, sealing to anybody. Rules: an address is only ever inside `Sealed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vetset.records.outcome import ScreenOutcome
from vetset.records.picture import View
from vetset.records.value import Column, Sealed, Signal, UrlForm


@dataclass(frozen=True, slots=True)
class ListRef:
    """A compiled list as named in results: every figure is "as of" this version and digest."""

    name: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class ListEntry:
    """What a list says of one of its entries, beside the value."""

    entry_id: str = ""
    category: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Nearness:
    """How a picture met a list's fingerprint: which view, in which orientation of eight, how far apart."""

    distance: int  # bits for PDQ; whatever the kind measures in, for others
    view: View
    orientation: int = 0
    quality: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Match:
    """One reason why a row is a hit: which list, which signal, under which form, by which entry. Vault only."""

    list_name: str
    list_version: int
    signal: Signal
    form: UrlForm | None
    key: Sealed[bytes]
    entry: ListEntry = field(default_factory=ListEntry)
    near: Nearness | None = None  # how near the picture is, where it was matched by distance


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """Where a row's picture lies or lay, and what was recorded of it. Only ever inside `Sealed`."""

    url: bytes | None
    digests: Mapping[Signal, bytes]  # as the dataset records them
    computed: Mapping[Signal, bytes] = field(default_factory=dict)  # of the bytes in hand


@dataclass(frozen=True, slots=True, repr=False)
class Borne:
    """A value by which a finding may spread: a raw URL, or a recorded digest, and the column it stands in."""

    column: Column
    value: Sealed[bytes]


@dataclass(frozen=True, slots=True, repr=False)
class Hit:
    """A row and what was found about it: a claim, unverified. Written to the vault and nowhere else."""

    shard_id: str
    row: int
    outcome: ScreenOutcome
    address: Sealed[Address]
    matches: tuple[Match, ...] = ()
    noted: Mapping[str, Any] = field(default_factory=dict)
