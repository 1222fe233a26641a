"""Rows as they are read: shards, what a look at one tells, and batches.

In it: frozen data. Not in it: reading. Rules: a row's identity is (shard id, row number from 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from vetset.records.value import Column, SealedBatch


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of a dataset. `id` is its escaped relative path, unique in the run and safe as a file name."""

    id: str
    path: str  # relative to the dataset's root, with forward slashes
    size_bytes: int
    probe: str  # digest over size, head and tail: what the run's fingerprint knows of the contents
    companions: tuple[str, ...] = ()  # files beside it that hold the same rows, by the same kind of path, in order


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """What a look at a shard's footer or first line tells. `rows` is None where only reading can tell."""

    rows: int | None
    columns: Mapping[Column, str]  # ours -> the dataset's spelling
    schema_digest: str


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Consecutive rows of a shard, from `first_row`. Columns absent in the dataset are absent here.

    `url`, `text`, `nsfw` are large_binary (UTF-8 as stored, unchecked); digest columns are large_binary of hex text;
    `hash` is int64 and `punsafe` float64. Nulls are kept.
    """

    first_row: int
    values: SealedBatch

    @property
    def rows(self) -> int:
        return self.values.rows


class Reach(StrEnum):
    """How far a run may reach: what is read, and that nothing beyond it is."""

    COLUMNS = "columns"
    LOCAL = "local"  # bytes that the user already holds
    FETCH = "fetch"  # what the rows' addresses lead to, fetched into memory; only under an agreement
