"""The keys of samples: which members of a tar share one, as columns, and which of them are pictures.

In it: the key and the ending of a name, members grouped by key. Not in it: headers (`members`), bytes of samples
(`samples`).
Rules: a key is a name up to the first dot of its last part, as webdataset splits it; a file whose name has no dot is a
sample by itself, so that no picture escapes; members of a key that comes again later belong to the same sample; what
is no file belongs to the sample of its key too. Native tables of names are seeded anew each time, so that no tar can
be made slow to group.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vetset.datasets.members import I64, KINDS, MemberKind, Members
from vetset.datasets.naming import PICTURE_ENDINGS
from vetset.kernels import native

_PICTURE_ENDINGS = frozenset(ending.encode("ascii") for ending in PICTURE_ENDINGS)
_JOINED_ENDINGS = b".".join(sorted(_PICTURE_ENDINGS))
_WITH_BYTES = (MemberKind.FILE, MemberKind.TRUNCATED)
_DAMAGED = KINDS.index(MemberKind.DAMAGED)
_SEED_BYTES = 16


class Groups(NamedTuple):
    """Members by samples, which are numbered in the order of their first members.

    `sample` holds each member's, -1 where it belongs to none; `picture` is 1 where a member is a picture by its name or
    its first bytes; `keys` is (samples, 2): where each key begins and ends in the names; `repeated` counts the members
    whose name an earlier one has.
    """

    sample: I64
    picture: npt.NDArray[np.uint8]
    keys: I64
    repeated: int


def key_of(name: bytes) -> bytes:
    """The key of a member: its folder and its name up to the first dot; the whole name where that is nothing."""
    last = name.rfind(b"/") + 1
    dot = name.find(b".", last)
    return name[:dot] if dot > last else name


def ending(name: bytes) -> bytes:
    """What follows the last dot, in lower case."""
    return name[max(name.rfind(b"."), name.rfind(b"/")) + 1 :].lower()


def is_named_as_picture(name: bytes) -> bool:
    """Whether a name ends as those of pictures do."""
    return ending(name) in _PICTURE_ENDINGS


def grouped(members: Members) -> Groups:
    """The samples of a tar, found natively where that may be; see `grouped_of`."""
    lib = native.LIB
    if lib is None:
        return grouped_of(members)
    count = len(members)
    sample, picture, keys = np.empty(count, np.int64), np.empty(count, np.uint8), np.empty((count, 2), np.int64)
    seed = os.urandom(_SEED_BYTES)
    samples, repeated = lib.sample_groups(members.columns, members.names, _JOINED_ENDINGS, seed, sample, picture, keys)
    return Groups(sample, picture, keys[:samples].copy(), repeated)


def grouped_of(members: Members) -> Groups:
    """The definition. What stands from a damaged header on belongs to no sample, nor does a global header."""
    numbers: dict[bytes, int] = {}
    names: set[bytes] = set()
    keys: list[tuple[int, int]] = []
    sample, picture, repeated = np.full(len(members), -1, np.int64), np.zeros(len(members), np.uint8), 0
    for place, member in enumerate(members):
        if member.kind is MemberKind.DAMAGED:
            break
        if member.kind is MemberKind.GLOBAL_HEADER:
            continue
        key = key_of(member.name)
        if key not in numbers:
            at = int(members.columns[place, 5])
            keys.append((at, at + len(key)))
        sample[place] = numbers.setdefault(key, len(numbers))
        picture[place] = member.kind in _WITH_BYTES and (member.begins_as_picture or is_named_as_picture(member.name))
        repeated += member.name in names
        names.add(member.name)
    return Groups(sample, picture, np.array(keys, np.int64).reshape(-1, 2), repeated)
