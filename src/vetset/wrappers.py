"""What stands around a platform and is one itself: asking again, keeping to limits, and only counting.

In it: `Retrying`, `Limited` with its counting file, `DryRun`. Not in it: any service, and how long all of it takes
(`kernels.planned`).
Rules: only what may pass is asked again, and each attempt is a request that counts, so limits stand inside of
retries; a request is counted before it is sent, for one whose answer is lost counts with the body too; clock, waiting
and chance are given; a dry run holds no way to any body and answers nothing that could be taken for a verdict.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final

from vetset.errors import ServiceError, Stop
from vetset.kernels import duration_words, month_of, seconds_left_of_month
from vetset.ports import Platform
from vetset.records import Abilities, Question, Verdict

Clock = Callable[[], float]  # seconds since 1970, UTC
Wait = Callable[[float], None]  # seconds

#: The codes of errors that are no fault of the body's: nothing was sent, and the month's quota is used up.
DRY_RUN: Final = "dry_run"
MONTH_QUOTA: Final = "month_quota"


@dataclass(frozen=True, slots=True)
class Patience:
    """How often is asked, and how long is waited between: doubled each time, and drawn from its upper half.

    A body that says how long to wait is waited for, up to `most_said_seconds`; beyond that its error stands.
    """

    attempts: int = 5
    first_seconds: float = 1.0
    most_seconds: float = 60.0
    most_said_seconds: float = 300.0


class Retrying:
    """A platform that is asked again where that can help."""

    def __init__(self, platform: Platform, *, wait: Wait, random: Random, patience: Patience = Patience()) -> None:
        self._platform = platform
        self._wait = wait
        self._random = random
        self._patience = patience

    @property
    def abilities(self) -> Abilities:
        return self._platform.abilities

    def ready(self) -> None:
        """As the platform says."""
        self._platform.ready()

    def judge(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        """One verdict for each question. Raises the last ServiceError when nothing more can help."""
        for attempt in range(1, self._patience.attempts):
            try:
                return self._platform.judge(questions)
            except ServiceError as error:
                if not error.may_pass or error.wait_seconds > self._patience.most_said_seconds:
                    raise
                self._wait(max(error.wait_seconds, self._pause_seconds(attempt)))
        return self._platform.judge(questions)

    def _pause_seconds(self, attempt: int) -> float:
        most = min(self._patience.most_seconds, self._patience.first_seconds * 2.0 ** (attempt - 1))
        return self._random.uniform(most / 2, most)


class Limited:
    """A platform that is asked no more often in a second, and no more in a month, than it declares.

    Processes that are given the same file keep the limits together.
    """

    def __init__(self, platform: Platform, *, counted_in: Path, clock: Clock, wait: Wait) -> None:
        self._platform = platform
        self._count = counted_in
        self._clock = clock
        self._wait = wait

    @property
    def abilities(self) -> Abilities:
        return self._platform.abilities

    def ready(self) -> None:
        """As the platform says; this is a request too. Raises Stop where the month's quota is used up."""
        try:
            self._take()
        except ServiceError as error:
            raise Stop(
                f"the month's quota of {error.service} is used up",
                hint=f"go on in {duration_words(error.wait_seconds)}, when the next month begins (UTC)",
            ) from None
        self._platform.ready()

    def judge(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        """One verdict for each question, when it is time. Raises ServiceError of the code MONTH_QUOTA."""
        if questions:
            self._take()
        return self._platform.judge(questions)

    def _take(self) -> None:
        """Counts one request, and waits until it may go."""
        abilities = self.abilities
        with _counted(self._count) as count:
            now = self._clock()
            moment = datetime.fromtimestamp(now, UTC)
            if count.month != month_of(moment):
                count.month, count.requests = month_of(moment), 0
            if abilities.requests_per_month and count.requests >= abilities.requests_per_month:
                raise ServiceError(abilities.name, MONTH_QUOTA, wait_seconds=seconds_left_of_month(moment))
            gap = 1.0 / abilities.requests_per_second if abilities.requests_per_second else 0.0
            at = max(now, count.next_at) if count.next_at - now < _MOST_QUEUE_SECONDS + _MOST_QUEUE * gap else now
            count.requests += 1
            count.next_at = at + gap
        if at > now:
            self._wait(at - now)


class DryRun:
    """In place of a platform: counts what would be sent, and sends nothing."""

    def __init__(self, abilities: Abilities) -> None:
        self.abilities = abilities
        self.fingerprints: Counter[str] = Counter()  # by kind
        self.shapes: Counter[tuple[tuple[str, int], ...]] = Counter()  # requests, by how many of each kind they hold

    @property
    def requests(self) -> int:
        """How many would be sent."""
        return self.shapes.total()

    def ready(self) -> None:
        """Nobody is asked."""

    def judge(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        """Nothing for nothing. Raises ServiceError of the code DRY_RUN for anything else, once it is counted."""
        if len(questions) > self.abilities.batch:
            raise ValueError("more questions than a request of this body holds")
        if not questions:
            return ()
        kinds = Counter(question.kind for question in questions)
        self.fingerprints += kinds
        self.shapes[tuple(sorted(kinds.items()))] += 1
        raise ServiceError(self.abilities.name, DRY_RUN)


# --- the counting file ----------------------------------------------------------------------------------------------

#: A next turn further off than this is a clock that was set back, not a queue.
_MOST_QUEUE_SECONDS, _MOST_QUEUE = 600.0, 100
#: One write of a fixed size: there is no moment at which the file holds half a count.
_LINE_BYTES = 128


@dataclass(slots=True)
class _Count:
    month: str = ""
    requests: int = 0
    next_at: float = 0.0  # when the next request may go


def requests_counted(counted_in: Path, now: float) -> int:
    """How many requests were counted in the month (UTC) of a moment. Raises Stop for a file that cannot be read."""
    try:
        text = counted_in.read_bytes()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise _unreadable(counted_in, error.strerror or "") from None
    count = _parsed(counted_in, text)
    return count.requests if count.month == month_of(datetime.fromtimestamp(now, UTC)) else 0


@contextmanager
def _counted(path: Path) -> Iterator[_Count]:
    """The count, for one process at a time; what is changed is kept, unless an error ends the context."""
    try:
        for folder in (path.parent.parent, path.parent):  # `mode` is for the last of a path only
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unreadable(path, error.strerror or "") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # it goes with the descriptor
        count = _parsed(path, os.pread(handle, _LINE_BYTES * 2, 0))
        yield count
        _keep(path, handle, count)
    finally:
        os.close(handle)


def _keep(path: Path, handle: int, count: _Count) -> None:
    said = {"month": count.month, "requests": count.requests, "next_at": round(count.next_at, 6)}
    line = json.dumps(said).ljust(_LINE_BYTES - 1) + "\n"
    try:
        os.pwrite(handle, line.encode("ascii"), 0)
        os.fsync(handle)
    except OSError as error:
        raise _unreadable(path, error.strerror or "") from None


def _parsed(path: Path, text: bytes) -> _Count:
    if not text:
        return _Count()
    try:
        said = json.loads(text)
        return _Count(str(said["month"]), int(said["requests"]), float(said["next_at"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise _unreadable(path, "it cannot be understood") from None


def _unreadable(path: Path, why: str) -> Stop:
    return Stop(
        f"cannot count requests in {path}: {why}",
        hint="it keeps a body's monthly quota: restore it, or delete it if none was asked this month",
    )
