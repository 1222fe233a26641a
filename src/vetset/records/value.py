"""Signals, forms and columns by name, and `Sealed`, which keeps a sensitive value from being seen by accident.

In it: the names that the field uses, and what a sealed value refuses. Not in it: rows, findings.
Rules: a fingerprint is `bytes`, hex exists at the edges only; what could lead to material is sealed when it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, NoReturn, TypeVar

import pyarrow as pa

T = TypeVar("T")


class Signal(StrEnum):
    """Kinds of value a list may hold, by the names the field uses."""

    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"
    URL = "url"
    URL_MD5 = "url_md5"
    URL_SHA1 = "url_sha1"
    URL_SHA256 = "url_sha256"
    PDQ = "pdq"
    PHOTODNA = "photodna"


#: Bytes in a key of each signal. A raw `url` entry is kept as the SHA-256 of its form.
WIDTH_BYTES: Mapping[Signal, int] = {
    Signal.MD5: 16,
    Signal.SHA1: 20,
    Signal.SHA256: 32,
    Signal.URL: 32,
    Signal.URL_MD5: 16,
    Signal.URL_SHA1: 20,
    Signal.URL_SHA256: 32,
    Signal.PDQ: 32,
    Signal.PHOTODNA: 144,
}

#: The digest that turns a form of a URL into a key of the signal.
URL_ALGORITHM: Mapping[Signal, str] = {
    Signal.URL: "sha256",
    Signal.URL_MD5: "md5",
    Signal.URL_SHA1: "sha1",
    Signal.URL_SHA256: "sha256",
}


class UrlForm(StrEnum):
    """The spellings of an address under which it is compared; defined in `kernels`."""

    RAW = "raw"
    TX = "tx"
    WHATWG = "whatwg"


class Column(StrEnum):
    """Columns vetset knows, by its own names; adapters map a dataset's spellings to these."""

    URL = "url"
    TEXT = "text"
    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"
    HASH = "hash"
    NSFW = "nsfw"
    PUNSAFE = "punsafe"


#: Columns that hold a recorded digest of the picture's bytes, and the signal each is compared as.
DIGEST_COLUMNS: Mapping[Column, Signal] = {
    Column.MD5: Signal.MD5,
    Column.SHA1: Signal.SHA1,
    Column.SHA256: Signal.SHA256,
}


class Sealed(Generic[T]):
    """A value that cannot be printed, formatted, compared or pickled. `unseal` is called in kernels, vault, writers."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def unseal(self) -> T:
        return self._value

    def __repr__(self) -> str:
        return "<sealed>"

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError("a sealed value cannot be formatted, compared, hashed or pickled")

    def __format__(self, spec: str) -> NoReturn:
        self._refuse()

    def __eq__(self, other: object) -> NoReturn:
        self._refuse()

    def __hash__(self) -> NoReturn:  # noqa: PLE0309
        self._refuse()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self._refuse()


class SealedBatch(Sealed[pa.RecordBatch]):
    """Columns of rows, sealed. Its number of rows and the names of its columns are no secret."""

    __slots__ = ()

    @property
    def rows(self) -> int:
        return int(self._value.num_rows)

    @property
    def columns(self) -> frozenset[Column]:
        return frozenset(Column(name) for name in self._value.schema.names)
