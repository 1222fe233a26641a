"""Manifests and roots: what is said of a step once it is done, and the exact bytes in which it is said.

In it: the records, their canonical JSON, their digests, their strict reading. Not in it: files and folders.
Rules: one record has one form of bytes (sorted keys, compact, ASCII, a newline) and carries the SHA-256 of that form
without the digest itself; what differs from its canonical form by one byte is damaged; only tallies that may stand in
clear are in it. The pattern is that of in-toto's links: materials and products, chained (in-toto `models/link.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from vetset.errors import Stop

VERSION = 1

#: The product of a cleaned folder: all its files under one digest, size withheld. Named one by one they would tell, by
#: what is missing, which were removed; their names and digests are sealed.
FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class Product:
    """A file that a step wrote: its name under its root, SHA-256 in hex, size. `in_run`: that root is the run."""

    name: str
    sha256: str
    bytes: int
    in_run: bool = True


def folder_product(name: str, files: Iterable[Product]) -> Product:
    """The files of a folder as one product: SHA-256 over a line of digest and name for each, by name; no size."""
    lines = "".join(f"{file.sha256} {file.name}\n" for file in sorted(files, key=lambda file: file.name))
    return Product(name, hashlib.sha256(lines.encode("utf-8")).hexdigest(), 0, in_run=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a step did with a shard. `run` is the SHA-256 of run.toml, `previous` the digest this one chains to.

    `materials` are digests in hex, or other text that names what the step rested on; `tally` holds clear counts only.
    """

    step: str
    shard: str
    path: str
    attempt: int
    run: str
    previous: str
    materials: Mapping[str, str] = field(default_factory=dict)
    products: Mapping[str, Product] = field(default_factory=dict)
    rows: int = 0
    tally: Mapping[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return _digest_of(self._tree())

    def to_bytes(self) -> bytes:
        return _with_digest(self._tree())

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "") -> Manifest:
        """The manifest in the file `name`. Raises Stop if it is damaged or of a version that is not known."""
        manifest: Manifest = _read(data, f"manifest damaged: {name}", _manifest)
        return manifest

    def _tree(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "step": self.step,
            "shard": self.shard,
            "path": self.path,
            "attempt": self.attempt,
            "run": self.run,
            "previous": self.previous,
            "materials": dict(self.materials),
            "products": {
                role: {"name": item.name, "sha256": item.sha256, "bytes": item.bytes, "in_run": item.in_run}
                for role, item in self.products.items()
            },
            "rows": self.rows,
            "tally": dict(self.tally),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRoot:
    """All manifests of a step under one digest: (shard id, manifest digest), sorted by shard id."""

    step: str
    run: str
    shards: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        return _digest_of(self._tree())

    def to_bytes(self) -> bytes:
        return _with_digest(self._tree())

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "") -> StepRoot:
        """The root in the file `name`. Raises Stop if it is damaged or of a version that is not known."""
        root: StepRoot = _read(data, f"root damaged: {name}", _root)
        return root

    def _tree(self) -> dict[str, Any]:
        return {"version": VERSION, "step": self.step, "run": self.run, "shards": [list(pair) for pair in self.shards]}


def canonical(tree: Mapping[str, Any]) -> bytes:
    """The one form of a record: JSON in ASCII, keys sorted, no spaces, a newline at the end."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def _digest_of(tree: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(tree)).hexdigest()


def _with_digest(tree: Mapping[str, Any]) -> bytes:
    return canonical({**tree, "digest": _digest_of(tree)})


def _read(data: bytes, damaged: str, build: Callable[[dict[str, Any]], Manifest | StepRoot]) -> Any:
    """Builds a record and demands that it writes itself as exactly these bytes, which no unknown key survives."""
    try:
        tree = _dict(json.loads(data))
        record = build(tree) if _int(tree["version"]) == VERSION else None
    except (ValueError, KeyError, TypeError, RecursionError):
        _damaged(damaged)
    if record is None:
        raise Stop(f"{damaged} (its version is not known)", hint="use the version of vetset that made the run")
    if record.to_bytes() != data:
        _damaged(damaged)
    return record


def _damaged(words: str) -> NoReturn:
    raise Stop(words, hint="delete that file and run again with --resume: what it stood for is done anew") from None


def _manifest(tree: Mapping[str, Any]) -> Manifest:
    return Manifest(
        step=_str(tree["step"]),
        shard=_str(tree["shard"]),
        path=_str(tree["path"]),
        attempt=_int(tree["attempt"]),
        run=_str(tree["run"]),
        previous=_str(tree["previous"]),
        materials={name: _str(value) for name, value in _dict(tree["materials"]).items()},
        products={role: _product(item) for role, item in _dict(tree["products"]).items()},
        rows=_int(tree["rows"]),
        tally={name: _int(value) for name, value in _dict(tree["tally"]).items()},
    )


def _product(item: Any) -> Product:
    if not isinstance(item["in_run"], bool):
        raise TypeError
    return Product(_str(item["name"]), _str(item["sha256"]), _int(item["bytes"]), item["in_run"])


def _root(tree: Mapping[str, Any]) -> StepRoot:
    shards = tuple((_str(shard), _str(digest)) for shard, digest in tree["shards"])
    return StepRoot(step=_str(tree["step"]), run=_str(tree["run"]), shards=shards)


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _int(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value
