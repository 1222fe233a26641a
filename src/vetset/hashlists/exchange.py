"""Exchanges: what a body's service says of its entries, part by part, and what stands of all that it ever said.

In it: entries, parts, the port of an exchange, the merging of an entry with what was known of it.
Not in it: any service (`ncmec_service`, `document`), where what is known is kept (`state`), compiling.
Rules: merging is commutative, associative and idempotent, so that neither the order of pages nor a page read twice
changes what stands; it agrees with `ncmec.Pages`, the definition. An entry stands while its newest version is newer
than its newest tombstone. Values stand in no repr.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vetset.hashlists.account import Reason
from vetset.hashlists.gathering import BARE
from vetset.records import WIDTH_BYTES, ListEntry, Signal

#: What a list holds of an entry: a kind of value, the value as `value.value_of` gives it, and what is said of it.
Value = tuple[Signal, bytes, ListEntry]
Checkpoint = Mapping[str, str]


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """One entry at one time. `time` is UTC in a spelling that sorts, empty for older than anything.

    `values` None is a tombstone of that time; one without a time withdraws nothing.
    """

    key: str
    time: str = ""
    values: frozenset[Value] | None = frozenset()


@dataclass(frozen=True, slots=True, repr=False)
class Known:
    """What is known of an entry: its newest version, and when it was last withdrawn."""

    time: str = ""
    values: frozenset[Value] = frozenset()
    withdrawn: str = ""

    def standing(self) -> frozenset[Value]:
        """The values that a list is to hold."""
        return frozenset() if self.withdrawn and self.withdrawn >= self.time else self.values


NOTHING_KNOWN = Known()


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """What came at once, and where to go on once it is kept. `whole`: what is not in it is not in the list any more."""

    entries: Sequence[Entry]
    checkpoint: Checkpoint
    whole: bool = False
    faults: Mapping[Reason, int] = field(default_factory=Counter)


class Exchange(Protocol):
    """A body's service that gives out a list."""

    @property
    def origin(self) -> str:
        """Whose list it is; what is known of one origin is never merged with another's. Names no secret."""
        ...

    def parts(self, checkpoint: Checkpoint) -> Iterator[Part]:
        """What is new since the checkpoint of a part that was kept; all there is with an empty one.

        Nothing is asked before the first part is. Raises ServiceError, and Stop where only the operator can help.
        """
        ...

    def plan(self, checkpoint: Checkpoint) -> Sequence[str]:
        """In sentences, what `parts` would ask; nothing is asked."""
        ...


def merged(known: Known, entry: Entry) -> Known:
    """What is known once an entry's version, or its tombstone, is known too."""
    if entry.values is None:
        return Known(known.time, known.values, max(known.withdrawn, entry.time))
    if entry.time < known.time:
        return known
    values = entry.values | known.values if entry.time == known.time else entry.values
    return Known(entry.time, values, known.withdrawn)


@dataclass(slots=True, repr=False)
class Collected:
    """A `gathering.Holder` that makes entries of a document's values: by their entry id, else by the value itself."""

    entries: dict[str, set[Value]] = field(default_factory=dict)

    def hold(self, signal: Signal, value: bytes, entry: ListEntry = BARE) -> None:
        key = f"id {entry.entry_id}" if entry.entry_id else name_of_value(signal, value)
        self.entries.setdefault(key, set()).add((signal, value, entry))

    def hold_bare(self, signal: Signal, joined: bytes) -> None:
        width = WIDTH_BYTES[signal]
        for start in range(0, len(joined), width):
            self.hold(signal, joined[start : start + width])

    def as_entries(self) -> list[Entry]:
        return [Entry(key, "", frozenset(values)) for key, values in self.entries.items()]


def name_of_value(signal: Signal, value: bytes) -> str:
    """A key for what has no id of its own. Hashed, since addresses may be long."""
    return f"{signal.value} {hashlib.sha256(value).hexdigest()}"
