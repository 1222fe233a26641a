"""Which rows lose their last reason when a newer version of a list lacks entries that hit them.

In it: the question whether a match still stands, and the closure over rows that share a value. Not in it: where cases
are kept, what becomes of a released row (`cases`).
Rules: doubt removes. A match falls only if a newer version of its own list is in hand, has values of its kind, and
holds its value no more, under any entry. A row is released only if all its matches fell, no list in hand holds what
the row records, and it shares no value with a row that stays. Each release says on which entries it rests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vetset.kernels.bearing import borne_by
from vetset.kernels.digest import Digests, digest_of
from vetset.kernels.membership import positions_in
from vetset.kernels.url import FORM_OF
from vetset.ports import HashList, KeyTable
from vetset.records import URL_ALGORITHM, Address, Column, Match, Sealed, Signal

Value = tuple[Column, bytes]


@dataclass(frozen=True, slots=True, repr=False)
class Finding:
    """A row that was removed: its case, what it records, and its matches; none for a row that was only expanded."""

    case: str
    address: Sealed[Address]
    matches: tuple[Match, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Gone:
    """One reason that fell: the entry, in the version that hit, and the version that lacks it. Vault only."""

    list_name: str
    version: int
    newer_version: int
    signal: Signal
    entry_id: str


@dataclass(frozen=True, slots=True, repr=False)
class Release:
    """A case without a reason left, and what it had. `gone` is empty for a row that shared a value with such a case."""

    case: str
    gone: tuple[Gone, ...]


def released(findings: Sequence[Finding], lists: Sequence[HashList]) -> list[Release]:
    """The cases that lost every reason, in the order of `findings`, which must be all of a run; lists as now in hand.

    Rows that were hit by distance are compared with the key that hit them only: match pictures anew for new keys.
    """
    newest = {hash_list.ref.name: hash_list for hash_list in sorted(lists, key=lambda one: one.ref.version)}
    fallen = [_fallen(finding, newest) for finding in findings]
    stays = [bool(finding.matches) and not gone for finding, gone in zip(findings, fallen, strict=True)]
    goes = [bool(gone) for gone in fallen]
    bearers = _bearers(findings)
    kept, loosed = _reached(stays, bearers), _reached(goes, bearers)
    return [
        Release(finding.case, gone)
        for number, (finding, gone) in enumerate(zip(findings, fallen, strict=True))
        if number in loosed and number not in kept
    ]


def _fallen(finding: Finding, newest: Mapping[str, HashList]) -> tuple[Gone, ...]:
    """Every reason of a hit, if all of them fell and no other came; else nothing."""
    gone = [_gone(match, newest) for match in finding.matches]
    if not gone or None in gone or any(_records_listed(finding.address, one) for one in newest.values()):
        return ()
    return tuple(one for one in gone if one is not None)


def _gone(match: Match, newest: Mapping[str, HashList]) -> Gone | None:
    """What fell; None for a match that stands."""
    hash_list = newest.get(match.list_name)
    if hash_list is None or hash_list.ref.version <= match.list_version:
        return None
    tables = [table for table in hash_list.tables if table.signal is match.signal and _compares(table, match)]
    # A newer version without a single value of this kind may have been compiled of less: that withdraws nothing.
    if not tables or any(_holds(table, match.key.unseal()) for table in tables):
        return None
    version = hash_list.ref.version
    return Gone(match.list_name, match.list_version, version, match.signal, match.entry.entry_id)


def _compares(table: KeyTable, match: Match) -> bool:
    return match.form is None or match.form in table.forms


def _records_listed(address: Sealed[Address], hash_list: HashList) -> bool:
    """Whether a list holds what a row records, or what was computed of its picture, exactly."""
    row = address.unseal()
    for table in hash_list.tables:
        values = [digests[table.signal] for digests in (row.digests, row.computed) if table.signal in digests]
        values += list(_url_keys(row.url, table))
        if any(_holds(table, value) for value in values):
            return True
    return False


def _url_keys(url: bytes | None, table: KeyTable) -> Iterator[bytes]:
    for form in table.forms if url else ():
        text = FORM_OF[form](url or b"")
        if text:
            yield digest_of(text, URL_ALGORITHM[table.signal])


def _holds(table: KeyTable, key: bytes) -> bool:
    if len(key) != table.width_bytes:
        return False
    data = np.frombuffer(key, np.uint8).reshape(1, -1)
    return bool(positions_in(table, Digests(data, np.ones(1, np.bool_)))[0] >= 0)


# --- what is shared ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class _Bearers:
    values: Sequence[frozenset[Value]]  # by finding
    rows: Mapping[Value, Sequence[int]]  # by value


def _bearers(findings: Sequence[Finding]) -> _Bearers:
    values = [
        frozenset((borne.column, borne.value.unseal()) for borne in borne_by(finding.address)) for finding in findings
    ]
    rows: dict[Value, list[int]] = {}
    for number, borne in enumerate(values):
        for value in borne:
            rows.setdefault(value, []).append(number)
    return _Bearers(values, rows)


def _reached(starts: Sequence[bool], bearers: _Bearers) -> set[int]:
    """The findings that start, and all that share a value with one reached."""
    ahead = [number for number, start in enumerate(starts) if start]
    reached, spread = set(ahead), set[Value]()
    while ahead:
        for value in bearers.values[ahead.pop()] - spread:
            spread.add(value)
            news = set(bearers.rows[value]) - reached
            reached |= news
            ahead += news
    return reached
