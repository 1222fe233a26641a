"""Match: every reason that a slow oracle finds and no other, one outcome for each picture, and the breaker."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset import kernels
from vetset.ports import FingerprintKind
from vetset.records import (
    WIDTH_BYTES,
    Decoded,
    FingerprintOutcome,
    Fingerprints,
    Hit,
    ListEntry,
    Match,
    MatchOutcome,
    ScreenOutcome,
    Signal,
    StageResult,
    View,
    ViewPrint,
)
from vetset.stages.match import Matched, MatchSettings, match, noisy_entries, settle_near
from vetset.testing.lists import MemoryList

U8 = npt.NDArray[np.uint8]
Keys = Mapping[Signal, Mapping[bytes, Sequence[ListEntry]]]
Reason = tuple[str, Signal, bytes, str, tuple[int, View, int, int] | None]

KEY = bytes(range(32))
DIGESTS = {Signal.MD5: "md5", Signal.SHA1: "sha1", Signal.SHA256: "sha256"}
DECODED = (FingerprintOutcome.FINGERPRINTED, FingerprintOutcome.CHANGED_CONTENT)
OTHERS = [outcome for outcome in FingerprintOutcome if outcome not in DECODED]


@dataclass(frozen=True, slots=True)
class Pic:
    """A picture as the stage meets it, in the words of the test."""

    body: bytes
    outcome: FingerprintOutcome
    views: tuple[ViewPrint, ...] = ()


def fingerprints(pictures: Sequence[Pic], first_row: int = 0) -> Fingerprints:
    rows = np.arange(first_row, first_row + 3 * len(pictures), 3)
    digests: dict[Signal, U8] = {}
    for signal, name in DIGESTS.items():
        made = b"".join(hashlib.new(name, pic.body).digest() for pic in pictures)
        digests[signal] = np.frombuffer(made, np.uint8).reshape(len(pictures), WIDTH_BYTES[signal])
    decoded = tuple(Decoded(int(row), pic.outcome, pic.views) for row, pic in zip(rows, pictures, strict=True))
    return Fingerprints(rows, digests, decoded)


def matched(pictures: Sequence[Pic], *lists: Keys, settings: MatchSettings | None = None) -> StageResult[Matched]:
    opened = [MemoryList(f"list {number}", number + 1, keys) for number, keys in enumerate(lists)]
    return match(fingerprints(pictures), opened, settings or MatchSettings(), shard_id="shard")


def reason_of(reason: Match) -> Reason:
    near = reason.near
    told = None if near is None else (near.distance, near.view, near.orientation, near.quality)
    return reason.list_name, reason.signal, reason.key.unseal(), reason.entry.entry_id, told


def flipped(value: bytes, bits: Sequence[int]) -> bytes:
    number = int.from_bytes(value, "big")
    for bit in bits:
        number ^= 1 << bit
    return number.to_bytes(32, "big")


def a_view(
    value: bytes, *, orientation: int = 0, quality: int = 80, view: View = View.FIRST, seed: int = 1, **other: bytes
) -> ViewPrint:
    """A view one of whose orientations is the value; the others are like nothing."""
    prints = np.random.default_rng([seed, *value[:4]]).integers(0, 256, (8, 32), np.uint8)
    prints[orientation] = list(value)
    return ViewPrint(view, quality, prints, other)


def a_print(number: int) -> bytes:
    return random.Random(number).randbytes(32)


def seen(*views: ViewPrint, body: bytes = b"body") -> Pic:
    return Pic(body, FingerprintOutcome.FINGERPRINTED, views)


# --- the oracle -------------------------------------------------------------------------------------------------------


def apart(one: bytes, other: bytes) -> int:
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


def reasons_for(pic: Pic, number: int, keys: Keys, settings: MatchSettings) -> Iterator[Reason]:
    name = f"list {number}"
    for signal, by_key in keys.items():
        for key, said in by_key.items():
            told: tuple[int, View, int, int] | None = None
            if signal in DIGESTS:
                if hashlib.new(DIGESTS[signal], pic.body).digest() != key:
                    continue
            else:
                measured = [
                    (apart(turned.tobytes(), key), place, orientation)
                    for place, view in enumerate(pic.views)
                    if view.quality >= settings.quality_floor
                    for orientation, turned in enumerate(view.pdq)
                ]
                if not measured or min(measured)[0] > settings.radius_of(name):
                    continue
                distance, place, orientation = min(measured)
                told = distance, pic.views[place].view, orientation, pic.views[place].quality
            for entry in said or [ListEntry()]:
                yield name, signal, key, entry.entry_id, told


def outcome_for(pic: Pic, found: Sequence[Reason], lists: Sequence[Keys], settings: MatchSettings) -> str:
    """An outcome, or nothing for a picture that was compared with nothing that counts."""
    plain = all(view.quality < settings.quality_floor for view in pic.views)
    if any(reason[1] in DIGESTS for reason in found):
        return MatchOutcome.HIT
    if found:
        return MatchOutcome.NEAR_HIT
    if pic.outcome in DECODED and plain:
        return MatchOutcome.TOO_PLAIN
    by_digest = any(keys.get(signal) for keys in lists for signal in DIGESTS)
    near = any(keys.get(Signal.PDQ) for keys in lists) and not plain
    return MatchOutcome.CLEAR if (by_digest or near) and pic.outcome is not FingerprintOutcome.NOT_AUDITABLE else ""


# --- everything that is listed, and nothing else ----------------------------------------------------------------------


@st.composite
def a_picture(draw: st.DrawFn) -> Pic:
    outcome = draw(st.sampled_from([*DECODED, *DECODED, *OTHERS]))
    body = draw(st.sampled_from([b"a", b"b", b"c", b""]))
    views = []
    for place in range(draw(st.integers(0, 3)) if outcome in DECODED else 0):
        value = flipped(a_print(draw(st.integers(0, 4))), range(draw(st.integers(0, 60))))
        view, quality = draw(st.sampled_from(list(View))), draw(st.sampled_from([0, 49, 50, 100]))
        views.append(a_view(value, orientation=draw(st.integers(0, 7)), quality=quality, view=view, seed=place))
    return Pic(body, outcome, tuple(views))


@st.composite
def a_list(draw: st.DrawFn) -> Keys:
    said = st.lists(st.sampled_from([ListEntry("one"), ListEntry("two")]), max_size=2, unique=True)
    found: dict[Signal, dict[bytes, Sequence[ListEntry]]] = {}
    for signal, name in DIGESTS.items():
        for body in draw(st.sets(st.sampled_from([b"a", b"b", b"other"]), max_size=2)):
            found.setdefault(signal, {})[hashlib.new(name, body).digest()] = draw(said)
    for number in draw(st.sets(st.integers(0, 3), max_size=3)):
        key = flipped(a_print(number), range(0, 2 * draw(st.integers(0, 8)), 2))
        found.setdefault(Signal.PDQ, {})[key] = draw(said)
    return found


@given(st.lists(a_picture(), max_size=6), st.lists(a_list(), max_size=2), st.sampled_from([0, 20, 31]))
def test_reasons_and_outcomes_are_the_oracles(
    either_kernels: str, pictures: list[Pic], lists: list[Keys], radius_bits: int
) -> None:
    settings = MatchSettings(radius_bits, {"list 1": 40}, quality_floor=50)
    result = matched(pictures, *lists, settings=settings)
    wanted = [
        [reason for number, keys in enumerate(lists) for reason in reasons_for(pic, number, keys, settings)]
        for pic in pictures
    ]
    told = {hit.row: sorted(map(repr, map(reason_of, hit.matches))) for hit in result.onward.hits}
    assert told == {3 * place: sorted(map(repr, found)) for place, found in enumerate(wanted) if found}
    outcomes = [outcome_for(pic, found, lists, settings) for pic, found in zip(pictures, wanted, strict=True)]
    assert result.tally == Counter(filter(None, outcomes))
    assert result.onward.not_compared == outcomes.count("")
    assert [hit.row for hit in result.onward.hits] == sorted(told)
    for hit in result.onward.hits:
        assert hit.outcome.value == outcomes[hit.row // 3]


@given(st.lists(a_picture(), max_size=6), st.lists(a_list(), max_size=2))
def test_pictures_compared_are_counted_by_kind_and_list(pictures: list[Pic], lists: list[Keys]) -> None:
    result = matched(pictures, *lists)
    wanted: Counter[tuple[str, str]] = Counter()
    worth = [pic for pic in pictures if any(view.quality >= 50 for view in pic.views)]
    for number, keys in enumerate(lists):
        for signal in keys:
            count = len(worth) if signal is Signal.PDQ else len(pictures)
            wanted[f"picture ({signal.value})", f"list {number}"] += count
    assert {(what.column, what.list_name): n for what, n in result.onward.compared.items() if n} == +wanted


def test_what_was_assessed_is_what_was_compared_and_could_be_clear() -> None:
    near, plain = seen(a_view(a_print(1))), seen(a_view(a_print(1), quality=49))
    cropped = Pic(b"listed", FingerprintOutcome.NOT_AUDITABLE)
    pictures = [near, plain, Pic(b"x", FingerprintOutcome.UNDECODABLE), cropped]
    assert matched(pictures, {Signal.PDQ: {a_print(2): ()}}).onward.assessed.tolist() == [0]
    exact = matched(pictures, {Signal.MD5: {hashlib.md5(b"listed").digest(): ()}})
    assert exact.onward.assessed.tolist() == [0, 3, 6]
    assert [(hit.row, hit.outcome) for hit in exact.onward.hits] == [(9, ScreenOutcome.HIT)]


def test_no_list_and_no_picture() -> None:
    assert matched([seen(a_view(a_print(1)))]).onward.not_compared == 1
    empty = matched([], {Signal.PDQ: {a_print(1): ()}, Signal.MD5: {bytes(16): ()}})
    assert (empty.tally, empty.onward.hits) == ({}, [])


# --- nearness ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(8))
@pytest.mark.parametrize("bits", [0, 1, 31, 32])
def test_every_orientation_is_looked_at(orientation: int, bits: int) -> None:
    pic = seen(a_view(flipped(a_print(7), range(0, 8 * bits, 8)), orientation=orientation))
    result = matched([pic], {Signal.PDQ: {a_print(7): (), a_print(8): ()}})
    if bits > 31:
        assert result.tally == {"clear": 1}
        return
    assert result.tally == {"near_hit": 1}
    (reason,) = result.onward.hits[0].matches
    assert reason_of(reason) == ("list 0", Signal.PDQ, a_print(7), "", (bits, View.FIRST, orientation, 80))


def test_the_same_print_is_a_near_hit_at_distance_nought_and_never_a_hit() -> None:
    result = matched([seen(a_view(a_print(1)))], {Signal.PDQ: {a_print(1): (ListEntry("e"),)}})
    assert result.tally == {"near_hit": 1}
    assert result.onward.hits[0].outcome is ScreenOutcome.NEAR_HIT


def test_one_reason_for_each_key_by_the_view_that_is_nearest() -> None:
    views = (
        a_view(flipped(a_print(1), range(9)), view=View.FIRST),
        a_view(flipped(a_print(1), range(4)), view=View.ON_WHITE, orientation=5, quality=60),
        a_view(flipped(a_print(1), range(4)), view=View.ON_BLACK),
        a_view(a_print(1), view=View.THUMBNAIL, quality=49),
    )
    result = matched([seen(*views)], {Signal.PDQ: {a_print(1): (ListEntry("a"), ListEntry("b"))}})
    assert [reason_of(reason)[3:] for reason in result.onward.hits[0].matches] == [
        ("a", (4, View.ON_WHITE, 5, 60)),
        ("b", (4, View.ON_WHITE, 5, 60)),
    ]


def test_an_exact_hit_tells_what_it_is_near_to_besides() -> None:
    keys: Keys = {Signal.SHA1: {hashlib.sha1(b"body").digest(): ()}, Signal.PDQ: {a_print(1): ()}}
    result = matched([seen(a_view(a_print(1)))], keys)
    (hit,) = result.onward.hits
    assert hit.outcome is ScreenOutcome.HIT
    assert [(reason.signal, reason.near is None) for reason in hit.matches] == [
        (Signal.SHA1, True),
        (Signal.PDQ, False),
    ]
    address = hit.address.unseal()
    assert address.digests == {}  # what the dataset records, the stage does not know
    assert address.computed == {signal: hashlib.new(name, b"body").digest() for signal, name in DIGESTS.items()}


def test_nothing_of_a_match_shows_when_printed() -> None:
    result = matched([seen(a_view(a_print(1)))], {Signal.PDQ: {a_print(1): ()}})
    shown = repr(result) + repr(result.onward.hits)
    assert a_print(1).hex() not in shown
    assert repr(a_print(1)) not in shown


# --- optional kinds ---------------------------------------------------------------------------------------------------


class Brightness:
    """A harmless kind: 144 bytes, apart by the sum of their differences."""

    name = "brightness"
    signal: Signal | None = Signal.PHOTODNA
    width_bytes = 144
    radius = 10
    may_be_sent_to: frozenset[str] = frozenset()

    def compute(self, pixels: U8) -> bytes | None:
        return bytes([int(pixels.mean())]) * 144

    def distances(self, keys: U8, query: bytes) -> npt.NDArray[np.int64]:
        wide = keys.astype(np.int64) - np.frombuffer(query, np.uint8)
        return np.asarray(np.abs(wide).sum(axis=1), np.int64)


class OnlySent(Brightness):
    signal: Signal | None = None


def by_kind(kind: FingerprintKind, pictures: Sequence[Pic], keys: Keys) -> StageResult[Matched]:
    lists = [MemoryList("kinds", 1, keys)]
    return match(fingerprints(pictures), lists, MatchSettings(), shard_id="shard", kinds=[kind])


@pytest.mark.parametrize("distance", [0, 10, 11])
def test_a_kind_is_compared_by_its_own_distance(distance: int) -> None:
    value = bytes([100 + distance]) + bytes([100]) * 143
    near, far = (a_view(a_print(1), quality=0, brightness=made) for made in (value, bytes([200]) * 144))
    result = by_kind(Brightness(), [seen(far, near)], {Signal.PHOTODNA: {bytes([100]) * 144: ()}})
    if distance > Brightness.radius:
        assert not result.onward.hits
        return
    (reason,) = result.onward.hits[0].matches
    assert reason.near is not None
    assert (reason.near.distance, result.tally) == (distance, {"near_hit": 1})


def test_the_nearest_view_of_a_kind_is_told() -> None:
    values = [bytes([100 + off]) + bytes([100]) * 143 for off in (5, 2, 7)]
    views = [
        a_view(a_print(1), view=view, brightness=value)
        for view, value in zip((View.FIRST, View.FRAME, View.ON_BLACK), values, strict=True)
    ]
    (hit,) = by_kind(Brightness(), [seen(*views)], {Signal.PHOTODNA: {bytes([100]) * 144: ()}}).onward.hits
    assert [(reason.near.distance, reason.near.view) for reason in hit.matches if reason.near] == [(2, View.FRAME)]


def test_a_kind_meets_only_lists_of_its_signal_and_pictures_that_have_it() -> None:
    with_it, without = seen(a_view(a_print(1), brightness=bytes(144))), seen(a_view(a_print(2)))
    keys: Keys = {Signal.PHOTODNA: {bytes(144): ()}}
    result = by_kind(Brightness(), [with_it, without], keys)
    assert [hit.row for hit in result.onward.hits] == [0]
    assert (result.onward.assessed.tolist(), result.onward.not_compared) == ([0], 1)
    assert by_kind(OnlySent(), [with_it], keys).onward.not_compared == 1
    assert by_kind(Brightness(), [with_it], {Signal.MD5: {bytes(16): ()}}).tally == {"clear": 1}


# --- the breaker ------------------------------------------------------------------------------------------------------


def near_hits(rows: Mapping[int, Sequence[int]], lists: int = 1) -> list[Hit]:
    """Hits of rows near to the numbered prints."""
    keys: Keys = {Signal.PDQ: {a_print(number): () for number in range(10)}}
    found = []
    for row, numbers in rows.items():
        result = matched([seen(*(a_view(a_print(number)) for number in numbers))], *[keys] * lists)
        (hit,) = result.onward.hits
        found.append(Hit("shard", row, hit.outcome, hit.address, hit.matches))
    return found


@given(st.dictionaries(st.integers(0, 50), st.sets(st.integers(0, 5), min_size=1), max_size=8), st.integers(1, 4))
def test_rows_that_only_noisy_entries_are_near_to_are_held(rows: dict[int, set[int]], limit: int) -> None:
    hits = near_hits({row: sorted(numbers) for row, numbers in rows.items()})
    counts = Counter(number for numbers in rows.values() for number in numbers)
    noisy = noisy_entries(hits, KEY, limit)
    assert noisy_entries(reversed(hits), KEY, limit) == noisy
    assert len(noisy) == sum(count > limit for count in counts.values())
    standing, held = settle_near(hits, noisy, KEY)
    wanted = sorted(row for row, numbers in rows.items() if all(counts[number] > limit for number in numbers))
    assert held.tolist() == wanted
    assert [hit.row for hit in standing] == [row for row in rows if row not in wanted]


def test_an_exact_hit_stands_however_noisy_the_entry() -> None:
    keys: Keys = {Signal.MD5: {hashlib.md5(b"body").digest(): ()}, Signal.PDQ: {a_print(1): ()}}
    pictures = [seen(a_view(a_print(1)), body=body) for body in (b"body", b"x", b"y")]
    hits = matched(pictures, keys).onward.hits
    noisy = noisy_entries(hits, KEY, 2)
    assert len(noisy) == 1
    standing, held = settle_near(hits, noisy, KEY)
    assert ([hit.row for hit in standing], held.tolist()) == ([0], [3, 6])


def test_the_same_print_in_two_lists_is_two_entries_and_their_names_tell_nothing() -> None:
    hits = near_hits({row: [1] for row in range(4)}, lists=2)
    noisy = noisy_entries(hits, KEY, 3)
    assert len(noisy) == 2
    assert noisy_entries(hits, bytes(32), 3).isdisjoint(noisy)
    assert all(name not in a_print(1).hex() for name in noisy)
    assert kernels.entry_name_of(hits[0].matches[0], KEY) in noisy
