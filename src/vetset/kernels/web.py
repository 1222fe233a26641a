"""Addresses as something to be asked of the web: which ones are usable, their hosts, and the requests made of them.

In it: the one spelling in which an address is asked (`web_of`), keyed hashes of spellings and hosts, requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import ada_url
import numpy as np
import numpy.typing as npt

from vetset.kernels.bearing import keyed_hash_of, keyed_hashes
from vetset.kernels.digest import blobs
from vetset.kernels.url import SETTLED
from vetset.records import DIGEST_COLUMNS, Address, Column, Request, Sealed, SealedBatch

U64 = npt.NDArray[np.uint64]
F64 = npt.NDArray[np.float64]

_SCHEMES = frozenset({"http:", "https:"})
#: Addresses that are their own normal form need no parser, which takes forty times as long.
_PLAIN = re.compile(SETTLED.replace(r"\z", r"\Z").encode("ascii"))


def web_of(value: bytes) -> tuple[str, str] | None:
    """The spelling in which an address is asked, and its host; None for what is no address of the web.

    It is the WHATWG normal form less what is never sent: user, password, fragment.
    """
    if _PLAIN.match(value):
        text = value.decode("ascii")
        return text, text.split("/", 3)[2]
    try:
        url = ada_url.URL(value.decode("utf-8"))
    except ValueError:  # UnicodeDecodeError is one of these
        return None
    if url.protocol not in _SCHEMES or not url.hostname:
        return None
    url.username = url.password = url.hash = ""
    return str(url.href), str(url.hostname)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class WebMarks:
    """Keyed hashes of a batch's rows, 0 where there is none: the raw URL, the spelling asked, the host, a digest.

    The digest is the first that the row records. `score` is NaN where the row has none.
    """

    raw: U64
    asked: U64
    host: U64
    digest: U64
    score: F64


def web_marks(batch: SealedBatch, key: bytes) -> WebMarks:
    """The marks of a batch's rows."""
    asked, host = np.zeros(batch.rows, np.uint64), np.zeros(batch.rows, np.uint64)
    if Column.URL not in batch.columns:
        raw = np.zeros(batch.rows, np.uint64)
    else:
        raw = keyed_hashes(batch, Column.URL, key)
        _mark_addresses(batch, key, asked, host)
    digest = np.zeros(batch.rows, np.uint64)
    for column in DIGEST_COLUMNS:
        if column in batch.columns:
            digest = np.where(digest == 0, keyed_hashes(batch, column, key), digest)
    return WebMarks(raw, asked, host, digest, _scores(batch))


def _mark_addresses(batch: SealedBatch, key: bytes, asked: U64, host: U64) -> None:
    hosts: dict[str, int] = {}
    for row, value in enumerate(blobs(batch, Column.URL)):
        web = web_of(value) if value else None
        if web is not None:
            asked[row] = keyed_hash_of(web[0].encode("utf-8"), key)
            if web[1] not in hosts:
                hosts[web[1]] = keyed_hash_of(web[1].encode("utf-8"), key)
            host[row] = hosts[web[1]]


def _scores(batch: SealedBatch) -> F64:
    if Column.PUNSAFE not in batch.columns:
        return np.full(batch.rows, np.nan)
    values = batch.unseal().column(Column.PUNSAFE.value).to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float64)


def web_hashes_of(address: Sealed[Address], key: bytes) -> tuple[int, int]:
    """The keyed hashes of a finding's address as it would be asked, and of its host; zeros where it is none."""
    url = address.unseal().url
    web = web_of(url) if url else None
    if web is None:
        return 0, 0
    return keyed_hash_of(web[0].encode("utf-8"), key), keyed_hash_of(web[1].encode("utf-8"), key)


def same_web(one: Sealed[Address], other: Sealed[Address]) -> bool:
    """Whether two rows' addresses are asked in the same spelling."""
    urls = one.unseal().url, other.unseal().url
    spelled = [web_of(url) if url else None for url in urls]
    return spelled[0] is not None and spelled[0] == spelled[1]


def requests_of(addresses: Iterable[tuple[int, Sealed[Address]]]) -> Iterator[Request]:
    """A request for each numbered address that is one of the web."""
    for number, address in addresses:
        url = address.unseal().url
        web = web_of(url) if url else None
        if web is not None:
            yield Request(number, Sealed(web[0]))


def body_bytes(bodies: Sequence[Sealed[bytes]]) -> int:
    """How many bytes some bodies take; a length is no secret."""
    return sum(len(body.unseal()) for body in bodies)
