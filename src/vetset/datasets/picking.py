"""Values of a few rows of a row group, picked out of the pages that hold them.

In it: columns of byte arrays, plain or by dictionary. Not in it: other columns, and pages that cannot be taken apart,
for which Arrow reads the whole row group (`rowgroups`).
Rules: what is picked is what Arrow would read; every page is counted against the footer, and only those that hold a row
asked for are unfolded. Why: of a million addresses expand asks for a few hundred, and Arrow makes values of them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from vetset.datasets.chunks import Source, entries_of, values_that_stay
from vetset.datasets.pagebody import encoding_of, read_page, taken_apart
from vetset.datasets.rowgroups import ParquetSource
from vetset.datasets.runs import Rows
from vetset.datasets.splice import MAX_GROUP_ROWS, cuts_quickly, part_of
from vetset.datasets.valuecut import BY_DICTIONARY, damage_told, indices_of
from vetset.errors import ShardError, Trouble
from vetset.kernels.encoding import Mask, byte_arrays_cut

_KINDS = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
_LENGTH_BYTES = 4


def picked(source: ParquetSource, number: int, names: Sequence[str], places: Rows) -> Any | None:
    """A record batch with the named columns of the rows at `places` (ascending) of a row group; None if Arrow must
    read it. Raises ShardError for pages that do not hold what they should.
    """
    group = source.footer.groups[number]
    kinds = [_kind(source, name) for name in names]
    if group.rows > MAX_GROUP_ROWS or not cuts_quickly() or None in kinds:
        return None
    parts = _parts(source, number, names)
    if parts is None:
        return None
    keep = np.zeros(group.rows, np.bool_)
    keep[places] = True
    arrays = [_array(part, keep, kind) for part, kind in zip(parts, kinds, strict=True)]
    if any(len(array) != len(places) for array in arrays):
        raise ShardError(Trouble.COUNTS_DISAGREE, f"row group {number}: other rows than the footer says")
    return pa.record_batch(arrays, names=list(names))


def _kind(source: ParquetSource, name: str) -> Any | None:
    place = source.schema.get_field_index(name)  # -1 for none or several
    kind = None if place < 0 else source.schema.field(place).type
    return kind if kind in _KINDS else None


def _parts(source: ParquetSource, number: int, names: Sequence[str]) -> list[Source] | None:
    columns = zip(source.footer.groups[number].chunks, source.leaves, strict=True)
    by_path = {chunk.path: (chunk, leaf) for chunk, leaf in columns}
    parts = []
    for name in names:
        if name not in by_path:
            return None
        chunk, leaf = by_path[name]
        part = part_of(source, chunk, leaf)
        if part.is_odd(chunk.start + chunk.stored_bytes) or not part.can_be_cut():
            return None
        if part.form.kind != "BYTE_ARRAY" or part.form.max_repetition:
            return None
        parts.append(part)
    return parts


def _array(part: Source, keep: Mask, kind: Any) -> Any:
    """The values in the column's own type. Bytes are not looked at, as Arrow does not when it reads a column."""
    wide = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)
    values = list(_values(part, keep))
    return pa.array(values, pa.large_binary() if wide else pa.binary()).view(kind)


def _values(part: Source, keep: Mask) -> Iterator[bytes | None]:
    dictionary: memoryview | None = None
    for entries in entries_of(part, keep, lambda _, stays: bool(stays.any())):
        if entries.read is None:
            continue
        body = entries.read[1]
        kept = values_that_stay(entries.stays, body, part.form)
        if encoding_of(entries.page) in BY_DICTIONARY:
            dictionary = _dictionary(part) if dictionary is None else dictionary
            present = _by_dictionary(body.values, kept, dictionary, part.dictionary.values if part.dictionary else 0)
        else:
            present = _plain(body.values, kept)
        definition = body.definition
        if definition is None:
            yield from present
            continue
        left = iter(present)
        for level in definition[entries.stays].tolist():
            yield next(left) if level == part.form.max_definition else None


def _plain(values: memoryview, kept: Mask) -> list[bytes]:
    """Of values that each follow their length those under the mask."""
    with damage_told():
        cut = byte_arrays_cut(values, kept)
    edges = [0, *cut.gone.ravel().tolist(), cut.end]
    found = []
    for at, stop in zip(edges[::2], edges[1::2], strict=True):
        while at < stop:
            start = at + _LENGTH_BYTES
            at = start + int.from_bytes(values[at:start], "little")  # noqa: PLW2901 - the walk within a stretch
            found.append(bytes(values[start:at]))
    return found


def _by_dictionary(values: memoryview, kept: Mask, dictionary: memoryview, entries: int) -> list[bytes]:
    with damage_told():
        indices = indices_of(values, len(kept), entries)[1][kept]
    used = np.zeros(entries, np.bool_)
    used[indices] = True
    found = _plain(dictionary, used)
    return [found[place] for place in (np.cumsum(used) - 1)[indices].tolist()]


def _dictionary(part: Source) -> memoryview:
    page = part.dictionary
    if page is None:
        return memoryview(b"")
    return taken_apart(page, read_page(part.file, page), part.form.without_levels()).values
