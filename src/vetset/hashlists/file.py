"""Sources that are files: which reader a file needs, and the reader of plain text.

In it: formats by name, and text with `<signal> <value>` or one bare value a line, `#` comments and blank lines aside.
Not in it: CSV (csvfile) and XML (ncmec).
Rules: lines end in LF or CRLF; a byte order mark is skipped; a bad line is counted, never echoed; memory stays bounded
whatever the file's size and however long a line; the quick way for bare hex agrees with `value.value_of`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vetset.errors import Stop
from vetset.hashlists.account import Account, Reason
from vetset.hashlists.csvfile import ColumnMap, read_csv
from vetset.hashlists.gathering import Gathered, Holder
from vetset.hashlists.ncmec import Pages
from vetset.hashlists.value import MAX_VALUE_BYTES, value_of
from vetset.records import WIDTH_BYTES, Signal

_BLOCK_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
_NAMES: Mapping[bytes, Signal] = {signal.value.encode(): signal for signal in Signal}


class Format(StrEnum):
    """Formats of sources."""

    TEXT = "text"
    CSV = "csv"
    NCMEC = "ncmec"


_BY_SUFFIX = {".txt": Format.TEXT, ".csv": Format.CSV, ".tsv": Format.CSV, ".xml": Format.NCMEC}


def format_of(path: Path) -> Format:
    """The format a file's name speaks for. Raises Stop where it speaks for none."""
    found = _BY_SUFFIX.get(path.suffix.lower())
    if found is None:
        known = ", ".join(f"{suffix} {which}" for suffix, which in _BY_SUFFIX.items())
        raise Stop(f"the format of {path} is not clear from its name", hint=f"say it with --format; known: {known}")
    return found


def read_sources(
    paths: Sequence[Path],
    gathered: Gathered,
    *,
    source_format: Format | None = None,
    signal: Signal | None = None,
    columns: ColumnMap | None = None,
) -> None:
    """Reads every source into `gathered`. Raises Stop for what cannot be read at all, or an option that has no use."""
    formats = [source_format or format_of(path) for path in paths]
    if signal and Format.TEXT not in formats:
        raise Stop("--signal is of no use here", hint="it says what the bare values of a text file are")
    if columns and Format.CSV not in formats:
        raise Stop("--map is of no use here", hint="it says which columns of a CSV file hold what")
    pages = Pages(gathered)
    for path, which in zip(paths, formats, strict=True):
        account = gathered.account(str(path))
        try:
            _read_source(path, which, account, gathered, signal, columns, pages)
        except OSError as error:
            raise Stop(f"cannot read {path}: {error.strerror}", hint="check its name and permissions") from None
    pages.finish()


def _read_source(
    path: Path,
    which: Format,
    account: Account,
    gathered: Gathered,
    signal: Signal | None,
    columns: ColumnMap | None,
    pages: Pages,
) -> None:
    with path.open("rb") as stream:
        if which is Format.TEXT:
            read_text(stream, account, gathered, signal)
        elif which is Format.CSV:
            read_csv(stream, account, gathered, columns)
        else:
            pages.read(stream, account)


def read_text(stream: BinaryIO, account: Account, gathered: Holder, signal: Signal | None) -> None:
    """Reads text: a bare value a line where `signal` says what they are, else `<signal> <value>`."""
    line_number = 0
    for block in _blocks(stream):
        joined = plain_hex(block, WIDTH_BYTES[signal]) if signal and signal is not Signal.URL else None
        if signal and joined is not None:
            gathered.hold_bare(signal, joined)
            taken = len(joined) // WIDTH_BYTES[signal]
            account.taken += taken
            line_number += taken
            continue
        for line in io.BytesIO(block):
            line_number += 1
            _read_line(line, line_number, account, gathered, signal)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Whole lines, many at once. Of a line that is too long enough is kept to show that it is."""
    carry = b""
    mark = _BYTE_ORDER_MARK
    while data := stream.read(_BLOCK_BYTES):
        data = data.removeprefix(mark)  # of the first block only
        mark = b""
        end = data.rfind(b"\n") + 1
        if end:
            yield carry + data[:end]
            carry = b""
        carry = (carry + data[end:])[: 2 * MAX_VALUE_BYTES]
    if carry:
        yield carry


def plain_hex(block: bytes, width_bytes: int) -> bytes | None:
    """The digests, joined, of a block whose every line is exactly one digest in hex; None if any line is not.

    `bytes.fromhex` passes over spaces, so a line with one inside gives too few digits, which the count shows.
    """
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    block = block if block.endswith(b"\n") else block + b"\n"
    lines, odd = divmod(len(block), 2 * width_bytes + 1)
    if odd or (np.frombuffer(block, np.uint8).reshape(lines, -1)[:, -1] != ord("\n")).any():
        return None
    try:
        joined = bytes.fromhex(block.decode("ascii"))
    except ValueError:
        return None
    return joined if len(joined) == lines * width_bytes else None


def _read_line(line: bytes, number: int, account: Account, gathered: Holder, signal: Signal | None) -> None:
    text = line.strip(_BLANK)
    if not text or text.startswith(b"#"):
        return
    fault = Reason.TOO_LONG if len(line) > MAX_VALUE_BYTES else _hold(text, gathered, signal)
    if fault is None:
        account.taken += 1
    else:
        account.count(fault, number)


def _hold(text: bytes, gathered: Holder, signal: Signal | None) -> Reason | None:
    if signal is None:
        name, *rest = text.split(None, 1)
        signal = _NAMES.get(name.lower())
        text = rest[0] if rest else b""
    if signal is None:
        return Reason.UNKNOWN_SIGNAL
    value = value_of(signal, text)
    return value if isinstance(value, Reason) else gathered.hold(signal, value)
