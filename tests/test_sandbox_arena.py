"""The shared memory: bodies lie where they are said to, none over another, and nothing stays of a large one."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vetset.sandbox.arena import Arena

RING = 4096


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.integers(1, RING), st.integers(1, 40), st.integers(RING, 4 * RING), st.just(-1)), max_size=80)
)
def test_bodies_that_are_held_keep_their_bytes(steps: list[int]) -> None:
    arena = Arena(4 * RING, RING)
    readable = arena.readable()
    held: deque[tuple[int, bytes]] = deque()
    with mmap.mmap(readable, arena.size_bytes, mmap.MAP_SHARED, mmap.PROT_READ) as seen:
        for number, step in enumerate(steps):
            if step < 0:
                if held:
                    held.popleft()
                    arena.free_oldest()
            else:
                body = bytes([number % 251 + 1]) * step
                offset = arena.place(body)
                if offset is None:
                    assert held, "an empty arena takes whatever fits it"
                else:
                    held.append((offset, body))
            assert all(seen[offset : offset + len(body)] == body for offset, body in held)
    os.close(readable)
    arena.close()


def test_a_body_that_fits_nowhere_is_refused() -> None:
    arena = Arena(RING, RING)
    assert arena.place(bytes(RING + 1)) is None
    assert arena.place(memoryview(bytes(RING))) == 0
    assert arena.place(b"x") is None
    arena.free_all()
    assert arena.place(b"x") == 0
    arena.close()


def blocks(arena: Arena) -> int:
    return os.fstat(arena._fd).st_blocks * 512


def test_memory_of_a_large_body_is_given_back() -> None:
    arena = Arena(64 << 20, 1 << 20)
    assert blocks(arena) == 0
    for _ in range(5):
        arena.place(bytes(50 << 20))
        assert blocks(arena) >= 50 << 20
        arena.free_oldest()
        assert blocks(arena) <= 1 << 20
    arena.close()


def test_nobody_can_cut_or_stretch_it_and_a_child_cannot_write() -> None:
    arena = Arena(RING, RING)
    assert fcntl.fcntl(arena._fd, fcntl.F_GET_SEALS) == fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    readable = arena.readable()
    for work in (
        lambda: os.ftruncate(arena._fd, 1),
        lambda: os.ftruncate(arena._fd, 1 << 20),
        lambda: os.write(readable, b"x"),
        lambda: mmap.mmap(readable, RING, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE),
    ):
        with pytest.raises(OSError):
            work()
    os.close(readable)
    arena.close()
