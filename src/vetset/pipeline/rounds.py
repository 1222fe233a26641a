"""The rounds of fetch over all groups of hosts, as the coordinator drives them.

In it: which tasks a round is made of, when the rounds end, what is tried again, and how far a round is.
Not in it: choosing, asking and gathering, which are tasks in a worker (`planning`, `fetching`, `gathering`); the order
of the verbs (`audit`).
Rules: a round is asked only once its plan is committed; a plan that is there is never made anew; groups that failed are
left aside, and make the run incomplete.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from vetset.errors import Stop
from vetset.ledger import Ledger
from vetset.pipeline.parts import parts_step
from vetset.pipeline.planning import GATHERED, PLAN, named, step_of
from vetset.pipeline.watching import Pulse
from vetset.records import Shard, Task, TaskReport
from vetset.vault import Vault

_COUNTS = ("answered", "fetched", "bytes", "hosts", "low")


class Carry(Protocol):
    """Runs the tasks of a step that are not done yet; `rows` is what the step goes over."""

    def __call__(
        self,
        step: str,
        tasks: Sequence[Task],
        *,
        rows: int | None,
        besides: Sequence[str] = (),
        look: Callable[[], Pulse] | None = None,
    ) -> None: ...


@dataclass(slots=True, repr=False)
class Rounds:
    """The rounds of one run. `failed` is shared with the audit: groups that took no further part, and why."""

    ledger: Ledger
    vault: Vault
    most: int
    carry: Carry
    failed: dict[tuple[str, str], TaskReport]
    again: frozenset[str]
    explained: Callable[[TaskReport], str]
    floor: float = 0.0

    def ask(self) -> None:
        """Every round until one has nothing to ask, and what came of them gathered."""
        for number in range(1, self.most + 1):
            groups = self._planned(number)
            if not groups:
                break
            self._round(number, groups)
        self._one(Task("fetch", named(GATHERED), basis=self._basis()))

    def steps(self) -> list[str]:
        return [step_of(number) for number in range(1, self.most + 1)]

    def asked(self) -> int:
        """The rounds in which anything was asked."""
        plans = (self.ledger.done(step, PLAN) for step in self.steps())
        return sum(plan is not None and plan.rows > 0 for plan in plans)

    def span(self) -> dict[str, float]:
        """When the first and the last answer came, in seconds since 1970; nothing where none did."""
        lines, _ = self.vault.observed("fetch", GATHERED)
        return lines[0] if lines else {}

    def pulse(self, step: str, names: Sequence[str], planned: int) -> Pulse:
        """How far a round is, by what its groups left word of; counts only."""
        figures = [self.ledger.noted(step, name) for name in names]
        known = {name: sum(int(item.get(name, 0)) for item in figures) for name in _COUNTS}
        return Pulse(planned=planned, floor=self.floor, **known)

    def _names(self, step: str) -> Iterator[str]:
        for line in self.vault.lines(step, PLAN):
            yield from line.get("groups", ())

    def _planned(self, number: int) -> list[Shard]:
        """The groups of hosts that have something to ask in a round, once it is planned.

        A plan that asks nothing is made anew where more is known since: nothing could be asked twice by that.
        """
        done = self.ledger.done(step_of(number), PLAN)
        stands = done is not None and done.rows > 0
        basis = done.materials["basis"] if done is not None and stands else self._basis(number)
        self._one(Task("fetch", named(PLAN), number, basis=basis))
        return [named(name) for name in self._names(step_of(number))]

    def _round(self, number: int, groups: Sequence[Shard]) -> None:
        step = step_of(number)
        left = {name for where, name in self.failed if where == step}
        tasks = [self._task(number, shard) for shard in groups if shard.id not in left]
        plan, names = self.ledger.done(step, PLAN), [shard.id for shard in groups]
        planned = plan.rows if plan else 0
        look = partial(self.pulse, step, names, planned)
        self.carry(step, tasks, rows=planned, besides=(PLAN,), look=look)
        if all(self.ledger.done(step, shard.id) is not None for shard in groups):
            self.ledger.sink.remove_tree(f"vault/{parts_step(step)}")

    def _task(self, number: int, shard: Shard) -> Task:
        """A group that failed is a new attempt, and so is one with outcomes that are to be tried again."""
        step = step_of(number)
        failure, done = self.ledger.failures(step).get(shard.id), self.ledger.done(step, shard.id)
        attempt = failure.attempt + 1 if failure else 1
        again = self.again.intersection(done.materials.get("troubles", "").split(",")) if done else frozenset()
        if done and again:
            attempt = max(attempt, done.attempt + 1)
        return Task("fetch", shard, number, attempt, again=tuple(sorted(again)))

    def _basis(self, number: int = 0) -> str:
        """What the gathering rests on, or the plan of a round: the manifests of screen and of the rounds before."""
        steps = self.steps()[: number - 1] if number else self.steps()
        digests = [item.digest for step in ("screen", *steps) for item in self.ledger.manifests(step)]
        return hashlib.sha256("\n".join(digests).encode("ascii")).hexdigest()

    def _one(self, task: Task) -> None:
        """A task that everything after it rests on."""
        self.carry(task.step, [task], rows=None)
        report = self.failed.get((task.step, task.shard.id))
        if report is not None:
            hint = "mend what is damaged, and run again with --resume"
            raise Stop(f"fetch cannot go on: {self.explained(report)}", hint=hint)
