"""What a body knows us by: named in the settings, read at the moment of its use, kept nowhere.

In it: `Credential`. Not in it: any secret, and how a service wants it (its adapter).
Rules: it stands in an environment variable or in a file that nobody else may read; no message repeats it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from vetset.errors import Stop

_MOST_BYTES = 64 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Credential:
    """Where a secret stands: one of `variable` (of the environment) and `file`, for the body called `service`."""

    service: str
    variable: str = ""
    file: str = ""

    def resolve(self) -> str:
        """The secret, one line of printable ASCII. Raises Stop where it is not there or can be read by others."""
        if bool(self.variable) == bool(self.file):
            raise Stop(
                f"{self.service} needs its credentials named once: a variable or a file",
                hint="set credentials_variable or credentials_file in its table of the settings",
            )
        text = (self._from_file() if self.file else os.environ.get(self.variable, "")).strip("\r\n")
        if not text or not text.isascii() or not text.isprintable():
            place = self.file or f"the environment variable {self.variable}"
            raise Stop(
                f"no credentials for {self.service} in {place}",
                hint="one line of printable characters is expected there",
            )
        return text

    def pair(self) -> tuple[str, str]:
        """User and password from `user:password`. Raises Stop where it is not that."""
        user, colon, password = self.resolve().partition(":")
        if not (user and colon and password):
            raise Stop(f"the credentials for {self.service} are no pair", hint="they are written user:password")
        return user, password

    def _from_file(self) -> str:
        try:
            handle = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                mode, text = os.fstat(handle).st_mode, os.read(handle, _MOST_BYTES)
            finally:
                os.close(handle)
        except OSError as error:
            raise Stop(
                f"cannot read the credentials for {self.service} in {self.file}: {error.strerror}",
                hint="credentials_file names a file with one line",
            ) from None
        if mode & _OTHERS:
            raise Stop(
                f"others can read the credentials for {self.service} in {self.file}", hint=f"chmod 600 {self.file}"
            )
        return text.decode("ascii", "replace")
