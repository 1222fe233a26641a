"""The sink: products, written whole or not at all under the name they keep.

In it: temporary name, buffer, digest, sync, rename, sync of the folder; copies, removals, the sweeping of leftovers.
Not in it: what a product means (`manifest`), and the single operations (`disk`).
Rules: a product's temporary name is its own name and `.partial`, so that a crash leaves only what the next attempt
replaces; names are relative and stay inside the root; writes are gathered to a mebibyte, so that operations stay few.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from vetset.errors import ShardError, SinkError, Stop, Trouble
from vetset.ledger.disk import Bytes, Disk, is_folder
from vetset.ledger.manifest import Product

BLOCK_BYTES = 1024 * 1024
COPY_BYTES = 4 * 1024 * 1024
PARTIAL = ".partial"
NAME_BYTES = 255  # NAME_MAX of every Linux file system in use


class ProductStream:
    """A product being written: has what pyarrow, csv and `io.TextIOWrapper` ask of a binary file open for writing.

    `product` tells name, SHA-256 and size once the context of `Sink.product` has ended.
    """

    def __init__(self, disk: Disk, fd: int, name: str, *, in_run: bool) -> None:
        self._disk = disk
        self._fd = fd
        self._name = name
        self._in_run = in_run
        self._held = bytearray()
        self._digest = hashlib.sha256()
        self._size_bytes = 0
        self._error: SinkError | None = None
        self._fd_open = True
        self.closed = False

    def write(self, data: Bytes) -> int:
        if self.closed:
            raise ValueError("write to a product that is closed")
        view = memoryview(data).cast("B")
        self._digest.update(view)
        self._size_bytes += view.nbytes
        if view.nbytes >= BLOCK_BYTES:
            self._drain()
            self._to_disk(view)
        else:
            self._held += view
            if len(self._held) >= BLOCK_BYTES:
                self._drain()
        return view.nbytes

    def _drain(self) -> None:
        held, self._held = self._held, bytearray()
        if held:
            self._to_disk(held)

    def _to_disk(self, data: Bytes) -> None:
        """After a write that failed nothing may follow it, or the product would have a hole."""
        if self._error is not None:
            raise self._error
        try:
            self._disk.write(self._fd, data, name=self._name)
        except SinkError as error:
            self._error = error
            raise

    def flush(self) -> None:
        """Nothing: only the end of the context makes bytes durable, and small writes are gathered till then."""

    def close(self) -> None:
        """No more writes. The product is complete only when the context ends without an error."""
        self.closed = True

    def tell(self) -> int:
        return self._size_bytes

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    @property
    def product(self) -> Product:
        return Product(self._name, self._digest.hexdigest(), self._size_bytes, self._in_run)

    def finish(self) -> None:
        """All bytes on the device, and the file closed. For the sink."""
        self.closed = True
        self._drain()
        if self._error is not None:
            raise self._error
        self._disk.sync(self._fd, name=self._name)
        self.release()

    def release(self) -> None:
        """Closes the file once, whatever came before. For the sink."""
        if self._fd_open:
            self._fd_open = False
            self._disk.close(self._fd, name=self._name)


class Sink:
    """Products under one root: a run's folder (`in_run`, whose folders only the owner enters) or a cleaned dataset."""

    def __init__(self, root: Path, disk: Disk | None = None, *, in_run: bool = False) -> None:
        self.root = root
        self.disk = disk or Disk()
        self._in_run = in_run
        self._made: set[Path] = set()

    @contextlib.contextmanager
    def product(self, name: str, mode: int = 0o644) -> Iterator[ProductStream]:
        """A stream whose bytes become the product `name` at the end, or nothing at all if the body raises.

        Raises SinkError if the file system refuses, Stop or ValueError for a name that cannot be one.
        """
        target = self._place(name)
        partial = target.with_name(_partial_name(target.name))
        self._make(target.parent)
        stream = ProductStream(self.disk, self._create(partial, mode, name), name, in_run=self._in_run)
        done = False
        try:
            yield stream
            stream.finish()
            self.disk.rename(partial, target, name=name)
            self.disk.sync_folder(target.parent, name=name)
            done = True
        finally:
            if not done:
                self._abandon(stream, partial, name)

    def put(self, name: str, data: bytes, mode: int = 0o644) -> Product:
        """A product in one go."""
        with self.product(name, mode) as stream:
            stream.write(data)
        return stream.product

    def copy(self, name: str, source: Path) -> Product:
        """A product with a file's bytes, read in pieces. Raises ShardError if the source cannot be read."""
        with self.product(name) as stream:
            for piece in pieces_of(source):
                stream.write(piece)
        return stream.product

    def folder(self, name: str = "") -> Path:
        """A folder under the root, made durable together with those above it."""
        path = self._place(name) if name else self.root
        self._make(path)
        return path

    def remove(self, name: str) -> None:
        """Takes a product away; nothing happens if it is not there."""
        path = self._place(name)
        if _is_there(path):
            self.disk.unlink(path, name=name)
            self.disk.sync_folder(path.parent, name=name)

    def remove_tree(self, name: str) -> None:
        """Takes away a folder and what is in it, from the bottom up; may be cut off anywhere and done again."""
        root = self._place(name)
        if not root.is_dir() or root.is_symlink():
            return self.remove(name)
        below = sorted(root.rglob("*"), key=lambda path: len(path.parts), reverse=True)
        for path in (*below, root):
            self.disk.unlink(path, name=self._name(path))
        self._made -= {root, *below}
        return self.disk.sync_folder(root.parent, name=name)

    def wipe(self, name: str) -> None:
        """Overwrites a product with zeros and takes it away; may be cut off anywhere and done again.

        On a device that writes elsewhere (flash, copy on write) the old bytes may outlive this.
        """
        path = self._place(name)
        if not _is_there(path):
            return
        fd = self.disk.reopen(path, name=name)
        try:
            self.disk.write(fd, bytes(path.stat().st_size), name=name)
            self.disk.sync(fd, name=name)
        finally:
            self.disk.close(fd, name=name)
        self.remove(name)

    def sweep(self) -> None:
        """Takes away what crashes left: every `.partial` under the root. All other names under it become durable.

        A process that died between a rename and the sync of its folder left a product that is there, is taken for
        done, and would be gone after a power loss, even one after the end of this run.
        """
        if not self.root.is_dir():
            return
        for path in sorted(path for path in self.root.rglob(f"*{PARTIAL}") if not path.is_dir()):
            self.disk.unlink(path, name=self._name(path))
        for folder in (self.root, *sorted(path for path in self.root.rglob("*") if path.is_dir())):
            self.disk.sync_folder(folder, name=self._name(folder))
        if os.access(self.root.parent, os.R_OK):  # a folder is opened to be synced; the operator's own may not open
            self.disk.sync_folder(self.root.parent)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _place(self, name: str) -> Path:
        pure = PurePosixPath(name)
        if not pure.parts or name != str(pure) or pure.is_absolute() or ".." in pure.parts or "\0" in name:
            raise ValueError("a product's name must be a plain relative path")
        if name.endswith(PARTIAL):
            raise Stop(f"a file's name ends with {PARTIAL}, which marks unfinished files here", hint="rename it")
        return self.root / pure

    def _create(self, partial: Path, mode: int, name: str) -> int:
        # A leftover may still be open in a dying process: a new file keeps that one's bytes out of this product.
        if _is_there(partial):
            self.disk.unlink(partial, name=name)
        return self.disk.create(partial, mode, name=name)

    def _abandon(self, stream: ProductStream, partial: Path, name: str) -> None:
        """Best effort on the way out of another error, which is the one to be heard; the next sweep does the rest."""
        with contextlib.suppress(SinkError):
            stream.release()
        with contextlib.suppress(SinkError):
            if _is_there(partial):
                self.disk.unlink(partial, name=name)

    def _make(self, path: Path) -> None:
        """Makes a folder once, and syncs its name even if it was there: who made it may have died before doing so."""
        if path in self._made:
            return
        there = is_folder(path)
        if self.root in path.parents or not there:
            self._make(path.parent)
            if not there:
                self.disk.make_folder(path, 0o700 if self._in_run else 0o755)
            self.disk.sync_folder(path.parent)
        self._made.add(path)


def _partial_name(name: str) -> str:
    """The name and `.partial`, or where that is longer than a name may be, its digest and `.partial`."""
    if len(name.encode("utf-8", "surrogateescape")) + len(PARTIAL) <= NAME_BYTES:
        return name + PARTIAL
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest() + PARTIAL


def _is_there(path: Path) -> bool:
    """Also true of a dangling link, which has the name all the same."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SinkError("look at", path.name, error.errno or errno.EIO) from None
    return True


def pieces_of(source: Path) -> Iterator[bytes]:
    """A file's bytes, some at a time. Raises ShardError if it cannot be read."""
    try:
        with source.open("rb") as file:
            while piece := file.read(COPY_BYTES):
                yield piece
    except OSError as error:
        raise ShardError(Trouble.UNREADABLE, error.strerror or "cannot be read") from None
