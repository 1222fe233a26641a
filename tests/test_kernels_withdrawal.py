"""Withdrawn entries release rows only when they were the last reason, by the slow and obvious definition."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import md5, sha1, sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset import kernels
from vetset.kernels import Finding, Gone, released
from vetset.records import Address, ListEntry, Match, Nearness, Sealed, Signal, UrlForm, View
from vetset.testing.lists import MemoryList


def key(number: int, signal: Signal = Signal.MD5) -> bytes:
    make = {Signal.MD5: md5, Signal.SHA1: sha1, Signal.PDQ: sha256}[signal]
    return make(f"invented {signal} {number}".encode()).digest()


def url(number: int) -> bytes:
    return b"https://made-up.example/%d" % number


def url_key(number: int) -> bytes:
    return sha256(url(number)).digest()


def match(
    value: bytes,
    version: int = 1,
    *,
    name: str = "bodies",
    signal: Signal = Signal.MD5,
    entry: str = "e",
    **more: object,
) -> Match:
    return Match(name, version, signal, more.get("form"), Sealed(value), ListEntry(entry), more.get("near"))  # type: ignore[arg-type]


def finding(
    case: str, *matches: Match, address: bytes | None = None, md5s: int | None = None, sha1s: int | None = None
) -> Finding:
    digests = {Signal.MD5: key(md5s)} if md5s is not None else {}
    digests |= {Signal.SHA1: key(sha1s, Signal.SHA1)} if sha1s is not None else {}
    return Finding(case, Sealed(Address(address, digests)), matches)


def held(version: int, *numbers: int, name: str = "bodies", signal: Signal = Signal.MD5) -> MemoryList:
    return MemoryList(name, version, {signal: {key(number, signal): () for number in numbers}})


def cases(found: list[Finding], *lists: MemoryList) -> list[str]:
    return [release.case for release in released(found, lists)]


def test_a_row_whose_only_entry_was_withdrawn_is_released_with_a_trace() -> None:
    (release,) = released([finding("a", match(key(1), entry="e1"), md5s=1)], [held(2, 7)])
    assert release.case == "a"
    assert release.gone == (Gone("bodies", 1, 2, Signal.MD5, "e1"),)


def test_a_trace_shows_no_more_than_it_must() -> None:
    (release,) = released([finding("a", match(key(1), entry="e1"), md5s=1)], [held(2, 7)])
    assert "e1" not in repr(release)


def test_an_entry_that_another_one_repeats_is_no_loss() -> None:
    """The value is still listed, whoever says so."""
    newer = MemoryList("bodies", 2, {Signal.MD5: {key(1): (ListEntry("another"),)}})
    assert cases([finding("a", match(key(1), entry="e1"), md5s=1)], newer) == []


@pytest.mark.parametrize(
    "lists",
    [
        [],
        [held(1, 7)],
        [held(9, 7, name="others")],
        [held(2, 7, signal=Signal.SHA1)],
        [held(2, 1)],
        [held(2, 7), held(3, 1)],
    ],
    ids=["none in hand", "the same version", "another list", "no values of the kind", "still listed", "listed again"],
)
def test_what_releases_nothing(lists: list[MemoryList]) -> None:
    assert cases([finding("a", match(key(1)), md5s=1)], *lists) == []


def test_the_newest_version_in_hand_counts_in_any_order() -> None:
    found = [finding("a", match(key(1)), md5s=1)]
    assert cases(found, held(3, 7), held(2, 1)) == cases(found, held(2, 1), held(3, 7)) == ["a"]


def test_one_reason_left_is_enough() -> None:
    both = finding("a", match(key(1)), match(key(2), name="others"), md5s=1)
    assert cases([both], held(2, 7)) == []
    assert cases([both], held(2, 7), held(2, 7, name="others")) == ["a"]


def test_what_the_row_records_may_be_listed_by_now() -> None:
    """One digest was withdrawn, another one of the same picture came."""
    newer = MemoryList("bodies", 2, {Signal.MD5: {key(7): ()}, Signal.SHA1: {key(3, Signal.SHA1): ()}})
    assert cases([finding("a", match(key(1)), md5s=1, sha1s=3)], newer) == []
    assert cases([finding("a", match(key(1)), md5s=1, sha1s=4)], newer) == ["a"]


@pytest.mark.parametrize("form", list(UrlForm))
def test_an_address_is_compared_under_its_form(form: UrlForm) -> None:
    value = kernels.digest_of(kernels.FORM_OF[form](url(1)) or b"", "sha256")
    found = [finding("a", match(value, signal=Signal.URL, form=form), address=url(1))]
    assert cases(found, MemoryList("bodies", 2, {Signal.URL: {url(1): ()}})) == []
    assert cases(found, MemoryList("bodies", 2, {Signal.URL: {url(2): ()}})) == ["a"]


def test_a_row_may_be_listed_by_its_address_instead() -> None:
    newer = MemoryList("bodies", 2, {Signal.MD5: {key(7): ()}, Signal.URL: {url(1): ()}})
    assert cases([finding("a", match(key(1)), md5s=1, address=url(1))], newer) == []


def test_a_near_hit_falls_with_the_key_it_was_near_to() -> None:
    near = match(
        key(1, Signal.PDQ),
        signal=Signal.PDQ,
        near=Nearness(4, View.FIRST),
    )
    assert cases([finding("a", near)], held(2, 1, signal=Signal.PDQ)) == []
    assert cases([finding("a", near)], held(2, 7, signal=Signal.PDQ)) == ["a"]


def test_rows_that_shared_a_value_go_with_the_hit_and_stay_with_another() -> None:
    gone = finding("hit", match(key(1)), md5s=1, address=url(1))
    stays = finding("other", match(key(2)), md5s=2, address=url(2))
    expanded = [finding("x", md5s=1), finding("y", address=url(2)), finding("z", md5s=1, address=url(2))]
    trace = {release.case: release.gone for release in released([gone, stays, *expanded], [held(2, 2)])}
    assert trace == {}, "z bears a value of both: over it the hit that stays would reach them all"
    alone = {release.case: release.gone for release in released([gone, stays, *expanded[:2]], [held(2, 2)])}
    assert set(alone) == {"hit", "x"}
    assert alone["x"] == ()


def test_a_hit_that_shares_a_value_with_one_that_stays_would_be_expanded_again() -> None:
    gone, stays = (
        finding("a", match(key(1)), md5s=1, address=url(1)),
        finding("b", match(key(2)), md5s=2, address=url(1)),
    )
    assert cases([gone, stays], held(2, 2)) == []


def test_a_row_of_which_no_hit_is_given_is_not_released() -> None:
    assert cases([finding("x", md5s=1)], held(2, 7)) == []


# --- the oracle -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    md5: int | None
    address: int | None
    matches: frozenset[tuple[str, int, int]]  # list, version, number of the md5


def shares(one: Row, other: Row) -> bool:
    return (one.md5 is not None and one.md5 == other.md5) or (one.address is not None and one.address == other.address)


def closure(rows: list[Row], starts: set[int]) -> set[int]:
    """By passes over all pairs until nothing changes."""
    reached = set(starts)
    while True:
        more = {a for a in range(len(rows)) for b in reached if shares(rows[a], rows[b])} - reached
        if not more:
            return reached
        reached |= more


def oracle(rows: list[Row], lists: dict[str, tuple[int, set[int]]]) -> set[int]:
    """The definition: a match falls if a newer version of its list lacks the value, and nothing else may speak for it."""

    def fallen(name: str, version: int, number: int) -> bool:
        return name in lists and lists[name][0] > version and bool(lists[name][1]) and number not in lists[name][1]

    def listed(row: Row) -> bool:
        return any(row.md5 in numbers for _, numbers in lists.values())

    gone = {
        at
        for at, row in enumerate(rows)
        if row.matches and all(fallen(*one) for one in row.matches) and not listed(row)
    }
    stay = {at for at, row in enumerate(rows) if row.matches} - gone
    return closure(rows, gone) - closure(rows, stay)


numbers = st.integers(0, 4)
names = st.sampled_from(["bodies", "others"])
rows_of = st.lists(
    st.builds(
        Row,
        st.none() | numbers,
        st.none() | st.integers(0, 3),
        st.frozensets(st.tuples(names, st.integers(1, 3), numbers), max_size=2),
    ),
    max_size=8,
)
lists_of = st.dictionaries(names, st.tuples(st.integers(1, 4), st.sets(numbers, max_size=3)))


@given(rows_of, lists_of)
def test_it_agrees_with_the_definition(rows: list[Row], lists: dict[str, tuple[int, set[int]]]) -> None:
    found = [
        finding(
            str(at),
            *(match(key(number), version, name=name) for name, version, number in sorted(row.matches)),
            md5s=row.md5,
            address=None if row.address is None else url(row.address),
        )
        for at, row in enumerate(rows)
    ]
    hands = [
        held(version, *numbers_, name=name) if numbers_ else MemoryList(name, version, {})
        for name, (version, numbers_) in lists.items()
    ]
    assert {int(case) for case in cases(found, *hands)} == oracle(rows, lists)


@given(rows_of, lists_of)
def test_a_list_that_grows_releases_no_more(rows: list[Row], lists: dict[str, tuple[int, set[int]]]) -> None:
    """Monotone: what a larger list releases, the smaller one did too."""
    grown = {name: (version, held_ | {0, 1}) for name, (version, held_) in lists.items() if held_}
    smaller = {name: lists[name] for name in grown}
    assert oracle(rows, grown) <= oracle(rows, smaller)
