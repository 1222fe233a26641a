"""Whether a ledger still holds: every manifest against itself, its chain, its products and its step's root.

In it: the checks, each a generator of problems in words. Not in it: any repair.
Rules: nothing is taken on trust but run.toml's own digest; a problem names files, never what is in them. Manifests
taken away from the end of every chain together with their roots leave no trace here: that takes a copy of a root's
digest kept elsewhere (threats O4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from vetset.errors import ShardError, Stop
from vetset.ledger.manifest import FOLDER, Manifest, Product, StepRoot, folder_product
from vetset.ledger.sink import PARTIAL

ROOT_SUFFIX = ".root.json"

#: Answers the files of a cleaned folder by the shard's id. Raises ShardError where they cannot be told.
Kept = Callable[[str], Sequence[Product]]


def problems_of(
    root: Path,
    run_digest: str,
    failed: Mapping[str, set[str]],
    cleaned: Path | None = None,
    kept: Kept | None = None,
) -> Iterator[str]:
    """Problems of the run at `root`. `failed` names shards by step that a root rightly leaves out."""
    found: dict[str, Manifest] = {}
    folder = root / "manifests"
    for path in sorted(path for path in folder.glob("*/*") if path.suffix != PARTIAL):
        name = path.relative_to(root).as_posix()
        try:
            manifest = Manifest.from_bytes(path.read_bytes(), name)
        except (Stop, OSError) as error:
            yield error.message if isinstance(error, Stop) else f"{name} cannot be read"
            continue
        found[name] = manifest
        yield from _own_problems(name, manifest, run_digest)
        yield from _product_problems(root, name, manifest, cleaned, kept)
    yield from _chain_problems(found, run_digest)
    for path in sorted(folder.glob(f"*{ROOT_SUFFIX}")):
        yield from _root_problems(path, found, run_digest, failed)


def _own_problems(name: str, manifest: Manifest, run_digest: str) -> Iterator[str]:
    if name != f"manifests/{manifest.step}/{manifest.shard}.json":
        yield f"{name} is the manifest of another step or shard"
    if manifest.run != run_digest:
        yield f"{name} belongs to another run, or run.toml was changed"


def _product_problems(
    root: Path, name: str, manifest: Manifest, cleaned: Path | None, kept: Kept | None
) -> Iterator[str]:
    for role, product in manifest.products.items():
        place = root if product.in_run else cleaned
        if role == FOLDER:
            whole = place is None or kept is None or _folder_is_whole(place, product, manifest.shard, kept)
        else:
            whole = place is None or _is_whole(place / product.name, product)
        if not whole:
            yield f"{name}: its product {product.name} is missing or changed"


def _folder_is_whole(place: Path, product: Product, shard_id: str, kept: Kept) -> bool:
    try:
        files = kept(shard_id)
    except ShardError:
        return False
    same = folder_product(product.name, files) == product
    return same and all(_is_whole(place / file.name, file) for file in files)


def _is_whole(path: Path, product: Product) -> bool:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest == product.sha256 and path.stat().st_size == product.bytes
    except OSError:
        return False


def _chain_problems(found: Mapping[str, Manifest], run_digest: str) -> Iterator[str]:
    """Each manifest rests on run.toml or on a manifest of the same shard; digests leave no room for a circle."""
    known = {(manifest.shard, manifest.digest) for manifest in found.values()}
    for name, manifest in found.items():
        if manifest.previous != run_digest and (manifest.shard, manifest.previous) not in known:
            yield f"{name} rests on a step that is missing, changed, or was done anew since"


def _root_problems(
    path: Path, found: Mapping[str, Manifest], run_digest: str, failed: Mapping[str, set[str]]
) -> Iterator[str]:
    name = f"manifests/{path.name}"
    try:
        root = StepRoot.from_bytes(path.read_bytes(), name)
    except (Stop, OSError) as error:
        yield error.message if isinstance(error, Stop) else f"{name} cannot be read"
        return
    if path.name != root.step + ROOT_SUFFIX or root.run != run_digest:
        yield f"{name} is the root of another step or run"
    listed = dict(root.shards)
    there = {manifest.shard: manifest.digest for manifest in found.values() if manifest.step == root.step}
    for shard in sorted(listed.keys() | there.keys()):
        left_out = shard not in listed and shard in failed.get(root.step, set())
        if listed.get(shard) != there.get(shard) and not left_out:
            yield f"{name} does not agree with the manifest of {shard}"
