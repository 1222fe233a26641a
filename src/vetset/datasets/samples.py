"""Samples of a webdataset tar: members that share a key, and the tar written again without some samples.

In it: samples in order of their first member, their pictures, what a sample's JSON member records, and the cut.
Not in it: headers (`members`), keys (`keys`), side files, rows (`webdataset`).
Rules: what is no file goes with the sample of its key; bodies are views of the archive, and no copy is made of one.
"""

from __future__ import annotations

import json
import mmap
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vetset.datasets.bytesink import BufferedSink
from vetset.datasets.keys import Groups, ending, grouped, is_named_as_picture
from vetset.datasets.location import readable
from vetset.datasets.members import BLOCK, I64, KINDS, Member, MemberKind, Members, members
from vetset.errors import ShardError, Trouble
from vetset.kernels import begins_as_picture
from vetset.ports import ByteSink

MAX_JSON_BYTES = 1024 * 1024
_COPY_BYTES = 4 * 1024 * 1024
_BODIES_AT_ONCE = 4096


class Archive:
    """A tar as its samples, numbered in the order of their first members; members stay columns until they are wanted.

    `oddities` counts what is no regular file, repeated names, and what cannot be read; `end` is that of the last member
    that could be read.
    """

    def __init__(self, view: memoryview, found: Members, groups: Groups) -> None:
        self.view = view
        self._members = found
        self._groups = groups
        counts = np.bincount(found.columns[:, 0], minlength=len(KINDS)).tolist()
        named = zip(KINDS, counts, strict=True)
        self.oddities = Counter({kind.value: count for kind, count in named if kind is not MemberKind.FILE and count})
        self.oddities["repeated_name"] = groups.repeated
        readable_members = len(found) - self.oddities[MemberKind.DAMAGED.value]  # a damaged one is the last
        self.end = int(found.columns[readable_members - 1, 4]) if readable_members else 0

    @cached_property
    def keys(self) -> Sequence[bytes]:
        """The key of every sample."""
        names = self._members.names
        return [names[first:stop] for first, stop in self._groups.keys.tolist()]

    @cached_property
    def numbers(self) -> Mapping[bytes, int]:
        """The number of every sample by its key."""
        return {key: number for number, key in enumerate(self.keys)}

    @cached_property
    def _all(self) -> _BySample:
        return _by_sample(self._groups.sample, len(self._groups.keys))

    def members(self, number: int) -> Iterator[Member]:
        """The members of a sample, in the order of the archive."""
        first, stop = self._all.first[number : number + 2].tolist()
        return self._members.at(self._all.order[first:stop])

    def bodies(self, numbers: I64) -> Iterator[tuple[int, memoryview]]:
        """For each sample asked for in turn, the bytes of every picture, with its place in `numbers`; -1 asks for none.

        A picture is a member that is one by its name or by its first bytes.
        """
        marked = np.where(self._groups.picture, self._groups.sample, -1)
        pictures = _by_sample(marked, len(self._groups.keys))
        asked = np.flatnonzero(numbers >= 0)
        first = pictures.first[numbers[asked]]
        counts = pictures.first[numbers[asked] + 1] - first
        places = np.repeat(asked, counts)
        within = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        which = pictures.order[np.repeat(first, counts) + within]
        for at in range(0, len(places), _BODIES_AT_ONCE):
            some = self._members.columns[which[at : at + _BODIES_AT_ONCE]]
            ends = (some[:, 2] + some[:, 3]).tolist()
            named = places[at : at + _BODIES_AT_ONCE].tolist()
            for place, data, end in zip(named, some[:, 2].tolist(), ends, strict=True):
                yield place, self.view[data:end]

    def json_of(self, number: int) -> Mapping[str, Any]:
        """What the sample's `.json` member records; nothing where there is none, or it is no object."""
        text = self.text_of(number, b"json")
        return {} if text is None else object_of(text)

    def text_of(self, number: int, name: bytes) -> bytes | None:
        """The bytes of a sample's member by its ending."""
        for member in self.members(number):
            if member.kind is MemberKind.FILE and ending(member.name) == name and member.size_bytes <= MAX_JSON_BYTES:
                return bytes(self.view[member.data : member.data + member.size_bytes])
        return None

    def stretches(self, numbers: Iterable[int]) -> list[tuple[int, int]]:
        """Where the members of samples begin and stop, headers and padding with them, in order."""
        return sorted((member.start, member.stop) for number in numbers for member in self.members(number))


class _BySample(NamedTuple):
    """Members in the order of their samples; those of sample n stand at places first[n] to first[n + 1]."""

    order: I64
    first: I64


def _by_sample(sample: I64, samples: int) -> _BySample:
    """From each member's sample, -1 where it has none."""
    placed = np.flatnonzero(sample >= 0)
    order = placed[np.argsort(sample[placed], kind="stable")]
    return _BySample(order, np.searchsorted(sample[order], np.arange(samples + 1)))


def is_picture(name: bytes, body: memoryview) -> bool:
    """A picture by its name or by its first bytes."""
    return is_named_as_picture(name) or begins_as_picture(body)


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
        yield archive_of(memoryview(b""))
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
    found = members(view)
    archive = Archive(view, found, grouped(found))
    if not archive.end and archive.oddities[MemberKind.DAMAGED.value]:
        raise ShardError(Trouble.NOT_THE_FORMAT, "it does not begin with the header of a tar")
    return archive


def write_tar_without(archive: Archive, keys: Collection[bytes], sink: ByteSink) -> None:
    """The tar less all members of the samples named; every other byte as it was, in place and order.

    What follows the last readable member stays only if it is blank: bytes that nobody can read are nobody's to keep.
    """
    target = BufferedSink(sink)
    at = 0
    for start, stop in archive.stretches(map(archive.numbers.__getitem__, keys)):
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
