"""Runs, made and found again.

In it: the making of a run's folder with run.toml, and the opening of one. Not in it: what run.toml says (`wiring`).
Rules: a folder is a run from the moment run.toml is in it, so that what a run cannot be without comes before; a folder
that holds anything else is never touched.
"""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from vetset.errors import SinkError, Stop
from vetset.ledger.disk import Disk
from vetset.ledger.record import LOCK, RUN_TOML, Ledger, not_a_run, read_file
from vetset.ledger.sink import PARTIAL, Sink

#: What an unfinished making of a run may have left; it holds nothing yet, so it is made anew.
_BEFORE_RUN_TOML = frozenset({LOCK, RUN_TOML, "run.key", "vault", "vault/run.age"})

#: In this order: without its keys or its lock a folder must not be a run.
_LAST = (RUN_TOML, "vault", "run.key", LOCK)


def create_run(
    root: Path,
    run_toml: Mapping[str, Any],
    disk: Disk | None = None,
    prepare: Callable[[Sink], object] | None = None,
) -> Ledger:
    """Makes a run. `prepare` puts into the folder what must be there before it is a run, such as its keys.

    Raises Stop if the folder holds anything, or cannot be made.
    """
    text = _toml(run_toml)
    _must_be_free(root)
    ledger = Ledger(root, disk)
    with _making(root):
        ledger.sink.folder()
        ledger.sink.put(LOCK, b"")
        if prepare is not None:
            prepare(ledger.sink)
        ledger.sink.put(RUN_TOML, text)
    return ledger


def discard_run(ledger: Ledger) -> None:
    """Takes away a run that was made and holds nothing yet; for whoever holds its lock. May be cut off anywhere.

    What is left then is a run still, or what the making of one may leave: the next command goes on with it.
    """
    sink = ledger.sink
    there = sorted(path.name for path in sink.root.iterdir())
    for name in (*(name for name in there if name not in _LAST), *_LAST):
        sink.remove_tree(name)
    with contextlib.suppress(SinkError):  # a folder that is in use stays, empty
        sink.disk.unlink(sink.root, name=sink.root.name)


def open_run(root: Path, disk: Disk | None = None) -> tuple[Ledger, dict[str, Any]]:
    """The ledger of a run and what its run.toml says. Raises Stop if the folder is not a run."""
    data = read_file(root / RUN_TOML)
    if data is None:
        raise not_a_run(root)
    try:
        return Ledger(root, disk), tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        hint = "restore it from a copy: no part of the run holds without it"
        raise Stop(f"{root / RUN_TOML} is damaged", hint=hint) from None


def _toml(tree: Mapping[str, Any]) -> bytes:
    try:
        return tomli_w.dumps(tree).encode("utf-8")
    except UnicodeEncodeError:
        raise Stop("a path is not UTF-8, and run.toml could not name it", hint="rename it") from None


def _must_be_free(root: Path) -> None:
    if os.path.lexists(root / RUN_TOML):
        raise Stop(f"{root} holds a run already", hint="go on with --resume, or name another --out")
    try:
        found = {path.relative_to(root).as_posix() for path in _files(root)}
    except OSError as error:
        raise Stop(f"cannot look into {root}: {error.strerror}", hint="name a new folder as --out") from None
    if any(name.removesuffix(PARTIAL) not in _BEFORE_RUN_TOML for name in found):
        raise Stop(f"{root} is not empty, and not a run", hint="name a new folder as --out")


def _files(root: Path) -> Iterator[Path]:
    """Everything below; a file in the folder's own place makes the system refuse."""
    if os.path.lexists(root):
        for path in root.iterdir():
            yield path
            if path.is_dir() and not path.is_symlink():
                yield from _files(path)


@contextlib.contextmanager
def _making(root: Path) -> Iterator[None]:
    try:
        yield
    except SinkError as error:
        words = os.strerror(error.error_number)
        raise Stop(
            f"cannot make the run in {root}: {error.action} {error.name}: {words}",
            hint="name a folder as --out that can be written, on a device with space",
        ) from None
