"""The local runner: a pool of worker processes on this machine, which outlives the death of any of them.

In it: `Local`, the pool with its processes, and what a worker does to itself before its first task.
Not in it: what a task does, and any notion of a run: every task must be safe to kill and to run again.
Rules: workers are spawned, never forked; tasks are handed out from the main thread only, because a worker's
PR_SET_PDEATHSIG is "sent upon subsequent termination of the parent thread" that made it (prctl(2)), and for the same
reason workers are not recycled by the executor, which would spawn from a thread of its own; only reports cross back.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import threading
from collections.abc import Collection, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

import pyarrow as pa

from vetset.errors import Stop, Trouble
from vetset.ports import Boot, RunTask
from vetset.records import Task, TaskReport
from vetset.runners.serial import reported

#: How often a task may kill a worker that has nothing else to do before it is quarantined.
CHARGES = 3

#: After so long without news it is looked whether a worker died unnoticed.
PATIENCE_SECONDS = 5.0


class Local:
    """A `ports.Runner` over `workers` processes; 0 is one for each core this process may use.

    At most `window` tasks are in hand at once; 0 is one more than there are workers, so that none waits for the
    coordinator. The window is small because after a death every task in it runs again alone.
    """

    def __init__(self, boot: Boot, workers: int = 0, window: int = 0) -> None:
        self._boot = boot
        self._workers = workers or len(os.sched_getaffinity(0))
        self._window = window or self._workers + 1

    def run(self, run_task: RunTask, tasks: Iterable[Task]) -> Iterator[TaskReport]:
        """One report for each task, as they end. Closing the iterator, or any exception here, kills the workers.

        Raises RuntimeError outside the main thread and Stop when a worker cannot be started.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("the local runner works from the main thread only: its workers live as long as that")
        source = iter(tasks)
        while suspects := (yield from self._together(run_task, source)):
            for task in suspects:
                yield self._alone(run_task, task)

    def _together(self, run_task: RunTask, source: Iterator[Task]) -> Generator[TaskReport, None, list[Task]]:
        """Carries tasks in the full pool until there are no more, or some died or starved: those it answers."""
        in_hand: dict[Future[TaskReport], Task] = {}
        suspects: list[Task] = []
        with _pool(self._boot, self._workers) as pool:
            while self._fill(pool, run_task, source, in_hand, suspects):
                for future in _ended(pool, in_hand):
                    task = in_hand.pop(future)
                    report = _outcome(future, task)
                    if report is None or report.trouble == Trouble.OUT_OF_MEMORY:
                        suspects.append(task)
                        continue
                    self._fill(pool, run_task, source, in_hand, suspects)
                    yield report
        return suspects

    def _fill(
        self,
        pool: _Pool,
        run_task: RunTask,
        source: Iterator[Task],
        in_hand: dict[Future[TaskReport], Task],
        suspects: list[Task],
    ) -> bool:
        """Draws tasks up to the window, none while there are suspects; whether anything is in hand."""
        while len(in_hand) < self._window and not suspects:
            task = next(source, None)
            if task is None:
                break
            try:
                in_hand[pool.submit(run_task, task)] = task
            except BrokenExecutor:  # a worker died since the last look
                suspects.append(task)
        return bool(in_hand)

    def _alone(self, run_task: RunTask, task: Task) -> TaskReport:
        """A suspect by itself, each time in a new worker, so that nobody else can be to blame for its death.

        Memory that does not suffice even so is an answer and is not tried again.
        """
        for _ in range(CHARGES):
            with _pool(self._boot, 1) as pool:
                (future,) = _ended(pool, [pool.submit(run_task, task)])
                report = _outcome(future, task)
            if report is not None:
                return report
        return TaskReport(task, trouble=Trouble.QUARANTINED.value)


def _ended(pool: _Pool, in_hand: Collection[Future[TaskReport]]) -> list[Future[TaskReport]]:
    """Futures that are over: at least one, or all there are if their pool is dead and nobody told them.

    That happens: CPython 3.11 marks the futures of a broken pool without the lock that `submit` holds
    (`_ExecutorManagerThread.terminate_broken`), so that one submitted at that moment is never heard of again.
    """
    while True:
        done, _ = wait(in_hand, PATIENCE_SECONDS, return_when=FIRST_COMPLETED)
        if done or pool.bereaved():
            return list(done or in_hand)


def _outcome(future: Future[TaskReport], task: Task) -> TaskReport | None:
    """The report of a task that is over; None when its pool broke. What else went wrong went wrong with pickling."""
    if not future.done():
        return None
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, BrokenExecutor):
        return None
    return TaskReport(task, trouble=Trouble.INTERNAL.value, place=type(error).__name__)


# --- the pool -----------------------------------------------------------------------------------------------------


class _Spawning(SpawnContext):
    """The spawn context, which remembers what it made: the executor offers no way to end its workers at once."""

    def __init__(self) -> None:
        self.made: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802
        process = SpawnProcess(*args, **kwargs)
        self.made.append(process)
        return process


class _Pool:
    """A ProcessPoolExecutor and its processes."""

    def __init__(self, boot: Boot, workers: int) -> None:
        self._context = _Spawning()
        # What `boot` holds may be pickled while a process is being spawned and at no other time, hence initargs.
        self._executor = ProcessPoolExecutor(
            workers, mp_context=self._context, initializer=_begin, initargs=(boot, os.getpid())
        )

    def submit(self, run_task: RunTask, task: Task) -> Future[TaskReport]:
        """Hands out a task, spawning a worker where one is due. Raises Stop when none can be."""
        try:
            with _undisturbed():
                return self._executor.submit(_carry, run_task, task)
        except OSError as error:
            raise Stop(
                f"cannot start a worker process: {error.strerror or type(error).__name__}", hint="try fewer --workers"
            ) from None

    def bereaved(self) -> bool:
        """Whether a worker has died."""
        return any(process.pid is not None and process.exitcode is not None for process in self._context.made)

    def end(self) -> None:
        """Kills every worker, idle or not, and waits for them: the work is crash-safe, and this cannot hang."""
        for process in self._context.made:
            if process.pid is not None:
                process.kill()
        self._executor.shutdown(wait=True)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C waits until the end of the block, and a process born in it has SIGINT blocked.

    The mask alone does not hold it back: it is this thread's, and Python acts in the main thread on what any other
    thread took. An interrupt between a worker's birth and its orders would leave one that reports a missing pickle.
    """
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # what was pending is heard here
        signal.signal(signal.SIGINT, before)
        if heard:
            signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def _pool(boot: Boot, workers: int) -> Iterator[_Pool]:
    pool = _Pool(boot, workers)
    try:
        yield pool
    finally:
        pool.end()


# --- inside a worker ----------------------------------------------------------------------------------------------

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_DUMPABLE = 4

_WAITING: list[Boot] = []  # one a process, until its first task
_STANDING = contextlib.ExitStack()  # never closed: a worker ends by being killed


def _begin(boot: Boot, coordinator_pid: int) -> None:
    """Makes this process a worker: it dies with its coordinator, leaves Ctrl-C to it, and leaves no dump behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != coordinator_pid:  # it died before the line above, which then waits in vain
        os._exit(1)
    forbid_dumps()
    pa.set_cpu_count(1)  # parallelism is by shards
    pa.set_io_thread_count(1)
    _WAITING.append(boot)


def forbid_dumps() -> None:
    """No core dump of this process, and no other process of the user may read its memory: it holds keys and lists."""
    _prctl(_PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        os._exit(1)  # a worker that could be orphaned or dumped is none


def _carry(run_task: RunTask, task: Task) -> TaskReport:
    """A task inside a worker, which stands up at its first one.

    Not in the initializer: the executor would log an exception of `boot` with its message, and lose its reason.
    """

    def carried(task: Task) -> TaskReport:
        if _WAITING:
            _STANDING.enter_context(_WAITING[-1]())
            _WAITING.clear()
        return run_task(task)

    return reported(carried, task)
