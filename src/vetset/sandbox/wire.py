"""The wire between a worker and its decoding child: three records of fixed size, and their limits.

In it: the layout of a request, of a reply about one view, and of the child's first words; reading and writing them.
Not in it: pipes, processes, decoding. Rules: nothing is executed and nothing has a length of its own, so that neither
side can be made to read more than it expects; there is no field in which a pixel could cross; a value that cannot be
is a `Breach`, after which the child is not believed any more.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vetset.records import FingerprintOutcome, ResizeMode, Stored, View, ViewPrint
from vetset.sandbox.level import SandboxLevel

#: Prints of one file at most: first (2), turned (1), over white and black (2), thumbnails (2), frames (4 x 2), spare.
MOST_VIEWS = 20
MOST_KINDS = 8
MOST_NAME_BYTES = 30
#: Bytes of all optional kinds together for one view; a reply stays below PIPE_BUF, so that it is written at once.
MOST_OTHER_BYTES = 3072

_OUTCOMES = tuple(FingerprintOutcome)
_VIEWS = tuple(View)
_MODES = (None, *ResizeMode)
_LEVELS = tuple(SandboxLevel)
_NO_VIEW = 255
_WORD = b"vetset/1"

_REQUEST = struct.Struct("<IIQIIB7x")
_REPLY = struct.Struct("<IBBBBI")
_HELLO = struct.Struct("<8sBBBx" + f"{MOST_NAME_BYTES}sH" * MOST_KINDS)
_PDQ_BYTES = 8 * 32

REQUEST_BYTES = _REQUEST.size
HELLO_BYTES = _HELLO.size


class Breach(Exception):  # noqa: N818 - it is no fault of ours but the end of a child
    """A child said what no sound child can say."""


@dataclass(frozen=True, slots=True)
class Request:
    """Look at `length` bytes at `offset` of the shared memory."""

    number: int
    offset: int
    length: int
    stored: Stored

    def pack(self) -> bytes:
        place = _MODES.index(self.stored.mode)
        width, height = (_within_32_bits(self.stored.original_width), _within_32_bits(self.stored.original_height))
        return _REQUEST.pack(self.number, self.length, self.offset, width, height, place)


def _within_32_bits(value: int) -> int:
    """A recorded size that is none counts as not recorded."""
    return value if 0 < value < 1 << 32 else 0


def request_from(data: bytes) -> Request:
    number, length, offset, width, height, mode = _REQUEST.unpack(data)
    return Request(number, offset, length, Stored(_MODES[mode], width, height))


@dataclass(frozen=True, slots=True)
class Kind:
    """An optional kind as a child has loaded it."""

    name: str
    width_bytes: int


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Reply:
    """One view of one picture, or none; `more` replies about the same picture follow."""

    number: int
    outcome: FingerprintOutcome
    more: int
    view: ViewPrint | None


def reply_bytes(kinds: Sequence[Kind]) -> int:
    """How long a reply is with these kinds."""
    return _REPLY.size + _PDQ_BYTES + sum(kind.width_bytes for kind in kinds)


def pack_replies(number: int, outcome: FingerprintOutcome, views: Sequence[ViewPrint], kinds: Sequence[Kind]) -> bytes:
    """All that is said of one picture: a record for each view, one without a view if there is none."""
    code = _OUTCOMES.index(outcome)
    views = views[:MOST_VIEWS]
    if not views:
        return _REPLY.pack(number, code, _NO_VIEW, 0, 0, 0) + bytes(reply_bytes(kinds) - _REPLY.size)
    blocks = []
    for place, view in enumerate(views):
        present = sum(1 << bit for bit, kind in enumerate(kinds) if kind.name in view.other)
        more = len(views) - 1 - place
        blocks.append(_REPLY.pack(number, code, _VIEWS.index(view.view), view.quality, more, present))
        blocks.append(view.pdq.tobytes())
        blocks.extend(view.other.get(kind.name, bytes(kind.width_bytes)) for kind in kinds)
    return b"".join(blocks)


def reply_from(data: bytes, kinds: Sequence[Kind]) -> Reply:
    """Raises Breach for what no sound child says."""
    number, code, view, quality, more, present = _REPLY.unpack_from(data)
    if code >= len(_OUTCOMES) or quality > 100 or more >= MOST_VIEWS or present >> len(kinds):  # noqa: PLR2004 - PDQ's own scale
        raise Breach
    if view == _NO_VIEW:
        return Reply(number, _OUTCOMES[code], more, None)
    if view >= len(_VIEWS):
        raise Breach
    pdq = np.frombuffer(data, np.uint8, _PDQ_BYTES, _REPLY.size).reshape(8, 32)
    other = _others(data[_REPLY.size + _PDQ_BYTES :], kinds, present)
    return Reply(number, _OUTCOMES[code], more, ViewPrint(_VIEWS[view], quality, pdq, other))


def _others(data: bytes, kinds: Sequence[Kind], present: int) -> Mapping[str, bytes]:
    found, start = {}, 0
    for bit, kind in enumerate(kinds):
        if present >> bit & 1:
            found[kind.name] = data[start : start + kind.width_bytes]
        start += kind.width_bytes
    return found


@dataclass(frozen=True, slots=True)
class Hello:
    """A child's first words: how far it is confined and what it loaded, or which kind (from 1) it could not load."""

    level: SandboxLevel
    kinds: tuple[Kind, ...]
    failed_kind: int = 0

    def pack(self) -> bytes:
        padded = [*self.kinds, *[Kind("", 0)] * (MOST_KINDS - len(self.kinds))]
        flat = [field for kind in padded for field in (kind.name.encode(), kind.width_bytes)]
        return _HELLO.pack(_WORD, _LEVELS.index(self.level), self.failed_kind, len(self.kinds), *flat)


def hello_from(data: bytes) -> Hello:
    """Raises Breach for what no sound child says."""
    word, level, failed, count, *flat = _HELLO.unpack(data)
    if word != _WORD or level >= len(_LEVELS) or count > MOST_KINDS:
        raise Breach
    names = [name.rstrip(b"\0").decode("ascii", "replace") for name in flat[::2]]
    kinds = tuple(Kind(name, width) for name, width in zip(names[:count], flat[1::2], strict=False))
    return Hello(_LEVELS[level], kinds, failed)
