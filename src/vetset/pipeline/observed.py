"""What was asked and what came back: requests and observations as arrays, and as lines of the vault.

In it: the two records, one entry an address, and their lines both ways. Not in it: asking, looking, sealing.
Rules: an entry holds no address and no digest; a keyed hash stands for either; lists of numbers are cut into lines of a
bounded size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vetset.errors import ShardError, Trouble
from vetset.pipeline.pictures import TROUBLES
from vetset.records import FETCH_TROUBLES, FetchOutcome, FingerprintOutcome

#: One entry an address of a plan: the first row that bears it, keyed hashes, how it was chosen, how many rows bear it.
REQUEST = np.dtype(
    [
        ("shard", "<i4"),
        ("row", "<i8"),
        ("asked", "<u8"),
        ("host", "<u8"),
        ("digest", "<u8"),
        ("stratum", "u1"),
        ("drawn", "u1"),
        ("rows", "<i8"),
    ]
)
#: One entry an address: what came back, and what its bytes gave. Outcomes by their places in the enums; NONE: none.
OBSERVATION = np.dtype(
    [
        ("outcome", "u1"),
        ("picture", "u1"),
        ("assessed", "u1"),  # its picture was compared with some list
        ("near", "u1"),  # by PDQ
        ("plain", "u1"),  # decoded, and too plain for that
        ("same", "u1"),  # its bytes are those that the row records
        ("kinds", "u1"),  # bits of the optional kinds that it was compared by
        ("status", "<u2"),
        ("hops", "u1"),
        ("bytes", "<i8"),
        ("at", "<f8"),  # seconds since 1970
        ("seconds", "<f4"),
    ]
)
NONE = 255
FETCHED = list(FetchOutcome).index(FetchOutcome.FETCHED)

Entries = npt.NDArray[np.void]
I64 = npt.NDArray[np.int64]

_ENTRIES_PER_LINE = 2048


def unobserved(count: int) -> Entries:
    """Observations of nothing yet."""
    entries = np.zeros(count, OBSERVATION)
    entries["outcome"] = entries["picture"] = NONE
    return entries


def lines_of(entries: Entries, numbers: I64 | None = None) -> Iterator[dict[str, object]]:
    """Entries as lines, all of them or those of some numbers; each line names its numbers and a list for each field."""
    numbers = np.arange(len(entries)) if numbers is None else numbers
    for start in range(0, len(numbers), _ENTRIES_PER_LINE):
        some = numbers[start : start + _ENTRIES_PER_LINE]
        fields = {name: entries[name][some].tolist() for name in entries.dtype.names or ()}
        yield {"numbers": some.tolist(), **fields}


def fill(entries: Entries, lines: Iterable[Mapping[str, Any]]) -> I64:
    """Puts lines back into their entries; answers the numbers. Raises ShardError for what is no such line."""
    known: list[I64] = [np.zeros(0, np.int64)]
    try:
        for line in lines:
            numbers = np.array(line["numbers"], np.int64)
            for name in entries.dtype.names or ():
                entries[name][numbers] = line[name]
            known.append(numbers)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        raise ShardError(Trouble.VAULT, "what was observed is damaged") from None
    return np.concatenate(known)


def outcome_counts(entries: Entries) -> Counter[FetchOutcome]:
    """Addresses by what came back; those never asked are in none."""
    counts = np.bincount(entries["outcome"], minlength=NONE + 1)
    return Counter({outcome: int(counts[code]) for code, outcome in enumerate(FetchOutcome) if counts[code]})


def picture_counts(entries: Entries) -> Counter[FingerprintOutcome]:
    """Bodies by what their decoding gave."""
    counts = np.bincount(entries["picture"], minlength=NONE + 1)
    return Counter({outcome: int(counts[code]) for code, outcome in enumerate(FingerprintOutcome) if counts[code]})


def troubles_of(entries: Entries) -> frozenset[str]:
    """The names of the troubles that any address or its picture ended in."""
    fetched = {outcome.value for outcome in outcome_counts(entries) if outcome in FETCH_TROUBLES}
    return frozenset(fetched | {outcome.value for outcome in picture_counts(entries) if outcome in TROUBLES})


def numbers_in(entries: Entries, outcomes: Iterable[str]) -> I64:
    """The numbers of the addresses that ended in any of some outcomes, or whose picture did."""
    names = set(outcomes)
    codes = [code for code, outcome in enumerate(FetchOutcome) if outcome.value in names]
    pictures = [code for code, outcome in enumerate(FingerprintOutcome) if outcome.value in names]
    met = np.isin(entries["outcome"], codes) | np.isin(entries["picture"], pictures)
    return np.flatnonzero(met).astype(np.int64)
