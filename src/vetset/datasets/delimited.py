"""CSV and TSV behind `ports.Dataset`, by the csv module over counted lines.

In it: header, delimiter, records with quoted line breaks. Not in it: byte ranges and batches (lines).
Rules: the first record is the header; a line ends with a line feed, and a bare carriage return is part of a value; a
blank line is kept and is no row; an empty field is an empty text (CSV knows no null), a missing one is null; a file
that ends inside quotes is truncated, because an unclosed quote would hide every row behind it in one value (RFC 4180
has no other sign of it).
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from vetset.config import Settings
from vetset.datasets.columns import map_columns
from vetset.datasets.lines import (
    PhysicalLines,
    Record,
    Value,
    batches_of,
    cut,
    looked_up,
    opened_text,
    text_bytes,
)
from vetset.datasets.location import readable
from vetset.datasets.runs import Rows
from vetset.errors import ShardError, Trouble
from vetset.ports import Products
from vetset.records import Column, RowBatch, Shard, ShardFacts

_DELIMITERS = ",;\t"
_SNIFF_BYTES = 64 * 1024
_RETURN = "\ud800"
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")
_INT64 = range(-(2**63), 2**63)


class Csv:
    """Shards that are comma-, semicolon- or tab-separated text with a header line."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root = root
        self.run = settings.run
        self.overrides = settings.columns

    def facts(self, shard: Shard) -> ShardFacts:
        """From the header line; how many rows there are only reading can tell."""
        with opened_text(self.root, shard) as file:
            header, _, _ = self._start(shard, file)
        mapping = map_columns([(name, None) for name in header], self.overrides, from_schema=False)
        digest = hashlib.sha256("\x00".join(header).encode("utf-8", "surrogateescape")).hexdigest()
        return ShardFacts(None, mapping, digest)

    def batches(self, shard: Shard, columns: frozenset[Column]) -> Iterator[RowBatch]:
        """All rows in order."""
        wanted = self._wanted(shard, columns)
        return batches_of(self._records(shard, wanted), list(wanted), self.run.batch_rows)

    def lookup(self, shard: Shard, rows: Rows, columns: frozenset[Column]) -> Iterator[RowBatch]:
        """The named rows; text is read from its start up to the last of them."""
        wanted = self._wanted(shard, columns)
        return looked_up(self._records(shard, wanted), rows, list(wanted), self.run.batch_rows)

    def write_without(self, shard: Shard, removed: Rows, product: Products) -> int:
        """The source's bytes, header and blank lines included, less the removed records'."""
        with opened_text(self.root, shard) as source, product(shard.path) as sink:
            return cut(self._records(shard, {}), removed, source, shard.size_bytes, sink)

    def _wanted(self, shard: Shard, columns: frozenset[Column]) -> dict[Column, str]:
        return {column: name for column, name in self.facts(shard).columns.items() if column in columns}

    def _start(self, shard: Shard, file: BinaryIO) -> tuple[list[str], PhysicalLines, Any]:
        """The header's fields, and the lines and the reader that stand behind it."""
        with readable():
            delimiter = _delimiter(shard.path, file.readline(_SNIFF_BYTES))
            file.seek(0)
        lines = PhysicalLines(file, self.run.max_record_bytes)
        # A process-wide limit of the csv module; the lines' own cap is what holds.
        csv.field_size_limit(max(csv.field_size_limit(), self.run.max_record_bytes))
        reader = csv.reader(map(_hidden_returns, lines), delimiter=delimiter)
        while True:
            lines.begin()
            header = next(reader, None)
            if header is None:
                raise ShardError(Trouble.NOT_THE_FORMAT, "no header line")
            if header:
                return header, lines, reader

    def _records(self, shard: Shard, wanted: Mapping[Column, str]) -> Iterator[Record]:
        with opened_text(self.root, shard) as file:
            header, lines, reader = self._start(shard, file)
            fields = [(_PARSED.get(column, _text), header.index(name)) for column, name in wanted.items()]
            lines.begin()
            for row in reader:
                if row:
                    values = [parse(row[place]) if place < len(row) else None for parse, place in fields]
                    yield Record(lines.start, lines.position, values)
                lines.begin()


def _hidden_returns(line: str) -> str:
    """The line with bare carriage returns out of sight of the csv module, which ends a record at them or refuses.

    Writers leave them unquoted. What stands for them is a surrogate that no decoded byte can give.
    """
    if "\r" not in line:
        return line
    end = "\r\n" if line.endswith("\r\n") else ""
    return line.removesuffix(end).replace("\r", _RETURN) + end


def _text(field: str) -> bytes:
    return text_bytes(field.replace(_RETURN, "\r"))


def _delimiter(path: str, line: bytes) -> str:
    """Tab by the file's name, or whichever of the three the header line has most of."""
    if path.lower().endswith(".tsv"):
        return "\t"
    return max(_DELIMITERS, key=lambda delimiter: line.count(delimiter.encode("ascii")))


def _whole(text: str) -> int | None:
    number = int(text) if _WHOLE_NUMBER.fullmatch(text.strip()) else None
    return number if number is not None and number in _INT64 else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


_PARSED: Mapping[Column, Callable[[str], Value]] = {Column.HASH: _whole, Column.PUNSAFE: _number}
