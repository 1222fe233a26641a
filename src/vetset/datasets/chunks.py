"""A column chunk copied as it is, or written again without some of its rows.

In it: the way through a chunk's pages, its dictionary made anew, and what its footer and page index must then say.
Not in it: a single page (`pagebody`), the row group and the file (`splice`).
Rules: a page that loses nothing is written as it was read, one that loses all its rows is left out; no entry of a
dictionary stays that no row uses any more, since it may be a value that went; indices are read twice rather than held.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vetset.datasets.extremes import Extremes, united
from vetset.datasets.pagebody import (
    Body,
    Counts,
    Made,
    can_cut,
    dictionary_page,
    encoding_of,
    put_together,
    read_page,
    taken_apart,
)
from vetset.datasets.pages import DATA_PAGE, DATA_PAGE_V2, DICTIONARY_PAGE, Page, size_of
from vetset.datasets.rowgroups import undecodable
from vetset.datasets.valuecut import (
    BY_DICTIONARY,
    PLAIN,
    Cut,
    Form,
    Renumbering,
    cut_values,
    damage_told,
    indices_of,
    without,
)
from vetset.errors import ShardError, Trouble
from vetset.kernels.encoding import U32, Mask

_DATA = (DATA_PAGE, DATA_PAGE_V2)


class Source(NamedTuple):
    """A chunk to be read: the file, its pages, and how to understand them."""

    file: Any
    pages: Sequence[Page]
    form: Form

    @property
    def data_pages(self) -> list[Page]:
        return [page for page in self.pages if page.kind in _DATA]

    @property
    def dictionary(self) -> Page | None:
        return self.pages[0] if self.pages and self.pages[0].kind == DICTIONARY_PAGE else None

    def is_odd(self, stop: int) -> bool:
        """Whether there are pages of unknown kinds or places, or they end elsewhere than the footer says."""
        kinds = [page.kind for page in self.pages]
        known = all(kind in _DATA or (kind == DICTIONARY_PAGE and not place) for place, kind in enumerate(kinds))
        return not known or bool(self.pages and self.pages[-1].stop != stop)

    def can_be_cut(self) -> bool:
        """Whether every page is of a kind that can be cut; decided from their headers."""
        return all(can_cut(page, self.form, is_first=not place) for place, page in enumerate(self.pages))


class PagePlace(NamedTuple):
    """What a page index says of a page. `first_row` counts rows that stay, from the start of the row group."""

    start: int
    stored: int
    first_row: int
    nulls: int
    is_null_page: bool
    extremes: Extremes


@dataclass(slots=True)
class Written:
    """A chunk that was written: where, and what its metadata must say."""

    dictionary_at: int | None = None
    data_at: int | None = None
    stored: int = 0
    unfolded: int = 0
    entries: int = 0
    nulls: int = 0
    rows: int = 0
    extremes: Extremes = None
    pages: list[PagePlace] = field(default_factory=list)
    kinds: list[tuple[int, int]] = field(default_factory=list)  # type and encoding of each page


def entries_of(source: Source, keep: Mask) -> Iterator[tuple[Page, memoryview, Body, Mask, int]]:
    """Each data page as stored and taken apart, which of its entries stay, and how many rows begin in it and stay."""
    row = 0
    for page in source.data_pages:
        stored = read_page(source.file, page)
        body = taken_apart(page, stored, source.form)
        if body.repetition is None:
            stays = keep[row : row + page.values]
            begun = page.values
            rows = int(np.count_nonzero(stays))
        else:
            begins = body.repetition == 0
            begun = int(np.count_nonzero(begins))
            place = np.cumsum(begins) + (row - 1)  # of the row that an entry belongs to; -1 would be the one before all
            if len(place) and (place[0] < 0 or place[-1] >= len(keep)):
                raise _uncounted()
            stays = keep[place]
            rows = int(np.count_nonzero(stays & begins))
        row += begun
        if row > len(keep):
            raise _uncounted()
        yield page, stored, body, stays, rows
    if row != len(keep):
        raise _uncounted()


def _uncounted() -> ShardError:
    return ShardError(Trouble.COUNTS_DISAGREE, "pages of other rows than the footer says")


def _present(body: Body, form: Form) -> Mask | None:
    """Which entries have a value; None if all have."""
    return None if body.definition is None else body.definition == form.max_definition


def entries_used(source: Source, keep: Mask) -> Mask:
    """Which entries of the dictionary rows use that stay; reading ends when all are."""
    dictionary = source.dictionary
    used = np.zeros(dictionary.values if dictionary else 0, np.bool_)
    for page, _, body, stays, _ in entries_of(source, keep):
        if encoding_of(page) not in BY_DICTIONARY:
            continue
        present = _present(body, source.form)
        kept = stays if present is None else stays[present]
        with damage_told():
            used[indices_of(body.values, len(kept), len(used))[1][kept]] = True
        if used.all():
            break
    return used


class _Dictionary:
    """The dictionary of a chunk, as it was and as it becomes: `made` and `renumbering` if entries go, else None."""

    def __init__(self, source: Source, page: Page, used: Mask) -> None:
        # A dictionary page is plain values after no levels: like a data page of a column that has none.
        self._form = replace(source.form, max_definition=0, max_repetition=0)
        self.stored = read_page(source.file, page)
        self._values = taken_apart(page, self.stored, self._form).values
        cut = cut_values(self._values, PLAIN, used, self._form)
        self.entries = len(used)
        self.extremes = cut.extremes
        self.renumbering: Renumbering | None = None
        self.made: Made | None = None
        if not used.all():
            count = int(np.count_nonzero(used))
            self.renumbering = Renumbering((np.cumsum(used) - 1).astype(np.uint32), max(1, (count - 1).bit_length()))
            gone = np.zeros((0, 2), np.int64) if cut.gone is None else cut.gone
            self.made = dictionary_page(page, without(self._values, gone), count, source.form)

    def extremes_of(self, indices: U32) -> Extremes:
        """Of some indices into the dictionary as it was."""
        order = self._form.order
        if self.extremes is None or order is None or not len(indices):
            return None
        if order.dtype is not None:
            return order.of_numbers(np.frombuffer(self._values, order.dtype, self.entries)[indices])
        ranks, entries = self._by_rank
        places = ranks[indices]
        return entries[places.min()], entries[places.max()]

    @cached_property
    def _by_rank(self) -> tuple[npt.NDArray[np.int64], list[bytes]]:
        """For each entry its place among all in ascending order, and the entries in that order."""
        whole, at = bytes(self._values), 0
        entries = []
        for _ in range(self.entries):
            start = at + 4
            at = start + int.from_bytes(whole[at:start], "little")
            entries.append(whole[start:at])
        order = sorted(range(self.entries), key=entries.__getitem__)
        ranks = np.empty(self.entries, np.int64)
        ranks[order] = np.arange(self.entries)
        return ranks, [entries[place] for place in order]


# --- written ---------------------------------------------------------------------------------------------------------


def write_cut(source: Source, keep: Mask, used: Mask, target: Any, *, with_places: bool) -> Written:
    """Writes a chunk's rows that stay; `used` is `entries_used` of them. Extremes by page only `with_places`."""
    out = Written()
    dictionary = None
    if source.dictionary is not None:
        dictionary = _Dictionary(source, source.dictionary, used)
        out.dictionary_at = target.tell()
        _put(out, target, source.dictionary, dictionary.stored, dictionary.made)
    for page, stored, body, stays, rows in entries_of(source, keep):
        if not stays.any():
            continue
        _write_page(out, target, source, dictionary, (page, stored, body, stays, rows), with_places=with_places)
    return out


def _write_page(
    out: Written,
    target: Any,
    source: Source,
    dictionary: _Dictionary | None,
    read: tuple[Page, memoryview, Body, Mask, int],
    *,
    with_places: bool,
) -> None:
    page, stored, body, stays, rows = read
    form = source.form
    present = _present(body, form)
    kept = stays if present is None else stays[present]
    entries = dictionary.entries if dictionary else 0
    anew = dictionary.renumbering if dictionary else None
    encoding = encoding_of(page)
    cut = cut_values(body.values, encoding, kept, form, entries, anew)
    extremes = _extremes_of(cut, dictionary, out, with_places=with_places)
    count, values = int(np.count_nonzero(stays)), int(np.count_nonzero(kept))
    counts = Counts(count, count - values, rows)
    made = None
    if count != len(stays) or (anew is not None and encoding in BY_DICTIONARY):
        levels = {"repetition": _cut(body.repetition, stays), "definition": _cut(body.definition, stays)}
        made = put_together(page, body._replace(**levels), form, counts, cut)
    at = target.tell()
    if out.data_at is None:
        out.data_at = at
    size_bytes = _put(out, target, page, stored, made)
    if with_places:
        out.pages.append(PagePlace(at, size_bytes, out.rows, counts.nulls, not values, extremes))
    out.entries, out.nulls, out.rows = out.entries + count, out.nulls + counts.nulls, out.rows + rows


def _cut(levels: U32 | None, stays: Mask) -> U32 | None:
    return None if levels is None else levels[stays]


def _extremes_of(cut: Cut, dictionary: _Dictionary | None, out: Written, *, with_places: bool) -> Extremes:
    """A page's extremes, united with the chunk's. All entries of a dictionary are used, so it counts as a whole."""
    if cut.indices is None:
        out.extremes = united(out.extremes, cut.extremes)
        return cut.extremes
    if dictionary is None:
        raise undecodable()
    out.extremes = united(out.extremes, dictionary.extremes)
    return dictionary.extremes_of(cut.indices) if with_places else None


def _put(out: Written, target: Any, page: Page, stored: memoryview, made: Made | None) -> int:
    """The page anew, or as it was stored; answers its size."""
    if made is None:
        target.write(stored)
        size_bytes, unfolded = len(stored), page.length + page.unfolded
    else:
        target.write(made.header)
        target.write(made.body)
        size_bytes, unfolded = made.stored, made.unfolded
    out.stored += size_bytes
    out.unfolded += unfolded
    out.kinds.append((page.kind, encoding_of(page) if page.kind in _DATA else size_of(page.inner, 2)))
    return size_bytes


def write_copy(source: Source, target: Any) -> int:
    """Writes a chunk as it is stored; answers where it now starts. Checksums are compared where there are any."""
    at: int = target.tell()
    for page in source.pages:
        target.write(read_page(source.file, page))
    return at
