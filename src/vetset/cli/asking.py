"""How far the asking is: the words and figures of the line while addresses are fetched, and its warnings.

In it: rates, the share of answers with a picture, time left, when a warning is due. Not in it: where figures come from
(`pipeline.rounds`), the stream (`progress`).
Rules: counts and times only; a host is never named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from vetset.pipeline.watching import Pulse

#: The share of a run's answers is judged from so many on.
LEAST_ANSWERS = 100


@dataclass(slots=True)
class AskingCount:
    """A round of fetch as it was looked at last. What was answered before this run counts as done, not for rates."""

    name: str
    look: Callable[[], Pulse]
    started_seconds: float
    before: Pulse = field(default_factory=Pulse)
    now: Pulse = field(default_factory=Pulse)
    warned: bool = False
    hosts_warned: int = 0

    @classmethod
    def begun(cls, name: str, look: Callable[[], Pulse], started_seconds: float) -> AskingCount:
        pulse = look()
        return cls(name, look, started_seconds, pulse, pulse)

    def line(self, now_seconds: float) -> str:
        """The round as it stands; looks anew."""
        self.now = self.look()
        elapsed = max(now_seconds - self.started_seconds, 1e-9)
        answered = self.now.answered - self.before.answered
        rate, bytes_rate = answered / elapsed, (self.now.bytes - self.before.bytes) / elapsed
        left = (self.now.planned - self.now.answered) / rate if rate > 0 else None
        parts = [
            f"{self.name}: {self.now.answered:,}/{self.now.planned:,} addresses",
            f"{rate:,.1f} addresses/s",
            f"{bytes_rate / 1e6:,.1f} MB/s",
            f"{self.share():.0%} with a picture",
            f"{self.now.hosts:,} hosts open",
            "time left unknown" if left is None else f"{clock_face(left)} left",
        ]
        return ", ".join(parts)

    def share(self) -> float:
        """The share of the answers that brought a picture; 1 while there are none."""
        return self.now.fetched / self.now.answered if self.now.answered else 1.0

    def warnings(self) -> Iterator[str]:
        """What should worry somebody: the run as a whole, once, and hosts, each time that they are twice as many."""
        if not self.warned and self.now.answered >= LEAST_ANSWERS and self.share() < self.now.floor:
            self.warned = True
            yield (
                f"warning: only {self.share():.0%} of the answers brought a picture (floor {self.now.floor:.0%}): "
                "is this machine's network as it should be, or are these addresses mostly gone?"
            )
        if self.now.low >= max(1, 2 * self.hosts_warned):
            self.hosts_warned = self.now.low
            noun = "host answers" if self.now.low == 1 else "hosts answer"
            yield f"warning: {self.now.low:,} {noun} with a picture less often than the floor of {self.now.floor:.0%}"


def clock_face(seconds: float) -> str:
    """Hours, minutes and seconds as 1:02:03, without hours where there are none."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
