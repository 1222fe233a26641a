"""The two streams of the command line: words for people on stderr, what a program asked for on stdout.

In it: writing to them, and what becomes of it when they break. Not in it: progress, which redraws itself.
Rules: a broken stderr changes nothing of a command's work or status; a reader of stdout that has seen enough ends the
command quietly; any other refusal of stdout is told.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys

import click

from vetset.errors import Stop


class ReaderGone(Exception):  # noqa: N818 - says what is the case
    """Whoever read stdout has closed it: there is nobody left to tell anything."""


def say(line: str) -> None:
    """A line for a person."""
    with contextlib.suppress(OSError):
        click.echo(line, err=True)


def give(line: str) -> None:
    """A line for a program. Raises ReaderGone if nobody reads any more, Stop if it cannot be written."""
    try:
        click.echo(line)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise ReaderGone from None
        words = os.strerror(error.errno) if error.errno else "it cannot be written"
        raise Stop(
            f"cannot write to stdout: {words}", hint="free space where it is written to, or name a file"
        ) from None


def forget_stdout() -> None:
    """Turns stdout away from a reader that is gone, or the interpreter's last flush would complain of it."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
