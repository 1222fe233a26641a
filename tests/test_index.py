"""Index: the facts of a shard as a small table, and rows counted where the footer tells them."""

from __future__ import annotations

from vetset.records import Column, Shard, ShardFacts
from vetset.stages.index import SCHEMA, index

SHARD = Shard("a.parquet", "a.parquet", 10, "00")


def test_one_line_for_each_known_column() -> None:
    facts = ShardFacts(7, {Column.URL: "URL", Column.MD5: "Md5"}, "digest")
    result = index(SHARD, facts)
    assert result.onward.schema == SCHEMA
    assert result.onward.to_pylist() == [
        {"column": "md5", "spelling": "Md5", "schema_digest": "digest"},
        {"column": "url", "spelling": "URL", "schema_digest": "digest"},
    ]
    assert result.tally == {"indexed": 7}


def test_rows_that_only_reading_tells_are_not_guessed() -> None:
    assert index(SHARD, ShardFacts(None, {}, "digest")).tally.rows() == 0
