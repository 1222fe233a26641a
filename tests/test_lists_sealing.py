"""Sealing: nothing in clear on disk, one sealed memory for all processes, and files written whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyrage
import pytest

from tests.listing import CREATED, TODAY, compiled, leaks, opened, positions
from vetset.errors import Stop
from vetset.hashlists import sealing
from vetset.hashlists.compiled import compile_list, map_list, open_list
from vetset.records import Signal

IDENTITY = pyrage.x25519.Identity.generate()
OTHER = pyrage.x25519.Identity.generate()
RECIPIENT = str(IDENTITY.to_public())

DIGEST = bytes.fromhex("d00dfeedc0ffee11223344556677889a")
URL = b"http://canary.example/Path?q=seven"
CONTENTS = (
    f"md5,url,url_md5,category,entry_id,source\n"
    f"{DIGEST.hex()},{URL.decode()},{DIGEST[::-1].hex()},Category-Canary,Entry-Canary,Source-Canary\n"
)
CANARIES = [
    DIGEST,
    DIGEST.hex().encode(),
    URL,
    b"canary.example",
    b"Category-Canary",
    b"Entry-Canary",
    b"Source-Canary",
]


def sealed(place: Path, **options: object) -> Path:
    """A sealed list alone in a folder, its source in another."""
    (place / "in").mkdir()
    (place / "out").mkdir()
    path, _ = compiled(place / "in", CONTENTS, suffix=".csv", recipients=[RECIPIENT], **options)
    return path.rename(place / "out" / "list.vsl")


# --- at rest ----------------------------------------------------------------------------------------------------------


def test_the_search_for_canaries_finds_them_where_they_are(tmp_path: Path) -> None:
    path, _ = compiled(tmp_path, CONTENTS, suffix=".csv")
    found = leaks(path.read_bytes(), [DIGEST[8:], b"Entry-Canary"])
    assert found == ["value 0 as raw", "value 1 as raw"]
    for value in (DIGEST, URL):
        import base64

        for shift in range(3):
            assert leaks(base64.b64encode(bytes(shift) + value + b"tail"), [value])


def test_nothing_of_a_sealed_list_is_on_disk_in_clear(tmp_path: Path) -> None:
    path = sealed(tmp_path)
    whole = path.read_bytes()
    halves = [DIGEST[:8], DIGEST[8:], DIGEST[7::-1]]  # heads and tails lie apart, and heads are turned round
    assert not leaks(whole, [*CANARIES, *halves])
    assert opened(path, [str(IDENTITY)]).counts == {Signal.MD5: 1, Signal.URL: 1, Signal.URL_MD5: 1}


def test_the_line_in_clear_says_what_is_known_without_a_key(tmp_path: Path) -> None:
    path = sealed(tmp_path, purpose="tests", expires=TODAY, source="an invented body")
    line = path.read_bytes().split(b"\n", 1)[0]
    shown = json.loads(line)
    digest = opened(path, [str(IDENTITY)]).ref.digest
    payload_bytes = shown.pop("payload_bytes")
    assert payload_bytes > 0
    assert shown == {
        "format": "vetset-list/1",
        "name": "invented",
        "version": 1,
        "created": "2026-01-02T03:04:05Z",
        "expires": "2026-06-01",
        "purpose": "tests",
        "sealed": True,
        "digest": digest,
        "entries": 3,
    }


def test_the_rest_of_the_file_is_stock_age(tmp_path: Path) -> None:
    sealed_path = sealed(tmp_path)
    (tmp_path / "plain").mkdir()
    plain_path, _ = compiled(tmp_path / "plain", CONTENTS, suffix=".csv")
    rest = sealed_path.read_bytes().split(b"\n", 1)[1]
    assert rest.startswith(b"age-encryption.org/v1\n")
    assert pyrage.decrypt(rest, [IDENTITY]) == plain_path.read_bytes().split(b"\n", 1)[1]


def test_a_list_is_sealed_to_every_recipient(tmp_path: Path) -> None:
    path, _ = compiled(tmp_path, CONTENTS, suffix=".csv", recipients=[RECIPIENT, str(OTHER.to_public())])
    for identity in (IDENTITY, OTHER):
        assert opened(path, [str(identity)]).counts[Signal.MD5] == 1


def test_the_digest_does_not_depend_on_the_seal(tmp_path: Path) -> None:
    plain = compiled(tmp_path, CONTENTS, suffix=".csv")[1]
    assert opened(sealed(tmp_path), [str(IDENTITY)]).ref == plain.ref


WATCH = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from vetset.hashlists.compiled import compile_list, map_list, open_list
opened = []
def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)) and arguments[2] & 3:
        opened.append(str(arguments[0]))
source, target, recipient, identity = sys.argv[1:]
sys.addaudithook(hook)
compile_list([Path(source)], Path(target), name="n", version=1, created=datetime.now(UTC), recipients=[recipient])
map_list(open_list(Path(target), [identity], today=None)).entries(0, 0)
sys.stdout.write("\\n".join(opened))
"""


def test_compiling_and_opening_write_no_file_but_the_sealed_one(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text(CONTENTS)
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-c", WATCH, str(source), str(out / "list.vsl"), RECIPIENT, str(IDENTITY)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    written = [Path(name) for name in done.stdout.splitlines()]
    assert len(written) == 1
    assert written[0].parent == out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out"]
    assert not leaks((done.stdout + done.stderr).encode(), CANARIES)


# --- in memory --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["plain", "sealed"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    recipients = [RECIPIENT] if request.param == "sealed" else []
    path, _ = compiled(tmp_path, CONTENTS, suffix=".csv", recipients=recipients)
    descriptor = open_list(path, [str(IDENTITY)], today=TODAY)
    yield descriptor
    os.close(descriptor)


def test_nobody_can_change_or_shorten_an_opened_list(memory: int) -> None:
    seals = fcntl.fcntl(memory, fcntl.F_GET_SEALS)
    assert seals == fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    attempts: list[Callable[[], object]] = [lambda: os.pwrite(memory, b"x", 0), lambda: os.ftruncate(memory, 1)]
    for attempt in attempts:
        with pytest.raises(OSError, match=r"Bad file descriptor|Invalid argument|not permitted"):
            attempt()
    again = os.open(f"/proc/self/fd/{memory}", os.O_RDWR)
    try:
        attempts = [lambda: os.pwrite(again, b"x", 0), lambda: os.ftruncate(again, 1), lambda: mmap.mmap(again, 0)]
        for attempt in attempts:
            with pytest.raises(PermissionError):
                attempt()
    finally:
        os.close(again)


def test_the_descriptor_is_anonymous_memory_and_not_inherited_unasked(memory: int) -> None:
    assert str(Path(f"/proc/self/fd/{memory}").readlink()).startswith("/memfd:vetset-list")
    assert not os.get_inheritable(memory)


CHILD = """
import os, re, sys
import numpy as np
from vetset import kernels
from vetset.hashlists.compiled import map_list
fd, wanted = int(sys.argv[1]), bytes.fromhex(sys.argv[2])
held = map_list(fd)
os.close(fd)
(number,) = [n for n, table in enumerate(held.tables) if table.signal == "md5"]
digests = kernels.Digests(np.frombuffer(wanted, np.uint8).reshape(1, -1), np.ones(1, np.bool_))
(at,) = kernels.positions_in(held.tables[number], digests).tolist()
smaps = open("/proc/self/smaps").read()
private, flags = re.search(r"memfd:vetset-list.*?Private_Dirty: +([0-9]+ kB).*?VmFlags:([^\\n]*)", smaps, re.DOTALL).groups()
print(at, held.entries(number, at)[0].entry_id, private, "dd" in flags.split())
"""


def test_another_process_reads_the_same_memory(memory: int) -> None:
    held = map_list(memory)
    assert bytes(held.data)  # we too have every page of it
    command = [sys.executable, "-c", CHILD, str(memory), DIGEST.hex()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, pass_fds=[memory])
    at, entry_id, private, unit, left_out_of_dumps = done.stdout.split()
    assert (at, entry_id) == ("0", "Entry-Canary")
    assert (private, unit) == ("0", "kB")
    assert left_out_of_dumps == "True"


def test_a_copied_mapping_answers_alike(memory: int) -> None:
    one, other = map_list(memory), map_list(memory)
    assert one.ref == other.ref
    for mine, theirs in zip(one.tables, other.tables, strict=True):
        value = (int(mine.heads[0]).to_bytes(8, "big") + mine.tails[0].tobytes(),)
        assert positions(mine, value) == positions(theirs, value) == [0]


# --- writing ----------------------------------------------------------------------------------------------------------


def compile_to(target: Path, source: Path, **options: object) -> None:
    given = {"name": "n", "version": 1, "created": CREATED, "recipients": (RECIPIENT,), **options}
    compile_list([source], target, **given)  # type: ignore[arg-type]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.csv"
    path.write_text(CONTENTS)
    return path


def test_a_list_is_for_its_owner_alone(tmp_path: Path, source: Path) -> None:
    for number, recipients in enumerate([(), (RECIPIENT,)]):
        compile_to(tmp_path / f"{number}.vsl", source, recipients=recipients)
        assert (tmp_path / f"{number}.vsl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_nothing_is_overwritten(tmp_path: Path, source: Path, make: Callable[[Path], None]) -> None:
    target = tmp_path / "list.vsl"
    make(target)
    before = os.lstat(target)
    with pytest.raises(Stop, match="exists") as stop:
        compile_to(target, source)
    assert "never overwritten" in stop.value.hint
    assert os.lstat(target) == before


def test_a_folder_that_is_not_there_stops(tmp_path: Path, source: Path) -> None:
    with pytest.raises(Stop, match=r"cannot write .*No such file"):
        compile_to(tmp_path / "gone" / "list.vsl", source)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("os.fsync", OSError(errno.ENOSPC, "No space left on device")),
        ("pyrage.encrypt_io", pyrage.EncryptError("OSError: [Errno 28] " + DIGEST.hex())),
        ("Path.rename", OSError(errno.EIO, "Input/output error")),
    ],
)
def test_a_failing_disk_leaves_nothing_behind(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, name: str, fault: Exception
) -> None:
    def fail(*_: object) -> None:
        raise fault

    owner, attribute = name.split(".")
    monkeypatch.setattr(getattr(sealing, owner), attribute, fail)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(Stop, match="cannot write") as stop:
        compile_to(out / "list.vsl", source)
    assert not list(out.iterdir())
    assert not leaks(f"{stop.value!r}{stop.value.hint}".encode(), CANARIES)


def test_an_interruption_leaves_nothing_behind(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        compile_to(tmp_path / "list.vsl", source)
    assert [path.name for path in tmp_path.iterdir()] == ["source.csv"]


@pytest.mark.parametrize("recipient", ["", "age1nonsense", "AGE-SECRET-KEY-1SECRET", "ssh-ed25519 AAAA"])
def test_a_recipient_that_is_none_stops_by_its_number(tmp_path: Path, source: Path, recipient: str) -> None:
    with pytest.raises(Stop, match="number 2 cannot be read") as stop:
        compile_to(tmp_path / "list.vsl", source, recipients=(RECIPIENT, recipient))
    assert not recipient or recipient not in str(stop.value)
    assert not (tmp_path / "list.vsl").exists()
