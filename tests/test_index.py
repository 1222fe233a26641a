"""Index: the facts of a shard as a small table."""

from __future__ import annotations

import pytest

from vetset.records import Column, Shard, ShardFacts
from vetset.stages.index import SCHEMA, index

SHARD = Shard("part-0.parquet", "part-0.parquet", 10, "probe")


def test_each_column_has_a_line_with_the_datasets_own_spelling() -> None:
    result = index(SHARD, ShardFacts(7, {Column.URL: "URL", Column.MD5: "Md5"}, "digest"))
    assert result.onward.to_pylist() == [
        {"column": "md5", "spelling": "Md5", "schema_digest": "digest"},
        {"column": "url", "spelling": "URL", "schema_digest": "digest"},
    ]
    assert result.tally == {"indexed": 7}


def test_the_order_of_columns_changes_nothing() -> None:
    forward = ShardFacts(1, {Column.URL: "a", Column.HASH: "b"}, "digest")
    backward = ShardFacts(1, {Column.HASH: "b", Column.URL: "a"}, "digest")
    assert index(SHARD, forward).onward.equals(index(SHARD, backward).onward)


@pytest.mark.parametrize("rows", [None, 0])
def test_without_columns_or_rows_the_table_keeps_its_shape(rows: int | None) -> None:
    result = index(SHARD, ShardFacts(rows, {}, "digest"))
    assert result.onward.schema == SCHEMA
    assert result.onward.num_rows == 0
    assert result.tally.rows() == 0
