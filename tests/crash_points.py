"""Points: every operation of one audit x every torn length of its writes x every kind of fault, each with a recovery.

In it: one undisturbed audit that is halted before each operation, and the branches taken from there. Not in it: chains.
Rules: a branch works on a copy of the folders under their own paths, while the halted audit's lie aside; a kill or a
power loss is the copy with the torn bytes, after the device's model; ENOSPC and EIO go on in a forked child, up to the
`Stop`. A recovery is a function of the files it finds. So where these are the same as those of a point that was
recovered before, or become the same once the leftovers are swept away, it is not gone through again, and counted apart.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash_case import AUDITS, Case, blamed
from tests.faults import REFUSALS, Device, Fault, FaultyDisk, Operation
from vetset.errors import Stop
from vetset.ledger.sink import PARTIAL
from vetset.vault import read_identities
from vetset.vault.keys import RUN_KEY, RUN_SECRETS, opens

KINDS = ("kill", "power", "names", *REFUSALS)
SMALL_WRITE_BYTES = 4096
SAMPLES = 16


def torn_lengths(operation: Operation) -> list[int]:
    """Every length a write can be torn at, up to 4 KiB; of a longer one its ends, its middle and a sample."""
    length = operation.length
    if operation.name != "write" or length <= SMALL_WRITE_BYTES:
        return list(range(length + 1))
    return sorted({0, 1, length // 2, length - 1, length, *range(0, length, length // SAMPLES)})


class Rejoined(BaseException):
    """A recovery stands where one that ended well stood. No Exception, so that nothing in the program can catch it."""


class Lost(BaseException):
    """A loss on its way out of the halted audit, whose shard boundary would take an Exception for its own."""


@dataclass
class Points:
    """`chosen` says which faults to try at an operation; `counts` what was done: points by kind, and recoveries."""

    case: Case
    chosen: Callable[[int, Operation], Iterator[Fault]]
    counts: Counter[str] = field(default_factory=Counter)
    good: set[str] = field(default_factory=set)
    forked: bool = False

    @property
    def folders(self) -> tuple[tuple[Path, Path], ...]:
        place = self.case.place
        return tuple((folder, place.root / f"{folder.name}.aside") for folder in (place.run, place.cleaned))

    def run(self) -> None:
        """The audit with all its branches. Raises AssertionError for the first loss."""
        self.case.clear()
        disk = FaultyDisk(before=self._branch)
        try:
            self.case.go(disk, resume=False)
        except BaseException as error:
            if self.forked:
                self._end_child(error)
            if isinstance(error, Lost):
                raise AssertionError(*error.args) from error
            raise
        self.case.check()

    def _end_child(self, error: BaseException) -> None:
        """0 for a `Stop` with words for the operator; whatever else came out is told by its traceback."""
        fine = isinstance(error, Stop) and bool(error.hint)
        if not fine:
            sys.excepthook(type(error), error, error.__traceback__)
        os._exit(0 if fine else 1)

    # --- branches ----------------------------------------------------------------------------------------------------

    def _branch(self, disk: FaultyDisk, operation: Operation, data: Any) -> None:
        if self.forked:
            return
        faults = list(self.chosen(len(disk.operations) - 1, operation))
        if not faults:
            return
        for folder, aside in self.folders:
            if folder.exists():
                folder.rename(aside)
        for fault in faults:
            try:
                with blamed([fault, operation]):
                    if self._point(disk, operation, data, fault):
                        return
            except AssertionError as loss:
                raise Lost(str(loss)) from loss
        for folder, aside in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
            if aside.exists():
                aside.rename(folder)

    def _point(self, disk: FaultyDisk, operation: Operation, data: Any, fault: Fault) -> bool:
        """Tries one fault; answers whether this is the child that is to go on into it."""
        for folder, aside in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
            if aside.exists():
                link_tree(str(aside), str(folder))
        self.counts[fault.kind] += 1
        if fault.kind not in REFUSALS:
            self._die(disk, operation, data, fault)
        elif self._refuse(disk, fault):
            return True
        self._recover()
        return False

    def _die(self, disk: FaultyDisk, operation: Operation, data: Any, fault: Fault) -> None:
        if operation.name == "write":
            with os.fdopen(opened(operation.path), "wb") as file:
                file.write(memoryview(data)[: fault.torn])
        if fault.kind != "kill":
            Device(list(disk.device.pending), dict(disk.device.durable)).lose_power(fault.kind)

    def _refuse(self, disk: FaultyDisk, fault: Fault) -> bool:
        """Lets a child of this process go on into the fault; its open products are those of the copy."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Arrow's idle threads; the child needs none of them
            child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            assert status == 0, "came out as something else than a Stop with a hint"
            return False
        self.forked, disk.fault = True, fault
        for fd, path in disk.paths.items():
            os.dup2(opened(path), fd)
        return True

    # --- recoveries --------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        start = self._state()
        if start in self.good:
            self.counts["same files as before"] += 1
            return
        settled: list[str] = []

        def look(disk: FaultyDisk, operation: Operation, data: Any) -> None:
            if not settled and self._is_settled():
                settled.append(self._state())
                if settled[0] in self.good:
                    raise Rejoined

        try:
            self.case.recover(FaultyDisk(before=look))
        except Rejoined:
            self.counts["same files once swept"] += 1
        else:
            self.case.check()
            self.counts["recovered to the end"] += 1
        self.good |= {start, *settled}

    def _is_settled(self) -> bool:
        """A run with its run.toml, and no leftovers anywhere."""
        if not (self.case.place.run / "run.toml").is_file():
            return False
        return not any(name.endswith(PARTIAL) for folder, _ in self.folders for name in files_below(folder))

    def _state(self) -> str:
        """A digest of every name and of what is behind it. Keys made anew in a branch differ each time: of these it is
        told whether the one opens the other."""
        lines = []
        for folder, _ in self.folders:
            for name in sorted(files_below(folder)):
                path = folder / name
                lines.append(f"{folder.name}/{name} {self._contents(path)}")
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def _contents(self, path: Path) -> str:
        run, status = self.case.place.run, path.lstat()
        if path.is_dir():
            return "folder"
        if status.st_nlink > 1:  # still the file of the halted audit, which is never changed in place
            return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"
        if path in (run / RUN_KEY, run / RUN_SECRETS) and self.case.name in AUDITS and (run / "run.toml").is_file():
            return f"a pair: {opens(run, read_identities([run / RUN_KEY]))}"
        return hashlib.sha256(path.read_bytes()).hexdigest()


def files_below(folder: Path) -> Iterator[str]:
    """Every file and folder below, by its name from there."""
    start = len(str(folder)) + 1
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield f"{place}/{name}"[start:]


def opened(path: Path) -> int:
    """For writing: at the end of a product in the making, from the start of what is being wiped."""
    return os.open(path, os.O_WRONLY | (os.O_APPEND if path.name.endswith(PARTIAL) else 0))


def link_tree(source: str, target: str) -> None:
    """A second name for every finished product, which nothing writes to; a copy of what is written to or locked."""
    os.mkdir(target)  # noqa: PTH102 - tens of thousands of times, as all here
    with os.scandir(source) as found:
        for entry in found:
            other = f"{target}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                link_tree(entry.path, other)
            elif entry.name.endswith((PARTIAL, ".lock", RUN_KEY)):
                shutil.copyfile(entry.path, other)
            else:
                os.link(entry.path, other)


def every_fault(at: int, operation: Operation) -> Iterator[Fault]:
    """All points of an operation. The torn lengths come last to first, so that the whole write is met early."""
    for torn in reversed(torn_lengths(operation)):
        for kind in KINDS:
            yield Fault(at, kind, torn)
