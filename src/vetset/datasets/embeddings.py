"""A NumPy file written again without some of its rows: embeddings beside metadata, row by row the same.

In it: the header of `.npy`, versions 1 and 2 (numpy.lib.format), read by a pattern, and the rows streamed by ranges.
Not in it: what the numbers mean. Rules: nothing is unpickled or evaluated; objects, records and Fortran order are
refused; the file must be exactly as long as its header says; the header written is as long as the one read, so that
the rows start where they did; memory does not grow with the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

from vetset.datasets.bytesink import BufferedSink
from vetset.datasets.location import readable
from vetset.datasets.runs import Rows, check_rows, neighbours
from vetset.errors import ShardError, Trouble
from vetset.ports import ByteSink

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 10_000  # numpy reads no longer one either (numpy.lib.format.read_array_header_1_0)
_COPY_BYTES = 4 * 1024 * 1024
_MAX_DIMENSIONS = 64
#: Bytes of the header's length, by the version.
_LENGTHS = {(1, 0): 2, (2, 0): 4}
#: The header as numpy writes it: a dict with its keys in order of name.
_HEADER = re.compile(
    rb"\{\s*'descr':\s*'([<>|=]?)([biufcV])(\d{1,9})',\s*'fortran_order':\s*(True|False),"
    rb"\s*'shape':\s*\((\d{1,19}(?:,\s*\d{1,19})*),?\s*\),?\s*\} *\n"
)
_SHAPE = re.compile(rb"('shape':\s*\()\d+")


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """What a `.npy` file says of itself. Rows start at `start` and are `row_bytes` long."""

    rows: int
    row_bytes: int
    start: int
    prefix: bytes  # magic, version and length
    text: bytes

    def renewed(self, rows: int) -> bytes:
        """The header for fewer rows, in as many bytes."""
        text = _SHAPE.sub(lambda match: match[1] + str(rows).encode("ascii"), self.text.rstrip(b" \n"), count=1)
        return self.prefix + text.ljust(len(self.text) - 1) + b"\n"


def array_header(file: BinaryIO, size_bytes: int) -> ArrayHeader:
    """The header of a file open at its first byte. Raises ShardError for what is not read here."""
    fixed = file.read(len(MAGIC) + 2)
    length_bytes = _LENGTHS.get((fixed[-2], fixed[-1])) if len(fixed) == len(MAGIC) + 2 else None
    if not fixed.startswith(MAGIC) or length_bytes is None:
        raise ShardError(Trouble.NOT_THE_FORMAT, "embeddings that are no NumPy file of version 1 or 2")
    length = file.read(length_bytes)
    header_bytes = int.from_bytes(length, "little")
    if not 0 < header_bytes <= MAX_HEADER_BYTES:
        raise ShardError(Trouble.NOT_THE_FORMAT, "embeddings whose header is longer than NumPy writes one")
    text = file.read(header_bytes)
    rows, row_bytes = _shape_of(text)
    start = len(fixed) + length_bytes + header_bytes
    expected = start + rows * row_bytes
    if len(text) < header_bytes or size_bytes < expected:
        raise ShardError(Trouble.TRUNCATED, "embeddings that end before the rows of their header do")
    if size_bytes > expected:
        raise ShardError(Trouble.COUNTS_DISAGREE, "embeddings that are longer than their header says")
    return ArrayHeader(rows, row_bytes, start, fixed + length, text)


def _shape_of(text: bytes) -> tuple[int, int]:
    """Rows, and the bytes of one."""
    match = _HEADER.fullmatch(text)
    if match is None:
        raise ShardError(Trouble.NOT_THE_FORMAT, "embeddings that are no plain array of numbers")
    if match[4] == b"True":
        raise ShardError(Trouble.NOT_THE_FORMAT, "embeddings in Fortran order, in which a row is no stretch of bytes")
    shape = [int(part) for part in match[5].split(b",")]
    if len(shape) > _MAX_DIMENSIONS:
        raise ShardError(Trouble.NOT_THE_FORMAT, "embeddings of more dimensions than NumPy knows")
    return shape[0], prod(shape[1:]) * int(match[3])


def write_array_without(path: Path, rows: int, removed: Rows, sink: ByteSink) -> None:
    """The rows of a `.npy` file that are not removed. It must have as many rows as the metadata beside it."""
    with readable(), path.open("rb") as file:
        header = array_header(file, path.stat().st_size)
    if header.rows != rows:
        raise ShardError(Trouble.COUNTS_DISAGREE, f"{header.rows} rows of embeddings beside {rows} of metadata")
    check_rows(removed, rows)
    target = BufferedSink(sink)
    target.write(header.renewed(rows - len(removed)))
    with readable():
        file = path.open("rb")
    with file:
        for start, stop in _staying(removed, rows):
            _copy(file, header.start + start * header.row_bytes, header.start + stop * header.row_bytes, target)
    target.flush()


def _staying(removed: Rows, rows: int) -> Iterator[tuple[int, int]]:
    at = 0
    for start, stop in neighbours(removed):
        yield at, start
        at = stop
    yield at, rows


def _copy(file: BinaryIO, start: int, stop: int, target: BufferedSink) -> None:
    with readable():
        file.seek(start)
    while start < stop:
        with readable():
            data = file.read(min(_COPY_BYTES, stop - start))
        if not data:
            raise ShardError(Trouble.SOURCE_CHANGED, "embeddings that are shorter than when they were found")
        target.write(data)
        start += len(data)
