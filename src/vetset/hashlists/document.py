"""A list that a body gives out as one document: CSV, JSON or text, over https or as a file.

In it: getting it into memory, reading it whole, knowing that it has not changed. Not in it: the formats (`csvfile`,
`jsonfile`, `file`), HTTP (`service`).
Rules: a document is read to its end before any of it counts, and what is not in it any more is withdrawn, so one that
holds no valid value, or was cut short, is refused; it is in memory only, never on disk.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from vetset.errors import Stop
from vetset.hashlists.account import Account
from vetset.hashlists.csvfile import ColumnMap, read_csv
from vetset.hashlists.exchange import Checkpoint, Collected, Part
from vetset.hashlists.file import read_text
from vetset.hashlists.gathering import Holder
from vetset.hashlists.jsonfile import read_json
from vetset.hashlists.service import Service
from vetset.records import Signal

Reader = Callable[[BinaryIO, Account, Holder], None]


def reader_of(kind: str, *, columns: ColumnMap | None, items: str, signal: Signal | None) -> Reader:
    """The reader of a kind of document."""

    def read(stream: BinaryIO, account: Account, holder: Holder) -> None:
        if kind == "csv":
            read_csv(stream, account, holder, columns)
        elif kind == "json":
            read_json(stream, account, holder, columns, items)
        else:
            read_text(stream, account, holder, signal)

    return read


class Whence(Protocol):
    """Where a document comes from."""

    @property
    def origin(self) -> str: ...

    def get(self, target: BinaryIO, mark: str) -> str | None:
        """Writes the document into memory; answers its mark. None if that mark says that it has not changed."""
        ...

    def plan(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True, repr=False)
class FromService:
    """Over HTTP. The mark is the entity tag (RFC 9110 §8.8.3), where there is one."""

    service: Service
    max_bytes: int

    @property
    def origin(self) -> str:
        shown, _, query = self.service.base.partition("?")
        return f"document {shown}" + (f" ({hashlib.sha256(query.encode()).hexdigest()[:12]})" if query else "")

    def get(self, target: BinaryIO, mark: str) -> str | None:
        headers = {"If-None-Match": mark} if mark else {}
        answer = self.service.get_into(target, "", max_bytes=self.max_bytes, headers=headers)
        return None if answer is None else answer.get("etag", "")

    def plan(self) -> Sequence[str]:
        return [
            "the whole document, unless the service says that it has not changed",
            "it learns who asks, when, and from which network address; nothing of any dataset is sent",
        ]


@dataclass(frozen=True, slots=True, repr=False)
class FromFile:
    """A file. The mark is its digest."""

    path: Path
    max_bytes: int

    @property
    def origin(self) -> str:
        return f"file {self.path.name}"

    def get(self, target: BinaryIO, mark: str) -> str | None:
        try:
            if self.path.stat().st_size > self.max_bytes:
                raise Stop(f"{self.path} is larger than {self.max_bytes:,} bytes", hint="raise `max_bytes`")
            data = self.path.read_bytes()
        except OSError as error:
            raise Stop(f"cannot read {self.path}: {error.strerror}", hint="check its name and permissions") from None
        target.write(data)
        digest = hashlib.sha256(data).hexdigest()
        return None if digest == mark else digest

    def plan(self) -> Sequence[str]:
        return ["the file, whole; nothing is asked of any service"]


@dataclass(frozen=True, slots=True, repr=False)
class Document:
    """The exchange. `read_with` names what in the settings decides how it is read; another reading reads it again."""

    whence: Whence
    read: Reader
    read_with: str

    @property
    def origin(self) -> str:
        return self.whence.origin

    def plan(self, checkpoint: Checkpoint) -> Sequence[str]:  # noqa: ARG002 - a document is asked for whole
        return self.whence.plan()

    def parts(self, checkpoint: Checkpoint) -> Iterator[Part]:
        """The whole as one part, or nothing if it has not changed."""
        known = checkpoint.get("mark", "") if checkpoint.get("read_with") == self.read_with else ""
        with _memory() as target:
            mark = self.whence.get(target, known)
            if mark is None:
                return
            target.seek(0)
            yield self._part(target, mark)

    def _part(self, stream: BinaryIO, mark: str) -> Part:
        account, collected = Account(self.origin), Collected()
        self.read(stream, account, collected)
        if not collected.entries:
            faults = sum(account.faults.values())
            raise Stop(
                f"{self.origin} holds no valid value ({faults:,} fault(s)); nothing is withdrawn for that",
                hint="check `columns`, `items` and `signal` in the settings against what the body gives out",
            )
        checkpoint = {"mark": mark, "read_with": self.read_with}
        return Part(collected.as_entries(), checkpoint, whole=True, faults=account.faults)


@contextmanager
def _memory() -> Iterator[BinaryIO]:
    """A file that no disk backs. Whoever reads it may close it."""
    memory = os.memfd_create("vetset-document", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(memory), "w+b") as stream:
            yield stream
    finally:
        os.close(memory)
