"""Fetch: which addresses are asked of the web, in which order, within a budget; and what that says of every row.

In it: candidates, addresses and digests that several rows share, strata, ranking, the random share, the reach of hits.
Not in it: asking (a `Fetcher`), looking into what comes back (fingerprint, match), files.
Rules: every row with a usable address that no policy takes gets one of `Asking`, the first that applies; a row that was
hit, or that shares a value with a hit, is never asked; rows that share an address or a recorded digest are asked once,
and a digest's other addresses only once the first one failed; strata are fixed here and a random share comes from each,
drawn by the seed and the order of the rows alone. Keyed hashes of 64 bits stand for values (see `expand`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from vetset.records import Asking, StageResult, Tally

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
U8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

#: One record a row of a shard: keyed hashes (0: none), score (NaN: none), and whether it may be asked at all.
WEB_RECORD = np.dtype(
    [("raw", "<u8"), ("asked", "<u8"), ("host", "<u8"), ("digest", "<u8"), ("score", "<f8"), ("open", "u1")]
)
Records = npt.NDArray[np.void]

#: Upper edges of the strata by `punsafe`; LAION cut its releases at 0.45 and 0.95 (reference: method 3.2).
EDGES = (0.1, 0.45, 0.95)
STRATA = ("no score", *(f"up to {edge}" for edge in EDGES), f"above {EDGES[-1]}")

ASKINGS = tuple(Asking)
_ASKED, _NEEDLESS, _SHARED, _UNASKED = range(len(ASKINGS))
CLOSED = 255  # the code of a row that is no candidate: no usable address, or taken by the policy


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """The budget in addresses (0: none set), whether another one limits the run, and how it is spent.

    `random_share` of it is drawn from the strata; the rest goes by rank, spread over `rounds`.
    """

    urls: int = 0
    limited: bool = False  # by bytes or hours: what is asked last may not come about
    random_share: float = 0.1
    seed: int = 0
    rounds: int = 3
    spread_limit: int = 1000
    expand: bool = True


def _none() -> U64:
    return np.zeros(0, np.uint64)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Known:
    """What is known when a round is planned, as sorted keyed hashes, each once.

    `asked`: addresses with an outcome. `tried`: digests that these record. `seen`: those found unchanged. `spared`:
    addresses of hits. `raw`, `digests`: the values by which exact hits spread; `hosts` one entry for each row hit.
    """

    asked: U64 = field(default_factory=_none)
    tried: U64 = field(default_factory=_none)
    seen: U64 = field(default_factory=_none)
    spared: U64 = field(default_factory=_none)
    raw: U64 = field(default_factory=_none)
    digests: U64 = field(default_factory=_none)
    hosts: U64 = field(default_factory=_none)

    def reaching(self, records: Records, settings: FetchSettings) -> Self:
        """The same with every value that the hits' values reach, to closure; `records` are those of all rows."""
        if not settings.expand:
            return self
        raw, digests = reached(records, self.raw, self.digests, settings.spread_limit)
        return type(self)(self.asked, self.tried, self.seen, self.spared, raw, digests, self.hosts)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Plan:
    """The addresses of a round in the order in which they are asked.

    `places` are rows among all rows, the first that bears each address; `rows` how many bear it; `stratum` an index
    into STRATA; `drawn` marks the random share. `population` and `allotted`, `ranked` count addresses by stratum.
    """

    places: I64
    rows: I64
    stratum: U8
    drawn: Mask
    population: tuple[int, ...]
    allotted: tuple[int, ...]
    ranked: tuple[int, ...]


def fetch(records: Records, hit: Mask, known: Known, settings: FetchSettings, *, number: int) -> StageResult[Plan]:
    """Plans round `number` over the records of all rows, in the order of shards and rows; `hit` marks rows hit.

    The tally gives each candidate row its place after the round, if every address planned is answered.
    """
    known = known.reaching(records, settings)
    codes = askings(records, hit, known)
    units = _units(records, np.flatnonzero(codes == _UNASKED), known)
    plan = _planned(units, settings, len(known.asked), number)
    asked = np.unique(records["asked"][plan.places])
    codes[(codes == _UNASKED) & is_among(records["asked"], asked)] = _ASKED
    counts = np.bincount(codes[codes != CLOSED], minlength=len(ASKINGS)).tolist()
    tally = Tally({asking.value: count for asking, count in zip(ASKINGS, counts, strict=True) if count})
    return StageResult(plan, tally)


def askings(records: Records, hit: Mask, known: Known) -> U8:
    """For each row the code of its `Asking` by what is known, CLOSED for rows that are no candidates."""
    codes = np.full(len(records), _UNASKED, np.uint8)
    codes[is_among(records["digest"], known.seen)] = _SHARED
    needless = hit | is_among(records["asked"], known.spared)
    needless |= is_among(records["raw"], known.raw) | is_among(records["digest"], known.digests)
    codes[needless] = _NEEDLESS
    codes[is_among(records["asked"], known.asked) & ~hit] = _ASKED
    codes[records["open"] == 0] = CLOSED
    return codes


def is_among(hashes: U64, ranked: U64) -> Mask:
    """Which keyed hashes are among ascending ones; 0 stands for an absent value and never is."""
    if not len(ranked) or not len(hashes):
        return np.zeros(len(hashes), np.bool_)
    place = np.minimum(np.searchsorted(ranked, hashes), len(ranked) - 1)
    met: Mask = (ranked[place] == hashes) & (hashes != 0)
    return met


def ranked_hashes(hashes: Iterable[int] | U64) -> U64:
    """Keyed hashes ascending, each once, without the one that stands for nothing."""
    found = np.unique(np.fromiter(hashes, np.uint64) if not isinstance(hashes, np.ndarray) else hashes)
    ranked: U64 = found[found != 0].astype(np.uint64)
    return ranked


def reached(records: Records, raw: U64, digests: U64, limit: int) -> tuple[U64, U64]:
    """The values that spread from some values over shared rows, to closure; one with more bearers does not spread."""
    bearers = {name: np.unique(records[name], return_counts=True) for name in ("raw", "digest")}
    urls, prints = _spreading(raw, bearers["raw"], limit), _spreading(digests, bearers["digest"], limit)
    while True:
        rows = is_among(records["raw"], urls) | is_among(records["digest"], prints)
        more_urls = _spreading(np.union1d(urls, records["raw"][rows]), bearers["raw"], limit)
        more_prints = _spreading(np.union1d(prints, records["digest"][rows]), bearers["digest"], limit)
        if len(more_urls) == len(urls) and len(more_prints) == len(prints):
            return urls, prints
        urls, prints = more_urls, more_prints


def _spreading(hashes: U64, bearers: tuple[U64, I64], limit: int) -> U64:
    values, counts = bearers
    common = values[counts > limit]
    return ranked_hashes(hashes[~is_among(hashes, common)])


# --- addresses --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class _Units:
    """Addresses that may be asked, in the order of the first row of each: place, rows, rank, stratum."""

    places: I64
    rows: I64
    rank: npt.NDArray[np.float64]
    stratum: U8


def _units(records: Records, candidates: I64, known: Known) -> _Units:
    """One unit for each address; of the addresses that share a digest the best one, unless that was tried already."""
    asked = records["asked"][candidates]
    _, first, inverse, rows = np.unique(asked, return_index=True, return_inverse=True, return_counts=True)
    score = np.full(len(first), -1.0)
    np.fmax.at(score, inverse.reshape(-1), records["score"][candidates].astype(np.float64))
    order = np.argsort(first, kind="stable")
    places, rows, score = candidates[first[order]], rows[order].astype(np.int64), score[order]
    rank = _rank(score, _share_of_hits(records, places, known.hosts))
    keep = _leading(records["digest"][places], rank, known.tried)
    return _Units(places[keep], rows[keep], rank[keep], _strata(score[keep]))


def _share_of_hits(records: Records, places: I64, hosts: U64) -> npt.NDArray[np.float64]:
    """Of the rows on each address's host, how many were hit."""
    values, counts = np.unique(records["host"], return_counts=True)
    hit, hits = np.unique(hosts, return_counts=True)
    share = np.zeros(len(values))
    known = np.isin(hit, values)
    at = np.searchsorted(values, hit[known])
    share[at] = hits[known] / counts[at]
    return np.minimum(share[np.searchsorted(values, records["host"][places])], 1.0)


def _rank(score: npt.NDArray[np.float64], history: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Either is reason enough to look, and both are more: as if they were independent chances."""
    ranked: npt.NDArray[np.float64] = 1.0 - (1.0 - np.clip(score, 0.0, 1.0)) * (1.0 - history)
    return ranked


def _leading(digest: U64, rank: npt.NDArray[np.float64], tried: U64) -> Mask:
    """Which addresses may be asked now: those without a digest, those whose digest was tried, and else the first."""
    keep = (digest == 0) | is_among(digest, tried)
    order = np.lexsort((np.arange(len(digest)), -rank, digest))
    heads = np.ones(len(order), np.bool_)
    heads[1:] = digest[order][1:] != digest[order][:-1]
    leading: Mask = keep
    leading[order[heads]] = True
    return leading


def _strata(score: npt.NDArray[np.float64]) -> U8:
    return np.where(score < 0, 0, 1 + np.searchsorted(EDGES, score, side="left")).astype(np.uint8)


# --- the budget -------------------------------------------------------------------------------------------------------


def _planned(units: _Units, settings: FetchSettings, asked_before: int, number: int) -> Plan:
    count = len(units.places)
    population = np.bincount(units.stratum, minlength=len(STRATA))
    room = min(count, max(0, settings.urls - asked_before)) if settings.urls else count
    drawn = np.zeros(0, np.int64)
    if number == 1 and (room < count or settings.limited):
        wanted = int(np.ceil(settings.random_share * room))
        drawn = _drawn(units.stratum, shares(wanted, population.tolist()), settings.seed)
    rest = np.setdiff1d(np.arange(count), drawn)
    rest = rest[np.lexsort((rest, -units.rows[rest], -units.rank[rest]))]
    rest = rest[: _quota(room - len(drawn), settings, number)]
    order, is_drawn = _interleaved(drawn, rest, settings.random_share)
    by_stratum = [np.bincount(units.stratum[some], minlength=len(STRATA)).tolist() for some in (drawn, rest)]
    return Plan(
        units.places[order],
        units.rows[order],
        units.stratum[order],
        is_drawn,
        tuple(population.tolist()),
        tuple(by_stratum[0]),
        tuple(by_stratum[1]),
    )


def _quota(room: int, settings: FetchSettings, number: int) -> int:
    """What rank may take in a round: later rounds know more, so a budget in addresses is spread over them."""
    left = max(1, settings.rounds - number + 1)
    return -(-room // left) if settings.urls else room


def shares(wanted: int, population: list[int]) -> list[int]:
    """`wanted` divided among the strata evenly, as far as each has addresses; what one lacks goes to the others."""
    given = [0] * len(population)
    while wanted > 0 and (open_strata := [n for n, size in enumerate(population) if given[n] < size]):
        each = max(1, wanted // len(open_strata))
        for stratum in open_strata:
            more = min(each, population[stratum] - given[stratum], wanted)
            given[stratum] += more
            wanted -= more
    return given


def _drawn(stratum: U8, allotted: list[int], seed: int) -> I64:
    """A random sample of each stratum, by turns, so that what is asked first has something of each."""
    picked: list[tuple[int, int, int]] = []
    for number, wanted in enumerate(allotted):
        members = np.flatnonzero(stratum == number)
        chosen = np.random.default_rng([seed, number]).permutation(members)[:wanted].tolist()
        picked.extend((turn, number, member) for turn, member in enumerate(chosen))
    return np.array([member for _, _, member in sorted(picked)], np.int64)


def _interleaved(drawn: I64, rest: I64, share: float) -> tuple[I64, Mask]:
    """Both in one order, so that what is asked before a budget ends holds about the random share that was meant."""
    least = 1e-9
    turn = np.concatenate(
        [(np.arange(len(drawn)) + 0.5) / max(share, least), (np.arange(len(rest)) + 0.5) / max(1 - share, least)]
    )
    marks = np.concatenate([np.ones(len(drawn), np.bool_), np.zeros(len(rest), np.bool_)])
    order = np.argsort(turn, kind="stable")
    return np.concatenate([drawn, rest])[order].astype(np.int64), marks[order]
