"""Members grouped into samples: natively as defined, at any number of members of a key, and quickly whatever the names.

And an archive's columns against the slow way: one object for each member, and a walk over all of them for each sample.
"""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_datasets_members import FORMATS, SPECIAL, extension, tar_of
from vetset.datasets.keys import Groups, ending, grouped, grouped_of, is_named_as_picture, key_of
from vetset.datasets.members import Member, MemberKind, Members, columns_of, members, members_of
from vetset.datasets.samples import Archive, archive_of
from vetset.errors import ShardError
from vetset.kernels import native

pytestmark = pytest.mark.usefixtures("either_kernels")

ENDINGS = st.sampled_from([b"jpg", b"JPG", b"seg.png", b"txt", b"json", b"", b"jpg/", b"webp ", b"tiff", b"x.Jpeg"])
NAMES = st.one_of(
    st.builds(
        lambda key, last: key + b"." + last, st.sampled_from([b"a", b"b", b"f/a", b"f.d/a", b"", b"f/"]), ENDINGS
    ),
    st.binary(max_size=6),
    st.sampled_from([b"jpg", b"a/jpg", b".jpg", b"a/.jpg", b"a", b"a/"]),
)
KINDS_OFTEN = st.one_of(
    st.just(MemberKind.FILE), st.sampled_from([k for k in MemberKind if k is not MemberKind.DAMAGED])
)


def made(entries: list[tuple[bytes, MemberKind, bool]]) -> Members:
    """Members of no archive: only their names and kinds matter."""
    return columns_of(Member(name, kind, 0, 0, 0, 0, begins) for name, kind, begins in entries)


def agree(found: Members) -> Groups:
    groups, defined = grouped(found), grouped_of(found)
    assert groups.sample.tolist() == defined.sample.tolist()
    assert groups.picture.tolist() == defined.picture.tolist()
    assert groups.keys.tolist() == defined.keys.tolist()
    assert groups.repeated == defined.repeated
    return groups


@settings(max_examples=400)
@given(st.lists(st.tuples(NAMES, KINDS_OFTEN, st.booleans()), max_size=60), st.booleans())
def test_members_are_grouped_as_defined(entries: list[tuple[bytes, MemberKind, bool]], damaged: bool) -> None:
    groups = agree(made([*entries, (b"", MemberKind.DAMAGED, False)] if damaged else entries))
    with_sample = [name for name, kind, _ in entries if kind is not MemberKind.GLOBAL_HEADER]
    assert len(groups.keys) == len({key_of(name) for name in with_sample})
    assert groups.repeated == len(with_sample) - len(set(with_sample))


@pytest.mark.parametrize("count", [1, 15, 16, 17, 18, 40, 3000])
@pytest.mark.parametrize("different", [True, False])
def test_a_sample_of_any_number_of_members(count: int, different: bool) -> None:
    """Names are compared one by one up to some number, and beyond it by a table."""
    names = [b"a.%d" % (number if different else number % 7) for number in range(count)]
    groups = agree(made([(name, MemberKind.FILE, False) for name in [*names, b"b.jpg", *names, b"b.jpg"]]))
    assert len(groups.keys) == 2
    assert groups.repeated == 2 * count + 2 - len(set(names)) - 1


@pytest.mark.parametrize(
    "names",
    [
        [b"%08d.jpg" % number for number in range(200_000)],  # a sample each
        [b"a.%08d.jpg" % number for number in range(200_000)],  # one sample of all
        [b"ab"[number % 2 : number % 2 + 1] + b".%08d" % number for number in range(200_000)],  # two, in turns
        [b"a" * 90 + b"%06d.x" % (number * 4096) for number in range(200_000)],  # alike to a weak hash
    ],
)
def test_no_names_make_it_slow(names: list[bytes]) -> None:
    found = made([(name, MemberKind.FILE, False) for name in names])
    started = time.process_time()
    groups = grouped(found)
    assert time.process_time() - started < 10  # a comparison of all with all would take minutes
    assert groups.repeated == 0


def test_native_groups_refuse_records_that_point_beyond_the_names() -> None:
    if native.LIB is None:
        pytest.skip("the plain grouping slices, and cannot read too far")
    for column, value in ((0, 11), (0, -1), (5, -1), (5, 4), (6, 9), (6, 2**62)):
        found = made([(b"a.jpg", MemberKind.FILE, False), (b"b.x", MemberKind.FILE, False)])
        columns = found.columns.copy()
        columns[0, 5:7] = (0, 3)
        columns[0, column] = value
        with pytest.raises(ValueError, match="disagree"):
            grouped(Members(columns, found.names))


def test_native_groups_refuse_buffers_of_other_sizes() -> None:
    if native.LIB is None:
        pytest.skip("the plain grouping has no buffers")
    columns, names = made([(b"a.jpg", MemberKind.FILE, False)]).columns, b"a.jpg"
    right = [columns.tobytes(), names, b"jpg", bytes(16), bytearray(8), bytearray(1), bytearray(16)]
    assert native.LIB.sample_groups(*right) == (1, 0)
    for place, other in ((0, bytes(63)), (3, bytes(15)), (4, bytearray(7)), (5, bytearray(2)), (6, bytearray(8))):
        wrong = [*right[:place], other, *right[place + 1 :]]
        with pytest.raises(ValueError, match="disagree"):
            native.LIB.sample_groups(*wrong)


@given(st.lists(st.tuples(NAMES, KINDS_OFTEN, st.booleans()), max_size=20))
def test_columns_give_back_their_members(entries: list[tuple[bytes, MemberKind, bool]]) -> None:
    wanted = [Member(name, kind, at, at + 1, at * 2, at + 7, begins) for at, (name, kind, begins) in enumerate(entries)]
    found = columns_of(wanted)
    assert list(found) == wanted
    assert list(found.at(slice(2, 5))) == wanted[2:5]
    assert list(found.at(np.arange(len(wanted))[::-1])) == wanted[::-1]
    assert all(kind is item.kind for item, (_, kind, _) in zip(found, entries, strict=True))


# --- archives against the slow way -----------------------------------------------------------------------------------


class Slowly:
    """A tar as a dictionary of lists of members."""

    def __init__(self, data: bytes) -> None:
        self.view = memoryview(data)
        self.samples: dict[bytes, list[Member]] = {}
        self.oddities: Counter[str] = Counter()
        self.end = 0
        names: list[bytes] = []
        for member in members_of(self.view):
            if member.kind is not MemberKind.FILE:
                self.oddities[member.kind.value] += 1
            if member.kind is MemberKind.DAMAGED:
                break
            self.end = member.stop
            if member.kind is not MemberKind.GLOBAL_HEADER:
                names.append(member.name)
                self.samples.setdefault(key_of(member.name), []).append(member)
        self.oddities["repeated_name"] = len(names) - len(set(names))

    def bodies(self, key: bytes) -> list[bytes]:
        return [
            bytes(self.view[item.data : item.data + item.size_bytes])
            for item in self.samples[key]
            if item.kind in {MemberKind.FILE, MemberKind.TRUNCATED}
            and (item.begins_as_picture or is_named_as_picture(item.name))
        ]

    def text(self, key: bytes, name: bytes) -> bytes | None:
        for item in self.samples[key]:
            if item.kind is MemberKind.FILE and ending(item.name) == name:
                return bytes(self.view[item.data : item.data + item.size_bytes])
        return None


BODIES = st.one_of(st.binary(max_size=700), st.builds(lambda rest: b"\xff\xd8\xff" + rest, st.binary(max_size=700)))
FILE_NAMES = st.builds(
    "{}.{}".format, st.sampled_from(["a", "b", "c", "f/a", "d" * 120]), st.sampled_from(["jpg", "x", "json", "txt"])
)


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """Archives joined, with odd things between them; at times damaged or cut off."""
    parts = [
        tar_of(draw(st.lists(st.tuples(FILE_NAMES, BODIES), max_size=6)), draw(st.sampled_from(FORMATS[1:]))),
        *draw(st.lists(st.sampled_from([*SPECIAL.values(), extension(b"g", b"11 path=bb\n"), bytes(512)]), max_size=3)),
        tar_of(draw(st.lists(st.tuples(FILE_NAMES, BODIES), max_size=3))),
    ]
    data = bytearray(b"".join(parts))
    for _ in range(draw(st.integers(0, 2))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


def opened(data: bytes, slow: Slowly) -> Archive | None:
    """None where the archive is none, to both."""
    if slow.end or not slow.oddities["damaged"]:
        return archive_of(memoryview(data))
    with pytest.raises(ShardError, match="not_the_format"):
        archive_of(memoryview(data))
    return None


@settings(max_examples=300)
@given(tars(), st.data())
def test_an_archive_is_what_the_slow_way_finds(data: bytes, drawn: st.DataObject) -> None:
    slow = Slowly(data)
    archive = opened(data, slow)
    if archive is None:
        return
    assert list(archive.keys) == list(slow.samples)
    assert (archive.end, +archive.oddities) == (slow.end, +slow.oddities)
    for number, key in enumerate(archive.keys):
        assert archive.numbers[key] == number
        assert list(archive.members(number)) == slow.samples[key]
        assert [archive.text_of(number, name) for name in (b"json", b"txt")] == [
            slow.text(key, name) for name in (b"json", b"txt")
        ]
    asked = drawn.draw(st.lists(st.integers(-1, len(archive.keys) - 1), max_size=12))
    found = [(place, bytes(body)) for place, body in archive.bodies(np.array(asked, np.int64))]
    wanted = [
        (place, body)
        for place, number in enumerate(asked)
        for body in (slow.bodies(archive.keys[number]) if number >= 0 else [])
    ]
    assert found == wanted
    gone = set(asked) - {-1}
    stretches = sorted((item.start, item.stop) for number in gone for item in slow.samples[archive.keys[number]])
    assert archive.stretches(gone) == stretches


def test_no_archive_shows_a_name() -> None:
    archive = archive_of(memoryview(tar_of([("canary.jpg", b"x")])))
    (member,) = archive.members(0)
    for thing in (archive, member, members(archive.view)):
        assert "canary" not in repr(thing)
