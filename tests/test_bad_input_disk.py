"""Disks that are full, read-only or gone: the command stops with 1 and words, and once there is room it goes on.

Each disk is a small memory file system in a mount namespace of its own, which ends with its commands.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.commanding import VETSET, Ran, User, at_work, checked, files_of

_MOUNTS = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
can_mount = (
    shutil.which("unshare") is not None and subprocess.run(_MOUNTS, check=False, capture_output=True).returncode == 0
)
needs_mounts = pytest.mark.skipif(not can_mount, reason="mounts need a privilege that is not here")
FULL = "No space left on device"


@pytest.fixture
def user() -> Iterator[User]:
    with at_work() as someone:
        yield someone


@dataclass
class Session:
    """Shell lines that run one after the other in a mount namespace; each `vetset` notes how it ended."""

    user: User

    def run(self, *lines: str) -> list[Ran]:
        notes = self.user.root / "home" / "notes"
        notes.mkdir(parents=True, exist_ok=True)
        script = "\n".join([*_SETUP, *lines])
        done = subprocess.run(
            ["unshare", "--mount", "bash", "-c", script],
            env=self.user.environment({"NOTES": str(notes), "VETSET": str(VETSET)}),
            cwd=self.user.root,
            capture_output=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        count = len(list(notes.glob("*.status")))
        return [noted(notes, number) for number in range(1, count + 1)]


_SETUP = (
    "set -eu",
    "at=0",
    """vetset() {
    at=$((at+1)); status=0
    "$VETSET" "$@" >"$NOTES/$at.out" 2>"$NOTES/$at.err" || status=$?
    echo $status >"$NOTES/$at.status"
    }""",
)


def noted(notes: Path, number: int) -> Ran:
    texts = [(notes / f"{number}.{end}").read_text("utf-8") for end in ("status", "out", "err")]
    return checked(Ran(int(texts[0]), texts[1], texts[2]))


def typed(user: User, *more: object) -> str:
    return shlex.join(["vetset", *map(str, user.audit_words("--clean", user.place.cleaned, *more))])


def sameness(user: User) -> dict[str, Any]:
    shutil.copytree(user.config, user.place.config, dirs_exist_ok=True)
    return user.place.sameness()


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    with at_work() as someone:
        assert someone.clean_audit().status == 0
        return sameness(someone)


@needs_mounts
@pytest.mark.parametrize(("folder", "size"), [("run", "8k"), ("run", "100k"), ("run", "500k"), ("cleaned", "8k")])
def test_a_full_disk_stops_and_once_larger_goes_on_to_the_same(
    user: User, undisturbed: dict[str, Any], folder: str, size: str
) -> None:
    sources = user.sources()
    (user.root / folder).mkdir()
    runs = Session(user).run(
        f"mount -t tmpfs -o size={size} tmpfs {folder}",
        typed(user),
        f"mount -o remount,size=64m {folder}",
        typed(user, "--resume"),
        f"cp -a {folder} kept",
    )
    full, resumed = runs
    assert full.status == 1
    assert FULL in full.err
    assert "hint: " in full.err
    assert resumed.status == 0, resumed.err
    (user.root / folder).rmdir()
    (user.root / "kept").rename(user.root / folder)
    assert user.sources() == sources
    assert sameness(user) == undisturbed


@needs_mounts
def test_a_read_only_run_is_refused_and_nothing_is_left(user: User) -> None:
    (ran,) = Session(user).run(
        "mkdir outer", "mount --bind -o ro outer outer", typed(user).replace("/run ", "/outer/run ")
    )
    assert ran.status == 1
    assert "Read-only file system" in ran.err
    assert "hint: name a folder as --out that can be written" in ran.err
    assert files_of(user.root / "outer") == {}
    assert not user.place.cleaned.exists()
    assert user.clean_audit().status == 0


@needs_mounts
def test_a_read_only_cleaned_dataset_stops_and_once_writable_goes_on(user: User, undisturbed: dict[str, Any]) -> None:
    user.place.cleaned.mkdir()
    stopped, resumed = Session(user).run(
        "mount --bind -o ro cleaned cleaned", typed(user), "umount cleaned", typed(user, "--resume")
    )
    assert stopped.status == 1
    assert "Read-only file system" in stopped.err
    assert "--resume" in stopped.err
    assert resumed.status == 0, resumed.err
    assert sameness(user) == undisturbed


@needs_mounts
def test_a_run_that_turned_read_only_is_told_and_still_shows_its_status(user: User) -> None:
    assert user.clean_audit().status == 0
    before = files_of(user.place.run)
    refused, status, opened = Session(user).run(
        "mount --bind -o ro run run",
        typed(user, "--resume"),
        f"vetset status {user.place.run} --verify",
        f"vetset vault open {user.place.run} --identity {user.custodian} --out {user.root}/home/findings.jsonl",
    )
    assert refused.status == 1
    assert "hint: " in refused.err
    assert status.status == 0, status.err
    assert opened.status == 0, opened.err
    assert files_of(user.place.run) == before


@needs_mounts
def test_read_only_settings_are_told_before_anything_is_made(user: User) -> None:
    (ran,) = Session(user).run("mkdir -p home/vetset", "mount --bind -o ro home/vetset home/vetset", typed(user))
    assert ran.status == 1
    assert "Read-only file system" in ran.err
    assert "hint: " in ran.err
    assert not user.place.run.exists()


@needs_mounts
def test_a_full_disk_leaves_no_half_list_and_no_half_findings(user: User) -> None:
    """Each writes whole or not at all; the same command works once there is room."""
    assert user.clean_audit().status == 0
    to = f"--identity {user.custodian} --out small/findings.jsonl"
    compiling = "vetset lists compile small/new.vsl digests.txt --name n --version 1"
    lines = [
        "mkdir small",
        "mount -t tmpfs -o size=4k tmpfs small",
        "head -c 4096 /dev/zero > small/filler",
        f"vetset vault open {user.place.run} {to}",
        compiling,
        "vetset keys new --out small/new.key",
        'test "$(ls -A small)" = filler',
        "mount -o remount,size=1m small",
        f"vetset vault open {user.place.run} {to}",
        compiling,
        "vetset keys new --out small/new.key",
        "test \"$(stat -c %a small/findings.jsonl small/new.key | tr '\\n' ' ')\" = '600 600 '",
    ]
    runs = Session(user).run(*lines)
    assert [ran.status for ran in runs] == [1, 1, 1, 0, 0, 0]
    assert all(FULL in ran.err and "hint: " in ran.err for ran in runs[:3])


def test_a_full_stdout_is_told(user: User) -> None:
    assert user.clean_audit().status == 0
    for words in (
        ["status", user.place.run, "--json"],
        ["vault", "open", user.place.run, "--identity", user.custodian],
    ):
        with Path("/dev/full").open("wb") as full:
            ran = user.process(*words, stdout=full, capture_output=False, stderr=subprocess.PIPE)
        assert ran.status == 1
        assert f"vetset: cannot write to stdout: {FULL}" in ran.err
        assert "hint: " in ran.err
