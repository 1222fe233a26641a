"""Errors of the operator's world: what stops a command, and the closed list of what can befall a shard.

In it: `Stop` (a message and a hint for a person), `ShardError` (a shard could not be done), `Trouble` (why),
`ServiceError` (an outside body did not answer as it should), `SinkError` (a product could not be written).
Not in it: trouble with a single row, which is an outcome and never an exception.
Rules: a message may name paths, options, columns and counts; never a value of a row or of a list.
"""

from __future__ import annotations

from enum import StrEnum


class ExitStatus:
    """What the command line answers; the meanings are fixed by the design."""

    DONE = 0
    STOPPED = 1
    USAGE = 2
    INCOMPLETE = 3
    HIT = 4
    INTERRUPTED = 130


class Stop(Exception):  # noqa: N818 - it is no bug but a decision to go no further
    """Ends a command with exit status 1: what happened, and what the operator can do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Trouble(StrEnum):
    """Why a shard could not be done. Recorded instead of a library's message, which may quote values."""

    UNREADABLE = "unreadable"
    NOT_THE_FORMAT = "not_the_format"
    TRUNCATED = "truncated"
    COUNTS_DISAGREE = "counts_disagree"
    COLUMN_MISSING = "column_missing"
    COLUMN_TYPE = "column_type"
    COLUMN_AMBIGUOUS = "column_ambiguous"
    RECORD_TOO_LARGE = "record_too_large"
    ENCRYPTED = "encrypted"
    SOURCE_CHANGED = "source_changed"
    BOOKS = "books_do_not_balance"
    VAULT = "vault_unreadable"
    OUT_OF_MEMORY = "out_of_memory"
    QUARANTINED = "quarantined"
    INTERNAL = "internal_error"


class ShardError(Exception):
    """A shard cannot be done, for a reason from the closed list. Carries no value of any row."""

    def __init__(self, trouble: Trouble, detail: str = "") -> None:
        super().__init__(f"{trouble}: {detail}" if detail else str(trouble))
        self.trouble = trouble
        self.detail = detail


class ServiceError(Exception):
    """An outside body did not answer as it should: an HTTP error, a code of its own, or an answer that is none.

    Never a verdict, whatever was asked. `code` is from the service or ours, free of values; `may_pass` says whether
    asking again can help, `wait_seconds` after how long the service said so.
    """

    def __init__(self, service: str, code: str, *, may_pass: bool = False, wait_seconds: float = 0.0) -> None:
        super().__init__(f"{service}: {code}")
        self.service = service
        self.code = code
        self.may_pass = may_pass
        self.wait_seconds = wait_seconds


class SinkError(Exception):
    """Writing a product failed (disk full, device error): the operator's trouble, so the whole run stops.

    `action` is the operation's name and `name` the product's path inside the run, both free of row values.
    """

    def __init__(self, action: str, name: str, error_number: int) -> None:
        super().__init__(f"{action} {name}: errno {error_number}")
        self.action = action
        self.name = name
        self.error_number = error_number

    def __reduce__(self) -> tuple[type[SinkError], tuple[str, str, int]]:
        return (SinkError, (self.action, self.name, self.error_number))
