"""Names of files and columns as they may stand in a message.

In it: escaping and cutting. Not in it: values of rows, which may stand in no message whatever is done to them.
Rules: nothing that a terminal or a log would act on passes (threats F7); a long name or list is cut and says so.
"""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str, *, max_characters: int = 80) -> str:
    """The text with every control, format and surrogate character escaped, cut to a length."""
    shown = "".join(letter if letter.isprintable() else _escaped(letter) for letter in text[:max_characters])
    return shown + "…" if len(text) > max_characters else shown


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def printable_names(names: Sequence[str], *, max_names: int = 30) -> str:
    """Some names in a row, and how many more there are."""
    shown = ", ".join(printable(name) for name in names[:max_names])
    return f"{shown} and {len(names) - max_names} more" if len(names) > max_names else shown
