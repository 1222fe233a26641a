"""The ladder: plaintexts padded to powers of two, so that a file's size tells no counts.

In it: padding and its removal. Not in it: encryption, and what the lines say.
Rules: a plaintext is whole lines of JSON, the last of them `{"pad":"…"}`, and its size is exactly a power of two from
64 KiB on; age adds to it an amount that does not hang on what is in it (threats §6, "constant per-shard file sizes").
"""

from __future__ import annotations

import io
from collections.abc import Iterator

LEAST_BYTES = 64 * 1024
_OPENING, _CLOSING = b'{"pad":"', b'"}\n'
PAD_OVERHEAD_BYTES = len(_OPENING) + len(_CLOSING)


def rung_bytes(body_bytes: int) -> int:
    """The size of the plaintext for so many bytes of lines: the least power of two that also holds a pad line."""
    needed = body_bytes + PAD_OVERHEAD_BYTES
    return max(LEAST_BYTES, 1 << (needed - 1).bit_length())


def padded(body: bytearray) -> bytes:
    """The lines and a pad line, exactly a rung long. Takes the body over."""
    room_bytes = rung_bytes(len(body)) - len(body) - PAD_OVERHEAD_BYTES
    body += _OPENING
    body += b"0" * room_bytes
    body += _CLOSING
    return bytes(body)


def unpadded(plaintext: bytes) -> Iterator[bytes]:
    """The lines without the pad line. Raises ValueError if the last is none, since then the file was not made here."""
    lines = io.BytesIO(plaintext)
    line = lines.readline()
    while following := lines.readline():
        yield line
        line = following
    if not (line.startswith(_OPENING) and line.endswith(_CLOSING)):
        raise ValueError("no pad line")
