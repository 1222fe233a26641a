"""Synthetic rows: reproducible, harmless, and shaped like LAION's joined sets."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vetset import kernels
from vetset.datasets.columns import column_of, map_columns
from vetset.records import Column
from vetset.testing import stock
from vetset.testing.rows import (
    BANNER,
    FIELDS,
    PLACEHOLDER,
    SPELLINGS,
    laion_hash,
    laion_rows,
    mixed,
    picture_bytes,
    shard_names,
    write_shards,
)

EVERYTHING = {name: name for name in FIELDS}
RESERVED = ("example", "test", "invalid", "example.com", "example.org", "example.net")


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return laion_rows(40_000, 11)


def column(table: pa.Table, name: str) -> list:
    values: list = table[name].to_pylist()
    return values


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


EMPTY_MD5 = md5_of(b"")


def host(url: str) -> str:
    return url.split("/")[2].lower()


def path_of(url: str) -> str:
    return url.split("://", 1)[1].partition("/")[2]


# --- nothing leads anywhere, nothing shows anything ----------------------------------------------------------------


def test_every_address_lies_under_a_reserved_name(rows: pa.Table) -> None:
    for url in column(rows, "URL"):
        if url:
            name = host(url)
            assert any(name.endswith(f".{reserved}") for reserved in RESERVED), "an address outside the reserved names"
            assert kernels.host_of(url.encode()) == name


def test_every_host_of_the_stock_is_distinct_and_reserved() -> None:
    names = stock.hosts()
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[a-z0-9]+\.[a-z0-9-]+\.(example|test|invalid|example\.(com|org|net))", name)


def test_recorded_digests_are_of_invented_words(rows: pa.Table) -> None:
    contents = list(picture_bytes(11, pa.array(range(-2, 40_000)).to_numpy()))
    invented = {md5_of(content) for content in contents}
    invented.add(EMPTY_MD5)
    assert set(column(rows, "md5")) - {None} <= invented
    assert all(content.startswith(b"vetset synthetic picture ") for content in contents)


def test_the_stock_has_no_people_in_it() -> None:
    banned = re.compile(
        r"child|girl|boy|baby|teen|kid|woman|man\b|men\b|young|nude|people|person|model\b(?! 12)", re.IGNORECASE
    )
    words = [*stock.ADJECTIVES, *stock.NOUNS, *stock.PLACES, *stock.TAILS]
    assert not [word for word in words if banned.search(word)]


# --- the same seed is the same data ---------------------------------------------------------------------------------


def test_values_are_pinned() -> None:
    """Another machine, another version of numpy or Arrow: the same bytes. A change here is a change of version."""
    table = laion_rows(500, 7, columns=EVERYTHING)
    text = "\n".join(repr(row) for row in table.to_pylist())
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "d9b4bb2eed4eef7a978c487f021a107eab31c9f2bf34718a27c35f35d0d90cfd"
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 300), st.integers(0, 10**9), st.integers(0, 60), st.integers(0, 60))
def test_a_slice_is_the_same_rows_whoever_makes_it(seed: int, first: int, skipped: int, count: int) -> None:
    whole = laion_rows(skipped + count, seed, first=first, columns=EVERYTHING)
    part = laion_rows(count, seed, first=first + skipped, columns=EVERYTHING)
    assert whole.slice(skipped).combine_chunks().equals(part.combine_chunks())


@given(st.integers(0, 2**64), st.lists(st.integers(0, 2**62), unique=True, max_size=50))
def test_mixing_never_merges_numbers(seed: int, numbers: list[int]) -> None:
    made = mixed(pa.array(numbers, pa.int64()).to_numpy(), seed, "any")
    assert len(set(made.tolist())) == len(numbers)


def test_seeds_give_other_rows() -> None:
    one, other = laion_rows(300, 1), laion_rows(300, 2)
    for name in ("SAMPLE_ID", "URL", "hash", "md5"):
        shared = set(column(one, name)) & set(column(other, name)) - {None, ""}
        assert shared <= {EMPTY_MD5}, f"{name} is shared between seeds"


def test_a_column_is_the_same_whatever_else_is_asked_for() -> None:
    whole = laion_rows(200, 5, columns=EVERYTHING)
    for name in FIELDS:
        assert laion_rows(200, 5, columns={"only": name})["only"].equals(whole[name]), name


def test_an_unknown_field_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no field 'pictures'; known: sample_id, url"):
        laion_rows(1, 1, columns={"x": "pictures"})


# --- hash: vectors of the reference, measured with mmh3 -------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "text", "expected"),
    [
        ("https://example.org/a.jpg", "A red bicycle", 1254989289920717894),
        ("https://example.org/b.jpg", "", 5775143727019411983),
        ("https://example.org/b.jpg", None, 5775143727019411983),
        ("http://ex.org/é.png", "naïve café", 8412883373290469938),
        ("https://example.org/img/0.jpg", "caption 0", -6870579050919041539),
        ("https://example.org/img/4.jpg", "caption 4", -8790751758657747383),
        (None, None, 0),
    ],
)
def test_hash_is_laions(url: str | None, text: str | None, expected: int) -> None:
    assert laion_hash(url, text) == expected


def test_the_hash_column_is_over_the_row_s_own_url_and_text(rows: pa.Table) -> None:
    part = rows.slice(0, 2_000)
    for row in part.to_pylist():
        assert row["hash"] == laion_hash(row["URL"], row["TEXT"])
    assert min(column(part, "hash")) < 0 < max(column(part, "hash"))


# --- the shape of the real thing ------------------------------------------------------------------------------------


def test_types_are_those_of_the_joined_sets(rows: pa.Table) -> None:
    types = {field.name: str(field.type) for field in rows.schema}
    assert types == {
        "SAMPLE_ID": "int64",
        "URL": "string",
        "TEXT": "string",
        "HEIGHT": "int32",
        "WIDTH": "int32",
        "LICENSE": "string",
        "NSFW": "string",
        "similarity": "double",
        "hash": "int64",
        "punsafe": "float",
        "pwatermark": "float",
        "md5": "string",
    }


def test_lengths_are_those_of_the_reference(rows: pa.Table) -> None:
    assert 98 < pc.mean(pc.binary_length(rows["URL"])).as_py() < 106
    assert 53 < pc.mean(pc.binary_length(rows["TEXT"])).as_py() < 61


def test_nulls_and_blanks_occur_where_they_do_in_crawls(rows: pa.Table) -> None:
    assert 0.008 < rows["TEXT"].null_count / rows.num_rows < 0.012
    urls = column(rows, "URL")
    assert 0 < urls.count("") < 40
    assert 0 < urls.count(None) < 40
    assert 0 < rows["NSFW"].null_count < 400
    for name in ("SAMPLE_ID", "HEIGHT", "WIDTH", "similarity", "hash", "punsafe", "pwatermark"):
        assert rows[name].null_count == 0


def test_a_row_without_url_records_no_digest(rows: pa.Table) -> None:
    blank = [row for row in rows.to_pylist() if not row["URL"]]
    assert blank
    assert all(row["md5"] is None for row in blank)


def test_digests_are_hex_null_or_of_nothing(rows: pa.Table) -> None:
    digests = Counter(column(rows, "md5"))
    assert 0.005 < digests.pop(None) / rows.num_rows < 0.015
    assert digests[EMPTY_MD5] > 10
    assert all(re.fullmatch("[0-9a-f]{32}", digest) for digest in digests)


def test_captions_go_beyond_ascii_and_beyond_the_bmp(rows: pa.Table) -> None:
    texts = [text for text in column(rows, "TEXT") if text]
    assert 0.04 < sum(not text.isascii() for text in texts) / len(texts) < 0.08
    assert any(max(text) > "\uffff" for text in texts)
    assert any("\u0590" < character < "\u06ff" for text in texts for character in text)


def test_scores_lie_where_the_reference_says(rows: pa.Table) -> None:
    assert 0.02 < pc.mean(pc.greater(rows["punsafe"], 0.5).cast(pa.float64())).as_py() < 0.04
    for name, low, high in (("punsafe", 0, 1), ("pwatermark", 0, 1), ("similarity", 0.28, 0.6)):
        bounds = pc.min_max(rows[name]).as_py()
        assert low <= bounds["min"] < bounds["max"] <= high
    assert set(column(rows, "NSFW")) == {None, "UNLIKELY", "UNSURE", "NSFW"}
    assert set(column(rows, "LICENSE")) == {"?"}
    assert len(set(column(rows, "SAMPLE_ID"))) == rows.num_rows


def test_few_hosts_hold_most_rows(rows: pa.Table) -> None:
    hosts = Counter(host(url) for url in column(rows, "URL") if url)
    top = sum(count for _, count in hosts.most_common(40))
    assert len(hosts) > 2_000
    assert 0.35 < top / rows.num_rows < 0.65


def test_one_url_bears_several_texts_and_sometimes_several_digests(rows: pa.Table) -> None:
    by_url = defaultdict(list)
    for row in rows.to_pylist():
        if row["URL"]:
            by_url[row["URL"]].append(row)
    shared = [group for group in by_url.values() if len(group) > 1]
    assert len(shared) > 500
    assert sum(len({row["TEXT"] for row in group}) > 1 for group in shared) > 0.9 * len(shared)
    assert sum(len({row["md5"] for row in group} - {None}) > 1 for group in shared) > 100


def test_one_digest_stands_at_several_urls(rows: pa.Table) -> None:
    places = defaultdict(set)
    for row in rows.to_pylist():
        if row["URL"] and row["md5"]:
            places[row["md5"]].add(path_of(row["URL"]))
    assert sum(1 for urls in places.values() if 1 < len(urls) < 20) > 1_000


def test_two_pictures_are_borne_by_very_many_rows(rows: pa.Table) -> None:
    names = [md5_of(content) for content in picture_bytes(11, pa.array([PLACEHOLDER, BANNER]).to_numpy())]
    counts = Counter(column(rows, "md5"))
    assert all(counts[name] > 0.006 * rows.num_rows for name in names)
    rest = [count for digest, count in counts.items() if digest not in {*names, None, EMPTY_MD5}]
    assert max(rest) < 40


def test_some_addresses_are_spelled_otherwise(rows: pa.Table) -> None:
    spelled = defaultdict(set)
    for url in column(rows, "URL"):
        if url:
            spelled[path_of(url)].add(url)
    several = [urls for urls in spelled.values() if len(urls) > 1]
    assert any(len({url.partition(":")[0].lower() for url in urls}) > 1 for urls in several), "http and https"
    assert any(url.startswith(("HTTP://", "HTTPS://")) for urls in several for url in urls)
    assert any(url.split("/")[2].isupper() for urls in several for url in urls)


def test_addresses_are_in_whatwg_form_but_for_capitals(rows: pa.Table) -> None:
    for url in column(rows, "URL")[:5_000]:
        if url:
            scheme, rest = url.split("://", 1)
            name, _, path = rest.partition("/")
            assert kernels.whatwg_of(url.encode()) == f"{scheme.lower()}://{name.lower()}/{path}".encode()


# --- spellings of the releases --------------------------------------------------------------------------------------


def test_the_joined_sets_keep_their_own_order() -> None:
    ends = {name: list(SPELLINGS[name])[-4:] for name in ("joined-en", "joined-multi", "laion400m")}
    assert ends == {
        "joined-en": ["similarity", "hash", "punsafe", "pwatermark"],
        "joined-multi": ["LANGUAGE", "hash", "pwatermark", "punsafe"],
        "laion400m": ["NSFW", "similarity", "WIDTH", "HEIGHT"],
    }
    assert list(SPELLINGS["laion400m"])[:4] == ["SAMPLE_ID", "URL", "TEXT", "LICENSE"]
    assert "LANGUAGE" not in SPELLINGS["joined-nolang"]


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_is_read_by_name(name: str) -> None:
    table = laion_rows(50, 3, columns=SPELLINGS[name])
    assert table.column_names == list(SPELLINGS[name])
    mapping = map_columns([(field.name, field.type) for field in table.schema], {})
    fields = {ours.value: SPELLINGS[name][theirs] for ours, theirs in mapping.items()}
    assert fields == {ours: ours for ours in fields}
    assert {Column.URL, Column.TEXT} <= mapping.keys()


def test_spellings_differ_in_case_and_type() -> None:
    pandas, img2dataset = (laion_rows(5, 3, columns=SPELLINGS[name]) for name in ("pandas", "img2dataset"))
    assert str(pandas.schema.field("WIDTH").type) == "double"
    assert column(pandas, "__index_level_0__") == [0, 1, 2, 3, 4]
    assert column(img2dataset, "key") == ["000000000", "000000001", "000000002", "000000003", "000000004"]
    assert all(len(digest) == 64 for digest in column(img2dataset, "sha256") if digest)
    assert column_of("caption") is Column.TEXT
    assert column(img2dataset, "caption") == column(laion_rows(5, 3), "TEXT")


# --- shards ---------------------------------------------------------------------------------------------------------


def test_shards_bear_laions_names() -> None:
    names = shard_names(3, seed=5)
    pattern = (
        r"part-(\d{5})-([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})-c000\.snappy\.parquet"
    )
    matches = [re.fullmatch(pattern, name) for name in names]
    assert [match and match.group(1) for match in matches] == ["00000", "00001", "00002"]
    assert len({match and match.group(2) for match in matches}) == 1
    assert shard_names(1, seed=6)[0] != names[0]


@pytest.mark.parametrize(
    ("codec", "ending"), [("snappy", ".snappy.parquet"), ("zstd", ".zstd.parquet"), ("none", "c000.parquet")]
)
def test_shards_hold_the_rows_of_the_seed_in_order(tmp_path: Path, codec: str, ending: str) -> None:
    paths = write_shards(tmp_path / "new" / "data", 1_003, 4, seed=9, codec=codec, row_group_rows=100)
    assert sorted(tmp_path.rglob("*.parquet")) == paths
    assert all(path.name.endswith(ending) for path in paths)
    tables = [pq.read_table(path) for path in paths]
    assert pa.concat_tables(tables).combine_chunks().equals(laion_rows(1_003, 9).combine_chunks())
    assert sorted(table.num_rows for table in tables) == [250, 251, 251, 251]
    footer = pq.read_metadata(paths[0])
    assert [footer.row_group(number).num_rows for number in range(footer.num_row_groups)] == [100, 100, 50]
    assert footer.row_group(0).column(1).compression == {"none": "UNCOMPRESSED"}.get(codec, codec.upper())


def test_shards_are_written_the_same_twice(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_shards(tmp_path / name, 600, 2, seed=4, columns=SPELLINGS["joined-multi"])
    for one in (tmp_path / "one").iterdir():
        assert one.read_bytes() == (tmp_path / "two" / one.name).read_bytes()


def test_more_shards_than_rows_gives_empty_shards(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 2, 3, seed=1)
    assert sorted(pq.read_metadata(path).num_rows for path in paths) == [0, 1, 1]
    assert pq.read_schema(paths[0]).names == list(SPELLINGS["en-md5"])
