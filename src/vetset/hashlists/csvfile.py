"""Sources in CSV: which columns hold what, and the reader.

In it: the column map (a TOML file, or the columns' own names) and records by the csv module.
Not in it: what a value may look like (value).
Rules: headers are compared case aside; a row may give several signals; an empty cell is no value; a header is never
shown, because the first line of a file without one is a row; broken quoting that hides lines stops the reading.
"""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vetset.errors import Stop
from vetset.hashlists.account import Account, Reason
from vetset.hashlists.gathering import Holder
from vetset.hashlists.value import value_of
from vetset.records import ListEntry, Signal

#: What a source may say of an entry beside its values; the names of `ListEntry` and of the map's keys.
SAID = ("entry_id", "category", "source")

_MAX_LINE_CHARACTERS = 1 << 20
_DELIMITERS = ",;\t"
_EXAMPLE = 'for example [columns] with md5 = "MD5" and category = "Category"'


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Headers by what their columns hold: a signal, or one of `SAID`. Only what is named is read."""

    signals: Mapping[Signal, str]
    said: Mapping[str, str]


def read_map(path: Path) -> ColumnMap:
    """The column map of a TOML file: one table `[columns]`, signal, entry_id, category or source = "header".

    Raises Stop for what is no such file, and for a value's column that is also given as something said of it.
    """
    return column_map(_columns_table(path), str(path))


def column_map(columns: Mapping[str, Any], path: str) -> ColumnMap:
    """The map of a table `[columns]` that stands in `path`. Raises Stop as `read_map` does."""
    known = [*Signal, *SAID]
    unknown = [name for name in columns if name not in known]
    if unknown or not all(isinstance(header, str) and header.strip() for header in columns.values()):
        what = f"unknown name {unknown[0]!r}" if unknown else "a header that is not text"
        raise Stop(f"{path}: {what} in [columns]", hint=f"known: {', '.join(known)}; {_EXAMPLE}")
    signals = {Signal(name): header for name, header in columns.items() if name not in SAID}
    said = {name: header for name, header in columns.items() if name in SAID}
    if not signals:
        raise Stop(f"{path} maps no signal", hint=_EXAMPLE)
    if {_folded(header) for header in signals.values()} & {_folded(header) for header in said.values()}:
        raise Stop(f"{path} gives one column both as a value and as its category, source or id", hint=_EXAMPLE)
    return ColumnMap(signals, said)


def _columns_table(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Stop(f"cannot read --map {path}: {error.strerror}", hint="it names a TOML file") from None
    except (ValueError, RecursionError):
        raise Stop(f"--map {path} is not TOML", hint=_EXAMPLE) from None
    columns = data.get("columns")
    if list(data) != ["columns"] or not isinstance(columns, dict):
        raise Stop(f"--map {path} should hold one table [columns] and nothing else", hint=_EXAMPLE)
    return columns


def _folded(header: str) -> str:
    return header.strip().casefold()


def read_csv(stream: BinaryIO, account: Account, gathered: Holder, columns: ColumnMap | None) -> None:
    """Reads a CSV file with a header line, separated by comma, semicolon or tab; without a map by its own names."""
    with io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="") as text:
        lines = _lines(text, account.source)
        first = next(lines, "")
        delimiter = max(_DELIMITERS, key=first.count)
        row_of = _row_reader(_header(first, delimiter), columns, account.source)
        for line_number, row in _records(lines, delimiter, account):
            row_of(row, line_number, account, gathered)


def _lines(text: io.TextIOWrapper, source: str) -> Iterator[str]:
    while line := text.readline(_MAX_LINE_CHARACTERS):
        if len(line) == _MAX_LINE_CHARACTERS:
            raise Stop(f"{source} has a line of over {_MAX_LINE_CHARACTERS:,} characters", hint="is it a CSV file?")
        yield line


def _header(first: str, delimiter: str) -> list[str]:
    try:
        return [_folded(header) for header in next(csv.reader([first], delimiter=delimiter, strict=True), [])]
    except csv.Error:
        return []


def _records(lines: Iterator[str], delimiter: str, account: Account) -> Iterator[tuple[int, list[str]]]:
    """Records with the number of their first line. An unclosed quote swallows lines: what it hid cannot be counted."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        before = reader.line_num
        try:
            row = next(reader, None)
        except csv.Error:
            if reader.line_num > before + 1:
                raise Stop(
                    f"{account.source}: a quote that opens in line {before + 2} is not closed as CSV asks",
                    hint="lines behind it would be lost; correct the quoting of that line",
                ) from None
            account.count(Reason.BAD_CSV, before + 2)
            continue
        if row is None:
            return
        if reader.line_num > before + 1:  # as CSV allows; but a stray quote looks the same, and hides what it spans
            account.count(Reason.SPANS_LINES, before + 2)
        yield before + 2, row


_RowReader = Callable[[list[str], int, Account, Holder], None]


def _row_reader(header: list[str], columns: ColumnMap | None, source: str) -> _RowReader:
    chosen = columns or _own_names(header, source)
    signals = {signal: _place(header, name, source) for signal, name in chosen.signals.items()}
    said = {what: _place(header, name, source) for what, name in chosen.said.items()}

    def row_of(row: list[str], line_number: int, account: Account, gathered: Holder) -> None:
        entry = ListEntry(**{what: _plain(_cell(row, place)) for what, place in said.items()})
        given = {signal: cell for signal, place in signals.items() if (cell := _cell(row, place))}
        if row and not given:
            account.count(Reason.NO_VALUE, line_number)
        for signal, cell in given.items():
            fault = _hold(signal, cell, entry, gathered)
            account.taken += fault is None
            if fault is not None:
                account.count(fault, line_number)

    return row_of


def _own_names(header: list[str], source: str) -> ColumnMap:
    signals = {signal: signal.value for signal in Signal if signal.value in header}
    if not signals:
        raise Stop(
            f"{source}: no column bears the name of a signal",
            hint=f"name the columns with --map FILE, {_EXAMPLE}; signals: {', '.join(Signal)}",
        )
    return ColumnMap(signals, {what: what for what in SAID if what in header})


def _place(header: list[str], name: str, source: str) -> int:
    places = [place for place, found in enumerate(header) if found == _folded(name)]
    if len(places) != 1:
        count = "no column" if not places else f"{len(places)} columns"
        raise Stop(f"{source} has {count} {name!r} of the map", hint="the first line names the columns, case aside")
    return places[0]


def _cell(row: list[str], place: int) -> str:
    return row[place].strip(" \t\r\n") if place < len(row) else ""


def _plain(text: str) -> str:
    """Bytes that were no UTF-8 become question marks: what is said of an entry is for reading only."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _hold(signal: Signal, cell: str, entry: ListEntry, gathered: Holder) -> Reason | None:
    value = value_of(signal, cell.encode("utf-8", "surrogateescape"))
    return value if isinstance(value, Reason) else gathered.hold(signal, value, entry)
