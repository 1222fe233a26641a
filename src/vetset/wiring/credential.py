"""Credentials: named in the settings by a file or a variable of the environment, read here, and held nowhere else.

In it: reading one, as a sealed value. Not in it: how a service wants it (the adapters).
Rules: the secret is in memory from here on only, sealed; no message and no settings file holds any of it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from vetset.errors import Stop
from vetset.records import Sealed

_MAX_BYTES = 64 * 1024


def credential_of(where: str, *, file: str, variable: str) -> Sealed[str]:
    """The first line of a file, or a variable's value. `where` is the table of the settings, for messages.

    Raises Stop if neither or both are named, if it is empty or not there, and for a file that others can read.
    """
    if bool(file) == bool(variable):
        raise Stop(
            f"[{where}] should name its credentials once",
            hint="credentials_file = a file, or credentials_variable = a variable of the environment that holds them",
        )
    text = _from_file(Path(file), where) if file else os.environ.get(variable, "")
    line = text.strip().partition("\n")[0].strip()
    if not line:
        what = f"the file {file}" if file else f"the variable {variable}"
        raise Stop(f"{what} of [{where}] holds no credentials", hint="one line: user:password, or a token")
    if not line.isascii() or not line.isprintable():
        raise Stop(f"the credentials of [{where}] are not one line of plain ASCII", hint="user:password, or a token")
    return Sealed(line)


def _from_file(path: Path, where: str) -> str:
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            text = stream.read(_MAX_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise Stop(
            f"cannot read credentials_file of [{where}]: {error.strerror}", hint="it names a file with one line"
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Stop(f"credentials_file of [{where}] can be read by others", hint=f"chmod 600 {path}")
    return text
