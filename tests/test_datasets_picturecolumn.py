"""Pictures in Parquet: which columns hold them, rows without any, what is recorded beside them, and what clean leaves."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vetset.config import PictureSettings, Settings
from vetset.datasets import picturecolumn
from vetset.datasets.location import find_shards
from vetset.datasets.parquet import Parquet
from vetset.datasets.picturecolumn import picture_columns
from vetset.errors import ShardError
from vetset.records import Reach, ResizeMode, Shard, Signal
from vetset.testing.dataset_contract import Collected, into

JPEG = b"\xff\xd8\xff\xe0 picture "
PNG = b"\x89PNG\r\n\x1a\n"
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def opened(root: Path, table: pa.Table, settings_: Settings | None = None, **options: Any) -> tuple[Parquet, Shard]:
    pq.write_table(table, root / "x.parquet", **options)
    found = find_shards(str(root), Reach.LOCAL)
    return Parquet(found.root, settings_ or Settings()), found.shards[0]


def pictures(dataset: Parquet, shard: Shard) -> list[tuple[int, bytes]]:
    return [(item.row, bytes(item.body.unseal())) for batch in dataset.pictures(shard) for item in batch]


def images(*bodies: bytes | None) -> Any:
    return pa.array([{"bytes": body, "path": "a.jpg"} for body in bodies], IMAGE)


def test_hugging_faces_struct_is_read_and_rows_without_bytes_have_no_picture(tmp_path: Path) -> None:
    column = pa.concat_arrays([images(JPEG, None, b""), pa.array([None], IMAGE), images(b"odd")])
    dataset, shard = opened(tmp_path, pa.table({"image": column, "label": range(5)}))
    assert dataset.facts(shard).rows == 5
    assert pictures(dataset, shard) == [(0, JPEG), (4, b"odd")]


def test_every_column_of_pictures_is_read_in_order_of_row(tmp_path: Path) -> None:
    table = pa.table({"image": images(b"1", b"2"), "mask": images(b"3", None), "jpg": [b"4", b"5"], "url": ["u", "v"]})
    dataset, shard = opened(tmp_path, table)
    assert picture_columns(table.schema) == ["image", "mask", "jpg"]
    assert pictures(dataset, shard) == [(0, b"1"), (0, b"3"), (0, b"4"), (1, b"2"), (1, b"5")]


def test_lists_of_pictures_are_read(tmp_path: Path) -> None:
    rows = [
        [{"bytes": b"1", "path": None}, {"bytes": b"2", "path": None}],
        [],
        None,
        [None, {"bytes": b"3", "path": None}],
    ]
    for kind in (pa.list_(IMAGE), pa.large_list(IMAGE)):
        dataset, shard = opened(tmp_path, pa.table({"images": pa.array(rows, kind)}))
        assert pictures(dataset, shard) == [(0, b"1"), (0, b"2"), (3, b"3")]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
@pytest.mark.parametrize("name", ["jpg", "PNG", "webp", "image", "image_bytes", "bytes"])
def test_plain_bytes_under_a_known_name_are_pictures_whatever_they_hold(tmp_path: Path, name: str, kind: Any) -> None:
    dataset, shard = opened(tmp_path, pa.table({name: pa.array([b"odd", None, JPEG], kind)}))
    assert pictures(dataset, shard) == [(0, b"odd"), (2, JPEG)]


def test_plain_bytes_under_another_name_are_pictures_by_their_first_bytes(tmp_path: Path) -> None:
    table = pa.table(
        {"url": ["u"] * 4, "payload": [b"vector", JPEG, None, PNG], "md5": [b"\xff\xd8\xff" + bytes(13)] * 4}
    )
    dataset, shard = opened(tmp_path, table)
    assert picture_columns(table.schema) == []
    assert pictures(dataset, shard) == [(1, JPEG), (3, PNG)]


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"url": ["u"], "image": ["a.jpg"]}),
        pa.table({"url": ["u"], "image": [[1, 2]]}),
        pa.table({"url": ["u"], "image": [{"path": "a.jpg"}]}),
        pa.table({"url": ["u"], "image": [{"bytes": "text"}]}),
    ],
)
def test_columns_that_hold_no_bytes_hold_no_pictures(tmp_path: Path, table: Any) -> None:
    dataset, shard = opened(tmp_path, table)
    assert pictures(dataset, shard) == []


def test_two_columns_of_one_name_are_a_shards_trouble(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([JPEG]), pa.array([PNG]), pa.array(["u"])], names=["jpg", "jpg", "url"])
    dataset, shard = opened(tmp_path, table)
    with pytest.raises(ShardError):
        pictures(dataset, shard)


def test_what_is_recorded_goes_with_the_picture(tmp_path: Path) -> None:
    lines = {"width": [256, 9], "height": [256, 9], "original_width": [400, 9], "original_height": [300, 9]}
    digests = {"sha256": ["ab" * 32, None], "MD5": ["no digest", "cd" * 16], "sha512": ["ef" * 64] * 2}
    table = pa.table({"jpg": [JPEG, PNG], **lines, **digests})
    dataset, shard = opened(tmp_path, table)
    first, second = (item for batch in dataset.pictures(shard) for item in batch)
    assert first.recorded == {Signal.SHA256: bytes.fromhex("ab" * 32)}
    assert second.recorded == {Signal.MD5: bytes.fromhex("cd" * 16)}
    assert (first.stored.mode, first.stored.original_width, first.stored.original_height) == (None, 400, 300)
    assert second.stored.mode is ResizeMode.NO
    dataset, shard = opened(tmp_path, table, Settings(pictures=PictureSettings(resize_mode="center_crop")))
    assert {item.stored.mode for batch in dataset.pictures(shard) for item in batch} == {ResizeMode.CENTER_CROP}


BODIES = st.lists(st.none() | st.binary(max_size=40), min_size=1, max_size=60)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=BODIES, shape=st.sampled_from(["struct", "list", "plain"]), group=st.integers(1, 40), data=st.data())
def test_write_read_clean_read_is_what_a_list_would_do(
    tmp_path: Path, bodies: list[bytes | None], shape: str, group: int, data: st.DataObject
) -> None:
    plain = pa.array(bodies, pa.binary())
    column = {
        "plain": lambda: plain,
        "struct": lambda: images(*bodies),
        "list": lambda: pa.array([None if body is None else [{"bytes": body}] for body in bodies], pa.list_(IMAGE)),
    }[shape]()
    table = pa.table({"image": column, "caption": [str(number) for number in range(len(bodies))]})
    dataset, shard = opened(tmp_path, table, row_group_size=group)
    assert pictures(dataset, shard) == [(row, body) for row, body in enumerate(bodies) if body]
    removed = sorted(data.draw(st.sets(st.integers(0, len(bodies) - 1), min_size=1)))
    sink = Collected()
    dataset.write_without(shard, np.array(removed, np.int64), into(sink))
    left = [row for row in range(len(bodies)) if row not in removed]
    rest = pq.read_table(io.BytesIO(sink.data))
    assert rest.equals(table.take(pa.array(left, pa.int64())))
    telling = [body for row, body in enumerate(bodies) if body and row in removed and _tells(body, bodies, left)]
    assert not any(body in sink.data for body in telling)
    (tmp_path / "x.parquet").write_bytes(sink.data)
    again = find_shards(str(tmp_path), Reach.LOCAL).shards[0]
    assert pictures(dataset, again) == [(place, bodies[row]) for place, row in enumerate(left) if bodies[row]]


def _tells(body: bytes, bodies: list[bytes | None], left: list[int]) -> bool:
    """Long enough to be found by chance nowhere, and borne by no row that stays."""
    return len(body) > 20 and len(set(body)) > 10 and all(body not in (bodies[row] or b"") for row in left)


def test_pictures_come_few_at_a_time(tmp_path: Path) -> None:
    bodies = [JPEG + bytes(1000) for _ in range(200)]
    dataset, shard = opened(tmp_path, pa.table({"jpg": bodies}), compression="none")
    sizes = [len(batch) for batch in dataset.pictures(shard)]
    assert sum(sizes) == 200
    assert max(sizes) <= picturecolumn._BATCH_ROWS
