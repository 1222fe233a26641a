"""The journal: what was sent and what came back, as sealed parts that are only ever added.

In it: appending, reading, and folding many parts into one book. Not in it: what the lines say (`pipeline.casebook`).
Rules: a part appears whole or not at all, and once it is there its lines are not lost; parts are numbered from 1 within
a generation, and folding begins the next one, so that how many parts lie there tells no count for long; a gap among
them is damage and never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vetset.errors import ShardError, Trouble
from vetset.ledger import Sink
from vetset.vault.sealing import Vault

_PART = re.compile(r"(\d{6})\.age")
_BOOKS = ("book-0", "book-1")
#: So many parts are folded; the next command's reading then stays quick.
MOST_PARTS = 512

Line = Mapping[str, Any]


class Journal:
    """The lines of one step of one run. One process writes at a time: whoever holds the run's lock."""

    def __init__(self, vault: Vault, sink: Sink, step: str, *, most_parts: int = MOST_PARTS) -> None:
        self._vault = vault
        self._sink = sink
        self._step = step
        self._most_parts = most_parts
        self._generation = 0
        self._count = 0
        self.lines: list[dict[str, Any]] = []
        self._read()

    def append(self, lines: Iterable[Line]) -> None:
        """Adds lines of plain values; they are durable when this returns. Nothing is written for none."""
        added = list(lines)
        if not added:
            return
        number = self._count + 1
        head = {"generation": self._generation, "number": number}
        self._vault.seal(self._step, _part_name(number), [head, *added])
        self._count = number
        self.lines += [dict(line) for line in added]
        if self._count >= self._most_parts:
            self.fold()

    def fold(self) -> None:
        """Puts all parts into one book. May be cut off anywhere: what was there before is read until the book is."""
        if not self._count:
            return
        following = self._generation + 1
        fresh, stale = _BOOKS[following % 2], _BOOKS[self._generation % 2]
        self._forget_book(fresh)  # two generations old, if a fold was cut off; its parts must not meet the new head
        self._vault.seal(self._step, fresh, [{"generation": following}, *self.lines])
        old, self._generation, self._count = self._parts(), following, 0
        for number in sorted(old, reverse=True):
            self._sink.remove(f"vault/{self._step}/{_part_name(number)}.age")
        self._forget_book(stale)

    # --- reading ---------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        books = [self._lines_of(name) for name in _BOOKS if self._is_there(name)]
        for head, lines in books:
            if (generation := _number(head, "generation")) > self._generation:
                self._generation, self.lines = generation, lines
        for number in sorted(self._parts()):
            head, lines = self._lines_of(_part_name(number))
            if _number(head, "generation") != self._generation:  # left over from a fold that was cut off
                continue
            if (_number(head, "number"), number) != (self._count + 1, self._count + 1):
                raise ShardError(Trouble.VAULT, f"a part of vault/{self._step} is missing or out of its place")
            self._count = number
            self.lines += lines

    def _lines_of(self, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        head, *lines = [*self._vault.lines(self._step, name)] or [{}]
        return head, lines

    def _parts(self) -> Sequence[int]:
        folder = self._sink.root / f"vault/{self._step}"
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return [int(match[1]) for match in map(_PART.fullmatch, names) if match]

    def _is_there(self, name: str) -> bool:
        return (self._sink.root / f"vault/{self._step}/{name}.age").is_file()

    def _forget_book(self, name: str) -> None:
        """Its head first, so that a book is there whole or not at all."""
        self._sink.remove(f"vault/{self._step}/{name}.age")
        number = 2
        while (self._sink.root / f"vault/{self._step}/{name}.{number}.age").is_file():
            self._sink.remove(f"vault/{self._step}/{name}.{number}.age")
            number += 1


def _part_name(number: int) -> str:
    return f"{number:06d}"


def _number(head: Line, name: str) -> int:
    value = head.get(name)
    if not isinstance(value, int):
        raise ShardError(Trouble.VAULT, "a part of a journal does not say where it belongs")
    return value
