"""Nothing leaves without --live: every command is run under strace, with settings that name live services.

Not one socket of the internet may even be made: none to a body, none to a name server, none to this machine. That the
watch sees such sockets is shown by the one command that may make them.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from tests.bodies import SHIELD_PAIR
from tests.commanding import MEMORY, User, at_work
from tests.settling import answer_to
from tests.tools import needed
from vetset.cli import vetset
from vetset.vault import age

Words = list[object]
IDENTITY = age.new_identity()

BODIES = """[platforms.shield]
kind = "shield"
credentials_variable = "SHIELD_LOGIN"

[authorities.cybertip]
credentials_variable = "SHIELD_LOGIN"
email = "reporter@made-up.example"

[exchanges.ncmec]
kind = "ncmec"
credentials_variable = "SHIELD_LOGIN"
folder = "kept"
"""


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    """Someone with an audited, verified run, and settings that name the real bodies."""
    with at_work() as found:
        assert found.clean_audit().status == 0
        (found.root / "bodies.toml").write_text(BODIES, "utf-8")
        out = found.root / "bundle"
        done = found.vetset(
            "verify", found.place.run, "--bundle", out, "--to", age.recipient_of(IDENTITY), "--body", "b"
        )
        assert done.status == 0, done.err
        yield found


def opened(out: Path) -> list[str]:
    return age.decrypt((out / "cases.age").read_bytes(), [IDENTITY]).decode("utf-8").splitlines()


def inet_sockets(user: User, words: Words) -> tuple[int, list[str]]:
    """How a command ended under strace, and every system call of it that has to do with the internet."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        log = Path(folder) / "trace"
        watched = [needed("strace"), "-f", "--seccomp-bpf", "-qq", "-e", "trace=%network", "-o", str(log)]
        more = {"SHIELD_LOGIN": SHIELD_PAIR}
        ran = user.process(*words, before=tuple(watched), more=more, stdin=None, timeout=300)
        lines = log.read_text("latin-1").splitlines()
    assert "Traceback" not in ran.err
    return ran.status, [line for line in lines if re.search(r"\bAF_INET6?\b|\bPF_INET6?\b", line)]


def run_of(user: User) -> Path:
    return user.place.run


def settled(user: User, verb: str, *more: object) -> Words:
    return [verb, run_of(user), "--settings", user.root / "bodies.toml", *more]


def compiled(user: User) -> Words:
    source = user.root / "more.txt"
    source.write_text("md5 " + "a5" * 16 + "\n", "utf-8")
    target = user.root / "more.vsl"
    target.unlink(missing_ok=True)
    return ["lists", "compile", target, source, "--name", "more", "--version", "1"]


def another_audit(user: User) -> Words:
    lists = [word for path in user.place.lists for word in ("--lists", path)]
    number = len(list(user.root.glob("again*")))
    return ["audit", user.place.dataset, *lists, "--out", user.root / f"again{number}", "--workers", "2", "--quiet"]


def answered(user: User) -> Words:
    out = user.root / "bundle"
    pictures = [line["picture"] for line in map(json.loads, opened(out)) if "picture" in line]
    path = user.root / "answer.jsonl"
    path.write_text(answer_to(out, IDENTITY, dict.fromkeys(pictures, "csam")), "utf-8")
    return ["verify", run_of(user), "--verdicts", path]


def opened_vault(user: User) -> Words:
    out = user.root / "findings.jsonl"
    out.unlink(missing_ok=True)
    return ["vault", "open", run_of(user), "--identity", user.custodian, "--out", out]


def new_key(user: User) -> Words:
    return ["keys", "new", "--out", user.root / f"key{len(list(user.root.glob('key*')))}"]


def copied_for_closing(user: User) -> Words:
    copy = user.root / "to close"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run_of(user), copy)
    return ["close", copy]


#: Each command: its words, and the statuses that it may end with. What needs a network is refused without `--live`.
SAID: dict[str, tuple[Callable[[User], Words], set[int]]] = {
    "demo": (lambda user: ["demo", "--out", user.root / "demo"], {0}),
    "doctor": (lambda _: ["doctor"], {0}),
    "lists compile": (compiled, {0}),
    "lists show": (lambda user: ["lists", "show", user.place.lists[0]], {0}),
    "lists fetch": (
        lambda user: ["lists", "fetch", "ncmec", "--settings", user.root / "bodies.toml"],
        {1},
    ),
    "audit": (another_audit, {0}),
    "screen": (lambda user: ["screen", run_of(user), "--quiet"], {0}),
    "fetch": (lambda user: ["fetch", run_of(user), "--quiet"], {1}),
    "fingerprint": (lambda user: ["fingerprint", run_of(user), "--quiet"], {1}),
    "match": (lambda user: ["match", run_of(user), "--quiet"], {1}),
    "expand": (lambda user: ["expand", run_of(user), "--quiet"], {0}),
    "clean": (lambda user: ["clean", run_of(user), "--quiet"], {0}),
    "retry": (lambda user: ["retry", run_of(user), "--only", "failed", "--quiet"], {0}),
    "status": (lambda user: ["status", run_of(user), "--verify"], {0}),
    "vault open": (opened_vault, {0}),
    "keys new": (new_key, {0}),
    "close": (copied_for_closing, {0}),
    "verify": (lambda user: settled(user, "verify", "--platform", "shield"), {0}),
    "report": (lambda user: settled(user, "report", "--authority", "cybertip"), {0}),
}
#: Ways of commands that have several.
WAYS: dict[str, tuple[Callable[[User], Words], set[int]]] = {
    "verify --plan": (lambda user: settled(user, "verify", "--platform", "shield", "--plan"), {0}),
    "verify --plan --live": (lambda user: settled(user, "verify", "--platform", "shield", "--plan", "--live"), {1}),
    "verify --yes-send": (lambda user: settled(user, "verify", "--platform", "shield", "--yes-send", "0"), {0}),
    "verify --verdicts": (answered, {0}),
    "verify --withdrawn": (lambda user: ["verify", run_of(user), "--withdrawn", user.place.lists[0]], {0}),
    "report --plan": (lambda user: settled(user, "report", "--authority", "cybertip", "--plan"), {0}),
    "report, unconfirmed": (
        lambda user: settled(user, "report", "--authority", "cybertip", "--live", "--yes-send", "999"),
        {1},
    ),
}


def commands() -> set[str]:
    """Every command that there is, groups' own by two words."""
    found = set[str]()
    for name, command in vetset.commands.items():
        inner = command.commands if isinstance(command, click.Group) else {}
        found |= {f"{name} {sub}" for sub in inner} or {name}
    return found


def test_every_command_is_watched() -> None:
    assert set(SAID) == commands()


@pytest.mark.parametrize("name", [*SAID, *WAYS])
def test_no_socket_of_the_internet_is_made_without_live(user: User, name: str) -> None:
    prepare, statuses = (SAID | WAYS)[name]
    status, sockets = inet_sockets(user, prepare(user))
    assert status in statuses
    assert sockets == []


def test_the_watch_sees_what_is_sent(user: User) -> None:
    """With --live and the count a body is asked: here one on this machine, that nobody answers at."""
    settings = user.root / "nobody.toml"
    words: Words = ["report", run_of(user), "--settings", settings, "--authority", "cybertip"]
    settings.write_text(
        BODIES.replace("[authorities.cybertip]\n", '[authorities.cybertip]\nsandbox_url = "http://127.0.0.1:9"\n'),
        "utf-8",
    )
    assert inet_sockets(user, answered(user)) == (0, [])
    status, sockets = inet_sockets(user, [*words, "--live", "--yes-send", "2"])
    assert status == 1
    assert any("connect(" in line for line in sockets)
