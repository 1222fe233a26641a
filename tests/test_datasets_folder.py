"""Folders of pictures as datasets: samples, parts, rows and pictures, what clean leaves; links, pipes and files that change."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.test_datasets_webdataset import JPEG, Written, sample
from vetset.config import Settings
from vetset.datasets import folder as folder_module
from vetset.datasets import listing
from vetset.datasets.formats import ByFormat
from vetset.datasets.listing import grouped
from vetset.datasets.location import find_shards
from vetset.errors import ShardError, Stop, Trouble
from vetset.records import Column, Reach, Shard, Signal
from vetset.testing.folders import write_folder_shard
from vetset.testing.tars import counts


def plant(root: Path, *names: str, body: bytes = JPEG) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body + name.encode())


def opened(place: Path | str) -> tuple[ByFormat, tuple[Shard, ...], tuple[str, ...]]:
    found = find_shards(str(place), Reach.LOCAL)
    return ByFormat(found.root, Settings()), found.shards, found.ignored


def only(place: Path) -> tuple[ByFormat, Shard]:
    dataset, (shard,), _ = opened(place)
    return dataset, shard


def pictures(dataset: ByFormat, shard: Shard) -> list[tuple[int, bytes]]:
    return [(item.row, bytes(item.body.unseal())) for batch in dataset.pictures(shard) for item in batch]


def urls(dataset: ByFormat, shard: Shard) -> list[bytes | None]:
    batches = list(dataset.batches(shard, frozenset({Column.URL})))
    return [value for batch in batches for value in batch.values.unseal().column("url").to_pylist()]


def without(dataset: ByFormat, shard: Shard, rows: list[int]) -> dict[str, bytes]:
    written = Written()
    total = dataset.facts(shard).rows or 0
    assert dataset.write_without(shard, np.array(rows, np.int64), written) == total - len(rows)
    return {name: sink.data for name, sink in written.sinks.items()}


def trouble(dataset: ByFormat, shard: Shard) -> Trouble:
    with pytest.raises(ShardError) as caught:
        pictures(dataset, shard)
    return caught.value.trouble


# --- shards ----------------------------------------------------------------------------------------------------------


def test_every_folder_with_pictures_is_a_shard_and_other_files_are_named(tmp_path: Path) -> None:
    names = ["a.jpg", "b/x.png", "b/_DSC1.jpg", "b/x.txt", "b/readme.md", "b/.hid.jpg", "c/d/e.gif", "c/list.csv"]
    plant(tmp_path, *names, "_tmp/y.jpg", "z/none.txt")
    _, shards, ignored = opened(tmp_path)
    assert [(shard.path, shard.id) for shard in shards] == [
        ("./", "%2E%2F"),
        ("b/", "b%2F"),
        ("c/d/", "c%2Fd%2F"),
        ("c/list.csv", "c%2Flist.csv"),
    ]
    assert ignored == ("_tmp/", "b/.hid.jpg", "b/readme.md", "z/none.txt")


def test_by_columns_folders_are_no_shards_and_say_so_where_there_is_nothing_else(tmp_path: Path) -> None:
    plant(tmp_path, "b/x.png")
    with pytest.raises(Stop, match="holds pictures") as refused:
        find_shards(str(tmp_path))
    assert "--reach local" in refused.value.hint
    plant(tmp_path, "a.csv")
    found = find_shards(str(tmp_path))
    assert ([shard.path for shard in found.shards], found.ignored) == (["a.csv"], ("b/x.png",))


def test_a_single_picture_is_told_to_be_named_by_its_folder(tmp_path: Path) -> None:
    plant(tmp_path, "x.png")
    with pytest.raises(Stop) as refused:
        find_shards(str(tmp_path / "x.png"), Reach.LOCAL)
    assert "folder" in refused.value.hint


def test_a_glob_takes_folders_whole_or_not_at_all(tmp_path: Path) -> None:
    plant(tmp_path, "2024/a.jpg", "2024/b.png", "2025/a.jpg", "other/a.jpg")
    assert [shard.path for shard in opened(str(tmp_path / "202*"))[1]] == ["2024/", "2025/"]
    assert [shard.path for shard in opened(str(tmp_path / "202*" / "*"))[1]] == ["2024/", "2025/"]
    with pytest.raises(Stop, match="read whole") as refused:
        find_shards(str(tmp_path / "*" / "*.jpg"), Reach.LOCAL)
    assert "folder" in refused.value.hint


@pytest.mark.parametrize("name", ["a.tfrecord", "b/c.TFRECORDS"])
def test_tfrecords_are_refused_where_pictures_are_asked_for(tmp_path: Path, name: str) -> None:
    plant(tmp_path, name)
    with pytest.raises(Stop) as alone:
        find_shards(str(tmp_path))
    assert "TFRecord" in alone.value.hint
    plant(tmp_path, "rows.csv")
    assert find_shards(str(tmp_path)).ignored == (name,)
    with pytest.raises(Stop, match="TFRecord"):
        find_shards(str(tmp_path), Reach.LOCAL)


def test_a_large_folder_is_cut_into_parts_of_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PART_SAMPLES", 3)
    plant(tmp_path, *(f"p/{number}.jpg" for number in range(8)), "p/7.txt", "p/0.png", "q/0.jpg")
    dataset, shards, ignored = opened(tmp_path)
    assert [shard.path for shard in shards] == ["p/#00000", "p/#00001", "p/#00002", "q/"]
    assert not ignored
    assert [list(dataset.files(shard)) for shard in shards] == [
        ["p/0.jpg", "p/0.png", "p/1.jpg", "p/2.jpg"],
        ["p/3.jpg", "p/4.jpg", "p/5.jpg"],
        ["p/6.jpg", "p/7.jpg", "p/7.txt"],
        ["q/0.jpg"],
    ]
    assert pictures(dataset, shards[1]) == [(row, JPEG + f"p/{row + 3}.jpg".encode()) for row in range(3)]
    assert list(without(dataset, shards[2], [0])) == ["p/7.jpg", "p/7.txt"]


def test_a_folder_with_lines_beside_it_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PART_SAMPLES", 2)
    write_folder_shard(tmp_path, "00000", [sample(number) for number in range(5)])
    _, (shard,), _ = opened(tmp_path)
    assert (shard.path, shard.companions) == ("00000/", ("00000.parquet", "00000_stats.json"))


def test_the_probe_knows_names_sizes_and_side_files_in_the_same_order_always(tmp_path: Path) -> None:
    write_folder_shard(tmp_path, "00000", [sample(number) for number in range(3)])
    first = only(tmp_path)[1]
    assert only(tmp_path)[1] == first
    (tmp_path / "00000_stats.json").write_text("{}")
    second = only(tmp_path)[1]
    (tmp_path / "00000" / "000000001.jpg").write_bytes(b"")
    third = only(tmp_path)[1]
    (tmp_path / "00000" / "000000001.jpg").rename(tmp_path / "00000" / "000000001.jpeg")
    assert len({first.probe, second.probe, third.probe, only(tmp_path)[1].probe}) == 4


# --- samples ---------------------------------------------------------------------------------------------------------


def test_files_belong_to_the_picture_of_their_name() -> None:
    names = [
        "a.jpg",
        "a.json",
        "a.jpg.json",
        "a.xmp",
        "b.c.png",
        "b.c.txt",
        "b.txt",
        "c.csv",
        "d",
        "d.gif",
        "x_stats.json",
    ]
    assert {key: sorted(value) for key, value in grouped([*names, "x.jpg"]).items()} == {
        "a": ["a.jpg", "a.jpg.json", "a.json", "a.xmp"],
        "b.c": ["b.c.png", "b.c.txt"],
        "d": ["d", "d.gif"],
        "x": ["x.jpg"],
    }


@given(st.lists(st.text("ab.", min_size=1, max_size=3).map(lambda stem: stem + ".jpg"), max_size=6, unique=True))
def test_every_picture_is_in_one_sample(names: list[str]) -> None:
    held = [name for group in grouped(names).values() for name in group]
    assert sorted(held) == sorted(name for name in names if not name.startswith("."))


def test_rows_are_samples_by_key_with_what_their_json_records(tmp_path: Path) -> None:
    write_folder_shard(tmp_path, "x", [sample(2, md5="ab" * 16), sample(1)], side_parquet=False, stats=False)
    dataset, shard = only(tmp_path)
    assert dataset.facts(shard).rows == 2
    assert urls(dataset, shard) == [b"https://a.example/1", b"https://a.example/2"]
    assert pictures(dataset, shard) == [(0, JPEG + b"\1"), (1, JPEG + b"\2")]
    recorded = [dict(item.recorded) for batch in dataset.pictures(shard) for item in batch]
    assert recorded == [{}, {Signal.MD5: bytes.fromhex("ab" * 16)}]


def test_pictures_without_any_words_are_rows_without_columns(tmp_path: Path) -> None:
    plant(tmp_path, "b.jpg", "a.gif")
    dataset, shard = only(tmp_path)
    assert (dataset.facts(shard).rows, dict(dataset.facts(shard).columns)) == (2, {})
    assert sum(batch.rows for batch in dataset.batches(shard, frozenset(Column))) == 2
    assert [row for row, _ in pictures(dataset, shard)] == [0, 1]


def test_with_a_side_parquet_rows_are_its_lines_and_then_samples_without_one(tmp_path: Path) -> None:
    lines = [sample(3), sample(2, status="failed_to_download"), sample(1)]
    place = write_folder_shard(tmp_path, "00000", lines)
    plant(place, "zz.jpg")
    dataset, shard = only(tmp_path)
    assert urls(dataset, shard) == [*(f"https://a.example/{number}".encode() for number in (3, 2, 1)), None]
    assert pictures(dataset, shard) == [(0, JPEG + b"\3"), (2, JPEG + b"\1"), (3, JPEG + b"zz.jpg")]
    (batch,) = dataset.lookup(shard, np.array([1]), frozenset({Column.URL}))
    assert (batch.first_row, batch.values.unseal().column("url").to_pylist()) == (1, [b"https://a.example/2"])


def test_every_file_of_a_sample_that_is_a_picture_counts(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"broken")
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "a.dat").write_bytes(JPEG)
    (tmp_path / "a.txt").write_bytes(JPEG)
    dataset, shard = only(tmp_path)
    assert pictures(dataset, shard) == [(0, JPEG), (0, b"broken"), (0, b"")]


def test_a_large_file_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "_READ_BYTES", 10)
    plant(tmp_path, "a.jpg")
    dataset, shard = only(tmp_path)
    ((picture,),) = list(dataset.pictures(shard))
    assert isinstance(picture.body.unseal(), memoryview)
    assert bytes(picture.body.unseal()) == JPEG + b"a.jpg"


# --- clean -----------------------------------------------------------------------------------------------------------


def test_clean_takes_the_line_the_files_and_the_count(tmp_path: Path) -> None:
    lines = [sample(1), sample(2, status="failed_to_download"), sample(3), sample(4)]
    write_folder_shard(tmp_path, "00000", lines)
    dataset, shard = only(tmp_path)
    written = without(dataset, shard, [1, 2])
    left = [name for name in dataset.files(shard) if "000000003" not in name]
    assert list(written) == left
    same = [name for name in left if name.startswith("00000/")]
    assert all(written[name] == (tmp_path / name).read_bytes() for name in same)
    assert json.loads(written["00000_stats.json"]) == counts([lines[0], lines[3]])
    (tmp_path / "left.parquet").write_bytes(written["00000.parquet"])
    assert pq.read_table(tmp_path / "left.parquet")["key"].to_pylist() == ["000000001", "000000004"]


def test_a_folder_may_lose_everything(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg", "b.jpg")
    dataset, shard = only(tmp_path)
    assert without(dataset, shard, [0, 1]) == {}


ENDINGS = st.sampled_from(["jpg", "png", "txt", "json", "jpg.json", "webp"])
FILES = st.dictionaries(st.builds("{}.{}".format, st.sampled_from("abcd"), ENDINGS), st.binary(max_size=60), min_size=1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=FILES, data=st.data())
def test_write_read_clean_read_is_what_a_dict_would_do(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("folder")
    samples: dict[str, dict[str, bytes]] = {}
    for name, body in files.items():
        (root / name).write_bytes(body)
        samples.setdefault(name[0], {})[name] = body
    held = {key: group for key, group in sorted(samples.items()) if any(_is_of_pixels(name) for name in group)}
    if not held:
        with pytest.raises(Stop):
            opened(root)
        return
    dataset, shard = only(root)
    stray = {name for name in files if name.endswith("jpg.json") and f"{name[0]}.jpg" not in files}
    own = [{name: body for name, body in group.items() if name not in stray} for group in held.values()]
    assert [body for _, body in pictures(dataset, shard)] == [
        group[name] for group in own for name in sorted(group) if _is_of_pixels(name)
    ]
    removed = sorted(data.draw(st.sets(st.integers(0, len(own) - 1), min_size=1)))
    written = without(dataset, shard, removed)
    assert written == {
        name: body for row, group in enumerate(own) if row not in removed for name, body in group.items()
    }


def _is_of_pixels(name: str) -> bool:
    return name.endswith((".jpg", ".png", ".webp"))


# --- harm ------------------------------------------------------------------------------------------------------------


def test_links_out_of_the_dataset_are_neither_read_nor_copied(tmp_path: Path) -> None:
    plant(tmp_path, "secret.jpg", "data/b/real.jpg", "data/a/own.jpg")
    place = tmp_path / "data" / "a"
    (place / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (place / "up.jpg").symlink_to("../../secret.jpg")
    (place / "device.jpg").symlink_to("/dev/zero")
    (place / "broken.jpg").symlink_to("nowhere")
    (place / "circle.jpg").symlink_to("circle.jpg")
    (place / "in.jpg").symlink_to("../b/real.jpg")
    (place / "own.txt").symlink_to(tmp_path / "secret.jpg")
    dataset, shards, ignored = opened(tmp_path / "data")
    assert ignored == tuple(sorted(f"a/{name}" for name in ("out.jpg", "up.jpg", "device.jpg", "broken.jpg", "circle.jpg", "own.txt")))  # fmt: skip
    assert pictures(dataset, shards[0]) == [(0, JPEG + b"data/b/real.jpg"), (1, JPEG + b"data/a/own.jpg")]
    assert dataset.files(shards[0]) == ("a/in.jpg", "a/own.jpg")
    assert without(dataset, shards[0], [1]) == {"a/in.jpg": JPEG + b"data/b/real.jpg"}


def test_pipes_and_folders_with_names_of_pictures_are_left_out(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg", "c.jpg/d.txt")
    os.mkfifo(tmp_path / "b.jpg")
    os.mkfifo(tmp_path / "a.json")
    dataset, (shard,), ignored = opened(tmp_path)
    assert ignored == ("a.json", "b.jpg", "c.jpg/d.txt")
    assert pictures(dataset, shard) == [(0, JPEG + b"a.jpg")]


def test_a_pipe_in_the_place_of_a_side_file_is_not_waited_for(tmp_path: Path) -> None:
    write_folder_shard(tmp_path, "00000", [sample(1)], stats=False)
    os.mkfifo(tmp_path / "00000_stats.json")
    _, (shard,), ignored = opened(tmp_path)
    assert (shard.companions, ignored) == (("00000.parquet",), ("00000_stats.json",))


def test_a_name_that_is_no_utf8_stops(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg")
    (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(JPEG)
    with pytest.raises(Stop, match="not UTF-8"):
        opened(tmp_path)


@pytest.mark.parametrize("name", ["a\nb.jpg", "a\\b.jpg", " .jpg", "\u202egpj.jpg", "#00001.jpg", "a%2F.jpg", "*.jpg"])
def test_odd_names_are_names(tmp_path: Path, name: str) -> None:
    plant(tmp_path, f"x/{name}", "x/zz.jpg")
    dataset, shard = only(tmp_path)
    assert len(pictures(dataset, shard)) == 2
    assert set(without(dataset, shard, [1])) | set(without(dataset, shard, [0])) == {f"x/{name}", "x/zz.jpg"}


def change_size(place: Path) -> None:
    (place / "a.jpg").write_bytes(b"another length")


def vanish(place: Path) -> None:
    (place / "a.jpg").unlink()


def appear(place: Path) -> None:
    plant(place, "c.jpg")


def become_a_pipe(place: Path) -> None:
    vanish(place)
    os.mkfifo(place / "a.jpg")


def become_a_link(place: Path) -> None:
    vanish(place)
    (place / "a.jpg").symlink_to("/etc/passwd")


@pytest.mark.parametrize("change", [change_size, vanish, appear, become_a_pipe, become_a_link])
def test_a_folder_that_changes_is_not_read_on(tmp_path: Path, change: Any) -> None:
    plant(tmp_path, "a.jpg", "b.jpg")
    dataset, shard = only(tmp_path)
    change(tmp_path)
    assert trouble(dataset, shard) is Trouble.SOURCE_CHANGED
    with pytest.raises(ShardError):
        dataset.files(shard)


@pytest.mark.parametrize("change", [change_size, vanish, become_a_pipe, become_a_link])
def test_a_file_that_changes_after_it_was_listed_ends_the_shard(tmp_path: Path, change: Any) -> None:
    plant(tmp_path, *(f"{number:04}.jpg" for number in range(300)), "a.jpg")
    dataset, shard = only(tmp_path)
    batches = dataset.pictures(shard)
    next(batches)
    change(tmp_path)
    with pytest.raises(ShardError) as caught:
        list(batches)
    # A link in the place of a file is refused by the system itself.
    assert caught.value.trouble in ({Trouble.UNREADABLE} if change is become_a_link else {Trouble.SOURCE_CHANGED})


def test_a_folder_that_is_gone_or_closed_is_a_shards_trouble(tmp_path: Path) -> None:
    plant(tmp_path, "x/a.jpg")
    dataset, shard = only(tmp_path)
    (tmp_path / "x" / "a.jpg").unlink()
    (tmp_path / "x").rmdir()
    assert trouble(dataset, shard) is Trouble.UNREADABLE
