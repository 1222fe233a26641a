"""What a decoding child is started with. Alone here, so that the worker knows it without loading a decoder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """All that a child is started with; written by the worker, as plain values."""

    parent_pid: int
    arena_bytes: int
    memory_bytes: int
    max_pixels: int
    strongest: str
    luma: bool
    kinds: tuple[str, ...]
    requests_fd: int = -1  # these three are known when it is started
    replies_fd: int = -1
    arena_fd: int = -1
