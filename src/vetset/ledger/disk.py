"""The disk: the only place that changes the file system, one method a single operation.

In it: the operations over real system calls. Not in it: which of them make a product (`sink`).
Rules: each method is one operation that can be counted and made to fail, so that a crash harness which replaces this
class reaches every state a crash can leave (threats 2.1); an error is a `SinkError` that names no absolute path.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from vetset.errors import SinkError

Bytes = bytes | bytearray | memoryview


class Disk:
    """Real system calls. `name` is what an error calls the thing; without it, the last part of the path."""

    def make_folder(self, path: Path, mode: int = 0o755, *, name: str = "") -> None:
        """Makes one folder. No error if another process was quicker."""
        with _operation("make the folder", name or path.name):
            try:
                path.mkdir(mode)
            except FileExistsError:
                if not path.is_dir():
                    raise

    def create(self, path: Path, mode: int = 0o644, *, name: str = "") -> int:
        """A new file, open for writing; an error if anything, even a dangling link, has the name."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with _operation("create", name or path.name):
            return os.open(path, flags, mode)

    def reopen(self, path: Path, *, name: str = "") -> int:
        """A file that is there, open for writing from its start. Changes nothing by itself."""
        with _operation("open", name or path.name):
            return os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def write(self, fd: int, data: Bytes, *, name: str = "") -> None:
        """All the bytes, however many calls the system makes of it."""
        view = memoryview(data).cast("B")
        with _operation("write", name):
            while view:
                view = view[os.write(fd, view) :]

    def sync(self, fd: int, *, name: str = "") -> None:
        with _operation("sync", name):
            os.fsync(fd)

    def close(self, fd: int, *, name: str = "") -> None:
        with _operation("close", name):
            os.close(fd)

    def rename(self, source: Path, target: Path, *, name: str = "") -> None:
        """Gives a file another name, in place of whatever had it."""
        with _operation("rename", name or target.name):
            os.replace(source, target)  # noqa: PTH105 - the system call itself is what is counted

    def link(self, source: Path, target: Path, *, name: str = "") -> None:
        """Gives a file a second name; an error if the name is taken."""
        with _operation("link", name or target.name):
            os.link(source, target)

    def sync_folder(self, path: Path, *, name: str = "") -> None:
        """Makes the names in a folder durable."""
        with _operation("sync the folder", name or path.name):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            except OSError as error:
                # A file system that cannot sync a folder says EINVAL; there its names are durable without (fsync(2)).
                if error.errno != errno.EINVAL:
                    raise
            finally:
                os.close(fd)

    def unlink(self, path: Path, *, name: str = "") -> None:
        """Takes away a file or an empty folder."""
        with _operation("remove", name or path.name):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()


def is_folder(path: Path) -> bool:
    """Whether a folder is there; False too where the system will not say, so that making it brings out the reason."""
    return os.path.isdir(path)  # noqa: PTH112 - the path's own method raises for names that are too long


@contextlib.contextmanager
def _operation(action: str, name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SinkError(action, name, error.errno or errno.EIO) from None
