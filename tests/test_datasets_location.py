"""Where a dataset lies: folders, files, globs, ids, probes, and every way in which there is none."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.datasets.formats import adapter_for
from vetset.datasets.location import MAX_ID_BYTES, PROBE_BYTES, find_shards, probe_of, shard_id_of, source_path
from vetset.datasets.printable import printable, printable_names
from vetset.errors import ShardError, Stop, Trouble


def plant(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())


def paths(location: Path | str) -> list[str]:
    return [shard.path for shard in find_shards(str(location)).shards]


def refusal(location: Path | str) -> Stop:
    with pytest.raises(Stop) as caught:
        find_shards(str(location))
    assert caught.value.hint
    return caught.value


# --- what is not there, or not supported -----------------------------------------------------------------------------


def test_no_such_file(tmp_path: Path) -> None:
    assert "no such file or folder" in refusal(tmp_path / "missing").message


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "nothing in" in refusal(tmp_path).message


def test_a_glob_that_matches_nothing(tmp_path: Path) -> None:
    assert "nothing in" in refusal(tmp_path / "*.parquet").message


@pytest.mark.parametrize("address", ["s3://bucket/x", "GS://bucket", "https://example.org/x.parquet", "hf://d"])
def test_addresses_are_refused_and_not_repeated(address: str) -> None:
    stop = refusal(address)
    assert "not supported yet" in stop.message
    assert "bucket" not in stop.message + stop.hint
    assert "example" not in stop.message + stop.hint


def test_a_file_address_is_told_to_be_a_path() -> None:
    assert "file://" in refusal("file:///tmp/x.parquet").hint


def test_nothing_recognised_lists_the_endings_seen_but_not_all(tmp_path: Path) -> None:
    plant(tmp_path, *(f"f.e{number:02}" for number in range(50)), "bare")
    stop = refusal(tmp_path)
    assert "(none), .e00" in stop.message
    assert "and 41 more" in stop.message
    assert ".parquet" in stop.hint


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.zst", "b.TSV.GZ"])
def test_compressed_text_is_named_as_unsupported(tmp_path: Path, name: str) -> None:
    plant(tmp_path, name)
    for location in (tmp_path, tmp_path / name):
        stop = refusal(location)
        assert "compressed text" in stop.hint
        assert name[1:].lower() in stop.hint


def test_a_single_file_of_no_known_ending(tmp_path: Path) -> None:
    plant(tmp_path, "rows.feather")
    assert ".feather" in refusal(tmp_path / "rows.feather").message


def test_an_unreadable_folder_stops_and_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "a.csv", "closed/b.csv")
    real = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    stop = refusal(tmp_path)
    assert "closed" in stop.message
    assert "Permission denied" in stop.message


def test_a_broken_link_to_a_shard_stops(tmp_path: Path) -> None:
    plant(tmp_path, "a.csv")
    (tmp_path / "b.csv").symlink_to(tmp_path / "gone.csv")
    assert "b.csv" in refusal(tmp_path).message


def test_a_name_that_is_not_utf8_stops(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv")).write_bytes(b"url\n")
    assert "\\udcff" in refusal(tmp_path).message


def test_control_characters_of_names_do_not_reach_a_message(tmp_path: Path) -> None:
    plant(tmp_path, "a\x1b[31m\nb.\x1bx")
    stop = refusal(tmp_path / "a\x1b[31m\nb.\x1bx")
    assert "\x1b" not in stop.message
    assert "\n" not in stop.message


# --- what is found ---------------------------------------------------------------------------------------------------


def test_a_nested_folder_in_order_with_the_rest_named(tmp_path: Path) -> None:
    plant(tmp_path, "b/2.parquet", "b/1.PQ", "a.csv", "c.tsv", "d.jsonl", "e.ndjson", "f.json-lines", "README.md")
    plant(tmp_path, "_SUCCESS", ".hidden.csv", "b/_temporary/x.parquet", ".git/y.csv", "a.csv.gz")
    found = find_shards(str(tmp_path))
    assert found.root == tmp_path
    assert [shard.path for shard in found.shards] == [
        "a.csv", "b/1.PQ", "b/2.parquet", "c.tsv", "d.jsonl", "e.ndjson", "f.json-lines",
    ]  # fmt: skip
    assert found.ignored == (".git/", ".hidden.csv", "README.md", "_SUCCESS", "a.csv.gz", "b/_temporary/")


def test_a_single_file_whatever_its_neighbours_and_underscore(tmp_path: Path) -> None:
    plant(tmp_path, "_a.csv", "b.csv")
    found = find_shards(str(tmp_path / "_a.csv"))
    assert (found.root, [shard.path for shard in found.shards], found.ignored) == (tmp_path, ["_a.csv"], ())


def test_globs_root_at_the_longest_plain_prefix(tmp_path: Path) -> None:
    plant(tmp_path, "x/p1/a.parquet", "x/p2/deep/b.parquet", "x/p2/note.txt", "y/c.parquet")
    found = find_shards(str(tmp_path / "x" / "**" / "*.parquet"))
    assert found.root == tmp_path / "x"
    assert [shard.path for shard in found.shards] == ["p1/a.parquet", "p2/deep/b.parquet"]
    assert paths(tmp_path / "?" / "*.parquet") == ["y/c.parquet"]
    everything = find_shards(str(tmp_path / "x" / "**"))
    assert ([shard.path for shard in everything.shards], everything.ignored) == (
        ["p1/a.parquet", "p2/deep/b.parquet"],
        ("p2/note.txt",),
    )


def test_a_folder_that_a_glob_matches_stands_for_its_files(tmp_path: Path) -> None:
    plant(tmp_path, "part.parquet/part-0.parquet", "part.parquet/part-1.parquet")
    assert paths(tmp_path / "*.parquet") == ["part.parquet/part-0.parquet", "part.parquet/part-1.parquet"]


def test_a_relative_glob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "a.csv")
    monkeypatch.chdir(tmp_path)
    assert paths("*.csv") == ["a.csv"]


def test_brackets_in_a_real_name_are_no_glob(tmp_path: Path) -> None:
    plant(tmp_path, "a[1].csv", "a1.csv")
    assert paths(tmp_path / "a[1].csv") == ["a[1].csv"]


def test_links_to_files_count_and_folders_only_once(tmp_path: Path) -> None:
    plant(tmp_path, "set/real/a.csv", "elsewhere/b.csv")
    (tmp_path / "set" / "c.csv").symlink_to(tmp_path / "elsewhere" / "b.csv")
    (tmp_path / "set" / "zloop").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "zagain").symlink_to(tmp_path / "set" / "real")
    (tmp_path / "set" / "other").symlink_to(tmp_path / "elsewhere")
    assert paths(tmp_path / "set") == ["c.csv", "other/b.csv", "real/a.csv"]


def test_a_pipe_is_named_and_never_opened(tmp_path: Path) -> None:
    plant(tmp_path, "a.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    found = find_shards(str(tmp_path))
    assert ([shard.path for shard in found.shards], found.ignored) == (["a.csv"], ("pipe.csv",))


# --- ids and probes --------------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=300)


@given(st.lists(NAMES, unique=True, max_size=20))
def test_ids_are_unique_short_and_safe(names: list[str]) -> None:
    ids = [shard_id_of(name) for name in names]
    assert len(set(ids)) == len(names)
    for name, shard_id in zip(names, ids, strict=True):
        assert len(shard_id.encode()) <= MAX_ID_BYTES
        assert shard_id.isascii()
        assert not set(shard_id) & set("/\\ \n\x00")
        if "~" not in shard_id:
            assert unquote(shard_id) == name


def test_long_ids_are_cut_with_a_digest_and_cannot_be_forged_by_a_short_name() -> None:
    long = "a/" * 150
    shard_id = shard_id_of(long)
    assert len(shard_id) == MAX_ID_BYTES
    assert shard_id.endswith("~" + hashlib.sha256(long.encode()).hexdigest())
    assert shard_id_of(shard_id) != shard_id
    assert "~" not in shard_id_of("a~b")


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(0, 3 * PROBE_BYTES))
def test_the_probe_sees_size_head_and_tail(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, tail: bytes, middle: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "probed"
    data = head + bytes(middle) + tail
    path.write_bytes(data)
    expected = hashlib.sha256(b"%d\n" % len(data) + data[:PROBE_BYTES] + data[-PROBE_BYTES:]).hexdigest()
    assert probe_of(path, len(data)) == expected


def test_a_shard_says_its_size_and_a_change_of_it_is_noticed(tmp_path: Path) -> None:
    plant(tmp_path, "a.csv")
    (shard,) = find_shards(str(tmp_path)).shards
    assert shard.size_bytes == len("a.csv")
    assert source_path(tmp_path, shard) == tmp_path / "a.csv"
    (tmp_path / "a.csv").write_bytes(b"longer than before")
    with pytest.raises(ShardError) as changed:
        source_path(tmp_path, shard)
    assert changed.value.trouble is Trouble.SOURCE_CHANGED
    (tmp_path / "a.csv").unlink()
    with pytest.raises(ShardError) as gone:
        source_path(tmp_path, shard)
    assert gone.value.trouble is Trouble.UNREADABLE


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a/B.PARQUET", "parquet"), ("x.pq", "parquet"), ("x.tsv", "csv"), ("x.ndjson", "jsonl"), ("x.tar", "webdataset")],
)
def test_a_name_decides_the_adapter(name: str, kind: str) -> None:
    assert adapter_for(name) == kind


def test_a_name_that_decides_nothing_is_shard_trouble() -> None:
    with pytest.raises(ShardError, match=r"not_the_format.*\.parquet"):
        adapter_for("a.zip")


@given(st.text())
def test_printable_is_printable_and_bounded(text: str) -> None:
    shown = printable(text, max_characters=10)
    assert shown.isprintable()
    assert len(shown) <= 10 * len(r"\U00000000") + 1
    if text.isprintable() and len(text) <= 10:
        assert shown == text


def test_many_names_are_counted() -> None:
    assert printable_names([f"c{number}" for number in range(5)], max_names=2) == "c0, c1 and 3 more"
