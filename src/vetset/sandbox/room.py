"""The worker's side of the sandbox: `Sandbox`, which has a child look at pictures and outlives whatever it dies of.

In it: which picture is asked about when, the deadline, the second attempt, and the outcome of one that kills.
Not in it: the process (`process`), the memory (`arena`), decoding (`child`). Rules: one answer for each picture, in
order; a child looks at one picture after another, so the oldest that is unanswered is the one that killed it; that one
is tried once more in a fresh child and then named; a death by the filter is named even if the second attempt succeeds.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from vetset.config import FingerprintSettings, SandboxSettings
from vetset.errors import Stop
from vetset.records import Decoded, FingerprintOutcome, Picture, ViewPrint
from vetset.sandbox.arena import Arena
from vetset.sandbox.child_plan import ChildPlan
from vetset.sandbox.geometry import is_auditable
from vetset.sandbox.level import SandboxLevel
from vetset.sandbox.process import Child, Died
from vetset.sandbox.wire import MOST_VIEWS, Hello, Reply, Request

#: A child is replaced after so many pictures, so that one that was taken over does not stay.
PICTURES_OF_A_CHILD = 1000

#: Requests in flight at most: few enough that writing one never blocks (64 KiB of pipe), and a child stays busy.
_MOST_IN_FLIGHT = 256
_ATTEMPTS = 2
_STARTS = 3

_HINT = "run vetset doctor; where the system lacks the means, leave --sandbox required away"


@dataclass(slots=True)
class _Job:
    """A picture on its way."""

    picture: Picture
    deaths: int = 0
    alarmed: bool = False
    views: list[ViewPrint] = field(default_factory=list)
    answer: Decoded | None = None

    def settle(self, outcome: FingerprintOutcome) -> None:
        if self.alarmed:
            outcome = FingerprintOutcome.SANDBOX_ALARM
        self.answer = Decoded(self.picture.row, outcome, tuple(self.views))


class Sandbox:
    """A `ports.Decoder`. Used in the main thread only: a child dies with the thread that started it."""

    def __init__(
        self,
        fingerprint: FingerprintSettings,
        sandbox: SandboxSettings,
        *,
        strongest: SandboxLevel = SandboxLevel.SECCOMP_LANDLOCK,
        pictures_of_a_child: int = PICTURES_OF_A_CHILD,
    ) -> None:
        """Starts the first child. Raises Stop if it cannot be started, or not as confined as is required."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("decoding children are started from the main thread only: they live as long as that")
        self._timeout_seconds = sandbox.timeout_seconds
        self._max_bytes = fingerprint.max_bytes
        self._pictures_of_a_child = pictures_of_a_child
        self._required = sandbox.required
        self._names = tuple(fingerprint.kinds)
        self._arena = Arena(fingerprint.max_bytes)
        self._plan = ChildPlan(
            parent_pid=os.getpid(),
            arena_bytes=self._arena.size_bytes,
            memory_bytes=sandbox.memory_bytes,
            max_pixels=fingerprint.max_pixels,
            strongest=strongest.value,
            luma=fingerprint.variant == "luma",
            kinds=self._names,
        )
        self._in_flight: deque[_Job] = deque()
        self._number = 0
        self._since = 0.0  # when the oldest picture in flight came into the child's hands
        self._child: Child | None = None
        self._level = strongest
        self._alarmed = False  # whether the last child that did not come up was killed by the filter
        with ExitStack() as undo:
            undo.callback(self.close)
            self._level = self._first().level
            undo.pop_all()

    @property
    def level(self) -> str:
        """What the child says it reached; the same for every child of a run."""
        return self._level.value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child."""
        self._bury()
        self._arena.close()

    def decode(self, pictures: Sequence[Picture]) -> Iterator[Decoded]:
        """One answer for each picture, in order. The first of them are in the child's hands when this returns."""
        if self._in_flight:  # an earlier batch was left before its end
            self._bury()
        jobs = [_Job(picture) for picture in pictures]
        waiting = deque(job for job in jobs if not self._settled_unseen(job))
        self._send(waiting)
        return self._answers(jobs, waiting)

    def _answers(self, jobs: Sequence[_Job], waiting: deque[_Job]) -> Iterator[Decoded]:
        for job in jobs:
            while job.answer is None:
                self._send(waiting)
                self._hear(waiting)
            yield job.answer

    def _settled_unseen(self, job: _Job) -> bool:
        """Whether a picture's outcome is known without a look at it."""
        length = len(job.picture.body.unseal())
        if not is_auditable(job.picture.stored):
            job.settle(FingerprintOutcome.NOT_AUDITABLE)
        elif length > self._max_bytes:
            job.settle(FingerprintOutcome.TOO_LARGE)
        elif not length:
            job.settle(FingerprintOutcome.UNDECODABLE)
        return job.answer is not None

    # --- to and from the child ------------------------------------------------------------------------------------

    def _send(self, waiting: deque[_Job]) -> None:
        """Sends as much as there is room for."""
        while waiting and len(self._in_flight) < _MOST_IN_FLIGHT:
            if self._child is None or (self._child.asked >= self._pictures_of_a_child and not self._in_flight):
                self._bury()
                self._fresh()
            if self._child is None or self._child.asked >= self._pictures_of_a_child:
                return
            body = waiting[0].picture.body.unseal()
            offset = self._arena.place(body)
            if offset is None:
                return
            self._ask(waiting.popleft(), offset, len(body))

    def _ask(self, job: _Job, offset: int, length: int) -> None:
        if not self._in_flight:
            self._since = time.monotonic()
        self._in_flight.append(job)
        self._number = (self._number + 1) % (1 << 32)
        self._sound_child().ask(Request(self._number, offset, length, job.picture.stored))

    def _hear(self, waiting: deque[_Job]) -> None:
        """Waits for the answer about the oldest picture in flight, or for the child's death."""
        if not self._in_flight:
            return
        job = self._in_flight[0]
        try:
            outcome = self._whole_answer(job)
        except Died as death:
            self._mourn(death, waiting)
            return
        self._since = time.monotonic()
        self._in_flight.popleft()
        self._arena.free_oldest()
        job.settle(outcome)

    def _whole_answer(self, job: _Job) -> FingerprintOutcome:
        child = self._sound_child()
        number = (self._number - len(self._in_flight) + 1) % (1 << 32)
        job.views.clear()
        deadline = self._since + self._timeout_seconds
        left = MOST_VIEWS
        while True:
            reply = child.reply(deadline)
            if not _follows(reply, number, left):
                raise Died(alarm=child.end())
            if reply.view is not None:
                job.views.append(reply.view)
            if not reply.more:
                return reply.outcome
            left = reply.more

    def _mourn(self, death: Died, waiting: deque[_Job]) -> None:
        """The child is dead: the oldest picture in flight is charged, all of them go back to the head of the queue."""
        charged = self._in_flight.popleft()
        charged.deaths += 1
        charged.alarmed |= death.alarm
        charged.views.clear()
        waiting.extendleft(reversed(self._in_flight))
        if charged.deaths >= _ATTEMPTS:
            charged.settle(FingerprintOutcome.SANDBOX_DEATH)
        else:
            waiting.appendleft(charged)
        self._bury()

    # --- the child's coming and going -----------------------------------------------------------------------------

    def _sound_child(self) -> Child:
        if self._child is None:
            raise RuntimeError("no child in the sandbox")
        return self._child

    def _bury(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None
        self._in_flight.clear()
        self._arena.free_all()

    def _first(self) -> Hello:
        """The first child; one with limits only where the filter does not let it decode its samples, if that may be."""
        hello = self._start()
        # Only the filter's own word lowers the level: a child that somebody else killed says nothing about the system.
        if hello is None and self._alarmed and self._level.rank > SandboxLevel.LIMITS.rank and not self._required:
            self._level = SandboxLevel.LIMITS
        return hello or self._fresh()

    def _fresh(self) -> Hello:
        """A new child, locked in as far as the first one was."""
        for _ in range(_STARTS):
            hello = self._start()
            if hello is not None:
                return hello
        raise Stop("cannot start a child to decode pictures in", hint=_HINT)

    def _start(self) -> Hello | None:
        readable = self._arena.readable()
        try:
            child = Child(replace(self._plan, strongest=self._level.value), readable)
        except OSError as error:
            raise Stop(f"no child to decode pictures in: {os.strerror(error.errno or 0)}", hint=_HINT) from None
        finally:
            os.close(readable)
        try:
            hello = child.hello()
        except Died as death:
            self._alarmed = death.alarm
            return None
        self._check(hello, child)
        self._child = child
        return hello

    def _check(self, hello: Hello, child: Child) -> None:
        if hello.failed_kind:
            child.end()
            name = self._names[hello.failed_kind - 1] if hello.failed_kind <= len(self._names) else "?"
            raise Stop(
                f"the optional kind {name} cannot be loaded",
                hint="[fingerprint] kinds names module:Class of an installed library; docs/reference/settings.md",
            )
        if self._required and hello.level.rank < SandboxLevel.SECCOMP.rank:
            child.end()
            raise Stop(
                f"pictures cannot be decoded in a sandbox here: only {hello.level.value!r} was reached", hint=_HINT
            )


def _follows(reply: Reply, number: int, left: int) -> bool:
    """Whether a reply is the next one of the answer that is being heard."""
    return reply.number == number and reply.more < left and (reply.view is not None or not reply.more)
