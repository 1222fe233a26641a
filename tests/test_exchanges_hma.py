"""A bank of an HMA as an exchange: what stands in it, what does not, where it ends, and what is no answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.exchanging import Moments, hma_of
from vetset.errors import ServiceError, Stop
from vetset.hashlists.account import Reason
from vetset.hashlists.exchange import NOTHING_KNOWN, Known, Part, merged
from vetset.records import Signal
from vetset.testing.hma_bank_server import Banked, Curator, hma_bank_server
from vetset.testing.serving import Reply, Served


@dataclass
class Walked:
    """Walks over one bank, and what is known of it after them."""

    curator: Curator
    served: Served
    moments: Moments
    gap: int = 5

    def walk(self, known: dict[str, Known], checkpoint: dict[str, str]) -> tuple[list[Part], dict[str, str]]:
        self.moments.now += timedelta(days=1)
        with hma_of(self.served.url, lambda _: None, self.moments, gap=self.gap, secret=None) as exchange:
            parts = list(exchange.parts(checkpoint))
        for part in parts:
            for entry in part.entries:
                known[entry.key] = merged(known.get(entry.key, NOTHING_KNOWN), entry)
        return parts, dict(parts[-1].checkpoint)


@contextmanager
def bank(contents: dict[int, Banked]) -> Iterator[Walked]:
    curator = Curator(contents=contents)
    with hma_bank_server(curator) as served:
        yield Walked(curator, served, Moments())


def pdq(number: int) -> str:
    return f"{number:064x}"


def held(known: dict[str, Known]) -> set[int]:
    return {int.from_bytes(value) for item in known.values() for _, value, _ in item.standing()}


def test_what_stands_in_the_bank_is_taken_whatever_lies_between() -> None:
    contents = {
        1: Banked("KNOWN", {"pdq": pdq(1)}),
        3: Banked("OTHER", {"pdq": pdq(3)}),
        4: Banked("KNOWN", {"pdq": pdq(4)}, disable_until_ts=2**33),
        5: Banked("KNOWN", {"pdq": pdq(5)}, disable_until_ts=1),
        9: Banked("KNOWN", {"pdq": pdq(9), "video_md5": "11" * 16, "raw_text": "words", "md5": "no hex"}),
    }
    known: dict[str, Known] = {}
    with bank(contents) as walked:
        parts, checkpoint = walked.walk(known, {})
    assert held(known) == {1, 5, 9, int("11" * 16, 16)}
    signals = {signal for item in known.values() for signal, _, _ in item.standing()}
    assert signals == {Signal.PDQ, Signal.MD5}
    assert checkpoint == {"top": "9"}
    faults = Counter[Reason]()
    for part in parts:
        faults.update(part.faults)
    assert faults == {Reason.UNKNOWN_SIGNAL: 1, Reason.NOT_HEX: 1}
    assert {item.query.get("include_signals") for item in walked.served.asked[1:]} == {"true"}


def test_the_walk_ends_a_gap_behind_the_last_content_and_not_before() -> None:
    with bank({5: Banked("KNOWN", {"pdq": pdq(5)}), 11: Banked("KNOWN", {"pdq": pdq(11)})}) as walked:
        known: dict[str, Known] = {}
        walked.walk(known, {})
        assert held(known) == {5}  # five numbers without a content end it: 11 is not found
        walked.gap = 6
        walked.walk(known, {})
        assert held(known) == {5, 11}
        numbers = [int(item.path.rpartition("/")[2]) for item in walked.served.asked if "/content/" in item.path]
    assert max(numbers) == 17


def test_what_goes_is_withdrawn_and_may_come_again() -> None:
    with bank({1: Banked("KNOWN", {"pdq": pdq(1)}), 2: Banked("KNOWN", {"pdq": pdq(2)})}) as walked:
        known: dict[str, Known] = {}
        _, checkpoint = walked.walk(known, {})
        walked.curator.contents[1].disable_until_ts = 2**33
        walked.curator.contents[2].bank = "OTHER"
        _, checkpoint = walked.walk(known, checkpoint)
        assert held(known) == set()
        walked.curator.contents[1].disable_until_ts = 0
        del walked.curator.contents[2]
        _, checkpoint = walked.walk(known, checkpoint)
        assert held(known) == {1}
        assert set(known) == {"id 1", "id 2"}  # of numbers that never were nothing is kept


@given(
    rounds=st.lists(
        st.dictionaries(st.integers(1, 12), st.sampled_from(["KNOWN", "OTHER", "off"]), max_size=8),
        min_size=1,
        max_size=4,
    ),
    gap=st.integers(13, 15),
)
@settings(max_examples=15, deadline=None)
def test_after_any_walks_the_list_is_what_the_bank_holds(rounds: list[dict[int, str]], gap: int) -> None:
    known: dict[str, Known] = {}
    checkpoint: dict[str, str] = {}
    with bank({}) as walked:
        walked.gap = gap
        for contents in rounds:
            walked.curator.contents = {
                number: Banked(kind if kind != "off" else "KNOWN", {"pdq": pdq(number)}, 2**33 if kind == "off" else 0)
                for number, kind in contents.items()
            }
            _, checkpoint = walked.walk(known, checkpoint)
            assert held(known) == {number for number, kind in contents.items() if kind == "KNOWN"}


def test_no_such_bank_stops() -> None:
    with bank({}) as walked:
        walked.curator.banks = {"OTHER"}
        with pytest.raises(Stop, match="has no bank KNOWN"):
            walked.walk({}, {})


@pytest.mark.parametrize(
    ("has_contents", "what"), [(False, "does not give out contents"), (True, "without their signals")]
)
def test_an_hma_that_gives_no_signals_stops(has_contents: bool, what: str) -> None:
    with bank({1: Banked("KNOWN", {"pdq": pdq(1)})}) as walked:
        walked.curator.gives_signals, walked.curator.has_contents = False, has_contents
        with pytest.raises(Stop, match=what):
            walked.walk({}, {})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"id": 2, "bank": {"name": "KNOWN"}}',
        b'{"id": 1, "bank": "KNOWN"}',
        b'{"id": 1, "bank": {"name": "KNOWN"}, "signals": {}}',
        b"[" * 100_000,
    ],
)
def test_a_broken_answer_is_no_content_and_no_absence(body: bytes) -> None:
    with bank({1: Banked("KNOWN", {"pdq": pdq(1)})}) as walked:
        walked.served.faults.extend([None, Reply(200, body)])
        with pytest.raises(ServiceError):
            walked.walk({}, {})
