"""Counts beside a shard, and lines that belong to samples: what follows a removal, and side files that are odd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.test_datasets_webdataset import JPEG, Written, sample
from vetset.config import PictureSettings, Settings
from vetset.datasets import companions
from vetset.datasets.companions import Gone, write_stats
from vetset.datasets.formats import ByFormat
from vetset.datasets.location import find_shards
from vetset.datasets.stored import stored_of
from vetset.errors import ShardError, Trouble
from vetset.records import Column, Reach, ResizeMode, Shard
from vetset.testing.dataset_contract import Collected, check_files
from vetset.testing.folders import write_folder_shard, write_parquet_shard
from vetset.testing.tars import SyntheticSample, counts, tar_samples, write_tar_shard

WRITERS: dict[str, Any] = {
    "tar": lambda folder, samples: write_tar_shard(folder, "00000", samples, side_parquet=True, stats=True),
    "files": lambda folder, samples: write_folder_shard(folder, "00000", samples),
    "parquet": lambda folder, samples: write_parquet_shard(folder, "00000", samples),
}


def opened(place: Path, reach: Reach = Reach.LOCAL) -> tuple[ByFormat, Shard]:
    found = find_shards(str(place), reach)
    (shard,) = found.shards
    return ByFormat(found.root, Settings()), shard


def without(dataset: ByFormat, shard: Shard, rows: list[int]) -> dict[str, bytes]:
    written = Written()
    total = dataset.facts(shard).rows or 0
    assert dataset.write_without(shard, np.array(rows, np.int64), written) == total - len(rows)
    return {name: sink.data for name, sink in written.sinks.items()}


def pictures(dataset: ByFormat, shard: Shard) -> list[tuple[int, bytes]]:
    return [(item.row, bytes(item.body.unseal())) for batch in dataset.pictures(shard) for item in batch]


def settle(place: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


STATUSES = st.sampled_from(["success", "success", "failed_to_download", "failed_to_resize"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(sorted(WRITERS)), statuses=st.lists(STATUSES, min_size=1, max_size=8), data=st.data())
def test_every_output_of_img2dataset_is_what_it_would_be_without_the_rows(
    tmp_path_factory: pytest.TempPathFactory, kind: str, statuses: list[str], data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("whole")
    samples = [sample(number, status=status) for number, status in enumerate(statuses)]
    if kind == "files" and "success" not in statuses:
        return  # a folder without a picture is none
    WRITERS[kind](root, samples)
    dataset, shard = opened(root)
    assert dataset.facts(shard).rows == len(samples)
    assert pictures(dataset, shard) == [(n, s.body) for n, s in enumerate(samples) if s.status == "success"]
    removed = sorted(data.draw(st.sets(st.integers(0, len(samples) - 1), min_size=1)))
    left = [one for number, one in enumerate(samples) if number not in removed]
    cleaned = settle(tmp_path_factory.mktemp("cleaned"), without(dataset, shard, removed))
    stats = json.loads((cleaned / "00000_stats.json").read_text())
    wanted = counts(left)
    wanted["status_dict"] = {name: count for name, count in wanted["status_dict"].items() if count}
    if not any(samples[row].status == "success" for row in removed):
        wanted["status_dict"] = counts(samples)["status_dict"]
    assert stats == wanted
    table = pq.read_table(cleaned / "00000.parquet")
    assert table["key"].to_pylist() == [one.key for one in left]
    held = [one for one in left if one.status == "success"]
    if kind == "tar":
        assert [key for key, _ in tar_samples(cleaned / "00000.tar")] == [one.key for one in held]
    if kind == "files":
        assert {path.name for path in (cleaned / "00000").glob("*.jpg")} == {f"{one.key}.jpg" for one in held}
    if left and (kind != "files" or held):
        again, shard = opened(cleaned)
        assert pictures(again, shard) == [(n, s.body) for n, s in enumerate(left) if s.status == "success"]


def test_an_empty_count_of_an_error_goes_since_its_name_tells(tmp_path: Path) -> None:
    lines = [{**sample(n).line(), "status": status, "error_message": error} for n, (status, error) in enumerate(
        [("failed_to_download", "HTTP Error 410: Gone"), ("failed_to_resize", "Image decoding error"), ("success", None)]
    )]  # fmt: skip
    pq.write_table(pa.Table.from_pylist([{**line, "jpg": JPEG} for line in lines]), tmp_path / "0.parquet")
    events = {"success": 1, "HTTP Error 410: Gone": 1, "Image decoding error": 5, "odd": "x"}
    tree = {
        "count": 3,
        "successes": 1,
        "failed_to_download": 1,
        "failed_to_resize": 1,
        "status_dict": events,
        "end": 2.5,
    }
    (tmp_path / "0_stats.json").write_text(json.dumps(tree))
    dataset, shard = opened(tmp_path)
    assert json.loads(without(dataset, shard, [0, 1])["0_stats.json"]) == {
        "count": 1,
        "successes": 1,
        "failed_to_download": 0,
        "failed_to_resize": 0,
        "status_dict": {"success": 1, "Image decoding error": 4, "odd": "x"},
        "end": 2.5,
    }


def test_without_lines_counts_are_lowered_by_what_went(tmp_path: Path) -> None:
    write_tar_shard(tmp_path, "00000", [sample(number) for number in range(5)], stats=True)
    dataset, shard = opened(tmp_path)
    stats = json.loads(without(dataset, shard, [0, 4])["00000_stats.json"])
    assert (stats["count"], stats["successes"], stats["status_dict"]) == (3, 3, {"success": 5})


@pytest.mark.parametrize(
    "text",
    [b"", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"count": 3' + b" " * companions.MAX_STATS_BYTES + b"}", b"null"],
    ids=["empty", "list", "bytes", "deep", "long", "null"],
)
def test_a_stats_file_that_is_no_object_of_counts_is_copied(tmp_path: Path, text: bytes) -> None:
    write_parquet_shard(tmp_path, "0", [sample(1), sample(2)])
    (tmp_path / "0_stats.json").write_bytes(text)
    dataset, shard = opened(tmp_path)
    assert without(dataset, shard, [0])["0_stats.json"] == text


@given(
    st.dictionaries(st.sampled_from(["count", "successes", "x"]), st.integers() | st.text() | st.none() | st.booleans())
)
def test_what_is_no_count_stays(tmp_path_factory: pytest.TempPathFactory, tree: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("stats") / "s"
    path.write_text(json.dumps(tree))
    sink = Collected()
    write_stats(path, Gone(9, 2), sink)
    for name, value in json.loads(sink.data).items():
        lowered = name != "x" and isinstance(tree[name], int) and not isinstance(tree[name], bool)
        assert value == (max(0, tree[name] - 2) if lowered else tree[name])


def test_embeddings_lose_the_rows_of_their_metadata_in_both_reaches(tmp_path: Path) -> None:
    array = np.arange(40, dtype=np.float16).reshape(10, 4)
    for kind in ("img_emb", "text_emb"):
        (tmp_path / kind).mkdir()
        np.save(tmp_path / kind / f"{kind}_0000.npy", array)
    (tmp_path / "metadata").mkdir()
    table = pa.table({"url": [f"https://a.example/{n}" for n in range(10)], "caption": ["c"] * 10})
    pq.write_table(table, tmp_path / "metadata" / "metadata_0000.parquet")
    for reach in Reach:
        dataset, shard = opened(tmp_path, reach)
        written = without(dataset, shard, [0, 1, 7])
        assert list(written) == list(dataset.files(shard))
        cleaned = settle(tmp_path / reach.value, written)
        for kind in ("img_emb", "text_emb"):
            rest = np.load(cleaned / kind / f"{kind}_0000.npy")
            assert rest.tobytes() == np.delete(array, [0, 1, 7], axis=0).tobytes()
        assert len(pq.read_table(cleaned / "metadata" / "metadata_0000.parquet")) == len(rest)
        for path in sorted(cleaned.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        cleaned.rmdir()


def test_embeddings_of_another_number_of_rows_end_the_writing(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": ["https://a.example"] * 3}), tmp_path / "metadata_0.parquet")
    np.save(tmp_path / "img_emb_0.npy", np.zeros((4, 2)))
    dataset, shard = opened(tmp_path)
    with pytest.raises(ShardError) as caught:
        without(dataset, shard, [0])
    assert caught.value.trouble is Trouble.COUNTS_DISAGREE


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_products_are_the_shards_files_in_their_order(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path, [sample(number) for number in range(4)])
    dataset, shard = opened(tmp_path)
    for rows in ([0], [1, 3], range(4)):
        written = check_files(dataset, shard, rows)
        gone = [name for name in dataset.files(shard) if any(f"{row:09d}" in name for row in rows)]
        assert written == [name for name in dataset.files(shard) if name not in gone]


def test_text_has_one_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("url,text\nhttps://a.example,b\n")
    (tmp_path / "a_stats.json").write_text("{}")
    dataset, shard = opened(tmp_path)
    assert check_files(dataset, shard, [0]) == ["a.csv"]
    assert list(dataset.pictures(shard)) == []


# --- lines and samples -------------------------------------------------------------------------------------------------


def with_lines(root: Path, kind: str, samples: list[SyntheticSample], lines: pa.Table) -> tuple[ByFormat, Shard]:
    WRITERS[kind](root, samples)
    pq.write_table(lines, root / "00000.parquet")
    return opened(root)


BOTH = pytest.mark.parametrize("kind", ["tar", "files"])


@BOTH
def test_lines_without_keys_are_trouble_and_say_what_to_do(tmp_path: Path, kind: str) -> None:
    dataset, shard = with_lines(tmp_path, kind, [sample(1)], pa.table({"url": ["https://a.example"]}))
    with pytest.raises(ShardError, match="folder of its own") as caught:
        dataset.facts(shard)
    assert caught.value.trouble is Trouble.COLUMN_MISSING
    assert "example" not in str(caught.value)


@BOTH
def test_whichever_line_of_one_key_goes_the_sample_goes_too(tmp_path: Path, kind: str) -> None:
    lines = pa.table({"url": [f"https://a.example/{n}" for n in range(3)], "key": ["000000001"] * 2 + ["000000002"]})
    dataset, shard = with_lines(tmp_path, kind, [sample(1), sample(2)], lines)
    assert [row for row, _ in pictures(dataset, shard)] == [0, 2]
    for row in (0, 1):
        cleaned = settle(tmp_path / f"without{row}", without(dataset, shard, [row]))
        again, rest = opened(cleaned)
        assert pictures(again, rest) == [(1, JPEG + b"\2")]
        assert again.facts(rest).rows == 2


@BOTH
def test_lines_without_sample_and_samples_without_line_are_rows(tmp_path: Path, kind: str) -> None:
    lines = pa.table({"url": ["https://b.example/9", "https://b.example/2"], "key": ["000000009", "000000002"]})
    dataset, shard = with_lines(tmp_path, kind, [sample(1), sample(2)], lines)
    urls = [
        v for batch in dataset.batches(shard, frozenset({Column.URL})) for v in batch.values.unseal()["url"].to_pylist()
    ]
    assert urls == [b"https://b.example/9", b"https://b.example/2", b"https://a.example/1"]
    assert pictures(dataset, shard) == [(1, JPEG + b"\2"), (2, JPEG + b"\1")]
    cleaned = settle(tmp_path / "cleaned", without(dataset, shard, [2]))
    assert (cleaned / "00000.parquet").read_bytes() == (tmp_path / "00000.parquet").read_bytes()
    assert (cleaned / "00000_stats.json").read_bytes() == (tmp_path / "00000_stats.json").read_bytes()
    assert pictures(*opened(cleaned)) == [(1, JPEG + b"\2")]


@BOTH
def test_keys_may_be_null_or_numbers(tmp_path: Path, kind: str) -> None:
    lines = pa.table({"url": ["https://b.example/0", "https://b.example/7"], "key": pa.array([None, 7], pa.int64())})
    dataset, shard = with_lines(tmp_path, kind, [sample(1, key="7"), sample(2)], lines)
    assert [row for row, _ in pictures(dataset, shard)] == [1, 2]


@BOTH
def test_a_side_parquet_that_is_none_is_a_shards_trouble(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path, [sample(1)])
    (tmp_path / "00000.parquet").write_bytes(b"PAR1 no such thing PAR1")
    dataset, shard = opened(tmp_path)
    with pytest.raises(ShardError):
        dataset.facts(shard)


# --- how a picture was stored ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "settings_", "mode", "intact"),
    [
        ({}, PictureSettings(), None, False),
        ({}, PictureSettings(intact=True), None, True),
        ({}, PictureSettings(resize_mode="no", intact=True), ResizeMode.NO, True),
        ({}, PictureSettings(resize_mode="border", intact=True), ResizeMode.BORDER, False),
        ({"width": 9, "height": 9, "original_width": 9, "original_height": 9}, PictureSettings(), ResizeMode.NO, False),
        ({"width": 9, "height": 9, "original_width": 9, "original_height": 8}, PictureSettings(), None, False),
        ({"width": True, "original_width": -4, "original_height": float("nan")}, PictureSettings(), None, False),
        ({"original_width": 2**40, "original_height": "7"}, PictureSettings(), None, False),
    ],
)
def test_what_is_not_recorded_is_unknown(
    said: dict[str, Any], settings_: PictureSettings, mode: ResizeMode | None, intact: bool
) -> None:
    stored = stored_of(said, settings_)
    assert (stored.mode, stored.intact) == (mode, intact)
    assert 0 <= stored.original_width < 2**31
