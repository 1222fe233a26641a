"""The command line as its users meet it: a dataset and lists in a folder, and `vetset` run on them.

In process where only words and statuses matter, as a process of its own where descriptors, signals or limits do. What a
refused command must not do is checked here once, for every test that refuses.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa

from tests.driving import Place
from vetset.cli import run as run_command

#: Audits sync every product; in memory that costs nothing.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
VETSET = Path(sys.executable).parent / "vetset"

HIT_DIGEST = hashlib.md5(b"a planted picture").hexdigest()
HIT_URL = "https://planted.example/Listed.jpg?token=seen"
#: Values that no message may show.
SECRETS = (HIT_DIGEST, HIT_URL, "planted.example", "a planted caption")


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it said where."""

    status: int
    out: str
    err: str


def table(number: int, rows: int = 20) -> pa.Table:
    """Harmless rows, one hit by digest, one by URL, and a row that shares the first one's digest."""
    urls = [f"https://harmless.example/{number}/{row}.jpg" for row in range(rows)]
    digests = [hashlib.md5(url.encode()).hexdigest() for url in urls]
    urls += [f"https://other.example/{number}.jpg", HIT_URL, f"https://mirror.example/{number}.jpg"]
    digests += [HIT_DIGEST, hashlib.md5(b"listed by URL").hexdigest(), HIT_DIGEST]
    texts = ["a red bicycle"] * rows + ["a planted caption"] * 3
    scores = [row / (rows + 3) for row in range(rows + 3)]
    return pa.table({"URL": urls, "TEXT": texts, "md5": digests, "punsafe": scores})


#: Of each table of `table(n)`: rows removed.
REMOVED_PER_SHARD = 3


@dataclass
class User:
    """Someone at a terminal in a folder with a dataset, two lists and nothing else."""

    place: Place

    @property
    def root(self) -> Path:
        return self.place.root

    @property
    def config(self) -> Path:
        """Where the command line keeps what is the user's own."""
        return self.root / "home" / "vetset"

    @property
    def custodian(self) -> Path:
        return self.config / "custodian.key"

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
        return {**kept, "XDG_CONFIG_HOME": str(self.root / "home"), **(more or {})}

    def vetset(self, *words: object) -> Ran:
        """Runs a command in this process. An exception that would be a traceback comes through as one."""
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.environment(), clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            status = run_command([str(word) for word in words])
        return checked(Ran(status, out.getvalue(), err.getvalue()))

    def process(self, *words: object, before: tuple[str, ...] = (), **options: Any) -> Ran:
        """Runs the installed command as a process of its own."""
        given: dict[str, Any] = {
            "env": self.environment(options.pop("more", None)),
            "capture_output": True,
            "timeout": 120,
        }
        command = [*before, str(VETSET), *map(str, words)]
        done = subprocess.run(command, **{**given, **options}, check=False)
        return checked(Ran(done.returncode, (done.stdout or b"").decode(), (done.stderr or b"").decode()))

    def audit_words(self, *more: object) -> list[object]:
        lists = [word for path in self.place.lists for word in ("--lists", path)]
        carried = ["--runner", "serial", "--quiet"]
        return ["audit", self.place.dataset, *lists, "--out", self.place.run, *carried, *more]

    def audit(self, *more: object) -> Ran:
        """The plain command with the options added: serial, quiet, not cleaning."""
        return self.vetset(*self.audit_words(*more))

    def clean_audit(self, *more: object) -> Ran:
        return self.audit("--clean", self.place.cleaned, *more)

    def files(self) -> dict[str, bytes | None]:
        """Everything in the folder but the user's own settings: files with their bytes, folders with none."""
        return files_of(self.root, besides=("home",))

    def sources(self) -> dict[str, bytes | None]:
        """The dataset and the lists, which no command ever changes."""
        return {name: data for name, data in self.files().items() if name.startswith("dataset") or "vsl" in name}

    def refused(self, *words: object, leaves_run: bool = False) -> Ran:
        """Runs a command that must stop: with a message and a hint, and no file written, changed or removed.

        With `leaves_run` the run's own folder may change: work was done before the refusal, and is kept.
        """
        before = self.files()
        ran = self.vetset(*words)
        assert ran.status == 1, ran
        lines = ran.err.splitlines()
        assert lines[-2].startswith("vetset: "), ran.err
        assert lines[-1].startswith("  hint: "), ran.err
        assert not ran.out
        assert changes(before, self.files(), "run" if leaves_run else None) == []
        return ran


def checked(ran: Ran) -> Ran:
    """No command ends in a traceback, and none shows a value."""
    said = ran.out + ran.err
    assert "Traceback" not in said, said
    assert not [secret for secret in SECRETS if secret in said]
    return ran


def files_of(root: Path, besides: tuple[str, ...] = ()) -> dict[str, bytes | None]:
    """Files below a folder with their bytes, folders with none, by relative path."""
    found: dict[str, bytes | None] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name.split("/")[0] not in besides:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def changes(
    before: Mapping[str, bytes | None], after: Mapping[str, bytes | None], besides: str | None = None
) -> list[str]:
    """The names of what was written, changed or removed, apart from one folder."""
    names = sorted(before.keys() | after.keys())
    other = [name for name in names if name not in before or name not in after or before[name] != after[name]]
    return [name for name in other if besides is None or name.split("/")[0] != besides]


@contextlib.contextmanager
def at_work() -> Iterator[User]:
    """A user with two shards and two lists, in a folder that goes away."""
    with tempfile.TemporaryDirectory(prefix="vetset-test-", dir=MEMORY) as name:
        place = Place(Path(name))
        place.write({"a.parquet": table(0), "sub/b.parquet": table(1)}, row_group_size=7)
        place.list_of("digests", {"md5": [HIT_DIGEST]})
        place.list_of("addresses", {"url": [HIT_URL]})
        yield User(place)
