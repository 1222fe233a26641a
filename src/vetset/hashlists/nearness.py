"""What finds the keys of a list that are near to a fingerprint: built once in sealed memory, mapped by every worker.

In it: the near tables of a list, over one anonymous mapping. Not in it: the index itself (`kernels.hamming`), radii.
Rules: nothing of a list reaches the disk; built only where a run looks into pictures; positions are those of the exact
table of the same signal, so that entries are found by them.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vetset import kernels
from vetset.ports import KeyTable
from vetset.records import Signal

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

#: Signals that are compared by Hamming distance.
NEAR_SIGNALS = frozenset({Signal.PDQ})
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_ALIGNED_BYTES = 4096


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class HammingTable:
    """Implements `ports.NearTable` over an index in memory and the exact table it was made of."""

    table: KeyTable
    index: memoryview

    @property
    def signal(self) -> Signal:
        """The table's own."""
        return self.table.signal

    @property
    def count(self) -> int:
        """The table's own."""
        return self.table.count

    def within(self, queries: U8, radius_bits: int) -> tuple[I64, I64, I64]:
        """See `ports.NearTable.within`."""
        return kernels.near(self.index, self.table, queries, radius_bits)


def build_near(tables: Sequence[KeyTable], radius_bits: int) -> int | None:
    """The indices of all tables that need one, in sealed anonymous memory: each behind its number and its length."""
    wanted = {number: table for number, table in enumerate(tables) if table.signal in NEAR_SIGNALS}
    if not wanted:
        return None
    lengths = {number: kernels.hamming_bytes(table.count, radius_bits) for number, table in wanted.items()}
    total = sum(_ALIGNED_BYTES + _aligned(length) for length in lengths.values())
    memory = os.memfd_create("vetset-near", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(memory, total)
        _fill(memory, total, wanted, lengths, radius_bits)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
        return os.open(f"/proc/self/fd/{memory}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(memory)


def _fill(
    memory: int, total: int, tables: Mapping[int, KeyTable], lengths: Mapping[int, int], radius_bits: int
) -> None:
    with mmap.mmap(memory, total) as mapped:
        at = 0
        for number, table in tables.items():
            mapped[at : at + 16] = number.to_bytes(8, "little") + lengths[number].to_bytes(8, "little")
            at += _ALIGNED_BYTES
            with memoryview(mapped) as view, view[at : at + lengths[number]] as place:
                kernels.hamming_index(table, radius_bits, place)
            at += _aligned(lengths[number])


def map_near(memory: int, tables: Sequence[KeyTable]) -> dict[int, HammingTable]:
    """The tables that `build_near` put into memory."""
    mapped = mmap.mmap(memory, 0, prot=mmap.PROT_READ)
    mapped.madvise(mmap.MADV_DONTDUMP)
    view, at = memoryview(mapped), 0
    found: dict[int, HammingTable] = {}
    while at < len(view):
        number, length = (int.from_bytes(view[at + 8 * k : at + 8 * k + 8], "little") for k in range(2))
        at += _ALIGNED_BYTES
        found[number] = HammingTable(tables[number], view[at : at + length])
        at += _aligned(length)
    return found


def _aligned(length: int) -> int:
    return -(-length // _ALIGNED_BYTES) * _ALIGNED_BYTES
