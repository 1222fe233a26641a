"""The sink: hostile names and failing disks first, then whole products, digests, copies, removals, sweeping."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import os
import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults import Fault, FaultyDisk, Killed
from vetset.errors import ShardError, SinkError, Stop, Trouble
from vetset.ledger import Disk, Sink

ESCAPES = ["", ".", "..", "/", "/etc/passwd", "../out", "a/../../out", "a/..", "a//b", "./a", "a/", "a/./b", "a\0b"]


@pytest.fixture
def sink(tmp_path: Path) -> Sink:
    return Sink(tmp_path / "root")


def names_under(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ESCAPES)
def test_a_name_that_is_no_plain_relative_path_is_refused(sink: Sink, tmp_path: Path, name: str) -> None:
    for act in (lambda: sink.put(name, b"x"), lambda: sink.remove(name), lambda: sink.copy(name, tmp_path / "none")):
        with pytest.raises(ValueError, match="plain relative path"):
            act()
    assert not (tmp_path / "root").exists()


@given(parts=st.lists(st.sampled_from(["a", "..", ".", "", "b", "/", "~"]), max_size=5))
def test_nothing_is_ever_written_outside_the_root(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    outside = tmp_path_factory.mktemp("outside")
    sink = Sink(outside / "deep" / "root")
    try:
        sink.put("/".join(parts), b"x")
    except ValueError:
        assert not (outside / "deep").exists()
    else:
        assert all(name.startswith("deep/root/") for name in names_under(outside))


def test_a_name_that_marks_unfinished_files_is_refused(sink: Sink) -> None:
    with pytest.raises(Stop, match="unfinished"):
        sink.put("a.partial", b"x")


def test_a_link_planted_under_the_temporary_name_is_not_followed(sink: Sink, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    sink.folder()
    (sink.root / "a.partial").symlink_to(victim)
    sink.put("a", b"theirs")
    assert victim.read_bytes() == b"mine"
    assert (sink.root / "a").read_bytes() == b"theirs"
    assert not (sink.root / "a").is_symlink()


def test_a_name_as_long_as_a_name_may_be_can_be_written(sink: Sink) -> None:
    name = "ü" * 127
    assert sink.put(f"a/{name}", b"x").name == f"a/{name}"
    assert names_under(sink.root) == {f"a/{name}"}


def test_a_name_that_is_too_long_is_a_sink_error_of_that_name(sink: Sink) -> None:
    with pytest.raises(SinkError) as caught:
        sink.put("b" * 256, b"x")
    assert caught.value.error_number == errno.ENAMETOOLONG


# --- failure -------------------------------------------------------------------------------------------------------


def operations_of_one_product(root: Path) -> list[str]:
    disk = FaultyDisk()
    Sink(root, disk).put("a/b", b"0123456789")
    return [operation.name for operation in disk.operations]


def test_a_product_is_a_known_row_of_operations(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_and_publish = ["create", "write", "sync", "close", "rename", "sync_folder"]
    assert operations_of_one_product(root) == ["make_folder", "sync_folder"] * 2 + write_and_publish
    assert operations_of_one_product(root) == ["sync_folder", *write_and_publish]


def place_with(root: Path, old: bytes | None) -> Path:
    if old is not None:
        Sink(root).put("a/b", old)
    return root


@pytest.mark.parametrize("kind", ["kill", "power", "ENOSPC", "EIO"])
@pytest.mark.parametrize("old", [None, b"the old product"])
def test_wherever_it_fails_the_product_is_the_old_one_or_the_new_one(
    tmp_path: Path, kind: str, old: bytes | None
) -> None:
    new = b"0123456789"
    for at in range(len(operations_of_one_product(place_with(tmp_path / "counted", old)))):
        for torn in (0, 1, 9, 10):
            root = place_with(tmp_path / f"{at}-{torn}", old)
            failing = Sink(root, FaultyDisk(fault=Fault(at, kind, torn)))
            with pytest.raises((SinkError, Killed)):
                failing.put("a/b", new)
            path = root / "a" / "b"
            assert (path.read_bytes() if path.is_file() else None) in {old, new}
            again = Sink(root)
            again.sweep()
            again.put("a/b", new)
            assert names_under(root) == {"a/b"}
            assert path.read_bytes() == new


def test_an_exception_in_the_body_leaves_nothing(sink: Sink) -> None:
    with pytest.raises(ZeroDivisionError), sink.product("a") as stream:  # noqa: PT012 - the body is what raises
        stream.write(b"x" * (3 << 20))
        _ = 1 // 0
    assert names_under(sink.root) == set()


def test_an_exception_in_the_body_leaves_the_old_product(sink: Sink) -> None:
    sink.put("a", b"old")
    with pytest.raises(KeyboardInterrupt), sink.product("a") as stream:  # noqa: PT012 - the body is what raises
        stream.write(b"new")
        raise KeyboardInterrupt
    assert (sink.root / "a").read_bytes() == b"old"


def test_nothing_is_written_after_a_write_that_failed(tmp_path: Path) -> None:
    disk = FaultyDisk(fault=Fault(at=3, kind="ENOSPC"))
    sink = Sink(tmp_path / "root", disk)
    with pytest.raises(SinkError) as caught, sink.product("a") as stream:  # noqa: PT012 - two failing writes in one body
        with pytest.raises(SinkError):
            stream.write(bytes(2 << 20))
        with pytest.raises(SinkError):
            stream.write(bytes(2 << 20))
    assert caught.value.error_number == errno.ENOSPC
    assert [operation.name for operation in disk.operations].count("write") == 1
    assert names_under(sink.root) == set()


def test_a_body_that_hides_a_failed_write_does_not_get_its_product(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "root", FaultyDisk(fault=Fault(at=3, kind="EIO")))
    with pytest.raises(SinkError), sink.product("a") as stream, contextlib.suppress(SinkError):
        stream.write(bytes(1 << 20))
    assert names_under(sink.root) == set()


def test_errors_name_the_product_and_no_absolute_path(sink: Sink) -> None:
    sink.put("taken", b"x")
    with pytest.raises(SinkError) as caught:
        sink.put("taken/below", b"x")
    assert str(sink.root.parent) not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_real_full_device_is_a_sink_error() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(SinkError) as caught:
            Disk().write(fd, b"x", name="results/a")
    finally:
        os.close(fd)
    assert (caught.value.action, caught.value.name) == ("write", "results/a")
    assert caught.value.error_number == errno.ENOSPC


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
    product = Sink(tmp_path / "root").put("a", bytes(range(256)))
    assert (tmp_path / "root" / "a").read_bytes() == bytes(range(256))
    assert product.bytes == 256


# --- products ------------------------------------------------------------------------------------------------------


@given(pieces=st.lists(st.binary(max_size=60) | st.sampled_from([bytes(1 << 20), b"x" * ((1 << 20) + 1)]), max_size=8))
def test_a_product_is_its_pieces_with_their_digest_and_size(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    root = tmp_path_factory.mktemp("sink")
    disk = FaultyDisk()
    with Sink(root, disk).product("a") as stream:
        for count, piece in enumerate(pieces):
            assert stream.write(memoryview(piece) if count % 2 else piece) == len(piece)
        assert stream.tell() == sum(map(len, pieces))
    whole = b"".join(pieces)
    assert (root / "a").read_bytes() == whole
    assert stream.product.sha256 == hashlib.sha256(whole).hexdigest()
    assert stream.product.bytes == len(whole)
    writes = [operation.length for operation in disk.operations if operation.name == "write"]
    assert sum(writes) == len(whole)
    assert len(writes) <= 2 + 2 * sum(len(piece) >= 1 << 20 for piece in pieces)


def test_wide_items_are_counted_in_bytes(sink: Sink) -> None:
    with sink.product("a") as stream:
        assert stream.write(memoryview(b"12345678").cast("Q")) == 8
    assert stream.product.bytes == 8


def test_pyarrow_and_csv_write_into_it(sink: Sink) -> None:
    table = pa.table({"row": list(range(1000))})
    with sink.product("a.parquet") as stream:
        pq.write_table(table, stream)
    assert pq.read_table(sink.root / "a.parquet").equals(table)
    with sink.product("a.csv") as stream:
        text = io.TextIOWrapper(stream, "utf-8", newline="")  # type: ignore[type-var]
        csv.writer(text).writerows([["a", "b"], ["1", "ü"]])
        text.close()
    assert (sink.root / "a.csv").read_bytes() == b"a,b\r\n1,\xc3\xbc\r\n"


def test_a_closed_stream_takes_no_more_and_its_product_stands(sink: Sink) -> None:
    with sink.product("a") as stream:
        stream.write(b"x")
        stream.close()
        with pytest.raises(ValueError, match="closed"):
            stream.write(b"y")
    assert (sink.root / "a").read_bytes() == b"x"
    assert (stream.readable(), stream.writable(), stream.seekable(), stream.closed) == (False, True, False, True)


def test_modes(tmp_path: Path) -> None:
    Sink(tmp_path / "run", in_run=True).put("vault/run.age", b"")
    Sink(tmp_path / "run", in_run=True).put("run.key", b"", mode=0o600)
    assert stat.S_IMODE((tmp_path / "run" / "run.key").stat().st_mode) == 0o600
    for folder in ("run", "run/vault"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700


@pytest.mark.parametrize("size_bytes", [0, 1, (4 << 20) - 1, 4 << 20, (4 << 20) + 1])
def test_a_copy_is_byte_for_byte(sink: Sink, tmp_path: Path, size_bytes: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(size_bytes))
    product = sink.copy("deep/copy", source)
    assert (sink.root / "deep" / "copy").read_bytes() == source.read_bytes()
    assert product.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (product.name, product.bytes, product.in_run) == ("deep/copy", size_bytes, False)


def test_a_copy_of_what_is_not_there_is_trouble_with_the_shard(sink: Sink, tmp_path: Path) -> None:
    with pytest.raises(ShardError) as caught:
        sink.copy("a", tmp_path / "secret-name")
    assert caught.value.trouble is Trouble.UNREADABLE
    assert "secret-name" not in str(caught.value)
    assert names_under(sink.root) == set()


# --- removal -------------------------------------------------------------------------------------------------------


def test_removal_takes_what_is_there_and_nothing_else(sink: Sink) -> None:
    sink.put("a/b", b"x")
    sink.put("a/c", b"x")
    sink.remove("a/b")
    sink.remove("a/b")
    assert names_under(sink.root) == {"a/c"}


def test_a_wiped_file_is_zeros_before_it_goes(sink: Sink) -> None:
    sink.put("key", b"secret")
    os.link(sink.root / "key", sink.root / "witness")
    sink.wipe("key")
    sink.wipe("key")
    assert not (sink.root / "key").exists()
    assert (sink.root / "witness").read_bytes() == bytes(6)


def test_a_tree_goes_whole_even_after_being_cut_off(tmp_path: Path) -> None:
    for at in range(12):
        root = tmp_path / str(at)
        for name in ("joins/a", "joins/deep/b", "kept"):
            Sink(root).put(name, b"x")
        disk = FaultyDisk(fault=Fault(at, "kill"))
        try:
            Sink(root, disk).remove_tree("joins")
        except Killed:
            Sink(root).remove_tree("joins")
        assert not (root / "joins").exists()
        assert names_under(root) == {"kept"}


def test_a_link_in_a_tree_goes_but_not_what_it_leads_to(sink: Sink, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "mine").write_bytes(b"x")
    sink.folder("joins")
    (sink.root / "joins" / "link").symlink_to(tmp_path / "outside")
    sink.remove_tree("joins")
    assert (tmp_path / "outside" / "mine").is_file()
    assert not (sink.root / "joins").exists()


def test_sweeping_takes_leftovers_only(sink: Sink) -> None:
    sink.sweep()
    sink.put("a/b", b"x")
    for name in ("a/c.partial", "d.partial"):
        (sink.root / name).write_bytes(b"torn")
    sink.sweep()
    assert names_under(sink.root) == {"a/b"}
