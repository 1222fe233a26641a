"""A run's own keys: its identity while it is open, the key of its case ids, the key of its joins.

In it: making, storing, opening and handing them on, and `close_run`, their end. Not in it: keys of custodians.
Rules: the joins' key is derived from the identity, so that both die together; keys are neither printed nor pickled, and
workers get them by an inherited descriptor of a sealed memory file; what opens the run lies in RUN only as `run.key`.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from vetset.errors import Stop
from vetset.ledger import Ledger, Sink
from vetset.vault import age
from vetset.vault.custody import identity_text

RUN_KEY = "run.key"
RUN_SECRETS = "vault/run.age"
JOINS = "joins"
KEY_BYTES = 32
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_NAME_A_KEY = "name the custodian's identity file with --identity FILE"


class RunKeys:
    """Keys in hand. Without the run's own identity (closed, or strict and restarted) there is no `join_key`."""

    __slots__ = ("_case_key", "_identity", "_others")

    def __init__(self, identity: str | None, case_key: bytes, others: Sequence[str] = ()) -> None:
        self._identity = identity
        self._case_key = case_key
        self._others = tuple(others)

    def __repr__(self) -> str:
        return "<keys of a run>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("the keys of a run are not pickled; workers inherit a descriptor")

    @property
    def case_key(self) -> bytes:
        """32 bytes, by which rows with findings get their case ids."""
        return self._case_key

    @property
    def join_key(self) -> bytes:
        """32 bytes, by which the joins' values are hashed. Raises Stop if the run's identity is not in hand."""
        if self._identity is None:
            raise Stop(
                "the keyed hashes of this run died with its key", hint="audit anew to follow values to more rows"
            )
        return hmac.digest(self._identity.encode("ascii"), b"join", "sha256")

    @property
    def identities(self) -> tuple[str, ...]:
        """What opens findings: the run's own identity, and those it was opened with."""
        return ((self._identity,) if self._identity else ()) + self._others

    @property
    def recipients(self) -> tuple[str, ...]:
        """The run's own recipient, while its identity is in hand."""
        return (age.recipient_of(self._identity),) if self._identity else ()

    def store(self, sink: Sink, custodians: Sequence[str], *, strict: bool = False) -> None:
        """Puts the sealed case key into the run, and unless `strict` the identity. To be done before run.toml."""
        text = json.dumps({"case_key": self._case_key.hex()}).encode("ascii")
        sink.put(RUN_SECRETS, age.encrypt(text, (*custodians, *self.recipients)))
        if self._identity and not strict:
            about = "vetset: opens this run's findings while it is open; `vetset close` destroys it"
            sink.put(RUN_KEY, identity_text(self._identity, about), mode=0o600)

    def to_fd(self) -> int:
        """A sealed memory file with the keys, for workers to inherit. The caller closes it."""
        tree = {"identity": self._identity, "case_key": self._case_key.hex(), "others": self._others}
        fd = os.memfd_create("vetset-keys", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(fd, json.dumps(tree).encode("ascii"))
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        return fd

    @classmethod
    def from_fd(cls, fd: int) -> RunKeys:
        """The keys in a memory file; leaves the descriptor as it is. Raises Stop if they are not there."""
        try:
            tree = json.loads(os.pread(fd, os.fstat(fd).st_size, 0))
            return cls(tree["identity"], bytes.fromhex(tree["case_key"]), tree["others"])
        except (OSError, ValueError, KeyError, TypeError):
            raise Stop("the keys of the run did not reach the worker", hint="run again with --resume") from None


def new_keys() -> RunKeys:
    """Fresh keys for a run to be made."""
    return RunKeys(age.new_identity(), secrets.token_bytes(KEY_BYTES))


def open_keys(ledger: Ledger, identities: Sequence[str] = ()) -> RunKeys:
    """The keys of a run, by its own identity while it is open, else by one of those given.

    Raises Stop if the run is closed and none is given, if none given fits, or if the keys are damaged.
    """
    identity = _own_identity(ledger.root)
    openers = [*([identity] if identity else []), *identities]
    sealed = _sealed_secrets(ledger.root)
    if not openers:
        raise Stop("this run is closed, or kept its key in memory only (--strict)", hint=_NAME_A_KEY)
    return RunKeys(identity, _case_key(sealed, openers), identities)


def opens(root: Path, identities: Sequence[str]) -> bool:
    """Whether one of the identities opens the run, so that a file it does not open must be damaged."""
    try:
        age.decrypt(_sealed_secrets(root), identities)
    except (age.NoIdentityFits, age.Damaged, Stop):
        return False
    return True


def _own_identity(root: Path) -> str | None:
    """The run's identity, None if the run is closed or a close was cut off."""
    path = root / RUN_KEY
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Stop(f"cannot read {path}: {error.strerror}", hint="check its permissions") from None
    lines = [line for line in data.decode("ascii", "replace").splitlines() if not line.startswith("#")]
    try:
        age.recipient_of(lines[0] if lines else "")
    except age.NotAKey:
        if b"\0" in data:  # the zeros of a close that did not come to its end
            return None
        raise Stop(f"{path} is damaged", hint=f"restore it from a copy, or close the run and {_NAME_A_KEY}") from None
    return lines[0]


def _sealed_secrets(root: Path) -> bytes:
    path = root / RUN_SECRETS
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Stop(f"{root} has no {RUN_SECRETS}: it never got its keys, or lost them", hint="audit anew") from None
    except OSError as error:
        raise Stop(f"cannot read {path}: {error.strerror}", hint="check its permissions") from None


def _case_key(sealed: bytes, openers: Sequence[str]) -> bytes:
    try:
        return bytes.fromhex(json.loads(age.decrypt(sealed, openers))["case_key"])
    except age.NoIdentityFits:
        raise Stop("no key given opens this run's findings", hint=_NAME_A_KEY) from None
    except (age.Damaged, ValueError, KeyError, TypeError):
        raise Stop(f"{RUN_SECRETS} of the run is damaged", hint="restore it from a copy, or audit anew") from None


def close_run(ledger: Ledger) -> None:
    """Destroys what opens the run from within: its key, then its joins. May be cut off anywhere; twice is once."""
    ledger.sink.wipe(RUN_KEY)
    # A key that was being put when its process died may lie under its temporary name still.
    ledger.sink.sweep()
    ledger.sink.remove_tree(JOINS)
