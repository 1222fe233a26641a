"""Custody: identity files and recipients. What is wrong is named by place and never repeated; what is there stays."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools import needed
from vetset.errors import Stop
from vetset.vault import age, check_recipients, custodian, new_identity, read_identities


def refused(paths: list[Path], match: str) -> str:
    with pytest.raises(Stop, match=match) as caught:
        read_identities(paths)
    assert caught.value.hint
    return caught.value.message + caught.value.hint


# --- recipients ----------------------------------------------------------------------------------------------------


@given(text=st.text(max_size=80))
def test_what_is_no_recipient_is_named_by_position_and_hardly_shown(text: str) -> None:
    good = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa"
    with pytest.raises(Stop, match=r"^recipient 2 \(") as caught:
        check_recipients([good, text, good])
    shown = caught.value.message.split("(", 1)[1].rsplit(")", 1)[0].rstrip("…")
    assert len(shown) <= 12
    assert shown.isascii()
    assert shown.isprintable()


def test_a_secret_given_as_a_recipient_is_not_repeated() -> None:
    identity = age.new_identity()
    with pytest.raises(Stop, match="recipient 1") as caught:
        check_recipients([identity])
    said = caught.value.message + caught.value.hint
    assert identity[12:24] not in said
    assert "secret" in caught.value.hint


def test_a_recipient_with_one_letter_changed_is_refused() -> None:
    good = age.recipient_of(age.new_identity())
    for place in range(len(good)):
        changed = good[:place] + ("q" if good[place] != "q" else "p") + good[place + 1 :]
        with pytest.raises(Stop):
            check_recipients([changed])


def test_recipients_come_back_once_and_in_order() -> None:
    one, other = (age.recipient_of(age.new_identity()) for _ in range(2))
    assert check_recipients([one, other, one]) == (one, other)
    assert check_recipients([]) == ()


def test_what_can_be_checked_can_be_sealed_to() -> None:
    identity = age.new_identity()
    (checked,) = check_recipients([age.recipient_of(identity)])
    assert age.decrypt(age.encrypt(b"x", [checked]), [identity]) == b"x"


# --- the edge to the library ---------------------------------------------------------------------------------------


def test_errors_of_the_edge_say_nothing() -> None:
    for act in (lambda: age.recipient_of("AGE-SECRET-KEY-1MINE"), lambda: age.encrypt(b"x", ["age1mine"])):
        with pytest.raises(age.NotAKey) as caught:
            act()
        assert str(caught.value) == ""
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_key_that_does_not_fit_is_told_from_damage() -> None:
    identity = age.new_identity()
    sealed = age.encrypt(b"x" * 100, [age.recipient_of(identity)])
    with pytest.raises(age.NoIdentityFits):
        age.decrypt(sealed, [age.new_identity()])
    with pytest.raises(age.NoIdentityFits):
        age.decrypt(sealed, [])
    for damaged in (b"", sealed[:50], sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1]), b"x" + sealed):
        with pytest.raises(age.Damaged):
            age.decrypt(damaged, [identity])


# --- identity files ------------------------------------------------------------------------------------------------


def test_identity_files_are_read_with_comments_blanks_and_several_keys(tmp_path: Path) -> None:
    one, two, three = (age.new_identity() for _ in range(3))
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(f"# ü\r\n\r\n{one}\r\n  {two}  \n# end".encode())
    second.write_text(f"{two}\n{three}", "ascii")
    assert read_identities([first, second]) == [one, two, three]
    assert read_identities([]) == []


@pytest.mark.parametrize(
    "line", ["AGE-SECRET-KEY-1MINE", "age1mine", "AGE-PLUGIN-YUBIKEY-1MINE", "-----BEGIN MINE", "ü"]
)
def test_a_line_that_is_no_identity_is_named_by_number_and_not_repeated(tmp_path: Path, line: str) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# mine\n{age.new_identity()}\n{line}\n", "utf-8")
    assert "MINE" not in refused([path], "line 3: no age identity").replace(str(path), "").upper()


def test_files_that_hold_none_or_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"# nothing\n\n")
    refused([tmp_path / "empty"], "holds no identity")
    refused([tmp_path / "none"], "cannot read the identity file")
    refused([tmp_path], "cannot read the identity file")
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 8192)
    refused([tmp_path / "binary"], "no age identity")


# --- making one ----------------------------------------------------------------------------------------------------


def test_an_identity_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key"
    recipient = new_identity(path)
    before = path.read_bytes()
    with pytest.raises(Stop, match="exists already"):
        new_identity(path)
    assert path.read_bytes() == before
    assert age.recipient_of(read_identities([path])[0]) == recipient
    assert [item.name for item in tmp_path.iterdir()] == ["key"]


def test_a_link_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Stop, match="exists already"):
        new_identity(tmp_path / "key")
    assert not (tmp_path / "elsewhere").exists()


def test_a_place_that_takes_no_file_is_a_stop(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "key", Path("/proc/vetset/key"), tmp_path / ("k" * 300)):
        with pytest.raises(Stop, match="cannot write the key"):
            new_identity(path)


def test_an_identity_file_is_private_and_its_folder_too(tmp_path: Path) -> None:
    recipient, path = custodian(tmp_path / "a" / "vetset")
    assert path == tmp_path / "a" / "vetset" / "custodian.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert f"# public key: {recipient}" in path.read_text("ascii")


def test_stock_age_reads_our_identity_files(tmp_path: Path) -> None:
    binary = needed("age")
    recipient = new_identity(tmp_path / "key")
    sealed = age.encrypt(b"for a custodian", [recipient])
    done = subprocess.run([binary, "-d", "-i", tmp_path / "key"], input=sealed, capture_output=True, check=True)
    assert done.stdout == b"for a custodian"


def test_the_custodian_is_made_once(tmp_path: Path) -> None:
    assert custodian(tmp_path) == custodian(tmp_path) == custodian(tmp_path, create=False)


def test_the_custodian_is_not_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="no custodian's key") as caught:
        custodian(tmp_path / "config", create=False)
    assert "keys new" in caught.value.hint
    assert not (tmp_path / "config").exists()


def test_a_damaged_custodians_key_stops_and_stays(tmp_path: Path) -> None:
    (tmp_path / "custodian.key").write_bytes(b"AGE-SECRET-KEY-1TORN")
    with pytest.raises(Stop, match="no age identity"):
        custodian(tmp_path)
    assert (tmp_path / "custodian.key").read_bytes() == b"AGE-SECRET-KEY-1TORN"


RACER = """
import sys
from pathlib import Path
from vetset.vault import custodian
sys.stdin.read(1)
sys.stdout.write(custodian(Path(sys.argv[1]))[0])
"""


def test_processes_that_race_agree_on_one_custodian(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACER, str(tmp_path / "config")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen(command, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    for racer in racers:
        racer.stdin.write("go")
        racer.stdin.flush()
    answers = [racer.communicate()[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4
    assert len(set(answers)) == 1
    assert answers[0] == custodian(tmp_path / "config")[0]
    assert [path.name for path in (tmp_path / "config").iterdir()] == ["custodian.key"]
