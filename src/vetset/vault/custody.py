"""Custody: the identities and recipients of those who keep the findings.

In it: making an identity file, the custodian's own, reading identity files, checking recipients. Not in it: a run's own
keys (`keys`), sealing.
Rules: an identity file appears whole or not at all, 0600, and is never written over; a message shows no secret and no
more than the beginning of what was given as a recipient.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from vetset.errors import SinkError, Stop
from vetset.ledger import Disk
from vetset.ledger.disk import is_folder
from vetset.vault import age

CUSTODIAN_KEY = "custodian.key"
SHOWN_CHARACTERS = 12
_MAX_IDENTITY_FILE_BYTES = 1024 * 1024


def custodian(config_folder: Path, create: bool = True) -> tuple[str, Path]:  # noqa: FBT001, FBT002
    """The custodian's own recipient and identity file, made once; processes that race for it agree on one.

    Raises Stop if there is none and none is to be made.
    """
    path = config_folder / CUSTODIAN_KEY
    if not os.path.lexists(path):
        if not create:
            raise Stop("there is no custodian's key yet", hint="make one with `vetset keys new`")
        _write_once(path)
    return age.recipient_of(read_identities([path])[0]), path


def new_identity(path: Path) -> str:
    """Makes an age identity file and answers its recipient. Raises Stop if the file exists or cannot be written."""
    if not _write_once(path):
        raise Stop(f"{path} exists already", hint="name a new file: an identity is never written over")
    return age.recipient_of(read_identities([path])[0])


def identity_text(identity: str, about: str) -> bytes:
    """An identity file as age-keygen writes it."""
    return f"# {about}\n# public key: {age.recipient_of(identity)}\n{identity}\n".encode("ascii")


def _write_once(path: Path) -> bool:
    """Writes a fresh identity unless the name is taken; answers whether this process was the one."""
    disk = Disk()
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        _make_folders(disk, path.parent)
        fd = disk.create(partial, 0o600)
        try:
            disk.write(fd, identity_text(age.new_identity(), "vetset: opens sealed findings; keep it to yourself"))
            disk.sync(fd)
        finally:
            disk.close(fd)
        return _linked(disk, partial, path)
    except SinkError as error:
        words = os.strerror(error.error_number)
        raise Stop(f"cannot write the key {path}: {words}", hint="name a folder that can be written") from None
    finally:
        with contextlib.suppress(SinkError):  # not there, if it was never made
            disk.unlink(partial)


def _make_folders(disk: Disk, folder: Path) -> None:
    if not is_folder(folder):
        _make_folders(disk, folder.parent)
        disk.make_folder(folder, 0o700)


def _linked(disk: Disk, partial: Path, path: Path) -> bool:
    # A link, since it fails where the name is taken; a rename would put one racer's key in the other's place.
    try:
        disk.link(partial, path)
    except SinkError as error:
        if error.error_number == errno.EEXIST:
            return False
        raise
    disk.sync_folder(path.parent)
    return True


def read_identities(paths: Iterable[Path]) -> list[str]:
    """The identities in age identity files (one a line; `#` and blank lines aside), each once, in order.

    Raises Stop with the file and line of what is none.
    """
    found: dict[str, None] = {}
    for path in paths:
        lines = _identity_lines(path)
        if not lines:
            raise Stop(f"{path} holds no identity", hint="an age identity is a line AGE-SECRET-KEY-1…")
        found.update(dict.fromkeys(lines))
    return list(found)


def _identity_lines(path: Path) -> list[str]:
    found = []
    for number, line in enumerate(_text_of(path).splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            age.recipient_of(text)
        except age.NotAKey:
            hint = "an age identity is a line AGE-SECRET-KEY-1…; plugins and files with a passphrase are not supported"
            raise Stop(f"{path}, line {number}: no age identity", hint=hint) from None
        found.append(text)
    return found


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_IDENTITY_FILE_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise Stop(
            f"cannot read the identity file {path}: {error.strerror}", hint="check path and permissions"
        ) from None


def check_recipients(recipients: Sequence[str]) -> tuple[str, ...]:
    """The recipients, each once, in order. Raises Stop with the position of the first that is none."""
    for position, text in enumerate(recipients, start=1):
        try:
            age.check_recipient(text)
        except age.NotAKey:
            raise Stop(f"recipient {position} ({_shown(text)}) is none that age knows", hint=_hint(text)) from None
    return tuple(dict.fromkeys(recipients))


def _shown(text: str) -> str:
    safe = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text[:SHOWN_CHARACTERS])
    return safe + "…" if len(text) > SHOWN_CHARACTERS else safe


def _hint(text: str) -> str:
    if text.upper().startswith("AGE-SECRET-KEY"):
        return "that is a secret identity: name the public part, age1…, and make a new key if others could see this"
    return "a recipient looks like age1…; `vetset keys new` prints one"
