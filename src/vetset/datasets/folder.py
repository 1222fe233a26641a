"""Folders of pictures behind `ports.Dataset`: the samples of `sampled`, each in files of its own.

In it: the folder as a container, read and written file by file. Not in it: which files belong together (`listing`),
rows. Rules: a folder that is not as it was found is never read on; a small file is read whole and a large one mapped,
so that memory does not grow; a file is opened without following a link that was none when it was listed, and never
waits for another side, as a pipe would.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from vetset.datasets.keys import ending
from vetset.datasets.listing import FileSample, Listing, SampleFile, listing_of
from vetset.datasets.location import joined, probes_of, readable
from vetset.datasets.sampled import Sampled
from vetset.datasets.samples import MAX_JSON_BYTES, is_picture, object_of
from vetset.errors import ShardError, Trouble
from vetset.ports import ByteSink, Products
from vetset.records import Shard

#: A file beyond this is mapped instead of read.
_READ_BYTES = 4 * 1024 * 1024
_COPY_BYTES = 4 * 1024 * 1024
_WORDS = frozenset({b"json", b"txt"})


class PictureFolder(Sampled):
    """Shards that are folders of pictures, or parts of them."""

    def files(self, shard: Shard) -> Sequence[str]:
        """Every file of the samples in order, then the side files."""
        return (*self._listing(shard).paths(), *shard.companions)

    @contextmanager
    def _opened(self, shard: Shard) -> Iterator[_Files]:
        yield _Files(self._listing(shard))

    def _listing(self, shard: Shard) -> Listing:
        with readable():
            listing = listing_of(self.root, shard.path)
            probe = joined([listing.digest, *probes_of(self.root, shard.companions)])
        if probe != shard.probe:
            raise ShardError(Trouble.SOURCE_CHANGED, "the folder's files are not those that were found")
        return listing


class _Files:
    """A listing as `sampled.Container`."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._samples = {sample.key: sample for sample in listing.samples}

    @property
    def keys(self) -> Collection[bytes]:
        return self._samples.keys()

    def bodies(self, keys: Sequence[bytes | None]) -> Iterator[tuple[int, bytes | memoryview]]:
        for place, key in enumerate(keys):
            for body in self._pictures(key) if key is not None else ():
                yield place, body

    def _pictures(self, key: bytes) -> Iterator[bytes | memoryview]:
        """The bytes of every file of a sample that is a picture by its name or by its first bytes."""
        for file in self._samples[key].files:
            name = os.fsencode(file.name)
            if ending(name) not in _WORDS:
                body = _body(file)
                if is_picture(name, memoryview(body)):
                    yield body

    def json_of(self, key: bytes) -> Mapping[str, Any]:
        text = self.text_of(key, b"json")
        return {} if text is None else object_of(text)

    def text_of(self, key: bytes, ending: bytes) -> bytes | None:
        file = _by_ending(self._samples[key], ending)
        return None if file is None else bytes(_body(file))

    def write_without(self, keys: Collection[bytes], product: Products) -> None:
        """Every file of the other samples, byte for byte."""
        for sample in self._listing.samples:
            for file in () if sample.key in keys else sample.files:
                with product(self._listing.path_of(file)) as sink:
                    _copy(file, sink)


def _by_ending(sample: FileSample, wanted: bytes) -> SampleFile | None:
    for file in sample.files:
        if ending(os.fsencode(file.name)) == wanted and file.size_bytes <= MAX_JSON_BYTES:
            return file
    return None


@contextmanager
def _opened_file(file: SampleFile) -> Iterator[BinaryIO]:
    """A file as it was listed. ShardError if it is gone, or another kind of thing or longer or shorter by now."""
    with readable():
        try:
            number = os.open(file.target, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ShardError(Trouble.SOURCE_CHANGED, "a file is gone that was there when it was found") from None
    with os.fdopen(number, "rb", buffering=0) as stream:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode) or status.st_size != file.size_bytes:
            raise _changed()
        yield stream


def _changed() -> ShardError:
    return ShardError(Trouble.SOURCE_CHANGED, "a file is not as it was when it was found")


def _body(file: SampleFile) -> bytes | memoryview:
    """The bytes of a file; a mapping of it lives as long as the view does."""
    with _opened_file(file) as stream:
        if file.size_bytes > _READ_BYTES:
            with readable():
                return memoryview(mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ))
        return b"".join(_pieces(stream, file.size_bytes))


def _copy(file: SampleFile, sink: ByteSink) -> None:
    with _opened_file(file) as stream:
        for piece in _pieces(stream, file.size_bytes):
            sink.write(piece)


def _pieces(stream: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """So many bytes, and no end before them."""
    left = size_bytes
    while left:
        with readable():
            piece = stream.read(min(_COPY_BYTES, left))
        if not piece:
            raise _changed()
        left -= len(piece)
        yield piece
