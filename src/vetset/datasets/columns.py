"""Which of a dataset's columns is which of ours, and how its values come into one form.

In it: the spellings of LAION's releases and img2dataset's outputs, types allowed, normal forms of Arrow columns.
Not in it: files. Positions of columns mean nothing: the order varies between releases (reference: datasets, §1).
Rules: names are matched whatever their case; two columns that read as the same are an error, never a guess; a message
names columns and types and no value; `hash` is MurmurHash3 of url+text and never compared with a digest list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vetset.datasets.printable import printable, printable_names
from vetset.errors import ShardError, Stop, Trouble
from vetset.records import DIGEST_COLUMNS, WIDTH_BYTES, Column, SealedBatch

#: Spellings of each column, in lower case.
SPELLINGS: Mapping[Column, tuple[str, ...]] = {
    Column.URL: ("url",),
    Column.TEXT: ("text", "txt", "caption", "alt"),
    Column.MD5: ("md5",),
    Column.SHA1: ("sha1",),
    Column.SHA256: ("sha256", "sha256hash"),
    Column.HASH: ("hash",),
    Column.NSFW: ("nsfw",),
    Column.PUNSAFE: ("punsafe",),
}
_COLUMN_OF = {spelling: column for column, spellings in SPELLINGS.items() for spelling in spellings}
_TEXTS = frozenset({Column.URL, Column.TEXT, Column.NSFW})

#: The Arrow type of each column in a RowBatch.
ARROW_TYPE: Mapping[Column, Any] = {
    column: pa.int64() if column is Column.HASH else pa.float64() if column is Column.PUNSAFE else pa.large_binary()
    for column in Column
}

# A name that is surely a column's name. In a text file without a header line the "names" are the first row's values;
# an address or a hex digest (32 characters or more) does not pass.
_SURELY_A_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,23}")


def column_of(name: str) -> Column | None:
    """The column that a name spells, if any."""
    return _COLUMN_OF.get(name.strip().casefold())


def known_overrides(overrides: Mapping[str, str]) -> dict[Column, str]:
    """The operator's own mapping, checked: Stop for a column that vetset does not have."""
    for name in overrides:
        if name not in set(Column):
            known = ", ".join(Column)
            raise Stop(f"unknown column {printable(name)} in the settings' [columns]", hint=f"known here: {known}")
    return {Column(name): spelling for name, spelling in overrides.items()}


def map_columns(
    columns: Sequence[tuple[str, Any]],
    overrides: Mapping[str, str],
    *,
    from_schema: bool = True,
    with_pictures: bool = False,
) -> dict[Column, str]:
    """Ours → the dataset's spelling, for (name, Arrow type or None for text) pairs in the dataset's order.

    An override wins; an empty one says that the dataset has no such column. `from_schema` is False where the names
    come from the same place as the rows, so that they may be rows. `with_pictures`: the rows hold pictures, so that
    nothing else has to be comparable. Raises ShardError COLUMN_MISSING, COLUMN_AMBIGUOUS
    or COLUMN_TYPE, and Stop for an override that is no column of ours.
    """
    names = [name for name, _ in columns]
    chosen = known_overrides(overrides)
    mapping = {column: _named(column, name, names) for column, name in chosen.items() if name}
    for column in Column:
        spelled = [name for name in names if column_of(name) is column]
        if column not in chosen and spelled:
            mapping[column] = _only(column, spelled)
    if not with_pictures and not mapping.keys() & {Column.URL, *DIGEST_COLUMNS}:
        raise ShardError(Trouble.COLUMN_MISSING, _nothing_to_compare(names, from_schema=from_schema))
    types = dict(columns)
    for column, name in mapping.items():
        _check_type(column, name, types[name])
    return {column: mapping[column] for column in Column if column in mapping}


def _named(column: Column, name: str, names: Sequence[str]) -> str:
    if name not in names:
        raise ShardError(
            Trouble.COLUMN_MISSING, f"the settings say {column} = {printable(name)}, and there is no such column"
        )
    return _only(column, [found for found in names if found == name])


def _only(column: Column, spelled: Sequence[str]) -> str:
    if len(spelled) > 1:
        raise ShardError(
            Trouble.COLUMN_AMBIGUOUS,
            f"{printable_names(spelled)} all read as {column}; name one in the settings: [columns] {column} = …",
        )
    return spelled[0]


def _nothing_to_compare(names: Sequence[str], *, from_schema: bool) -> str:
    wanted = "no column for a URL or a digest; if one has another name, say so in the settings: [columns] url = …"
    if from_schema or all(_SURELY_A_NAME.fullmatch(name) for name in names):
        return f"{wanted}; columns: {printable_names(names) or '(none)'}"
    return f"{wanted}; {len(names)} fields that look like no names: is there a header?"


def _check_type(column: Column, name: str, kind: Any) -> None:
    if kind is None or pa.types.is_null(kind) or _fits(column, kind):
        return
    shown = printable(str(kind), max_characters=60)
    raise ShardError(
        Trouble.COLUMN_TYPE,
        f"column {printable(name)} is {shown}, which cannot be read as {column};"
        f" if it is something else, say so in the settings: [columns] {column} = ''",
    )


def _fits(column: Column, kind: Any) -> bool:
    types = pa.types
    if column is Column.HASH:
        return bool(types.is_integer(kind))
    if column is Column.PUNSAFE:
        return bool(types.is_floating(kind) or types.is_integer(kind) or types.is_decimal(kind))
    inner = kind.value_type if types.is_dictionary(kind) else kind
    if column not in _TEXTS and types.is_fixed_size_binary(inner):
        return True
    return bool(_is_text(inner) or _is_binary(inner))


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def normalised(array: Any, column: Column) -> Any:
    """An Arrow column in the type that RowBatch documents; the type must have passed `map_columns`."""
    if column is Column.HASH and pa.types.is_uint64(array.type):
        return array.view(pa.int64())  # the same 64 bits
    values = array.cast(ARROW_TYPE[column])
    inner = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    return values if column not in DIGEST_COLUMNS or _is_text(inner) else _hex_of_raw(values, column)


def _hex_of_raw(values: Any, column: Column) -> Any:
    """Binary values as long as the digest itself are the digest; others are taken for hex text already."""
    width_bytes = WIDTH_BYTES[DIGEST_COLUMNS[column]]
    if not pc.any(pc.equal(pc.binary_length(values), width_bytes)).as_py():
        return values
    blobs: list[bytes | None] = values.to_pylist()
    return pa.array([_hex(blob, width_bytes) for blob in blobs], pa.large_binary())


def _hex(blob: bytes | None, width_bytes: int) -> bytes | None:
    return blob.hex().encode("ascii") if blob is not None and len(blob) == width_bytes else blob


def sealed_batch(arrays: Mapping[Column, Any], rows: int) -> SealedBatch:
    """Columns of equal length under our names, in our order, sealed."""
    columns = [column for column in Column if column in arrays]
    if not columns:  # only so does a batch without columns know its number of rows
        return SealedBatch(pa.record_batch([pa.nulls(rows)], names=["rows"]).select([]))
    return SealedBatch(pa.record_batch([arrays[column] for column in columns], names=[str(name) for name in columns]))
