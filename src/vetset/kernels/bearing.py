"""What a row bears: the values by which a finding spreads, their keyed names, and the row's sealed address."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from vetset.kernels import native
from vetset.kernels.digest import EMPTY_DIGESTS, Digests, hex_digest_of, recorded_digests
from vetset.records import DIGEST_COLUMNS, WIDTH_BYTES, Address, Borne, Column, Hit, Match, Sealed, SealedBatch, Signal

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


def keyed_hash_of(value: bytes, key: bytes) -> int:
    """64 bits that stand for a value under a key of the run (BLAKE2b keyed, RFC 7693); never 0, which means absent."""
    return int.from_bytes(hashlib.blake2b(value, key=key, digest_size=8).digest(), "little") or 1


def case_id_of(shard_id: str, row: int, key: bytes) -> str:
    """The meaningless name of a row with findings: HMAC-SHA-256 of its identity, cut to 128 bits, in hex."""
    identity = f"{shard_id}\x00{row}".encode()
    return hmac.digest(key, identity, "sha256")[:16].hex()


def keyed_hashes(batch: SealedBatch, column: Column, key: bytes) -> U64:
    """(rows,) of `keyed_hash_of` for values that may spread: not null, not empty, no digest of nothing; else 0."""
    if native.LIB is not None and batch.rows:
        return _quick_hashes(native.LIB, batch, column, key)
    values, bearing = _bearable(batch, column)
    begun = hashlib.blake2b(key=key, digest_size=8).copy  # a copy costs less than reading key and size anew
    made = []
    for value in values:
        state = begun()
        state.update(value)
        made.append(state.digest())
    hashes = np.zeros(batch.rows, np.uint64)
    hashes[bearing] = np.maximum(np.frombuffer(b"".join(made), "<u8"), 1)  # 0 means absent
    return hashes


def _quick_hashes(lib: ModuleType, batch: SealedBatch, column: Column, key: bytes) -> U64:
    hashes = np.zeros(batch.rows, np.uint64)
    if column in DIGEST_COLUMNS:
        digests = recorded_digests(batch, column)
        width_bytes = digests.data.shape[1]
        offsets = np.arange(batch.rows + 1, dtype=np.int64) * width_bytes
        lib.keyed_hashes(offsets, digests.data, 0, _not_of_nothing(digests), key, hashes)
        return hashes
    array = batch.unseal().column(column.value)
    filled = pc.fill_null(pc.greater(pc.binary_length(array), 0), False).to_numpy(zero_copy_only=False)
    _, offsets, values = array.buffers()
    lib.keyed_hashes(offsets, values or b"", array.offset, filled, key, hashes)
    return hashes


def _not_of_nothing(digests: Digests) -> npt.NDArray[np.bool_]:
    """Rows with a digest that is not that of no bytes."""
    width_bytes = digests.data.shape[1]
    bearing = digests.present.copy()
    for nothing in EMPTY_DIGESTS:
        if len(nothing) == width_bytes:
            value = np.frombuffer(nothing, np.uint8)
            alike = np.flatnonzero(digests.data[:, 0] == value[0])  # few: most differ in their first byte
            bearing[alike] &= (digests.data[alike] != value).any(axis=1)
    return bearing


def _bearable(batch: SealedBatch, column: Column) -> tuple[list[bytes], npt.NDArray[np.bool_]]:
    """The values of a column that may spread, and the mask of their rows."""
    if column not in DIGEST_COLUMNS:
        array = batch.unseal().column(column.value)
        filled = pc.fill_null(pc.greater(pc.binary_length(array), 0), False)
        return array.filter(filled).to_pylist(), filled.to_numpy(zero_copy_only=False)
    digests = recorded_digests(batch, column)
    width_bytes = digests.data.shape[1]
    bearing = _not_of_nothing(digests)
    flat = digests.data[bearing].tobytes()
    return [flat[start : start + width_bytes] for start in range(0, len(flat), width_bytes)], bearing


def bearable_value(batch: SealedBatch, column: Column, place: int) -> Sealed[bytes] | None:
    """What one row bears in a column by which a finding may spread: raw URL, or the recorded digest's bytes."""
    record = batch.unseal()
    if column.value not in record.schema.names:
        return None
    value: bytes | None = record.column(column.value)[place].as_py()
    if column in DIGEST_COLUMNS:
        digest = hex_digest_of(value, WIDTH_BYTES[DIGEST_COLUMNS[column]])
        value = None if digest in EMPTY_DIGESTS else digest
    return Sealed(value) if value else None


def borne_by(address: Sealed[Address]) -> list[Borne]:
    """The values of one row by which a finding may spread; the rule of `keyed_hashes` for a single address."""
    row = address.unseal()
    found = [Borne(Column.URL, Sealed(row.url))] if row.url else []
    for column, signal in DIGEST_COLUMNS.items():
        if signal in row.digests or signal in row.computed:
            known = {digests[signal] for digests in (row.digests, row.computed) if signal in digests}
            found.extend(Borne(column, Sealed(digest)) for digest in sorted(known - EMPTY_DIGESTS))
    return found


def recorded_by(address: Sealed[Address]) -> Mapping[Signal, bytes]:
    """The digests that a row records, to be held against a picture's bytes."""
    return address.unseal().digests


def bears(address: Sealed[Address], borne: Borne) -> bool:
    """Whether a row records a value, byte for byte."""
    row = address.unseal()
    recorded = row.url if borne.column is Column.URL else row.digests.get(DIGEST_COLUMNS[borne.column])
    return recorded == borne.value.unseal()


def meetings(records: npt.NDArray[np.void], column: Column, ranked: U64) -> tuple[I64, I64]:
    """Where the keyed hashes of a column meet some ascending ones: (rows, first place of its hash among those), by row.

    0 stands for an absent value and meets nothing.
    """
    hashes = records[column.value]
    if not len(hashes) or not len(ranked):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if native.LIB is not None:
        at = hashes.__array_interface__["data"][0] - records.__array_interface__["data"][0]
        met = np.frombuffer(native.LIB.meetings(records.view(np.uint8), records.itemsize, at, ranked), np.int64)
        return met[0::2], met[1::2]
    place = np.minimum(np.searchsorted(ranked, hashes), len(ranked) - 1)
    rows = np.flatnonzero((ranked[place] == hashes) & (hashes != 0))
    return rows, place[rows]


def hit_at(hit: Hit, address: Sealed[Address]) -> Hit:
    """A hit of match with what its row records; the digests made of its bytes stay."""
    recorded, made = address.unseal(), hit.address.unseal()
    return replace(hit, address=Sealed(replace(recorded, computed=made.computed)))


def keyed_hash(value: Sealed[bytes], key: bytes) -> int:
    """`keyed_hash_of` for a sealed value."""
    return keyed_hash_of(value.unseal(), key)


def name_of(borne: Borne, key: bytes) -> str:
    """128 bits in hex that name a value within a run: the key of tables that must hold no value."""
    text = borne.column.value.encode() + b"\x00" + borne.value.unseal()
    return hashlib.blake2b(text, key=key, digest_size=16).hexdigest()


def entry_name_of(match: Match, key: bytes) -> str:
    """The opaque id of a list's entry within a run, in hex; the same entry has the same id, whatever row it hit."""
    text = f"{match.list_name}\x00{match.signal}\x00".encode() + match.key.unseal()
    return hmac.digest(key, text, "sha256")[:8].hex()


def same_value(one: Sealed[bytes], other: Sealed[bytes]) -> bool:
    """Whether two sealed values are byte for byte the same."""
    return one.unseal() == other.unseal()


def addresses(batch: SealedBatch, rows: Iterable[int]) -> Iterator[Sealed[Address]]:
    """For each row of the batch, by its place in it: its URL and recorded digests, sealed for the vault."""
    columns = {column: signal for column, signal in DIGEST_COLUMNS.items() if column in batch.columns}
    record = batch.unseal()
    for row in rows:
        url = record.column(Column.URL.value)[row].as_py() if Column.URL in batch.columns else None
        digests: dict[Signal, bytes] = {}
        for column, signal in columns.items():
            digest = hex_digest_of(record.column(column.value)[row].as_py(), WIDTH_BYTES[signal])
            if digest is not None:
                digests[signal] = digest
        yield Sealed(Address(url, digests))
