"""The audit: the verbs in order over all shards, from index to clean, resumable at any point.

In it: the coordinator. It hands tasks to a runner, sums up what comes back, drives the rounds of expand, and stops when
nothing could be compared. Not in it: work on rows (`shard`), figures for the summary (`account`).
Rules: a shard that fails a step takes no further step and makes the run incomplete; nothing of a row is in this
process but the values of hits while they are being expanded, sealed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vetset.config import Rule
from vetset.errors import ShardError, Stop, Trouble
from vetset.ledger import Ledger, Sink
from vetset.pipeline.cleaning import INCOMPLETE, incomplete_text
from vetset.pipeline.failing import explained, failed_report, first_of
from vetset.pipeline.pictures import TROUBLES
from vetset.pipeline.planning import GATHERED, named
from vetset.pipeline.room import ShardSettings
from vetset.pipeline.rounds import Rounds
from vetset.pipeline.settling import borne_line
from vetset.pipeline.shard import standing
from vetset.pipeline.watching import Pulse, Watcher
from vetset.ports import HashList, Runner, RunTask
from vetset.records import (
    DIGEST_COLUMNS,
    FETCH_TROUBLES,
    URL_ALGORITHM,
    Column,
    Hit,
    Reach,
    ScreenOutcome,
    Shard,
    Task,
    TaskReport,
)
from vetset.stages import match
from vetset.stages.expand import Closure, ShardBearers
from vetset.stages.screen import rule_columns
from vetset.vault import RunKeys, Vault


@dataclass(slots=True, repr=False)
class Audit:
    """One run in progress. `failed` names shards that took no further step, with the step and the trouble."""

    ledger: Ledger
    vault: Vault
    keys: RunKeys
    runner: Runner
    run_task: RunTask
    watcher: Watcher
    shards: Sequence[Shard]
    lists: Sequence[HashList]
    settings: ShardSettings
    allow_nothing_comparable: bool = False
    cleaned: Sink | None = None
    failed: dict[str, TaskReport] = field(default_factory=dict)
    failed_hosts: dict[tuple[str, str], TaskReport] = field(default_factory=dict)  # by round's step and group
    again: frozenset[str] = frozenset()  # outcomes of fetch and fingerprint that are tried anew
    rounds: int = 0
    values_held: int = 0

    # --- the verbs ---------------------------------------------------------------------------------------------------

    def index(self) -> None:
        """Looks at every shard."""
        self._carry("index", self._tasks("index"))

    def must_be_comparable(self) -> None:
        """Stops where nothing in the shards could ever be compared, or the policy never applied."""
        if not self._alive():
            raise Stop(
                f"no shard could be read: {first_of(self.failed)}",
                hint="mend the file or the settings' [columns], or name another dataset; the run was not begun",
            )
        self._must_meet(self.columns_found())

    def screen(self) -> None:
        """Screens every shard, and stops where no value of any of them was compared with a list."""
        self._carry("screen", self._tasks("screen"))
        if not self._alive():
            raise Stop(
                f"no shard could be screened: {first_of(self.failed)}", hint="mend it and run again with --resume"
            )
        if not self.looks_into_pictures:
            self._must_have_compared()

    @property
    def looks_into_pictures(self) -> bool:
        return self.settings.reach is not Reach.COLUMNS

    @property
    def fetches(self) -> bool:
        return self.settings.reach is Reach.FETCH

    def fetch(self) -> None:
        """Asks the rows' addresses in rounds, where the run reaches that far, and gathers what came back."""
        if self.fetches:
            self.asking.ask()

    @property
    def asking(self) -> Rounds:
        """The rounds of fetch."""
        return Rounds(
            self.ledger,
            self.vault,
            self.settings.fetch.plan.rounds,
            self._carry,
            self.failed_hosts,
            self.again,
            explained,
            self.settings.fetch.floor,
        )

    def match(self) -> None:
        """Fingerprints and matches the pictures of every shard, where the run reaches that far."""
        if not self.looks_into_pictures:
            return
        self._carry("match", self._tasks("match", basis=self._gathered_basis()))
        if not self._alive():
            raise Stop(
                f"no shard could be matched: {first_of(self.failed)}", hint="mend it and run again with --resume"
            )
        self._must_have_compared()

    def _gathered_basis(self) -> str:
        done = self.ledger.done("fetch", GATHERED) if self.fetches else None
        return done.digest if done else ""

    def _must_have_compared(self) -> None:
        if not self.allow_nothing_comparable and not any(self._compared()):
            what = "the columns that the lists could meet"
            what += " and the pictures hold nothing usable" if self.looks_into_pictures else " hold no usable value"
            deeper = "" if self.looks_into_pictures else "audit pictures too with --reach local into another --out, "
            raise Stop(
                f"nothing was compared: {what} in any row",
                hint=f"look at the columns' contents, {deeper}or go on with --resume --allow-nothing-comparable",
            )

    def expand(self) -> str:
        """Follows the hits' values to closure. Answers the step on which the shards' outcomes rest."""
        noisy = self._noisy_near()
        closure = Closure(self.keys.join_key, self.settings.spread_limit)
        if self.settings.expand:
            for shard in self._alive():
                closure.seed(self._seeds(shard, noisy))
        if not closure.frontier and not self.looks_into_pictures:
            return "screen"
        spreads: list[list[int]] = []
        while closure.frontier:
            spreads.append(self._round(closure))
        self.rounds, self.values_held = closure.rounds, len(closure.held)
        self._settle(closure, spreads, noisy)
        return "expand"

    def matches(self, shard: Shard) -> Iterator[Hit]:
        """What the pictures of a shard met."""
        if self.looks_into_pictures:
            yield from self.vault.hits("match", shard)

    def _noisy_near(self) -> frozenset[str]:
        """The entries, by their names in this run, that are near to the pictures of more rows than may spread."""
        every = (hit for shard in self._alive() for hit in self.matches(shard))
        return match.noisy_entries(every, self.keys.case_key, self.settings.spread_limit)

    def _seeds(self, shard: Shard, noisy: frozenset[str]) -> Iterator[Hit]:
        yield from self.vault.hits("screen", shard)
        direct = [hit for hit in self.matches(shard) if hit.outcome is ScreenOutcome.HIT]
        near = [hit for hit in self.matches(shard) if hit.outcome is not ScreenOutcome.HIT]
        yield from direct
        yield from match.settle_near(near, noisy, self.keys.case_key)[0]

    def settled_on(self) -> str:
        """The step on which a run's outcomes rest that went as far as expand. Raises Stop where it did not."""
        for step in ("index", "screen", *(("match",) if self.looks_into_pictures else ())):
            self._leave_undone(step)
        if self.fetches:
            self._recall_failed_hosts()
        found = self.looks_into_pictures or (
            self.settings.expand and any(True for shard in self._alive() for _ in self.vault.hits("screen", shard))
        )
        if not found:
            return "screen"
        self._leave_undone("expand")
        self._recall_rounds()
        return "expand"

    def _leave_undone(self, step: str) -> None:
        missing = [shard for shard in self._alive() if self.ledger.done(step, shard.id) is None]
        failures = self.ledger.failures(step)
        for shard in missing:
            failure = failures.get(shard.id)
            if failure is None:
                raise Stop(
                    f"{shard.path} did not go through {step} yet",
                    hint="finish the audit first: the same `vetset audit` with --resume",
                )
            self.failed[shard.id] = failed_report(step, shard, failure)

    def _recall_failed_hosts(self) -> None:
        for step in self.ledger.failed_steps():
            if step.startswith("fetch"):
                for name, failure in self.ledger.failures(step).items():
                    self.failed_hosts[step, name] = failed_report(step, named(name), failure)

    def _recall_rounds(self) -> None:
        lines = list(self.vault.lines("expand", "decided"))
        self.rounds = sum("round" in line for line in lines)
        self.values_held = sum("column" in line for line in lines)

    def clean(self, basis: str) -> None:
        """Writes the cleaned dataset. Its folder says INCOMPLETE until every shard of the dataset is in it."""
        if self.cleaned is None:
            return
        self.cleaned.put(INCOMPLETE, incomplete_text(self.ledger.run_digest))
        self._carry("clean", self._tasks("clean", basis=basis))
        if not self.failed:
            self.cleaned.remove(INCOMPLETE)

    # --- rounds ------------------------------------------------------------------------------------------------------

    def _round(self, closure: Closure) -> list[int]:
        """One round over all shards; answers the numbers of the values that spread."""
        number, asked = closure.rounds + 1, closure.ordered()
        step, basis = f"expand-{number}", self._basis(name for name, _ in asked)
        self.vault.seal(step, "frontier", (borne_line(borne) for _, borne in asked))
        self._carry(step, self._tasks("expand", round_number=number, basis=basis))
        closure.take(self._answers(step, shard, len(asked)) for shard in self._alive())
        return [place for place, (name, _) in enumerate(asked) if name in closure.spread]

    def _answers(self, step: str, shard: Shard, asked: int) -> ShardBearers:
        counts = self.vault.tally(step, shard)
        return ShardBearers([counts.get(str(number), 0) for number in range(asked)], list(self.vault.hits(step, shard)))

    def _settle(self, closure: Closure, spreads: list[list[int]], noisy: frozenset[str]) -> None:
        rounds = ({"round": number, "spreads": places} for number, places in enumerate(spreads, start=1))
        held = (borne_line(closure.held[name]) for name in sorted(closure.held))
        self.vault.seal("expand", "decided", [*rounds, *([{"noisy": sorted(noisy)}] if noisy else []), *held])
        names = [*(f"+{name}" for name in closure.spread), *(f"-{name}" for name in closure.held)]
        basis = self._basis([*names, *(f"~{name}" for name in noisy)])
        self._carry("expand", self._tasks("expand", basis=basis))

    def _basis(self, names: Iterable[str]) -> str:
        """What a step of expand rests on, as a keyed digest: it tells nothing without the run's key."""
        return hmac.new(self.keys.join_key, "\n".join(sorted(names)).encode(), hashlib.sha256).hexdigest()

    # --- tasks -------------------------------------------------------------------------------------------------------

    def _alive(self) -> list[Shard]:
        return [shard for shard in self.shards if shard.id not in self.failed]

    def _tasks(self, stage: str, *, round_number: int = 0, basis: str = "") -> list[Task]:
        return [Task(stage, shard, round_number, self._attempt(stage, shard), basis) for shard in self._alive()]

    def _attempt(self, stage: str, shard: Shard) -> int:
        """A shard that failed before is a new attempt at that step."""
        failure = self.ledger.failures(stage).get(shard.id)
        if failure:
            return failure.attempt + 1
        done = self.ledger.done(stage, shard.id) if stage == "match" and self.again and not self.fetches else None
        return done.attempt + 1 if done and self.again.intersection(done.tally) else 1

    def _carry(
        self,
        step: str,
        tasks: Sequence[Task],
        *,
        rows: int | None = -1,
        besides: Sequence[str] = (),
        look: Callable[[], Pulse] | None = None,
    ) -> None:
        """Runs the tasks that are not done yet and notes the failed ones; ends with the step's root.

        `rows` is what the step goes over, by default every row; `besides` names tasks of the step done before; `look`
        tells how far it is.
        """
        self.watcher.stage(step, len(tasks), self._rows_expected(step) if rows == -1 else rows)
        if look is not None and tasks:
            self.watcher.follow(look)
        pending = []
        for task in tasks:
            manifest = standing(self.ledger, self.vault, task, self.cleaned)
            if manifest is None:
                pending.append(task)
            else:
                self.watcher.advance(TaskReport(task, rows=manifest.rows, tally=manifest.tally))
        for report in self.runner.run(self.run_task, pending):
            self._take(report)
        self.watcher.finish()
        done = [task.shard.id for task in tasks if not self._has_failed(task)]
        self.ledger.write_root(step, [*besides, *done])

    def _has_failed(self, task: Task) -> bool:
        if task.stage == "fetch":
            return (task.step, task.shard.id) in self.failed_hosts
        return task.shard.id in self.failed

    def _take(self, report: TaskReport) -> None:
        task = report.task
        if report.stop is not None:
            raise Stop(report.stop, hint=report.hint)
        if report.trouble is not None:
            if task.stage == "fetch":
                self.failed_hosts[task.step, task.shard.id] = report
            else:
                self.failed[task.shard.id] = report
            self.ledger.record_failure(
                task.step, task.shard.id, task.attempt, report.trouble, report.place, report.detail
            )
        else:
            self.ledger.clear_failure(task.step, task.shard.id)
        self.watcher.advance(report)

    def _rows_expected(self, step: str) -> int | None:
        if step == "index":
            return None
        known = [self.ledger.done("index", shard.id) for shard in self._alive()]
        if any(manifest is None or "indexed" not in manifest.tally for manifest in known):
            return None
        return sum(manifest.rows for manifest in known if manifest is not None)

    # --- whether anything can be compared ---------------------------------------------------------------------------

    def columns_found(self) -> dict[Column, int]:
        """For each column of ours, the number of shards that have it."""
        found: dict[Column, int] = {}
        for shard in self._alive():
            for name in self.results("index", shard).column("column").to_pylist():
                found[Column(name)] = found.get(Column(name), 0) + 1
        return found

    def results(self, step: str, shard: Shard) -> pa.Table:
        """The small table of a shard's step."""
        name = f"results/{step}/{shard.id}.parquet"
        try:
            with pq.ParquetFile(self.ledger.sink.root / name) as file:  # read_table would load Arrow's datasets first
                return file.read()
        except (pa.ArrowException, OSError):
            raise ShardError(Trouble.UNREADABLE, f"{name} is damaged") from None

    def _must_meet(self, found: dict[Column, int]) -> None:
        for rule in self.settings.rules:
            _rule_must_meet(rule, found)
        signals = {table.signal for hash_list in self.lists for table in hash_list.tables}
        meets = any(signal in signals and column in found for column, signal in DIGEST_COLUMNS.items())
        meets = meets or (Column.URL in found and bool(signals & set(URL_ALGORITHM)))
        meets = meets or (self.looks_into_pictures and not signals <= set(URL_ALGORITHM))
        if self.fetches and Column.URL not in found:
            raise Stop(
                "nothing can be fetched: no shard has a column of addresses",
                hint="map it in [columns], or audit by columns; the run was not begun",
            )
        if not meets and not self.allow_nothing_comparable:
            raise Stop(
                "nothing can be compared: no column of the dataset meets a signal of any list "
                f"(columns: {', '.join(sorted(found)) or 'none'}; signals: {', '.join(sorted(signals)) or 'none'})",
                hint="use a list with url or digest signals that the columns hold, map columns in [columns], "
                "or say --allow-nothing-comparable",
            )

    def _compared(self) -> Iterator[int]:
        for shard in self._alive():
            yield from (count or 0 for count in self.results("screen", shard).column("compared").to_pylist())
        yield from (line["pictures"] for line in self.picture_lines() if line["what"] == "compared")

    def picture_lines(self) -> list[dict[str, Any]]:
        """What came of the pictures, line by line (`pictures.table_of`): of each shard, or of all that was fetched."""
        if not self.looks_into_pictures:
            return []
        tables = [("fetch", named(GATHERED))] if self.fetches else [("match", shard) for shard in self._alive()]
        return [line for step, shard in tables for line in self.results(step, shard).to_pylist()]

    def picture_steps(self) -> list[str]:
        """The steps in which pictures were looked into."""
        return self.asking.steps() if self.fetches else ["match"]

    def troubles(self, names: Collection[str]) -> int:
        """Pictures, or addresses where the names are those, that came to grief here: the run is not complete."""
        what = "fetch" if names is FETCH_TROUBLES else "outcome"
        return sum(line["pictures"] for line in self.picture_lines() if line["what"] == what and line["name"] in names)

    def is_complete(self) -> bool:
        """Whether every shard, every group of hosts and every picture ended in a fact about the data."""
        return not (self.failed or self.failed_hosts or self.troubles(TROUBLES) or self.troubles(FETCH_TROUBLES))


def _rule_must_meet(rule: Rule, found: dict[Column, int]) -> None:
    if missing := sorted(rule_columns(rule) - found.keys()):
        hint = "map it in [columns], or drop that rule; the run was not begun"
        raise Stop(f"the policy cannot be applied: no shard has the column {missing[0]}", hint=hint)
