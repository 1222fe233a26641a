"""A column chunk copied as it is, or written again without some of its rows.

In it: the way through a chunk's pages, its dictionary made anew, and what its footer and page index must then say.
Not in it: a single page (`pagebody`), the row group and the file (`splice`).
Rules: a page that loses nothing is written as it was read, one that loses all its rows is left out; no entry of a
dictionary stays that no row uses any more, since it may be a value that went; indices are read twice rather than held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
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
from vetset.datasets.valuecut import (
    BY_DICTIONARY,
    PLAIN,
    Form,
    Indexed,
    cut_values,
    damage_told,
    indices_of,
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
    nulls_lost: int = 0
    rows: int = 0
    is_all_read: bool = True
    extremes: Extremes = None
    pages: list[PagePlace] = field(default_factory=list)
    kinds: list[tuple[int, int]] = field(default_factory=list)  # type and encoding of each page


class Entries(NamedTuple):
    """A data page: which of its entries stay, and how many rows that stay begin in it; its contents, if read."""

    page: Page
    stays: Mask
    rows: int
    read: tuple[memoryview, Body] | None = None


#: Whether a page must be read, by the page and by which of its rows stay.
IsWanted = Callable[[Page, Mask], bool]


def entries_of(source: Source, keep: Mask, is_wanted: IsWanted) -> Iterator[Entries]:
    """The data pages; those of a column without repetition are read only if wanted."""
    row = 0
    for page in source.data_pages:
        if source.form.max_repetition:
            stored = read_page(source.file, page)
            body = taken_apart(page, stored, source.form)
            begins = np.zeros(0, np.bool_) if body.repetition is None else body.repetition == 0
            place = np.cumsum(begins) + (row - 1)  # of the row that an entry belongs to
            if len(place) and (place[0] < 0 or place[-1] >= len(keep)):
                raise _uncounted()
            row += int(np.count_nonzero(begins))
            stays = keep[place]
            yield Entries(page, stays, int(np.count_nonzero(stays & begins)), (stored, body))
            continue
        stays = keep[row : row + page.values]
        row += page.values
        if row > len(keep):
            raise _uncounted()
        read = None
        if is_wanted(page, stays):
            stored = read_page(source.file, page)
            read = stored, taken_apart(page, stored, source.form)
        yield Entries(page, stays, int(np.count_nonzero(stays)), read)
    if row != len(keep):
        raise _uncounted()


def _uncounted() -> ShardError:
    return ShardError(Trouble.COUNTS_DISAGREE, "pages of other rows than the footer says")


def values_that_stay(stays: Mask, body: Body, form: Form) -> Mask:
    """Of the values of a page, which stay."""
    return stays if body.definition is None else stays[body.definition == form.max_definition]


# --- dictionaries ----------------------------------------------------------------------------------------------------


def _is_by_dictionary(page: Page) -> bool:
    return encoding_of(page) in BY_DICTIONARY


def entries_used(source: Source, keep: Mask) -> Mask:
    """Which entries of the dictionary rows use that stay; reading ends when all are."""
    used = np.zeros(source.dictionary.values if source.dictionary else 0, np.bool_)
    if used.all():
        return used
    for page, stays, _, read in entries_of(source, keep, lambda page, _: _is_by_dictionary(page)):
        if read is None or not _is_by_dictionary(page):
            continue
        kept = values_that_stay(stays, read[1], source.form)
        with damage_told():
            used[indices_of(read[1].values, len(kept), len(used))[1][kept]] = True
        if used.all():
            break
    return used


class Dictionary:
    """The dictionary of a chunk, as it was and as it becomes: `made` is None if all its entries stay."""

    def __init__(self, source: Source, page: Page, used: Mask, *, of_gone: bool) -> None:
        self._form = source.form.without_levels()
        self.stored = read_page(source.file, page)
        body = taken_apart(page, self.stored, self._form)
        self._values = body.values
        cut = cut_values(self._values, PLAIN, used, self._form, of_gone=of_gone)
        self.extremes = cut.extremes
        self.indexed = Indexed(len(used))
        self.made: Made | None = None
        if not used.all():
            count = int(np.count_nonzero(used))
            places = (np.cumsum(used) - 1).astype(np.uint32)
            self.indexed = Indexed(len(used), places, max(1, (count - 1).bit_length()))
            self.made = dictionary_page(page, body, source.form, count, cut)

    def extremes_of(self, indices: U32) -> Extremes:
        """Of some indices into the dictionary as it was."""
        order = self._form.order
        if order is None or not len(indices):
            return None
        if order.dtype is not None:
            return order.of_numbers(np.frombuffer(self._values, order.dtype, self.indexed.entries)[indices])
        ranks, entries = self._by_rank
        places = ranks[indices]
        return entries[places.min()], entries[places.max()]

    @cached_property
    def _by_rank(self) -> tuple[npt.NDArray[np.int64], list[bytes]]:
        """For each entry its place among all in ascending order, and the entries in that order."""
        whole, at = bytes(self._values), 0
        entries = []
        for _ in range(self.indexed.entries):
            start = at + 4
            at = start + int.from_bytes(whole[at:start], "little")
            entries.append(whole[start:at])
        order = sorted(range(len(entries)), key=entries.__getitem__)
        ranks = np.empty(len(entries), np.int64)
        ranks[order] = np.arange(len(entries))
        return ranks, [entries[place] for place in order]


# --- written ---------------------------------------------------------------------------------------------------------


class Cutting:
    """A chunk without the rows that go; `used` is `entries_used` of those that stay. `with_places`: the extremes found
    are of each page and of what stays; else of what goes, and pages that lose nothing are not even unfolded.
    """

    def __init__(self, source: Source, keep: Mask, used: Mask, *, with_places: bool) -> None:
        self._source = source
        self._keep = keep
        self._used = used
        self._with_places = with_places
        self._dictionary: Dictionary | None = None

    def write(self, target: Any) -> Written:
        """Writes it."""
        out = Written()
        self._dictionary = self._open_dictionary(of_gone=not self._with_places)
        if self._dictionary is not None and self._source.dictionary is not None:
            out.dictionary_at = target.tell()
            _put(out, target, self._source.dictionary, self._dictionary.stored, self._dictionary.made)
            out.extremes = self._dictionary.extremes
        for entries in entries_of(self._source, self._keep, self._is_wanted):
            at = target.tell()
            before = out.entries
            if entries.read is None:
                self._write_as_it_was(out, target, entries)
            else:
                self._write(out, target, entries, *entries.read)
            if out.data_at is None and out.entries > before:
                out.data_at = at
        return out

    def extremes(self) -> Extremes:
        """Of all that stays, from all pages once more."""
        dictionary = self._open_dictionary(of_gone=False)
        found = dictionary.extremes if dictionary else None
        for page, stays, _, read in entries_of(self._source, self._keep, lambda page, _: not _is_by_dictionary(page)):
            if read is not None and not _is_by_dictionary(page):
                kept = values_that_stay(stays, read[1], self._source.form)
                cut = cut_values(read[1].values, encoding_of(page), kept, self._source.form, of_gone=False)
                found = united(found, cut.extremes)
        return found

    def _open_dictionary(self, *, of_gone: bool) -> Dictionary | None:
        page = self._source.dictionary
        return None if page is None else Dictionary(self._source, page, self._used, of_gone=of_gone)

    @property
    def _is_anew(self) -> bool:
        return self._dictionary is not None and self._dictionary.made is not None

    def _is_wanted(self, page: Page, stays: Mask) -> bool:
        return self._with_places or not stays.all() or (self._is_anew and _is_by_dictionary(page))

    def _write_as_it_was(self, out: Written, target: Any, entries: Entries) -> None:
        out.is_all_read = False
        _put(out, target, entries.page, read_page(self._source.file, entries.page), None)
        out.entries += entries.page.values
        out.rows += entries.rows

    def _write(self, out: Written, target: Any, entries: Entries, stored: memoryview, body: Body) -> None:
        page, stays, rows, _ = entries
        form, dictionary = self._source.form, self._dictionary
        kept = values_that_stay(stays, body, form)
        indexed = dictionary.indexed if dictionary else None
        cut = cut_values(body.values, encoding_of(page), kept, form, of_gone=not self._with_places, dictionary=indexed)
        count = int(np.count_nonzero(stays))
        counts = Counts(count, count - int(np.count_nonzero(kept)), rows)
        out.extremes = united(out.extremes, cut.extremes)
        out.nulls += counts.nulls
        out.nulls_lost += len(stays) - len(kept) - counts.nulls
        if not count:
            return
        made = None
        if count != len(stays) or (self._is_anew and cut.indices is not None):
            made = put_together(page, _chosen(body, stays), form, counts, cut)
        at = target.tell()
        size_bytes = _put(out, target, page, stored, made)
        if self._with_places:
            extremes = dictionary.extremes_of(cut.indices) if dictionary and cut.indices is not None else cut.extremes
            out.pages.append(PagePlace(at, size_bytes, out.rows, counts.nulls, counts.nulls == count, extremes))
        out.entries += count
        out.rows += rows


def _chosen(body: Body, stays: Mask) -> Body:
    repetition = None if body.repetition is None else body.repetition[stays]
    definition = None if body.definition is None else body.definition[stays]
    return body._replace(repetition=repetition, definition=definition)


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
