"""A disk that dies, fills up or fails at a chosen operation: the crash harness's half of the world.

In it: `FaultyDisk` over `vetset.ledger.Disk`, and `Device`, the model of what outlasts a power loss. Not in it: which
faults are tried. Rules: every write of vetset is one method call of `Disk`, so the operations of a run can be counted
and each of them made the last. `kill` stops everything at once, as SIGKILL does: no clean-up runs. A power loss also
takes back what was never synced; the model is stricter than any file system: a name is durable only once its folder
was synced, bytes only once their file was.
"""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from vetset.errors import SinkError
from vetset.ledger import Disk

#: Faults after which the process is gone: by a kill, or by a power loss after which nothing unsynced is left (power),
#: only names are left (names), or part of both (mixed, by seed).
DEATHS = ("kill", "power", "names", "mixed")
#: Faults that the process lives to hear of.
REFUSALS = ("ENOSPC", "EIO")


class Killed(BaseException):
    """The process is gone. Not an Exception, so that nothing in the program can catch it."""


@dataclass(frozen=True)
class Fault:
    """At operation number `at`: what happens (`DEATHS` or `REFUSALS`), after `torn` bytes if it is a write."""

    at: int
    kind: str
    torn: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Operation:
    name: str
    path: Path
    length: int = 0


# --- what outlasts a power loss ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """A name that changed in `folder` and is not durable yet, with what it takes to change it back."""

    name: str
    folder: Path
    path: Path
    source: Path
    before: bytes | None = None

    def undo(self) -> None:
        if not self.folder.is_dir():
            return  # its own removal stayed
        if self.name == "make_folder":
            shutil.rmtree(self.path, ignore_errors=True)
        elif self.name == "rename":
            if self.path.exists():
                self.path.replace(self.source)
            if self.before is not None:
                self.path.write_bytes(self.before)
        elif self.name == "unlink":
            restore(self.path, self.before)
        else:
            self.path.unlink(missing_ok=True)


def restore(path: Path, data: bytes | None) -> None:
    """A file with these bytes, never through a hard link; a folder if there are none."""
    if data is None:
        path.mkdir(exist_ok=True)
    else:
        path.unlink(missing_ok=True)
        path.write_bytes(data)


@dataclass
class Device:
    """Changes that a power loss would take back; handed from one process to the next, since a kill loses nothing."""

    pending: list[Change] = field(default_factory=list)
    durable: dict[Path, bytes] = field(default_factory=dict)  # files with unsynced bytes, and what of them would stay

    def change(self, name: str, path: Path, source: Path | None = None, before: bytes | None = None) -> None:
        self.pending.append(Change(name, path.parent, path, source or path, before))

    def sync_folder(self, folder: Path) -> None:
        self.pending = [change for change in self.pending if change.folder != folder]

    def lose_power(self, kind: str = "power", seed: int = 0) -> None:
        """Takes back bytes, then names, newest first; `names` leaves the names, `mixed` part of both."""
        chance = Random(seed)
        for path, stays in self.durable.items():
            if path.is_file():
                written = path.read_bytes()
                longer = written[: chance.randint(0, len(written))] if kind == "mixed" else b""
                restore(path, max(stays, longer, key=len))
        if kind != "names":
            for change in reversed(self._lost(chance if kind == "mixed" else None)):
                change.undo()
        self.pending, self.durable = [], {}

    def _lost(self, chance: Random | None) -> list[Change]:
        """Everything, or by chance the last changes of each folder: those of one folder do not overtake each other."""
        if chance is None:
            return self.pending
        left: Counter[Path] = Counter(change.folder for change in self.pending)
        kept = {folder: chance.randint(0, left[folder]) for folder in sorted(left)}
        lost = []
        for change in self.pending:
            kept[change.folder] -= 1
            if kept[change.folder] < 0:
                lost.append(change)
        return lost


# --- the disk ---------------------------------------------------------------------------------------------------------


@dataclass
class FaultyDisk(Disk):
    """Does what `Disk` does and keeps a list of operations, until the fault's operation comes.

    `before` is called ahead of every operation with the bytes it would write, and may set `fault` for it.
    """

    fault: Fault | None = None
    device: Device = field(default_factory=Device)
    before: Callable[[FaultyDisk, Operation, Any], None] | None = None
    operations: list[Operation] = field(default_factory=list)
    dead: bool = False
    paths: dict[int, Path] = field(default_factory=dict)

    def _step(self, name: str, path: Path, data: Any = b"") -> int | None:
        """Counts an operation; answers the bytes to write before the fault strikes, None if it does not strike."""
        if self.dead:
            raise Killed
        operation = Operation(name, path, len(data))
        self.operations.append(operation)
        if self.before is not None:
            self.before(self, operation, data)
        struck = self.fault is not None and len(self.operations) - 1 == self.fault.at
        return self.fault.torn if struck and self.fault else None

    def _strike(self, name: str) -> NoReturn:
        assert self.fault is not None
        if self.fault.kind in REFUSALS:
            raise SinkError(name, "a product", getattr(errno, self.fault.kind))
        self.dead = True
        if self.fault.kind != "kill":
            self.device.lose_power(self.fault.kind, self.fault.seed)
        raise Killed

    def _whole(self, name: str, path: Path) -> None:
        """An operation that is done or not done."""
        if self._step(name, path) is not None:
            self._strike(name)

    def _path(self, fd: int) -> Path:
        return self.paths.get(fd, Path("?"))

    # --- the operations --------------------------------------------------------------------------------------------

    def make_folder(self, path: Path, *args: Any, **kwargs: Any) -> None:
        self._whole("make_folder", path)
        there = path.is_dir()
        super().make_folder(path, *args, **kwargs)
        if not there:
            self.device.change("make_folder", path)

    def create(self, path: Path, *args: Any, **kwargs: Any) -> int:
        self._whole("create", path)
        fd = super().create(path, *args, **kwargs)
        self.paths[fd] = path
        self.device.change("create", path)
        self.device.durable[path] = b""
        return fd

    def reopen(self, path: Path, *args: Any, **kwargs: Any) -> int:
        self._whole("reopen", path)
        fd = super().reopen(path, *args, **kwargs)
        self.paths[fd] = path
        self.device.durable.setdefault(path, path.read_bytes())
        return fd

    def write(self, fd: int, data: Any, *args: Any, **kwargs: Any) -> None:
        torn = self._step("write", self._path(fd), data)
        if torn is not None:
            if torn:
                super().write(fd, memoryview(data)[:torn], *args, **kwargs)
            self._strike("write")
        super().write(fd, data, *args, **kwargs)

    def sync(self, fd: int, *args: Any, **kwargs: Any) -> None:
        self._whole("sync", self._path(fd))
        super().sync(fd, *args, **kwargs)
        self.device.durable.pop(self._path(fd), None)

    def close(self, fd: int, *args: Any, **kwargs: Any) -> None:
        """The descriptor is gone whatever befalls: a dead process keeps none."""
        super().close(fd, *args, **kwargs)
        self._whole("close", self.paths.pop(fd, Path("?")))

    def rename(self, source: Path, target: Path, *args: Any, **kwargs: Any) -> None:
        self._whole("rename", target)
        before = target.read_bytes() if target.is_file() else None
        super().rename(source, target, *args, **kwargs)
        self.device.change("rename", target, source, before)
        if source in self.device.durable:
            self.device.durable[target] = self.device.durable.pop(source)

    def link(self, source: Path, target: Path, *args: Any, **kwargs: Any) -> None:
        self._whole("link", target)
        super().link(source, target, *args, **kwargs)
        self.device.change("link", target)

    def sync_folder(self, path: Path, *args: Any, **kwargs: Any) -> None:
        self._whole("sync_folder", path)
        super().sync_folder(path, *args, **kwargs)
        self.device.sync_folder(path)

    def unlink(self, path: Path, *args: Any, **kwargs: Any) -> None:
        self._whole("unlink", path)
        before = None if path.is_dir() else path.read_bytes()
        super().unlink(path, *args, **kwargs)
        self.device.change("unlink", path, before=self.device.durable.pop(path, before))
