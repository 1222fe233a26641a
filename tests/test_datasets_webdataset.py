"""Tars as datasets: rows, columns and pictures with and without side files, what clean leaves, and harm that does not come."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.test_datasets_members import special, tar_of
from vetset.config import PictureSettings, Settings
from vetset.datasets.keys import key_of
from vetset.datasets.location import find_shards
from vetset.datasets.webdataset import Webdataset
from vetset.errors import ShardError
from vetset.records import Column, Reach, ResizeMode, Shard, Signal
from vetset.testing.dataset_contract import Collected
from vetset.testing.tars import SyntheticSample, counts, tar_samples, write_tar_shard

JPEG = b"\xff\xd8\xff\xe0 picture "


def sample(number: int, **changes: Any) -> SyntheticSample:
    given_ = {
        "key": f"{number:09d}",
        "body": JPEG + bytes([number]),
        "url": f"https://a.example/{number}",
        "caption": "c",
    }
    return SyntheticSample(**{**given_, **changes})


def opened(folder: Path, settings_: Settings | None = None) -> tuple[Webdataset, Shard]:
    found = find_shards(str(folder), Reach.LOCAL)
    return Webdataset(found.root, settings_ or Settings()), found.shards[0]


def urls(dataset: Webdataset, shard: Shard) -> list[bytes | None]:
    batches = list(dataset.batches(shard, frozenset({Column.URL})))
    assert [batch.first_row for batch in batches] == np.cumsum([0, *(batch.rows for batch in batches)])[:-1].tolist()
    return [value for batch in batches for value in batch.values.unseal().column("url").to_pylist()]


def pictures(dataset: Webdataset, shard: Shard) -> list[tuple[int, bytes]]:
    return [(item.row, bytes(item.body.unseal())) for batch in dataset.pictures(shard) for item in batch]


class Written:
    """Products by name."""

    def __init__(self) -> None:
        self.sinks: dict[str, Collected] = {}

    def __call__(self, name: str) -> AbstractContextManager[Collected]:
        self.sinks[name] = Collected()
        return nullcontext(self.sinks[name])

    def __getitem__(self, name: str) -> bytes:
        return self.sinks[name].data


def without(dataset: Webdataset, shard: Shard, rows: Sequence[int]) -> Written:
    written = Written()
    total = dataset.facts(shard).rows
    assert dataset.write_without(shard, np.array(rows, np.int64), written) == (total or 0) - len(rows)
    return written


def test_rows_are_samples_with_what_their_json_records(tmp_path: Path) -> None:
    write_tar_shard(tmp_path, "00000", [sample(1), sample(2, md5="ab" * 16, url="")])
    dataset, shard = opened(tmp_path)
    facts = dataset.facts(shard)
    assert facts.rows == 2
    assert {Column.URL, Column.TEXT, Column.MD5, Column.SHA256} <= set(facts.columns)
    assert urls(dataset, shard) == [b"https://a.example/1", b""]
    assert pictures(dataset, shard) == [(0, JPEG + b"\1"), (1, JPEG + b"\2")]
    recorded = [dict(item.recorded) for batch in dataset.pictures(shard) for item in batch]
    assert recorded == [{}, {Signal.MD5: bytes.fromhex("ab" * 16)}]


def test_with_a_side_parquet_rows_are_its_lines_and_then_samples_without_one(tmp_path: Path) -> None:
    lines = [sample(1), sample(2, status="failed_to_download"), sample(3)]
    write_tar_shard(tmp_path, "00000", lines, side_parquet=True, stats=True)
    extra = tar_of([("000000009.jpg", JPEG + b"\x09"), ("000000009.json", b'{"url": "https://a.example/9"}')])
    path = tmp_path / "00000.tar"
    path.write_bytes(path.read_bytes() + extra)
    dataset, shard = opened(tmp_path)
    assert shard.companions == ("00000.parquet", "00000_stats.json")
    assert urls(dataset, shard) == [f"https://a.example/{number}".encode() for number in (1, 2, 3, 9)]
    assert [row for row, _ in pictures(dataset, shard)] == [0, 2, 3]
    batches = dataset.lookup(shard, np.array([1, 3]), frozenset({Column.URL}))
    assert [(b.first_row, b.values.unseal().column("url").to_pylist()) for b in batches] == [
        (1, [b"https://a.example/2"]),
        (3, [b"https://a.example/9"]),
    ]


def test_clean_takes_the_line_the_members_and_the_count(tmp_path: Path) -> None:
    lines = [sample(1), sample(2, status="failed_to_download"), sample(3), sample(4)]
    write_tar_shard(tmp_path, "00000", lines, side_parquet=True, stats=True)
    dataset, shard = opened(tmp_path)
    written = without(dataset, shard, [1, 2])
    assert pq.read_table(io.BytesIO(written["00000.parquet"]))["key"].to_pylist() == ["000000001", "000000004"]
    assert json.loads(written["00000_stats.json"]) == counts([lines[0], lines[3]])
    (tmp_path / "kept.tar").write_bytes(written["00000.tar"])
    assert [key for key, _ in tar_samples(tmp_path / "kept.tar")] == ["000000001", "000000004"]


def test_a_failed_download_alone_leaves_the_tar_as_it_is(tmp_path: Path) -> None:
    path = write_tar_shard(tmp_path, "00000", [sample(1), sample(2, status="failed_to_download")], side_parquet=True)
    dataset, shard = opened(tmp_path)
    assert without(dataset, shard, [1])["00000.tar"] == path.read_bytes()


def test_a_stats_file_that_is_none_is_copied(tmp_path: Path) -> None:
    write_tar_shard(tmp_path, "00000", [sample(1), sample(2)])
    (tmp_path / "00000_stats.json").write_bytes(b"[not counts")
    dataset, shard = opened(tmp_path)
    assert without(dataset, shard, [0])["00000_stats.json"] == b"[not counts"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.lists(
        st.tuples(
            st.sampled_from("abcd"), st.sampled_from(["jpg", "txt", "json", "seg.png", "cls"]), st.binary(max_size=900)
        ),
        min_size=1,
        max_size=12,
    ),
    kind=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    data=st.data(),
)
def test_what_stays_stays_byte_for_byte_in_place_and_order(
    tmp_path: Path, entries: list[tuple[str, str, bytes]], kind: int, data: st.DataObject
) -> None:
    named = [(f"{'long' * 30 if key == 'd' else ''}{key}.{ending}", body) for key, ending, body in entries]
    (tmp_path / "x.tar").write_bytes(whole := tar_of(named, kind))
    dataset, shard = opened(tmp_path)
    keys = list(dict.fromkeys(key_of(name.encode()) for name, _ in named))
    rows = sorted(data.draw(st.sets(st.integers(0, len(keys) - 1), min_size=1)))
    gone = {keys[row] for row in rows}
    written = without(dataset, shard, rows)["x.tar"]
    with tarfile.open(fileobj=io.BytesIO(written)) as tar:
        left = [(item.name, tar.extractfile(item).read()) for item in tar.getmembers()]  # type: ignore[union-attr]
    assert left == [(name, body) for name, body in named if key_of(name.encode()) not in gone]
    rest = tar_of([(name, body) for name, body in named if key_of(name.encode()) not in gone], kind)
    assert written.rstrip(b"\0") == rest.rstrip(b"\0")
    assert whole == (tmp_path / "x.tar").read_bytes()


def test_every_picture_of_a_sample_counts_by_name_or_by_its_first_bytes(tmp_path: Path) -> None:
    members = [("a.jpg", b"broken"), ("a.cond.png", b"x"), ("a.bin", JPEG), ("a.txt", b"words"), ("plain", JPEG + b"2")]
    (tmp_path / "x.tar").write_bytes(tar_of(members))
    dataset, shard = opened(tmp_path)
    assert pictures(dataset, shard) == [(0, b"broken"), (0, b"x"), (0, JPEG), (1, JPEG + b"2")]


@pytest.mark.parametrize("mode", ["border", "center_crop", "auto"])
def test_the_settings_say_how_pictures_were_resized(tmp_path: Path, mode: str) -> None:
    write_tar_shard(tmp_path, "00000", [sample(1, width=256, height=256, original_width=400, original_height=300)])
    dataset, shard = opened(tmp_path, Settings(pictures=PictureSettings(resize_mode=mode)))
    (stored,) = [item.stored for batch in dataset.pictures(shard) for item in batch]
    assert stored.mode == (None if mode == "auto" else ResizeMode(mode))
    assert (stored.original_width, stored.original_height) == (400, 300)


# --- harm -----------------------------------------------------------------------------------------------------------


class Harm:
    """Unpickling this would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (Path.write_text, (self.path, "harm"))


def files_below(folder: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_hostile_members_make_no_file_and_run_nothing(tmp_path: Path) -> None:
    harm = pickle.dumps(Harm(tmp_path / "made-by-pickle"))
    links = special(tarfile.SYMTYPE, name="up.jpg", linkname="/etc") + special(
        tarfile.LNKTYPE, name="a.jpg", linkname="b"
    )
    members = [("../../outside.jpg", JPEG), ("/absolute.jpg", JPEG), ("a.pyd", harm), ("a.pkl", harm), ("a.pth", harm)]
    data = tmp_path / "data"
    data.mkdir()
    (data / "x.tar").write_bytes(links + tar_of([*members, ("up.jpg/through.jpg", JPEG)]))
    before = files_below(tmp_path)
    dataset, shard = opened(data)
    facts = dataset.facts(shard)
    assert len(pictures(dataset, shard)) == 3
    assert dict(dataset.oddities(shard)) == {"hard_link": 1, "symbolic_link": 1}
    without(dataset, shard, list(range(facts.rows or 0)))
    assert files_below(tmp_path) == before


def test_a_removed_sample_takes_its_links_and_later_members_with_it(tmp_path: Path) -> None:
    link = special(tarfile.SYMTYPE, name="a.png", linkname="b.jpg")
    parts = (
        tar_of([("a.jpg", JPEG), ("b.jpg", JPEG)])[: 4 * 512] + link + tar_of([("a.txt", b"again"), ("c.jpg", JPEG)])
    )
    (tmp_path / "x.tar").write_bytes(parts)
    dataset, shard = opened(tmp_path)
    written = without(dataset, shard, [0])["x.tar"]
    with tarfile.open(fileobj=io.BytesIO(written)) as tar:
        assert tar.getnames() == ["b.jpg", "c.jpg"]


def test_a_truncated_tail_is_audited_as_far_as_it_goes_and_counted(tmp_path: Path) -> None:
    whole = tar_of([("a.jpg", JPEG), ("b.jpg", JPEG * 100)])
    (tmp_path / "x.tar").write_bytes(whole[: 3 * 512 + 40])
    dataset, shard = opened(tmp_path)
    assert [row for row, _ in pictures(dataset, shard)] == [0, 1]
    assert dict(dataset.oddities(shard)) == {"truncated": 1}


def test_what_nobody_can_read_is_not_kept(tmp_path: Path) -> None:
    whole = tar_of([("a.jpg", JPEG), ("b.jpg", JPEG)])
    (tmp_path / "x.tar").write_bytes(whole[: 4 * 512] + b"\x07rest" * 300)
    dataset, shard = opened(tmp_path)
    assert dict(dataset.oddities(shard)) == {"damaged": 1}
    assert b"rest" not in without(dataset, shard, [0])["x.tar"]


def test_a_file_that_is_no_tar_is_a_shards_trouble(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"no tar at all" * 100)
    dataset, shard = opened(tmp_path)
    with pytest.raises(ShardError, match="not_the_format"):
        dataset.facts(shard)


def test_an_empty_file_is_an_empty_shard(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"")
    dataset, shard = opened(tmp_path)
    assert dataset.facts(shard).rows == 0
    assert pictures(dataset, shard) == []
