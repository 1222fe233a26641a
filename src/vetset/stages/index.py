"""Index: what a shard holds, from its footer or first line, before a row is read.

In it: the facts of a shard as a small table. Not in it: rows, and whether they can be compared (see `screen`).
"""

from __future__ import annotations

import pyarrow as pa

from vetset.records import Shard, ShardFacts, StageResult, Tally

SCHEMA = pa.schema([("column", pa.string()), ("spelling", pa.string()), ("schema_digest", pa.string())])


def index(shard: Shard, facts: ShardFacts) -> StageResult[pa.Table]:
    """One line for each column of ours that the shard has; rows known beforehand are counted as `indexed`."""
    del shard  # its name is the table's name; nothing else of it is recorded here
    rows = [
        {"column": column.value, "spelling": spelling, "schema_digest": facts.schema_digest}
        for column, spelling in sorted(facts.columns.items())
    ]
    return StageResult(pa.Table.from_pylist(rows, schema=SCHEMA), Tally({"indexed": facts.rows or 0}))
