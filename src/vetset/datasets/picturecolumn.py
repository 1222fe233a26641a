"""Pictures in columns of a Parquet file: Hugging Face's struct of bytes and path, lists of it, or plain bytes.

In it: which columns those are, and their pictures in batches. Not in it: other columns (`parquet`), decoding.
Rules: a column counts by its type and its name together, and plain bytes under any other name by the first bytes of
each value, so that no picture escapes; rows are read few at a time, since pictures are large.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from vetset.config import PictureSettings
from vetset.datasets.columns import column_of
from vetset.datasets.rowgroups import ParquetSource, no_arrow_message, rows_of_group
from vetset.datasets.samples import is_picture
from vetset.datasets.stored import SIZES, Hint, hint_of
from vetset.records import DIGEST_COLUMNS, Picture, Sealed

#: Names under which pictures stand as plain bytes: img2dataset's formats of encoding, and what others use.
_NAMES = frozenset({"jpg", "jpeg", "png", "webp", "image", "img", "bytes", "image_bytes", "image_data", "picture"})
_BATCH_ROWS = 32


def picture_columns(schema: Any) -> list[str]:
    """The names of the columns with pictures."""
    return [field.name for field in schema if _is_of_pictures(field.type) or _is_named(field)]


def _is_of_pictures(kind: Any) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_of_pictures(kind.value_type)
    if not pa.types.is_struct(kind):
        return False
    place = kind.get_field_index("bytes")
    return place >= 0 and _is_bytes(kind.field(place).type)


def _is_named(field: Any) -> bool:
    return field.name.lower() in _NAMES and _is_bytes(field.type)


def _is_bytes(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def pictures_of(source: ParquetSource, settings: PictureSettings) -> Iterator[Sequence[Picture]]:
    """Pictures with their hints, by ascending row; a row whose bytes are null or empty has none."""
    sure = frozenset(picture_columns(source.schema))
    others = [field.name for field in source.schema if _is_bytes(field.type) and column_of(field.name) is None]
    names = [name for name in source.schema.names if name in sure or name in others]
    if not names:
        return
    hints = [other for other in source.schema.names if column_of(other) in DIGEST_COLUMNS or other in SIZES]
    first = 0
    for number in range(len(source.footer.groups)):
        for batch in rows_of_group(source, number, frozenset([*names, *hints]), _BATCH_ROWS):
            with no_arrow_message():
                said = {other: batch.column(other).to_pylist() for other in hints}
                bodies = [(name in sure, _bodies(batch.column(name))) for name in names]
            found = [
                Picture(first + row, Sealed(body), *_hint(said, row, settings))
                for row in range(batch.num_rows)
                for is_sure, column in bodies
                for body in column[row]
                if len(body) and (is_sure or is_picture(b"", body))
            ]
            if found:
                yield found
            first += batch.num_rows


def _hint(said: Mapping[str, Sequence[Any]], row: int, settings: PictureSettings) -> Hint:
    return hint_of({name: values[row] for name, values in said.items()}, settings)


def _bodies(array: Any) -> list[list[memoryview]]:
    """For each row views of its bytes; they keep Arrow's buffers alive."""
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return [_of_list(value) for value in array]
    values = array.flatten()[array.type.get_field_index("bytes")] if pa.types.is_struct(array.type) else array
    return [[memoryview(value.as_buffer())] if value.is_valid else [] for value in values]


def _of_list(value: Any) -> list[memoryview]:
    return [body for bodies in _bodies(value.values) for body in bodies] if value.is_valid else []
