"""The step `clean` on one shard: its files written into the cleaned dataset, as they are or less what goes.

In it: which rows go, from the vault and the policy, and the writing. Not in it: how a format is written (datasets).
Rules: a file that is not what was screened is not cleaned; nothing pending delays a removal; each file is a product,
but for the files of a folder, which are one: what is missing among their names would be what was removed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from vetset.errors import ShardError, Trouble
from vetset.ledger import FOLDER, Manifest, Product, ProductStream, Sink, folder_product, pieces_of
from vetset.pipeline.releasing import released_rows, step_of, was_asked
from vetset.pipeline.room import (
    I64,
    Made,
    Room,
    balance,
    distinct,
    held_rows,
    matches,
    needed,
    rows_of,
)
from vetset.pipeline.source import digest_of_all, digest_of_files, is_unchanged
from vetset.records import Shard, Task
from vetset.stages import clean, screen
from vetset.vault import Vault

#: The mark in a cleaned dataset that is not whole.
INCOMPLETE = "INCOMPLETE"


def incomplete_text(run_digest: str) -> bytes:
    """What the mark says: whose it is too, since another run's dataset is not to be gone on with."""
    return f"""This cleaned dataset is not whole: some shards are not in it yet. Do not use it or hand it on.
Finish the run with `vetset audit ... --resume`; this file then goes away by itself.
run {run_digest}
""".encode("ascii")


#: The name under which a manifest of `clean` names the shard's file in the cleaned dataset.
CLEANED = "cleaned"

_MOST_OPEN = 16  # files of a shard that are written side by side


def clean_shard(room: Room, task: Task) -> Made:
    """Writes the shard's file of the cleaned dataset: a copy where nothing goes, else the shard less its rows."""
    shard, cleaned = task.shard, room.cleaned
    if cleaned is None:
        raise ShardError(Trouble.INTERNAL, "no folder to clean into")
    screened = needed(room.ledger, "screen", shard)
    result = clean.clean(
        screened.rows, **_removals(room, task), settings=clean.CleanSettings(room.settings.remove_held)
    )
    balance(result.tally, screened.rows)
    if not len(result.onward):
        products = _copied(room, cleaned, shard, screened.materials["source"])
    elif is_unchanged(room, shard, screened.materials["source"]):
        products = _write_cleaned(room, cleaned, shard, result.onward)
    else:
        raise _changed()
    noted = {"vault": room.vault.seal_hits("clean", shard, (), result.tally)}
    if all(product.name != shard.path for product in products):  # the shard is a folder
        own = [product for product in products if product.name not in shard.companions]
        noted["kept"] = room.vault.seal("kept", shard.id, map(_kept_line, own))
        beside = _named(product for product in products if product.name in shard.companions)
        named = {FOLDER: folder_product(shard.path, own), **beside}
    else:
        named = _named(products)
    room.ledger.note("clean", shard.id, noted)
    return Made(screened.rows, {"cleaned": screened.rows}, {"source": screened.materials["source"]}, named)


# --- what a manifest does not name ---------------------------------------------------------------------------------


def kept_files(vault: Vault, shard_id: str) -> list[Product]:
    """The files of a cleaned folder, as they were written. Raises ShardError if what tells them is damaged or gone."""
    return [_kept_from(line) for line in vault.lines("kept", shard_id)]


def _kept_line(product: Product) -> dict[str, object]:
    return {"name": product.name, "sha256": product.sha256, "bytes": product.bytes}


def _kept_from(line: Mapping[str, Any]) -> Product:
    try:
        return Product(str(line["name"]), str(line["sha256"]), int(line["bytes"]), in_run=False)
    except (KeyError, TypeError, ValueError):
        raise ShardError(Trouble.VAULT, "what tells the files of a cleaned folder is damaged") from None


def cleaned_stands(cleaned: Sink, vault: Vault, manifest: Manifest) -> bool:
    """Whether all files that a manifest of `clean` stands for are there, by name and size."""
    files: list[Product] = []
    for role, product in manifest.products.items():
        if role != FOLDER:
            files.append(product)
            continue
        try:
            own = kept_files(vault, manifest.shard)
        except ShardError:  # gone or damaged: the folder is cleaned anew
            return False
        if folder_product(product.name, own) != product:
            return False
        files += own
    return all(_stands(cleaned, file) for file in files)


def _stands(cleaned: Sink, product: Product) -> bool:
    path = cleaned.root / product.name
    return path.is_file() and path.stat().st_size == product.bytes


def _removals(room: Room, task: Task) -> dict[str, I64]:
    found = distinct(room.vault.rows("screen", task.shard))
    held = np.zeros(0, np.int64)
    if step_of(task.basis) == "expand":
        held = held_rows(room.vault, task.shard)
        near = np.setdiff1d(rows_of(matches(room, task.shard)), held)
        found = np.union1d(found, distinct(room.vault.rows("expand", task.shard)))
        found = np.union1d(found, near).astype(np.int64)
    if was_asked(task.basis):
        found = np.setdiff1d(found, distinct(released_rows(room.vault, task.shard)))
    return {"found": found, "held": held, "by_policy": _policy_rows(room, task.shard)}


def _policy_rows(room: Room, shard: Shard) -> I64:
    """Recomputed from the columns, since policy is no secret and is never sealed."""
    columns = frozenset(column for rule in room.settings.rules for column in screen.rule_columns(rule))
    pieces = [np.zeros(0, np.int64)]
    if columns:
        for batch in room.dataset.batches(shard, columns):
            mask = screen.policy_rows(batch.values, room.settings.rules)
            pieces.append(np.flatnonzero(mask) + batch.first_row)
    return np.concatenate(pieces)


def _changed() -> ShardError:
    return ShardError(Trouble.SOURCE_CHANGED, "the shard's file is not what was screened; audit it anew")


def _copied(room: Room, cleaned: Sink, shard: Shard, source: str) -> list[Product]:
    """Every file of the shard as it is, read once: it becomes a product only if it is what was screened."""
    names = room.dataset.files(shard)
    if len(names) > _MOST_OPEN:
        if digest_of_files(room, shard) != source:
            raise _changed()
        return [cleaned.copy(name, room.root / name) for name in names]
    with contextlib.ExitStack() as open_products:
        streams = [open_products.enter_context(cleaned.product(name)) for name in names]
        for name, stream in zip(names, streams, strict=True):
            for piece in pieces_of(room.root / name):
                stream.write(piece)
        if digest_of_all(names, [stream.product.sha256 for stream in streams]) != source:
            raise _changed()
    return [stream.product for stream in streams]


def _write_cleaned(room: Room, cleaned: Sink, shard: Shard, removed: I64) -> list[Product]:
    """Every file of the shard less what belongs to the rows removed."""
    written: list[ProductStream] = []

    @contextlib.contextmanager
    def product(name: str) -> Iterator[ProductStream]:
        with cleaned.product(name) as stream:
            yield stream
        written.append(stream)

    room.dataset.write_without(shard, removed, product)
    products = [stream.product for stream in written]
    # An earlier cleaning may have kept what goes now; of a folder that would be a file that nothing overwrites.
    for name in set(room.dataset.files(shard)).difference(product.name for product in products):
        cleaned.remove(name)
    return products


def _named(products: Iterable[Product]) -> dict[str, Product]:
    """The shard's own file as `cleaned`, those beside it as `cleaned 1`, `cleaned 2`, ..."""
    return {f"{CLEANED} {number}" if number else CLEANED: product for number, product in enumerate(products)}
