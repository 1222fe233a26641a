"""The whole audit against the slow oracle, row for row, on generated datasets."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.driving import Place
from tests.oracle import Row, outcomes
from vetset.config import PolicySettings, Rule

#: A file system in memory where there is one: an audit syncs every product.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

URLS = [
    "https://a.example/1.jpg",
    "HTTPS://A.example/1.jpg",
    "http://a.example/1.jpg",
    "https://b.example/Pictures/2.png?w=3#top",
    "https://b.example/pictures/2.png?w=3#top",
    "https://c.example/é/𝄞.webp",
    "https://c.example/%C3%A9/%F0%9D%84%9E.webp",
    "not an address",
    "ftp://d.example/4.gif",
]
PICTURES = [bytes([number]) * 3 for number in range(4)] + [b""]


def hexes(name: str) -> list[str | None]:
    digests = [hashlib.new(name, picture).hexdigest() for picture in PICTURES]
    odd = ["", "zz", digests[0][:-2], digests[0] + "00", "𝄞" * len(digests[0])]
    return [*digests, *(digest.upper() for digest in digests[:2]), f" {digests[1]} ", *odd, None]


ROWS = st.fixed_dictionaries(
    {
        "url": st.sampled_from([*URLS, "", None]),
        "text": st.sampled_from(["a red bicycle", "𝄞 ein Lied", "", None, "=cmd|' /C calc'!A0"]),
        "md5": st.sampled_from(hexes("md5")),
        "sha1": st.sampled_from(hexes("sha1")),
        "sha256": st.sampled_from(hexes("sha256")),
        "punsafe": st.sampled_from([0.0, 0.3, 0.99, None, float("nan")]),
    }
)
SPELLINGS = [
    {"url": "URL", "text": "TEXT", "md5": "md5", "sha1": "sha1", "sha256": "sha256", "punsafe": "punsafe"},
    {"punsafe": "PUNSAFE", "md5": "MD5", "text": "caption", "url": "url", "sha256": "SHA256", "sha1": "Sha1"},
    {"text": "txt", "url": "Url", "sha256": "sha256hash", "punsafe": "punsafe", "sha1": "SHA1", "md5": "Md5"},
]
MISSING = st.sets(st.sampled_from(["text", "md5", "sha1", "sha256", "punsafe"]))


@st.composite
def lists_of(draw: st.DrawFn) -> list[dict[str, set[Any]]]:
    found = []
    for _ in range(draw(st.integers(1, 3))):
        held: dict[str, set[Any]] = {"md5": {bytes(15) + b"\1"}}  # never empty, and met by no row
        for name in ("md5", "sha1", "sha256"):
            pictures = draw(st.sets(st.sampled_from(PICTURES), max_size=2))
            held[name] = held.get(name, set()) | {hashlib.new(name, picture).digest() for picture in pictures}
            urls = draw(st.sets(st.sampled_from(URLS), max_size=2))
            held[f"url_{name}"] = {hashlib.new(name, url.encode()).digest() for url in urls}
        held["url"] = draw(st.sets(st.sampled_from(URLS), max_size=2))
        found.append(held)
    return found


def table_of(rows: list[Row], spelling: dict[str, str], missing: set[str]) -> pa.Table:
    kinds = {"punsafe": pa.float32()}
    columns = {
        spelled: pa.array([row[name] for row in rows], kinds.get(name, pa.string()))
        for name, spelled in spelling.items()
        if name not in missing
    }
    return pa.table({**columns, "SAMPLE_ID": pa.array(range(len(rows)), pa.int64())})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    shards=st.lists(
        st.tuples(st.lists(ROWS, max_size=12), st.sampled_from(SPELLINGS), MISSING), min_size=1, max_size=3
    ),
    lists=lists_of(),
    limit=st.integers(0, 5),
    group=st.integers(1, 5),
    remove_held=st.booleans(),
)
def test_every_row_ends_as_the_oracle_says(
    shards: list[tuple[list[Row], dict[str, str], set[str]]],
    lists: list[dict[str, set[Any]]],
    limit: int,
    group: int,
    remove_held: bool,
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        place = Place(Path(folder))
        rows: list[Row] = []
        tables = {}
        for number, (own, spelling, missing) in enumerate(shards):
            name = f"{'nested/' * (number % 2)}part-{number}.parquet"
            tables[name] = table_of(own, spelling, missing)
            blank = dict.fromkeys(missing)
            rows += [{**row, **blank, "shard": name, "row": place_in} for place_in, row in enumerate(own)]
        place.write(tables, row_group_size=group)
        for number, held in enumerate(lists):
            place.list_of(f"list{number}", spelled(held))
        policy = PolicySettings(rules=(Rule(punsafe_above=0.95),)) if has_punsafe(shards) else PolicySettings()
        unsafe = {n for n, row in enumerate(rows) if policy.rules and row["punsafe"] and row["punsafe"] > 0.95}
        place.audit(spread_limit=limit, remove_held=remove_held, allow_nothing_comparable=True, policy=policy)
        wanted = outcomes(rows, lists, limit, unsafe)
        check(place, rows, wanted, unsafe, tables, remove_held)


def has_punsafe(shards: list[tuple[list[Row], dict[str, str], set[str]]]) -> bool:
    return any("punsafe" not in missing for _, _, missing in shards)


def spelled(held: dict[str, set[Any]]) -> dict[str, list[str]]:
    return {
        signal: sorted(value.hex() if isinstance(value, bytes) else value for value in values)
        for signal, values in held.items()
    }


def check(
    place: Place,
    rows: list[Row],
    wanted: list[str],
    unsafe: set[int],
    tables: dict[str, pa.Table],
    remove_held: bool,
) -> None:
    by_row = {(row["shard"], row["row"]): outcome for row, outcome in zip(rows, wanted, strict=True)}
    found = place.outcomes()
    assert found == {where: outcome for where, outcome in by_row.items() if outcome in {"hit", "expanded", "held"}}
    tallies = place.tallies()
    for name in tables:
        own = [outcome for (shard, _), outcome in by_row.items() if shard == name]
        assert tallies[name] == {outcome: own.count(outcome) for outcome in set(own)}
    gone = {"hit", "expanded", *(["held"] if remove_held else [])}
    policy_rows = {(rows[number]["shard"], rows[number]["row"]) for number in unsafe}
    for name, table in tables.items():
        keep = [
            row for row in range(table.num_rows) if by_row[name, row] not in gone and (name, row) not in policy_rows
        ]
        cleaned, rest = pq.read_table(place.cleaned / name, partitioning=None), table.take(pa.array(keep, pa.int64()))
        assert cleaned.num_rows == len(keep)
        assert cleaned.equals(rest) or same(cleaned, rest)
        if len(keep) == table.num_rows:
            assert (place.cleaned / name).read_bytes() == (place.dataset / name).read_bytes()


def same(one: pa.Table, other: pa.Table) -> bool:
    """Equality in which NaN equals itself."""
    return one.schema == other.schema and str(one.to_pydict()) == str(other.to_pydict())
