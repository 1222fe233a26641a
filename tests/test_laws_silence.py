"""Nothing leaves by itself: no socket is ever made, and nothing is written but where the operator said.

An audit hook (PEP 578) in every process of the shipped command, workers too, notes what is opened for writing, moved or
made, and every event of the socket module. That no network is needed either is shown by running without one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commanding import User, at_work, files_of

#: Put on the path as `sitecustomize`, so that every interpreter of the command has it from its first line on.
HOOK = """
import os, sys

LOG = os.open(os.environ["HOOK_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
           "os.chown", "os.utime", "shutil.copyfile", "shutil.move", "os.mkfifo", "os.mknod"}
STARTS = {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork", "os.forkpty"}


def note(event, *what):
    os.write(LOG, ("\\t".join([event, *map(os.fsdecode, what)]) + "\\n").encode("utf-8", "surrogateescape"))


def hook(event, args):
    if event == "open" and not isinstance(args[0], int):
        path, mode, flags = args
        if (mode and set(mode) & set("wax+")) or (flags or 0) & WRITING:
            note("write", os.path.abspath(path))
    elif event in CHANGES:
        note("change", *(os.path.abspath(item) for item in args[:2] if isinstance(item, (str, bytes, os.PathLike))))
    elif event in STARTS:
        note("start", event)
    elif event.startswith(("socket.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.")):
        note("reach", event)


sys.addaudithook(hook)
note("begin", "worker" if "spawn_main" in " ".join(sys.orig_argv) else "command")
"""


@pytest.fixture
def user() -> Iterator[User]:
    with at_work() as someone:
        yield someone


def watched(user: User, *words: object) -> list[tuple[str, ...]]:
    """Runs a command under the hook; answers what was noted, after looking that it ended well."""
    hooks = user.root / "home" / "hooks"
    hooks.mkdir(parents=True, exist_ok=True)
    (hooks / "sitecustomize.py").write_text(HOOK, "utf-8")
    log = user.root / "home" / "hook.log"
    log.write_bytes(b"")
    temporary = user.root / "home" / "tmp"
    temporary.mkdir(exist_ok=True)
    more = {"PYTHONPATH": str(hooks), "HOOK_LOG": str(log), "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = user.process(*words, more=more, cwd=temporary)
    assert ran.status == 0, ran.err
    assert list(temporary.iterdir()) == []
    return [tuple(line.split("\t")) for line in log.read_text("utf-8").splitlines()]


def named(noted: list[tuple[str, ...]], event: str) -> list[str]:
    return [part for name, *parts in noted if name == event for part in parts]


def within(path: str, *folders: Path) -> bool:
    return any(Path(path) == folder or folder in Path(path).parents for folder in folders)


#: What the interpreter itself opens or makes, beside files: its null device.
HARMLESS = {os.devnull}


def elsewhere(user: User, noted: list[tuple[str, ...]]) -> set[str]:
    """Paths written or changed outside of RUN, DIR and the user's settings."""
    touched = {*named(noted, "write"), *named(noted, "change")} - HARMLESS
    return {path for path in touched if not within(path, user.place.run, user.place.cleaned, user.config)}


@pytest.mark.parametrize(
    "carried", [["--runner", "serial"], ["--runner", "local", "--workers", "2"]], ids=["serial", "local"]
)
def test_an_audit_makes_no_socket_and_writes_nowhere_else(user: User, carried: list[str]) -> None:
    outside = {name: data for name, data in user.files().items() if not name.startswith(("run", "cleaned"))}
    words = [
        word for word in user.audit_words("--clean", user.place.cleaned, "--json") if word not in {"--runner", "serial"}
    ]
    noted = watched(user, *words, *carried)
    begun = named(noted, "begin")
    assert "command" in begun
    assert ("worker" in begun) == ("local" in carried)
    assert named(noted, "reach") == []
    assert elsewhere(user, noted) == set()
    assert any(within(path, user.place.run) for path in named(noted, "write"))
    assert any(within(path, user.place.cleaned) for path in named(noted, "write"))
    after = {name: data for name, data in user.files().items() if not name.startswith(("run", "cleaned"))}
    assert after == outside


def test_a_serial_audit_starts_no_process(user: User) -> None:
    assert named(watched(user, *user.audit_words()), "start") == []


def test_the_other_commands_are_as_silent(user: User) -> None:
    assert user.audit().status == 0
    run = user.place.run
    for words in (
        ["status", run, "--verify"],
        ["clean", run, "--clean", user.place.cleaned],
        ["close", run],
        ["lists", "show", user.place.lists[0]],
        ["keys", "new"],
    ):
        noted = watched(user, *words)
        assert named(noted, "reach") == []
        assert elsewhere(user, noted) == set()


@pytest.mark.parametrize(
    "words", [["status", "RUN", "--verify"], ["lists", "show", "LIST"], ["--help"]], ids=lambda w: w[0]
)
def test_looking_writes_nothing(user: User, words: list[str]) -> None:
    assert user.audit().status == 0
    known = {"RUN": user.place.run, "LIST": user.place.lists[0]}
    noted = watched(user, *(known.get(word, word) for word in words))
    assert {*named(noted, "write"), *named(noted, "change")} - HARMLESS == set()


def test_the_hook_sees_what_it_is_to_see(user: User) -> None:
    """The same hook around a program that does what an audit never may."""
    program = user.root / "home" / "bad.py"
    watched(user, "--version")
    program.write_text(
        "import socket, os, subprocess\\n"
        "socket.socket().close()\\n"
        f"open({str(user.root / 'leak')!r}, 'w').close()\\n"
        f"os.rename({str(user.root / 'leak')!r}, {str(user.root / 'moved')!r})\\n"
        "subprocess.run(['true'])\\n".replace("\\n", "\n")
    )
    hooks, log = user.root / "home" / "hooks", user.root / "home" / "hook.log"
    environment = user.environment({"PYTHONPATH": str(hooks), "HOOK_LOG": str(log), "PYTHONDONTWRITEBYTECODE": "1"})
    subprocess.run([sys.executable, program], env=environment, check=True)
    noted = [tuple(line.split("\t")) for line in log.read_text("utf-8").splitlines()]
    assert "socket.__new__" in named(noted, "reach")
    assert elsewhere(user, noted) >= {str(user.root / "leak"), str(user.root / "moved")}
    assert "subprocess.Popen" in named(noted, "start")


has_no_network = shutil.which("unshare") is not None and (
    subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True).returncode == 0
)


@pytest.mark.skipif(not has_no_network, reason="a network namespace needs a privilege that is not here")
def test_an_audit_needs_no_network(user: User) -> None:
    ran = user.process(
        *user.audit_words("--clean", user.place.cleaned, "--json", "--workers", 2), before=("unshare", "--net")
    )
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["complete"] is True
    with at_work() as other:
        assert other.clean_audit().status == 0
        assert files_of(user.place.cleaned) == files_of(other.place.cleaned)
