"""The highest version seen of each list, so that an older or a swapped one is not taken for the current one.

In it: `lists.json` in the settings folder. Not in it: expiry, which a list says of itself.
Rules: a version only ever rises; what cannot be read is not taken for nothing seen (TUF: rollback, mix-and-match).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vetset.errors import Stop
from vetset.records import ListRef

_NAME = "lists.json"


def check_not_rolled_back(folder: Path, ref: ListRef) -> None:
    """Raises Stop if a higher version of the list was seen, or other contents under the same version."""
    _check(folder, ref, _read(folder))


def highest_seen(folder: Path, name: str) -> int:
    """The highest version seen of a list; 0 for none. Raises Stop if that cannot be read."""
    return _read(folder).get(name, (0, ""))[0]


def remember(folder: Path, ref: ListRef) -> None:
    """Notes that the list was seen. Raises Stop as `check_not_rolled_back` does; processes may do this at once."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(folder):
            seen = _read(folder)
            _check(folder, ref, seen)
            _write(folder, seen | {ref.name: (ref.version, ref.digest)})
    except OSError as error:
        raise Stop(
            f"cannot write {folder / _NAME}: {error.strerror}", hint="vetset keeps there what it has seen"
        ) from None


def _check(folder: Path, ref: ListRef, seen: dict[str, tuple[int, str]]) -> None:
    version, digest = seen.get(ref.name, (0, ""))
    if ref.version < version:
        raise Stop(
            f"the list {ref.name} version {ref.version} is rolled back: version {version} was seen before",
            hint=f"use the newer one; if it was withdrawn, take {ref.name} out of {folder / _NAME}",
        )
    if ref.version == version and ref.digest != digest:
        raise Stop(
            f"the list {ref.name} version {ref.version} was swapped: the one seen before had other contents",
            hint=f"compile changes under a higher --version; if this is right, take {ref.name} out of {folder / _NAME}",
        )


def _read(folder: Path) -> dict[str, tuple[int, str]]:
    path = folder / _NAME
    try:
        known = json.loads(path.read_bytes())
        return {str(name): (int(item["version"]), str(item["digest"])) for name, item in known.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Stop(
            f"cannot read {path}: {error.strerror}", hint="it guards against lists that are rolled back"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Stop(
            f"{path} cannot be understood",
            hint="it guards against lists that are rolled back: restore it, or delete it if your lists are current",
        ) from None


def _write(folder: Path, seen: dict[str, tuple[int, str]]) -> None:
    text = {name: {"version": version, "digest": digest} for name, (version, digest) in seen.items()}
    handle, name = tempfile.mkstemp(prefix=f".{_NAME}.", dir=folder)  # made with 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(text, out, indent=1, sort_keys=True)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(folder / _NAME)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time; the lock goes with the descriptor."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
