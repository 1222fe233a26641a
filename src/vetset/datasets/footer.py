"""What a Parquet file says of itself, checked before any of it is believed.

In it: the frame (magic, footer length), the caps, and the counts and places of row groups and column chunks, read
without pyarrow (apache/parquet-format, parquet.thrift: FileMetaData).
Not in it: rows, the schema. Rules: nothing large is allocated on a footer's word; what does not add up ends in a
ShardError and never in fewer rows (threats F6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from vetset.config import RunSettings
from vetset.datasets.compact import Compact, Fields, NotCompact
from vetset.datasets.pages import RandomAccess, values_in_chunk
from vetset.errors import ShardError, Trouble

_MAGIC, _ENCRYPTED_MAGIC = b"PAR1", b"PARE"
_TAIL_BYTES = 8
_SMALLEST_FILE_BYTES = len(_MAGIC) + _TAIL_BYTES

TYPES = ("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
CODECS = ("UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW")
_DICTIONARY_ENCODINGS = frozenset({2, 8})  # PLAIN_DICTIONARY, RLE_DICTIONARY


class FileMetaData:
    """Field numbers."""

    SCHEMA, NUM_ROWS, ROW_GROUPS, CREATED_BY, ENCRYPTION = 2, 3, 4, 6, 8


class RowGroup:
    """Field numbers."""

    COLUMNS, TOTAL_BYTES, NUM_ROWS, FILE_OFFSET, STORED, ORDINAL = 1, 2, 3, 5, 6, 7


class ColumnChunk:
    """Field numbers."""

    FILE_PATH, FILE_OFFSET, META_DATA, CRYPTO, ENCRYPTED = 1, 2, 3, 8, 9
    PAGE_INDEX = OFFSET_INDEX, OFFSET_INDEX_BYTES, COLUMN_INDEX, COLUMN_INDEX_BYTES = 4, 5, 6, 7


class ColumnMetaData:
    """Field numbers."""

    TYPE, ENCODINGS, PATH, CODEC, NUM_VALUES, UNFOLDED, STORED, DATA_AT, INDEX_AT, DICTIONARY_AT, STATISTICS = (
        1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12,
    )  # fmt: skip
    ENCODING_STATS = 13
    BLOOM_FILTER = BLOOM_FILTER_AT, BLOOM_FILTER_BYTES = 14, 15
    #: Sizes and histograms of values, and extents in space: true of the rows that were there before.
    ABOUT_VALUES = SIZES, SPACES = 16, 17


class Chunk(NamedTuple):
    """A column chunk: `path` is dotted as pyarrow's; `start` is its first page's place, 0 if it has no page."""

    path: str
    kind: str
    codec: str
    values: int
    unfolded_bytes: int
    stored_bytes: int
    start: int
    has_dictionary: bool
    has_statistics: bool
    has_page_index: bool


class Group(NamedTuple):
    """A row group."""

    rows: int
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Footer:
    """What was read and checked. `end` is where the data end and the footer starts."""

    rows: int
    groups: tuple[Group, ...]
    end: int


class SizedFile(RandomAccess, Protocol):
    """A file that knows its size, as Arrow's do."""

    def size(self) -> int: ...


def read_footer(file: SizedFile, run: RunSettings) -> Footer:
    """The footer, its caps and counts checked. ShardError for what it is not."""
    size_bytes = file.size()
    footer_bytes = _footer_bytes(file, size_bytes, run.max_footer_bytes)
    end = size_bytes - _TAIL_BYTES - footer_bytes
    file.seek(end)
    fields = _struct(file.read(footer_bytes))
    if FileMetaData.ENCRYPTION in fields:
        raise ShardError(Trouble.ENCRYPTED)
    try:
        groups = tuple(_group(group) for group in fields.get(FileMetaData.ROW_GROUPS, ()))
        footer = Footer(_count(fields[FileMetaData.NUM_ROWS]), groups, end)
    except (KeyError, IndexError, TypeError, AttributeError, UnicodeDecodeError):
        raise _malformed() from None
    _check_caps(fields, run.max_row_group_bytes, footer)
    return footer


def _footer_bytes(file: SizedFile, size_bytes: int, max_footer_bytes: int) -> int:
    file.seek(0)
    head = file.read(len(_MAGIC))
    file.seek(max(0, size_bytes - _TAIL_BYTES))
    tail = file.read(_TAIL_BYTES)
    if _ENCRYPTED_MAGIC in (head, tail[4:]):
        raise ShardError(Trouble.ENCRYPTED)
    if head != _MAGIC:
        raise ShardError(Trouble.NOT_THE_FORMAT, "no Parquet file: it does not start with PAR1")
    if size_bytes < _SMALLEST_FILE_BYTES or tail[4:] != _MAGIC:
        raise ShardError(Trouble.TRUNCATED, "the file does not end as Parquet does")
    footer_bytes = int.from_bytes(tail[:4], "little")
    if footer_bytes > size_bytes - _SMALLEST_FILE_BYTES:
        raise ShardError(Trouble.TRUNCATED, "the footer is longer than the file")
    if footer_bytes > max_footer_bytes:
        raise ShardError(
            Trouble.RECORD_TOO_LARGE, f"footer of {footer_bytes} bytes, max_footer_bytes {max_footer_bytes}"
        )
    return footer_bytes


def _struct(data: bytes) -> Fields:
    try:
        return Compact(data).struct()
    except (NotCompact, IndexError):
        raise _malformed() from None


def _malformed() -> ShardError:
    return ShardError(Trouble.NOT_THE_FORMAT, "the footer cannot be read")


def _group(fields: Fields) -> Group:
    return Group(_count(fields[RowGroup.NUM_ROWS]), tuple(_chunk(chunk) for chunk in fields[RowGroup.COLUMNS]))


def _chunk(fields: Fields) -> Chunk:
    if ColumnChunk.CRYPTO in fields or ColumnChunk.ENCRYPTED in fields:
        raise ShardError(Trouble.ENCRYPTED, "a column is encrypted")
    if fields.get(ColumnChunk.FILE_PATH):
        raise ShardError(Trouble.NOT_THE_FORMAT, "a column lies in another file")
    meta: dict[int, Any] = fields[ColumnChunk.META_DATA]
    places = (meta.get(ColumnMetaData.DICTIONARY_AT), meta[ColumnMetaData.DATA_AT])
    return Chunk(
        path=".".join(part.decode("utf-8") for part in meta[ColumnMetaData.PATH]),
        kind=TYPES[_count(meta[ColumnMetaData.TYPE])],
        codec=CODECS[_count(meta[ColumnMetaData.CODEC])],
        values=_count(meta[ColumnMetaData.NUM_VALUES]),
        unfolded_bytes=_count(meta[ColumnMetaData.UNFOLDED]),
        stored_bytes=_count(meta[ColumnMetaData.STORED]),
        # Writers put 0 for a page that is not there.
        start=min((_count(place) for place in places if place), default=0),
        has_dictionary=not _DICTIONARY_ENCODINGS.isdisjoint(meta[ColumnMetaData.ENCODINGS]),
        has_statistics=ColumnMetaData.STATISTICS in meta,
        has_page_index=ColumnChunk.OFFSET_INDEX in fields,
    )


def _count(number: Any) -> int:
    if not isinstance(number, int):
        raise _malformed()
    if number < 0:
        raise ShardError(Trouble.COUNTS_DISAGREE, "the footer holds a negative count")
    return number


def _check_caps(fields: Fields, max_row_group_bytes: int, footer: Footer) -> None:
    for number, group in enumerate(footer.groups):
        told = _count(fields[FileMetaData.ROW_GROUPS][number].get(RowGroup.TOTAL_BYTES, 0))
        size_bytes = max(told, sum(chunk.unfolded_bytes for chunk in group.chunks))
        if size_bytes > max_row_group_bytes:
            raise ShardError(
                Trouble.RECORD_TOO_LARGE,
                f"row group {number} of {size_bytes} bytes, max_row_group_bytes {max_row_group_bytes}",
            )
    rows = sum(group.rows for group in footer.groups)
    if rows != footer.rows:
        raise ShardError(Trouble.COUNTS_DISAGREE, f"row groups of {rows} rows in a file of {footer.rows}")


def check_pages(file: RandomAccess, footer: Footer, number: int, names: frozenset[str] | None) -> None:
    """Compares the values that the pages of a row group hold with the footer; for top-level columns, or all (None)."""
    for chunk in footer.groups[number].chunks:
        if names is not None and chunk.path not in names:
            continue
        values = _values_in(file, chunk, footer.end)
        if values != chunk.values:
            raise ShardError(Trouble.COUNTS_DISAGREE, f"pages of {values} values, the footer says {chunk.values}")


def _values_in(file: RandomAccess, chunk: Chunk, end: int) -> int:
    if not chunk.stored_bytes:
        return 0
    stop = chunk.start + chunk.stored_bytes
    if chunk.start < len(_MAGIC) or stop > end:
        raise ShardError(Trouble.TRUNCATED, "a column lies outside of the data")
    return values_in_chunk(file, chunk.start, stop, end)
