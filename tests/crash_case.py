"""The small audit that crashes: three shards of three formats in which everything happens that can happen.

In it: the workload, one run into a fault, one recovery, and what must be the same after it. Not in it: which faults.
Rules: a loss is an AssertionError that says which faults made it; ENOSPC and EIO come out as `Stop` and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests import crash_pictures
from tests.driving import Place, Silent
from tests.faults import REFUSALS, Device, Fault, FaultyDisk, Killed
from vetset.config import PolicySettings, Rule, RunSettings
from vetset.errors import Stop
from vetset.ledger import open_run
from vetset.pipeline.cleaning import kept_files
from vetset.wiring import job

#: A file system in memory where there is one: what a sync does to a real device is not what is tested.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def address(text: str) -> str:
    return f"https://{text}.example/"


#: (url, md5, punsafe) by shard. `bad` is on a list by digest, `worse` by URL; `chain` is reached in a second round;
#: `common` is borne by a hit and by more rows than may spread, so they are held; the last row of each is policy.
ROWS: dict[str, list[tuple[str, str, float]]] = {
    "a.parquet": [
        (address("a0"), md5("plain0"), 0.1),
        (address("shared"), md5("bad"), 0.1),
        (address("a2"), md5("common"), 0.1),
        (address("a3"), md5("unsafe"), 0.99),
    ],
    "deep/b.csv": [
        (address("shared"), md5("chain"), 0.1),
        (address("b1"), md5("common"), 0.1),
        (address("b2"), md5("plain1"), 0.1),
    ],
    "deep/c.jsonl": [
        (address("worse"), md5("common"), 0.1),
        ("", md5("chain"), 0.1),
        (address("c2"), md5("plain2"), 0.98),
    ],
}
SPREAD_LIMIT = 2


def write_case(root: Path) -> Place:
    """The dataset and its lists under `root`."""
    place = Place(root)
    for name, rows in ROWS.items():
        path = place.dataset / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            urls, digests, scores = zip(*rows, strict=True)
            place.write({name: pa.table({"url": urls, "md5": digests, "punsafe": scores})})
        elif name.endswith(".csv"):
            path.write_text("url,md5,punsafe\n" + "".join(f"{u},{d},{p}\n" for u, d, p in rows), "utf-8")
        else:
            lines = (json.dumps({"url": u, "md5": d, "punsafe": p}) for u, d, p in rows)
            path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    place.list_of("one", {"md5": [md5("bad")]})
    place.list_of("two", {"url": [address("worse")]})
    return place


OPTIONS: dict[str, Any] = {
    "spread_limit": SPREAD_LIMIT,
    "policy": PolicySettings(rules=(Rule(punsafe_above=0.95),)),
    "run_settings": RunSettings(runner="serial", batch_rows=8),
}


#: The same for an audit that looks into pictures, whose rows have no score to make a policy of.
OF_PICTURES: dict[str, Any] = {
    "spread_limit": crash_pictures.SPREAD_LIMIT,
    "reach": "local",
    "run_settings": RunSettings(runner="serial", batch_rows=8),
}

Job = Callable[[Place, FaultyDisk, bool], None]


def audit(place: Place, disk: FaultyDisk, resume: bool) -> None:
    result = place.audit(disk=disk, resume=resume, **OPTIONS)
    assert result.complete, "the run is not complete"


def close(place: Place, disk: FaultyDisk, resume: bool) -> None:
    job.close(place.run, disk)


def clean(place: Place, disk: FaultyDisk, resume: bool) -> None:
    result = job.clean(place.request(resume=True, **OPTIONS), Silent(), lambda: 0.0, disk)
    assert result.complete, "the run is not complete"


def audit_pictures(place: Place, disk: FaultyDisk, resume: bool) -> None:
    result = place.audit(disk=disk, resume=resume, **OF_PICTURES)
    assert result.complete, "the run is not complete"


def clean_pictures(place: Place, disk: FaultyDisk, resume: bool) -> None:
    result = job.clean(place.request(resume=True, **OF_PICTURES), Silent(), lambda: 0.0, disk)
    assert result.complete, "the run is not complete"


def pictures_expanded_and_closed(place: Place) -> None:
    job.go_on(place.request(**OF_PICTURES), Silent(), lambda: 0.0, until="expand")
    job.close(place.run)


def nothing(place: Place) -> None:
    """An audit starts from nothing."""


def audited(place: Place) -> None:
    audit(place, FaultyDisk(), False)


def expanded_and_closed(place: Place) -> None:
    job.go_on(place.request(**OPTIONS), Silent(), lambda: 0.0, until="expand")
    job.close(place.run)


#: What is struck, by name, and what there is before: an audit, the closing of a run, a clean from a closed run.
JOBS: dict[str, tuple[Job, Callable[[Place], None]]] = {
    "audit": (audit, nothing),
    "close": (close, audited),
    "clean": (clean, expanded_and_closed),
    "pictures": (audit_pictures, nothing),
    "pictures clean": (clean_pictures, pictures_expanded_and_closed),
}
#: Jobs that begin with an audit's first operation, so that keys are made anew in each.
AUDITS = frozenset({"audit", "pictures"})


@dataclass
class Case:
    """A job in its place, what an undisturbed one gave, and how many operations that took."""

    name: str
    place: Place
    wanted: dict[str, Any] = field(default_factory=dict)
    operations: int = 0

    def clear(self) -> None:
        """What there is before the job."""
        for folder in (self.place.run, self.place.cleaned):
            shutil.rmtree(folder, ignore_errors=True)
            if self.before(folder).exists():
                shutil.copytree(self.before(folder), folder)

    def before(self, folder: Path) -> Path:
        return self.place.root / "before" / folder.name

    def go(self, disk: FaultyDisk, *, resume: bool) -> None:
        JOBS[self.name][0](self.place, disk, resume)

    def prepare(self) -> None:
        """Does the job once, undisturbed."""
        JOBS[self.name][1](self.place)
        for folder in (self.place.run, self.place.cleaned):
            if folder.exists():
                shutil.copytree(folder, self.before(folder))
        disk = FaultyDisk()
        self.go(disk, resume=False)
        self.wanted, self.operations = self.place.sameness(), len(disk.operations)
        self.check()
        self.clear()

    def strike(self, fault: Fault, device: Device, *, resume: bool) -> bool:
        """Runs into the fault; False if the run ended before it came. Raises AssertionError for any other ending."""
        disk = FaultyDisk(fault=fault, device=device)
        stop: Stop | None = None
        try:
            self.go(disk, resume=resume)
        except Killed:
            return True
        except Stop as caught:
            stop = caught
        if stop is None:
            assert len(disk.operations) <= fault.at, f"{fault} was passed over"
            return False
        assert fault.kind in REFUSALS, stop.message
        assert stop.hint
        return True

    def recover(self, disk: FaultyDisk | None = None) -> None:
        """The same job again, an audit with `resume`, and left in peace."""
        self.go(disk or FaultyDisk(), resume=True)

    def check(self) -> None:
        """Raises AssertionError if anything differs from the undisturbed run, or if the ledger does not hold."""
        found = self.place.sameness()
        differing = [name for name, value in self.wanted.items() if found[name] != value]
        assert not differing, f"differs from the undisturbed run: {', '.join(differing)}"
        ledger, _ = open_run(self.place.run)
        vault, _ = self.place.vault()
        problems = ledger.verify(self.place.cleaned, partial(kept_files, vault))
        assert not problems, problems
        left = [path.name for folder in (self.place.run, self.place.cleaned) for path in folder.rglob("*.partial")]
        assert not left, f"left behind: {left}"
        if self.name not in AUDITS:
            keys = [name for name in ("run.key", "joins") if (self.place.run / name).exists()]
            assert not keys, f"outlived the close: {keys}"


@contextmanager
def crash_case(name: str = "audit") -> Iterator[Case]:
    """The case in a folder of its own, after one undisturbed run."""
    write = crash_pictures.write_pictures if name.startswith("pictures") else write_case
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, crash_pictures.standing_sandbox():
        case = Case(name, write(Path(folder)))
        case.prepare()
        yield case


@contextmanager
def blamed(faults: Sequence[object]) -> Iterator[None]:
    """A loss, or any exception that is none of ours, with the faults that led to it: what is needed to see it again."""
    try:
        yield
    except Exception as error:
        raise AssertionError(f"{list(faults)}: {type(error).__name__}: {error}") from error
