"""Runs at the wrong moment: another vetset at work, interrupted, strict and gone, lists that went out of date, usage."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.commanding import HIT_DIGEST, User, at_work, files_of, table
from vetset.pipeline.audit import Audit

VERBS = ("screen", "expand", "clean", "retry", "close")


@pytest.fixture
def user() -> Iterator[User]:
    with at_work() as someone:
        yield someone


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C once everything is screened."""

    def struck(_: Audit) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Audit, "expand", struck)


@contextmanager
def someone_at_work(run: Path) -> Iterator[None]:
    with (run / ".lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def words_of(user: User, verb: str) -> list[object]:
    more: dict[str, list[object]] = {"clean": ["--clean", user.place.cleaned], "retry": ["--only", "failed"]}
    return [verb, user.place.run, *more.get(verb, [])]


# --- one at a time ----------------------------------------------------------------------------------------------------


def test_two_at_work_on_one_run_do_not_meet(user: User) -> None:
    assert user.audit().status == 0
    with someone_at_work(user.place.run):
        for words in (user.audit_words("--resume"), *(words_of(user, verb) for verb in VERBS)):
            refused = user.refused(*words)
            assert f"another vetset is at work in {user.place.run}" in refused.err
            assert "hint: wait for it to end, or stop it" in refused.err
        assert user.vetset("status", user.place.run).status == 0
    assert user.clean_audit("--resume").status == 0


def test_the_lock_goes_with_the_process(user: User) -> None:
    assert user.audit().status == 0
    holding = subprocess.Popen(
        ["flock", user.place.run / ".lock", "sleep", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while user.audit("--resume").status == 0:
        assert holding.poll() is None, "flock(1) ended by itself"
    subprocess.run(["kill", "-KILL", *children_of(holding.pid), str(holding.pid)], check=True)
    holding.wait()
    assert user.audit("--resume").status == 0


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()


# --- interrupted ------------------------------------------------------------------------------------------------------


def test_an_interrupted_run_says_how_to_go_on(user: User, interrupted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = user.clean_audit()
    assert ran.status == 130
    assert ran.err.splitlines()[-1].startswith("vetset: interrupted")
    assert "--resume" in ran.err
    assert not user.place.cleaned.exists()
    monkeypatch.undo()
    assert user.clean_audit("--resume").status == 0


def test_an_interrupted_strict_run_is_over(user: User, interrupted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = user.clean_audit("--strict")
    assert ran.status == 130
    assert not (user.place.run / "run.key").exists()
    assert "AGE-SECRET-KEY" not in "".join(str(data) for data in files_of(user.place.run).values())
    monkeypatch.undo()
    refused = user.refused(*user.audit_words("--clean", user.place.cleaned, "--strict", "--resume"))
    assert "kept its key in memory only (--strict)" in refused.err
    assert "audit anew into another --out" in refused.err
    shutil.rmtree(user.place.run)
    assert user.clean_audit("--strict").status == 0


def test_a_strict_run_without_a_custodians_key_does_not_open(user: User) -> None:
    recipient = user.vetset("keys", "new", "--out", user.root / "theirs.key").out.strip()
    assert user.audit("--strict", "--recipient", recipient).status == 0
    refused = user.refused(*words_of(user, "clean"))
    assert "hint: name the custodian's identity file with --identity FILE" in refused.err
    assert user.vetset(*words_of(user, "clean"), "--identity", user.root / "theirs.key").status == 0
    assert len(pq.read_table(user.place.cleaned / "a.parquet")) == len(table(0)) - 3


# --- lists in the course of time --------------------------------------------------------------------------------------


def test_a_newer_list_is_another_run_and_the_older_one_is_then_refused(user: User) -> None:
    assert user.audit().status == 0
    older = user.place.lists.pop(0)
    (user.root / "newer").mkdir()
    newer = type(user.place)(user.root / "newer").list_of("digests", {"md5": [HIT_DIGEST, "00" * 16]}, version=2)
    refused = user.refused(*user.audit_words("--resume", "--lists", newer))
    assert "this run was made with other lists" in refused.err
    words = ["audit", user.place.dataset, "--lists", newer, "--out", user.root / "run2", "--runner", "serial"]
    assert user.vetset(*words).status == 0
    refused = user.refused(*user.audit_words("--resume", "--lists", older))
    assert "the list digests version 1 is rolled back: version 2 was seen before" in refused.err


def test_a_list_that_expires_between_search_and_clean_does_not_hold_up_removal(user: User) -> None:
    """Removal does not wait: what was found while the list was in force is removed by `clean` at any time."""
    path = user.place.list_of("short", {"md5": ["00" * 16]}, expires=datetime.now(UTC).date())
    assert user.audit().status == 0
    expired = user.place.list_of("gone", {"md5": ["00" * 16]}, expires=date(2020, 1, 1))
    user.place.lists.remove(expired)
    expired.replace(path)
    refused = user.refused(*user.audit_words("--resume"))
    assert "expired after 2020-01-01" in refused.err
    assert user.vetset(*words_of(user, "clean")).status == 0
    assert sorted(path.name for path in user.place.cleaned.rglob("*.parquet")) == ["a.parquet", "b.parquet"]


def test_bad_lines_of_a_list_are_counted_and_the_rest_serves(user: User) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    (user.root / "c3p.txt").write_text(
        f"# bad lines and one good\nmd5 xyz\nsha9 00\n\nmd5 {HIT_DIGEST[:-1]}\nmd5 {HIT_DIGEST}\n"
    )
    words = ["lists", "compile", user.root / "c3p.vsl", user.root / "c3p.txt", "--name", "c3p", "--version", 1]
    ran = user.vetset(*words, "--expires", tomorrow)
    assert ran.status == 0
    told = [line.strip().removeprefix(f"{user.root}/") for line in ran.err.splitlines()]
    faults = ["1 not_hex (line 2)", "1 wrong_length (line 5)", "1 unknown_signal (line 3)"]
    assert told[:5] == ["c3p.txt: 1 values taken", *faults, "compiled c3p version 1: 1 md5"]
    audit = [
        "audit",
        user.place.dataset,
        "--lists",
        user.root / "c3p.vsl",
        "--out",
        user.place.run,
        "--runner",
        "serial",
    ]
    ran = user.vetset(*audit, "--json")
    assert ran.status == 0
    assert json.loads(ran.out.splitlines()[-1])["complete"] is True


# --- usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["audit"],
        ["audit", "DATASET"],
        ["audit", "DATASET", "--lists", "l.vsl"],
        ["audit", "DATASET", "--out", "run"],
        ["audit", "DATASET", "--lists", "l.vsl", "--out", "run", "--reach", "everything"],
        ["audit", "DATASET", "--lists", "l.vsl", "--out", "run", "--runner", "ray"],
        ["audit", "DATASET", "--lists", "l.vsl", "--out", "run", "--workers", "-1"],
        ["audit", "DATASET", "--lists", "l.vsl", "--out", "run", "--spread-limit", "many"],
        ["audit", "DATASET", "--lists", "l.vsl", "--out", "run", "--live"],
        ["audit", "ONE", "TWO", "--lists", "l.vsl", "--out", "run"],
        ["demo", "--rows", "7"],
        ["screen"],
        ["expand", "run", "--clean", "dir"],
        ["clean"],
        ["retry"],
        ["status"],
        ["status", "run", "--lists", "l.vsl"],
        ["close"],
        ["vault", "open"],
        ["vault", "open", "run"],
        ["vault", "close", "run"],
        ["keys", "old"],
        ["lists", "compile", "l.vsl"],
        ["lists", "fetch", "c3p"],
        ["fetch"],
        ["--quiet"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_touches_nothing(user: User, words: list[str]) -> None:
    before = user.files()
    ran = user.vetset(*words)
    assert ran.status == 2, ran
    assert ran.err.startswith("Usage: vetset")
    assert "Error: " in ran.err
    assert not ran.out
    assert user.files() == before
    assert not user.config.exists()
