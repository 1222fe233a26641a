"""The commands verify and report as their users meet them: what they refuse, what they ask at the terminal, what they say."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pytest

from tests.bodies import SHIELD_PAIR
from tests.canaries import leaks
from tests.commanding import HIT_DIGEST, HIT_URL, VETSET, User, at_work, checked, files_of
from tests.settling import answer_to
from vetset.testing.cybertip_server import PASSWORD, USER, Tipline, cybertip_server
from vetset.vault import age

IDENTITY = age.new_identity()
BODY = age.recipient_of(IDENTITY)


@pytest.fixture
def user() -> Iterator[User]:
    """Someone with an audited run of two shards with six findings."""
    with at_work() as found:
        assert found.clean_audit().status == 0
        yield found


@pytest.fixture
def tipline(user: User) -> Iterator[Tipline]:
    with ExitStack() as stack:
        books = Tipline()
        at = stack.enter_context(cybertip_server(books))
        login = {"TIPLINE_LOGIN": f"{USER}:{PASSWORD}", "SHIELD_LOGIN": SHIELD_PAIR}
        stack.enter_context(mock.patch.dict(os.environ, login))
        (user.root / "bodies.toml").write_text(
            f"""[authorities.tip]
sandbox_url = "{at.url}"
credentials_variable = "TIPLINE_LOGIN"
email = "reporter@made-up.example"
[platforms.shield]
kind = "shield"
credentials_variable = "SHIELD_LOGIN"
""",
            "utf-8",
        )
        yield books


def bundled(user: User) -> Path:
    out = user.root / "bundle"
    ran = user.vetset("verify", user.place.run, "--bundle", out, "--to", BODY, "--body", "hotline")
    assert ran.status == 0, ran.err
    return out


def confirmed(user: User) -> None:
    """By the bundle's way, as a run by columns goes."""
    out = bundled(user)
    text = age.decrypt((out / "cases.age").read_bytes(), [IDENTITY]).decode("utf-8")
    pictures = [line["picture"] for line in map(json.loads, text.splitlines()) if "picture" in line]
    path = user.root / "answer.jsonl"
    path.write_text(answer_to(out, IDENTITY, dict.fromkeys(pictures, "csam")), "utf-8")
    ran = user.vetset("verify", user.place.run, "--verdicts", path)
    assert ran.status == 0, ran.err


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "no way": (("verify",), "name one of --platform, --bundle, --verdicts and --withdrawn"),
    "two ways": (("verify", "--platform", "shield", "--bundle", "x"), "name one of"),
    "plan and live": (("verify", "--platform", "shield", "--plan", "--live"), "--plan sends nothing and --live sends"),
    "an unknown platform": (("verify", "--platform", "nobody"), "the settings know no platform nobody"),
    "a bundle to nobody": (("verify", "--bundle", "new"), "a bundle is sealed to a body's key"),
    "a bundle to no key": (("verify", "--bundle", "new", "--to", "age1x"), "is none that age knows"),
    "no verdict file": (("verify", "--verdicts", "nothing"), "cannot read nothing"),
    "an unknown authority": (("report", "--authority", "nobody"), "no authority is named nobody"),
    "no way to report": (("report",), "name one of --authority, --bundle and --receipt"),
    "a receipt of nobody": (("report", "--receipt", "0123"), "--receipt does not say of whom"),
    "a receipt for nothing": (("report", "--receipt", "0123", "--body", "b"), "no bundle 0123 was made for b"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why_and_leaves_everything_as_it_was(user: User, name: str) -> None:
    (verb, *more), words = REFUSED[name]
    ran = user.refused(verb, user.place.run, *more)
    assert words in ran.err


def test_no_run_is_said(user: User) -> None:
    ran = user.vetset("verify", user.root / "nothing", "--bundle", user.root / "x", "--to", BODY)
    assert ran.status == 1
    assert "is not a run" in ran.err


def test_a_run_at_work_is_left_alone(user: User) -> None:
    from vetset.ledger import open_run

    ledger, _ = open_run(user.place.run)
    with ledger.lock():
        ran = user.vetset("verify", user.place.run, "--bundle", user.root / "x", "--to", BODY)
    assert ran.status == 1
    assert "another vetset is at work" in ran.err


def test_a_whole_settlement_by_hand_and_by_authority_leaks_nothing(user: User, tipline: Tipline) -> None:
    """What commands say, and every file but the vault and the bundle's sealed one, holds no address and no digest."""
    confirmed(user)
    settings = ("--settings", user.root / "bodies.toml")
    said = [
        user.vetset("report", user.place.run, "--authority", "tip", *settings),
        user.vetset("report", user.place.run, "--authority", "tip", *settings, "--live", "--yes-send", "2"),
        user.vetset("status", user.place.run),
        user.vetset("clean", user.place.run, "--clean", user.root / "after", "--runner", "serial", "--quiet"),
    ]
    assert [ran.status for ran in said] == [0, 0, 0, 0], said
    urls = [url for one in tipline.finished() for url in one.urls]
    assert len(tipline.finished()) == 2  # the picture by digest, and the one by address
    assert HIT_URL in urls
    kept = [(name, data) for name, data in files_of(user.root).items() if data is not None]
    inputs = ("dataset/", "digests.", "addresses.", "run/vault/", "after/", "cleaned/")
    outside = [(name, data) for name, data in kept if not name.startswith(inputs) and not name.endswith("cases.age")]
    outputs = [(f"output {place}", (ran.out + ran.err).encode()) for place, ran in enumerate(said)]
    assert any(name.startswith("run/sidecar") for name, _ in outside)
    assert leaks([*outside, *outputs], [*urls, HIT_URL, HIT_DIGEST]) == []


def test_without_a_terminal_and_a_count_nothing_is_sent(user: User, tipline: Tipline) -> None:
    confirmed(user)
    words = ("report", user.place.run, "--authority", "tip", "--settings", user.root / "bodies.toml", "--live")
    ran = user.process(*words, stdin=subprocess.DEVNULL)
    assert ran.status == 1
    assert "the count was not confirmed" in ran.err
    assert not tipline.reports


@pytest.mark.parametrize(("typed", "status", "reports"), [("2", 0, 2), ("3", 1, 0), ("yes", 1, 0), ("", 1, 0)])
def test_the_count_is_typed_at_the_terminal(
    user: User, tipline: Tipline, typed: str, status: int, reports: int
) -> None:
    confirmed(user)
    main, side = pty.openpty()
    words = ("report", user.place.run, "--authority", "tip", "--settings", user.root / "bodies.toml", "--live")
    with subprocess.Popen(
        [VETSET, *map(str, words)], stdin=side, stdout=side, stderr=side, env=user.environment()
    ) as process:
        os.close(side)
        heard: list[bytes] = []
        thread = threading.Thread(target=_listen, args=(main, heard))
        thread.start()
        os.write(main, typed.encode() + b"\n")
        assert process.wait(60) == status
        thread.join(60)
    text = b"".join(heard).decode()
    assert "type the count (2)" in text
    assert "2 confirmed pictures; 2 of them are to be reported" in text
    assert HIT_URL not in text
    assert len(tipline.finished()) == reports


def _listen(main: int, heard: list[bytes]) -> None:
    """Everything the terminal is told, until the process is gone."""
    while True:
        try:
            data = os.read(main, 4096)
        except OSError:  # the other side is closed: EIO
            break
        if not data:
            break
        heard.append(data)
    os.close(main)


def test_a_dead_service_stops_with_words(user: User, tipline: Tipline) -> None:
    confirmed(user)
    settings = user.root / "dead.toml"
    text = (user.root / "bodies.toml").read_text("utf-8")
    settings.write_text(text.replace(text.split('"')[1], "http://127.0.0.1:9"), "utf-8")
    words = ("report", user.place.run, "--authority", "tip", "--settings", settings, "--live", "--yes-send", "2")
    ran = checked(user.vetset(*words))
    assert ran.status == 1
    assert "hint:" in ran.err
    assert not tipline.reports


def test_help_shows_the_plan_first_and_the_terms_of_sending(user: User) -> None:
    for verb in ("verify", "report"):
        ran = user.vetset(verb, "--help")
        assert "--plan" in ran.out
        assert "--yes-send" in ran.out
        assert "No picture" in ran.out or "no picture" in ran.out
