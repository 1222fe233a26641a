"""The small audit that crashes: three shards of three formats in which everything happens that can happen.

In it: the workload, what is the same after any crash, and one crash with its recovery. Not in it: which crashes.
Rules: a loss is an AssertionError that says which fault made it; ENOSPC and EIO come out as `Stop` and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.driving import Place
from vetset.config import PolicySettings, Rule, RunSettings

MEMORY = Path("/dev/shm")


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def address(text: str) -> str:
    return f"https://{text}.example/"


#: (url, md5, punsafe) by shard. `bad` is on a list by digest, `worse` by URL; `chain` is reached in a second round;
#: `common` is borne by a hit and by more rows than may spread, so they are held; the last row of each is policy.
ROWS: dict[str, list[tuple[str, str, float]]] = {
    "a.parquet": [
        (address("a0"), md5("plain0"), 0.1),
        (address("shared"), md5("bad"), 0.1),
        (address("a2"), md5("common"), 0.1),
        (address("a3"), md5("unsafe"), 0.99),
    ],
    "deep/b.csv": [
        (address("shared"), md5("chain"), 0.1),
        (address("b1"), md5("common"), 0.1),
        (address("b2"), md5("plain1"), 0.1),
    ],
    "deep/c.jsonl": [
        (address("worse"), md5("common"), 0.1),
        ("", md5("chain"), 0.1),
        (address("c2"), md5("plain2"), 0.98),
    ],
}
SPREAD_LIMIT = 2


def write_case(root: Path) -> Place:
    """The dataset and its lists under `root`."""
    place = Place(root)
    for name, rows in ROWS.items():
        path = place.dataset / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            urls, digests, scores = zip(*rows, strict=True)
            place.write({name: pa.table({"url": urls, "md5": digests, "punsafe": scores})})
        elif name.endswith(".csv"):
            path.write_text("url,md5,punsafe\n" + "".join(f"{u},{d},{p}\n" for u, d, p in rows), "utf-8")
        else:
            lines = (json.dumps({"url": u, "md5": d, "punsafe": p}) for u, d, p in rows)
            path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    place.list_of("one", {"md5": [md5("bad")]})
    place.list_of("two", {"url": [address("worse")]})
    return place


OPTIONS: dict[str, Any] = {
    "spread_limit": SPREAD_LIMIT,
    "policy": PolicySettings(rules=(Rule(punsafe_above=0.95),)),
    "run_settings": RunSettings(runner="serial", batch_rows=8),
}
