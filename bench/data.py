"""The data of the benchmarks: Parquet files of LAION-like rows, and a list of random digests that some rows meet.

In it: making them, once, from a seed. Not in it: what is measured (`peers`, `columns`).
Rules: the shape is that of reference measurements (URL about 102 characters, TEXT about 57, snappy, an md5 column); a
folder that was made with the same numbers is used again, any other is refused; nothing in it leads anywhere.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vetset.testing.rows import BANNER, PLACEHOLDER, hex_column, mixed, picture_bytes, write_shards

FOLDER = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Shape:
    """How much to make. Half of the planted digests are of rows' pictures, half of their URLs."""

    files: int = 4
    rows_per_file: int = 1_000_000
    digests: int = 10_000_000
    planted: int = 4_000
    seed: int = 1


@dataclass(frozen=True, slots=True)
class BenchData:
    """Where the data lie. The digests are the same twice: as hex lines, and as column `digest` of hex text."""

    rows: Path  # folder of Parquet files
    digests_text: Path
    digests_parquet: Path

    @classmethod
    def at(cls, folder: Path) -> BenchData:
        return cls(folder / "rows", folder / "digests.txt", folder / "digests.parquet")

    def files(self) -> list[Path]:
        return sorted(self.rows.glob("*.parquet"))


def bench_data(folder: Path, shape: Shape) -> BenchData:
    """The data in a folder, made if they are not there. Exits with a message if the folder holds others."""
    data = BenchData.at(folder)
    made = folder / "shape.json"
    if made.is_file():
        if json.loads(made.read_text("utf-8")) != asdict(shape):
            sys.exit(f"{folder} holds data of another shape; name another folder or remove it")
        return data
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder} is neither empty nor finished data; remove it")
    folder.mkdir(parents=True, exist_ok=True)
    data.rows.symlink_to(_rows(folder.parent, shape).absolute())
    _write_digests(data, shape)
    made.write_text(json.dumps(asdict(shape)), "utf-8")
    return data


def _rows(folder: Path, shape: Shape) -> Path:
    """The rows alone, which shapes that differ only in the list share."""
    rows = folder / f"rows-{shape.files}-{shape.rows_per_file}-{shape.seed}"
    if not rows.is_dir():
        partly = rows.with_suffix(".partly")
        write_shards(partly, shape.files * shape.rows_per_file, shape.files, seed=shape.seed)
        partly.rename(rows)
    return rows


def _write_digests(data: BenchData, shape: Shape) -> None:
    digests = random_digests(shape.digests, shape.seed)
    planted = _planted(data, shape)
    digests[np.linspace(0, shape.digests - 1, len(planted)).astype(np.int64)] = planted
    column = hex_column(digests)
    pq.write_table(pa.table({"digest": column}), data.digests_parquet, compression="none", use_dictionary=False)
    lines = np.full((shape.digests, 33), ord("\n"), np.uint8)
    lines[:, :32] = np.frombuffer(column.buffers()[2], np.uint8).reshape(-1, 32)
    lines.tofile(data.digests_text)


def random_digests(count: int, seed: int) -> npt.NDArray[np.uint8]:
    """(count, 16) bytes that follow from the seed."""
    numbers = np.arange(count, dtype=np.int64)
    halves = [mixed(numbers, seed, f"digest-{part}").astype(">u8") for part in range(2)]
    return np.stack(halves, axis=1).view(np.uint8).reshape(count, 16)


def _planted(data: BenchData, shape: Shape) -> npt.NDArray[np.uint8]:
    """Digests of rows spread over all files: of the picture for one row, of the URL for the next."""
    columns = pa.concat_tables([pq.read_table(path, columns=["URL", "md5"]) for path in data.files()])
    rows = columns.take(np.linspace(0, columns.num_rows - 1, 2 * shape.planted).astype(np.int64)).to_pylist()
    popular = {_md5(b"").hex(), *(_md5(content).hex() for content in picture_bytes(shape.seed, _POPULAR))}
    digests = [
        _md5(row["URL"].encode()) if number % 2 else bytes.fromhex(row["md5"])
        for number, row in enumerate(rows)
        if row["URL"] and row["md5"] and row["md5"] not in popular
    ]
    return np.frombuffer(b"".join(digests[: shape.planted]), np.uint8).reshape(-1, 16)


_POPULAR = np.array([PLACEHOLDER, BANNER], np.int64)


def _md5(value: bytes) -> bytes:
    return hashlib.md5(value, usedforsecurity=False).digest()


def shape_options(parser: argparse.ArgumentParser) -> None:
    """Adds the folder and an option for each number of a shape."""
    parser.add_argument("--folder", type=Path, default=FOLDER)
    for name, default in asdict(Shape()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)


def shape_of(options: argparse.Namespace) -> Shape:
    """The shape that the options ask for."""
    return Shape(**{name: getattr(options, name) for name in asdict(Shape())})


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the data of the benchmarks.")
    shape_options(parser)
    options = parser.parse_args()
    start = time.monotonic()
    data = bench_data(options.folder, shape_of(options))
    size_bytes = sum(path.stat().st_size for path in data.files())
    print(f"{len(data.files())} files, {size_bytes / 1e6:.0f} MB of rows, in {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
