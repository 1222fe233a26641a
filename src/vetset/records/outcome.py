"""Outcomes, closed enums all of them, and their counts.

In it: what can become of a row or picture in match, screen, expand and clean; tallies. Not in it: deciding.
Rules: the order of a stage's outcomes is the order in which they apply.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum


class MatchOutcome(StrEnum):
    """What becomes of a fingerprinted picture in match; the first that applies."""

    HIT = "hit"
    NEAR_HIT = "near_hit"
    HELD = "held"
    TOO_PLAIN = "too_plain"
    CLEAR = "clear"


class ScreenOutcome(StrEnum):
    """What becomes of a row in screen and expand; the first that applies, in this order."""

    HIT = "hit"
    NEAR_HIT = "near_hit"  # by a picture's fingerprint alone; only match gives it
    EXPANDED = "expanded"
    HELD = "held"
    POLICY = "policy"
    NOT_ASSESSABLE = "not_assessable"
    CLEAR = "clear"


#: What a shard's manifest may show in clear: these outcomes merged under one name.
ASSESSED = (
    ScreenOutcome.HIT,
    ScreenOutcome.NEAR_HIT,
    ScreenOutcome.EXPANDED,
    ScreenOutcome.HELD,
    ScreenOutcome.POLICY,
    ScreenOutcome.CLEAR,
)


class CleanOutcome(StrEnum):
    """What becomes of a row in clean."""

    KEPT = "kept"
    REMOVED = "removed"
    REMOVED_BY_POLICY = "removed_by_policy"


class Tally(Counter[str]):
    """Counts by outcome. `balance` is the law of the books: every row has exactly one outcome."""

    def plus(self, other: Mapping[str, int]) -> Tally:
        total = Tally(self)
        for outcome, count in other.items():
            total[outcome] += count
        return total

    def rows(self) -> int:
        return sum(self.values())

    def in_order(self) -> dict[str, int]:
        return {key: self[key] for key in sorted(self) if self[key]}


def merged(tally: Mapping[str, int]) -> dict[str, int]:
    """The part of a screen tally that may stand in clear: assessed rows in one figure, and the rest by name."""
    assessed = {str(outcome) for outcome in ASSESSED}
    clear = {"assessed": sum(count for outcome, count in tally.items() if outcome in assessed)}
    clear.update({outcome: count for outcome, count in sorted(tally.items()) if outcome not in assessed and count})
    return clear


def total(tallies: Iterable[Mapping[str, int]]) -> Tally:
    result = Tally()
    for tally in tallies:
        result = result.plus(tally)
    return result
