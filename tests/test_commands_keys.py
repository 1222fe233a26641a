"""Keys and findings as their users meet them: `keys new`, `vault open`, `close`, `--recipient`, `--strict`."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commanding import HIT_DIGEST, HIT_URL, VETSET, User, at_work, changes, files_of


@pytest.fixture
def user() -> Iterator[User]:
    with at_work() as someone:
        yield someone


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def new_key(user: User, name: str) -> str:
    """Makes an identity file; answers its recipient as the command printed it."""
    ran = user.vetset("keys", "new", "--out", user.root / name)
    assert ran.status == 0
    return ran.out.strip()


def opened(user: User, *words: object) -> list[dict[str, Any]]:
    """The findings as `vault open` gives them to a pipe. Not through `User.process`, since they are no secret here."""
    done = subprocess.run(
        [VETSET, *map(str, ["vault", "open", user.place.run, *words])],
        env=user.environment(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


# --- keys new ---------------------------------------------------------------------------------------------------------


def test_a_new_key_is_the_owners_alone_and_its_recipient_is_printed(user: User) -> None:
    ran = user.vetset("keys", "new", "--out", user.root / "folder" / "mine.key")
    assert re.fullmatch(r"age1[0-9a-z]{58}\n", ran.out)
    path = user.root / "folder" / "mine.key"
    assert mode_of(path) == 0o600
    lines = path.read_text("ascii").splitlines()
    assert lines[1] == f"# public key: {ran.out.strip()}"
    assert lines[2].startswith("AGE-SECRET-KEY-1")
    assert lines[2] not in ran.out + ran.err
    assert [path.name for path in (user.root / "folder").iterdir()] == ["mine.key"]


def test_the_custodians_own_key_is_made_once(user: User) -> None:
    first, second = user.vetset("keys", "new"), user.vetset("keys", "new")
    assert first == second
    assert mode_of(user.custodian) == 0o600
    assert mode_of(user.config) == 0o700


def test_two_keys_differ(user: User) -> None:
    assert new_key(user, "one.key") != new_key(user, "two.key")


# --- who can open -----------------------------------------------------------------------------------------------------


def test_each_of_two_recipients_opens_alone(user: User) -> None:
    names = ["one.key", "two.key"]
    to = [word for name in names for word in ("--recipient", new_key(user, name))]
    assert user.audit(*to).status == 0
    assert not user.custodian.exists()
    assert user.vetset("close", user.place.run).status == 0
    one, two = (opened(user, "--identity", user.root / name) for name in names)
    assert one == two
    assert {line["url"] for line in one} >= {HIT_URL}
    new_key(user, "three.key")
    refused = user.refused("vault", "open", user.place.run, "--identity", user.root / "three.key")
    assert "no key given opens this run's findings" in refused.err


def test_a_run_says_when_its_key_lies_on_the_same_machine(user: User) -> None:
    theirs = new_key(user, "theirs.key")
    alone = user.audit("--json", "--recipient", theirs)
    assert "key on this machine" not in alone.err
    assert json.loads(alone.out)["sealing"] == {"recipients": 1, "key_on_this_machine": False}
    own = user.vetset("keys", "new").out.strip()
    words = [word if word != user.place.run else user.root / "run2" for word in user.audit_words("--json")]
    for run in (user.vetset(*words), user.vetset(*words, "--resume", "--recipient", own)):
        assert f"findings are sealed to your own key {user.custodian}" in run.err
        assert json.loads(run.out)["sealing"] == {"recipients": 1, "key_on_this_machine": True}


def test_findings_are_lines_of_json_with_what_a_custodian_needs(user: User) -> None:
    assert user.audit().status == 0
    lines = opened(user, "--identity", user.custodian)
    assert len(lines) == 6
    assert {line["outcome"] for line in lines} == {"hit"}
    assert len({line["case"] for line in lines}) == 6
    by_url = [line for line in lines if line["url"] == HIT_URL]
    assert sorted(line["shard"] for line in by_url) == ["a.parquet", "sub/b.parquet"]
    assert {match["list"] for line in by_url for match in line["matches"]} == {"addresses"}
    assert {line["digests"]["md5"] for line in lines if line["url"] != HIT_URL} == {HIT_DIGEST}


# --- where findings go ------------------------------------------------------------------------------------------------


def test_findings_go_into_a_new_file_of_the_owner_alone(user: User) -> None:
    assert user.audit().status == 0
    out = user.root / "findings.jsonl"
    ran = user.vetset("vault", "open", user.place.run, "--identity", user.custodian, "--out", out)
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert mode_of(out) == 0o600
    assert [json.loads(line) for line in out.read_text("utf-8").splitlines()] == opened(
        user, "--identity", user.custodian
    )


def test_findings_are_not_shown_on_a_terminal(user: User) -> None:
    assert user.audit().status == 0
    command = [VETSET, "vault", "open", user.place.run, "--identity", user.custodian]
    shown = on_a_terminal(user, *map(str, command))
    assert "findings are not shown on a terminal" in shown
    assert HIT_URL not in shown
    assert HIT_URL in on_a_terminal(user, *map(str, command), "--i-am-alone")


def on_a_terminal(user: User, *command: str) -> str:
    """What a command shows on a terminal of its own."""
    near, far = os.openpty()
    running = subprocess.Popen(command, env=user.environment(), stdout=far, stderr=far, stdin=far)
    os.close(far)
    shown = b""
    while piece := read_or_end(near):
        shown += piece
    os.close(near)
    running.wait()
    return shown.decode()


def read_or_end(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # a terminal whose other end is closed says EIO
        return b""


def test_a_key_that_does_not_fit_leaves_no_empty_file(user: User) -> None:
    assert user.audit().status == 0
    assert user.vetset("close", user.place.run).status == 0
    new_key(user, "other.key")
    out = user.root / "findings.jsonl"
    user.refused("vault", "open", user.place.run, "--identity", user.root / "other.key", "--out", out)
    assert not out.exists()


# --- close ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def closed(user: User) -> User:
    assert user.audit().status == 0
    ran = user.vetset("close", user.place.run)
    assert ran.status == 0
    assert ran.err.startswith(f"closed {user.place.run}: ")
    return user


def test_close_destroys_the_key_and_the_keyed_hashes_and_nothing_else(user: User) -> None:
    assert user.audit().status == 0
    before = user.files()
    assert user.vetset("close", user.place.run).status == 0
    gone = changes(before, user.files())
    assert "run/run.key" in gone
    assert {name.split("/")[1] for name in gone} == {"run.key", "joins"}
    secret = before["run/run.key"] or b""
    identity = secret.splitlines()[-1]
    assert not any(identity in (data or b"") for data in files_of(user.root).values())


def test_close_twice_is_close_once(closed: User) -> None:
    before = closed.files()
    assert closed.vetset("close", closed.place.run).status == 0
    assert closed.files() == before


def test_status_of_a_closed_run(closed: User) -> None:
    assert "closed, or its key was never on disk" in closed.vetset("status", closed.place.run, "--verify").err
    assert json.loads(closed.vetset("status", closed.place.run, "--json").out)["open"] is False


@pytest.mark.parametrize("verb", [["screen"], ["expand"], ["retry", "--only", "failed"]], ids=lambda words: words[0])
def test_a_closed_run_is_searched_no_further(closed: User, verb: list[str]) -> None:
    refused = closed.refused(verb[0], closed.place.run, *verb[1:])
    assert "is closed" in refused.err
    assert "--identity" in refused.err


@pytest.mark.parametrize("where", ["here", "on another machine"])
def test_a_closed_run_is_cleaned_with_an_identity_to_the_same(closed: User, where: str) -> None:
    """On another machine the custodian's key lies in no settings folder, and none is made."""
    kept = closed.root / "kept.key"
    shutil.copy(closed.custodian, kept)
    if where != "here":
        shutil.rmtree(closed.config)
        without = closed.refused("clean", closed.place.run, "--clean", closed.place.cleaned)
        assert "--identity" in without.err
    words = ["clean", closed.place.run, "--clean", closed.place.cleaned, "--quiet"]
    ran = closed.vetset(*words, "--identity", kept)
    assert ran.status == 0, ran.err
    assert closed.custodian.exists() == (where == "here")
    with at_work() as other:
        assert other.clean_audit().status == 0
        assert files_of(closed.place.cleaned) == files_of(other.place.cleaned)
    assert not (closed.place.run / "run.key").exists()
    assert len(opened(closed, "--identity", kept)) == 6


def test_a_strict_run_keeps_no_key_and_its_findings_open_with_the_custodians(user: User) -> None:
    assert user.clean_audit("--strict").status == 0
    assert not (user.place.run / "run.key").exists()
    assert len(opened(user, "--identity", user.custodian)) == 6
    assert user.vetset("close", user.place.run).status == 0
    assert not (user.place.run / "joins").exists()


# --- lists and their keys ---------------------------------------------------------------------------------------------


def sealed_list(user: User, *more: object) -> Path:
    out = user.root / "own.vsl"
    words = ["lists", "compile", out, user.root / "digests.txt", "--name", "own", "--version", 3]
    assert user.vetset(*words, *more).status == 0
    return out


@pytest.mark.parametrize("to", ["the user's own key", "another's"])
def test_a_sealed_list_is_compiled_shown_and_compared_with(user: User, to: str) -> None:
    recipient = new_key(user, "theirs.key")
    theirs = to == "another's"
    path = sealed_list(user, *(["--recipient", recipient] if theirs else []))
    named = ["--identity", user.root / "theirs.key"] if theirs else []
    shown = json.loads(user.vetset("lists", "show", path, "--json", *named).out)
    assert (shown["name"], shown["version"], shown["counts"]) == ("own", 3, {"md5": 1})
    words = ["audit", user.place.dataset, "--lists", path, "--out", user.place.run, "--runner", "serial", *named]
    assert user.vetset(*words).status == 0
    assert len(opened(user, "--identity", user.custodian)) == 4
    assert user.vetset("screen", user.place.run, *named).status == 0


def test_no_file_of_the_run_or_the_settings_can_be_read_by_others(user: User) -> None:
    """Findings, keys and what was seen of lists: whoever else is on the machine enters no folder that holds them."""
    assert user.clean_audit().status == 0
    own: Callable[[Path], bool] = lambda path: not mode_of(path) & 0o077  # noqa: E731
    assert own(user.place.run)
    assert own(user.config)
    assert own(user.place.run / "run.key")
    assert own(user.custodian)
