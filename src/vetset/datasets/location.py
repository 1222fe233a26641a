"""Where a dataset lies: its root, its shards in order, and the files that are no shard.

In it: folders, single files and globs on this machine; a shard's id and probe.
Not in it: what names mean (`naming`), which files belong together (`grouping`, `listing`), what is inside a file (its
format's module), object stores (not supported yet).
Rules: the same tree gives the same answer in the same order; a file that is left out is named in `ignored`; nothing
is opened but to read its first and last bytes; trouble here is the operator's and ends in a Stop with a hint.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn
from urllib.parse import quote

from vetset.datasets.grouping import companions_of
from vetset.datasets.listing import listings_of
from vetset.datasets.naming import (
    COMPRESSIONS,
    FOLDER,
    FORMATS,
    PICTURE_FORMATS,
    TFRECORDS,
    format_of,
    is_picture_name,
)
from vetset.datasets.printable import printable, printable_names
from vetset.errors import ShardError, Stop, Trouble
from vetset.records import Reach, Shard

MAX_ID_BYTES = 200
PROBE_BYTES = 64 * 1024
_SHOWN_ENDINGS = 10


@dataclass(frozen=True, slots=True)
class Found:
    """A dataset as found. `shards` and `ignored` are relative to `root`, with forward slashes, in order of path."""

    root: Path
    shards: tuple[Shard, ...]
    ignored: tuple[str, ...] = ()  # files that are no shard; a folder that was not entered ends with a slash


def find_shards(location: str, reach: Reach = Reach.COLUMNS) -> Found:
    """The dataset at a folder, file or glob. Raises Stop for what is missing, empty, unreadable or not supported."""
    _refuse_addresses(location)
    path = Path(location)
    if path.is_file():
        return _single(path, reach)
    if path.is_dir():
        return _found(path, _walk(path, path), location, reach)
    if glob.has_magic(location):
        root = _root_of(location)
        return _found(root, _matches(root, location), location, reach)
    raise Stop(f"no such file or folder: {printable(location)}", hint="name a folder, a file or a quoted glob")


def source_path(root: Path, shard: Shard) -> Path:
    """The file of a shard. Raises ShardError if it cannot be read or is no longer as long as it was when found."""
    path = root / shard.path
    with readable():
        size_bytes = path.stat().st_size
    if size_bytes != shard.size_bytes:
        raise ShardError(Trouble.SOURCE_CHANGED, f"{size_bytes} bytes now, {shard.size_bytes} when found")
    return path


@contextmanager
def readable() -> Iterator[None]:
    """Turns the system's refusal to read into a ShardError."""
    try:
        yield
    except OSError as error:
        raise ShardError(Trouble.UNREADABLE, _reason(error)) from None


def shard_id_of(path: str) -> str:
    """A relative path as one file name: percent-encoded (reversible), or cut with `~` and its SHA-256 if too long."""
    quoted = quote(path, safe="").replace("~", "%7E")
    quoted = f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted  # no file of ours is a hidden one
    if len(quoted) <= MAX_ID_BYTES:
        return quoted
    digest = hashlib.sha256(path.encode("utf-8")).hexdigest()
    return f"{quoted[: MAX_ID_BYTES - len(digest) - 1]}~{digest}"


def probe_of(path: Path, size_bytes: int) -> str:
    """SHA-256 in hex over the size and the first and last 64 KiB: enough to notice another file, cheap at any size."""
    digest = hashlib.sha256(str(size_bytes).encode("ascii") + b"\n")
    with path.open("rb") as file:
        digest.update(file.read(PROBE_BYTES))
        file.seek(max(0, size_bytes - PROBE_BYTES))
        digest.update(file.read(PROBE_BYTES))
    return digest.hexdigest()


def probes_of(root: Path, names: Iterable[str]) -> list[str]:
    """The probe of each file. Raises OSError as the system does."""
    return [probe_of(root / name, (root / name).stat().st_size) for name in names]


def joined(probes: Sequence[str]) -> str:
    """The probe of a shard from those of its parts: its own, then its companions'."""
    return probes[0] if len(probes) == 1 else hashlib.sha256("\n".join(probes).encode("ascii")).hexdigest()


def _refuse_addresses(location: str) -> None:
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", location)
    if scheme is None:
        return
    if scheme[1].lower() == "file":
        raise Stop("a dataset on this machine is named by its path", hint="leave the file:// out")
    raise Stop(
        f"a dataset at a {scheme[1].lower()}:// address is not supported yet",
        hint="mount or copy it, and name the folder",
    )


def _single(path: Path, reach: Reach) -> Found:
    _utf8(path.name)
    if format_of(path.name) is None:
        _stop_unrecognised([path.name], str(path))
    _must_reach([path.name], reach, str(path))
    beside = [name for name in sorted(item.name for item in path.parent.iterdir()) if _is_plain(path.parent, name)]
    companions = companions_of(beside, [path.name], reach)[path.name]
    return Found(path.parent, (_shard(path.parent, path.name, companions),))


def _found(root: Path, files: Iterable[str], location: str, reach: Reach) -> Found:
    paths = sorted(set(files))
    if not paths:
        raise Stop(f"nothing in {printable(location)}", hint="name a folder, a file or a quoted glob that holds shards")
    shards = [path for path in paths if format_of(path) in FORMATS.values() and not _hidden(path)]
    shards = [path for path in shards if _is_regular(root, path)]
    folders = _folders_of(paths)
    if reach is Reach.COLUMNS:
        readable_shards = [path for path in shards if format_of(path) not in PICTURE_FORMATS]
        if not readable_shards:
            _must_reach([*shards, *folders], reach, location)
        shards, folders = readable_shards, []
    else:
        _refuse_tfrecords(paths, location)
    groups = companions_of(paths, sorted([*shards, *folders]), reach)
    made = [pair for path, beside in groups.items() for pair in _shards_of(root, path, beside)]
    taken = {name for _, names in made for name in names}
    if not taken.issubset(paths):
        raise Stop(
            f"{printable(location)} names some of a folder's pictures, and a folder is read whole",
            hint="name the folder instead",
        )
    ignored = tuple(path for path in paths if path not in taken)
    if not made:
        _stop_unrecognised(ignored, location)
    return Found(root, tuple(sorted((shard for shard, _ in made), key=lambda shard: shard.path)), ignored)


def _folders_of(paths: Iterable[str]) -> list[str]:
    """The folders that hold pictures, as paths of shards."""
    places = {path.rpartition("/")[0] for path in paths if is_picture_name(path.rpartition("/")[2])}
    return sorted(f"{place or '.'}/" for place in places if not _hidden(place))


def _shards_of(root: Path, path: str, beside: Iterable[str]) -> Iterator[tuple[Shard, tuple[str, ...]]]:
    """The shards of a path, and the files that each is made of: one, or of a large folder as many as it has parts."""
    companions = tuple(name for name in beside if _is_regular(root, name))
    if format_of(path) != FOLDER:
        yield _shard(root, path, companions), (path, *companions)
        return
    try:
        for place, listing in listings_of(root, path, whole=bool(companions)):
            probe = joined([listing.digest, *probes_of(root, companions)])
            shard = Shard(shard_id_of(place), place, listing.size_bytes, probe, companions)
            yield shard, (*listing.paths(), *companions)
    except OSError as error:
        _stop_unreadable(path, error)


def _refuse_tfrecords(paths: Iterable[str], location: str) -> None:
    """They hold pictures: an audit that left them out would look like one that had seen them."""
    if any(PurePosixPath(path).suffix.lower() in TFRECORDS and not _hidden(path) for path in paths):
        raise Stop(
            f"{printable(location)} holds pictures in TFRecord files, which are not supported",
            hint="leave them out by a glob, or write the dataset as webdataset tars (img2dataset can)",
        )


def _must_reach(paths: Iterable[str], reach: Reach, location: str) -> None:
    if reach is Reach.COLUMNS and any(format_of(path) in PICTURE_FORMATS for path in paths):
        raise Stop(
            f"{printable(location)} holds pictures, and an audit by columns opens none",
            hint="say --reach local to have them fingerprinted in the sandbox",
        )


def _is_regular(root: Path, path: str) -> bool:
    """A regular file: a pipe or device is never opened, a broken link stops."""
    try:
        return stat.S_ISREG((root / path).stat().st_mode)
    except OSError as error:
        _stop_unreadable(path, error)


def _is_plain(folder: Path, name: str) -> bool:
    """A regular file with a name that is UTF-8; what lies beside a single file is otherwise none of our business."""
    try:
        name.encode("utf-8")
        return stat.S_ISREG((folder / name).stat().st_mode)
    except (OSError, UnicodeEncodeError):
        return False


def _hidden(path: str) -> bool:
    """Whether a name on the way starts with `_` or `.`: what Spark, Hadoop and editors leave beside the data."""
    return any(part.startswith(("_", ".")) for part in path.split("/"))


def _shard(root: Path, path: str, companions: tuple[str, ...] = ()) -> Shard:
    try:
        size_bytes = (root / path).stat().st_size
        probe = joined(probes_of(root, (path, *companions)))
    except OSError as error:
        _stop_unreadable(path, error)
    return Shard(shard_id_of(path), path, size_bytes, probe, companions)


def _walk(root: Path, folder: Path) -> Iterator[str]:
    """Files at and below a folder, hidden folders named but not entered, links followed, no folder entered twice."""
    seen: set[tuple[int, int]] = set()
    _first_visit(folder, seen)
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_stop_walk):
        relative = Path(place).relative_to(root)
        for name in files:
            yield _utf8(str(relative / name))
        yield from (f"{_utf8(str(relative / name))}/" for name in folders if _hidden(name))
        folders[:] = sorted(name for name in folders if not _hidden(name) and _first_visit(Path(place, name), seen))


def _first_visit(folder: Path, seen: set[tuple[int, int]]) -> bool:
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    new = identity not in seen
    seen.add(identity)
    return new


def _root_of(pattern: str) -> Path:
    """The longest leading part of a glob that is no pattern."""
    parts = Path(pattern).parts
    plain = next(count for count, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:plain])


def _matches(root: Path, pattern: str) -> Iterator[str]:
    """What a glob matches, relative to its root; a folder that it matches stands for what is in it."""
    below = str(Path(pattern).relative_to(root))
    for match in glob.iglob(below, root_dir=root, recursive=True):  # noqa: PTH207 - Path.glob treats `**` otherwise
        if (root / match).is_dir():
            yield from _walk(root, root / match)
        else:
            yield _utf8(match)


def _utf8(path: str) -> str:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise Stop(f"a file name is not UTF-8: {printable(path)}", hint="rename it") from None
    return path


def _stop_walk(error: OSError) -> NoReturn:
    _stop_unreadable(str(error.filename), error)


def _stop_unreadable(path: str, error: OSError) -> NoReturn:
    raise Stop(
        f"cannot read {printable(path, max_characters=200)}: {_reason(error)}", hint="check the permissions"
    ) from None


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else type(error).__name__


def _stop_unrecognised(names: Sequence[str], location: str) -> NoReturn:
    """Nothing here is a shard: says what was seen instead, compressed text by name."""
    seen = sorted({_ending(name) for name in names})
    known = ", ".join(FORMATS)
    compressed = [ending for ending in seen if ending.endswith(COMPRESSIONS)]
    hint = f"recognised: {known}, and with --reach local folders of pictures"
    if compressed:
        hint = f"compressed text ({compressed[0]}) is not supported: unpack it"
    elif TFRECORDS.intersection(seen):
        hint = "TFRecord files are not supported: write the dataset as webdataset tars (img2dataset can)"
    elif any(is_picture_name(name.rpartition("/")[2]) for name in names):
        hint = "pictures are read by the folder: name that, with --reach local"
    raise Stop(
        f"no shard in {printable(location)}; endings seen: {printable_names(seen, max_names=_SHOWN_ENDINGS)}", hint=hint
    )


def _ending(name: str) -> str:
    suffixes = PurePosixPath(name).suffixes
    shown = suffixes[-2:] if suffixes and suffixes[-1].lower() in COMPRESSIONS else suffixes[-1:]
    return "".join(shown).lower() or "(none)"
