"""How often one host is asked: a token bucket, pauses that it asks for, and a breaker when it does not answer.

In it: arithmetic over seconds that are handed in. Not in it: clocks, queues, sockets.
Rules: two requests to a host never start closer together than the interval; a host that asks to wait is left alone as
long as it asks, and a little longer by chance, so that not all come back at once; one that fails again and again is
left alone, then tried once, and given up when that fails too often.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from vetset.records import FetchOutcome


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for what. Seconds."""

    first_pause_seconds: float = 2.0  # after a first answer that asks for less haste without saying how much
    most_pause_seconds: float = 300.0  # a request whose host asks for more ends instead
    failures_to_open: int = 4  # in a row
    rest_seconds: float = 30.0  # of an open breaker, before one request tries again
    trials: int = 2  # that may fail before a host is given up
    given_up_seconds: float = 3600.0
    speed_seconds: float = 5.0  # over which the rate of a transfer is measured


#: Outcomes that say that a host does not answer at all, whatever it is asked for.
_NO_ANSWER = frozenset({
    FetchOutcome.DNS, FetchOutcome.REFUSED, FetchOutcome.TIMEOUT, FetchOutcome.TLS_INVALID, FetchOutcome.SERVER_ERROR,
})  # fmt: skip


@dataclass(slots=True)
class Pace:
    """When one host may be asked next. All times are seconds of the same clock."""

    interval_seconds: float
    patience: Patience
    random: Random
    next_seconds: float = 0.0  # no request starts before
    one_at_a_time: bool = False  # the host is being tried: until it has answered, nothing else is asked of it
    _pauses: int = 0  # in a row
    _failures: int = 0  # in a row
    _trials: int = 0  # of the open breaker that failed
    _trying: bool = False  # one request is on its way to see whether the host answers again
    _cause: FetchOutcome | None = None
    _given_up_until: float = 0.0

    def given_up(self, now: float) -> FetchOutcome | None:
        """What becomes of requests to a host that was given up: what became of the last one that was made."""
        return self._cause if now < self._given_up_until else None

    def asked(self, now: float) -> None:
        """A request starts."""
        self._trying = self.one_at_a_time
        self.next_seconds = max(self.next_seconds, now) + self.interval_seconds

    def answered(self, now: float, outcome: FetchOutcome, *, reached: bool) -> None:
        """A request ended. `reached`: an answer came, whatever it said."""
        if reached or outcome not in _NO_ANSWER:
            self._failures = self._trials = self._pauses = 0
            self.one_at_a_time = False
            return
        was_open = self.one_at_a_time
        self._failures += 1
        self._cause = outcome
        self.one_at_a_time = self._failures >= self.patience.failures_to_open
        if was_open and not self._trying:
            return  # it was on its way when the breaker opened
        self._trials += was_open
        if self._trials >= self.patience.trials:
            self._trials, self._given_up_until = 0, now + self.patience.given_up_seconds
        elif self.one_at_a_time:
            self._rest(now, self.patience.rest_seconds * 2**self._trials)

    def hold(self, now: float, wished_seconds: float) -> bool:
        """The host asks for less haste (429, 503). False: for more than is waited for."""
        self._failures = self._trials = 0
        self.one_at_a_time = False
        wanted = max(wished_seconds, self.patience.first_pause_seconds * 2**self._pauses)
        if wanted > self.patience.most_pause_seconds:
            return False
        self._pauses += 1
        self._rest(now, wanted)
        return True

    def slow_down(self, interval_seconds: float) -> None:
        """The host asks for a longer interval."""
        self.interval_seconds = max(self.interval_seconds, interval_seconds)

    def _rest(self, now: float, seconds: float) -> None:
        self.next_seconds = max(self.next_seconds, now + seconds * (1 + 0.25 * self.random.random()))
