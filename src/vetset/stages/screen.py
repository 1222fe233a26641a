"""Screen: compare what a row records (digests, URL forms) with every list in hand, and apply the policy.

In it: outcomes of rows, reasons of hits, values compared. Not in it: reading, sealing, what a hit entails.
Rules: each row gets one outcome, the first of hit > policy > not_assessable > clear (`expanded` and `held` are decided
later); every match of every list is kept, since provenance is many-to-many; only columns and forms that some list
needs are computed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vetset import kernels
from vetset.config import Rule
from vetset.ports import HashList, KeyTable
from vetset.records import (
    DIGEST_COLUMNS,
    URL_ALGORITHM,
    WIDTH_BYTES,
    Column,
    Hit,
    ListEntry,
    Match,
    RowBatch,
    ScreenOutcome,
    Sealed,
    SealedBatch,
    Signal,
    StageResult,
    Tally,
    UrlForm,
)

#: Outcomes as codes, for arrays of rows; the order is the design's order of precedence.
CODES = tuple(ScreenOutcome)
HIT, _, EXPANDED, HELD, POLICY, NOT_ASSESSABLE, CLEAR = range(len(CODES))

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ScreenSettings:
    """The policy's rules with their words; none means that no row is `policy`."""

    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared with what: a column, or a form of the URL, with a list's keys of a signal."""

    column: str
    list_name: str
    signal: Signal


@dataclass(slots=True, repr=False)
class Screened:
    """A batch after screening. `base` holds each row's outcome as if no list had hit it."""

    base: Codes
    hits: list[Hit] = field(default_factory=list)
    compared: Counter[Comparison] = field(default_factory=Counter)
    blank: Counter[str] = field(default_factory=Counter)
    malformed: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, repr=False)
class _Probe:
    """One column of digests, ready to be compared with the tables that hold its signal."""

    label: str
    signal: Signal
    form: UrlForm | None
    digests: kernels.Digests


def columns_needed(lists: Sequence[HashList], settings: ScreenSettings) -> frozenset[Column]:
    """The columns that screening can use; everything else need not be read."""
    signals = {table.signal for hash_list in lists for table in hash_list.tables}
    needed = {column for column, signal in DIGEST_COLUMNS.items() if signal in signals}
    if signals & set(URL_ALGORITHM):
        needed.add(Column.URL)
    for rule in settings.rules:
        needed |= rule_columns(rule)
    return frozenset(needed)


def rule_columns(rule: Rule) -> frozenset[Column]:
    """The columns without which a rule of a policy says nothing."""
    conditions = (
        (Column.PUNSAFE, rule.punsafe_above is not None),
        (Column.NSFW, bool(rule.nsfw)),
        (Column.URL, bool(rule.hosts)),
        (Column.TEXT, bool(rule.words or rule.words_file)),
    )
    return frozenset(column for column, wanted in conditions if wanted)


def screen(
    batch: RowBatch, lists: Sequence[HashList], settings: ScreenSettings, *, shard_id: str
) -> StageResult[Screened]:
    """Outcomes of a batch's rows, with the reasons of its hits and the count of values compared."""
    result = Screened(np.empty(0, np.uint8))
    assessable = np.zeros(batch.rows, np.bool_)
    reasons: dict[int, list[Match]] = defaultdict(list)
    for probe in _probes(batch.values, lists, result):
        for hash_list in lists:
            for number, table in enumerate(hash_list.tables):
                if _meets(probe, table):
                    comparison = Comparison(probe.label, hash_list.ref.name, probe.signal)
                    result.compared[comparison] += int(probe.digests.present.sum())
                    assessable |= probe.digests.present
                    _note_matches(reasons, probe, hash_list, number)
    result.base = _base(batch.values, settings.rules, assessable)
    rows = sorted(reasons)
    for row, address in zip(rows, kernels.addresses(batch.values, rows), strict=True):
        hit = Hit(shard_id, batch.first_row + row, ScreenOutcome.HIT, address, tuple(reasons[row]))
        result.hits.append(hit)
    return StageResult(result, _tally(result.base, rows))


def base_tally(result: Screened) -> Tally:
    """The batch's rows as if no list had hit any: facts about its columns."""
    return _tally(result.base, [])


def _tally(base: Codes, hit_rows: list[int]) -> Tally:
    codes = base.copy()
    codes[hit_rows] = HIT
    counts = np.bincount(codes, minlength=len(CODES)).tolist()
    return Tally({outcome.value: count for outcome, count in zip(CODES, counts, strict=True) if count})


def _meets(probe: _Probe, table: KeyTable) -> bool:
    return probe.signal == table.signal and (probe.form is None or probe.form in table.forms)


def _note_matches(reasons: dict[int, list[Match]], probe: _Probe, hash_list: HashList, number: int) -> None:
    positions = kernels.positions_in(hash_list.tables[number], probe.digests)
    for row in np.flatnonzero(positions >= 0).tolist():
        key = kernels.key_at(probe.digests, row)
        for entry in hash_list.entries(number, int(positions[row])) or (ListEntry(),):
            match = Match(hash_list.ref.name, hash_list.ref.version, probe.signal, probe.form, key, entry)
            reasons[row].append(match)


def _probes(batch: SealedBatch, lists: Sequence[HashList], result: Screened) -> Iterator[_Probe]:
    tables = [table for hash_list in lists for table in hash_list.tables]
    signals = {table.signal for table in tables}
    for column, signal in DIGEST_COLUMNS.items():
        if signal in signals and column in batch.columns:
            digests = kernels.recorded_digests(batch, column)
            _count_absent(result, column.value, digests, digests.malformed)
            yield _Probe(column.value, signal, None, digests)
    if Column.URL in batch.columns:
        yield from _url_probes(batch, tables, result)


def _url_probes(batch: SealedBatch, tables: Sequence[KeyTable], result: Screened) -> Iterator[_Probe]:
    """Each form is made once, each digest of a form once, however many lists want them."""
    known: dict[str, tuple[Sealed[Any], kernels.Digests]] = {}
    for form in UrlForm:
        signals = sorted({table.signal for table in tables if form in table.forms})
        if not signals:
            continue
        values = kernels.url_values(batch, form)
        label = f"url ({form.value})"
        made: dict[str, kernels.Digests] = {}
        for signal in signals:
            algorithm = URL_ALGORITHM[signal]
            if algorithm not in made:
                made[algorithm] = kernels.digests_of(values, algorithm, WIDTH_BYTES[signal], known.get(algorithm))
                known.setdefault(algorithm, (values, made[algorithm]))
            yield _Probe(label, signal, form, made[algorithm])
        blank = kernels.blank_rows(batch, Column.URL)
        _count_absent(result, label, made[URL_ALGORITHM[signals[0]]], None, blank)


def _count_absent(
    result: Screened, label: str, digests: kernels.Digests, malformed: int | None, blank: int | None = None
) -> None:
    """Absent values are either blank (null, empty) or malformed; one of the two is known, the other is the rest."""
    absent = len(digests.present) - int(digests.present.sum())
    if malformed is None:
        malformed = absent - (blank or 0)
    result.malformed[label] += malformed
    result.blank[label] += absent - malformed


def _base(batch: SealedBatch, rules: tuple[Rule, ...], assessable: Mask) -> Codes:
    base = np.where(assessable, np.uint8(CLEAR), np.uint8(NOT_ASSESSABLE)).astype(np.uint8)
    base[policy_rows(batch, rules)] = POLICY
    return base


def policy_rows(batch: SealedBatch, rules: tuple[Rule, ...]) -> Mask:
    """Rows that meet any rule; a rule is met by meeting all its conditions, and never where its column is missing."""
    met = np.zeros(batch.rows, np.bool_)
    for rule in rules:
        columns = rule_columns(rule)
        if columns and columns <= batch.columns:
            met |= _meets_rule(batch, rule)
    return met


def _meets_rule(batch: SealedBatch, rule: Rule) -> Mask:
    met = np.ones(batch.rows, np.bool_)
    if rule.punsafe_above is not None:
        met &= kernels.above(batch, Column.PUNSAFE, rule.punsafe_above)
    if rule.nsfw:
        met &= kernels.one_of(batch, Column.NSFW, frozenset(rule.nsfw))
    if rule.hosts:
        met &= kernels.on_hosts(batch, frozenset(rule.hosts))
    if Column.TEXT in rule_columns(rule):
        met &= kernels.with_words(batch, Column.TEXT, kernels.word_pattern(rule.words))
    return met


# --- the small table of a shard -----------------------------------------------------------------------------------

SCHEMA = pa.schema(
    [
        ("column", pa.string()),
        ("list", pa.string()),
        ("signal", pa.string()),
        ("compared", pa.int64()),
        ("blank", pa.int64()),
        ("malformed", pa.int64()),
    ]
)


def table_of(parts: Screened) -> pa.Table:
    """Values compared for each column x list x signal, and blank and malformed values by column (list is empty)."""
    lines = [
        {"column": what.column, "list": what.list_name, "signal": what.signal.value, "compared": count}
        for what, count in sorted(parts.compared.items(), key=lambda item: (item[0].column, item[0].list_name))
    ]
    lines.extend(
        {"column": column, "blank": parts.blank[column], "malformed": parts.malformed[column]}
        for column in sorted(set(parts.blank) | set(parts.malformed))
    )
    return pa.Table.from_pylist(lines, schema=SCHEMA)
