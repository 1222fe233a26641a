"""Shards of samples under the contract of datasets: tars and folders, with all, half or none of their lines beside them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_datasets_contract import ALL, JSON_ROWS, KINDS, OFTEN, SPELLED, as_text
from tests.test_datasets_members import tar_of
from tests.test_datasets_webdataset import JPEG
from vetset.config import RunSettings, Settings
from vetset.datasets import sampled
from vetset.datasets.formats import ByFormat
from vetset.datasets.location import find_shards
from vetset.errors import ShardError, Trouble
from vetset.records import Column, Reach, Shard
from vetset.testing.dataset_contract import Row, Written, check_lookup, check_projection, check_reading


class SampleSubject:
    """Rows as samples: the first `lines` of them in a Parquet beside the container, the rest in JSON."""

    columns = ALL

    def __init__(self, folder: Path, kind: str, lines: int | None) -> None:
        self.folder = folder
        self.kind = kind
        self.lines = lines
        self._numbers = itertools.count()

    def write(self, rows: Sequence[Row], *, batch_rows: int) -> Written:
        root = self.folder / str(next(self._numbers))
        root.mkdir()
        said = [{SPELLED[column]: as_text(row.get(column)) for column in Column} for row in rows]
        keys = [f"{number:05d}" for number in range(len(rows))]
        members = [part for key, one in zip(keys, said, strict=True) for part in ((f"{key}.jpg", JPEG), (f"{key}.json", json.dumps(one).encode()))]  # fmt: skip
        if self.kind == "tar":
            (root / "00000.tar").write_bytes(tar_of(members))
        else:
            (root / "00000").mkdir()
            for name, body in members:
                (root / "00000" / name).write_bytes(body)
        if self.lines is not None:
            columns = {
                SPELLED[column]: pa.array(
                    [one[SPELLED[column]] for one in said[: self.lines]], KINDS.get(column, pa.string())
                )
                for column in Column
            }
            pq.write_table(
                pa.table({**columns, "key": pa.array(keys[: self.lines], pa.string())}), root / "00000.parquet"
            )
        found = find_shards(str(root), Reach.LOCAL)
        return Written(ByFormat(found.root, Settings(run=RunSettings(batch_rows=batch_rows))), found.shards[0], b"")

    def reopen(self, data: bytes) -> Written:
        raise NotImplementedError

    def whole(self, data: bytes) -> list[object]:
        raise NotImplementedError


@OFTEN
@given(rows=JSON_ROWS.filter(len), kind=st.sampled_from(["tar", "files"]), lines=st.none() | st.integers(0, 5))
def test_rows_of_samples_are_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], kind: str, lines: int | None
) -> None:
    subject = SampleSubject(tmp_path_factory.mktemp("samples"), kind, lines)
    check_reading(subject, rows)
    check_projection(subject, rows)
    for numbers in ((), (0,), (len(rows) - 1,), range(0, len(rows), 2), range(len(rows))):
        check_lookup(subject, rows, numbers)


def opened(root: Path, settings: Settings | None = None) -> tuple[ByFormat, Shard]:
    found = find_shards(str(root), Reach.LOCAL)
    return ByFormat(found.root, settings or Settings()), found.shards[0]


def column(dataset: ByFormat, shard: Shard, which: Column) -> list[Any]:
    batches = dataset.batches(shard, frozenset({which}))
    return [value for batch in batches for value in batch.values.unseal().column(which.value).to_pylist()]


def plant(root: Path, **texts: str) -> None:
    for key, text in texts.items():
        (root / f"{key}.jpg").write_bytes(JPEG)
        (root / f"{key}.json").write_text(text)


def test_the_settings_name_what_a_samples_json_calls_otherwise(tmp_path: Path) -> None:
    plant(tmp_path, a='{"link": "https://a.example/1", "url": "not this", "md5": "x"}', b='{"url": "nor this"}')
    settings = Settings(columns={"url": "link", "md5": ""})
    dataset, shard = opened(tmp_path, settings)
    assert dataset.facts(shard).columns == {Column.URL: "link"}
    assert column(dataset, shard, Column.URL) == [b"https://a.example/1", None]


@pytest.mark.parametrize("name", ["url", "md5", "sha256"])
def test_two_values_that_read_as_one_column_are_trouble_and_not_told(tmp_path: Path, name: str) -> None:
    plant(tmp_path, a=json.dumps({name: "https://one.example", name.upper(): "https://other.example"}))
    dataset, shard = opened(tmp_path)
    with pytest.raises(ShardError) as caught:
        column(dataset, shard, Column(name))
    assert caught.value.trouble is Trouble.COLUMN_AMBIGUOUS
    assert "example" not in str(caught.value)


def test_one_value_twice_or_beside_a_null_is_one_value(tmp_path: Path) -> None:
    plant(tmp_path, a='{"url": null, "URL": "u"}', b='{"url": "v", "URL": "v"}', c='{"caption": "1", "alt": "2"}')
    dataset, shard = opened(tmp_path)
    assert column(dataset, shard, Column.URL) == [b"u", b"v", None]
    assert column(dataset, shard, Column.TEXT) == [None, None, b"1"]


def test_values_of_another_type_are_null(tmp_path: Path) -> None:
    plant(tmp_path, a='{"url": 7, "hash": "x", "punsafe": [1]}', b="[]", c="{", d='{"hash": -5, "punsafe": 1}')
    dataset, shard = opened(tmp_path)
    assert column(dataset, shard, Column.URL) == [None] * 4
    assert column(dataset, shard, Column.HASH) == [None, None, None, -5]
    assert column(dataset, shard, Column.PUNSAFE) == [None, None, None, 1.0]


def test_words_stand_in_a_file_of_their_own_too(tmp_path: Path) -> None:
    plant(tmp_path, a="{}", b='{"text": "in json"}')
    (tmp_path / "a.txt").write_bytes(b"in a file \xff")
    dataset, shard = opened(tmp_path)
    assert column(dataset, shard, Column.TEXT) == [b"in a file \xff", b"in json"]


def test_lines_need_nothing_to_compare_since_their_samples_hold_pictures(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(tar_of([("a.jpg", JPEG)]))
    pq.write_table(pa.table({"key": ["a"], "caption": ["c"]}), tmp_path / "0.parquet")
    dataset, shard = opened(tmp_path)
    assert dict(dataset.facts(shard).columns) == {Column.TEXT: "caption"}
    assert [item.row for batch in dataset.pictures(shard) for item in batch] == [0]


@pytest.mark.parametrize("kind", ["tar", "files"])
def test_pictures_come_in_batches_bounded_by_bytes_and_number(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampled, "_BATCH_PICTURES", 4)
    monkeypatch.setattr(sampled, "_BATCH_BYTES", 5000)
    sizes = [100] * 9 + [4000, 4000, 9000, 100]
    names = [(f"{number:02d}.jpg", JPEG.ljust(size, b"x")) for number, size in enumerate(sizes)]
    if kind == "tar":
        (tmp_path / "0.tar").write_bytes(tar_of(names))
    else:
        for name, body in names:
            (tmp_path / name).write_bytes(body)
    dataset, shard = opened(tmp_path)
    rows = [[item.row for item in batch] for batch in dataset.pictures(shard)]
    assert rows == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [10], [11], [12]]


def test_rows_that_are_none_are_the_askers_trouble(tmp_path: Path) -> None:
    plant(tmp_path, a="{}")
    dataset, shard = opened(tmp_path)
    for rows in ([1], [-1], [0, 0]):
        with pytest.raises(ShardError) as caught:
            list(dataset.lookup(shard, np.array(rows, np.int64), ALL))
        assert caught.value.trouble is Trouble.BOOKS
