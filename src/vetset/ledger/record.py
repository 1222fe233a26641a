"""The ledger of a run: which step is done for which shard, which failed, and notes beside it.

In it: manifests, roots, failures, notes and the run's lock, as files under the run's folder. Not in it: their checking
against each other (`verification`), making and finding runs (`run`).
Rules: manifests are the truth, and what lies under `sidecar/` may be lost without loss of a result; a commit that says
what is already said writes nothing; one coordinator works in a run at a time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from vetset.errors import SinkError, Stop
from vetset.ledger.disk import Disk
from vetset.ledger.manifest import Manifest, Product, StepRoot, canonical
from vetset.ledger.sink import Sink
from vetset.ledger.verification import Kept, problems_of

RUN_TOML = "run.toml"
LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a shard's step is not done: a code, the place in the code, and a detail free of row values."""

    attempt: int
    trouble: str
    place: str
    detail: str


class Ledger:
    """What a run's folder says was done. Cheap to make; a worker has its own."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.root = root
        self.sink = Sink(root, disk, in_run=True)

    @cached_property
    def run_digest(self) -> str:
        """SHA-256 of run.toml in hex. Raises Stop if there is none."""
        data = read_file(self.root / RUN_TOML)
        if data is None:
            raise not_a_run(self.root)
        return hashlib.sha256(data).hexdigest()

    # --- manifests -------------------------------------------------------------------------------------------------

    def commit(self, manifest: Manifest) -> None:
        """Writes a step's manifest, which must be the step's last product."""
        self._put_unless_same(f"manifests/{manifest.step}/{manifest.shard}.json", manifest.to_bytes())

    def done(self, step: str, shard_id: str) -> Manifest | None:
        """The manifest of a step that is done; None also if one of its products in the run is gone or cut.

        Raises Stop if the manifest is damaged.
        """
        manifest = self._manifest(step, shard_id)
        if manifest is None or not all(map(self._stands, manifest.products.values())):
            return None
        return manifest

    def manifests(self, step: str) -> Iterator[Manifest]:
        """All manifests of a step, by shard id."""
        for shard_id in self._shards(f"manifests/{step}"):
            manifest = self._manifest(step, shard_id)
            if manifest is not None:
                yield manifest

    def write_root(self, step: str, shard_ids: Iterable[str]) -> str:
        """Writes the root over these shards' manifests and answers its digest. Raises Stop if one is missing."""
        pairs = tuple((shard_id, self._must_have(step, shard_id).digest) for shard_id in sorted(shard_ids))
        root = StepRoot(step=step, run=self.run_digest, shards=pairs)
        self._put_unless_same(f"manifests/{step}.root.json", root.to_bytes())
        return root.digest

    def verify(self, cleaned: Path | None = None, kept: Kept | None = None) -> list[str]:
        """Whatever does not hold any more, in words; with `cleaned`, the files of the cleaned dataset as well.

        `kept` answers the files of a cleaned folder by the shard's id; without it, those are not looked at.
        """
        failed = {step: set(self.failures(step)) for step in self.steps()}
        return list(problems_of(self.root, self.run_digest, failed, cleaned, kept))

    def steps(self) -> list[str]:
        """The steps of which any manifest is there."""
        folder = self.root / "manifests"
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def _shards(self, folder: str) -> list[str]:
        return sorted(path.name.removesuffix(".json") for path in (self.root / folder).glob("*.json"))

    def _manifest(self, step: str, shard_id: str) -> Manifest | None:
        name = f"manifests/{step}/{shard_id}.json"
        data = read_file(self.root / name)
        return None if data is None else Manifest.from_bytes(data, name)

    def _must_have(self, step: str, shard_id: str) -> Manifest:
        manifest = self._manifest(step, shard_id)
        if manifest is None:
            raise Stop(f"the manifest of {step} for {shard_id} is missing", hint="run again with --resume")
        return manifest

    def _stands(self, product: Product) -> bool:
        path = self.root / product.name
        return not product.in_run or (path.is_file() and path.stat().st_size == product.bytes)

    def _put_unless_same(self, name: str, data: bytes) -> None:
        if read_file(self.root / name) != data:
            self.sink.put(name, data)

    # --- beside the manifests --------------------------------------------------------------------------------------

    def note(self, step: str, shard_id: str, values: Mapping[str, Any]) -> None:
        """Keeps what is no part of the result: timings, worker counts, digests of vault files."""
        self.sink.put(f"sidecar/{step}/{shard_id}.json", canonical(values))

    def noted(self, step: str, shard_id: str) -> dict[str, Any]:
        """What was noted; nothing if nothing was."""
        return self._sidecar(f"sidecar/{step}/{shard_id}.json") or {}

    def record_failure(self, step: str, shard_id: str, attempt: int, trouble: str, place: str, detail: str) -> None:
        failure = Failure(attempt, trouble, place, detail)
        self.sink.put(_failure_name(step, shard_id), canonical(asdict(failure)))

    def clear_failure(self, step: str, shard_id: str) -> None:
        self.sink.remove(_failure_name(step, shard_id))

    def failures(self, step: str) -> dict[str, Failure]:
        """Shards whose step failed and was not done since, by shard id."""
        found = {}
        for shard_id in self._shards(f"sidecar/failures/{step}"):
            name = _failure_name(step, shard_id)
            try:
                found[shard_id] = Failure(**(self._sidecar(name) or {}))
            except TypeError:
                _sidecar_damaged(name)
        return found

    def failed_steps(self) -> list[str]:
        """The steps at which some shard failed and was not done since."""
        folder = self.root / "sidecar/failures"
        found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return [step for step in found if self._shards(f"sidecar/failures/{step}")]

    def _sidecar(self, name: str) -> dict[str, Any] | None:
        data = read_file(self.root / name)
        try:
            tree = None if data is None else json.loads(data)
        except (ValueError, RecursionError):
            _sidecar_damaged(name)
        if tree is not None and not isinstance(tree, dict):
            _sidecar_damaged(name)
        return tree

    # --- one at a time ---------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run against every other coordinator. The system lets go of it when the process dies."""
        fd = self._lock_file()
        try:
            self._take_lock(fd)
            yield
        finally:
            os.close(fd)

    def _take_lock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "wait for it to end, or stop it"
            raise Stop(f"another vetset is at work in {self.root}", hint=hint) from None
        except OSError as error:
            raise Stop(f"cannot lock {self.root}: {error.strerror}", hint="use a file system with locks") from None

    def _lock_file(self) -> int:
        """The lock's file, made if a copy of the run came without it; never replaced, or two could hold it."""
        path, disk = self.root / LOCK, self.sink.disk
        try:
            if not os.path.lexists(path):
                disk.close(disk.create(path, name=LOCK), name=LOCK)
        except SinkError as error:
            if error.error_number != errno.EEXIST:
                raise
        try:
            # For writing too, since network file systems lend an exclusive lock for nothing less (flock(2)).
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise Stop(f"cannot lock {self.root}: {error.strerror}", hint="check its permissions") from None


def not_a_run(root: Path) -> Stop:
    return Stop(f"{root} is not a run: it has no {RUN_TOML}", hint="name the folder that was given as --out")


def _failure_name(step: str, shard_id: str) -> str:
    return f"sidecar/failures/{step}/{shard_id}.json"


def _sidecar_damaged(name: str) -> NoReturn:
    raise Stop(f"{name} is damaged", hint="delete that file: no result rests on it") from None


def read_file(path: Path) -> bytes | None:
    """A file's bytes, None if it is not there. Raises Stop if it cannot be read."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Stop(f"cannot read {path}: {error.strerror}", hint="check its permissions and the device") from None
