"""Lists for tests: compiled from text in a folder of their own, opened, and probed through the kernels.

Every value is invented; addresses lie under reserved names.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from vetset import kernels
from vetset.hashlists.compiled import Compiled, CompiledList, Table, compile_list, map_list, open_list
from vetset.hashlists.csvfile import ColumnMap
from vetset.hashlists.file import read_sources
from vetset.hashlists.gathering import Gathered
from vetset.records import ListEntry, Signal, UrlForm

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TODAY = date(2026, 6, 1)

Held = dict[tuple[Signal, UrlForm | None], set[bytes]]


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for one example of Hypothesis, which may not share a test's."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def compiled(place: Path, contents: str | bytes, *, suffix: str = ".txt", **options: Any) -> tuple[Path, Compiled]:
    """Writes a source beside a list compiled from it."""
    source = place / f"source{suffix}"
    source.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    target = place / "list.vsl"
    given = {"name": "invented", "version": 1, "created": CREATED, "recipients": (), **options}
    return target, compile_list([source], target, **given)


def opened(path: Path, identities: Sequence[str] = (), today: date | None = TODAY) -> CompiledList:
    memory = open_list(path, identities, today=today)
    try:
        return map_list(memory)
    finally:
        os.close(memory)


def read_back(place: Path, contents: str | bytes, **options: Any) -> CompiledList:
    return opened(compiled(place, contents, **options)[0])


def gathered_from(
    place: Path,
    contents: str | bytes,
    *,
    suffix: str = ".txt",
    signal: Signal | None = None,
    columns: ColumnMap | None = None,
) -> Gathered:
    """What the reader of one source takes, before compiling."""
    source = place / f"source{suffix}"
    source.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    gathered = Gathered()
    read_sources([source], gathered, signal=signal, columns=columns)
    return gathered


def keys_of(gathered: Gathered) -> Held:
    """Keys by slot as sets of bytes."""
    held: Held = {}
    for (signal, form), keys in gathered.keys.items():
        width_bytes = len(keys.joined) // max(1, len(keys.joined) // _width(signal))
        joined = bytes(keys.joined)
        held[signal, form] = {joined[at : at + width_bytes] for at in range(0, len(joined), width_bytes)}
    return held


def _width(signal: Signal) -> int:
    return {"md5": 16, "url_md5": 16, "sha1": 20, "url_sha1": 20, "photodna": 144}.get(signal.value, 32)


def faults_of(gathered: Gathered) -> dict[str, list[int]]:
    """Line numbers by reason, of the only source."""
    (account,) = gathered.accounts
    return {reason.value: lines for reason, lines in account.lines.items()}


def table_of(held: CompiledList, signal: Signal, form: UrlForm | None = None) -> Table:
    found = [table for table in held.tables if table.signal == signal and (form is None or form in table.forms)]
    (table,) = found
    return table


def positions(table: Table, values: Sequence[bytes]) -> list[int]:
    """Positions of values in a table, as the kernels find them."""
    data = np.frombuffer(b"".join(values), np.uint8).reshape(len(values), table.width_bytes)
    found: list[int] = kernels.positions_in(table, kernels.Digests(data, np.ones(len(values), np.bool_))).tolist()
    return found


def said_of(held: CompiledList, signal: Signal, value: bytes, form: UrlForm | None = None) -> set[ListEntry]:
    """What a list says of a value it holds."""
    table = table_of(held, signal, form)
    (position,) = positions(table, [value])
    assert position >= 0
    return set(held.entries(held.tables.index(table), position))


def spellings(value: bytes) -> Mapping[str, bytes]:
    """A value as it might leak: raw, hex, base64 at every alignment, reversed, UTF-16."""
    found = {
        "raw": value,
        "hex": value.hex().encode(),
        "HEX": value.hex().upper().encode(),
        "reversed": value[::-1],
        "reversed hex": value[::-1].hex().encode(),
        "utf-16": value.decode("latin-1").encode("utf-16-le"),
    }
    for shift in range(3):
        coded = base64.b64encode(bytes(shift) + value)
        inner = coded[4 if shift else 0 : -4]  # the parts that do not depend on what stands around
        found[f"base64+{shift}"] = inner
        found[f"base64url+{shift}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def leaks(haystack: bytes, values: Sequence[bytes]) -> list[str]:
    """Which spelling of which value occurs in some bytes."""
    return [
        f"value {number} as {how}"
        for number, value in enumerate(values)
        for how, text in spellings(value).items()
        if text in haystack
    ]
