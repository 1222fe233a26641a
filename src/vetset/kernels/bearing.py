"""What a row bears: the values by which a finding spreads, their keyed names, and the row's sealed address."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from vetset.kernels.digest import EMPTY_DIGESTS, blobs, hex_digest_of, recorded_digests
from vetset.records import DIGEST_COLUMNS, WIDTH_BYTES, Address, Borne, Column, Match, Sealed, SealedBatch, Signal

U64 = npt.NDArray[np.uint64]


def keyed_hash_of(value: bytes, key: bytes) -> int:
    """64 bits that stand for a value under a key of the run (BLAKE2b keyed, RFC 7693); never 0, which means absent."""
    return int.from_bytes(hashlib.blake2b(value, key=key, digest_size=8).digest(), "little") or 1


def case_id_of(shard_id: str, row: int, key: bytes) -> str:
    """The meaningless name of a row with findings: HMAC-SHA-256 of its identity, cut to 128 bits, in hex."""
    identity = f"{shard_id}\x00{row}".encode()
    return hmac.digest(key, identity, "sha256")[:16].hex()


def keyed_hashes(batch: SealedBatch, column: Column, key: bytes) -> U64:
    """(rows,) of `keyed_hash_of` for values that may spread: not null, not empty, no digest of nothing; else 0."""
    values = _bearable(batch, column)
    blank = bytes(8)
    make = partial(hashlib.blake2b, key=key, digest_size=8)
    joined = b"".join([blank if value is None else make(value).digest() for value in values])
    hashes = np.frombuffer(joined, "<u8").astype(np.uint64)
    present = np.fromiter((value is not None for value in values), np.bool_, len(values))
    hashes[present & (hashes == 0)] = 1
    return hashes


def _bearable(batch: SealedBatch, column: Column) -> list[bytes | None]:
    if column not in DIGEST_COLUMNS:
        return [value or None for value in blobs(batch, column)]
    digests = recorded_digests(batch, column)
    width_bytes = digests.data.shape[1]
    flat = np.ascontiguousarray(digests.data).tobytes()
    cut = [flat[start : start + width_bytes] for start in range(0, len(flat), width_bytes)]
    return [
        value if here and value not in EMPTY_DIGESTS else None
        for value, here in zip(cut, digests.present.tolist(), strict=True)
    ]


def bearable_value(batch: SealedBatch, column: Column, place: int) -> Sealed[bytes] | None:
    """What one row bears in a column by which a finding may spread: raw URL, or the recorded digest's bytes."""
    record = batch.unseal()
    if column.value not in record.schema.names:
        return None
    value = _bearable(SealedBatch(record.slice(place, 1)), column)[0]
    return None if value is None else Sealed(value)


def borne_by(address: Sealed[Address]) -> list[Borne]:
    """The values of one row by which a finding may spread; the rule of `keyed_hashes` for a single address."""
    row = address.unseal()
    found = [Borne(Column.URL, Sealed(row.url))] if row.url else []
    for column, signal in DIGEST_COLUMNS.items():
        digest = row.digests.get(signal)
        if digest is not None and digest not in EMPTY_DIGESTS:
            found.append(Borne(column, Sealed(digest)))
    return found


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
