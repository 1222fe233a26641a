"""Snappy unfolded and cut: against Arrow's, against the same cut made in the contents, damaged, native and plain alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vetset.kernels import native, snappy
from vetset.kernels.encoding import NotEncoded

NATIVE = native.LIB
both = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["native", "plain"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Once with the native kernels and once without."""
    if request.param == "plain":
        monkeypatch.setattr(native, "LIB", None)
    elif NATIVE is None:
        pytest.skip("no native kernels here")
    return str(request.param)


def told(function: Callable[[], Any]) -> Any:
    """What a kernel answers, or that it refused; the same from both, or the test fails."""
    answers = []
    for library in (NATIVE, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "LIB", library)
            try:
                answers.append(function())
            except NotEncoded:
                answers.append("refused")
    assert answers[0] == answers[1]
    return answers[0]


def folded(data: bytes) -> bytes:
    compressed: bytes = pa.Codec("snappy").compress(data, asbytes=True)
    return compressed


def arrows(data: bytes, size_bytes: int) -> bytes:
    contents: bytes = pa.Codec("snappy").decompress(data, decompressed_size=size_bytes, asbytes=True)
    return contents


contents = st.one_of(
    st.binary(max_size=400),
    st.lists(st.sampled_from([b"https://", b"example.org/", b"a", b"bb", b"\x00" * 9, b"picture.jpg"])).map(b"".join),
    st.tuples(st.binary(min_size=1, max_size=5), st.integers(1, 300)).map(lambda part: part[0] * part[1]),
)


@both
@given(contents)
def test_it_unfolds_to_what_was_folded(data: bytes) -> None:
    compressed = folded(data)
    assert told(lambda: bytes(snappy.unfolded(compressed, len(data)))) == data
    assert told(lambda: bytes(snappy.unfolded(compressed, len(data) + 1))) == "refused"


@both
@given(contents, st.data())
def test_damage_is_refused_or_read_alike(data: bytes, more: st.DataObject) -> None:
    damaged = bytearray(folded(data))
    for _ in range(more.draw(st.integers(1, 3))):
        damaged[more.draw(st.integers(0, len(damaged) - 1))] = more.draw(st.integers(0, 255))
    answer = told(lambda: bytes(snappy.unfolded(bytes(damaged), len(data))))
    assert answer == "refused" or len(answer) == len(data)


@both
@given(st.binary(max_size=60), st.integers(0, 200))
def test_any_bytes_are_refused_or_read_alike(data: bytes, size_bytes: int) -> None:
    told(lambda: bytes(snappy.unfolded(data, size_bytes)))


def drawn_gone(data: st.DataObject, size: int) -> npt.NDArray[np.int64]:
    edges = sorted(data.draw(st.sets(st.integers(0, size), max_size=12)))
    return np.array(edges[: len(edges) // 2 * 2], np.int64).reshape(-1, 2)


@both
@given(contents, st.sampled_from([b"", b"\x02\x00\x00\x00\x10\x01", b"x" * 70]), st.data())
def test_what_is_cut_unfolds_to_the_contents_without_the_stretches(
    data: bytes, first: bytes, more: st.DataObject
) -> None:
    gone = drawn_gone(more, len(data))
    expected = bytearray(first)
    at = 0
    for start, stop in [*gone.tolist(), (len(data), len(data))]:
        expected += data[at:start]
        at = stop

    def cut() -> bytes | None:
        made = snappy.cut(folded(data), data, first, gone)
        return None if made is None else bytes(made)

    made = told(cut)
    if made is not None:
        assert arrows(made, len(expected)) == expected
        assert told(lambda: bytes(snappy.unfolded(made, len(expected)))) == expected


@given(
    st.lists(st.tuples(contents, st.integers(1, 4000)), min_size=1, max_size=4),
    st.integers(0, 9),
    st.data(),
)
def test_marks_change_nothing_but_the_time(parts: list[tuple[bytes, int]], noise: int, more: st.DataObject) -> None:
    """Contents of several of snappy's blocks, cut here and there, some of them damaged afterwards."""
    data = b"".join(part * (count // (len(part) + 1) + 1) for part, count in parts)[:2000] * more.draw(
        st.integers(1, 150)
    )
    compressed = bytearray(folded(data))
    if noise == 0:
        compressed[more.draw(st.integers(0, len(compressed) - 1))] ^= 1 << more.draw(st.integers(0, 7))
    try:
        whole, marks = snappy.unfolded_to_cut(bytes(compressed), len(data))
    except NotEncoded:
        return
    assert noise == 0 or bytes(whole) == data
    gone = drawn_gone(more, len(data))
    quick = snappy.cut(bytes(compressed), whole, b"levels", gone, marks)
    slow = snappy.cut(bytes(compressed), whole, b"levels", gone)
    assert (quick is None) == (slow is None)
    assert quick is None or slow is None or bytes(quick) == bytes(slow)


@pytest.mark.skipif(native.LIB is None, reason="only the native kernel makes marks")
def test_marks_tell_where_blocks_start_that_stand_alone() -> None:
    data = b"".join(b"https://example.org/%d/picture.jpg" % number for number in range(8000))
    _, marks = snappy.unfolded_to_cut(folded(data), len(data))
    assert len(marks) == len(data) // 65536 + 2
    assert (marks[:-1] % 2 == 1).all()  # snappy folds each block by itself
    assert (np.diff(marks) > 0).all()
    assert marks[-1] // 2 == len(folded(data))
    # One literal over two blocks.
    literal = bytes([254, 255, 7]) + bytes([63 << 2]) + (131_069).to_bytes(4, "little") + bytes(131_070)
    _, marks = snappy.unfolded_to_cut(literal, 131_070)
    assert marks.tolist()[1] == -1


def test_what_is_far_from_a_cut_stays_as_it_was(kernels: str) -> None:
    """Snappy's blocks of 64 KiB do not refer to each other: a cut in the third leaves the others alone."""
    rng = np.random.default_rng(3)
    data = b"".join(b"https://example.org/%d/picture.jpg" % number for number in rng.integers(0, 9999, 8000))
    compressed = folded(data)
    made = snappy.cut(compressed, data, b"", np.array([[150_000, 150_040]], np.int64))
    assert made is not None
    assert len(compressed) - 100 < len(made) < len(compressed) + 2000
    assert bytes(made)[3:20_000] == compressed[3:20_000]
    assert bytes(made)[-2000:] == compressed[-2000:]


def test_a_cut_that_would_swell_is_not_made(kernels: str) -> None:
    """Copies of one place that goes would each become a literal, with a byte before it."""
    data = b"abcd" + b"".join(bytes([number]) + b"abcd" for number in range(100))
    elements = bytes([3 << 2]) + b"abcd"
    for number in range(100):
        offset = 5 + 5 * number
        elements += bytes([0, number, 1 | offset >> 8 << 5, offset & 255])
    compressed = bytes([len(data) & 127 | 128, len(data) >> 7]) + elements
    assert bytes(snappy.unfolded(compressed, len(data))) == data
    assert snappy.cut(compressed, data, b"", np.array([[0, 4]], np.int64)) is None
