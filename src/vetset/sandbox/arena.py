"""The memory through which bodies of pictures reach a child: one piece that both map, used as a ring.

In it: where a body lies and when its place is free again. Not in it: pipes and processes.
Rules: it never grows or shrinks once it is made, so that no child can cut it off under the worker; bodies are freed in
the order in which they came; what one large body took is given back to the system at once, so that memory stays flat.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections import deque

#: What many small bodies share; a larger body has the whole arena for itself.
RING_BYTES = 32 * 1024 * 1024


class Arena:
    """`size_bytes` of shared memory, not touched until used."""

    def __init__(self, size_bytes: int, ring_bytes: int = RING_BYTES) -> None:
        self.size_bytes = max(size_bytes, ring_bytes, mmap.PAGESIZE)
        self._ring_bytes = ring_bytes
        self._fd = os.memfd_create("vetset-pictures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self._fd, self.size_bytes)
        fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self._memory = mmap.mmap(self._fd, self.size_bytes)
        self._held: deque[tuple[int, int]] = deque()  # (offset, length), oldest first
        self._head = 0

    def readable(self) -> int:
        """A new descriptor through which it can be read and not written; the caller closes it."""
        return os.open(f"/proc/self/fd/{self._fd}", os.O_RDONLY | os.O_CLOEXEC)

    def place(self, body: bytes | memoryview) -> int | None:
        """Copies a body in; its offset, or None while there is no room for it."""
        length = len(body)
        offset = self._room_for(length)
        if offset is not None:
            self._memory[offset : offset + length] = body
            self._held.append((offset, length))
            self._head = offset + length
        return offset

    def _room_for(self, length: int) -> int | None:
        if not self._held:
            return 0 if length <= self.size_bytes else None
        if length > self._ring_bytes or self._head > self._ring_bytes:
            return None
        tail = self._held[0][0]
        if self._head > tail:
            if self._head + length <= self._ring_bytes:
                return self._head
            return 0 if length < tail else None
        return self._head if self._head + length < tail else None

    def free_oldest(self) -> None:
        """The oldest body was answered."""
        offset, length = self._held.popleft()
        if offset + length > self._ring_bytes:
            start = self._ring_bytes // mmap.PAGESIZE * mmap.PAGESIZE
            self._memory.madvise(mmap.MADV_REMOVE, start, self.size_bytes - start)

    def free_all(self) -> None:
        while self._held:
            self.free_oldest()

    def close(self) -> None:
        self._memory.close()
        os.close(self._fd)
