"""Compiled lists: made from sources, opened once into sealed memory, mapped by every worker, asked by position.

In it: `compile_list`, `open_list`, `map_list` and the port `HashList` over the mapping. Not in it: reading sources,
and the checks of the file (sealing).
Rules: nothing is copied, arrays are views of the one mapping; no repr shows contents; entries come for one position.
"""

from __future__ import annotations

import mmap
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vetset.errors import Stop
from vetset.hashlists import entries
from vetset.hashlists.account import Account
from vetset.hashlists.compiling import check_about, payload_of
from vetset.hashlists.csvfile import ColumnMap
from vetset.hashlists.file import Format, read_sources
from vetset.hashlists.gathering import BARE, Gathered
from vetset.hashlists.layout import About, Layout, NotCanonical, Places, Shape, layout_of
from vetset.hashlists.nearness import build_near, map_near
from vetset.hashlists.sealing import DIGEST_BYTES, read_list, refuse_existing, write_list
from vetset.ports import NearTable
from vetset.records import WIDTH_BYTES, ListEntry, ListRef, Signal, UrlForm


@dataclass(frozen=True, slots=True)
class Compiled:
    """What compiling gave: the list's name in results, distinct values by signal, and each source's account."""

    ref: ListRef
    counts: Mapping[Signal, int]
    accounts: Sequence[Account]


def compile_list(  # noqa: PLR0913 - the options of the command, by name
    sources: Sequence[Path],
    target: Path,
    *,
    name: str,
    version: int,
    created: datetime,
    recipients: Sequence[str],
    source: str = "",
    expires: date | None = None,
    purpose: str = "",
    source_format: Format | None = None,
    signal: Signal | None = None,
    columns: ColumnMap | None = None,
    url_forms: frozenset[UrlForm] = frozenset(UrlForm),
) -> Compiled:
    """Compiles sources to the new file `target`, sealed to the recipients; with none the file is plain.

    Without `source_format` each file's name tells its format; `signal` is what bare values of text are, `columns`
    maps a CSV file's. Raises Stop for what cannot be read or written, and for a list without a single valid value.
    """
    stamp = created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = About(name, version, stamp, source, expires.isoformat() if expires else "", purpose)
    check_about(about)
    refuse_existing(target)
    gathered = Gathered(url_forms)
    read_sources(sources, gathered, source_format=source_format, signal=signal, columns=columns)
    return compile_gathered(gathered, target, about, recipients)


def compile_gathered(gathered: Gathered, target: Path, about: About, recipients: Sequence[str]) -> Compiled:
    """Compiles what was gathered, as `compile_list` does once it has read its sources."""
    memory = payload_of(gathered, about)
    try:
        digest, layout = write_list(target, memory, recipients)
    finally:
        os.close(memory)
    return Compiled(ListRef(about.name, about.version, digest), layout.counts(), gathered.accounts)


def open_list(path: Path, identities: Sequence[str], *, today: date | None) -> int:
    """Opens a list into sealed anonymous memory; answers its read-only descriptor, for `map_list` here or in a child.

    `identities` are age identities as text. Raises Stop for a file that is no list, of a newer format, cut short,
    damaged, empty, sealed to others, or expired on `today`; None asks for no regard to expiry, to look at a list only.
    """
    memory = read_list(path, identities)
    about = map_list(memory).about
    if today is not None and about.expired(today):
        os.close(memory)
        raise Stop(
            f"the list {about.name} version {about.version} ({path}) expired after {about.expires}",
            hint="get the current version from where it came",
        )
    return memory


def map_list(memory: int, near_memory: int | None = None) -> CompiledList:
    """The list in memory that `open_list` filled, shared with every other process that maps it.

    `near_memory` is what `near_memory_of` built from it, where pictures are compared by distance.
    """
    try:
        mapped = mmap.mmap(memory, 0, prot=mmap.PROT_READ)
        mapped.madvise(mmap.MADV_DONTDUMP)  # a core dump holds no list
        view = memoryview(mapped)
        layout, start = layout_of(view[:-DIGEST_BYTES])
    except (OSError, ValueError, NotCanonical):
        raise Stop("the descriptor of a list holds none", hint="this is a fault of vetset: please report it") from None
    compiled = CompiledList(layout, view[start:-DIGEST_BYTES], view[-DIGEST_BYTES:].hex())
    if near_memory is not None:
        compiled.near_tables = map_near(near_memory, compiled.tables)
    return compiled


def near_memory_of(compiled: CompiledList, radius_bits: int) -> int | None:
    """Builds what finds near keys within the radius into sealed memory; its descriptor, or None if there is no PDQ."""
    return build_near(compiled.tables, radius_bits)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Table:
    """Keys of one signal; implements `ports.KeyTable`."""

    signal: Signal
    forms: frozenset[UrlForm]
    width_bytes: int
    count: int
    heads: npt.NDArray[np.uint64]
    tails: npt.NDArray[np.uint8]
    words: npt.NDArray[np.uint64]


@dataclass(slots=True, repr=False, eq=False)
class CompiledList:
    """A list in use; implements `ports.HashList`. `data` are the arrays, as `layout` places them."""

    layout: Layout
    data: memoryview
    digest: str
    tables: Sequence[Table] = field(init=False)
    near_tables: Mapping[int, NearTable] = field(init=False, default_factory=dict)
    _said: pa.RecordBatch | None = field(init=False, default=None)
    _starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        places, start, stop = self.layout.places()
        shapes = self.layout.shapes
        self.tables = tuple(self._table(shape, place) for shape, place in zip(shapes, places, strict=True))
        self._starts = [0, *accumulate(shape.entries for shape in shapes)]
        if stop > start:
            self._said = entries.decoded(self.data[start:stop])

    @property
    def about(self) -> About:
        return self.layout.about

    @property
    def ref(self) -> ListRef:
        return ListRef(self.about.name, self.about.version, self.digest)

    @property
    def counts(self) -> dict[Signal, int]:
        """Distinct values by signal."""
        return self.layout.counts()

    def entries(self, table: int, position: int) -> Sequence[ListEntry]:
        """What the list says of one key; one empty entry if nothing."""
        if self._said is None:
            return [BARE]
        first, last = self._starts[table], self._starts[table + 1]
        positions = entries.positions_of(self._said)[first:last]
        start, stop = np.searchsorted(positions, [position, position + 1]).tolist()
        return entries.lines_of(self._said, first + start, first + stop) or [BARE]

    def categories(self) -> dict[str, int]:
        """Lines of entries by category; of a signal with several forms, those of its largest table."""
        found: Counter[str] = Counter()
        for number in self._largest():
            first, last = self._starts[number], self._starts[number + 1]
            if self._said is not None and last > first:
                counted = self._said.column("category").slice(first, last - first).value_counts().to_pylist()
                found.update({item["values"]: item["counts"] for item in counted})
        return dict(sorted(found.items()))

    def _largest(self) -> list[int]:
        by_signal: dict[Signal, int] = {}
        for number, table in enumerate(self.tables):
            known = by_signal.setdefault(table.signal, number)
            if table.count > self.tables[known].count:
                by_signal[table.signal] = number
        return list(by_signal.values())

    def _table(self, shape: Shape, place: Places) -> Table:
        width_bytes = WIDTH_BYTES[shape.signal]
        return Table(
            shape.signal,
            frozenset(shape.forms),
            width_bytes,
            shape.count,
            self._array("<u8", place.heads_offset, shape.count),
            self._array("u1", place.tails_offset, shape.count * (width_bytes - 8)).reshape(shape.count, -1),
            self._array("<u8", place.words_offset, shape.words),
        )

    def _array(self, kind: str, offset: int, count: int) -> npt.NDArray[Any]:
        return np.frombuffer(self.data, kind, count, offset)
