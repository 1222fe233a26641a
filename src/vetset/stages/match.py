"""Match: fingerprints against every list in hand, exactly by digest and nearly by distance; and the breaker.

In it: outcomes of pictures, reasons of hits, pictures compared, and which near hits stand. Not in it: decoding,
indices (the list's near tables), what a hit entails.
Rules: each picture gets one outcome, the first of hit > near_hit > too_plain > clear (`held` is decided later, by the
breaker over the whole dataset); a digest that is listed is a hit; a PDQ that is listed, at any distance, 0 too, is a
near hit, since a perceptual match alone accuses nobody; every key within the radius of any orientation of any view is
a reason; a view below the quality floor is not compared by PDQ. A picture that was not decoded is compared by its
digests alone, and where no list holds digests by nothing: it is `not_compared`, which is no outcome but a count, so
that it is never taken for clear. So is, unless a list holds its very bytes, a picture that was stored in a way that no
fingerprint of the original survives.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vetset import kernels
from vetset.ports import FingerprintKind, HashList
from vetset.records import (
    Address,
    Decoded,
    FingerprintOutcome,
    Fingerprints,
    Hit,
    ListEntry,
    Match,
    MatchOutcome,
    Nearness,
    ScreenOutcome,
    Sealed,
    Signal,
    StageResult,
    Tally,
    ViewPrint,
)

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class MatchSettings:
    """Radii in bits of PDQ, for all lists and for some by name; below `quality_floor` a view is too plain.

    Fingerprints of another `variant` than rgb are a few bits off: their near hits are marked, and `clean` leaves them.
    """

    radius_bits: int = 31
    radius_by_list: Mapping[str, int] = field(default_factory=dict)
    quality_floor: int = 50
    variant: str = "rgb"

    def radius_of(self, list_name: str) -> int:
        return self.radius_by_list.get(list_name, self.radius_bits)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared with what: a fingerprint of pictures with a list's keys of a signal."""

    column: str
    list_name: str
    signal: Signal


@dataclass(slots=True, repr=False)
class Matched:
    """A batch after matching. `assessed` are the rows of pictures that were compared with any list.

    `too_plain` counts pictures that PDQ was not asked about, hits by digest too: the outcome of that name leaves those
    out, and beside the count of pictures compared by PDQ it would tell how many they are.
    """

    hits: list[Hit] = field(default_factory=list)
    compared: Counter[Comparison] = field(default_factory=Counter)
    not_compared: int = 0
    too_plain: int = 0
    assessed: I64 = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class _Queries:
    """The PDQ of all views worth comparing, 8 orientations each; `pictures` is the place of each view's picture."""

    prints: U8
    pictures: I64
    views: tuple[ViewPrint, ...]


_Reasons = dict[int, list[Match]]


def match(
    fingerprints: Fingerprints,
    lists: Sequence[HashList],
    settings: MatchSettings,
    *,
    shard_id: str,
    kinds: Sequence[FingerprintKind] = (),
) -> StageResult[Matched]:
    """Outcomes of a batch of pictures, with the reasons of its hits and the count of pictures compared."""
    result, count = Matched(), len(fingerprints.rows)
    compared = np.zeros(count, np.bool_)
    exact: _Reasons = defaultdict(list)
    near: _Reasons = defaultdict(list)
    queries = _queries(fingerprints.decoded, settings.quality_floor)
    for hash_list in lists:
        _by_digest(fingerprints, hash_list, result, compared, exact)
        _by_distance(queries, hash_list, settings, result, compared, near)
        for kind in kinds:
            _by_kind(kind, fingerprints.decoded, hash_list, result, compared, near)
    compared &= np.array([_can_be_clear(answer) for answer in fingerprints.decoded], np.bool_)
    result.assessed = fingerprints.rows[compared]
    result.hits = list(_hits(fingerprints, exact, near, shard_id, settings.quality_floor))
    tally = _tally(fingerprints.decoded, compared, exact, near, settings.quality_floor)
    result.not_compared = count - tally.rows()
    result.too_plain = sum(too_plain(answer, settings.quality_floor) for answer in fingerprints.decoded)
    return StageResult(result, tally)


# --- exactly ----------------------------------------------------------------------------------------------------------


def _by_digest(
    fingerprints: Fingerprints, hash_list: HashList, result: Matched, compared: npt.NDArray[np.bool_], found: _Reasons
) -> None:
    for number, table in enumerate(hash_list.tables):
        digests = fingerprints.digests.get(table.signal)
        if digests is None:
            continue
        every = np.ones(len(digests), np.bool_)
        positions = kernels.positions_in(table, kernels.Digests(digests, every))
        result.compared[_comparison(hash_list, table.signal)] += len(digests)
        compared[:] = True
        for place in np.flatnonzero(positions >= 0).tolist():
            key = Sealed(digests[place].tobytes())
            found[place].extend(_reasons(hash_list, number, table.signal, int(positions[place]), key, None))


def _comparison(hash_list: HashList, signal: Signal) -> Comparison:
    return Comparison(f"picture ({signal.value})", hash_list.ref.name, signal)


def _reasons(
    hash_list: HashList, number: int, signal: Signal, position: int, key: Sealed[bytes], near: Nearness | None
) -> Iterator[Match]:
    for entry in hash_list.entries(number, position) or (ListEntry(),):
        yield Match(hash_list.ref.name, hash_list.ref.version, signal, None, key, entry, near)


# --- nearly -----------------------------------------------------------------------------------------------------------


def _queries(decoded: Sequence[Decoded], quality_floor: int) -> _Queries:
    chosen = [
        (place, view) for place, answer in enumerate(decoded) for view in answer.views if view.quality >= quality_floor
    ]
    prints = [view.pdq for _, view in chosen]
    return _Queries(
        np.concatenate(prints) if prints else np.zeros((0, kernels.PDQ_BYTES), np.uint8),
        np.array([place for place, _ in chosen], np.int64),
        tuple(view for _, view in chosen),
    )


def _by_distance(
    queries: _Queries,
    hash_list: HashList,
    settings: MatchSettings,
    result: Matched,
    compared: npt.NDArray[np.bool_],
    found: _Reasons,
) -> None:
    for number, table in hash_list.near_tables.items():
        asked, positions, distances = table.within(queries.prints, settings.radius_of(hash_list.ref.name))
        result.compared[_comparison(hash_list, table.signal)] += len(np.unique(queries.pictures))
        compared[queries.pictures] = True
        for (place, position), nearness in _nearest(queries, asked, positions, distances).items():
            key = kernels.listed_key(hash_list.tables[number], position)
            found[place].extend(_reasons(hash_list, number, table.signal, position, key, nearness))


def _nearest(queries: _Queries, asked: I64, positions: I64, distances: I64) -> dict[tuple[int, int], Nearness]:
    """For each picture and key the least distance, and the view and orientation that gave it; the first of equals."""
    least: dict[tuple[int, int], Nearness] = {}
    for query, position, distance in zip(asked.tolist(), positions.tolist(), distances.tolist(), strict=True):
        number, orientation = divmod(query, kernels.ORIENTATIONS)
        view = queries.views[number]
        pair = int(queries.pictures[number]), position
        if pair not in least or distance < least[pair].distance:
            least[pair] = Nearness(distance, view.view, orientation, view.quality)
    return least


def _by_kind(
    kind: FingerprintKind,
    decoded: Sequence[Decoded],
    hash_list: HashList,
    result: Matched,
    compared: npt.NDArray[np.bool_],
    found: _Reasons,
) -> None:
    """An optional kind of fingerprint, by its own distance to every key."""
    for number, table in enumerate(hash_list.tables):
        if kind.signal is None or table.signal is not kind.signal:
            continue
        keys = kernels.listed_keys(table)
        for place, answer in enumerate(decoded):
            prints = [(view, view.other[kind.name]) for view in answer.views if kind.name in view.other]
            compared[place] |= bool(prints)
            result.compared[_comparison(hash_list, table.signal)] += bool(prints)
            for position, nearness in _nearest_of_kind(kind, keys, prints).items():
                key = kernels.listed_key(table, position)
                found[place].extend(_reasons(hash_list, number, table.signal, position, key, nearness))


def _nearest_of_kind(kind: FingerprintKind, keys: U8, prints: Sequence[tuple[ViewPrint, bytes]]) -> dict[int, Nearness]:
    least: dict[int, Nearness] = {}
    for view, value in prints:
        distances = kind.distances(keys, value)
        for position in np.flatnonzero(distances <= kind.radius).tolist():
            distance = int(distances[position])
            if position not in least or distance < least[position].distance:
                least[position] = Nearness(distance, view.view, quality=view.quality)
    return least


def comparisons(
    lists: Sequence[HashList], kinds: Sequence[FingerprintKind], *, bodies: int, near: int, by_kind: Sequence[int]
) -> Counter[Comparison]:
    """What `match` counts as compared for so many bodies, of which `near` by PDQ and some by each optional kind."""
    counts: Counter[Comparison] = Counter()
    for hash_list in lists:
        for number, table in enumerate(hash_list.tables):
            what = _comparison(hash_list, table.signal)
            counts[what] += bodies if table.signal in kernels.PICTURE_DIGESTS else 0
            counts[what] += near if number in hash_list.near_tables else 0
            of_kind = (count for kind, count in zip(kinds, by_kind, strict=True) if kind.signal is table.signal)
            counts[what] += sum(of_kind)
    return +counts


# --- outcomes ---------------------------------------------------------------------------------------------------------


def _hits(
    fingerprints: Fingerprints, exact: _Reasons, near: _Reasons, shard_id: str, quality_floor: int
) -> Iterator[Hit]:
    """One hit for each picture with a reason, with the digests of its bytes; where it lies, the caller knows."""
    for place in sorted({*exact, *near}):
        outcome = ScreenOutcome.HIT if place in exact else ScreenOutcome.NEAR_HIT
        made = {signal: digests[place].tobytes() for signal, digests in fingerprints.digests.items()}
        reasons = (*exact.get(place, ()), *near.get(place, ()))
        address = Sealed(Address(None, {}, made))
        prints = prints_of(fingerprints.decoded[place], near.get(place, ()), quality_floor)
        noted = {PRINTS: [prints]} if prints else {}
        yield Hit(shard_id, int(fingerprints.rows[place]), outcome, address, reasons, noted)


#: Under this name a finding keeps, picture by picture, the fingerprints by which a body may be asked about it.
PRINTS = "prints"


def prints_of(answer: Decoded, near: Sequence[Match], quality_floor: int) -> dict[str, Sealed[bytes]]:
    """By kind, the fingerprint that stands for a picture: of the view and orientation that met a list most nearly.

    Where none was met by distance, that of the first view. A view that is too plain for PDQ gives none.
    """
    nearest = min((match.near for match in near if match.near), key=lambda item: item.distance, default=None)
    wanted = [view for view in answer.views if nearest is None or view.view is nearest.view]
    if not wanted:
        return {}
    view = max(wanted, key=lambda view: view.quality) if nearest else wanted[0]
    prints = {name: Sealed(value) for name, value in view.other.items()}
    if view.quality >= quality_floor:
        orientation = nearest.orientation if nearest else 0
        prints[Signal.PDQ.value] = Sealed(view.pdq[orientation].tobytes())
    return prints


def _tally(
    decoded: Sequence[Decoded],
    compared: npt.NDArray[np.bool_],
    exact: _Reasons,
    near: _Reasons,
    quality_floor: int,
) -> Tally:
    tally = Tally()
    for place, answer in enumerate(decoded):
        if place in exact:
            outcome = MatchOutcome.HIT
        elif place in near:
            outcome = MatchOutcome.NEAR_HIT
        elif too_plain(answer, quality_floor):
            outcome = MatchOutcome.TOO_PLAIN
        elif compared[place]:
            outcome = MatchOutcome.CLEAR
        else:
            continue
        tally[outcome.value] += 1
    return tally


def too_plain(answer: Decoded, quality_floor: int) -> bool:
    """Whether a picture was decoded and shows too little to be compared by PDQ."""
    return _was_decoded(answer) and all(view.quality < quality_floor for view in answer.views)


def meets_by_distance(answer: Decoded, quality_floor: int) -> bool:
    """Whether some view of a picture is compared by PDQ, where a list holds any."""
    return any(view.quality >= quality_floor for view in answer.views)


def _was_decoded(answer: Decoded) -> bool:
    return answer.outcome in {FingerprintOutcome.FINGERPRINTED, FingerprintOutcome.CHANGED_CONTENT}


def _can_be_clear(answer: Decoded) -> bool:
    return answer.outcome is not FingerprintOutcome.NOT_AUDITABLE


# --- the breaker ------------------------------------------------------------------------------------------------------


def noisy_entries(hits: Iterable[Hit], key: bytes, limit: int) -> frozenset[str]:
    """Names, within a run, of the entries that are near to pictures of more rows than the limit; order is nothing."""
    rows: Counter[str] = Counter()
    for hit in hits:
        rows.update(_near_names(hit, key))
    return frozenset(name for name, count in rows.items() if count > limit)


def settle_near(hits: Iterable[Hit], noisy: frozenset[str], key: bytes) -> tuple[list[Hit], I64]:
    """Hits that stand, and the rows of near hits that only noisy entries are near to; an exact hit always stands."""
    standing: list[Hit] = []
    held: list[int] = []
    for hit in hits:
        if hit.outcome is ScreenOutcome.NEAR_HIT and _near_names(hit, key) <= noisy:
            held.append(hit.row)
        else:
            standing.append(hit)
    return standing, np.array(sorted(held), np.int64)


def _near_names(hit: Hit, key: bytes) -> set[str]:
    return {kernels.entry_name_of(reason, key) for reason in hit.matches if reason.near is not None}
