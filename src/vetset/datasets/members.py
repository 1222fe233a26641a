"""The members of a tar file, found in a mapping of it: where each begins and ends, and what kind of thing it is.

In it: ustar, GNU and pax headers, read and checked (POSIX.1-2001 pax; tar(5) of GNU tar 1.34). Not in it: files that
are made, links that are followed, anything that is executed: nothing here opens a file or runs what it finds.
Rules: every byte of the file belongs to one member, its padding, or the blanks at the end; what is no regular file has
a kind of its own and is never read as a picture; where a header is damaged, the rest of the file is one member of kind
`damaged`, since nobody can say what is in it; names are bytes and go into no path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vetset.kernels import begins_as_picture, native

I64 = npt.NDArray[np.int64]

BLOCK = 512
BLANK = bytes(BLOCK)
#: Extension headers (long names, pax records) may be so large; no honest writer comes near.
MAX_EXTENSION_BYTES = 1024 * 1024
MAX_MEMBERS = 20_000_000
_AT_ONCE = 4096


class MemberKind(StrEnum):
    """What a member is. Only a `file` is ever looked into."""

    FILE = "file"
    DIRECTORY = "directory"
    HARD_LINK = "hard_link"
    SYMBOLIC_LINK = "symbolic_link"
    DEVICE = "device"
    FIFO = "fifo"
    SPARSE = "sparse"
    UNKNOWN = "unknown"
    GLOBAL_HEADER = "global_header"  # pax records that hold for all that follows; no thing by itself
    TRUNCATED = "truncated"  # a file that ends with the archive and before its own end
    DAMAGED = "damaged"  # no header can be read here: the rest of the archive


#: The kinds by their numbers in `Members` and in native/tar.h.
KINDS = tuple(MemberKind)


class Member(NamedTuple):
    """One member: its headers start at `start`, its data at `data`; the next begins at `stop`."""

    name: bytes
    kind: MemberKind
    start: int
    data: int
    size_bytes: int
    stop: int
    begins_as_picture: bool = False  # its first bytes are those of a format that is decoded here

    def __repr__(self) -> str:
        return "<member>"  # a name may lead to material


@dataclass(slots=True, repr=False)
class _Extensions:
    """What headers before a member say of it: records of pax, long names of GNU."""

    name: bytes | None = None
    size_bytes: int | None = None
    sparse: bool = False


@dataclass(slots=True, repr=False)
class _Walk:
    view: memoryview
    common: dict[bytes, bytes] = field(default_factory=dict)  # pax records that hold from there on


class _Damaged(Exception):  # noqa: N818 - it says what the header is
    """A header that cannot be read."""


class Members:
    """The members of an archive in order, as columns. One is made an object when somebody asks for it.

    `columns` is (members, 8), int64: kind, start, data, size, stop, where the name begins and ends in `names`, whether
    the first bytes are a picture's. There are three to a sample, and millions of samples.
    """

    __slots__ = ("columns", "names")

    def __init__(self, columns: I64, names: bytes) -> None:
        self.columns = columns
        self.names = names

    def __len__(self) -> int:
        return len(self.columns)

    def at(self, places: slice | I64) -> Iterator[Member]:
        """Some of the members."""
        for kind, start, data, size_bytes, stop, first, last, picture in self.columns[places].tolist():
            yield Member(self.names[first:last], KINDS[kind], start, data, size_bytes, stop, bool(picture))

    def __iter__(self) -> Iterator[Member]:
        for first in range(0, len(self), _AT_ONCE):
            yield from self.at(slice(first, first + _AT_ONCE))


def members(view: memoryview) -> Members:
    """The members of an archive in order, found natively where that may be; see `members_of`."""
    lib = native.LIB
    if lib is None or not len(view):
        return columns_of(members_of(view))
    raw, names = lib.tar_members(view, MAX_MEMBERS)
    return Members(np.frombuffer(raw, np.int64).reshape(-1, 8), names)


def columns_of(found: Iterable[Member]) -> Members:
    """Members as columns."""
    names = bytearray()
    rows: list[tuple[int, ...]] = []
    for name, kind, *places, begins in found:
        rows.append((KINDS.index(kind), *places, len(names), len(names) + len(name), int(begins)))
        names += name
    return Members(np.array(rows, np.int64).reshape(-1, 8), bytes(names))


def members_of(view: memoryview) -> Iterator[Member]:
    """The definition. Blanks at the end of an archive are no member; what follows blanks is read on."""
    walk, at, extensions, start, found = _Walk(view), 0, _Extensions(), 0, 0
    while at < len(view):
        header = bytes(view[at : at + BLOCK])
        if header == BLANK[: len(header)]:
            at += BLOCK
            if extensions == _Extensions():
                start = at
            continue
        try:
            step = _step(walk, header, at, start, extensions)
        except _Damaged:
            yield Member(b"", MemberKind.DAMAGED, start, at, len(view) - at, len(view))
            return
        if isinstance(step, Member):
            yield step
            if found >= MAX_MEMBERS:
                yield Member(b"", MemberKind.DAMAGED, step.stop, step.stop, len(view) - step.stop, len(view))
                return
            found, at, start, extensions = found + 1, step.stop, step.stop, _Extensions()
        else:
            at = step


_EXTENSION_TYPES = frozenset(b"xgLKX")
_KIND_OF_TYPE = {
    ord("1"): MemberKind.HARD_LINK,
    ord("2"): MemberKind.SYMBOLIC_LINK,
    ord("3"): MemberKind.DEVICE,
    ord("4"): MemberKind.DEVICE,
    ord("5"): MemberKind.DIRECTORY,
    ord("6"): MemberKind.FIFO,
}
_FILE_TYPES = frozenset(b"\x000\x37")


def _step(walk: _Walk, raw: bytes, at: int, start: int, extensions: _Extensions) -> Member | int:
    """A member, or where the next header stands if this one only says something of it."""
    _check_sum(raw)
    kind = raw[156]
    size_bytes = _number(raw[124:136])
    if kind in _EXTENSION_TYPES:
        stop = _extension(walk, kind, at + BLOCK, size_bytes, extensions)
        return Member(b"", MemberKind.GLOBAL_HEADER, start, stop, 0, stop) if kind == ord("g") else stop
    common = walk.common
    name = extensions.name or common.get(b"path") or _name_of(raw, kind)
    if extensions.size_bytes is not None:
        size_bytes = extensions.size_bytes
    elif b"size" in common:
        size_bytes = _decimal(common[b"size"])
    data = _after_sparse_maps(walk.view, raw, at + BLOCK) if kind == ord("S") else at + BLOCK
    what = _kind_of(kind, name, sparse=extensions.sparse or kind == ord("S"))
    if what not in {MemberKind.FILE, MemberKind.SPARSE, MemberKind.UNKNOWN}:
        return Member(name, what, start, data, 0, data)  # a link or device has no data, whatever size it claims
    stop = data + -(-size_bytes // BLOCK) * BLOCK
    if data + size_bytes > len(walk.view):
        left = max(0, len(walk.view) - data)
        return Member(
            name,
            MemberKind.TRUNCATED,
            start,
            data,
            left,
            len(walk.view),
            begins_as_picture(walk.view[data : data + left]),
        )
    begins = begins_as_picture(walk.view[data : data + size_bytes])
    return Member(name, what, start, data, size_bytes, min(stop, len(walk.view)), begins)


def _kind_of(kind: int, name: bytes, *, sparse: bool) -> MemberKind:
    if sparse:
        return MemberKind.SPARSE
    if kind in _FILE_TYPES:
        # Archives from before ustar mark a folder by a slash at the end of its name (tarfile does the same).
        return MemberKind.DIRECTORY if kind == 0 and name.endswith(b"/") else MemberKind.FILE
    return _KIND_OF_TYPE.get(kind, MemberKind.UNKNOWN)


def _check_sum(raw: bytes) -> None:
    """The sum of the header's bytes with its own field as spaces, unsigned or, by some old writers, signed."""
    if len(raw) < BLOCK:
        raise _Damaged
    rest = raw[:148] + raw[156:]
    unsigned = sum(rest) + 8 * 32
    wanted = _number(raw[148:156])
    if wanted != unsigned and wanted != unsigned - 256 * sum(byte > 127 for byte in rest):  # noqa: PLR2004 - int8
        raise _Damaged


def _number(text: bytes) -> int:
    """A number as octal digits between spaces and zeros, or in base 256 behind a bit (GNU)."""
    if text[0] & 0x80:
        value = int.from_bytes(bytes([text[0] & 0x7F]) + text[1:], "big")
        if text[0] & 0x40 or value >= 1 << 63:  # negative (base 256 is in two's complement), or beyond any file
            raise _Damaged
        return value
    digits = text.split(b"\0", 1)[0].strip(b" ")
    if not digits:
        return 0
    if not digits.isdigit() or digits.translate(None, b"01234567"):
        raise _Damaged
    return int(digits, 8)


def _name_of(raw: bytes, kind: int) -> bytes:
    name = raw[:100].split(b"\0", 1)[0]
    prefix = raw[345:500].split(b"\0", 1)[0]
    return prefix + b"/" + name if prefix and kind != ord("S") else name


def _extension(walk: _Walk, kind: int, data: int, size_bytes: int, extensions: _Extensions) -> int:
    """Takes in what a header says of the next member; answers where the next header stands."""
    if size_bytes > MAX_EXTENSION_BYTES or data + size_bytes > len(walk.view):
        raise _Damaged
    body = bytes(walk.view[data : data + size_bytes])
    if kind == ord("L"):
        extensions.name = body.split(b"\0", 1)[0]
    elif kind == ord("g"):
        if extensions != _Extensions():  # it would part a member from what was said of it
            raise _Damaged
        walk.common.update(_records(body))
    elif kind in b"xX":
        _take_records(extensions, _records(body))
    return min(data + -(-size_bytes // BLOCK) * BLOCK, len(walk.view))


def _take_records(extensions: _Extensions, records: dict[bytes, bytes]) -> None:
    extensions.name = records.get(b"GNU.sparse.name") or records.get(b"path") or extensions.name
    if b"size" in records:
        extensions.size_bytes = _decimal(records[b"size"])
    extensions.sparse = extensions.sparse or any(key.startswith(b"GNU.sparse.") for key in records)


def _records(body: bytes) -> dict[bytes, bytes]:
    """`length key=value` lines of pax; the length counts the whole line."""
    records, at = {}, 0
    while at < len(body) and body[at]:
        space = body.find(b" ", at, at + 20)
        digits = body[at:space] if space > 0 else b""
        if not digits.isdigit():
            raise _Damaged
        stop = at + int(digits)
        key, equals, value = body[space + 1 : stop - 1].partition(b"=")
        if stop > len(body) or stop <= space + 1 or not equals or body[stop - 1 : stop] != b"\n":
            raise _Damaged
        records[key] = value
        at = stop
    return records


_MOST_DIGITS = 19


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > _MOST_DIGITS:
        raise _Damaged
    return int(text)


def _after_sparse_maps(view: memoryview, raw: bytes, data: int) -> int:
    """GNU's old sparse files put further blocks of their map behind the header; a flag says whether one more comes."""
    more = raw[482]
    while more:
        block = view[data : data + BLOCK]
        if len(block) < BLOCK:
            raise _Damaged
        more, data = block[504], data + BLOCK
    return data
