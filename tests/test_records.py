"""Records: sealed values keep shut, the books add up, names and numbers hold together."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.batches import CANARY, sealed
from vetset.errors import ShardError, SinkError, Stop, Trouble
from vetset.records import (
    ASSESSED,
    DIGEST_COLUMNS,
    URL_ALGORITHM,
    WIDTH_BYTES,
    Address,
    Borne,
    CleanOutcome,
    Column,
    Hit,
    ListEntry,
    Match,
    RowBatch,
    ScreenOutcome,
    Sealed,
    Shard,
    Signal,
    Tally,
    Task,
    TaskReport,
    merged,
    total,
)

SECRET = CANARY.decode()

# --- sealed values ------------------------------------------------------------------------------------------------

REFUSED: dict[str, Callable[[Sealed[str]], object]] = {
    "format": format,
    "f-string": lambda value: f"{value}",
    "f-string with a width": lambda value: f"{value:>10}",
    "str.format": "{}".format,
    "format with a spec": lambda value: format(value, "x"),
    "equality": lambda value: value == value,  # noqa: PLR0124
    "equality with the value": lambda value: value == SECRET,
    "equality from the other side": lambda value: SECRET == value,  # noqa: SIM300
    "inequality": lambda value: value != SECRET,
    "order": lambda value: value < value,  # type: ignore[operator]  # noqa: PLR0124
    "membership": lambda value: SECRET in [0, value],
    "hash": hash,
    "in a set": lambda value: {value},
    "as a key": lambda value: {value: 1},
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
    "JSON": json.dumps,
    "concatenation": lambda value: "" + value,  # type: ignore[operator]
    "iteration": list,  # type: ignore[dict-item]
    "length": len,  # type: ignore[dict-item]
    "indexing": lambda value: value[0],  # type: ignore[index]
    "bytes": bytes,  # type: ignore[dict-item]
    "attributes": vars,
    "as fields": lambda value: dataclasses.asdict(Borne(Column.URL, value)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("way", REFUSED)
def test_a_sealed_value_refuses(way: str) -> None:
    with pytest.raises(TypeError) as refusal:
        REFUSED[way](Sealed(SECRET))
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_sealed_value_is_never_pickled(protocol: int) -> None:
    things: list[Any] = [Sealed(SECRET), [Sealed(SECRET)], sealed(url=[CANARY]), Borne(Column.URL, Sealed(CANARY))]
    for thing in things:
        with pytest.raises(TypeError):
            pickle.dumps(thing, protocol)


def test_a_sealed_value_shows_that_it_is_sealed_and_no_more() -> None:
    value = Sealed(SECRET)
    assert repr(value) == str(value) == "<sealed>"
    assert "%s %r" % (value, value) == "<sealed> <sealed>"  # noqa: UP031
    assert repr({"url": value}) == "{'url': <sealed>}"
    assert not hasattr(value, "__dict__")


@given(st.one_of(st.binary(), st.text(), st.integers(), st.none()))
def test_unsealing_gives_the_value_back(value: object) -> None:
    assert Sealed(value).unseal() is value


def test_a_sealed_batch_tells_rows_and_columns_only() -> None:
    values = sealed(url=[CANARY, None], punsafe=[0.5, None])
    assert values.rows == 2
    assert values.columns == {Column.URL, Column.PUNSAFE}
    assert RowBatch(7, values).rows == 2
    assert SECRET not in repr(values) + repr(RowBatch(7, values)) + str(values)
    with pytest.raises(TypeError):
        format(values)


def test_what_a_hit_holds_is_not_shown() -> None:
    address = Sealed(Address(CANARY, {Signal.MD5: CANARY}))
    match = Match(SECRET, 1, Signal.URL, None, Sealed(CANARY), ListEntry(SECRET, SECRET, SECRET))
    hit = Hit("part-0.parquet", 3, ScreenOutcome.HIT, address, (match,), {"because": [SECRET]})
    for thing in (hit, match, address, address.unseal(), Borne(Column.URL, Sealed(CANARY))):
        assert SECRET not in repr(thing) + str(thing)


# --- the books ----------------------------------------------------------------------------------------------------

TALLIES = st.dictionaries(st.sampled_from([*ScreenOutcome, "indexed", "timeout"]).map(str), st.integers(0, 10**12))


@given(st.lists(TALLIES, max_size=6))
def test_a_total_is_the_sum_outcome_by_outcome(tallies: list[dict[str, int]]) -> None:
    result = total(tallies)
    assert result.rows() == sum(sum(tally.values()) for tally in tallies)
    for outcome in set().union(*tallies):
        assert result[outcome] == sum(tally.get(outcome, 0) for tally in tallies)
    assert total(reversed(tallies)) == result


@given(TALLIES, TALLIES)
def test_adding_makes_a_new_tally_and_changes_none(one: dict[str, int], other: dict[str, int]) -> None:
    first = Tally(one)
    assert isinstance(first.plus(other), Tally)
    assert first == Tally(one)
    assert first.plus(other) == Tally(other).plus(one)


@given(TALLIES)
def test_a_tally_in_order_is_sorted_and_without_zeros(tally: dict[str, int]) -> None:
    listed = Tally(tally).in_order()
    assert list(listed) == sorted(outcome for outcome, count in tally.items() if count)
    assert listed == {outcome: count for outcome, count in tally.items() if count}


@given(TALLIES)
def test_what_may_stand_in_clear_keeps_the_total_and_hides_the_finds(tally: dict[str, int]) -> None:
    clear = merged(tally)
    assert sum(clear.values()) == sum(tally.values())
    assert not set(clear) & {outcome.value for outcome in ASSESSED}
    assert clear["assessed"] == sum(tally.get(outcome.value, 0) for outcome in ASSESSED)


@given(st.integers(0, 50), st.integers(0, 50), st.sampled_from([outcome.value for outcome in ASSESSED]))
def test_a_find_more_or_less_does_not_show(found: int, clear: int, outcome: str) -> None:
    rest = {"not_assessable": 3}
    with_finds = merged(Tally(rest).plus({outcome: found}).plus({"clear": clear}))
    assert with_finds == merged({**rest, "clear": found + clear})


def test_even_an_empty_tally_names_the_assessed() -> None:
    assert merged({}) == {"assessed": 0}
    assert total([]) == Tally()


# --- names and numbers --------------------------------------------------------------------------------------------


def test_outcomes_stand_in_the_order_of_precedence() -> None:
    order = ["hit", "near_hit", "expanded", "held", "policy", "not_assessable", "clear"]
    assert [outcome.value for outcome in ScreenOutcome] == order
    assert [outcome.value for outcome in CleanOutcome] == ["kept", "removed", "removed_by_policy"]
    assert set(ScreenOutcome) - set(ASSESSED) == {ScreenOutcome.NOT_ASSESSABLE}


def test_every_signal_has_a_width_and_every_digest_column_its_own_signal() -> None:
    assert set(WIDTH_BYTES) == set(Signal)
    assert {column.value: signal.value for column, signal in DIGEST_COLUMNS.items()} == {
        "md5": "md5",
        "sha1": "sha1",
        "sha256": "sha256",
    }
    assert set(URL_ALGORITHM) == {signal for signal in Signal if signal.value.startswith("url")}


def test_a_task_names_its_step_and_travels() -> None:
    shard = Shard("part-0.parquet", "part-0.parquet", 10, "probe")
    assert Task("screen", shard).step == "screen"
    assert Task("expand", shard, round=2).step == "expand-2"
    report = TaskReport(Task("clean", shard, basis="expand"), rows=3, tally={"kept": 3})
    assert pickle.loads(pickle.dumps(report)) == report  # noqa: S301


def test_errors_travel_between_processes_whole() -> None:
    shard_error = pickle.loads(pickle.dumps(ShardError(Trouble.TRUNCATED, "row group 3")))  # noqa: S301
    assert (shard_error.trouble, shard_error.detail) == (Trouble.TRUNCATED, "row group 3")
    assert str(shard_error) == "truncated: row group 3"
    stop = pickle.loads(pickle.dumps(Stop("no space", hint="make some")))  # noqa: S301
    assert (stop.message, stop.hint, str(stop)) == ("no space", "make some", "no space")
    sink = pickle.loads(pickle.dumps(SinkError("write", "results/a", 28)))  # noqa: S301
    assert (sink.action, sink.name, sink.error_number) == ("write", "results/a", 28)
