"""A byte sink as a file: few large writes instead of many small ones, and none after one that failed.

In it: the buffer between writers of shards and the ledger's sink. Not in it: names, durability (the ledger's).
Rules: every write of the sink below is an operation that may fail; after a failure nothing more reaches it.
"""

from __future__ import annotations

from vetset.ports import ByteSink

_SINK_BYTES = 1024 * 1024
#: What is as large as this is not copied into the buffer first.
_LARGE_BYTES = 256 * 1024


class BufferedSink:
    """Has what pyarrow asks of a file. `flush` must be called at the end. What the sink raises comes out as it is."""

    def __init__(self, sink: ByteSink) -> None:
        self._sink = sink
        self._held = bytearray()
        self._position = 0
        self._silent = False
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        self._position += len(data)
        if len(data) >= _LARGE_BYTES:
            self.flush()
            self._put(data)
        elif not self._silent:
            self._held += data
            if len(self._held) >= _SINK_BYTES:
                self.flush()
        return len(data)

    def flush(self) -> None:
        if self._held:
            held, self._held = bytes(self._held), bytearray()
            self._put(held)

    def _put(self, data: bytes | memoryview) -> None:
        if not self._silent:
            self._silent = True  # and stays so if the write fails
            self._sink.write(data)
            self._silent = False

    def silence(self) -> None:
        """Lets nothing through any more."""
        self._silent = True

    def tell(self) -> int:
        return self._position
