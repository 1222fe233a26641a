"""Compiling: what was gathered becomes the payload of a list, in memory that no disk backs.

In it: distinct keys in order, their prefilter, and the entries, written as `layout` says. Not in it: sealing, files.
Rules: the same values, entries and `About` give the same bytes, whatever the order and the number of sources; a list
without a single value is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vetset import kernels
from vetset.errors import Stop
from vetset.hashlists import entries
from vetset.hashlists.gathering import Gathered, Keys, Slot
from vetset.hashlists.layout import ALIGNMENT_BYTES, About, Layout, Shape
from vetset.records import WIDTH_BYTES, UrlForm

Array = npt.NDArray[Any]


def payload_of(gathered: Gathered, about: About) -> int:
    """The payload as a descriptor of anonymous memory, to be closed by the caller. Takes the keys out of `gathered`.

    Raises Stop for metadata that cannot stand and for a list that would be empty.
    """
    check_about(about)
    if not gathered.keys:
        faults = sum(sum(account.faults.values()) for account in gathered.accounts)
        raise Stop(
            f"nothing to compile: no valid value in {len(gathered.accounts)} source(s), {faults:,} fault(s)",
            hint="check --signal, --map and --format against what the source holds",
        )
    shapes: list[Shape] = []
    arrays: list[Array] = []
    said: list[pa.Table] = []
    for slot in sorted(gathered.keys, key=_order):
        forms = gathered.forms_of(slot)
        shape = _compile_slot(slot, forms, gathered.keys.pop(slot), arrays, said)
        shapes.append(shape)
    stream = entries.encoded(said)
    layout = Layout(about, tuple(shapes), stream.size if stream else 0)
    said_bytes = np.frombuffer(stream or b"", np.uint8)
    return _written(layout.header(), [*arrays, said_bytes])


def check_about(about: About) -> None:
    """Raises Stop for metadata that cannot stand; worth asking before a large source is read."""
    if about.fault():
        raise Stop(about.fault(), hint="see `vetset lists compile --help`")


def _order(slot: Slot) -> tuple[str, str]:
    signal, form = slot
    return signal.value, form.value if form else ""


def _compile_slot(slot: Slot, forms: Iterable[UrlForm], keys: Keys, arrays: list[Array], said: list[pa.Table]) -> Shape:
    """Appends the table's arrays and what is said of its keys; answers its measures."""
    signal, _ = slot
    came = np.frombuffer(keys.joined, np.uint8).reshape(-1, WIDTH_BYTES[signal])
    distinct, positions = kernels.sorted_keys(came)
    heads = kernels.heads_of(distinct).astype("<u8", copy=False)
    words = kernels.filter_words(distinct).astype("<u8", copy=False)
    arrays += [heads, np.ascontiguousarray(distinct[:, 8:]), words]
    lines = 0
    if keys.places:
        said.append(entries.table_of(keys, positions))
        lines = said[-1].num_rows
    return Shape(signal, tuple(sorted(forms)), len(distinct), len(words), lines)


def _written(header: bytes, arrays: Sequence[Array]) -> int:
    """Header and arrays in memory, every array on its boundary."""
    memory = os.memfd_create("vetset-list", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(memory, "wb", closefd=False) as out:
        out.write(header)
        for array in arrays:
            out.seek(-out.tell() % ALIGNMENT_BYTES, os.SEEK_CUR)
            out.write(array.data.cast("B"))
        out.truncate()  # without entries the padding before them still counts
    return memory
