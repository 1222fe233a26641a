"""Members of tars against the standard library, byte by byte damage, and tars made to do harm: nothing but names come."""

from __future__ import annotations

import io
import itertools
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vetset.datasets.members import BLOCK, MAX_EXTENSION_BYTES, Member, MemberKind, members, members_of

pytestmark = pytest.mark.usefixtures("either_kernels")

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def tar_of(entries: list[tuple[str, bytes]], kind: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for name, body in entries:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()


def special(kind: bytes, name: str = "odd", **fields: Any) -> bytes:
    """A header of a kind that is no file."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def walked(data: bytes) -> list[Member]:
    return list(members(memoryview(data)))


def seen(data: bytes) -> list[tuple[bytes, MemberKind, bytes]]:
    return [(item.name, item.kind, data[item.data : item.data + item.size_bytes]) for item in walked(data)]


NAMES = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="/\\"), min_size=1, max_size=120
).filter(lambda name: name not in {".", ".."})


@settings(max_examples=120)
@given(st.lists(st.tuples(NAMES, st.binary(max_size=1200)), max_size=6), st.sampled_from(FORMATS[1:]))
def test_names_and_bytes_are_those_of_the_standard_library(entries: list[tuple[str, bytes]], kind: int) -> None:
    data = tar_of(entries, kind)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        wanted = [
            (item.name.encode("utf-8", "surrogateescape"), MemberKind.FILE, tar.extractfile(item).read())  # type: ignore[union-attr]
            for item in tar.getmembers()
        ]
    assert seen(data) == wanted


@given(st.lists(st.tuples(NAMES, st.binary(max_size=700)), min_size=1, max_size=4), st.sampled_from(FORMATS[1:]))
def test_members_follow_each_other_without_a_gap(entries: list[tuple[str, bytes]], kind: int) -> None:
    found = walked(tar_of(entries, kind))
    assert found[0].start == 0
    assert all(one.stop == other.start for one, other in itertools.pairwise(found))
    assert all(item.start < item.data <= item.stop for item in found)


@pytest.mark.parametrize("kind", FORMATS)
def test_long_names_in_every_format(kind: int) -> None:
    name = (
        "/".join(["folder" * 8] * 4) + "/" + "n" * 90 + ".jpg" if kind != tarfile.USTAR_FORMAT else "a/" * 60 + "b.jpg"
    )
    assert [item.name for item in walked(tar_of([(name, b"x")], kind))] == [name.encode()]


def test_a_size_in_base_256() -> None:
    header = bytearray(tar_of([("a.jpg", b"body")])[:BLOCK])
    header[124:136] = b"\x80" + (4).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    assert seen(bytes(header) + b"body".ljust(BLOCK, b"\0")) == [(b"a.jpg", MemberKind.FILE, b"body")]


def test_a_global_header_holds_for_what_follows_and_is_no_member_of_a_sample() -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x"}) as tar:
        info = tarfile.TarInfo("a.jpg")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    assert [item.kind for item in walked(data.getvalue())] == [MemberKind.GLOBAL_HEADER, MemberKind.FILE]


SPECIAL: dict[MemberKind, bytes] = {
    MemberKind.HARD_LINK: special(tarfile.LNKTYPE, linkname="/etc/passwd"),
    MemberKind.SYMBOLIC_LINK: special(tarfile.SYMTYPE, linkname="../../outside"),
    MemberKind.DEVICE: special(tarfile.CHRTYPE, devmajor=1, devminor=3),
    MemberKind.FIFO: special(tarfile.FIFOTYPE),
    MemberKind.DIRECTORY: special(tarfile.DIRTYPE, name="folder/"),
    MemberKind.SPARSE: special(b"S"),
    MemberKind.UNKNOWN: special(b"Z"),
}


@pytest.mark.parametrize("kind", SPECIAL, ids=str)
def test_what_is_no_file_has_a_name_of_its_own(kind: MemberKind) -> None:
    data = tar_of([("a.jpg", b"a")])[: 2 * BLOCK] + SPECIAL[kind] + tar_of([("b.jpg", b"b")])
    assert [item.kind for item in walked(data)] == [MemberKind.FILE, kind, MemberKind.FILE]


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_a_link_that_claims_data_has_none(kind: bytes) -> None:
    """Else the members behind it could be hidden in what it claims."""
    data = special(kind, size=10 * BLOCK) + tar_of([("b.jpg", b"b")])
    assert [item.name for item in walked(data)][-1] == b"b.jpg"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a/../../b.jpg", "..", "C:\\x.jpg", "a\x1b]8;;x\x07.jpg"]
)
def test_a_name_that_leads_out_is_a_name_and_no_path(name: str) -> None:
    assert [item.name for item in walked(tar_of([(name, b"x")]))] == [name.encode()]


def test_truncated_at_every_byte_every_member_is_whole_or_named() -> None:
    data = tar_of([("a.jpg", b"a" * 700), ("b.jpg", b"b" * 30)])
    whole = seen(data)
    for length in range(len(data)):
        found = seen(data[:length])
        assert [item for item in found if item[1] is MemberKind.FILE] == whole[
            : len([i for i in found if i[1] is MemberKind.FILE])
        ]
        assert {item[1] for item in found} <= {MemberKind.FILE, MemberKind.TRUNCATED, MemberKind.DAMAGED}
        assert all(kind is MemberKind.FILE for _, kind, _ in found[:-1])


DAMAGE: dict[str, Callable[[bytearray], None]] = {
    "a wrong sum": lambda header: header.__setitem__(148, ord("7")),
    "letters for a size": lambda header: header.__setitem__(slice(124, 136), b"not a number"),
    "a negative size": lambda header: header.__setitem__(slice(124, 136), b"\xff" * 12),
    "a size beyond any file": lambda header: header.__setitem__(slice(124, 136), b"\x80\xff" + b"\xff" * 10),
}


@pytest.mark.parametrize("how", DAMAGE, ids=str)
def test_a_damaged_header_ends_the_reading_and_is_named(how: str) -> None:
    data = bytearray(tar_of([("a.jpg", b"a"), ("b.jpg", b"b")]))
    header = data[2 * BLOCK : 3 * BLOCK]
    DAMAGE[how](header)
    if how != "a wrong sum":
        header[148:156] = b" " * 8
        header[148:156] = f"{sum(header):06o}\0 ".encode()
    data[2 * BLOCK : 3 * BLOCK] = header
    found = walked(bytes(data))
    assert [item.kind for item in found] == [MemberKind.FILE, MemberKind.DAMAGED]
    assert found[-1].stop == len(data)


def extension(kind: bytes, body: bytes, *, claimed: int | None = None) -> bytes:
    info = tarfile.TarInfo("././@x")
    info.type = kind
    info.size = len(body) if claimed is None else claimed
    return info.tobuf(tarfile.GNU_FORMAT) + body.ljust(-(-len(body) // BLOCK) * BLOCK, b"\0")


@pytest.mark.parametrize(
    "head",
    [
        extension(b"x", b"", claimed=MAX_EXTENSION_BYTES + 1),
        extension(b"L", b"", claimed=2**40),
        extension(b"x", b"999999 path=x\n"),
        extension(b"x", b"12 path\n"),
        extension(b"x", b"0 path=x\n"),
        extension(b"x", b"18 size=-12345678\n"),
        extension(b"x", b"29 size=99999999999999999999\n"),
        extension(b"x", b"11 path=aa\n") + extension(b"g", b"11 path=bb\n"),
    ],
)
def test_a_hostile_extension_is_damage(head: bytes) -> None:
    assert next(item.kind for item in walked(head + tar_of([("a.jpg", b"a")]))) is MemberKind.DAMAGED


def test_a_concatenated_archive_is_read_on() -> None:
    assert [item.name for item in walked(tar_of([("a.jpg", b"a")]) + tar_of([("b.jpg", b"b")]))] == [b"a.jpg", b"b.jpg"]


@settings(max_examples=300)
@given(st.data())
def test_any_damage_leaves_every_byte_in_one_place(data: st.DataObject) -> None:
    tar = bytearray(
        tar_of([("a.jpg", b"a" * 600), ("x" * 150, b"b"), ("c.json", b"{}")], data.draw(st.sampled_from(FORMATS[1:])))
    )
    for _ in range(data.draw(st.integers(1, 8))):
        tar[data.draw(st.integers(0, len(tar) - 1))] = data.draw(st.integers(0, 255))
    found = walked(bytes(tar))
    assert all(0 <= item.start <= item.data <= item.data + item.size_bytes <= len(tar) for item in found)
    assert all(one.stop <= other.start for one, other in itertools.pairwise(found))


@settings(max_examples=400)
@given(st.data())
def test_the_native_walk_is_the_defined_one(data: st.DataObject) -> None:
    parts = st.sampled_from(
        [*SPECIAL.values(), extension(b"x", b"11 path=aa\n"), extension(b"g", b"11 path=bb\n"), bytes(512)]
    )
    tar = bytearray(b"".join(data.draw(st.lists(parts, max_size=4))))
    tar += tar_of(
        [("a.jpg", b"a" * 600), ("x" * 150, b"b"), ("c.json", b"{}")], data.draw(st.sampled_from(FORMATS[1:]))
    )
    for _ in range(data.draw(st.integers(0, 6))):
        tar[data.draw(st.integers(0, len(tar) - 1))] = data.draw(st.integers(0, 255))
    view = memoryview(bytes(tar[: data.draw(st.integers(0, len(tar)))]))
    assert list(members(view)) == list(members_of(view))


@pytest.mark.parametrize("kind", FORMATS)
def test_the_native_walk_agrees_on_every_damaged_header_byte(kind: int) -> None:
    """Each byte of a header and of an extension, with its sum made right again, so that the fields are what is read."""
    whole = bytearray(extension(b"x", b"20 size=3\n11 path=aa\n"[10:]) + tar_of([("a" * 40 + ".jpg", b"abc")], kind))
    for at in range(min(len(whole), 5 * BLOCK)):
        for value in (0, 32, 48, 55, 0x80, 0xFF):
            tar = bytearray(whole)
            tar[at] = value
            for start in range(0, len(tar) - BLOCK + 1, BLOCK):
                header = tar[start : start + BLOCK]
                if at // BLOCK * BLOCK == start and not 148 <= at % BLOCK < 156 and header[257:262] == b"ustar":
                    header[148:156] = b" " * 8
                    tar[start + 148 : start + 156] = f"{sum(header):06o}\0 ".encode()
            view = memoryview(bytes(tar))
            assert list(members(view)) == list(members_of(view)), (at, value)
