"""Runs made and found: what is refused is left as it was, and a making that was cut off can be done again."""

from __future__ import annotations

import hashlib
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.faults import Fault, FaultyDisk, Killed
from vetset.errors import Stop
from vetset.ledger import Ledger, Sink, create_run, open_run

TOML: dict[str, Any] = {"schema": 1, "dataset": "/data/ü", "inputs": [{"id": "a", "size_bytes": 3}], "strict": False}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def refused(root: Path, match: str) -> None:
    with pytest.raises(Stop, match=match) as caught:
        create_run(root, TOML)
    assert caught.value.hint


def test_a_run_is_not_made_over_a_run(tmp_path: Path) -> None:
    create_run(tmp_path / "run", TOML)
    before = contents(tmp_path)
    refused(tmp_path / "run", "holds a run already")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["precious", "results/precious", "vault/precious", ".hidden", "run.toml.bak"])
def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path: Path, name: str) -> None:
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    refused(tmp_path / "mine", "not empty, and not a run")
    assert contents(tmp_path / "mine") == {name: b"x"}


@pytest.mark.parametrize("what", ["folder", "link", "dangling link"])
def test_so_is_one_with_a_folder_or_a_link(tmp_path: Path, what: str) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    if what == "folder":
        (mine / "sub").mkdir()
    else:
        (mine / "link").symlink_to(tmp_path if what == "link" else tmp_path / "nothing")
    refused(mine, "not empty, and not a run")


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    refused(tmp_path / "file", "cannot look into")
    refused(tmp_path / "file" / "below", "cannot")


def test_a_parent_that_takes_nothing_is_a_stop(tmp_path: Path) -> None:
    refused(Path("/proc/vetset-run"), "cannot make the run")
    refused(tmp_path / ("r" * 300), "cannot make the run")


def test_an_empty_folder_and_missing_parents_will_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for root in (tmp_path / "empty", tmp_path / "a" / "b" / "c"):
        create_run(root, TOML)
        assert open_run(root)[1] == TOML
    assert stat.S_IMODE((tmp_path / "a" / "b" / "c").stat().st_mode) == 0o700


def test_a_relative_folder_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    create_run(Path("run"), TOML)
    assert open_run(Path("run"))[1] == TOML


def test_a_path_that_toml_cannot_hold_is_a_stop_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="not UTF-8"):
        create_run(tmp_path / "run", {"dataset": os.fsdecode(b"/data/\xff")})
    assert not (tmp_path / "run").exists()


def test_run_toml_comes_last_and_is_what_the_digest_is_of(tmp_path: Path) -> None:
    seen = []

    def prepare(sink: Sink) -> None:
        seen.append((sink.root / "run.toml").exists())
        sink.put("run.key", b"key", mode=0o600)

    ledger = create_run(tmp_path / "run", TOML, prepare=prepare)
    assert seen == [False]
    data = (tmp_path / "run" / "run.toml").read_bytes()
    assert tomllib.loads(data.decode()) == TOML
    assert ledger.run_digest == hashlib.sha256(data).hexdigest() == Ledger(tmp_path / "run").run_digest


@pytest.mark.parametrize("kind", ["kill", "power", "ENOSPC", "EIO"])
def test_a_making_that_is_cut_off_anywhere_can_be_done_again(tmp_path: Path, kind: str) -> None:
    def prepare(sink: Sink) -> None:
        sink.put("vault/run.age", b"sealed")
        sink.put("run.key", b"key")

    whole = FaultyDisk()
    create_run(tmp_path / "whole", TOML, whole, prepare)
    for at in range(len(whole.operations)):
        root = tmp_path / str(at)
        with pytest.raises((Killed, Stop)):
            create_run(root, TOML, FaultyDisk(fault=Fault(at, kind, torn=3)), prepare)
        if not (root / "run.toml").exists():
            create_run(root, TOML, prepare=prepare)
        assert contents(root) == contents(tmp_path / "whole")


def test_what_is_no_run_cannot_be_opened(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(Stop, match="is not a run"):
            open_run(root)
        with pytest.raises(Stop, match="is not a run"):
            _ = Ledger(root).run_digest


def test_nor_can_what_the_system_will_not_read(tmp_path: Path) -> None:
    (tmp_path / "run.toml").mkdir()
    for root in (tmp_path, tmp_path / ("r" * 300)):
        with pytest.raises(Stop, match="cannot read"):
            open_run(root)
    with pytest.raises(Stop, match="is not a run"):
        open_run(Path("/dev/null"))


@pytest.mark.parametrize("data", [b"\xff", b"a = ", b"[[[", b"a = 1\na = 2\n"])
def test_a_damaged_run_toml_is_said_to_be_so(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "run.toml").write_bytes(data)
    with pytest.raises(Stop, match=r"run\.toml is damaged"):
        open_run(tmp_path)
