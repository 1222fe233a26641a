"""The account of a run: exact figures summed over its shards, for the summary to publish what may be published.

In it: sums over manifests, small tables and the vault. Not in it: suppression, sentences, pages (`summary`).
Rules: the exact figures exist in memory only; addresses are compared by keyed names and never held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from vetset import __version__, kernels
from vetset.pipeline.audit import Audit
from vetset.pipeline.gathering import CANDIDATES, UNASKED, fetch_outcomes
from vetset.pipeline.pictures import merged
from vetset.pipeline.room import held_rows
from vetset.records import (
    DIGEST_COLUMNS,
    CleanOutcome,
    Column,
    FingerprintOutcome,
    Hit,
    MatchOutcome,
    ScreenOutcome,
    Shard,
    Signal,
    Tally,
    UrlForm,
    total,
)
from vetset.sandbox.level import SandboxLevel
from vetset.summary import (
    Compared,
    FailedShard,
    FetchFigures,
    Figures,
    ListFigures,
    NoisyEntry,
    PictureFigures,
    StratumFigures,
    Uniques,
    Unusable,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the operator's side knows of a run: names, times and settings."""

    dataset: str
    fingerprint: str
    started: str
    finished: str
    duration_seconds: float
    workers: int
    ignored: tuple[str, ...]
    lists: tuple[ListFigures, ...]
    policy: str
    recipients: int
    key_on_this_machine: bool
    libraries: Mapping[str, str] = field(default_factory=dict)
    legal_basis: str = ""
    released: int | None = None  # rows that the cleaning kept since their reasons were refuted; None: nobody was asked


@dataclass(slots=True, repr=False)
class _Sums:
    """What rows with findings add up to: by list, by signal and form, and their distinct values."""

    urls: set[str] = field(default_factory=set)
    pictures: set[str] = field(default_factory=set)
    by_list: Counter[str] = field(default_factory=Counter)
    by_signal: Counter[tuple[Signal, UrlForm | None]] = field(default_factory=Counter)

    def add(self, hit: Hit, key: bytes) -> None:
        borne = kernels.borne_by(hit.address)
        self.urls |= {kernels.name_of(item, key) for item in borne if item.column == Column.URL}
        pictures = [kernels.name_of(item, key) for item in borne if item.column in DIGEST_COLUMNS]
        if pictures:
            self.pictures.add("/".join(pictures))
        self.by_list.update({match.list_name for match in hit.matches})
        self.by_signal.update({(match.signal, match.form) for match in hit.matches})

    def with_values_of(self, hits: Iterable[Hit], key: bytes) -> _Sums:
        """These sums and those of further rows; these stay as they are."""
        sums = _Sums(set(self.urls), set(self.pictures), Counter(self.by_list), Counter(self.by_signal))
        for hit in hits:
            sums.add(hit, key)
        return sums

    def uniques(self) -> Uniques:
        return Uniques(len(self.urls), len(self.pictures))


@dataclass(repr=False)
class Account:
    """Sums of one run. `basis` is the step on which outcomes rest: expand, or screen where nothing could spread."""

    audit: Audit
    basis: str

    @property
    def shards(self) -> list[Shard]:
        """The shards that were carried to the end."""
        return [shard for shard in self.audit.shards if shard.id not in self.audit.failed]

    @property
    def hits(self) -> int:
        """Rows hit, near a listed picture, or sharing a value with one of those."""
        found = (ScreenOutcome.HIT, ScreenOutcome.NEAR_HIT, ScreenOutcome.EXPANDED)
        return sum(self.outcomes[outcome] for outcome in found)

    @cached_property
    def outcomes(self) -> Tally:
        return self._sealed_sum(self.basis)

    def _sealed_sum(self, step: str) -> Tally:
        return total(self.audit.vault.tally(step, shard) for shard in self.shards)

    def _base(self) -> Tally:
        """The rows as if nothing had met any of them."""
        return total(self.audit.vault.base(self.basis, shard) for shard in self.shards)

    def _hits(self, step: str) -> Iterator[Hit]:
        for shard in self.shards:
            yield from self.audit.vault.hits(step, shard)

    def _direct(self, rows_met: Counter[str]) -> Iterator[Hit]:
        """Rows that a list met, by what they record or by their picture; one finding for each row.

        `rows_met` counts on the way the rows that each entry met, by its opaque name; rows held because of it too.
        """
        key = self.audit.keys.case_key
        for shard in self.shards:
            held = set(held_rows(self.audit.vault, shard).tolist()) if self.audit.looks_into_pictures else set()
            found: dict[int, list[Hit]] = {}
            for hit in (*self.audit.vault.hits("screen", shard), *self.audit.matches(shard)):
                rows_met.update({kernels.entry_name_of(match, key) for match in hit.matches})
                if hit.row not in held:
                    found.setdefault(hit.row, []).append(hit)
            yield from (merged(found[row]) for row in sorted(found))

    def figures(self, about: About) -> Figures:
        """Everything the summary may draw on."""
        rows_met, key = Counter[str](), self.audit.keys.case_key
        direct = _Sums().with_values_of(self._direct(rows_met), key)
        both = direct.with_values_of(self._hits("expand") if self.basis == "expand" else (), key)
        compared, unusable = self._compared()
        base = self._base()
        audit, settings = self.audit, self.audit.settings
        return Figures(
            dataset=about.dataset,
            version=__version__,
            fingerprint=about.fingerprint,
            started=about.started,
            finished=about.finished,
            duration_seconds=about.duration_seconds,
            workers=about.workers,
            complete=audit.is_complete(),
            reach=settings.reach.value,
            rows=self.outcomes.rows(),
            shards_total=len(audit.shards),
            shards_done=len(self.shards),
            failed=tuple(self._failed()),
            ignored=about.ignored,
            columns=audit.columns_found(),
            lists=about.lists,
            compared=compared,
            unusable=unusable,
            outcomes={outcome: self.outcomes[outcome] for outcome in ScreenOutcome},
            base={outcome: base[outcome] for outcome in ScreenOutcome},
            pictures=self._pictures(about),
            fetch=self._fetch(about),
            cleaned=self._cleaned(),
            released=about.released,
            hits_by_list={ref.name: direct.by_list[ref.name] for ref in about.lists},
            hits_by_signal=dict(direct.by_signal),
            hits_uniques=direct.uniques(),
            removable_uniques=both.uniques(),
            noisy=self._noisy(rows_met),
            values_held=audit.values_held,
            rounds=audit.rounds,
            policy=about.policy,
            spread_limit=settings.spread_limit,
            remove_held=settings.remove_held,
            expand=settings.expand,
            recipients=about.recipients,
            key_on_this_machine=about.key_on_this_machine,
        )

    def _failed(self) -> Iterator[FailedShard]:
        for report in self.audit.failed.values():
            yield FailedShard(report.task.shard.path, report.trouble or "", report.detail)

    def _noisy(self, rows_met: Counter[str]) -> tuple[NoisyEntry, ...]:
        """Entries that met more rows than may spread."""
        limit = self.audit.settings.spread_limit
        entries = sorted(rows_met.items(), key=lambda item: (-item[1], item[0]))
        return tuple(NoisyEntry(name, rows) for name, rows in entries if rows > limit)

    def _cleaned(self) -> Mapping[CleanOutcome, int] | None:
        if self.audit.cleaned is None:
            return None
        tally = self._sealed_sum("clean")
        return {outcome: tally[outcome] for outcome in CleanOutcome}

    def _compared(self) -> tuple[tuple[Compared, ...], tuple[Unusable, ...]]:
        values: Counter[tuple[str, str, str]] = Counter()
        blank: Counter[str] = Counter()
        malformed: Counter[str] = Counter()
        for shard in self.shards:
            for line in self.audit.results("screen", shard).to_pylist():
                if line["list"]:
                    values[line["column"], line["list"], line["signal"]] += line["compared"]
                else:
                    blank[line["column"]] += line["blank"]
                    malformed[line["column"]] += line["malformed"]
        for line in self.audit.picture_lines():
            if line["what"] == "compared":
                values[line["name"], line["list"], line["signal"]] += line["pictures"]
        compared = (Compared(name, of, Signal(signal), count) for (name, of, signal), count in sorted(values.items()))
        unusable = (Unusable(name, blank[name], malformed[name]) for name in sorted(blank))
        return tuple(compared), tuple(unusable)

    def _pictures(self, about: About) -> PictureFigures | None:
        """What came of the pictures, where any were looked into."""
        if not self.audit.looks_into_pictures:
            return None
        counts: dict[str, Counter[str]] = {what: Counter() for what in ("outcome", "match", "resize_mode", "oddity")}
        for line in self.audit.picture_lines():
            if line["what"] in counts:
                counts[line["what"]][line["name"]] += line["pictures"]
        settings = self.audit.settings.match
        return PictureFigures(
            held=sum(counts["outcome"].values()),
            fingerprint={outcome: counts["outcome"][outcome] for outcome in FingerprintOutcome},
            too_plain=counts["match"][MatchOutcome.TOO_PLAIN],
            sandbox_level=self._sandbox_level(),
            variant=settings.variant,
            radius_bits={item.name: settings.radius_of(item.name) for item in about.lists},
            quality_floor=settings.quality_floor,
            resize_modes=dict(counts["resize_mode"]),
            oddities=dict(counts["oddity"]),
            libraries=about.libraries,
        )

    def _fetch(self, about: About) -> FetchFigures | None:
        """What was asked of the web, where anything was."""
        audit = self.audit
        if not audit.fetches:
            return None
        lines = audit.picture_lines()
        rows = total(audit.vault.tally("match", shard) for shard in self.shards)
        span = audit.asking.span()
        return FetchFigures(
            candidates=rows[CANDIDATES],
            unasked=rows[UNASKED],
            outcomes=fetch_outcomes(lines),
            rounds=audit.asking.asked(),
            failed_groups=len(audit.failed_hosts),
            unanswered=sum(line["pictures"] for line in lines if line["what"] == "unasked"),
            strata=tuple(_strata(lines)),
            seed=audit.settings.fetch.plan.seed,
            random_share=audit.settings.fetch.plan.random_share,
            legal_basis=about.legal_basis,
            first_at=_moment(span.get("first_at")),
            last_at=_moment(span.get("last_at")),
        )

    def _sandbox_level(self) -> str:
        """The lowest level that any shard's pictures were decoded at."""
        manifests = [item for step in self.audit.picture_steps() for item in self.audit.ledger.manifests(step)]
        levels = {SandboxLevel(item.materials["sandbox"]) for item in manifests if "sandbox" in item.materials}
        return min(levels, key=lambda level: level.rank).value if levels else ""


def _strata(lines: list[dict[str, Any]]) -> Iterator[StratumFigures]:
    counts = {(line["name"], line["list"], line["what"]): line["pictures"] for line in lines if line["list"]}
    for (name, how, what), asked in counts.items():
        if what == "stratum asked":
            yield StratumFigures(name, how, asked, counts.get((name, how, "stratum fetched"), 0))


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
