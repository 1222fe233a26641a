"""Samples of a webdataset tar: members that share a key, and the tar written again without some samples.

In it: keys, samples in order of their first member, what a sample's JSON member records, and the cut.
Not in it: headers (`members`), side files, rows (`webdataset`).
Rules: a key is a name up to the first dot of its last part, as webdataset splits it; a file whose name has no dot is a
sample by itself, so that no picture escapes; members of a key that comes again later belong to the same sample; what
is no file belongs to the sample of its key too, and goes with it.
"""

from __future__ import annotations

import json
import mmap
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vetset.datasets.bytesink import BufferedSink
from vetset.datasets.location import readable
from vetset.datasets.members import BLOCK, Member, MemberKind, begins_as_picture, members
from vetset.datasets.naming import PICTURE_ENDINGS
from vetset.errors import ShardError, Trouble
from vetset.ports import ByteSink

_PICTURE_ENDINGS = frozenset(ending.encode("ascii") for ending in PICTURE_ENDINGS)
MAX_JSON_BYTES = 1024 * 1024
_WITH_BYTES = (MemberKind.FILE, MemberKind.TRUNCATED)
_COPY_BYTES = 4 * 1024 * 1024


@dataclass(slots=True, repr=False)
class Sample:
    """The members of one key, in the order of the archive."""

    key: bytes
    members: list[Member] = field(default_factory=list)


@dataclass(slots=True, repr=False)
class Archive:
    """A tar as its samples. `oddities` counts what is no regular file, repeated names, and what cannot be read."""

    view: memoryview
    samples: dict[bytes, Sample] = field(default_factory=dict)
    oddities: Counter[str] = field(default_factory=Counter)
    end: int = 0  # of the last member that could be read

    def pictures(self, sample: Sample) -> Iterator[memoryview]:
        """The bytes of every member of a sample that is a picture by its name or by its first bytes."""
        for name, kind, _, data, size_bytes, _, begins in sample.members:
            if (begins or ending(name) in _PICTURE_ENDINGS) and kind in _WITH_BYTES:
                yield self.view[data : data + size_bytes]

    def json_of(self, sample: Sample) -> Mapping[str, Any]:
        """What the sample's `.json` member records; nothing where there is none, or it is no object."""
        for member in sample.members:
            if (
                member.kind is MemberKind.FILE
                and ending(member.name) == b"json"
                and member.size_bytes <= MAX_JSON_BYTES
            ):
                return object_of(bytes(self.view[member.data : member.data + member.size_bytes]))
        return {}

    def text_of(self, sample: Sample, name: bytes) -> bytes | None:
        """The bytes of a sample's member by its ending."""
        for member in sample.members:
            if member.kind is MemberKind.FILE and ending(member.name) == name and member.size_bytes <= MAX_JSON_BYTES:
                return bytes(self.view[member.data : member.data + member.size_bytes])
        return None


def key_of(name: bytes) -> bytes:
    """The key of a member: its folder and its name up to the first dot; the whole name where that is nothing."""
    last = name.rfind(b"/") + 1
    dot = name.find(b".", last)
    return name[:dot] if dot > last else name


def ending(name: bytes) -> bytes:
    """What follows the last dot, in lower case."""
    return name[max(name.rfind(b"."), name.rfind(b"/")) + 1 :].lower()


def is_picture(name: bytes, body: memoryview) -> bool:
    """A picture by its name or by its first bytes."""
    return ending(name) in _PICTURE_ENDINGS or begins_as_picture(body)


def object_of(text: bytes) -> Mapping[str, Any]:
    """A JSON object; nothing for what is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


@contextmanager
def opened_tar(path: Path) -> Iterator[Archive]:
    """A tar mapped into memory and walked once; nothing of it is copied but headers."""
    with readable(), path.open("rb") as file:
        size_bytes = path.stat().st_size
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) if size_bytes else None
    if mapped is None:
        yield Archive(memoryview(b""))
        return
    view = memoryview(mapped)
    try:
        yield archive_of(view)
    finally:
        _let_go(view, mapped)


def _let_go(view: memoryview, mapped: mmap.mmap) -> None:
    """Bodies handed out are views too; where one is still held, the mapping goes with the last of them."""
    try:
        view.release()
        mapped.close()
    except BufferError:
        return


def archive_of(view: memoryview) -> Archive:
    """The samples of a tar. Raises ShardError where not even the first header can be read."""
    archive = Archive(view)
    samples, files = archive.samples, 0
    names: set[bytes] = set()
    for member in members(view):
        name, kind = member.name, member.kind
        if kind is not MemberKind.FILE:
            archive.oddities[kind.value] += 1
            if kind is MemberKind.DAMAGED:
                break
            archive.end = member.stop
            if kind is MemberKind.GLOBAL_HEADER:
                continue
        archive.end = member.stop
        names.add(name)
        files += 1
        key = key_of(name)
        if key in samples:
            samples[key].members.append(member)
        else:
            samples[key] = Sample(key, [member])
    archive.oddities["repeated_name"] += files - len(names)
    if not archive.end and archive.oddities[MemberKind.DAMAGED.value]:
        raise ShardError(Trouble.NOT_THE_FORMAT, "it does not begin with the header of a tar")
    return archive


def write_tar_without(archive: Archive, keys: Collection[bytes], sink: ByteSink) -> None:
    """The tar less all members of the samples named; every other byte as it was, in place and order.

    What follows the last readable member stays only if it is blank: bytes that nobody can read are nobody's to keep.
    """
    target = BufferedSink(sink)
    gone = sorted((member.start, member.stop) for key in keys for member in archive.samples[key].members)
    at = 0
    for start, stop in gone:
        _copy(archive.view, at, start, target)
        at = max(at, stop)
    _copy(archive.view, at, archive.end, target)
    if _is_blank(archive.view, archive.end):
        _copy(archive.view, archive.end, len(archive.view), target)
    else:
        target.write(bytes(2 * BLOCK))  # POSIX: an archive ends with two blank blocks
    target.flush()


def _is_blank(view: memoryview, start: int) -> bool:
    pieces = (view[at : at + _COPY_BYTES] for at in range(start, len(view), _COPY_BYTES))
    return all(piece == bytes(len(piece)) for piece in pieces)


def _copy(view: memoryview, start: int, stop: int, target: BufferedSink) -> None:
    for at in range(start, stop, _COPY_BYTES):
        target.write(view[at : min(stop, at + _COPY_BYTES)])
