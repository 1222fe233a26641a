"""The records between worker and child: what goes in comes out, and whatever bytes a child sends are a reply or a breach."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.records import FingerprintOutcome, ResizeMode, Stored, View, ViewPrint
from vetset.sandbox.level import SandboxLevel
from vetset.sandbox.wire import (
    HELLO_BYTES,
    MOST_KINDS,
    MOST_OTHER_BYTES,
    MOST_VIEWS,
    REQUEST_BYTES,
    Breach,
    Hello,
    Kind,
    Request,
    hello_from,
    pack_replies,
    reply_bytes,
    reply_from,
    request_from,
)

U32 = st.integers(0, 2**32 - 1)
KINDS = (Kind("photodna", 144), Kind("edge", 924))


@given(U32, st.integers(0, 2**40), U32, st.sampled_from([None, *ResizeMode]), U32, U32)
def test_a_request_comes_back(
    number: int, offset: int, length: int, mode: ResizeMode | None, width: int, height: int
) -> None:
    request = Request(number, offset, length, Stored(mode, width, height))
    data = request.pack()
    assert len(data) == REQUEST_BYTES
    assert request_from(data) == request


@pytest.mark.parametrize("wrong", [-1, 2**32, 10**30])
def test_a_recorded_size_that_is_none_is_not_recorded(wrong: int) -> None:
    assert request_from(Request(1, 2, 3, Stored(None, wrong, 5)).pack()).stored == Stored(None, 0, 5)


def view_print(number: int, kinds: tuple[Kind, ...], present: int) -> ViewPrint:
    random = np.random.default_rng(number)
    other = {kind.name: random.bytes(kind.width_bytes) for bit, kind in enumerate(kinds) if present >> bit & 1}
    return ViewPrint(list(View)[number % len(View)], number % 101, random.integers(0, 256, (8, 32), np.uint8), other)


@given(
    U32,
    st.sampled_from(list(FingerprintOutcome)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 3)), max_size=MOST_VIEWS + 3),
    st.sampled_from([(), KINDS[:1], KINDS]),
)
def test_an_answer_comes_back(
    number: int, outcome: FingerprintOutcome, seen: list[tuple[int, int]], kinds: tuple[Kind, ...]
) -> None:
    views = [view_print(seed, kinds, present) for seed, present in seen]
    data = pack_replies(number, outcome, views, kinds)
    size = reply_bytes(kinds)
    records = [reply_from(data[at : at + size], kinds) for at in range(0, len(data), size)]
    assert [record.number for record in records] == [number] * max(1, min(len(views), MOST_VIEWS))
    assert {record.outcome for record in records} == {outcome}
    assert [record.more for record in records] == list(range(len(records)))[::-1]
    back = [record.view for record in records if record.view is not None]
    assert len(back) == min(len(views), MOST_VIEWS)
    for mine, theirs in zip(views, back, strict=False):
        assert (mine.view, mine.quality, dict(mine.other)) == (theirs.view, theirs.quality, dict(theirs.other))
        assert (mine.pdq == theirs.pdq).all()


@given(st.data(), st.sampled_from([(), KINDS]))
def test_whatever_a_child_sends_is_a_reply_or_a_breach(data: st.DataObject, kinds: tuple[Kind, ...]) -> None:
    size = reply_bytes(kinds)
    sent = data.draw(st.binary(min_size=12, max_size=12)) + bytes(size - 12)
    try:
        reply = reply_from(sent, kinds)
    except Breach:
        return
    assert reply.more < MOST_VIEWS
    assert reply.view is None or (reply.view.quality <= 100 and reply.view.pdq.shape == (8, 32))


@pytest.mark.parametrize(("at", "value"), [(4, 200), (5, 77), (6, 101), (7, MOST_VIEWS), (8, 1)])
def test_what_cannot_be_is_a_breach(at: int, value: int) -> None:
    data = bytearray(pack_replies(1, FingerprintOutcome.FINGERPRINTED, [view_print(1, (), 0)], ()))
    reply_from(bytes(data), ())
    data[at] = value
    with pytest.raises(Breach):
        reply_from(bytes(data), ())


@pytest.mark.parametrize("level", list(SandboxLevel))
@pytest.mark.parametrize("kinds", [(), KINDS, tuple(Kind(f"kind-{n}", n + 1) for n in range(MOST_KINDS))])
def test_first_words_come_back(level: SandboxLevel, kinds: tuple[Kind, ...]) -> None:
    data = Hello(level, kinds, 3).pack()
    assert len(data) == HELLO_BYTES
    assert hello_from(data) == Hello(level, kinds, 3)


@given(st.binary(min_size=HELLO_BYTES, max_size=HELLO_BYTES))
def test_other_first_words_are_a_breach(data: bytes) -> None:
    with pytest.raises(Breach):
        hello_from(data)


@pytest.mark.parametrize(("at", "value"), [(8, len(SandboxLevel)), (10, MOST_KINDS + 1)])
def test_first_words_of_nothing_known_are_a_breach(at: int, value: int) -> None:
    data = bytearray(Hello(SandboxLevel.LIMITS, ()).pack())
    data[at] = value
    with pytest.raises(Breach):
        hello_from(bytes(data))


def test_levels_are_in_order() -> None:
    assert [level.rank for level in SandboxLevel] == [0, 1, 2, 3]
    assert [level.value for level in SandboxLevel] == ["none", "limits", "seccomp", "seccomp+landlock"]


def test_a_reply_is_written_at_once() -> None:
    import select

    assert reply_bytes((Kind("all", MOST_OTHER_BYTES),)) <= select.PIPE_BUF
