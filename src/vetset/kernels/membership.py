"""Exact membership of digests among sorted keys, behind a prefilter that is never an answer by itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vetset.kernels import native
from vetset.kernels.digest import Digests
from vetset.ports import KeyTable
from vetset.records import Sealed

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


#: Bits of prefilter for each key: with four bits set in one 64-bit word, about 1 % of strangers pass.
FILTER_BITS_PER_KEY = 16


def contains_of(keys: frozenset[bytes], value: bytes) -> bool:
    """Exact membership, the definition."""
    return value in keys


def heads_of(data: U8) -> U64:
    """(rows,) the first 8 bytes of each digest as a big-endian number, so that its order is the bytes' order."""
    head: U64 = np.ascontiguousarray(data[:, :8]).view(">u8").reshape(-1).astype(np.uint64)
    return head


def _filter_places(data: U8, words: int) -> tuple[U64, U64]:
    """For each digest the word of the filter it falls in and the four bits it sets there.

    A blocked Bloom filter with one machine word to a block (Putze, Sanders, Singler 2007), cut down to one look at
    memory for each probe. Digests are uniform, so their own bytes serve as hash: head for the word, the next 4 bytes
    for the bits.
    """
    head = heads_of(data)
    word = ((head >> np.uint64(32)) * np.uint64(words)) >> np.uint64(32)
    bits = np.ascontiguousarray(data[:, 8:12]).view("<u4").reshape(-1).astype(np.uint64)
    mask = np.zeros(len(data), np.uint64)
    for shift in (0, 6, 12, 18):
        mask |= np.uint64(1) << ((bits >> np.uint64(shift)) & np.uint64(63))
    return word, mask


def filter_words(keys: U8) -> U64:
    """The prefilter over all keys (count, width_bytes)."""
    count = max(1, -(-len(keys) * FILTER_BITS_PER_KEY // 64))
    words = np.zeros(count, np.uint64)
    if len(keys):
        word, mask = _filter_places(keys, count)
        np.bitwise_or.at(words, word.astype(np.int64), mask)
    return words


def sorted_keys(keys: U8) -> tuple[U8, I64]:
    """Distinct keys (count, width_bytes) in byte order, and for each given key its position among them."""
    if not len(keys):
        return keys, np.zeros(0, np.int64)
    padded = np.zeros((len(keys), -(-keys.shape[1] // 8) * 8), np.uint8)
    padded[:, : keys.shape[1]] = keys
    parts = padded.view(">u8").astype(np.uint64)
    order = np.lexsort(parts.T[::-1])
    ranked = parts[order]
    new = np.ones(len(keys), np.bool_)
    new[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    positions = np.empty(len(keys), np.int64)
    positions[order] = np.cumsum(new) - 1
    return keys[order[new]], positions


def positions_in(table: KeyTable, digests: Digests) -> I64:
    """(rows,) the position of each row's digest among the table's keys, -1 where it is absent or not listed.

    The filter lets through all that is listed and little else; what passes is compared whole.
    """
    found = np.full(len(digests.present), -1, np.int64)
    if not table.count or not len(digests.present):
        return found
    if native.LIB is not None:
        data = np.ascontiguousarray(digests.data)
        native.LIB.positions(table.heads, table.tails, table.words, data, digests.present, found)
        return found
    word, mask = _filter_places(digests.data, len(table.words))
    passing = np.flatnonzero(((table.words[word.astype(np.int64)] & mask) == mask) & digests.present)
    if not len(passing):
        return found
    candidates = digests.data[passing]
    head = heads_of(candidates)
    first = np.searchsorted(table.heads, head, side="left")
    for row, place, wanted, value in zip(passing.tolist(), first.tolist(), head.tolist(), candidates, strict=True):
        found[row] = _walk(table, place, wanted, value[8:].tobytes())
    return found


def _walk(table: KeyTable, place: int, head: int, tail: bytes) -> int:
    """From the first key with this head onward, the position of the key with this tail, or -1."""
    while place < table.count and int(table.heads[place]) == head:
        if table.tails[place].tobytes() == tail:
            return place
        place += 1
    return -1


def listed_key(table: KeyTable, position: int) -> Sealed[bytes]:
    """One key of a table, sealed."""
    return Sealed(int(table.heads[position]).to_bytes(8, "big") + table.tails[position].tobytes())


def listed_keys(table: KeyTable) -> U8:
    """(count, width_bytes) all keys of a table, whole."""
    heads = table.heads.astype(">u8").view(np.uint8).reshape(table.count, 8)
    return np.concatenate([heads, table.tails], axis=1)
