"""The small audit that crashes: three shards of three formats in which everything happens that can happen.

In it: the workload, one run into a fault, one recovery, and what must be the same after it. Not in it: which faults.
Rules: a loss is an AssertionError that says which faults made it; ENOSPC and EIO come out as `Stop` and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.driving import Place
from tests.faults import REFUSALS, Device, Fault, FaultyDisk, Killed
from vetset.config import PolicySettings, Rule, RunSettings
from vetset.errors import Stop
from vetset.ledger import open_run

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


@dataclass
class Case:
    """The audit in its place, what an undisturbed one gave, and how many operations that took."""

    place: Place
    wanted: dict[str, Any]
    operations: int

    def clear(self) -> None:
        for folder in (self.place.run, self.place.cleaned):
            shutil.rmtree(folder, ignore_errors=True)

    def strike(self, fault: Fault, device: Device, *, resume: bool) -> bool:
        """Runs into the fault; False if the run ended before it came. Raises AssertionError for any other ending."""
        disk = FaultyDisk(fault=fault, device=device)
        try:
            self.place.audit(disk=disk, resume=resume, **OPTIONS)
        except Killed:
            assert fault.kind not in REFUSALS
        except Stop as stop:
            assert fault.kind in REFUSALS, stop.message
            assert stop.hint
        else:
            assert len(disk.operations) <= fault.at, f"{fault} was passed over"
            return False
        return True

    def recover(self, disk: FaultyDisk | None = None) -> None:
        """One undisturbed `--resume`."""
        result = self.place.audit(disk=disk or FaultyDisk(), resume=True, **OPTIONS)
        assert result.complete, "the recovered run is not complete"

    def check(self) -> None:
        """Raises AssertionError if anything differs from the undisturbed run, or if the ledger does not hold."""
        found = self.place.sameness()
        differing = [name for name, value in self.wanted.items() if found[name] != value]
        assert not differing, f"differs from the undisturbed run: {', '.join(differing)}"
        ledger, _ = open_run(self.place.run)
        problems = ledger.verify(self.place.cleaned)
        assert not problems, problems
        left = [path.name for folder in (self.place.run, self.place.cleaned) for path in folder.rglob("*.partial")]
        assert not left, f"left behind: {left}"


@contextmanager
def crash_case() -> Iterator[Case]:
    """The case in a folder of its own, after one undisturbed audit."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        place = write_case(Path(folder))
        disk = FaultyDisk()
        place.audit(disk=disk, **OPTIONS)
        case = Case(place, place.sameness(), len(disk.operations))
        case.check()
        case.clear()
        yield case


@contextmanager
def blamed(faults: Sequence[object]) -> Iterator[None]:
    """A loss, or any exception that is none of ours, with the faults that led to it: what is needed to see it again."""
    try:
        yield
    except Exception as error:
        raise AssertionError(f"{list(faults)}: {type(error).__name__}: {error}") from error
