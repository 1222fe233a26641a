"""The edge to the age library: texts and bytes in, bytes out, three errors of our own.

In it: encryption, decryption, the reading of recipients and identities. Not in it: files, and whose the keys are.
Rules: keys cross this edge as text (age-encryption.org/v1: `age1…`, `AGE-SECRET-KEY-1…`) and no error repeats one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import pyrage
from pyrage import tag, tagpq, x25519


class NotAKey(ValueError):  # noqa: N818 - says what the text is
    """A text is no recipient, or no identity."""


class NoIdentityFits(Exception):  # noqa: N818 - says what is the case
    """None of the identities opens the file, as far as its head tells."""


class Damaged(Exception):  # noqa: N818 - says what the file is
    """The file is no age file, or was changed or cut."""


def new_identity() -> str:
    """A fresh X25519 identity."""
    return str(x25519.Identity.generate())


def recipient_of(identity: str) -> str:
    """The recipient that belongs to an identity. Raises NotAKey."""
    return str(_identity(identity).to_public())


def check_recipient(text: str) -> None:
    """Raises NotAKey for what nothing can be sealed to."""
    _recipient(text)


def encrypt(data: bytes, recipients: Iterable[str]) -> bytes:
    """An age file that each of the recipients opens. Raises NotAKey."""
    sealed: bytes = pyrage.encrypt(data, [_recipient(text) for text in recipients])
    return sealed


def decrypt(data: bytes, identities: Sequence[str]) -> bytes:
    """What is in an age file. Raises NoIdentityFits, Damaged, NotAKey."""
    openers = [_identity(text) for text in identities]
    try:
        opened: bytes = pyrage.decrypt(data, openers)
    except pyrage.DecryptError as error:
        # The library tells the two apart by its words only.
        kind = NoIdentityFits if "No matching keys" in str(error) else Damaged
        raise kind from None
    except OSError:
        raise Damaged from None
    return opened


def _identity(text: str) -> Any:
    try:
        return x25519.Identity.from_str(text)
    except pyrage.IdentityError:
        raise NotAKey from None


def _recipient(text: str) -> Any:
    """X25519, or one of the tagged kinds that hardware keys use."""
    for kind in (x25519.Recipient, tag.Recipient, tagpq.Recipient):
        with contextlib.suppress(pyrage.RecipientError):
            return kind.from_str(text)
    raise NotAKey
