"""The compression of Parquet's pages, by Arrow's codecs.

In it: pages unfolded to exactly the size that their header tells, and folded again.
Not in it: what is in a page; LZO, and the old framing of LZ4.
Rules: if a page unfolds to less than it was told, Arrow leaves the end of its buffer as the memory was, and foreign
memory would become values: so the size is always proved.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from vetset.datasets.rowgroups import no_arrow_message, undecodable
from vetset.kernels import snappy

#: A footer's name of a codec -> Arrow's. At their default levels, so that a file's bytes follow from its source.
_NAMES = {"SNAPPY": "snappy", "GZIP": "gzip", "BROTLI": "brotli", "ZSTD": "zstd", "LZ4_RAW": "lz4_raw"}
_STREAMED = frozenset({"GZIP", "BROTLI", "ZSTD"})
_PLAIN = "UNCOMPRESSED"


def is_known(codec: str) -> bool:
    """Whether pages of this codec can be unfolded and folded here."""
    return codec == _PLAIN or codec in _NAMES


def unfolded(data: Any, codec: str, size_bytes: int) -> memoryview:
    """The contents of `data` (a buffer), which must be of `size_bytes`. ShardError NOT_THE_FORMAT or NotEncoded."""
    if codec == _PLAIN:
        return _bytewise(data)
    if codec == "SNAPPY":
        return snappy.unfolded(data, size_bytes)
    with no_arrow_message():
        contents = _streamed(data, codec, size_bytes) if codec in _STREAMED else _at_once(data, codec, size_bytes)
    if len(contents) != size_bytes:
        raise undecodable()
    return contents


def unfolded_to_cut(data: Any, codec: str, size_bytes: int) -> tuple[memoryview, snappy.Marks]:
    """As `unfolded`, and what makes it quick to cut the data within their compressed form, where that can be."""
    if codec == "SNAPPY":
        return snappy.unfolded_to_cut(data, size_bytes)
    return unfolded(data, codec, size_bytes), snappy.NO_MARKS


def _bytewise(data: Any) -> memoryview:
    return memoryview(data).cast("B")  # Arrow's own are of signed bytes


def _streamed(data: Any, codec: str, size_bytes: int) -> memoryview:
    with pa.CompressedInputStream(pa.BufferReader(data), _NAMES[codec]) as stream:
        return memoryview(stream.read(size_bytes + 1))


def _at_once(data: Any, codec: str, size_bytes: int) -> memoryview:
    arrow = pa.Codec(_NAMES[codec])
    if size_bytes and _fits(arrow, data, size_bytes - 1):
        raise undecodable()
    return _bytewise(arrow.decompress(data, decompressed_size=size_bytes))


def _fits(arrow: Any, data: Any, size_bytes: int) -> bool:
    try:
        arrow.decompress(data, decompressed_size=size_bytes)
    except OSError:
        return False
    return True


def folded(data: Any, codec: str) -> Any:
    """The data compressed, as a buffer."""
    if codec == _PLAIN:
        return pa.py_buffer(data)
    with no_arrow_message():
        return pa.Codec(_NAMES[codec]).compress(data)
