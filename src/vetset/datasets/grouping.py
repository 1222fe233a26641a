"""Which files of a dataset belong together: a shard and its companions, which hold the same rows or count them.

In it: img2dataset's side files, embeddings beside metadata, by names alone. Not in it: looking for files (`location`),
their contents. Rules: names are relative paths in order; a file is a shard, the companion of one shard, or neither;
with reach `columns` tars and folders are no shards, and a Parquet beside one is a shard by itself; where two shards
could claim a file, a tar comes before a folder, a folder before a Parquet, and of embeddings neither gets them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from vetset.datasets.naming import FOLDER, STATS, format_of
from vetset.records import Reach

_METADATA = re.compile(r"metadata_(\d+)\.parquet")
_EMBEDDING = re.compile(r"\w+_emb_(\d+)\.npy")
_CLAIMS = ("webdataset", FOLDER, "parquet")


def companions_of(paths: Iterable[str], shards: Iterable[str], reach: Reach) -> dict[str, tuple[str, ...]]:
    """Shard -> its companions, for the shards that stay shards; what became a companion is none any more."""
    there, ordered = set(paths), list(shards)
    taken: set[str] = set()
    found: dict[str, list[str]] = {shard: [] for shard in ordered}
    if reach is not Reach.COLUMNS:
        for kind in _CLAIMS:
            for shard in ordered:
                if format_of(shard) == kind and shard not in taken:
                    found[shard] = [name for name in _beside(shard, kind, there) if name not in taken]
                    taken.update(found[shard])
    embeddings = _embeddings(there)
    for shard, own in found.items():  # those of a Parquet beside a tar go where the Parquet goes
        own.extend(name for line in (shard, *own) for name in embeddings.get(line, ()))
    return {shard: tuple(own) for shard, own in found.items() if shard not in taken}


def _beside(shard: str, kind: str, there: set[str]) -> list[str]:
    """What img2dataset writes beside a shard of pictures: `NAME.parquet`, `NAME_stats.json`."""
    stem = shard.rstrip("/") if kind == FOLDER else str(PurePosixPath(shard).with_suffix(""))
    lines, counts = f"{stem}.parquet", f"{stem}{STATS}"
    # A Parquet beside a folder of the same name may be anything; img2dataset's are numbers, or have been counted.
    of_folder = kind == FOLDER and (PurePosixPath(stem).name.isdecimal() or counts in there)
    wanted = [lines, counts] if kind == "webdataset" or of_folder else [counts] if kind == "parquet" else []
    return [name for name in wanted if name in there and name != shard]


def _embeddings(there: set[str]) -> Mapping[str, Sequence[str]]:
    """`metadata_0000.parquet` -> the `.npy` of the same number in its folder or one beside that (clip-retrieval)."""
    by_place: dict[tuple[str, str], list[str]] = {}
    for path, number in _numbered(there, _EMBEDDING):
        for place in _places(path):
            by_place.setdefault((place, number), []).append(path)
    claims: dict[str, list[str]] = {}
    for path, number in _numbered(there, _METADATA):
        own, siblings = _places(path)
        for name in by_place.get((own, number)) or by_place.get((siblings, number)) or ():
            claims.setdefault(name, []).append(path)
    found: dict[str, list[str]] = {}
    for name in sorted(claims):
        if len(claims[name]) == 1:
            found.setdefault(claims[name][0], []).append(name)
    return found


def _numbered(there: set[str], pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    for path in sorted(there):
        match = pattern.fullmatch(PurePosixPath(path).name)
        if match:
            yield path, match[1]


def _places(path: str) -> tuple[str, str]:
    """A file's folder, and all folders beside that."""
    folder = PurePosixPath(path).parent
    return str(folder), f"{folder.parent}/*"
