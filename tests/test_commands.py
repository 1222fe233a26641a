"""The commands as their users meet them: exit statuses, what goes to which stream, runs carried step by step, keys.

What is refused is in `test_bad_input*`; here are the commands that work.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.commanding import REMOVED_PER_SHARD, Ran, User, at_work, files_of, table
from vetset.cli import vetset as root_command
from vetset.errors import Stop
from vetset.pipeline.audit import Audit


@pytest.fixture
def user() -> Iterator[User]:
    with at_work() as someone:
        yield someone


@pytest.fixture(scope="module")
def finished() -> Iterator[User]:
    """A run that is audited, cleaned and open. Nothing may change it."""
    with at_work() as someone:
        assert someone.clean_audit().status == 0
        before = someone.files()
        yield someone
        assert someone.files() == before


def sameness(user: User) -> dict[str, Any]:
    shutil.copytree(user.config, user.place.config, dirs_exist_ok=True)
    return user.place.sameness()


# --- exit statuses ----------------------------------------------------------------------------------------------------


def test_4_is_a_hit_only_where_asked_for(user: User) -> None:
    assert user.clean_audit("--fail-on-hit").status == 4
    assert not (user.place.cleaned / "INCOMPLETE").exists()
    assert user.clean_audit("--resume").status == 0


def test_policy_and_held_rows_are_no_hits(user: User) -> None:
    user.place.lists.clear()
    user.place.list_of("nothing", {"md5": ["00" * 16]})
    (user.root / "policy.toml").write_text("[[policy.rules]]\npunsafe_above = 0.5\n")
    assert user.clean_audit("--fail-on-hit", "--policy", user.root / "policy.toml").status == 0


def test_4_beats_3(user: User) -> None:
    (user.place.dataset / "c.parquet").write_bytes(b"no Parquet")
    assert user.clean_audit("--fail-on-hit").status == 4
    assert (user.place.cleaned / "INCOMPLETE").exists()
    assert user.clean_audit("--resume").status == 3


def test_1_beats_4(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_audit: Audit, _basis: str) -> None:
        raise Stop("cannot write a.parquet: No space left on device", hint="free space")

    monkeypatch.setattr(Audit, "clean", stopped)
    assert user.clean_audit("--fail-on-hit").status == 1
    monkeypatch.undo()
    assert user.clean_audit("--fail-on-hit", "--resume").status == 4


# --- streams ----------------------------------------------------------------------------------------------------------


def audited_json(user: User, *more: object) -> Ran:
    ran = user.process(*user.audit_words("--clean", user.place.cleaned, "--json", *more))
    assert ran.status == 0, ran.err
    assert ran.out.endswith("\n")
    assert ran.out.count("\n") == 1
    assert json.loads(ran.out) == json.loads((user.place.run / "summary.json").read_bytes())
    return ran


def test_json_is_one_line_on_stdout_and_equals_the_file(user: User) -> None:
    first = audited_json(user)
    again = audited_json(user, "--resume")
    assert {**json.loads(first.out), "timing": 0} == {**json.loads(again.out), "timing": 0}


def test_retry_and_clean_print_the_same_json(user: User) -> None:
    assert user.audit().status == 0
    ran = user.vetset("clean", user.place.run, "--clean", user.place.cleaned, "--json", "--quiet")
    assert json.loads(ran.out) == json.loads((user.place.run / "summary.json").read_bytes())
    ran = user.vetset("retry", user.place.run, "--only", "failed", "--json")
    assert json.loads(ran.out) == json.loads((user.place.run / "summary.json").read_bytes())


def test_without_json_stdout_is_empty(user: User) -> None:
    ran = user.clean_audit()
    assert ran.out == ""
    assert "rows in 2 shards" in ran.err


def test_progress_in_a_pipe_is_plain_lines(user: User) -> None:
    words = [word for word in user.audit_words() if word != "--quiet"]
    ran = user.process(*words, more={"TERM": "xterm-256color", "FORCE_COLOR": "1", "COLUMNS": "200"})
    assert ran.status == 0
    told = [line for line in ran.err.splitlines() if re.match(r"(index|screen|expand(-\d+)?): 2/2 shards, ", line)]
    assert [line.split(":")[0] for line in told][:3] == ["index", "screen", "expand-1"]
    assert "\x1b" not in ran.err + ran.out
    assert "\r" not in ran.err


def test_quiet_leaves_the_result_and_no_progress(user: User) -> None:
    ran = user.audit()
    assert "shards, " not in ran.err
    assert f"summary: {user.place.run}/summary.html" in ran.err


def broken_pipe() -> int:
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["status", "RUN", "--json"],
        ["vault", "open", "RUN", "--identity", "KEY"],
        ["lists", "show", "LIST", "--json"],
    ],
    ids=lambda words: words[0],
)
def test_a_reader_that_has_seen_enough_ends_the_command_quietly(finished: User, words: list[str]) -> None:
    known = {"RUN": finished.place.run, "KEY": finished.custodian, "LIST": finished.place.lists[0]}
    writing = broken_pipe()
    named = [known.get(word, word) for word in words]
    ran = finished.process(*named, stdout=writing, stderr=subprocess.PIPE, capture_output=False)
    os.close(writing)
    assert ran.err == ""
    assert ran.status == 1


def test_a_broken_stderr_changes_nothing_of_a_run(user: User) -> None:
    writing = broken_pipe()
    words = [word for word in user.audit_words("--clean", user.place.cleaned) if word != "--quiet"]
    ran = user.process(*words, "--json", stdout=subprocess.PIPE, stderr=writing, capture_output=False)
    os.close(writing)
    assert ran.status == 0
    assert json.loads(ran.out)["complete"] is True
    assert not (user.place.cleaned / "INCOMPLETE").exists()


def test_streams_that_are_closed_change_nothing_of_a_run(user: User) -> None:
    before = ("sh", "-c", 'exec "$@" >&- 2>&-', "sh")
    ran = user.process(*user.audit_words("--json"), before=before)
    assert ran == Ran(0, "", "")


# --- step by step -----------------------------------------------------------------------------------------------------


def begun(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was interrupted before its first row was read."""

    def struck(_: Audit) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Audit, "screen", struck)
    assert user.clean_audit().status == 130
    monkeypatch.undo()


def test_one_verb_at_a_time_gives_the_same_as_audit(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(user, monkeypatch)
    for verb, steps in (("screen", ["index", "screen"]), ("expand", ["expand", "index", "screen"])):
        ran = user.vetset(verb, user.place.run, "--quiet")
        assert ran.status == 0, ran.err
        assert f"{verb}ed; go on with" in ran.err
        folders = {path.name.split("-")[0] for path in (user.place.run / "manifests").iterdir() if path.is_dir()}
        assert sorted(folders) == steps
        assert not user.place.cleaned.exists()
    assert user.vetset("clean", user.place.run, "--quiet").status == 0
    with at_work() as other:
        assert other.clean_audit().status == 0
        assert sameness(user) == sameness(other)


def test_clean_afterwards_gives_the_same_as_clean_at_once(user: User, finished: User) -> None:
    assert user.audit().status == 0
    assert user.vetset("clean", user.place.run, "--clean", user.place.cleaned, "--quiet").status == 0
    assert files_of(user.place.cleaned) == files_of(finished.place.cleaned)
    rows = {path.name: pq.read_table(path).num_rows for path in user.place.cleaned.rglob("*.parquet")}
    assert rows == {name: len(table(0)) - REMOVED_PER_SHARD for name in ("a.parquet", "b.parquet")}


def test_one_file_may_be_audited_where_it_lies(user: User) -> None:
    lists = [word for path in user.place.lists for word in ("--lists", path)]
    folder = user.place.dataset
    words = ["audit", folder / "a.parquet", *lists, "--out", folder / "run", "--clean", folder / "cleaned"]
    assert user.vetset(*words, "--runner", "serial").status == 0
    assert [path.name for path in (folder / "cleaned").iterdir()] == ["a.parquet"]
    assert pq.read_table(folder / "a.parquet").equals(table(0))


def test_python_m_vetset_is_the_same_command_with_workers_too(user: User) -> None:
    words = [
        word for word in user.audit_words("--clean", user.place.cleaned, "--json") if word not in {"--runner", "serial"}
    ]
    command = [sys.executable, "-m", "vetset", *map(str, words), "--workers", "2"]
    done = subprocess.run(command, env=user.environment(), capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["complete"] is True
    with at_work() as other:
        assert other.clean_audit().status == 0
        assert files_of(user.place.cleaned) == files_of(other.place.cleaned)


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_tells_how_far_a_run_is(finished: User) -> None:
    ran = finished.vetset("status", finished.place.run, "--verify")
    lines = ran.err.splitlines()
    assert lines[:4] == [f"{step:8} 2 of 2 shards" for step in ("index", "screen", "expand", "clean")]
    assert lines[4].startswith("open: the run's key lies in ")
    assert f"`vetset close {finished.place.run}`" in lines[4]
    assert ran.out == ""


def test_status_as_json_is_one_line(finished: User) -> None:
    ran = finished.vetset("status", finished.place.run, "--json")
    state = json.loads(ran.out)
    assert ran.out.count("\n") == 1
    assert ran.err == ""
    assert state["done"] == dict.fromkeys(("index", "screen", "expand", "clean"), 2)
    assert (state["open"], state["failed"], state["problems"]) == (True, {}, [])


def test_status_verify_finds_what_was_changed(user: User) -> None:
    assert user.clean_audit().status == 0
    changed = user.place.cleaned / "a.parquet"
    changed.write_bytes(changed.read_bytes()[:-1] + b"2")
    assert user.vetset("status", user.place.run).status == 0
    ran = user.vetset("status", user.place.run, "--verify")
    assert ran.status == 1
    assert "problem: manifests/clean/a.parquet.json: its product a.parquet is missing or changed" in ran.err


def test_status_of_a_run_that_was_only_begun(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(user, monkeypatch)
    ran = user.vetset("status", user.place.run, "--verify")
    assert ran.status == 0
    assert "screen   0 of 2 shards" in ran.err


# --- help -------------------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, ...]]:
    for name, command in root_command.commands.items():
        yield (name,)
        yield from ((name, below) for below in getattr(command, "commands", {}))


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_help_names_every_option(finished: User, words: tuple[str, ...]) -> None:
    short, long = finished.vetset(*words, "-h"), finished.vetset(*words, "--help")
    assert short == long
    assert (short.status, short.err) == (0, "")
    command: Any = root_command
    for word in words:
        command = command.commands[word]
    for parameter in command.params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            assert option in short.out or option.isidentifier()
    assert short.out.startswith(f"Usage: vetset {' '.join(words)}")


@pytest.mark.parametrize(
    "words",
    [("audit",), ("retry",), ("vault", "open"), ("lists", "compile"), ("lists", "fetch"), ("lists", "show")],
    ids=" ".join,
)
def test_help_of_the_longer_commands_has_an_example(finished: User, words: tuple[str, ...]) -> None:
    out = finished.vetset(*words, "-h").out
    assert "Example" in out
    assert f"  vetset {' '.join(words)} " in out


def test_help_says_the_exit_statuses(finished: User) -> None:
    out = finished.vetset("-h").out
    assert "0 done, 1 stopped with a message, 2 usage, 3 incomplete, 4 a hit (with --fail-on-hit)" in out


def test_the_version_is_told(finished: User) -> None:
    assert re.fullmatch(r"vetset, version \d+\.\d+\.\d+\n", finished.vetset("--version").out)
