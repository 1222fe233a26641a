"""Audits of real LAION-style rows, as published and with derived columns: the planted rows and their closure go.

The addresses are text here and are never fetched.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmh3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.driving import Place
from tests.oracle import outcomes

LAION = Path(__file__).parent.parent.parent / "shared" / "data" / "laion"
FILES = ["test_1000.parquet", "laion_rows_3000.parquet"]
LIMIT = 20


def test_the_real_rows_are_there() -> None:
    assert all((LAION / name).is_file() for name in FILES), "tests of real rows need shared/data beside the checkout"


def oracle_rows(tables: dict[str, pa.Table]) -> list[dict[str, object]]:
    rows = []
    for name, table in tables.items():
        columns = {column.lower(): table[column].to_pylist() for column in table.column_names}
        rows += [
            {
                "shard": name,
                "row": number,
                **{key: columns[key][number] for key in ("url", "md5", "sha1") if key in columns},
            }
            for number in range(table.num_rows)
        ]
    return rows


def check(place: Place, tables: dict[str, pa.Table], lists: list[dict[str, Any]]) -> set[str]:
    rows = oracle_rows(tables)
    wanted = outcomes(rows, lists, LIMIT, set())
    named = {(str(row["shard"]), int(str(row["row"]))): outcome for row, outcome in zip(rows, wanted, strict=True)}
    interesting = {where: outcome for where, outcome in named.items() if outcome in {"hit", "expanded", "held"}}
    assert place.outcomes() == interesting
    for name, table in tables.items():
        keep = [row for row in range(table.num_rows) if interesting.get((name, row), "held") == "held"]
        cleaned = pq.read_table(place.cleaned / name)
        assert cleaned.schema.equals(table.schema, check_metadata=True)
        assert cleaned.equals(table.take(pa.array(keep, pa.int64())))
        if len(keep) == table.num_rows:
            assert (place.cleaned / name).read_bytes() == (place.dataset / name).read_bytes()
    return set(interesting.values())


def test_as_they_are_with_url_lists(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.dataset.mkdir()
    tables = {}
    for name in FILES:
        shutil.copy(LAION / name, place.dataset / name)
        tables[name] = pq.read_table(LAION / name)
    urls = {name: tables[name]["URL"].to_pylist() for name in FILES}
    raw = {urls[FILES[0]][number] for number in (0, 17, 999)}
    hashed = {hashlib.md5(urls[FILES[1]][number].encode()).digest() for number in (1, 2, 2999)}
    sha = {hashlib.sha256(urls[FILES[0]][500].encode()).digest()}
    place.list_of("raw", {"url": sorted(raw)})
    place.list_of("hashed", {"url_md5": [key.hex() for key in hashed], "url_sha256": [key.hex() for key in sha]})
    result = place.audit(spread_limit=LIMIT)
    assert result.complete
    kinds = check(place, tables, [{"url": raw}, {"url_md5": hashed, "url_sha256": sha}])
    assert "hit" in kinds


def laion_hash(url: str, text: str | None) -> int:
    return mmh3.hash64(url + (text or ""))[0]


def derived(table: pa.Table, picture_of: Callable[[int], int]) -> pa.Table:
    """The real rows with LAION's joined columns, made up deterministically."""
    urls, texts = table["URL"].to_pylist(), table["TEXT"].to_pylist()
    pictures = [f"picture {picture_of(number)}".encode() for number in range(len(urls))]
    return pa.table(
        {
            "SAMPLE_ID": pa.array(range(len(urls)), pa.int64()),
            "URL": urls,
            "TEXT": texts,
            "HEIGHT": pa.array([512] * len(urls), pa.int32()),
            "hash": pa.array([laion_hash(url, text) for url, text in zip(urls, texts, strict=True)], pa.int64()),
            "punsafe": pa.array([(number % 100) / 100 for number in range(len(urls))], pa.float32()),
            "md5": [hashlib.md5(picture).hexdigest() for picture in pictures],
            "sha1": [
                hashlib.sha1(picture).hexdigest().upper() if number % 3 else None
                for number, picture in enumerate(pictures)
            ],
        }
    )


@pytest.mark.parametrize("runner", ["serial", "local"])
def test_with_derived_columns(tmp_path: Path, runner: str) -> None:
    place = Place(tmp_path)
    bases = [pq.read_table(LAION / name).select(["URL", "TEXT"]) for name in FILES]
    # Pictures recur within and across the files; picture 0 is on more rows than the limit, as a placeholder is.
    tables = {
        "en/part-0.parquet": derived(bases[0], lambda number: 0 if number % 40 == 0 else number // 2),
        "multi/part-1.parquet": derived(bases[1], lambda number: number // 3),
    }
    place.write(tables, row_group_size=500, compression="zstd")
    digest = {hashlib.md5(b"picture 77").digest(), hashlib.md5(b"picture 900").digest()}
    address = {tables["en/part-0.parquet"]["URL"][80].as_py()}
    place.list_of("digests", {"md5": [key.hex() for key in digest]})
    place.list_of("addresses", {"url": sorted(address)})
    from vetset.config import RunSettings

    result = place.audit(spread_limit=LIMIT, run_settings=RunSettings(runner=runner, workers=2, batch_rows=333))
    assert result.complete
    assert check(place, tables, [{"md5": digest}, {"url": address}]) == {"hit", "expanded", "held"}
