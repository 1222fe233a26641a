"""Parquet in LAION's spellings, real rows as they are, look-ups that read little, memory that stays flat."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import mmh3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vetset.config import RunSettings, Settings
from vetset.datasets.location import find_shards
from vetset.datasets.parquet import Parquet
from vetset.errors import ShardError, Trouble
from vetset.records import Column, RowBatch, Shard
from vetset.testing.dataset_contract import Collected, into

ALL = frozenset(Column)
LAION = Path(__file__).parents[2] / "shared" / "data" / "laion"
needs_laion = pytest.mark.skipif(not LAION.is_dir(), reason="the shared sample rows are not here")


def opened(path: Path, batch_rows: int = 7, **columns: str) -> tuple[Parquet, Shard]:
    found = find_shards(str(path))
    return Parquet(found.root, Settings(run=RunSettings(batch_rows=batch_rows), columns=columns)), found.shards[0]


def values(batches: Any, column: Column) -> list[Any]:
    return [cell for batch in batches for cell in batch.values.unseal().column(column.value).to_pylist()]


def write(path: Path, table: Any, **options: Any) -> Path:
    pq.write_table(table, path, **options)
    return path


# --- trouble with a whole shard --------------------------------------------------------------------------------------


def test_rows_that_are_no_rows_of_the_shard_are_the_callers_error(tmp_path: Path) -> None:
    dataset, shard = opened(write(tmp_path / "a.parquet", pa.table({"url": ["a", "b", "c"]})))
    for rows in ([3], [-1], [1, 1], [2, 0]):
        asked = np.array(rows, np.int64)
        with pytest.raises(ShardError) as looking:
            list(dataset.lookup(shard, asked, ALL))
        with pytest.raises(ShardError) as writing:
            dataset.write_without(shard, asked, into(Collected()))
        assert looking.value.trouble is writing.value.trouble is Trouble.BOOKS


@pytest.mark.parametrize(
    ("table", "trouble"),
    [
        (pa.table({"TEXT": ["a"]}), Trouble.COLUMN_MISSING),
        (pa.table({"URL": ["a"], "url": ["b"]}), Trouble.COLUMN_AMBIGUOUS),
        (pa.table({"URL": ["a"], "hash": ["no number"]}), Trouble.COLUMN_TYPE),
        (pa.table({"URL": [["a"]]}), Trouble.COLUMN_TYPE),
        (pa.table({"URL": ["a"], "punsafe": [True]}), Trouble.COLUMN_TYPE),
    ],
    ids=["missing", "ambiguous", "hash", "nested", "punsafe"],
)
def test_columns_that_will_not_do(tmp_path: Path, table: Any, trouble: Trouble) -> None:
    dataset, shard = opened(write(tmp_path / "a.parquet", table))
    for use in (lambda: dataset.facts(shard), lambda: list(dataset.batches(shard, ALL))):
        with pytest.raises(ShardError) as caught:
            use()
        assert caught.value.trouble is trouble


def test_overrides_reach_the_shard(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", pa.table({"link": ["a"], "hash": ["no number"]}))
    dataset, shard = opened(path, url="link", hash="")
    assert dataset.facts(shard).columns == {Column.URL: "link"}
    assert values(dataset.batches(shard, ALL), Column.URL) == [b"a"]


# --- the LAION family ----------------------------------------------------------------------------------------------------

ORDERS = {
    "400m": ["SAMPLE_ID", "URL", "TEXT", "LICENSE", "NSFW", "similarity", "WIDTH", "HEIGHT"],
    "joined en": ["SAMPLE_ID", "URL", "TEXT", "WIDTH", "HEIGHT", "similarity", "hash", "punsafe", "pwatermark"],
    "joined multi": [
        "SAMPLE_ID",
        "URL",
        "TEXT",
        "WIDTH",
        "HEIGHT",
        "similarity",
        "LANGUAGE",
        "hash",
        "pwatermark",
        "punsafe",
    ],
    "md5": ["md5", "punsafe", "hash", "similarity", "HEIGHT", "WIDTH", "TEXT", "URL", "__index_level_0__"],
    "metadata": [
        "image_path",
        "caption",
        "NSFW",
        "similarity",
        "LICENSE",
        "url",
        "key",
        "width",
        "height",
        "exif",
        "sha256",
    ],
}


def laion_column(name: str, rows: int) -> Any:
    urls = [f"https://example.org/{number}.jpg" for number in range(rows)]
    texts = [None if number % 3 == 0 else f"caption {number}" for number in range(rows)]
    made: dict[str, Any] = {
        "url": urls,
        "text": texts,
        "caption": texts,
        "hash": pa.array(
            [mmh3.hash64(url + (text or ""))[0] for url, text in zip(urls, texts, strict=True)], pa.int64()
        ),
        "punsafe": pa.array(np.linspace(0, 1, rows), pa.float32()),
        "md5": [f"{number:032x}" for number in range(rows)],
        "sha256": [f"{number:064x}" for number in range(rows)],
        "nsfw": ["UNLIKELY", "UNSURE", None] * rows,
        "width": pa.array([float(number) for number in range(rows)], pa.float64()),
    }
    column = made.get(name.lower(), [f"{name} {number}" for number in range(rows)])
    return column[:rows]


@pytest.mark.parametrize("codec", ["snappy", "zstd", "lz4", "none"])
@pytest.mark.parametrize("order", ORDERS)
def test_every_spelling_and_codec(tmp_path: Path, order: str, codec: str) -> None:
    names = ORDERS[order]
    table = pa.table({name: laion_column(name, 20) for name in names})
    dataset, shard = opened(
        write(tmp_path / "part-00000-x-c000.snappy.parquet", table, compression=codec, row_group_size=6)
    )
    facts = dataset.facts(shard)
    assert facts.rows == 20
    assert values(dataset.batches(shard, ALL), Column.URL) == [
        f"https://example.org/{number}.jpg".encode() for number in range(20)
    ]
    for column, name in facts.columns.items():
        expected = table.column(name).to_pylist()
        got = values(dataset.lookup(shard, np.arange(20), frozenset({column})), column)
        assert got == [cell.encode() if isinstance(cell, str) else cell for cell in expected]


def test_the_hash_column_keeps_its_sign(tmp_path: Path) -> None:
    # reference: datasets, §2, test vectors of MurmurHash3 with mmh3 5.3.1
    vectors = [
        ("https://example.org/a.jpg", "A red bicycle", 1254989289920717894),
        ("https://example.org/img/0.jpg", "caption 0", -6870579050919041539),
    ]
    urls, texts, hashes = (list(column) for column in zip(*vectors, strict=True))
    dataset, shard = opened(write(tmp_path / "a.parquet", pa.table({"URL": urls, "TEXT": texts, "hash": hashes})))
    assert (
        values(dataset.batches(shard, ALL), Column.HASH)
        == [mmh3.hash64(url + text)[0] for url, text, _ in vectors]
        == hashes
    )


@needs_laion
@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [
        ("test_1000.parquet", 1000, {"url", "text"}),
        ("laion_rows_3000.parquet", 3000, {"url", "text"}),
        ("sample_image.parquet", None, {"url", "text", "sha256"}),
        ("test_bbox.parquet", None, {"url", "text"}),
    ],
)
def test_real_rows_as_they_are(name: str, rows: int | None, columns: set[str]) -> None:
    dataset, shard = opened(LAION / name, batch_rows=97)
    table = pq.read_table(LAION / name)
    facts = dataset.facts(shard)
    assert facts.rows == table.num_rows
    assert rows in {None, facts.rows}
    assert columns <= set(facts.columns)
    for column, spelled in facts.columns.items():
        expected = [cell.encode() if isinstance(cell, str) else cell for cell in table.column(spelled).to_pylist()]
        assert values(dataset.batches(shard, ALL), column) == expected
        some = np.arange(0, table.num_rows, 3)
        assert values(dataset.lookup(shard, some, ALL), column) == expected[::3]
    sink = Collected()
    removed = np.unique([0, table.num_rows - 1])
    assert dataset.write_without(shard, removed, into(sink)) == max(0, table.num_rows - 2)
    written = pq.read_table(pa.BufferReader(sink.data))
    assert written.equals(table.slice(1, max(0, table.num_rows - 2)))
    assert written.schema.equals(table.schema, check_metadata=True)


# --- row groups, and what is read of them -----------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 4), max_size=6), st.data())
def test_row_groups_of_any_size_some_without_rows(tmp_path: Path, sizes: list[int], data: st.DataObject) -> None:
    schema = pa.schema([("url", pa.string()), ("n", pa.int64())])
    path = tmp_path / "groups.parquet"
    total = sum(sizes)
    everything = pa.table([[f"u{number}" for number in range(total)], list(range(total))], schema=schema)
    with pq.ParquetWriter(path, schema) as writer:
        for group, size in enumerate(sizes):
            writer.write_table(everything.slice(sum(sizes[:group]), size))
    dataset, shard = opened(path, batch_rows=3)
    assert values(dataset.batches(shard, ALL), Column.URL) == [f"u{number}".encode() for number in range(total)]
    chosen = sorted(data.draw(st.sets(st.integers(0, total - 1)))) if total else []
    rows = np.array(chosen, np.int64)
    batches = list(dataset.lookup(shard, rows, ALL))
    assert [batch.first_row + place for batch in batches for place in range(batch.rows)] == chosen
    if not chosen:
        return
    sink = Collected()
    assert dataset.write_without(shard, rows, into(sink)) == total - len(chosen)
    written = pq.ParquetFile(pa.BufferReader(sink.data))
    assert written.read().equals(
        everything.take(pa.array([number for number in range(total) if number not in chosen], pa.int64()))
    )
    starts = np.cumsum([0, *sizes])
    left = [
        size - len([row for row in chosen if start <= row < start + size])
        for start, size in zip(starts, sizes, strict=False)
    ]
    assert [written.metadata.row_group(number).num_rows for number in range(written.num_row_groups)] == [
        rest for rest, size in zip(left, sizes, strict=True) if rest or not size
    ]


def spoil(path: Path, group: int, column: int) -> None:
    """Overwrites the first page of a column chunk, so that reading it is noticed."""
    chunk = pq.read_metadata(path).row_group(group).column(column)
    with path.open("r+b") as file:
        file.seek(chunk.dictionary_page_offset or chunk.data_page_offset)
        file.write(b"\xff" * 16)


def test_a_lookup_reads_only_the_row_groups_and_columns_it_needs(tmp_path: Path) -> None:
    table = pa.table({"url": [f"u{number}" for number in range(30)], "text": ["t"] * 30, "other": ["o"] * 30})
    path = write(tmp_path / "a.parquet", table, row_group_size=10)
    for group, place in ((0, 0), (2, 0), (1, 1), (1, 2)):
        spoil(path, group, place)
    dataset, shard = opened(path)
    assert values(dataset.lookup(shard, np.array([11, 12, 19]), frozenset({Column.URL})), Column.URL) == [
        b"u11",
        b"u12",
        b"u19",
    ]
    for rows, column in ((np.array([9]), Column.URL), (np.array([11]), Column.TEXT)):
        with pytest.raises(ShardError):
            list(dataset.lookup(shard, rows, frozenset({column})))


def test_a_lookup_gives_a_batch_for_each_run_of_neighbours(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", pa.table({"url": [f"u{number}" for number in range(30)]}))
    dataset, shard = opened(path, batch_rows=30)
    batches = list(dataset.lookup(shard, np.array([0, 1, 2, 5, 29]), ALL))
    assert [(batch.first_row, batch.rows) for batch in batches] == [(0, 3), (5, 1), (29, 1)]


def test_the_schema_digest_follows_names_and_types_and_not_rows(tmp_path: Path) -> None:
    def digest(table: Any) -> str:
        dataset, shard = opened(write(tmp_path / "a.parquet", table))
        return dataset.facts(shard).schema_digest

    one = digest(pa.table({"url": ["a"], "n": [1]}))
    assert one == digest(pa.table({"url": ["other", "rows"], "n": [2, 3]}))
    assert len({one, digest(pa.table({"url": ["a"], "m": [1]})), digest(pa.table({"url": ["a"], "n": ["1"]}))}) == 3


def test_batches_come_before_the_end_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", pa.table({"url": [f"u{number}" for number in range(30)]}), row_group_size=10)
    spoil(path, 2, 0)
    dataset, shard = opened(path, batch_rows=10)
    reading = dataset.batches(shard, ALL)
    first: list[RowBatch] = [next(reading), next(reading)]
    assert [batch.first_row for batch in first] == [0, 10]
    with pytest.raises(ShardError):
        next(reading)


# --- memory ------------------------------------------------------------------------------------------------------------------

PEAK = """
import sys
import numpy as np, pyarrow as pa
from pathlib import Path
from vetset.config import Settings
from vetset.datasets.location import find_shards
from vetset.datasets.parquet import Parquet
from vetset.records import Column
found = find_shards(sys.argv[1])
dataset = Parquet(found.root, Settings())
rows = sum(batch.rows for batch in dataset.batches(found.shards[0], frozenset(Column)))
rows += sum(batch.rows for batch in dataset.lookup(found.shards[0], np.arange(0, rows, 1000), frozenset(Column)))
print(rows, pa.default_memory_pool().max_memory())
"""


def test_memory_does_not_grow_with_rows_or_row_groups(tmp_path: Path) -> None:
    rows = 600_000
    peaks: dict[str, int] = {}
    for name, factor, group in (("small", 1, 100_000), ("many groups", 5, 100_000), ("one group", 5, 1_000_000)):
        count = rows * factor // 5
        numbers = pa.array(np.random.default_rng(0).integers(0, 2**62, count))
        text = numbers.cast(pa.string())
        table = pa.table({"URL": text, "TEXT": text, "md5": text, "hash": numbers})
        path = write(tmp_path / f"{name}.parquet", table, row_group_size=group, use_dictionary=False)
        answer = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
        read, arrow_bytes = (int(word) for word in answer.stdout.split())
        assert read == count + count // 1000
        peaks[name] = arrow_bytes
    # Arrow's own count of its bytes: exact, where the process's depends on the allocator.
    assert peaks["many groups"] <= peaks["small"] * 1.5
    assert peaks["one group"] <= peaks["small"] * 1.5
