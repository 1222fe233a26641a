"""The ladder: the size of a plaintext tells which rung it stands on, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vetset.vault.ladder import LEAST_BYTES, PAD_OVERHEAD_BYTES, padded, rung_bytes, unpadded

ROOM_BYTES = LEAST_BYTES - PAD_OVERHEAD_BYTES


def line_of(size_bytes: int) -> bytes:
    return b"x" * (size_bytes - 1) + b"\n"


@pytest.mark.parametrize(
    "plaintext", [b"", b"{}\n", b'{"pad":"00"}', b'{"pad":"00"}\n{}\n', b'{"a":"{\\"pad\\":\\"\\"}"}\n']
)
def test_what_does_not_end_in_a_pad_was_not_made_here(plaintext: bytes) -> None:
    with pytest.raises(ValueError, match="pad"):
        list(unpadded(plaintext))


@given(size_bytes=st.integers(0, 1 << 40))
@example(size_bytes=ROOM_BYTES)
@example(size_bytes=ROOM_BYTES + 1)
@example(size_bytes=LEAST_BYTES)
def test_a_rung_is_the_least_power_of_two_with_room_for_the_pad(size_bytes: int) -> None:
    rung = rung_bytes(size_bytes)
    assert rung & (rung - 1) == 0
    assert rung >= max(LEAST_BYTES, size_bytes + PAD_OVERHEAD_BYTES)
    assert rung == LEAST_BYTES or rung // 2 < size_bytes + PAD_OVERHEAD_BYTES


@pytest.mark.parametrize("rung", [LEAST_BYTES, 2 * LEAST_BYTES, 4 * LEAST_BYTES])
@pytest.mark.parametrize("off", range(-2, 13))
def test_around_each_rung_the_size_is_exactly_a_rung(rung: int, off: int) -> None:
    line = line_of(rung - PAD_OVERHEAD_BYTES - 2 + off)
    plaintext = padded(bytearray(line))
    assert len(plaintext) == (rung if off <= 2 else 2 * rung)
    assert list(unpadded(plaintext)) == [line]


@given(lines=st.lists(st.integers(1, 30_000).map(line_of), max_size=12))
def test_lines_come_back_as_they_were(lines: list[bytes]) -> None:
    plaintext = padded(bytearray(b"".join(lines)))
    assert len(plaintext) == rung_bytes(sum(map(len, lines)))
    assert list(unpadded(plaintext)) == lines
