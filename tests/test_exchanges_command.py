"""The command `lists fetch`: what it asks, what it says, and that nothing leaves without --live."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.exchanging import as_csv, as_json, spelled
from tests.listing import leaks, opened
from vetset.cli import vetset
from vetset.cli.places import config_folder
from vetset.errors import Stop
from vetset.hashlists.seen import remember
from vetset.records import ListRef, Signal
from vetset.testing.document_server import Documents, document_server
from vetset.testing.hashlist_contract import invented
from vetset.testing.hma_bank_server import Banked, Curator, hma_bank_server
from vetset.testing.ncmec_server import PASSWORD, USER, Exchanged, SharedEntry, ncmec_server
from vetset.testing.serving import Reply
from vetset.vault import age

ENTRIES = invented("a", "b", "c")
CANARIES = [*ENTRIES.values(), PASSWORD.encode(), b"canary-id"]
NAMED = 'credentials_variable = "VETSET_TEST_WORD"\n'
LIVE = f'[exchanges.body]\nurl = "https://made-up.example/hashsharing"\n{NAMED}'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("VETSET_TEST_WORD", f"{USER}:{PASSWORD}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(settings: str, *arguments: str, name: str = "body") -> Result:
    """Calls the command; whatever it says names no value and no credential, and stdout is empty."""
    Path("vetset.toml").write_text(settings)
    result = CliRunner().invoke(vetset, ["lists", "fetch", name, "--settings", "vetset.toml", *arguments])
    said = result.output.encode() + repr(result.exception).encode()
    if isinstance(result.exception, Stop):
        said += result.exception.message.encode() + result.exception.hint.encode()
    assert not leaks(said, CANARIES)
    assert not result.stdout
    return result


def stopped(result: Result) -> Stop:
    assert isinstance(result.exception, Stop), (result.output, result.exception)
    assert result.exception.hint
    return result.exception


def own_identity() -> list[str]:
    text = (config_folder() / "custodian.key").read_text()
    return [line for line in text.splitlines() if line.startswith("AGE-SECRET-KEY")]


def test_ncmec_from_a_sandbox_to_a_list(home: Path) -> None:
    when = spelled(datetime.now(UTC) - timedelta(days=2))
    books = Exchanged(
        [SharedEntry(name, when, {"md5": digest.hex()}, ["tmk-pdqf"]) for name, digest in ENTRIES.items()]
    )
    since = (datetime.now(UTC) - timedelta(days=10)).date()
    with ncmec_server(books) as served:
        settings = f'[exchanges.body]\nsandbox_url = "{served.url}"\nsince = "{since}"\n{NAMED}'
        first = call(settings)
        assert "3 entries added, 0 withdrawn, 0 changed; 3 known" in first.stderr
        assert "left out: 3 by_reference" in first.stderr
        assert "compiled body-sandbox version 1: 3 md5" in first.stderr
        assert "nothing changed: version 1 stays the newest" in call(settings).stderr
        later = spelled(datetime.now(UTC) - timedelta(minutes=5))
        books.said.append(SharedEntry("a", later, deleted=True))
        second = call(settings)
        assert "0 entries added, 1 withdrawn" in second.stderr
        assert "stay removed until" in second.stderr
    path = home / "lists" / "body-sandbox-2.vsl"
    assert opened(path, own_identity(), today=None).counts == {Signal.MD5: 2}


def test_a_bank_of_an_hma_becomes_a_list(home: Path) -> None:
    contents = {number: Banked("KNOWN", {"md5": digest.hex()}) for number, digest in enumerate(ENTRIES.values(), 3)}
    with hma_bank_server(Curator(contents=contents)) as served:
        settings = f'[exchanges.body]\nkind = "hma"\nsandbox_url = "{served.url}"\nauthorization = "none"\n'
        assert "names no bank" in stopped(call(settings)).message
        settings += 'bank = "KNOWN"\ngap_numbers = 10\n'
        assert "compiled body-sandbox version 1: 3 md5" in call(settings).stderr
        assert "nothing changed: version 1 stays the newest" in call(settings).stderr
        contents[4].disable_until_ts = 2**33
        assert "0 entries added, 1 withdrawn" in call(settings).stderr
    path = home / "lists" / "body-sandbox-2.vsl"
    assert opened(path, own_identity(), today=None).counts == {Signal.MD5: 2}


def test_a_file_asks_nobody(home: Path) -> None:
    (home / "iwf.csv").write_bytes(as_csv(ENTRIES))
    settings = '[exchanges.body]\nkind = "csv"\nfile = "iwf.csv"\nfolder = "mine"\n[exchanges.body.columns]\nmd5 = "Digest"\nentry_id = "ID"\n'
    assert "compiled body version 1: 3 md5" in call(settings).stderr
    assert (home / "mine" / "body-1.vsl").is_file()


@pytest.mark.parametrize(
    ("kind", "body", "more"),
    [
        ("csv", as_csv(ENTRIES), ""),
        ("json", as_json(ENTRIES), 'items = "hashes"\n'),
        ("text", b"".join(b"md5 %s\n" % digest.hex().encode() for digest in ENTRIES.values()), ""),
    ],
)
@pytest.mark.parametrize(
    ("authorization", "header", "value", "word"),
    [
        ("bearer", "Authorization", f"Bearer {PASSWORD}", PASSWORD),
        ("header", "X-Api-Key", PASSWORD, PASSWORD),
        ("basic", "Authorization", "Basic aW52ZW50ZWQ6bWFkZS11cC13b3Jk", f"{USER}:{PASSWORD}"),
        ("none", "", "", ""),
    ],
)
def test_documents_with_every_way_of_being_let_in(
    kind: str, body: bytes, more: str, authorization: str, header: str, value: str, word: str, home: Path
) -> None:
    (home / "word").write_text(word + "\n")
    (home / "word").chmod(0o600)
    documents = Documents({"/list": body}, header, value)
    with document_server(documents) as served:
        columns = "" if kind == "text" else '[exchanges.body.columns]\nmd5 = "Digest"\nentry_id = "ID"\n'
        named = "" if authorization == "none" else f'credentials_file = "word"\nheader = "{header}"\n'
        settings = f'[exchanges.body]\nkind = "{kind}"\nsandbox_url = "{served.url}/list"\nauthorization = "{authorization}"\n{named}{more}{columns}'
        assert "3 entries added" in call(settings).stderr
        assert "nothing changed" in call(settings).stderr


# --- nothing leaves without --live ------------------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Sockets to elsewhere than this machine are forbidden, and tried ones are noted."""
    tried: list[object] = []
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def connecting(self: socket.socket, address: object) -> None:
        if not (isinstance(address, tuple) and address[0] == "127.0.0.1"):
            tried.append(address)
            raise OSError("forbidden here")
        connect(self, address)

    def resolving(host: object, *more: object, **named: object) -> object:
        if host != "127.0.0.1":
            tried.append(host)
            raise OSError("forbidden here")
        return resolve(host, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connecting)
    monkeypatch.setattr(socket, "getaddrinfo", resolving)
    return tried


@pytest.mark.parametrize("arguments", [(), ("--plan",), ("--live", "--plan")])
def test_a_live_service_is_only_spoken_of(no_network: list[object], arguments: tuple[str, ...], home: Path) -> None:
    result = call(LIVE, *arguments)
    assert result.exit_code == 0
    assert "nothing is asked now" in result.stderr
    assert "https://made-up.example/hashsharing" in result.stderr
    assert "entries from 2014-01-01T00:00:00Z" in result.stderr
    assert "nothing of any dataset is sent" in result.stderr
    assert not no_network
    assert not (home / "lists").exists()
    assert not (home / "config").exists()


def test_the_network_would_be_noticed(no_network: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    """With --live it is asked: the test above can fail."""
    monkeypatch.setattr("vetset.hashlists.service.ATTEMPTS", 1)
    assert "connection" in stopped(call(LIVE, "--live")).message
    assert no_network == ["made-up.example"]


def test_a_sandbox_is_asked_and_nobody_else(no_network: list[object]) -> None:
    when = spelled(datetime.now(UTC) - timedelta(days=2))
    with ncmec_server(Exchanged([SharedEntry("a", when, {"md5": "01" * 16})])) as served:
        settings = f'{LIVE}sandbox_url = "{served.url}"\nsince = "{when[:10]}"\n'
        assert "nothing is asked now; without --plan" in call(settings, "--plan").stderr
        assert not served.asked
        assert "1 entries added" in call(settings).stderr
    assert not no_network


def test_a_plan_goes_on_from_what_is_known(home: Path) -> None:
    with ncmec_server(Exchanged([SharedEntry("a", "2026-01-05T00:00:00Z", {"md5": "01" * 16})])) as served:
        settings = f'[exchanges.body]\nsandbox_url = "{served.url}"\nsince = "2026-01-01"\nwindow_days = 3650\n{NAMED}'
        call(settings)
        asked = len(served.asked)
        assert "2026-01-01T00" not in call(settings, "--plan").stderr
        assert len(served.asked) == asked


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ("", "no exchange is named"),
        ("[exchanges.other]\n", "no exchange is named"),
        ('[exchanges.body]\nkind = "other"\n', "one of ncmec, csv, json, text, hma"),
        ('[exchanges.body]\nkind = "hma"\nfile = "x"\n', "names a file"),
        ("[exchanges.body]\n", "names no url"),
        ('[exchanges.body]\nurl = "http://made-up.example"\n' + NAMED, "not https"),
        ('[exchanges.body]\nurl = "https://u:made-up-word@made-up.example"\n' + NAMED, "holds credentials"),
        ('[exchanges.body]\nurl = "https://made-up.example"\n', "credentials named once"),
        (
            '[exchanges.body]\nurl = "https://made-up.example"\ncredentials_variable = "VETSET_NOT_SET"\n',
            "no credentials",
        ),
        (LIVE + 'credentials_file = "x"\n', "credentials named once"),
        (LIVE + 'since = "lately"\n', "no day"),
        (LIVE + 'signals = ["crc32"]\n', "unknown signal"),
        (LIVE + 'recipients = ["nobody"]\n', "recipient 1"),
        (LIVE + 'authorization = "header"\n', "names no header"),
        (LIVE + 'file = "x.csv"\n', "names a file"),
        (LIVE + "window_days = 0\n", "window_days"),
        (LIVE + "most_withdrawn = 1.5\n", "from 0 to 1"),
        (LIVE + 'purpose = "two\\nlines"\n', "one printable line"),
        ('[exchanges.body]\nkind = "csv"\nfile = "x.csv"\n[exchanges.body.columns]\ncrc32 = "X"\n', "unknown name"),
        ('[exchanges.body]\nkind = "csv"\nfile = "none.csv"\n', "cannot read"),
        (LIVE + "made_up = 1\n", "unknown setting"),
    ],
)
def test_what_is_refused(settings: str, what: str, no_network: list[object], home: Path) -> None:
    assert what in stopped(call(settings, "--live")).message + stopped(call(settings, "--live")).hint
    assert not no_network
    assert not (home / "lists").exists() or not list((home / "lists").glob("*.vsl"))


def test_credentials_that_others_can_read(home: Path) -> None:
    (home / "word").write_text(f"{USER}:{PASSWORD}")
    (home / "word").chmod(0o644)
    settings = '[exchanges.body]\nurl = "https://made-up.example"\ncredentials_file = "word"\n'
    assert "others can read" in stopped(call(settings, "--live")).message


def test_wrong_credentials(home: Path) -> None:
    with ncmec_server(Exchanged(password="another")) as served:
        settings = f'[exchanges.body]\nsandbox_url = "{served.url}"\n{NAMED}'
        assert "does not let us in" in stopped(call(settings)).message
        assert len(served.asked) == 1


def test_a_list_for_others_alone_cannot_be_gone_on_with(home: Path) -> None:
    """Sealed to a recipient whose identity is elsewhere: the next fetch says so."""
    identity = age.new_identity()
    (home / "list.csv").write_bytes(b"md5\n" + b"01" * 16 + b"\n")
    settings = f'[exchanges.body]\nkind = "csv"\nfile = "list.csv"\nrecipients = ["{age.recipient_of(identity)}"]\n'
    call(settings)
    assert "--identity" in stopped(call(settings)).hint
    (home / "identity").write_text(identity + "\n")
    assert "nothing changed" in call(settings, "--identity", "identity").stderr


def test_versions_rise_above_those_an_audit_saw(home: Path) -> None:
    remember(config_folder(), ListRef("body", 7, "d" * 64))
    (home / "list.csv").write_bytes(b"md5\n" + b"01" * 16 + b"\n")
    assert "version 8" in call('[exchanges.body]\nkind = "csv"\nfile = "list.csv"\n').stderr


def test_a_sandboxs_list_is_never_taken_for_the_live_one(home: Path) -> None:
    (home / "list.csv").write_bytes(b"md5\n" + b"01" * 16 + b"\n")
    with document_server(Documents({"/l": b"md5\n" + b"02" * 16 + b"\n"})) as served:
        call(f'[exchanges.body]\nkind = "csv"\nsandbox_url = "{served.url}/l"\nauthorization = "none"\n')
    call('[exchanges.body]\nkind = "csv"\nfile = "list.csv"\n')
    assert sorted(path.name for path in (home / "lists").glob("*.vsl")) == ["body-1.vsl", "body-sandbox-1.vsl"]


def test_trouble_says_that_the_same_command_goes_on() -> None:
    with ncmec_server(Exchanged()) as served:
        served.faults.append(Reply(418))
        settings = f'[exchanges.body]\nsandbox_url = "{served.url}"\n{NAMED}'
        assert "goes on" in stopped(call(settings)).hint
