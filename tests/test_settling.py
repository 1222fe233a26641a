"""Rounds of expand over whole runs: what a finding records already is not read again, and nothing else changes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pyarrow as pa
import pytest

from tests.driving import Place
from vetset.datasets.parquet import Parquet

Asked = list[tuple[str, list[int]]]


def md5_of(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()


def address(number: int) -> str:
    return f"http://a.example/{number}.jpg"


#: Each row shares its URL with the one before or its digest with the one behind: a chain that one hit brings down.
CHAIN = [(address(number // 2), md5_of((number + 1) // 2)) for number in range(8)]
STRANGERS = [(address(100 + number), md5_of(100 + number)) for number in range(4)]


def table(rows: list[tuple[str, str]]) -> pa.Table:
    return pa.table({"url": [url for url, _ in rows], "md5": [digest for _, digest in rows]})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The rows that every look-up asked for."""
    seen: Asked = []
    lookup = Parquet.lookup

    def noting(self: Parquet, shard: Any, rows: npt.NDArray[Any], columns: Any) -> Any:
        seen.append((shard.path, rows.tolist()))
        return lookup(self, shard, rows, columns)

    monkeypatch.setattr(Parquet, "lookup", noting)
    return seen


def run_of(tmp_path: Path, shards: dict[str, pa.Table], **changes: Any) -> Place:
    place = Place(tmp_path)
    place.write(shards)
    place.list_of("made-up", {"md5": [md5_of(0)]})
    place.audit(**changes)
    return place


def test_every_row_of_a_chain_is_looked_up_once_and_the_hit_never(tmp_path: Path, asked: Asked) -> None:
    place = run_of(tmp_path, {"part-0.parquet": table([*CHAIN[:4], *STRANGERS]), "part-1.parquet": table(CHAIN[4:])})
    outcomes = place.outcomes()
    assert outcomes.pop(("part-0.parquet", 0)) == "hit"
    assert outcomes == {
        **{("part-0.parquet", row): "expanded" for row in range(1, 4)},
        **{("part-1.parquet", row): "expanded" for row in range(4)},
    }
    rows = sorted((path, row) for path, some in asked for row in some)
    assert rows == sorted(outcomes)


def test_a_hit_that_nobody_shares_a_value_with_needs_no_look(tmp_path: Path, asked: Asked) -> None:
    place = run_of(tmp_path, {"part-0.parquet": table([(address(0), md5_of(0)), *STRANGERS])})
    assert place.outcomes() == {("part-0.parquet", 0): "hit"}
    assert asked == []


def test_a_row_found_by_a_value_that_is_held_may_be_found_by_another(tmp_path: Path) -> None:
    """Rows 1 to 4 bear the address of a hit, which too many bear; what another hit spreads to takes row 2 all the same."""
    rows = [
        (address(0), md5_of(0)),
        *[(address(0), md5_of(50 + number)) for number in range(4)],
        (address(9), md5_of(0)),
    ]
    place = run_of(tmp_path, {"part-0.parquet": table([*rows, (address(9), md5_of(51))])}, spread_limit=3)
    assert place.outcomes() == {
        ("part-0.parquet", 0): "hit",
        ("part-0.parquet", 5): "hit",
        ("part-0.parquet", 6): "expanded",
        ("part-0.parquet", 2): "expanded",
        **{("part-0.parquet", row): "held" for row in (1, 3, 4)},
    }
