"""Credentials: named, read when they are used, held by nothing, and repeated by no message."""

from __future__ import annotations

from pathlib import Path

import pytest

from vetset.errors import Stop
from vetset.platforms.credential import Credential

SECRET = "tester:a secret:with a colon"


def kept(folder: Path, text: bytes | str = SECRET + "\n", mode: int = 0o600) -> Credential:
    path = folder / "login"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return Credential("body", file=str(path))


def stopped(credential: Credential) -> Stop:
    with pytest.raises(Stop) as stop:
        credential.resolve()
    assert stop.value.hint
    assert "body" in stop.value.message
    assert SECRET not in stop.value.message + stop.value.hint
    return stop.value


def test_from_a_file_and_from_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept(tmp_path).resolve() == SECRET
    assert kept(tmp_path, SECRET + "\r\n").resolve() == SECRET
    monkeypatch.setenv("LOGIN", SECRET)
    assert Credential("body", variable="LOGIN").resolve() == SECRET


def test_a_pair_is_cut_at_its_first_colon(tmp_path: Path) -> None:
    assert kept(tmp_path).pair() == ("tester", "a secret:with a colon")


@pytest.mark.parametrize("text", ["tester", ":secret", "tester:", ":"])
def test_what_is_no_pair_is_refused(tmp_path: Path, text: str) -> None:
    credential = kept(tmp_path, text)
    assert credential.resolve() == text
    with pytest.raises(Stop, match="no pair") as stop:
        credential.pair()
    assert text not in (stop.value.message, stop.value.hint)


def test_it_is_read_when_it_is_used_and_not_before(tmp_path: Path) -> None:
    credential = kept(tmp_path)
    (tmp_path / "login").write_text("tester:another\n")
    assert credential.resolve() == "tester:another"
    assert "another" not in repr(credential)


@pytest.mark.parametrize("text", ["", "\n", "two\nlines", "tab\tbed", "\x00", b"\xff", "café", "esc\x1b"])
def test_what_is_no_line_of_printable_ascii_is_refused(tmp_path: Path, text: bytes | str) -> None:
    assert "no credentials" in stopped(kept(tmp_path, text)).message


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o644])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    stop = stopped(kept(tmp_path, mode=mode))
    assert "others can read" in stop.message
    assert "chmod 600" in stop.hint


def test_what_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOGIN", raising=False)
    assert "the environment variable LOGIN" in stopped(Credential("body", variable="LOGIN")).message
    assert "cannot read" in stopped(Credential("body", file=str(tmp_path / "none"))).message
    assert "cannot read" in stopped(Credential("body", file=str(tmp_path))).message


def test_it_is_named_once() -> None:
    stopped(Credential("body"))
    stopped(Credential("body", variable="LOGIN", file="login"))
