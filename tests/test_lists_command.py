"""The commands `lists compile` and `lists show`: what they do, what they tell, and that they tell no value."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import click
import pyrage
import pytest
from click.testing import CliRunner, Result

from tests.listing import leaks, opened
from vetset.cli.lists import lists
from vetset.cli.places import config_folder
from vetset.errors import Stop
from vetset.records import Signal, UrlForm

VALUE = "c0ffee" * 5 + "42"
URL = "http://canary.example/Path"
CANARIES = [bytes.fromhex(VALUE), VALUE.encode(), URL.encode(), b"canary.example", b"Id-Canary", b"zz" * 16]
TEXT = f"md5 {VALUE}\nurl {URL}\nmd5 {'zz' * 16}\n# comment\ncrc32 1234\n"
CSV = f"Hash,Class,Ref\n{VALUE},A1,Id-Canary\n{'01' * 16},B2,x\n{'02' * 16},,\n"
MAP = '[columns]\nmd5 = "hash"\ncategory = "class"\nentry_id = "ref"\n'
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "map.toml").write_text(MAP)
    return tmp_path


def call(*arguments: str) -> Result:
    """Calls a command; whatever it says or raises names no value, and stdout is empty unless asked for."""
    result = CliRunner().invoke(lists, list(arguments))
    said = result.output.encode() + repr(result.exception).encode()
    if isinstance(result.exception, Stop):
        said += result.exception.message.encode() + result.exception.hint.encode()
    assert not leaks(said, CANARIES)
    assert "--json" in arguments or "--help" in arguments or not result.stdout
    return result


def compile_plain(*more: str, source: str = "a.txt", out: str = "l.vsl") -> Result:
    return call("compile", out, source, "--name", "n", "--version", "1", "--plain", *more)


def stopped(result: Result) -> Stop:
    assert isinstance(result.exception, Stop)
    return result.exception


def test_a_list_is_compiled_and_its_faults_told_by_line(home: Path) -> None:
    result = compile_plain("--expires", TOMORROW, "--purpose", "tests", "--source", "an invented body")
    assert result.exit_code == 0
    assert "a.txt: 2 values taken" in result.stderr
    assert "1 not_hex (line 3)" in result.stderr
    assert "1 unknown_signal (line 5)" in result.stderr
    assert "compiled n version 1: 1 md5, 1 url" in result.stderr
    assert "not sealed" in result.stderr
    held = opened(home / "l.vsl", today=None)
    assert held.ref.digest in result.stderr
    assert (held.about.expires, held.about.purpose, held.about.source) == (TOMORROW, "tests", "an invented body")
    created = datetime.fromisoformat(held.about.created)
    assert abs(datetime.now(UTC) - created) < timedelta(hours=1)


def test_without_a_recipient_a_list_is_sealed_to_the_custodian(home: Path) -> None:
    result = call("compile", "l.vsl", "a.txt", "--name", "n", "--version", "1")
    assert result.exit_code == 0
    key = home / "config" / "vetset" / "custodian.key"
    assert f"sealed to your own key {key}" in result.stderr
    identity = key.read_text().splitlines()[-1]
    assert identity not in result.output
    with pytest.raises(Stop, match="is sealed"):
        opened(home / "l.vsl", today=None)
    assert opened(home / "l.vsl", [identity], today=None).counts == {Signal.MD5: 1, Signal.URL: 1}


def test_named_recipients_are_the_only_ones(home: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    to = ["--recipient", str(identity.to_public())]
    assert call("compile", "l.vsl", "a.txt", "--name", "n", "--version", "1", *to).exit_code == 0
    assert opened(home / "l.vsl", [str(identity)], today=None).counts[Signal.MD5] == 1
    assert not (home / "config").exists()


def test_a_mapped_csv_and_bare_values(home: Path) -> None:
    assert compile_plain("--map", "map.toml", source="a.csv").exit_code == 0
    assert opened(home / "l.vsl", today=None).categories() == {"A1": 1, "B2": 1}
    (home / "bare").write_text("03" * 16)
    more = ["--format", "text", "--signal", "url_md5", "--url-forms", "tx, raw"]
    assert compile_plain(*more, source="bare", out="bare.vsl").exit_code == 0
    (table,) = opened(home / "bare.vsl", today=None).tables
    assert table.signal is Signal.URL_MD5
    assert table.forms == {UrlForm.TX, UrlForm.RAW}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--expires", "2020-01-01"], "is past"),
        (["--map", "gone.toml"], "cannot read --map"),
        (["--signal", "md5", "--format", "csv"], "--signal is of no use"),
        (["--map", "map.toml"], "--map is of no use"),
        (["--format", "ncmec"], "not whole XML"),
        (["--format", "csv"], "no column bears the name"),
        (["--signal", "sha1"], "nothing to compile"),
        (["--name", "a/b"], "the name should be"),
        (["--purpose", "two\nlines"], "one printable line"),
    ],
)
def test_what_cannot_be_done_stops_and_no_file_is_written(home: Path, more: list[str], message: str) -> None:
    stop = stopped(compile_plain(*more))
    assert message in stop.message
    assert stop.hint
    assert not (home / "l.vsl").exists()


def test_an_unreadable_recipient_stops_and_no_file_is_written(home: Path) -> None:
    arguments = ["l.vsl", "a.txt", "--name", "n", "--version", "1", "--recipient", "age1nonsense"]
    assert "recipient 1" in stopped(call("compile", *arguments)).message
    assert not (home / "l.vsl").exists()


def test_an_existing_list_is_never_overwritten(home: Path) -> None:
    assert compile_plain().exit_code == 0
    before = (home / "l.vsl").read_bytes()
    assert "exists" in stopped(compile_plain()).message
    assert (home / "l.vsl").read_bytes() == before


@pytest.mark.parametrize(
    "more",
    [
        ["--version", "0"],
        ["--version", "one"],
        ["--signal", "md6"],
        ["--expires", "tomorrow"],
        ["--format", "pdf"],
        ["--url-forms", "cooked"],
        ["--url-forms", ""],
        ["--recipient", "age1x"],
        ["--force"],
    ],
)
def test_wrong_usage_is_usage(home: Path, more: list[str]) -> None:
    result = compile_plain(*more)
    assert result.exit_code == 2
    assert not (home / "l.vsl").exists()


def test_sources_are_asked_for() -> None:
    assert call("compile", "l.vsl", "--name", "n", "--version", "1").exit_code == 2


# --- show -------------------------------------------------------------------------------------------------------------


def test_show_tells_counts_and_no_value(home: Path) -> None:
    compile_plain("--map", "map.toml", source="a.csv")
    result = call("show", "l.vsl")
    assert result.exit_code == 0
    for line in ("name: n", "version: 1", "  md5: 3", "  A1: 1", "opened: True", "expired: False"):
        assert line in result.stderr.splitlines()


def test_show_prints_json_when_asked(home: Path) -> None:
    compile_plain("--map", "map.toml", "--expires", TOMORROW, source="a.csv")
    result = call("show", "l.vsl", "--json")
    shown = json.loads(result.stdout)
    assert shown["counts"] == {"md5": 3}
    assert shown["categories"] == {"A1": 1, "B2": 1}
    assert (shown["name"], shown["version"], shown["expires"], shown["sealed"]) == ("n", 1, TOMORROW, False)
    assert not result.stderr


def test_show_of_a_sealed_list_needs_a_key_to_see_into_it(home: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    (home / "key").write_text(f"# a key\n{identity}\n")
    to = ["--recipient", str(identity.to_public())]
    call("compile", "l.vsl", "a.txt", "--name", "n", "--version", "1", *to)
    outside = json.loads(call("show", "l.vsl", "--json").stdout)
    assert (outside["name"], outside["entries"], outside["opened"]) == ("n", 2, False)
    assert "counts" not in outside
    inside = json.loads(call("show", "l.vsl", "--identity", "key", "--json").stdout)
    assert inside["counts"] == {"md5": 1, "url": 1}


def test_show_opens_with_the_custodians_own_key(home: Path) -> None:
    call("compile", "l.vsl", "a.txt", "--name", "n", "--version", "1")
    assert json.loads(call("show", "l.vsl", "--json").stdout)["opened"] is True


def test_show_of_an_expired_list_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_plain("--expires", TOMORROW)
    later = datetime.now(UTC).date() + timedelta(days=2)
    monkeypatch.setattr(import_module("vetset.cli.lists"), "_today", lambda: later)  # the group bears the same name
    assert "expired: True" in call("show", "l.vsl").stderr


@pytest.mark.parametrize("damage", [lambda whole: whole[:-1], lambda whole: whole[:-1] + b"x", lambda _: b"x"])
def test_show_of_a_damaged_list_stops(home: Path, damage: Callable[[bytes], bytes]) -> None:
    compile_plain()
    (home / "l.vsl").write_bytes(damage((home / "l.vsl").read_bytes()))
    assert stopped(call("show", "l.vsl")).hint


def test_show_of_hostile_words_sends_nothing_to_the_terminal(home: Path) -> None:
    (home / "a.csv").write_text(f'md5,category\n{VALUE},"\x1b]8;;http://x.example\x07"\n')
    compile_plain(source="a.csv")
    result = call("show", "l.vsl")
    assert "\x1b" not in result.stderr
    assert "\\x1b" in result.stderr
    line = (
        b'{"digest":"","format":"vetset-list/1","name":"\\u001b[31m","payload_bytes":1,"sealed":true,"x":{"a":"b"}}\n'
    )
    (home / "hostile.vsl").write_bytes(line)
    result = call("show", "hostile.vsl")
    assert result.exit_code == 0
    assert "\x1b" not in result.stderr
    assert "opened: False" in result.stderr


def test_show_cuts_a_long_row_of_categories(home: Path) -> None:
    rows = "".join(f"{number:032x},class {number}\n" for number in range(100))
    (home / "a.csv").write_text(f"md5,category\n{rows}")
    compile_plain(source="a.csv")
    result = call("show", "l.vsl")
    assert "  and 60 more" in result.stderr
    assert len(json.loads(call("show", "l.vsl", "--json").stdout)["categories"]) == 100


# --- help and places --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["compile", "show"])
def test_help_teaches_with_an_example(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"vetset lists {command} c3p.vsl" in result.stdout
    assert isinstance(lists, click.Group)
    assert all(isinstance(option, click.Argument) or option.help for option in lists.commands[command].params)


def test_the_settings_folder_follows_the_desktop_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert config_folder() == tmp_path / "config" / "vetset"
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    for other in ("", "relative/place"):
        monkeypatch.setenv("XDG_CONFIG_HOME", other)
        assert config_folder() == tmp_path / "me" / ".config" / "vetset"
