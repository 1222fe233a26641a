"""What is cleaned is what was screened: by the system's word where that holds, by the digest where it does not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.commanding import User, at_work
from vetset.ledger import Ledger
from vetset.pipeline import source
from vetset.pipeline.audit import Audit
from vetset.pipeline.room import Room
from vetset.records import Shard

SHARD = Shard("a", "a.bin", 5, "probe")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled although they were made a moment ago."""
    monkeypatch.setattr(source, "SETTLED_SECONDS", -3600.0)


class Digests:
    """Counts the files that were digested."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        whole = source.digest_of_file

        def digest_of_file(path: Path) -> str:
            self.names.append(path.name)
            return whole(path)

        monkeypatch.setattr(source, "digest_of_file", digest_of_file)


@pytest.fixture
def digests(monkeypatch: pytest.MonkeyPatch) -> Digests:
    return Digests(monkeypatch)


def room_at(folder: Path, key: bytes = b"k" * 32, names: tuple[str, ...] = ("a.bin",)) -> Room:
    """As much of a room as a shard's files need."""
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run" / "run.toml").touch()
    dataset = SimpleNamespace(files=lambda _: names)
    return cast(
        "Room",
        SimpleNamespace(
            root=folder, dataset=dataset, ledger=Ledger(folder / "run"), keys=SimpleNamespace(case_key=key)
        ),
    )


@pytest.fixture
def room(tmp_path: Path) -> Room:
    (tmp_path / "a.bin").write_bytes(b"hello")
    return room_at(tmp_path)


def noted(room: Room) -> str:
    """The digest of the files as they stand, noted as screen does it."""
    before = source.standing_of(room, SHARD)
    digest = source.digest_of_files(room, SHARD)
    source.note_standing(room, SHARD, digest, before)
    return digest


def test_an_untouched_file_is_not_digested_again(room: Room, at_once: None, digests: Digests) -> None:
    digest = noted(room)
    digests.names.clear()
    assert source.is_unchanged(room, SHARD, digest)
    assert digests.names == []


def test_a_file_of_a_moment_ago_is_digested(room: Room, digests: Digests) -> None:
    digest = noted(room)
    assert source.standing_of(room, SHARD) is None
    assert not (room.ledger.root / "sidecar/source/a.json").exists()
    digests.names.clear()
    assert source.is_unchanged(room, SHARD, digest)
    assert digests.names == ["a.bin"]


def backdated(path: Path, write: Callable[[Path], object]) -> None:
    """Changes a file and sets its times back to what they were."""
    status = path.stat()
    write(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b"hellO"),
        lambda path: path.write_bytes(b"hello!"),
        lambda path: (path.unlink(), path.write_bytes(b"hellO")),
        lambda path: os.truncate(path, 3),
    ],
)
def test_a_changed_file_shows_also_with_its_times_set_back(
    room: Room, at_once: None, write: Callable[[Path], object]
) -> None:
    digest = noted(room)
    backdated(room.root / "a.bin", write)
    assert not source.is_unchanged(room, SHARD, digest)


def test_a_file_that_changed_and_came_back_is_digested(room: Room, at_once: None, digests: Digests) -> None:
    digest = noted(room)
    backdated(room.root / "a.bin", lambda path: path.write_bytes(b"other"))
    backdated(room.root / "a.bin", lambda path: path.write_bytes(b"hello"))
    digests.names.clear()
    assert source.is_unchanged(room, SHARD, digest)
    assert digests.names == ["a.bin"]


def test_what_changes_while_it_is_read_is_not_noted(room: Room, at_once: None) -> None:
    before = source.standing_of(room, SHARD)
    (room.root / "a.bin").write_bytes(b"other")
    source.note_standing(room, SHARD, "0" * 64, before)
    assert not (room.ledger.root / "sidecar/source/a.json").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"{"),
        lambda path: path.write_bytes(b"[]"),
        lambda path: path.write_bytes(b'{"unchanged":7}'),
        lambda path: path.write_bytes(b'{"unchanged":"%s"}' % (b"0" * 64)),
    ],
)
def test_without_a_sound_mark_the_digest_decides(
    room: Room, at_once: None, digests: Digests, damage: Callable[[Path], object]
) -> None:
    digest = noted(room)
    damage(room.ledger.root / "sidecar/source/a.json")
    digests.names.clear()
    assert source.is_unchanged(room, SHARD, digest)
    assert not source.is_unchanged(room, SHARD, "0" * 64)
    assert digests.names == ["a.bin", "a.bin"]


def test_nobody_makes_a_mark_without_the_key(room: Room, at_once: None, digests: Digests) -> None:
    """A mark for other contents, made by whoever can write into RUN but has no key of it."""
    stranger = room_at(room.root, b"s" * 32)
    before = source.standing_of(stranger, SHARD)
    source.note_standing(stranger, SHARD, "0" * 64, before)
    assert not source.is_unchanged(room, SHARD, "0" * 64)


def test_a_mark_is_of_one_digest(room: Room, at_once: None) -> None:
    noted(room)
    assert not source.is_unchanged(room, SHARD, "0" * 64)


def test_the_many_files_of_a_folder_are_digested(tmp_path: Path, at_once: None) -> None:
    names = tuple(f"{number}.bin" for number in range(source.MOST_FILES + 1))
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    assert source.standing_of(room_at(tmp_path, names=names), SHARD) is None
    assert source.standing_of(room_at(tmp_path, names=names[:-1]), SHARD) is not None


# --- in whole audits ------------------------------------------------------------------------------------------------


@pytest.fixture
def user() -> Iterator[User]:
    with at_work() as someone:
        yield someone


def test_an_audit_digests_each_source_once(user: User, at_once: None, digests: Digests) -> None:
    assert user.clean_audit().status == 0
    assert sorted(digests.names) == ["a.parquet", "b.parquet"]


def test_and_twice_where_a_file_is_new(user: User, digests: Digests) -> None:
    assert user.clean_audit().status == 0
    assert sorted(digests.names) == ["a.parquet", "a.parquet", "b.parquet", "b.parquet"]


@pytest.mark.parametrize("settled_seconds", [-3600.0, 2.0])
def test_a_file_that_changes_before_it_is_cleaned_is_not(
    user: User, monkeypatch: pytest.MonkeyPatch, settled_seconds: float
) -> None:
    monkeypatch.setattr(source, "SETTLED_SECONDS", settled_seconds)
    clean = Audit.clean

    def changed(audit: Audit, basis: str) -> None:
        path = user.place.dataset / "a.parquet"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        backdated(path, lambda path: path.write_bytes(data))
        clean(audit, basis)

    monkeypatch.setattr(Audit, "clean", changed)
    ran = user.clean_audit()
    assert ran.status == 3
    assert "a.parquet: failed in clean: source changed" in ran.err
    assert not (user.place.cleaned / "a.parquet").exists()
    assert (user.place.cleaned / "sub/b.parquet").exists()
