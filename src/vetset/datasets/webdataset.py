"""Webdataset tars behind `ports.Dataset`: the samples of `sampled`, held in a tar.

In it: the tar as a container, and what is odd in it. Not in it: members and keys (`members`, `keys`, `samples`), rows.
Rules: never extracts, never unpickles; bodies are views of a mapping, so memory does not grow with the tar.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from vetset.datasets.location import source_path
from vetset.datasets.sampled import Sampled
from vetset.datasets.samples import Archive, opened_tar, write_tar_without
from vetset.ports import Products
from vetset.records import Shard


class Webdataset(Sampled):
    """Shards that are tars of samples."""

    @contextmanager
    def _opened(self, shard: Shard) -> Iterator[_Tar]:
        with opened_tar(source_path(self.root, shard)) as archive:
            yield _Tar(archive, shard.path)

    def oddities(self, shard: Shard) -> Mapping[str, int]:
        """Members that are no regular file, by kind; repeated names."""
        with opened_tar(source_path(self.root, shard)) as archive:
            return {name: count for name, count in sorted(archive.oddities.items()) if count}


class _Tar:
    """A tar as `sampled.Container`."""

    def __init__(self, archive: Archive, path: str) -> None:
        self._archive = archive
        self._path = path

    @property
    def keys(self) -> Sequence[bytes]:
        return self._archive.keys

    def bodies(self, keys: Sequence[bytes | None]) -> Iterator[tuple[int, memoryview]]:
        numbers = self._archive.numbers
        asked = (-1 if key is None else numbers[key] for key in keys)
        return self._archive.bodies(np.fromiter(asked, np.int64, len(keys)))

    def json_of(self, key: bytes) -> Mapping[str, Any]:
        return self._archive.json_of(self._archive.numbers[key])

    def text_of(self, key: bytes, ending: bytes) -> bytes | None:
        return self._archive.text_of(self._archive.numbers[key], ending)

    def write_without(self, keys: Collection[bytes], product: Products) -> None:
        with product(self._path) as sink:
            write_tar_without(self._archive, keys, sink)
