"""The file of a compiled list: one line in clear, then the payload, sealed with age or, if asked for, plain.

In it: writing the file, and reading it back into sealed memory with every check. Not in it: what the payload means
(layout), and the use of a list (compiled).
Rules: a payload is on disk only encrypted, unless the operator asked for plain; the clear line is built from the
payload, so a file whose line says anything else is damaged; library messages are dropped, ours name the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import mmap
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyrage

from vetset.errors import Stop
from vetset.hashlists import entries
from vetset.hashlists.layout import FORMAT, FORMAT_NAME, Layout, NotCanonical, canonical_json, layout_of

DIGEST_BYTES = 32
_MAX_LINE_BYTES = 16 * 1024
_MAX_AGE_HEADER_BYTES = 256 * 1024
_AGE_CHUNK_BYTES = (
    64 * 1024
)  # age-encryption.org/v1: chunks of 64 KiB, each with a tag of 16 bytes, behind a nonce of 16
_AGE_TAG_BYTES = 16
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_AGAIN = "copy it again from where it came, or compile it again"


@dataclass(frozen=True, slots=True)
class Outer:
    """The clear line, as far as reading needs it; `text` is the line itself."""

    text: bytes
    sealed: bool
    payload_bytes: int
    digest: str
    shown: dict[str, Any]


def outer_line(layout: Layout, digest: str, payload_bytes: int, *, sealed: bool) -> bytes:
    """The clear line of a file: everything that may be known without a key."""
    about = layout.about
    shown = {
        "created": about.created,
        "digest": digest,
        "entries": sum(layout.counts().values()),
        "expires": about.expires,
        "format": FORMAT_NAME,
        "name": about.name,
        "payload_bytes": payload_bytes,
        "purpose": about.purpose,
        "sealed": sealed,
        "version": about.version,
    }
    return canonical_json(shown) + b"\n"


def read_outer(path: Path) -> Outer:
    """The clear line. Raises Stop for a file that is no list, or one of a format yet to come."""
    with _opened(path) as stream:
        return _outer(stream, path)


def _outer(stream: BinaryIO, path: Path) -> Outer:
    text = stream.readline(_MAX_LINE_BYTES)
    try:
        shown = json.loads(text)
        version = re.fullmatch(r"vetset-list/([0-9]{1,9})", shown["format"])
        outer = Outer(text, bool(shown["sealed"]), int(shown["payload_bytes"]), str(shown["digest"]), shown)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        version = None
    if version is None:
        raise Stop(f"{path} is not a compiled list", hint="make one with `vetset lists compile`")
    if int(version[1]) > FORMAT:
        raise Stop(f"{path} was written by a newer vetset (list format {int(version[1])})", hint="update vetset")
    return outer


# --- writing ----------------------------------------------------------------------------------------------------------


def refuse_existing(path: Path) -> None:
    """Raises Stop if something already bears the name."""
    if os.path.lexists(path):
        raise Stop(f"{path} exists", hint="a list is never overwritten: name a new file")


def write_list(path: Path, memory: int, recipients: Sequence[str]) -> tuple[str, Layout]:
    """Writes the payload in `memory` as a new file (0600): sealed to the recipients, or plain where there are none.

    Answers its digest (SHA-256 in hex) and layout. All or nothing: a temporary file in the same folder, flushed to the
    device, then renamed.
    """
    refuse_existing(path)
    keys = [_recipient(text, number) for number, text in enumerate(recipients, 1)]
    payload = _view(memory)
    digest = hashlib.sha256(payload).hexdigest()
    layout, _ = layout_of(payload)
    line = outer_line(layout, digest, len(payload), sealed=bool(keys))
    _write_or_stop(path, line, memory, keys)
    return digest, layout


def write_sealed(path: Path, memory: int, recipients: Sequence[str]) -> None:
    """What is in `memory` as a new file (0600), sealed to at least one recipient, all or nothing as `write_list`."""
    keys = [_recipient(text, number) for number, text in enumerate(recipients, 1)]
    if not keys:
        raise Stop(f"nobody to seal {path} to", hint="name a recipient")
    _write_or_stop(path, b"", memory, keys)


def _write_or_stop(path: Path, line: bytes, memory: int, keys: Sequence[Any]) -> None:
    try:
        _write_whole(path, line, memory, keys)
    except OSError as error:
        raise Stop(f"cannot write {path}: {error.strerror}", hint="name a file in a folder you may write to") from None
    except pyrage.EncryptError:
        raise Stop(f"cannot write {path}", hint="is there room on the disk?") from None


def _recipient(text: str, number: int) -> Any:
    for kind in (pyrage.x25519.Recipient, pyrage.tag.Recipient, pyrage.tagpq.Recipient):
        with contextlib.suppress(pyrage.RecipientError):
            return kind.from_str(text.strip())
    raise Stop(f"--recipient number {number} cannot be read", hint="it looks like age1…; `vetset keys new` makes one")


def _write_whole(path: Path, line: bytes, memory: int, keys: Sequence[Any]) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as out, os.fdopen(os.dup(memory), "rb") as payload:
            payload.seek(0)
            out.write(line)
            if keys:
                pyrage.encrypt_io(payload, out, keys)
            else:
                shutil.copyfileobj(payload, out)
            out.flush()
            os.fsync(out.fileno())
        refuse_existing(path)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- reading ----------------------------------------------------------------------------------------------------------


def read_list(path: Path, identities: Sequence[str]) -> int:
    """The payload and the 32 bytes of its digest in sealed anonymous memory; answers a read-only descriptor.

    Nothing reaches the disk, and nobody can change or shorten it afterwards, so that a reader's mapping stays good
    whatever becomes of the file. Raises Stop for whatever is wrong with the file, or if no identity opens it.
    """
    memory = os.memfd_create("vetset-list", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with _opened(path) as stream:
            outer = _outer(stream, path)
            _check_length(stream, outer, path)
            _fill(stream, memory, outer, identities, path)
        digest = _checked_digest(memory, outer, path)
        os.pwrite(memory, digest, outer.payload_bytes)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
        return os.open(f"/proc/self/fd/{memory}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(memory)


def open_sealed(path: Path, identities: Sequence[str]) -> int:
    """What `write_sealed` sealed, in anonymous memory; its descriptor. Raises Stop as `read_list` does."""
    memory = os.memfd_create("vetset-sealed", os.MFD_CLOEXEC)
    try:
        with _opened(path) as stream:
            _decrypt(stream, memory, identities, path)
        return os.dup(memory)
    finally:
        os.close(memory)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        raise Stop(f"cannot read the list {path}: {error.strerror}", hint="check its name and permissions") from None


def _damaged(path: Path, what: str) -> Stop:
    return Stop(f"the list {path} is damaged: {what}", hint=_AGAIN)


def _check_length(stream: BinaryIO, outer: Outer, path: Path) -> None:
    """Compares the file's length with what its clear line and its age header make it."""
    start = stream.tell()
    head = stream.read(_MAX_AGE_HEADER_BYTES) if outer.sealed else b""
    stream.seek(start)
    found = os.fstat(stream.fileno()).st_size - start
    expected = max(0, outer.payload_bytes)
    if outer.sealed:
        end = head.find(b"\n", head.find(b"\n--- ") + 1) + 1
        chunks = max(1, -(-expected // _AGE_CHUNK_BYTES))
        expected += end + _AGE_TAG_BYTES * (chunks + 1)
    if found < expected:
        raise Stop(f"the list {path} is cut short: {found:,} of {expected:,} bytes", hint=_AGAIN)
    if found > expected:
        raise _damaged(path, f"{found - expected:,} bytes more than it should have")


def _fill(stream: BinaryIO, memory: int, outer: Outer, identities: Sequence[str], path: Path) -> None:
    if outer.sealed:
        _decrypt(stream, memory, identities, path)
        return
    with os.fdopen(os.dup(memory), "wb") as out:
        shutil.copyfileobj(stream, out)


def _decrypt(stream: BinaryIO, memory: int, identities: Sequence[str], path: Path) -> None:
    with os.fdopen(os.dup(memory), "wb") as out:
        try:
            pyrage.decrypt_io(stream, out, [_identity(text) for text in identities])
        except pyrage.DecryptError as error:
            raise _not_opened(error, path, len(identities)) from None
        except OSError:  # what pyrage says of a chunk whose tag is wrong
            raise _damaged(path, "its contents do not decrypt") from None


def _identity(text: str) -> Any:
    try:
        return pyrage.x25519.Identity.from_str(text.strip())
    except pyrage.IdentityError:
        raise Stop("an identity cannot be read", hint="an identity file holds AGE-SECRET-KEY-1…") from None


def _not_opened(error: Exception, path: Path, identities: int) -> Stop:
    if str(error) != "No matching keys found":
        return _damaged(path, "its header does not decrypt")
    tried = f"none of {identities} identities opens it" if identities else "no identity was given"
    return Stop(f"the list {path} is sealed and {tried}", hint="name its custodian's key with --identity FILE")


def _checked_digest(memory: int, outer: Outer, path: Path) -> bytes:
    """The payload's digest, once the clear line, the header and the entries agree with it and with each other."""
    payload = _view(memory)
    digest = hashlib.sha256(payload)
    if digest.hexdigest() != outer.digest:
        raise _damaged(path, "its digest is not that of its contents")
    try:
        layout, start = layout_of(payload)
        _check_entries(layout, payload[start:])
    except NotCanonical as fault:
        raise _damaged(path, str(fault)) from None
    if outer_line(layout, outer.digest, len(payload), sealed=outer.sealed) != outer.text:
        raise _damaged(path, "its first line does not agree with its contents")
    if not layout.shapes:
        raise Stop(f"the list {path} is empty", hint="get it again, or compile it from a source that holds values")
    return digest.digest()


def _check_entries(layout: Layout, data: memoryview) -> None:
    _, start, stop = layout.places()
    if stop > start:
        entries.check(entries.decoded(data[start:stop]), layout.shapes)
    elif any(shape.entries for shape in layout.shapes):
        raise NotCanonical("entries that are not there")


def _view(memory: int) -> memoryview:
    """The whole of anonymous memory; mapped as private, since a shared mapping can be in the way of seals (EBUSY)."""
    if not os.fstat(memory).st_size:
        return memoryview(b"")
    return memoryview(mmap.mmap(memory, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))
