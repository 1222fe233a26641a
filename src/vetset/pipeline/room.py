"""A worker's room: all that a step on a shard has in hand, what it has to say, and what several steps do alike.

In it: ports, ledger, vault and keys in one frozen record; the law of the books.
Not in it: any step (`shard`, `settling`, `cleaning`), a shard's files (`source`), and the building of what is in the
room (`wiring`).
Rules: a step's last word is its manifest; whatever it needs of an earlier step it takes from that one's manifest.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vetset.config import Rule
from vetset.errors import ShardError, Trouble
from vetset.ledger import Ledger, Manifest, Product, Sink
from vetset.ports import Dataset, Decoder, Fetcher, FingerprintKind, HashList
from vetset.records import Hit, Reach, Shard, Tally, Task
from vetset.stages import fetch, match
from vetset.vault import RunKeys, Vault

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FetchRunSettings:
    """What a step of fetch needs: how addresses are chosen, and how the asking is carried.

    `bytes` and `seconds` of asking, summed over workers, end it; 0 is no limit. A part of what came back is committed
    after `part_seconds`. `floor` is the share of answers with a picture below which a warning is due.
    """

    plan: fetch.FetchSettings = field(default_factory=fetch.FetchSettings)
    bytes: int = 0
    seconds: float = 0.0
    groups: int = 8  # of hosts: each is one worker's, so at most so many workers ask at once
    part_seconds: float = 5.0
    keep_digests: bool = False
    floor: float = 0.2


@dataclass(frozen=True, slots=True)
class ShardSettings:
    """The settings that a step on a shard needs."""

    rules: tuple[Rule, ...] = ()
    spread_limit: int = 1000
    remove_held: bool = False
    expand: bool = True
    reach: Reach = Reach.COLUMNS
    match: match.MatchSettings = field(default_factory=match.MatchSettings)
    fetch: FetchRunSettings = field(default_factory=FetchRunSettings)

    @property
    def joins(self) -> bool:
        """Whether the rows' outcomes are settled after screen: by what they share, or by their pictures."""
        return self.expand or self.reach is not Reach.COLUMNS


@dataclass(frozen=True, slots=True, repr=False)
class Room:
    """All that a worker has: ports, ledger, vault and keys, built by `wiring` inside the worker."""

    root: Path
    dataset: Dataset
    lists: Sequence[HashList]
    ledger: Ledger
    vault: Vault
    keys: RunKeys
    settings: ShardSettings
    cleaned: Sink | None = None
    decoder: Callable[[], Decoder] | None = None  # starts the sandbox when first asked; only where it may be needed
    kinds: Sequence[FingerprintKind] = ()
    shards: Sequence[Shard] = ()  # of the dataset, in order; for steps that go over all of them
    fetcher: Callable[[], Fetcher] | None = None  # opened when first asked, as the sandbox is
    digests: Vault | None = None  # where the digests of all pictures are kept, sealed; only where that was asked for
    clock: Callable[[], float] = time.monotonic  # seconds, for nothing that a result rests on


@dataclass(slots=True)
class Made:
    """What a step has to say in its manifest."""

    rows: int
    tally: Mapping[str, int]
    materials: dict[str, str]
    products: dict[str, Product]


def needed(ledger: Ledger, step: str, shard: Shard) -> Manifest:
    manifest = ledger.done(step, shard.id)
    if manifest is None:
        raise ShardError(Trouble.UNREADABLE, f"the step {step} of this shard is missing")
    return manifest


def put_table(room: Room, task: Task, table: pa.Table) -> dict[str, Product]:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", store_schema=False)
    name = f"results/{task.step}/{task.shard.id}.parquet"
    return {"results": room.ledger.sink.put(name, buffer.getvalue())}


def balance(tally: Tally, rows: int) -> None:
    """The law of the books: outcomes add up to the rows that went in, or the shard fails."""
    if tally.rows() != rows:
        raise ShardError(Trouble.BOOKS, f"{rows} rows went in, {tally.rows()} outcomes came out")


def matches(room: Room, shard: Shard) -> Iterable[Hit]:
    """What the pictures of a shard met; nothing where none was looked into."""
    return () if room.settings.reach is Reach.COLUMNS else room.vault.hits("match", shard)


def rows_of(hits: Iterable[Hit]) -> I64:
    return distinct(hit.row for hit in hits)


def distinct(rows: Iterable[int]) -> I64:
    """Rows ascending, each once."""
    return np.array(sorted(set(rows)), np.int64)


def held_rows(vault: Vault, shard: Shard) -> I64:
    """The rows of a shard that are held, ascending."""
    pieces = [np.array(line["rows"], np.int64) for line in vault.lines("held", shard.id)]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int64)
