"""A hash list in memory, for tests: the port `HashList` without a file, built from plain mappings.

In it: `MemoryList` and its tables. Not in it: reading, sealing and checking of list files (see `hashlists`).
Rules: keys are made, sorted and filtered by the same kernels that compiled lists use; values are synthetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vetset import kernels
from vetset.records import URL_ALGORITHM, WIDTH_BYTES, ListEntry, ListRef, Signal, UrlForm

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

Entries = Mapping[bytes, Sequence[ListEntry]]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class MemoryTable:
    """Sorted keys of one signal with their prefilter; the port `KeyTable`."""

    signal: Signal
    forms: frozenset[UrlForm]
    width_bytes: int
    heads: U64
    tails: U8
    words: U64

    @property
    def count(self) -> int:
        return len(self.heads)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class MemoryNear:
    """Keys compared by distance one by one; the port `NearTable`."""

    signal: Signal
    keys: U8

    @property
    def count(self) -> int:
        return len(self.keys)

    def within(self, queries: U8, radius_bits: int) -> tuple[I64, I64, I64]:
        """The definition: every query against every key."""
        return kernels.within_of(self.keys, queries, radius_bits)


def memory_table(
    signal: Signal, keys: Sequence[bytes], forms: Iterable[UrlForm] = ()
) -> tuple[MemoryTable, npt.NDArray[np.int64]]:
    """A table of the keys, and for each given key its position. Keys have the signal's width; repeats are one key."""
    width_bytes = WIDTH_BYTES[signal]
    given = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), width_bytes)
    ranked, positions = kernels.sorted_keys(given)
    heads, tails = kernels.heads_of(ranked), np.ascontiguousarray(ranked[:, 8:])
    table = MemoryTable(signal, frozenset(forms), width_bytes, heads, tails, kernels.filter_words(ranked))
    return table, positions


class MemoryList:
    """A list made of `entries`: signal -> key -> what the list says of that key.

    Keys are digests' bytes; under `Signal.URL` they are URLs as bytes, and stand under every form of `forms` that
    can be made of them, one table a form. Digests of URLs are compared with every form of `forms`.
    """

    def __init__(
        self,
        name: str,
        version: int,
        entries: Mapping[Signal, Entries],
        *,
        forms: Iterable[UrlForm] = UrlForm,
    ) -> None:
        self._forms = frozenset(forms)
        self._tables: list[MemoryTable] = []
        self._entries: list[dict[int, list[ListEntry]]] = []
        for signal, by_key in entries.items():
            self._add_signal(signal, by_key)
        self._ref = ListRef(name, version, f"memory:{name}:{version}")

    @property
    def ref(self) -> ListRef:
        return self._ref

    @property
    def tables(self) -> Sequence[MemoryTable]:
        return self._tables

    @property
    def near_tables(self) -> Mapping[int, MemoryNear]:
        return {
            number: MemoryNear(table.signal, kernels.listed_keys(table))
            for number, table in enumerate(self._tables)
            if table.signal is Signal.PDQ
        }

    def entries(self, table: int, position: int) -> Sequence[ListEntry]:
        """What the list says of a key; one ListEntry() if nothing."""
        return self._entries[table].get(position) or [ListEntry()]

    def _add_signal(self, signal: Signal, by_key: Entries) -> None:
        if signal is not Signal.URL:
            forms = self._forms if signal in URL_ALGORITHM else frozenset[UrlForm]()
            self._add_table(signal, list(by_key.items()), forms)
            return
        for form in UrlForm:
            if form in self._forms:
                spelled = [(kernels.FORM_OF[form](url), said) for url, said in by_key.items()]
                keyed = [(kernels.digest_of(text, "sha256"), said) for text, said in spelled if text is not None]
                self._add_table(signal, keyed, frozenset({form}))

    def _add_table(
        self, signal: Signal, keyed: Sequence[tuple[bytes, Sequence[ListEntry]]], forms: frozenset[UrlForm]
    ) -> None:
        table, positions = memory_table(signal, [key for key, _ in keyed], forms)
        said: dict[int, list[ListEntry]] = {}
        for position, (_, entries) in zip(positions.tolist(), keyed, strict=True):
            said.setdefault(position, []).extend(entries)
        self._tables.append(table)
        self._entries.append(said)
