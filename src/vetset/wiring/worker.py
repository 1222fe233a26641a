"""The worker: how its room is built from a plan, and `run_task`.

In it: what runs inside a worker before and around a task. Not in it: what a task does (`pipeline.shard`), and how a
run is made or reopened (`opening`).
Rules: `run_task` is all a runner ever calls; the runner's shard boundary stands around it, inside the worker;
descriptors of lists and keys are inherited, never paths.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing import reduction
from pathlib import Path
from typing import Any, Self

from vetset.config import RunSettings, Settings
from vetset.datasets.formats import ByFormat
from vetset.datasets.printable import printable
from vetset.errors import ShardError, SinkError, Stop
from vetset.hashlists.compiled import map_list
from vetset.ledger import Disk, Ledger, Sink
from vetset.pipeline import room as work
from vetset.pipeline.shard import do
from vetset.ports import Decoder, Fetcher, FingerprintKind, Runner
from vetset.records import Reach, Shard, Task, TaskReport
from vetset.runners.local import Local
from vetset.runners.serial import Serial, place_of
from vetset.sandbox.room import Sandbox
from vetset.vault import RunKeys, Vault, read_identities
from vetset.wiring.agreed import asking_settings

OpenFetcher = Callable[[Settings], contextlib.AbstractContextManager[Fetcher]]


def fetcher_of(settings: Settings) -> contextlib.AbstractContextManager[Fetcher]:
    """The network as the settings ask for it: the one place that builds its adapter."""
    from vetset.fetcher.web import WebFetcher  # noqa: PLC0415 - no other run loads a network client

    return WebFetcher(asking_settings(settings))


class Inherited:
    """A file descriptor that a spawned worker gets by inheritance; it cannot be pickled for anything else."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __reduce__(self) -> tuple[Any, tuple[Any]]:
        return (_arrived, (reduction.DupFd(self.fd),))


def _arrived(duplicate: Any) -> Inherited:
    return Inherited(duplicate.detach())


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """All that a worker is built from: paths, settings, and descriptors of what must not lie on disk."""

    run: Path
    dataset_root: Path
    cleaned: Path | None
    custodians: tuple[str, ...]
    identities: tuple[Path, ...]
    list_fds: tuple[Inherited, ...]
    near_fds: tuple[Inherited | None, ...]  # what finds near keys, list by list, where pictures are looked into
    keys_fd: Inherited
    settings: work.ShardSettings
    reading: Settings
    shards: tuple[Shard, ...] = ()
    fetchers: OpenFetcher | None = None  # what opens the network; only where it is reached


_OBJECTS_BETWEEN_SEARCHES = 50_000
_ROOM: list[work.Room] = []  # one a process: what a worker has in hand between its tasks


@contextlib.contextmanager
def _standing_room(plan: WorkerPlan, disk: Disk) -> Iterator[None]:
    with _Decoders(plan.reading) as decoders, _Network(plan) as network:
        _ROOM.append(room_of(plan, disk, decoders, network))
        try:
            yield
        finally:
            _ROOM.pop()


class _Decoders:
    """The sandbox of a worker, started when its first picture comes, and ended with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sandbox: Sandbox | None = None

    def __call__(self) -> Sandbox:
        if self._sandbox is None:
            self._sandbox = Sandbox(self._settings.fingerprint, self._settings.sandbox)
        return self._sandbox

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._sandbox is not None:
            self._sandbox.close()


class _Network:
    """The fetcher of a worker, opened when its first address is asked, and closed with it."""

    def __init__(self, plan: WorkerPlan) -> None:
        self._plan = plan
        self._standing = contextlib.ExitStack()
        self._fetcher: Fetcher | None = None

    def __call__(self) -> Fetcher:
        if self._fetcher is None:
            if self._plan.fetchers is None:
                raise Stop("this run reaches no network", hint="audit anew with --reach fetch")
            self._fetcher = self._standing.enter_context(self._plan.fetchers(self._plan.reading))
        return self._fetcher

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._standing.close()


@dataclass(frozen=True, slots=True)
class Boot:
    """Starts a worker: called once in each process before its first task."""

    plan: WorkerPlan
    disk: Disk = field(default_factory=Disk)

    def __call__(self) -> contextlib.AbstractContextManager[None]:
        # What is imported by now stays; findings are many small objects without cycles, which need no search for any.
        gc.freeze()
        gc.set_threshold(_OBJECTS_BETWEEN_SEARCHES)
        return _standing_room(self.plan, self.disk)


def room_of(plan: WorkerPlan, disk: Disk, decoders: Callable[[], Decoder], network: Callable[[], Fetcher]) -> work.Room:
    """Builds what a worker has from its plan."""
    ledger = Ledger(plan.run, disk)
    keys = RunKeys.from_fd(plan.keys_fd.fd)
    identities = read_identities(plan.identities)
    kept = Vault(ledger.sink, keys, plan.custodians, identities, folder="digests")
    return work.Room(
        root=plan.dataset_root,
        dataset=ByFormat(plan.dataset_root, plan.reading),
        lists=[
            map_list(exact.fd, near.fd if near else None)
            for exact, near in zip(plan.list_fds, plan.near_fds, strict=True)
        ],
        ledger=ledger,
        vault=Vault(ledger.sink, keys, plan.custodians, identities),
        keys=keys,
        settings=plan.settings,
        cleaned=Sink(plan.cleaned, disk) if plan.cleaned else None,
        decoder=decoders,
        kinds=kinds_of(plan.reading) if plan.settings.reach is not Reach.COLUMNS else (),
        shards=plan.shards,
        fetcher=network,
        digests=kept if plan.settings.fetch.keep_digests else None,
    )


def kinds_of(settings: Settings) -> tuple[FingerprintKind, ...]:
    """The optional kinds of fingerprint that the settings name, to be compared by their own distance."""
    kinds: tuple[FingerprintKind, ...] = ()
    for name in settings.fingerprint.kinds:
        module, _, attribute = name.partition(":")
        try:
            kinds += (getattr(importlib.import_module(module), attribute)(),)
        except (ImportError, AttributeError, TypeError, ValueError):
            raise Stop(
                f"the optional kind of fingerprint {printable(name)} cannot be loaded",
                hint="[fingerprint] kinds names module:Class of an installed library",
            ) from None
    return kinds


def run_task(task: Task) -> TaskReport:
    """The only function a runner calls. Known trouble becomes a report; the rest is the runner's shard boundary's."""
    started = time.monotonic()
    try:
        report = do(_ROOM[-1], task)
    except SinkError as error:
        return TaskReport(task, stop=sink_words(error), hint=SINK_HINT)
    except ShardError as error:
        return TaskReport(task, trouble=error.trouble.value, detail=error.detail, place=place_of(error))
    return replace(report, seconds=time.monotonic() - started)


SINK_HINT = "free space or mend the device, then run the same command again (audit: with --resume); no work is lost"


def sink_words(error: SinkError) -> str:
    """A refused write, for a person."""
    return f"cannot {error.action} {error.name}: {os.strerror(error.error_number)}"


def workers_of(settings: RunSettings) -> int:
    """How many processes carry the tasks."""
    return 1 if settings.runner == "serial" else settings.workers or len(os.sched_getaffinity(0))


def must_be_known(settings: RunSettings) -> None:
    """Raises Stop for a runner that does not exist."""
    if settings.runner not in _RUNNERS:
        raise Stop(f"unknown runner {settings.runner!r}", hint=f"known: {', '.join(_RUNNERS)}")


_RUNNERS = ("local", "serial")


def runner_of(plan: WorkerPlan, disk: Disk) -> Runner:
    """The runner that the settings name. `disk` is what the workers write through."""
    boot = Boot(plan, disk)
    return Serial(boot) if plan.reading.run.runner == "serial" else Local(boot, workers_of(plan.reading.run))
