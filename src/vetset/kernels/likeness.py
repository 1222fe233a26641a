"""When two findings are of one picture, and what names a fingerprint without holding it.

A finding is of the picture whose digests it holds: those made of the bytes in hand, and those that its row records,
unless the bytes in hand are known to be others. Only where there is no digest does the address stand for the picture:
what a link serves may change, a digest cannot.
"""

from __future__ import annotations

import hashlib

from vetset.kernels.digest import EMPTY_DIGESTS
from vetset.records import Address, Sealed


def print_name_of(kind: str, fingerprint: Sealed[bytes], key: bytes) -> str:
    """128 bits in hex that name a fingerprint within a run."""
    return _named(b"print", kind.encode(), fingerprint.unseal(), key)


def likenesses(address: Sealed[Address], key: bytes) -> frozenset[str]:
    """Names, within a run, of what makes findings one picture: two that share a name are of one."""
    row = address.unseal()
    contradicted = any(row.computed.get(signal, digest) != digest for signal, digest in row.digests.items())
    digests = {*row.computed.items(), *(() if contradicted else row.digests.items())}
    names = {_named(b"digest", signal.value.encode(), digest, key) for signal, digest in digests - _nothing(digests)}
    if not names and row.url:
        return frozenset({_named(b"url", b"", row.url, key)})
    return frozenset(names)


def _nothing(digests: set[tuple[object, bytes]]) -> set[tuple[object, bytes]]:
    return {(signal, digest) for signal, digest in digests if digest in EMPTY_DIGESTS}


def url_of(address: Sealed[Address]) -> Sealed[bytes] | None:
    """The address at which a finding's picture was recorded; none where it is empty or blank."""
    url = address.unseal().url
    return Sealed(url) if url and url.strip() else None


def _named(what: bytes, kind: bytes, value: bytes, key: bytes) -> str:
    return hashlib.blake2b(b"\x00".join((what, kind, value)), key=key, digest_size=16).hexdigest()
