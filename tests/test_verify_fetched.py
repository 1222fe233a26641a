"""Verify on a run that fetched: what was served is asked about, and a verdict is of those bytes and no others."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commanding import MEMORY
from tests.fetching import Site, site_in
from tests.settling import Settled, mixed, prints_of
from vetset.kernels import likenesses, url_of
from vetset.records import Address, Ruling, ScreenOutcome, Sealed, Signal
from vetset.testing.judges import MemoryPlatform

KEY = b"k" * 32


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="vetset-test-", dir=MEMORY) as name:
        made = site_in(Path(name), 1)
        assert made.audit().complete
        yield made


def test_what_was_served_can_be_asked_about_and_every_case_is_of_a_row_left_out(site: Site) -> None:
    settled = Settled(site.place)
    exhibits = settled.exhibits()
    places = {(case.shard_id, case.row) for exhibit in exhibits for case in exhibit.cases}
    left_out = {place for place, outcome in site.place.outcomes().items() if outcome != "held"}
    assert len(places) == len(left_out)
    near = [case for exhibit in exhibits for case in exhibit.cases if case.outcome is ScreenOutcome.NEAR_HIT]
    assert near
    assert all(case.prints for case in near)
    assert not any(case.prints for e in exhibits for case in e.cases if case.outcome is ScreenOutcome.EXPANDED)


def test_a_row_that_only_noisy_entries_are_near_to_is_no_case(tmp_path: Path) -> None:
    made = site_in(tmp_path, 9)
    assert made.audit(spread_limit=1).complete
    found = made.place.outcomes()
    findings = {(line["shard"], line["row"]) for line in made.place.findings()}
    held = {place for place, outcome in found.items() if outcome == "held"}
    assert held & findings  # they are findings, and are kept
    paths = {shard["id"]: shard["path"] for shard in made.place.vault()[1]["inputs"]}
    cases = [case for exhibit in Settled(made.place).exhibits() for case in exhibit.cases]
    assert {(paths[case.shard_id], case.row) for case in cases} == found.keys() - held


def test_one_verdict_for_all_rows_that_served_the_same_bytes(site: Site) -> None:
    settled = Settled(site.place)
    exhibits = settled.exhibits()
    verdicts = mixed([exhibit for exhibit in exhibits if exhibit.prints], Ruling.CSAM, Ruling.NO_MATCH)
    settled.verify({"judge": MemoryPlatform(verdicts)})
    book = settled.book()
    states = Counter(book.state(exhibit).value for exhibit in book.exhibits if prints_of(exhibit))
    assert set(states) == {"confirmed", "undecided"}
    assert all(book.state(exhibit).value == "unverified" for exhibit in book.exhibits if not prints_of(exhibit))
    assert settled.states().total() == sum(len(exhibit.cases) for exhibit in exhibits)


# --- when findings are of one picture ---------------------------------------------------------------------------------


def names(
    url: bytes | None, recorded: dict[Signal, bytes], computed: dict[Signal, bytes] | None = None
) -> frozenset[str]:
    return likenesses(Sealed(Address(url, recorded, computed or {})), KEY)


A, B, EMPTY = b"a" * 16, b"b" * 16, bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e")


def test_the_same_digest_is_the_same_picture_recorded_or_computed() -> None:
    assert names(b"u", {Signal.MD5: A}) & names(b"v", {Signal.MD5: A})
    assert names(b"u", {Signal.MD5: A}) & names(b"v", {}, {Signal.MD5: A})
    assert names(b"u", {Signal.MD5: A}, {Signal.MD5: A}) == names(None, {Signal.MD5: A})
    assert not names(b"u", {Signal.MD5: A}) & names(b"u", {Signal.MD5: B})


def test_bytes_that_are_not_the_recorded_ones_are_another_picture() -> None:
    changed = names(b"u", {Signal.MD5: A}, {Signal.MD5: B})
    assert changed == names(None, {}, {Signal.MD5: B})
    assert not changed & names(b"u", {Signal.MD5: A})


def test_an_address_stands_for_a_picture_only_where_there_is_no_digest() -> None:
    assert names(b"u", {}) & names(b"u", {})
    assert not names(b"u", {}) & names(b"v", {})
    assert not names(b"u", {}) & names(b"u", {Signal.MD5: A})
    assert names(b"u", {Signal.MD5: EMPTY}) == names(b"u", {})
    assert names(None, {}) == frozenset()


def test_a_blank_address_is_none() -> None:
    for url, found in ((b"https://a.example/", True), (b"  \t", False), (b"", False), (None, False)):
        assert (url_of(Sealed(Address(url, {}))) is not None) == found


def test_names_tell_nothing_without_the_key_and_kinds_do_not_mix() -> None:
    assert names(b"u", {Signal.MD5: A}) != likenesses(Sealed(Address(b"u", {Signal.MD5: A})), b"x" * 32)
    assert not names(None, {Signal.MD5: A}) & names(A, {})
    assert all(A.hex() not in name for name in names(None, {Signal.MD5: A}))
