"""Which files of a dataset belong together: a shard and its companions, which hold the same rows or count them.

In it: img2dataset's side files, embeddings beside metadata, by names alone. Not in it: looking for files (`location`),
their contents. Rules: names are relative paths in order; a file is a shard, the companion of one shard, or neither;
with reach `columns` tars are no shards, and a Parquet beside one is a shard by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from vetset.records import Reach

STATS = "_stats.json"
_METADATA = re.compile(r"metadata_(\d+)\.parquet")
_EMBEDDING = re.compile(r"\w+_emb_(\d+)\.npy")


def companions_of(paths: Iterable[str], shards: Iterable[str], reach: Reach) -> dict[str, tuple[str, ...]]:
    """Shard -> its companions, for the shards that stay shards; what became a companion is none any more."""
    there = set(paths)
    found: dict[str, list[str]] = {}
    taken: set[str] = set()
    for shard in shards:
        own = _beside(shard, there, reach)
        found[shard] = own
        taken.update(own)
    embeddings = _embeddings(there)
    return {shard: tuple(own + embeddings.get(shard, [])) for shard, own in found.items() if shard not in taken}


def _beside(shard: str, there: set[str], reach: Reach) -> list[str]:
    """What img2dataset writes beside a shard of pictures: `NAME.parquet`, `NAME_stats.json`."""
    if reach is Reach.COLUMNS:
        return []
    stem = shard.rstrip("/") if shard.endswith("/") else str(PurePosixPath(shard).with_suffix(""))
    names = [f"{stem}.parquet", f"{stem}{STATS}"]
    return [name for name in names if name in there and name != shard]


def _embeddings(there: set[str]) -> Mapping[str, list[str]]:
    """`metadata_0000.parquet` -> the `.npy` of the same number, in its folder or a sibling (clip-retrieval's layout)."""
    by_place: dict[tuple[str, str], list[str]] = {}
    for path in sorted(there):
        match = _EMBEDDING.fullmatch(PurePosixPath(path).name)
        if match:
            folder = PurePosixPath(path).parent
            by_place.setdefault((str(folder), match[1]), []).append(path)
            by_place.setdefault((str(folder.parent) + "/*", match[1]), []).append(path)
    found: dict[str, list[str]] = {}
    for path in there:
        match = _METADATA.fullmatch(PurePosixPath(path).name)
        if match:
            folder = PurePosixPath(path).parent
            near = by_place.get((str(folder), match[1])) or by_place.get((str(folder.parent) + "/*", match[1]), [])
            found[path] = list(near)
    return found
