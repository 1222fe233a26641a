"""A disk that dies, fills up or fails at a chosen operation: the crash harness's half of the world.

Every write of vetset goes through `vetset.ledger.Disk`, one method call an operation, so the operations of a run can be
counted and each of them can be made the last. `kill` stops everything at once, as SIGKILL does: no clean-up runs. With
`power` the harness then also takes back what was never synced, as a power loss does.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vetset.errors import SinkError
from vetset.ledger import Disk


class Killed(BaseException):
    """The process is gone. Not an Exception, so that nothing in the program can catch it."""


@dataclass(frozen=True)
class Fault:
    """At operation number `at`: what happens (kill, power, ENOSPC, EIO), after `torn` bytes if it is a write."""

    at: int
    kind: str
    torn: int = 0


@dataclass
class Operation:
    name: str
    length: int = 0


@dataclass
class FaultyDisk(Disk):
    """Does what `Disk` does and keeps a list of operations, until the fault's operation comes."""

    fault: Fault | None = None
    operations: list[Operation] = field(default_factory=list)
    dead: bool = False
    unsynced: list[Callable[[], None]] = field(default_factory=list)
    names: dict[int, Path] = field(default_factory=dict)
    synced_bytes: dict[Path, int] = field(default_factory=dict)

    def _step(self, name: str, length: int = 0) -> int | None:
        """Counts an operation; answers the bytes to write before the fault strikes, None if it does not strike."""
        if self.dead:
            raise Killed
        self.operations.append(Operation(name, length))
        struck = self.fault is not None and len(self.operations) - 1 == self.fault.at
        return self.fault.torn if struck and self.fault else None

    def _strike(self, action: str) -> None:
        assert self.fault is not None
        if self.fault.kind in {"kill", "power"}:
            self.dead = True
            if self.fault.kind == "power":
                self.lose_power()
            raise Killed
        raise SinkError(action, "a product", getattr(errno, self.fault.kind))

    def lose_power(self) -> None:
        """Takes back what was never synced: newest first, renames and files, then the tails of files."""
        for undo in reversed(self.unsynced):
            undo()
        for path, size in self.synced_bytes.items():
            if path.is_file() and path.stat().st_size > size:
                os.truncate(path, size)

    # --- the operations --------------------------------------------------------------------------------------------

    def make_folder(self, path: Path, *args: Any, **kwargs: Any) -> None:
        if self._step("make_folder") is not None:
            self._strike("make_folder")
        super().make_folder(path, *args, **kwargs)

    def create(self, path: Path, *args: Any, **kwargs: Any) -> int:
        if self._step("create") is not None:
            self._strike("create")
        fd = super().create(path, *args, **kwargs)
        self.names[fd] = path
        self.synced_bytes[path] = 0
        return fd

    def write(self, fd: int, data: Any, *args: Any, **kwargs: Any) -> Any:
        torn = self._step("write", len(data))
        if torn is not None:
            if torn:
                super().write(fd, memoryview(data)[:torn], *args, **kwargs)
            self._strike("write")
        return super().write(fd, data, *args, **kwargs)

    def sync(self, fd: int, *args: Any, **kwargs: Any) -> None:
        if self._step("sync") is not None:
            self._strike("sync")
        super().sync(fd, *args, **kwargs)
        if fd in self.names:
            self.synced_bytes[self.names[fd]] = os.fstat(fd).st_size

    def close(self, fd: int, *args: Any, **kwargs: Any) -> None:
        struck = self._step("close")
        super().close(fd, *args, **kwargs)
        if struck is not None:
            self._strike("close")

    def rename(self, source: Path, target: Path, *args: Any, **kwargs: Any) -> None:
        if self._step("rename") is not None:
            self._strike("rename")
        before = target.read_bytes() if target.is_file() else None
        super().rename(source, target, *args, **kwargs)
        self.synced_bytes[target] = self.synced_bytes.pop(source, target.stat().st_size)

        def undo() -> None:
            os.replace(target, source)
            self.synced_bytes[source] = self.synced_bytes.pop(target, 0)
            if before is not None:
                target.write_bytes(before)
                self.synced_bytes[target] = len(before)

        self.unsynced.append(undo)

    def sync_folder(self, path: Path, *args: Any, **kwargs: Any) -> None:
        if self._step("sync_folder") is not None:
            self._strike("sync_folder")
        super().sync_folder(path, *args, **kwargs)
        self.unsynced.clear()

    def reopen(self, path: Path, *args: Any, **kwargs: Any) -> int:
        if self._step("reopen") is not None:
            self._strike("reopen")
        return super().reopen(path, *args, **kwargs)

    def link(self, source: Path, target: Path, *args: Any, **kwargs: Any) -> None:
        if self._step("link") is not None:
            self._strike("link")
        super().link(source, target, *args, **kwargs)

    def unlink(self, path: Path, *args: Any, **kwargs: Any) -> None:
        if self._step("unlink") is not None:
            self._strike("unlink")
        super().unlink(path, *args, **kwargs)
