"""Large files beside rows: what is held in memory does not grow with them. And files that the system refuses to read."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.test_datasets_members import tar_of
from tests.test_datasets_webdataset import JPEG
from vetset.config import Settings
from vetset.datasets.formats import ByFormat
from vetset.datasets.location import find_shards
from vetset.errors import ShardError, Trouble
from vetset.records import Reach, Shard

LARGE_BYTES = 192 * 1024 * 1024
MOST_BYTES = 24 * 1024 * 1024  # a few pieces of copying, whatever the size of a file


class Counted:
    """A sink that only counts."""

    def __init__(self) -> None:
        self.bytes: dict[str, int] = {}
        self._name = ""

    def __call__(self, name: str) -> AbstractContextManager[Counted]:
        self._name = name
        self.bytes[name] = 0
        return nullcontext(self)

    def write(self, data: bytes | memoryview) -> int:
        self.bytes[self._name] += len(data)
        return len(data)


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


def stretched(path: Path, size_bytes: int = LARGE_BYTES) -> None:
    """Makes a file longer by a hole."""
    with path.open("r+b") as file:
        file.truncate(size_bytes)


def opened(root: Path, reach: Reach = Reach.LOCAL) -> tuple[ByFormat, Shard]:
    found = find_shards(str(root), reach)
    return ByFormat(found.root, Settings()), found.shards[0]


def test_embeddings_are_streamed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": [f"https://a.example/{n}" for n in range(1000)]}), tmp_path / "metadata_0.parquet")
    row_bytes = LARGE_BYTES // 1000
    with (tmp_path / "img_emb_0.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|i1", "fortran_order": False, "shape": (1000, row_bytes)})
        start = file.tell()
    stretched(tmp_path / "img_emb_0.npy", start + 1000 * row_bytes)
    dataset, shard = opened(tmp_path)
    counted = Counted()
    with little_memory():
        dataset.write_without(shard, np.array([1, 500]), counted)
    assert counted.bytes["img_emb_0.npy"] == start + 998 * row_bytes


@pytest.mark.parametrize("kind", ["tar", "files"])
def test_a_large_picture_is_never_held(tmp_path: Path, kind: str) -> None:
    if kind == "tar":
        (tmp_path / "0.tar").write_bytes(tar_of([("a.jpg", JPEG)]))
        header = bytearray((tmp_path / "0.tar").read_bytes()[:512])
        header[124:136] = b"%011o\0" % LARGE_BYTES
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        (tmp_path / "0.tar").write_bytes(bytes(header))
        stretched(tmp_path / "0.tar", 512 + LARGE_BYTES)
        with (tmp_path / "0.tar").open("ab") as file:
            file.write(tar_of([("b.jpg", JPEG)]))
    else:
        for name in ("a.jpg", "b.jpg"):
            (tmp_path / name).write_bytes(JPEG)
        stretched(tmp_path / "a.jpg")
    dataset, shard = opened(tmp_path)
    counted = Counted()
    with little_memory():
        sizes = [len(item.body.unseal()) for batch in dataset.pictures(shard) for item in batch]
        dataset.write_without(shard, np.array([1]), counted)
    assert sizes == [LARGE_BYTES, len(JPEG)]
    assert sum(counted.bytes.values()) >= LARGE_BYTES


def test_a_large_stats_file_is_copied_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(tar_of([("a.jpg", JPEG), ("b.jpg", JPEG)]))
    (tmp_path / "0_stats.json").write_bytes(b"{")
    stretched(tmp_path / "0_stats.json")
    dataset, shard = opened(tmp_path)
    counted = Counted()
    with little_memory():
        dataset.write_without(shard, np.array([0]), counted)
    assert counted.bytes["0_stats.json"] == LARGE_BYTES


def test_a_large_json_beside_a_picture_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "a.json").write_bytes(b'{"url": "https://a.example"')
    stretched(tmp_path / "a.json")
    dataset, shard = opened(tmp_path)
    with little_memory():
        assert dict(dataset.facts(shard).columns) == {}


@pytest.mark.parametrize("reader", ["pictures", "write_without"])
def test_a_file_that_the_system_refuses_is_a_shards_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(JPEG)
    dataset, shard = opened(tmp_path)
    real = os.open

    def refusing(path: Any, *rest: Any, **named: Any) -> int:
        if str(path).endswith("b.jpg"):  # the user root, as which tests may run, is refused nothing
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **named)

    monkeypatch.setattr(os, "open", refusing)
    readers: dict[str, Callable[[], object]] = {
        "pictures": lambda: list(dataset.pictures(shard)),
        "write_without": lambda: dataset.write_without(shard, np.array([0]), Counted()),
    }
    with pytest.raises(ShardError) as caught:
        readers[reader]()
    assert caught.value.trouble is Trouble.UNREADABLE
    assert str(tmp_path) not in str(caught.value)
