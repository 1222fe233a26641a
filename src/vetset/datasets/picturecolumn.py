"""Pictures in a column of a Parquet file: Hugging Face's struct of bytes and path, or plain bytes.

In it: which column that is, and its pictures in batches. Not in it: other columns (`parquet`), decoding.
Rules: a column counts by its type and its name together; rows are read few at a time, since pictures are large.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from vetset.config import PictureSettings
from vetset.datasets.columns import column_of
from vetset.datasets.rowgroups import ParquetSource, no_arrow_message, rows_of_group
from vetset.datasets.stored import SIZES, Hint, hint_of
from vetset.records import DIGEST_COLUMNS, Picture, Sealed

#: Names under which pictures stand as plain bytes: img2dataset's formats of encoding, and what others use.
_NAMES = frozenset({"jpg", "jpeg", "png", "webp", "image", "img", "bytes", "image_bytes", "image_data", "picture"})
_BATCH_ROWS = 32


def picture_column(schema: Any) -> str | None:
    """The name of the column with pictures, if there is one."""
    for field in schema:
        kind, name = field.type, field.name.lower()
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 and _is_bytes(kind.field("bytes").type):
            return str(field.name)
        if name in _NAMES and _is_bytes(kind):
            return str(field.name)
    return None


def _is_bytes(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def pictures_of(source: ParquetSource, settings: PictureSettings) -> Iterator[Sequence[Picture]]:
    """Pictures with their hints, by ascending row; a row whose bytes are null or empty has none."""
    name = picture_column(source.schema)
    if name is None:
        return
    hints = [other for other in source.schema.names if column_of(other) in DIGEST_COLUMNS or other in SIZES]
    first = 0
    for number in range(len(source.footer.groups)):
        for batch in rows_of_group(source, number, frozenset([name, *hints]), _BATCH_ROWS):
            with no_arrow_message():
                said = {other: batch.column(other).to_pylist() for other in hints}
                bodies = _bodies(batch.column(name))
            found = [
                Picture(first + row, Sealed(body), *_hint(said, row, settings))
                for row, body in enumerate(bodies)
                if body is not None and len(body)
            ]
            if found:
                yield found
            first += batch.num_rows


def _hint(said: Mapping[str, Sequence[Any]], row: int, settings: PictureSettings) -> Hint:
    return hint_of({name: values[row] for name, values in said.items()}, settings)


def _bodies(array: Any) -> list[memoryview | None]:
    """Views of the column's bytes; they keep Arrow's buffers alive."""
    values = array.field("bytes") if pa.types.is_struct(array.type) else array
    if pa.types.is_struct(array.type) and array.null_count:
        values = array.flatten()[array.type.get_field_index("bytes")]
    return [memoryview(value.as_buffer()) if value.is_valid else None for value in values]
