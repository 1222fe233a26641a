"""How a source may write the value of each signal: the definition, one value at a time.

In it: hex, base32 and base64 spellings. Not in it: lines, columns and pages (the readers).
Rules: what is no value of its signal is a `Reason`, never an exception; nothing here keeps or shows a value.
"""

from __future__ import annotations

import base64
import binascii
import re

from vetset import kernels
from vetset.hashlists.account import Reason
from vetset.records import WIDTH_BYTES, Signal

#: One value, and one line of a text file, may have this many bytes; no browser takes a longer address.
MAX_VALUE_BYTES = 64 * 1024

_BLANK = b" \t\r\n"
_HEX = re.compile(rb"[0-9A-Fa-f]+")
_SHA1_BASE32 = re.compile(rb"[A-Za-z2-7]{32}")  # RFC 4648 §6: 20 bytes are 32 characters without padding


def value_of(signal: Signal, text: bytes) -> bytes | Reason:
    """The bytes of a value as a source writes it, or why it is none.

    Digests are hex of any case (RFC 4648 §8); sha1 may be base32, as peer-to-peer tools write it; photodna may be
    base64 of its 144 bytes. A `url` is any text that is not empty, less the space around it, in UTF-8.
    """
    text = text.strip(_BLANK)
    if not text:
        return Reason.NO_VALUE
    if len(text) > MAX_VALUE_BYTES:
        return Reason.TOO_LONG
    if signal is Signal.URL:
        return _url(text)
    digest = kernels.hex_digest_of(text, WIDTH_BYTES[signal])
    return digest if digest is not None else _other_spelling(signal, text)


def _url(text: bytes) -> bytes | Reason:
    if b"\n" in text or b"\r" in text:
        return Reason.LINE_BREAK
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return Reason.NOT_UTF8
    return text


def _other_spelling(signal: Signal, text: bytes) -> bytes | Reason:
    if signal is Signal.PHOTODNA:
        return _photodna(text)
    # An md5 among sha1 is no base32 though its characters may do; a real one is all hex digits once in 10^13.
    if _HEX.fullmatch(text):
        return Reason.WRONG_LENGTH
    if signal is Signal.SHA1 and _SHA1_BASE32.fullmatch(text):
        return base64.b32decode(text.upper())
    return Reason.NOT_HEX


def _photodna(text: bytes) -> bytes | Reason:
    try:
        value = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return Reason.WRONG_LENGTH if _HEX.fullmatch(text) else Reason.NOT_BASE64
    return value if len(value) == WIDTH_BYTES[Signal.PHOTODNA] else Reason.WRONG_LENGTH
