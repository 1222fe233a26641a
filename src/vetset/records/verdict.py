"""What is asked of a body that may judge and what it answers; what is told to an authority and what it acknowledges.

In it: frozen data and closed enums. Not in it: any service's spelling (`platforms`), and what a ruling does to a case
(`cases`).
Rules: a fingerprint and an address are sealed; no record has room for a picture or for bytes of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from vetset.records.value import Sealed


class Ruling(StrEnum):
    """What a body says of one fingerprint. A broken answer is none of these; it is an error."""

    CSAM = "csam"
    HARMFUL = "harmful"  # harmful, or abusive, and not clearly over the criminal threshold everywhere
    NO_MATCH = "no_match"  # not in the body's database: it refutes nothing
    UNREACHABLE = "unreachable"  # the body cannot judge it: a format, a size, or a kind that it does not take
    TEST = "test"  # an entry of the body's that exists for tests
    REFUTED = "refuted"  # people looked, and it is not what the list said; no machine may say so


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a platform takes and allows, and what it learns from being asked.

    `kinds`: names of signals or of kinds of fingerprint that the user brings. Of rates and quotas 0 is no limit.
    """

    name: str
    party: str  # whose word it is; two platforms of one party count as one
    kinds: tuple[str, ...]
    batch: int  # fingerprints in a request
    learns: str  # one sentence for the plan
    requests_per_second: float = 0.0
    requests_per_month: int = 0
    by_people: bool = False  # its verdicts are people's: only those may refute
    live: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """One fingerprint to be judged."""

    kind: str
    fingerprint: Sealed[bytes]


@dataclass(frozen=True, slots=True, repr=False)
class Verdict:
    """A body's word on one fingerprint. `match_ids` name what it met in the body's database, for counting pictures."""

    ruling: Ruling
    match_ids: tuple[str, ...] = ()
    near: bool = False
    distance: int | None = None  # in the platform's own measure
    noted: Mapping[str, str] = field(default_factory=dict)  # codes and classes in the platform's own words


@dataclass(frozen=True, slots=True, repr=False)
class Letter:
    """What an authority is told of one picture: every address it was found at, and why it is held to be known."""

    picture: str  # opaque: names the picture in vetset's books and in nobody else's
    urls: tuple[Sealed[bytes], ...]
    found_at: datetime  # UTC
    remarks: str  # sentences without an address, a digest or a list's entry
    match_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Receipt:
    """An authority's acknowledgement of one finished report."""

    report_id: str
    finished_at: datetime  # UTC
    noted: Mapping[str, str] = field(default_factory=dict)
