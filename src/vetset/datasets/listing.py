"""A folder of pictures as samples: its files by key, cut into parts, listed the same way each time.

In it: which files of a folder belong together, and which are left out. Not in it: what is in them (`folder`).
Rules: a sample is a key with a picture, by name; a file's key is its name without its ending, and what is said of
`a.jpg` in `a.jpg.json` belongs to `a`; samples are in order of key and a part is so many neighbours; nothing is opened;
a link counts if it leads to a regular file inside the dataset, and everything that is no regular file is left out.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vetset.datasets.naming import STATS, folder_and_part, format_of, is_picture_name, part_path, stem_of

#: Samples of one part. A folder with more is several shards, unless a Parquet beside it has its lines.
PART_SAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class SampleFile:
    """A file of a sample. `target` is where it lies once links are followed."""

    name: str
    size_bytes: int
    target: Path


@dataclass(frozen=True, slots=True)
class FileSample:
    """The files of one key, in order of name."""

    key: bytes
    files: tuple[SampleFile, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """A folder or a part of it. `folder` is relative to the dataset's root and ends with a slash."""

    folder: str
    samples: tuple[FileSample, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for sample in self.samples for file in sample.files)

    @property
    def digest(self) -> str:
        """SHA-256 in hex over names and sizes: cheap at any size. What the files hold only reading them tells."""
        lines = (f"{file.name}\x00{file.size_bytes}\n" for sample in self.samples for file in sample.files)
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def paths(self) -> Iterator[str]:
        """Every file, relative to the dataset's root, in order."""
        return (self.path_of(file) for sample in self.samples for file in sample.files)

    def path_of(self, file: SampleFile) -> str:
        return file.name if self.folder == "./" else self.folder + file.name


def listing_of(root: Path, path: str) -> Listing:
    """The folder or part that a shard's path names, as it is now. Raises OSError as the system does."""
    folder, part = folder_and_part(path)
    groups = grouped(os.listdir(root / folder))  # noqa: PTH208 - names alone, of folders that may hold millions
    return _listing(root, folder, groups, _keys_of(groups, part))


def listings_of(root: Path, folder: str, *, whole: bool) -> Iterator[tuple[str, Listing]]:
    """The shards that a folder makes, by path: itself, or where it is large and not asked for `whole`, its parts."""
    groups = grouped(os.listdir(root / folder))  # noqa: PTH208 - see above
    cut = not whole and len(groups) > PART_SAMPLES
    for part in range(-(-len(groups) // PART_SAMPLES)) if cut else (None,):
        listing = _listing(root, folder, groups, _keys_of(groups, part))
        if listing.samples:
            yield part_path(folder, part), listing


def _keys_of(groups: Mapping[str, list[str]], part: int | None) -> list[str]:
    keys = sorted(groups)
    return keys if part is None else keys[part * PART_SAMPLES : (part + 1) * PART_SAMPLES]


def _listing(root: Path, folder: str, groups: Mapping[str, list[str]], keys: Iterable[str]) -> Listing:
    top, place = root.resolve(), root / folder
    samples = (FileSample(key.encode("utf-8", "surrogateescape"), _files(top, place, groups[key])) for key in keys)
    return Listing(folder, tuple(sample for sample in samples if any(is_picture_name(f.name) for f in sample.files)))


def grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """Key -> its names, for the keys that have a picture."""
    there = [name for name in names if not name.startswith(".") and format_of(name) is None]
    found: dict[str, list[str]] = {}
    for name in there:
        if is_picture_name(name):
            found.setdefault(stem_of(name), []).append(name)
    for name in there:
        key = None if is_picture_name(name) or name.endswith(STATS) else _key_beside(name, found)
        if key is not None:
            found[key].append(name)
    return found


def _key_beside(name: str, found: dict[str, list[str]]) -> str | None:
    """The key of a file that is no picture by its name, if there is a picture to it."""
    stem = stem_of(name)
    inner = stem_of(stem)
    if is_picture_name(stem) and stem in found.get(inner, ()):
        return inner
    return stem if stem in found else None


def _files(top: Path, place: Path, names: Iterable[str]) -> tuple[SampleFile, ...]:
    found = (_file(top, place / name) for name in sorted(names))
    return tuple(file for file in found if file is not None)


def _file(top: Path, path: Path) -> SampleFile | None:
    """A regular file, or a link to one inside the dataset; None for everything else, a broken link too."""
    status = path.lstat()
    target = path
    if stat.S_ISLNK(status.st_mode):
        try:
            target = path.resolve(strict=True)
            status = target.stat()
        except (OSError, RuntimeError):  # a link that leads nowhere, or in a circle
            return None
        if not target.is_relative_to(top):
            return None
    return SampleFile(path.name, status.st_size, target) if stat.S_ISREG(status.st_mode) else None
