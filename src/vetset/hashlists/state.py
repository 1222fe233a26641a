"""What is known of an exchange's list: every entry so far, and where to go on, sealed beside the list.

In it: a folder of segments, each one sealed file; the newest base and the segments behind it are the state; what
changed since that base. Not in it: asking, compiling.
Rules: a segment appears whole or not at all, and is never changed; whatever a crash leaves is a state that was. The
base is written when a version of the list is, so that what was added and withdrawn is counted from it exactly. All is
sealed to the list's recipients; nothing of it is on disk in clear.

    000042.age: a line of JSON {format, base, origin, checkpoint, version, …}, then lines of key, tab, known or null
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vetset.errors import Stop
from vetset.hashlists.exchange import NOTHING_KNOWN, Entry, Known, Part, Value, merged
from vetset.hashlists.sealing import open_sealed, write_sealed
from vetset.records import ListEntry, Signal

FORMAT = "vetset-exchange/1"
_SEGMENT = re.compile(r"([0-9]{6,})\.age")
_BEGUN = re.compile(r"\.[0-9]{6,}\.age\..+")
_SIGNALS = {signal.value: signal for signal in Signal}


@dataclass(frozen=True, slots=True)
class Head:
    """What a segment says beside its entries. `intended`: the version that is being compiled, when it was begun."""

    origin: str = ""
    checkpoint: Mapping[str, str] = field(default_factory=dict)
    version: int = 0  # the newest one compiled; 0: none yet
    made_with: str = ""  # what in the settings decides what is compiled
    intended: int = 0
    intended_at: str = ""
    base: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """Entries that stand now and did not in the newest version, the other way round, and those that say otherwise."""

    added: int = 0
    withdrawn: int = 0
    altered: int = 0

    def any(self) -> bool:
        return bool(self.added or self.withdrawn or self.altered)


class Segments:
    """The files. One method is one change of the disk, whole or not at all."""

    def __init__(self, folder: Path, recipients: Sequence[str]) -> None:
        self.folder = folder
        self._recipients = recipients

    def numbers(self) -> list[int]:
        names = (_SEGMENT.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in names if match)

    def write(self, number: int, lines: Iterable[bytes]) -> None:
        """Writes a segment."""
        memory = os.memfd_create("vetset-state", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(memory), "wb") as out:
                out.writelines(lines)
            write_sealed(self._path(number), memory, self._recipients)
        finally:
            os.close(memory)

    def remove(self, number: int) -> None:
        self._path(number).unlink()

    def sweep(self) -> None:
        """Takes away what a crash left half written, which is sealed and of no use."""
        for path in self.folder.iterdir():
            if _BEGUN.fullmatch(path.name):
                path.unlink()

    @contextmanager
    def lines(self, number: int, identities: Sequence[str]) -> Iterator[Iterator[bytes]]:
        memory = open_sealed(self._path(number), identities)
        with os.fdopen(memory, "rb") as stream:
            stream.seek(0)
            yield iter(stream)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.age"


@dataclass(slots=True, repr=False)
class State:
    """Everything known, in memory; `keep` and `rebase` make it last."""

    segments: Segments
    head: Head
    known: dict[str, bytes] = field(default_factory=dict)  # by key, as the file spells it
    _before: dict[str, bytes | None] = field(default_factory=dict)  # of what changed since the base, as it was there
    _last: int = 0

    def take(self, part: Part) -> None:
        """Merges a part, and keeps it."""
        changed: dict[str, bytes | None] = {}
        for entry in part.entries:
            old = self.known.get(entry.key)
            new = _replacing(entry) if part.whole else _spelled(merged(_read(old), entry))
            if new != old:
                self._set(entry.key, new)
                changed[entry.key] = new
        if part.whole:
            for key in self.known.keys() - {entry.key for entry in part.entries}:
                self._set(key, None)
                changed[key] = None
        if changed or part.checkpoint != self.head.checkpoint:
            self._keep(replace(self.head, checkpoint=dict(part.checkpoint)), changed)

    def intend(self, version: int, created: str) -> None:
        """Keeps that a version is about to be compiled, from what is known now."""
        self._keep(replace(self.head, intended=version, intended_at=created), {})

    def rebase(self, version: int, made_with: str) -> None:
        """Keeps that a version holds all this: one segment with everything, in place of all before it."""
        older = self.segments.numbers()
        head = replace(self.head, version=version, intended=0, intended_at="", made_with=made_with, base=True)
        self._keep(head, self.known)
        self.head = replace(head, base=False)
        self._before = {}
        for number in older:
            self.segments.remove(number)

    def changes(self) -> Changes:
        """What is different from the base."""
        added = withdrawn = altered = 0
        for key, before in self._before.items():
            old, new = _read(before).standing(), _read(self.known.get(key)).standing()
            added += bool(new and not old)
            withdrawn += bool(old and not new)
            altered += bool(old and new and old != new)
        return Changes(added, withdrawn, altered)

    def standing(self) -> Iterator[Value]:
        """The values of all entries that stand."""
        for key in sorted(self.known):
            yield from sorted(_read(self.known[key]).standing(), key=_order)

    def _set(self, key: str, new: bytes | None) -> None:
        self._before.setdefault(key, self.known.get(key))
        if new is None:
            self.known.pop(key, None)
        else:
            self.known[key] = new

    def _keep(self, head: Head, entries: Mapping[str, bytes | None]) -> None:
        number = self._last + 1
        self.segments.write(number, _lines(head, entries))
        self._last, self.head = number, head

    def load(self, identities: Sequence[str]) -> None:
        """Reads what was kept. Raises Stop for what cannot be opened or is damaged."""
        numbers = self.segments.numbers()
        heads = {number: self._head(number, identities) for number in numbers}
        start = max((number for number in numbers if heads[number].base), default=0)
        for number in numbers:
            if number >= start:
                self._load_segment(number, identities)
            if number == start:
                self._before = {}
        self._last = numbers[-1] if numbers else 0
        if numbers:
            self.head = replace(heads[self._last], base=False)

    def _head(self, number: int, identities: Sequence[str]) -> Head:
        with self.segments.lines(number, identities) as lines:
            try:
                tree = json.loads(next(lines))
                if tree.pop("format") == FORMAT:
                    return Head(**tree)
            except (StopIteration, ValueError, TypeError, KeyError, AttributeError):
                raise self._damaged(number) from None
        raise Stop(f"{self.segments.folder} was written by a newer vetset", hint="update vetset")

    def _load_segment(self, number: int, identities: Sequence[str]) -> None:
        with self.segments.lines(number, identities) as lines:
            next(lines)
            for line in lines:
                key, _, rest = line.partition(b"\t")
                self._set(json.loads(key), None if rest == b"null\n" else rest.rstrip(b"\n"))

    def _damaged(self, number: int) -> Stop:
        return Stop(
            f"{self.segments.folder / f'{number:06}.age'} is damaged",
            hint="delete that folder to fetch the whole list anew; versions already compiled stay as they are",
        )


@contextmanager
def opened_state(segments: Segments, origin: str, identities: Sequence[str]) -> Iterator[State]:
    """The state in a folder, made if it is not there, for one process at a time.

    Raises Stop where another process has it, no identity opens it, or it is of another origin.
    """
    folder = segments.folder
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Stop(
            f"cannot write to {folder}: {error.strerror}", hint="name another `folder` in the settings"
        ) from None
    try:
        _lock(handle, folder)
        segments.sweep()
        state = State(segments, Head(origin=origin))
        state.load(identities)
        if state.head.origin != origin:
            raise Stop(
                f"{folder} holds what another service said",
                hint="give each exchange a name of its own, or another `folder`",
            )
        yield state
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Stop(f"another process is fetching into {folder}", hint="wait for it to end") from None


# --- spelling ---------------------------------------------------------------------------------------------------------


def _lines(head: Head, entries: Mapping[str, bytes | None]) -> Iterator[bytes]:
    tree: dict[str, Any] = {"format": FORMAT} | {name: getattr(head, name) for name in head.__slots__}
    yield json.dumps(tree, sort_keys=True).encode() + b"\n"
    for key in sorted(entries):
        known = entries[key]
        yield json.dumps(key).encode() + b"\t" + (b"null" if known is None else known) + b"\n"


def _replacing(entry: Entry) -> bytes:
    return _spelled(merged(NOTHING_KNOWN, entry))


def _order(value: Value) -> tuple[str, bytes, str, str, str]:
    signal, data, said = value
    return signal.value, data, said.entry_id, said.category, said.source


def _spelled(known: Known) -> bytes:
    """Canonical, so that the same knowledge is the same bytes: [time, withdrawn, [id, category, source, signal, …]]."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for signal, data, said in sorted(known.values, key=_order):
        text = data.decode("utf-8") if signal is Signal.URL else data.hex()
        groups.setdefault((said.entry_id, said.category, said.source), []).extend((signal.value, text))
    values = [[*said, *groups[said]] for said in sorted(groups)]
    return json.dumps([known.time, known.withdrawn, *values], ensure_ascii=True, separators=(",", ":")).encode()


def _read(line: bytes | None) -> Known:
    if line is None:
        return NOTHING_KNOWN
    time, withdrawn, *groups = json.loads(line)
    return Known(time, frozenset(value for group in groups for value in _values(group)), withdrawn)


def _values(group: Sequence[str]) -> Iterator[Value]:
    """The values of one group, which share what is said of them."""
    entry_id, category, source, *rest = group
    said = ListEntry(entry_id, sys.intern(category), sys.intern(source))
    for name, text in zip(rest[::2], rest[1::2], strict=True):
        signal = _SIGNALS[name]
        yield signal, text.encode("utf-8") if signal is Signal.URL else bytes.fromhex(text), said
