"""Parquet's hybrid of runs and packed bits, and byte arrays: there and back, damaged, native and plain alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vetset.kernels import native
from vetset.kernels.encoding import NotEncoded, byte_arrays_cut, hybrid_encoded, hybrid_values, stretches

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


# --- the hybrid --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoded", "bit_width", "values"),
    [
        (b"\x03\x88\xc6\xfa", 3, [0, 1, 2, 3, 4, 5, 6, 7]),  # the example of Encodings.md
        (b"\x10\x05", 3, [5] * 8),
        (b"\x12\x01\x01", 9, [257] * 9),
        (b"\x10", 0, [0] * 8),
        (b"\x04\x01\x03\x02", 1, [1, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
        (b"\x10\xff\xff\xff\xff", 32, [2**32 - 1] * 8),
    ],
)
def test_streams_read_as_the_format_says(kernels: str, encoded: bytes, bit_width: int, values: list[int]) -> None:
    assert hybrid_values(encoded, bit_width, len(values)).tolist() == values


@pytest.mark.parametrize(
    ("encoded", "bit_width", "count"),
    [
        (b"", 1, 1),
        (b"\x00\x01", 1, 1),  # a run of nothing
        (b"\x01", 1, 1),
        (b"\x10", 1, 8),  # no value
        (b"\x10\x02", 1, 8),  # a value too wide
        (b"\x03\x88\xc6", 3, 8),  # bits that are missing
        (b"\x10\x01", 1, 9),  # too few
        (b"\xff\xff\xff\xff\xff\x01", 1, 1),
        (b"\xff\xff\xff\xff\x7f", 1, 1),
        (b"\x03\x88\xc6\xfa", 33, 8),
        (b"\x03\x88\xc6\xfa", 255, 8),
    ],
)
def test_streams_that_do_not_hold_what_they_must(kernels: str, encoded: bytes, bit_width: int, count: int) -> None:
    with pytest.raises(NotEncoded) as caught:
        hybrid_values(encoded, bit_width, count)
    assert str(caught.value) == ""


@pytest.mark.parametrize("bit_width", [0, 1, 2, 3, 7, 8, 9, 17, 24, 31, 32])
def test_there_and_back(kernels: str, bit_width: int) -> None:
    rng = np.random.default_rng(bit_width)
    for count in (0, 1, 7, 8, 9, 63, 64, 65, 1000):
        values = rng.integers(0, 2**bit_width, count).astype(np.uint32)
        for repeated in (values, np.repeat(values, rng.integers(1, 20, count))):
            encoded = hybrid_encoded(repeated, bit_width)
            assert (hybrid_values(encoded, bit_width, len(repeated)) == repeated).all()
            assert (hybrid_values(encoded + b"more", bit_width, len(repeated)) == repeated).all()


def test_what_is_written_is_runs_of_eight_and_more_and_groups_of_eight(kernels: str) -> None:
    assert hybrid_encoded(np.full(8, 1, np.uint32), 1) == b"\x10\x01"
    assert hybrid_encoded(np.full(7, 1, np.uint32), 1) == b"\x03\x7f"
    assert hybrid_encoded(np.array([0, 1] * 4 + [1] * 9, np.uint32), 1) == b"\x03\xaa\x12\x01"
    assert hybrid_encoded(np.zeros(0, np.uint32), 5) == b""


@both
@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.sampled_from([1, 1, 2, 7, 8, 9, 30]))),
    st.integers(0, 32),
)
def test_any_values_are_written_alike_by_both(parts: list[tuple[int, int]], bit_width: int) -> None:
    values = np.array([value % 2**bit_width for value, times in parts for _ in range(times)], np.uint32)
    encoded = told(lambda: hybrid_encoded(values, bit_width))
    assert told(lambda: hybrid_values(encoded, bit_width, len(values)).tolist()) == values.tolist()


@both
@given(st.binary(max_size=40), st.integers(0, 40), st.integers(0, 100))
def test_any_bytes_are_read_alike_by_both(data: bytes, bit_width: int, count: int) -> None:
    answer = told(lambda: hybrid_values(data, bit_width, count).tolist())
    assert answer == "refused" or len(answer) == count


# --- byte arrays -------------------------------------------------------------------------------------------------------


def lengthened(values: list[bytes]) -> bytes:
    return b"".join(len(value).to_bytes(4, "little") + value for value in values)


@both
@given(st.lists(st.tuples(st.binary(max_size=6), st.booleans())), st.booleans(), st.binary(max_size=3))
def test_byte_arrays_are_cut_alike_by_both(parts: list[tuple[bytes, bool]], of_gone: bool, tail: bytes) -> None:
    values = [value for value, _ in parts]
    kept = np.array([stays for _, stays in parts], np.bool_)
    data = lengthened(values)

    def cut() -> Any:
        found = byte_arrays_cut(data + tail, kept, of_gone=of_gone)
        return found.gone.tolist(), found.end, found.low, found.high

    gone, end, low, high = told(cut)
    asked = [value for value, stays in parts if stays != of_gone]
    assert (end, low, high) == (len(data), min(asked, default=None), max(asked, default=None))
    left = bytearray()
    at = 0
    for start, stop in [*gone, (end, end)]:
        assert at <= start <= stop
        left += data[at:start]
        at = stop
    assert bytes(left) == lengthened([value for value, stays in parts if stays])


@both
@given(st.binary(max_size=30), st.lists(st.booleans(), max_size=6))
def test_any_bytes_are_walked_alike_by_both(data: bytes, kept: list[bool]) -> None:
    told(lambda: byte_arrays_cut(data, np.array(kept, np.bool_)).end)


@pytest.mark.parametrize("data", [b"", b"\x01\x00\x00", b"\x01\x00\x00\x00", b"\xff\xff\xff\xffabc"])
def test_byte_arrays_that_end_too_soon(kernels: str, data: bytes) -> None:
    with pytest.raises(NotEncoded) as caught:
        byte_arrays_cut(data, np.ones(1, np.bool_))
    assert str(caught.value) == ""


def test_stretches_of_a_mask() -> None:
    assert stretches(np.array([1, 1, 0, 0, 1, 0, 1], np.bool_)).tolist() == [[0, 2], [4, 5], [6, 7]]
    assert stretches(np.zeros(0, np.bool_)).tolist() == []
