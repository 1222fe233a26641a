"""The account of a source: how many values were taken, and what was wrong or left out, by reason and line number.

In it: the closed list of reasons and the counting. Not in it: the parsing that finds them.
Rules: a line that is left out is counted and numbered and never echoed; nothing is left out without a reason.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

#: Line numbers kept for each reason of each source; the rest is only counted.
MAX_LINES_KEPT = 20


class Reason(StrEnum):
    """What is wrong with a line, and why something is not in the list though nothing is wrong with it.

    An entry with `bad_timestamp` or `no_entry_id`, and a CSV record that `spans_lines`, are taken all the same.
    """

    NOT_UTF8 = "not_utf8"
    TOO_LONG = "too_long"
    NO_VALUE = "no_value"
    NOT_HEX = "not_hex"
    NOT_BASE64 = "not_base64"
    WRONG_LENGTH = "wrong_length"
    LINE_BREAK = "line_break"
    NO_URL_FORM = "no_url_form"
    BAD_CSV = "bad_csv"
    SPANS_LINES = "spans_lines"
    BAD_TIMESTAMP = "bad_timestamp"
    NO_ENTRY_ID = "no_entry_id"

    UNKNOWN_SIGNAL = "unknown_signal"
    UNKNOWN_ELEMENT = "unknown_element"
    BY_REFERENCE = "by_reference"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


@dataclass(slots=True)
class Account:
    """What became of one source. `taken` counts values, `faults` counts by reason, `lines` has the first of them."""

    source: str
    taken: int = 0
    faults: Counter[Reason] = field(default_factory=Counter)
    lines: dict[Reason, list[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def count(self, reason: Reason, line: int) -> None:
        """Counts one fault of the source; lines count from 1."""
        self.faults[reason] += 1
        kept = self.lines.setdefault(reason, [])
        if len(kept) < MAX_LINES_KEPT:
            kept.append(line)

    def sentences(self) -> list[str]:
        """For a person: one sentence a reason, and the notes."""
        return [self._sentence(reason) for reason in Reason if self.faults[reason]] + self.notes

    def _sentence(self, reason: Reason) -> str:
        kept = sorted(self.lines[reason])
        more = ", …" if self.faults[reason] > len(kept) else ""
        word = "line" if self.faults[reason] == 1 else "lines"
        return f"{self.faults[reason]:,} {reason} ({word} {', '.join(map(str, kept))}{more})"
