"""Synthetic shards in img2dataset's other shapes: a file for each part of a sample, and a Parquet with their bytes.

In it: writing from the samples of `tars`. Not in it: tars, pictures (`pictures`).
Rules: the same samples give the same bytes; every address is under a reserved name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vetset.testing.tars import SUCCESS, SyntheticSample, counts


def write_folder_shard(
    folder: Path, name: str, samples: Sequence[SyntheticSample], *, side_parquet: bool = True, stats: bool = True
) -> Path:
    """Writes the folder `name` and beside it, if asked, the side files (img2dataset 1.47, writer.FilesSampleWriter)."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    for sample in samples:
        if sample.status == SUCCESS:
            (place / f"{sample.key}.{sample.extension}").write_bytes(sample.body)
            (place / f"{sample.key}.txt").write_text(sample.caption, "utf-8")
            (place / f"{sample.key}.json").write_text(json.dumps(sample.line(), indent=4), "utf-8")
    if side_parquet:
        pq.write_table(pa.Table.from_pylist([sample.line() for sample in samples]), folder / f"{name}.parquet")
    if stats:
        write_stats(folder, name, samples)
    return place


def write_parquet_shard(
    folder: Path, name: str, samples: Sequence[SyntheticSample], *, encode_format: str = "jpg", stats: bool = True
) -> Path:
    """Writes `name.parquet` with the bytes in a column named after their format (writer.ParquetSampleWriter)."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [{**s.line(), encode_format: s.body if s.status == SUCCESS else None} for s in samples]
    path = folder / f"{name}.parquet"
    pq.write_table(pa.Table.from_pylist(lines), path)
    if stats:
        write_stats(folder, name, samples)
    return path


def write_stats(folder: Path, name: str, samples: Sequence[SyntheticSample]) -> None:
    """Writes `name_stats.json`."""
    (folder / f"{name}_stats.json").write_text(json.dumps(counts(samples), indent=4), "utf-8")
