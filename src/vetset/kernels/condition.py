"""The conditions of a policy, as masks over the rows of a batch."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from vetset.kernels.digest import blobs
from vetset.kernels.url import host_of
from vetset.records import Column, SealedBatch

Mask = npt.NDArray[np.bool_]


def above(batch: SealedBatch, column: Column, limit: float) -> Mask:
    """Rows whose number lies above the limit; null and NaN do not."""
    values = batch.unseal().column(column.value)
    mask: Mask = pc.fill_null(pc.greater(values, limit), False).to_numpy(zero_copy_only=False)
    return mask


def one_of(batch: SealedBatch, column: Column, words: frozenset[str]) -> Mask:
    """Rows whose text is one of the words, case aside (space around it ignored)."""
    wanted = {word.strip().casefold() for word in words}
    return np.fromiter(
        (
            value is not None and value.decode("utf-8", "replace").strip().casefold() in wanted
            for value in blobs(batch, column)
        ),
        np.bool_,
        batch.rows,
    )


def word_pattern(words: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds any of the words or phrases as whole words, case aside; without words it finds nothing."""
    folded = (re.escape(word.casefold()) for word in words if word.strip())
    alternatives = "|".join(sorted(folded, key=lambda word: (-len(word), word)))
    return re.compile(rf"(?<!\w)(?:{alternatives or '(?!)'})(?!\w)")


def with_words(batch: SealedBatch, column: Column, pattern: re.Pattern[str]) -> Mask:
    """Rows whose text holds one of the words of `word_pattern`."""
    return np.fromiter(
        (
            value is not None and pattern.search(value.decode("utf-8", "replace").casefold()) is not None
            for value in blobs(batch, column)
        ),
        np.bool_,
        batch.rows,
    )


def on_hosts(batch: SealedBatch, hosts: frozenset[str]) -> Mask:
    """Rows whose URL lies on one of the hosts or below it (`example.org` covers `img.example.org`).

    Hosts may be given in any spelling that the WHATWG rules know: case, trailing dot, non-ASCII labels, bare IPv6.
    """
    known = frozenset(_plain_host(host) for host in hosts)
    return np.fromiter(
        (value is not None and _covered(host_of(value), known) for value in blobs(batch, Column.URL)),
        np.bool_,
        batch.rows,
    )


def _plain_host(host: str) -> str:
    name = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
    whole = not set("/?#@\\") & set(name)  # what is no host must not be cut down to one
    return ((whole and host_of(f"http://{name}/".encode())) or host.casefold()).rstrip(".")


def _covered(host: str | None, hosts: frozenset[str]) -> bool:
    if host is None:
        return False
    labels = host.rstrip(".").split(".")
    return any(".".join(labels[start:]) in hosts for start in range(len(labels)))
