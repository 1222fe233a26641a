"""A shard's files as they were screened: their digest, and whether they are still the same.

In it: digests, and a mark by which the system's own word saves a second digest (decision 0026).
Not in it: reading rows. Rules: what is cleaned is what was screened; wherever the mark is missing, another, or of a
file that changed just before, the digest decides; the mark is keyed, so that nobody without the run's keys makes one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from pathlib import Path

from vetset.errors import ShardError, Stop, Trouble
from vetset.pipeline.room import Room
from vetset.records import Shard

#: A file whose times are younger may change once more within the same tick of the system's clock, and show no trace.
SETTLED_SECONDS = 2.0
#: Of a folder's many files it would cost about as much to ask the system as to read them.
MOST_FILES = 64
#: The name under which a shard's mark is noted, as steps note theirs.
STEP = "source"
_MARK = "unchanged"


def digest_of_files(room: Room, shard: Shard) -> str:
    """SHA-256 in hex of a shard's file, or where it is several files, over a line of digest and name for each."""
    names = room.dataset.files(shard)
    return digest_of_all(names, [digest_of_file(room.root / name) for name in names])


def digest_of_all(names: Sequence[str], digests: Sequence[str]) -> str:
    """The digest of a shard's files from those of each."""
    if len(names) == 1:
        return digests[0]
    lines = "".join(f"{digest} {name}\n" for digest, name in zip(digests, names, strict=True))
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ShardError(Trouble.UNREADABLE, error.strerror or "cannot be read") from None


def standing_of(room: Room, shard: Shard) -> str | None:
    """What the system says of the shard's files: which they are, how long, and when they last changed.

    None if it would prove nothing yet, because one changed a moment ago, and for the many files of a folder. Who gets
    the same answer before and after he reads them knows that he read one state of them.
    """
    settled_ns = time.time_ns() - int(SETTLED_SECONDS * 1e9)
    names = room.dataset.files(shard)
    lines: list[object] = [shard.id]
    for name in names if len(names) <= MOST_FILES else ():
        try:
            status = (room.root / name).stat()
        except OSError as error:
            raise ShardError(Trouble.UNREADABLE, error.strerror or "cannot be read") from None
        if max(status.st_mtime_ns, status.st_ctime_ns) > settled_ns:
            return None
        # No program sets st_ctime: it moves with every change of a file's contents, its times or its place.
        lines.append([name, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns])
    return json.dumps(lines) if len(lines) > 1 else None


def note_standing(room: Room, shard: Shard, source: str, before: str | None) -> None:
    """Keeps beside the run that files of digest `source` stood as `before`, if they still do."""
    if before is not None and standing_of(room, shard) == before:
        room.ledger.note(STEP, shard.id, {_MARK: _mark(room, source, before)})


def is_unchanged(room: Room, shard: Shard, source: str) -> bool:
    """Whether the shard's files are still those of digest `source`."""
    try:
        noted = room.ledger.noted(STEP, shard.id).get(_MARK)
    except Stop:  # damaged: no result rests on it
        noted = None
    standing = standing_of(room, shard) if isinstance(noted, str) else None
    if standing is not None and hmac.compare_digest(str(noted), _mark(room, source, standing)):
        return True
    return digest_of_files(room, shard) == source


def _mark(room: Room, source: str, standing: str) -> str:
    return hmac.new(room.keys.case_key, f"{source}\n{standing}".encode(), hashlib.sha256).hexdigest()
