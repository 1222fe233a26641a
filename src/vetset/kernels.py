"""The slow, obvious definitions of what vetset compares, and the column versions built on them.

In it: URL forms, digests of values, hex decoding, the prefilter, exact membership, keyed hashes, policy conditions.
Not in it: files, lists' formats, outcomes. Everything here is a pure function of its arguments.
Rules: a function ending in `_of` defines what is right for one value; the column function of the same matter must agree
with it bit for bit (tests/test_kernels.py). Sealed columns are opened here, and what comes out is digests, masks
and positions, or is sealed again. Native versions, where present, replace the column functions only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ada_url
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from vetset.ports import KeyTable
from vetset.records import DIGEST_COLUMNS, WIDTH_BYTES, Address, Borne, Column, Sealed, SealedBatch, Signal, UrlForm

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Bits of prefilter for each key: with four bits set in one 64-bit word, about 1 % of strangers pass.
FILTER_BITS_PER_KEY = 16

#: Digests of no bytes at all: what a failed download leaves behind. They are never a reason to spread.
EMPTY_DIGESTS = frozenset(hashlib.new(name, b"", usedforsecurity=False).digest() for name in ("md5", "sha1", "sha256"))


# --- values -------------------------------------------------------------------------------------------------------


def digest_of(value: bytes, algorithm: str) -> bytes:
    """The digest by its standard name: md5 (RFC 1321), sha1, sha256 (FIPS 180-4)."""
    return hashlib.new(algorithm, value, usedforsecurity=False).digest()


def hex_digest_of(value: bytes | None, width_bytes: int) -> bytes | None:
    """A recorded digest: hex digits of any case, exactly the width, ASCII space around it allowed; else None."""
    if value is None:
        return None
    text = value.strip(b" \t\r\n")
    if len(text) != 2 * width_bytes or not re.fullmatch(rb"[0-9A-Fa-f]+", text):
        return None
    return bytes.fromhex(text.decode("ascii"))


def raw_of(value: bytes) -> bytes | None:
    """Form `raw`: the bytes of the value as the dataset holds them."""
    return value or None


# The two rules that ThreatExchange's url_md5 takes from the standard library's URL splitter, frozen here because
# that library changes between versions: which characters a scheme may have, and what it strips (WHATWG's C0 and space).
_TX_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*:")
_TX_STRIP = "".join(chr(code) for code in range(0x21))
_TX_REMOVE = str.maketrans("", "", "\t\r\n")


def tx_of(value: bytes) -> bytes | None:
    """Form `tx`: ThreatExchange's rule for url_md5, frozen as our own definition (tests/vectors/url_forms.json).

    Outer control characters and spaces are stripped and tabs and line breaks removed; the text is lower-cased; the
    scheme and the `//` behind it go; an empty `?` or `#` is dropped, any other query and fragment is kept. A value
    that is not UTF-8, has an unclosed bracket in its authority, or leaves nothing has no such form.
    """
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return None
    text = text.strip(_TX_STRIP).translate(_TX_REMOVE).lower()
    scheme = _TX_SCHEME.match(text)
    if scheme:
        text = text[scheme.end() :]
    if text.startswith("//"):
        text = text[2:]
        authority = re.split(r"[/?#]", text, maxsplit=1)[0]
        if ("[" in authority) != ("]" in authority):
            return None
    body, hash_mark, fragment = text.partition("#")
    path, question_mark, query = body.partition("?")
    text = path + (question_mark + query if query else "") + (hash_mark + fragment if fragment else "")
    return text.encode("utf-8") or None


def whatwg_of(value: bytes) -> bytes | None:
    """Form `whatwg`: the href that ada-url makes of it (WHATWG URL Standard); none if it is no absolute URL."""
    try:
        return str(ada_url.URL(value.decode("utf-8")).href).encode("utf-8") or None
    except ValueError:  # UnicodeDecodeError is one of these; ada-url raises it for what it cannot parse
        return None


FORM_OF: dict[UrlForm, Callable[[bytes], bytes | None]] = {
    UrlForm.RAW: raw_of,
    UrlForm.TX: tx_of,
    UrlForm.WHATWG: whatwg_of,
}


def keyed_hash_of(value: bytes, key: bytes) -> int:
    """64 bits that stand for a value under a key of the run (BLAKE2b keyed, RFC 7693); never 0, which means absent."""
    return int.from_bytes(hashlib.blake2b(value, key=key, digest_size=8).digest(), "little") or 1


def case_id_of(shard_id: str, row: int, key: bytes) -> str:
    """The meaningless name of a row with findings: HMAC-SHA-256 of its identity, cut to 128 bits, in hex."""
    identity = f"{shard_id}\x00{row}".encode()
    return hmac.digest(key, identity, "sha256")[:16].hex()


# --- columns of values --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Digests:
    """A column of digests: `data` (rows, width_bytes) and `present` (rows); absent rows hold zeros.

    `malformed` counts rows that hold something that is no digest; null and empty values are not malformed.
    """

    data: U8
    present: Mask
    malformed: int = 0


def _blobs(batch: SealedBatch, column: Column) -> list[bytes | None]:
    values: list[bytes | None] = batch.unseal().column(column.value).to_pylist()
    return values


def _stacked(values: Sequence[bytes | None], width_bytes: int, malformed: int = 0) -> Digests:
    present = np.fromiter((value is not None for value in values), np.bool_, len(values))
    nothing = bytes(width_bytes)
    joined = b"".join([nothing if value is None else value for value in values])
    data = np.frombuffer(joined, np.uint8).reshape(len(values), width_bytes)
    return Digests(data, present, malformed)


_HEX_VALUE: U8 = np.full(256, 255, np.uint8)
for _digit, _character in enumerate(b"0123456789abcdef"):
    _HEX_VALUE[_character] = _digit
for _digit, _character in enumerate(b"ABCDEF"):
    _HEX_VALUE[_character] = 10 + _digit


def recorded_digests(batch: SealedBatch, column: Column) -> Digests:
    """The digests that a column records, as `hex_digest_of` defines them."""
    width_bytes = WIDTH_BYTES[DIGEST_COLUMNS[column]]
    array = batch.unseal().column(column.value)
    quick = _aligned_hex(array, 2 * width_bytes)
    if quick is not None:
        return quick
    values = array.to_pylist()
    digests = [hex_digest_of(value, width_bytes) for value in values]
    malformed = sum(1 for value, digest in zip(values, digests, strict=True) if value and digest is None)
    return _stacked(digests, width_bytes, malformed)


def _aligned_hex(array: Any, digits: int) -> Digests | None:
    """The usual case, all rows present with the right number of hex digits, without a loop over rows."""
    if array.null_count or len(array) == 0 or not pc.all(pc.equal(pc.binary_length(array), digits)).as_py():
        return None
    _, offsets, data = array.buffers()
    start = np.frombuffer(offsets, np.int64, offset=8 * array.offset, count=1)[0]
    characters = np.frombuffer(data, np.uint8, offset=int(start), count=len(array) * digits)
    nibbles = _HEX_VALUE[characters].reshape(len(array), digits)
    high, low = nibbles[:, 0::2], nibbles[:, 1::2]
    if nibbles.max() == 255:  # noqa: PLR2004 - the table's mark for "no hex digit"
        return None
    return Digests(((high << 4) | low).astype(np.uint8), np.ones(len(array), np.bool_))


def blank_rows(batch: SealedBatch, column: Column) -> int:
    """How many rows are null or empty in a text column."""
    lengths = pc.fill_null(pc.binary_length(batch.unseal().column(column.value)), 0)
    return int(pc.sum(pc.equal(lengths, 0)).as_py() or 0)


def url_values(batch: SealedBatch, form: UrlForm) -> Sealed[list[bytes | None]]:
    """The URL column under a form; None where the value is null or has no such form."""
    form_of = FORM_OF[form]
    return Sealed([None if value is None else form_of(value) for value in _blobs(batch, Column.URL)])


_QUICK_DIGEST: dict[str, Callable[[bytes], Any]] = {
    "md5": partial(hashlib.md5, usedforsecurity=False),
    "sha1": partial(hashlib.sha1, usedforsecurity=False),
    "sha256": hashlib.sha256,
}


def digests_of(values: Sealed[list[bytes | None]], algorithm: str, width_bytes: int) -> Digests:
    """The digest of every value that is there."""
    make = _QUICK_DIGEST[algorithm]
    return _stacked([None if value is None else make(value).digest() for value in values.unseal()], width_bytes)


def keyed_hashes(batch: SealedBatch, column: Column, key: bytes) -> U64:
    """(rows,) of `keyed_hash_of` for values that may spread: not null, not empty, no digest of nothing; else 0."""
    values = _bearable(batch, column)
    blank = bytes(8)
    make = partial(hashlib.blake2b, key=key, digest_size=8)
    joined = b"".join([blank if value is None else make(value).digest() for value in values])
    hashes = np.frombuffer(joined, "<u8").astype(np.uint64)
    present = np.fromiter((value is not None for value in values), np.bool_, len(values))
    hashes[present & (hashes == 0)] = 1
    return hashes


def _bearable(batch: SealedBatch, column: Column) -> list[bytes | None]:
    if column not in DIGEST_COLUMNS:
        return [value or None for value in _blobs(batch, column)]
    digests = recorded_digests(batch, column)
    width_bytes = digests.data.shape[1]
    flat = np.ascontiguousarray(digests.data).tobytes()
    cut = [flat[start : start + width_bytes] for start in range(0, len(flat), width_bytes)]
    return [
        value if here and value not in EMPTY_DIGESTS else None
        for value, here in zip(cut, digests.present.tolist(), strict=True)
    ]


def bearable_value(batch: SealedBatch, column: Column, place: int) -> Sealed[bytes] | None:
    """What one row bears in a column by which a finding may spread: raw URL, or the recorded digest's bytes."""
    record = batch.unseal()
    if column.value not in record.schema.names:
        return None
    value = _bearable(SealedBatch(record.slice(place, 1)), column)[0]
    return None if value is None else Sealed(value)


def borne_by(address: Sealed[Address]) -> list[Borne]:
    """The values of one row by which a finding may spread; the rule of `keyed_hashes` for a single address."""
    row = address.unseal()
    found = [Borne(Column.URL, Sealed(row.url))] if row.url else []
    for column, signal in DIGEST_COLUMNS.items():
        digest = row.digests.get(signal)
        if digest is not None and digest not in EMPTY_DIGESTS:
            found.append(Borne(column, Sealed(digest)))
    return found


def keyed_hash(value: Sealed[bytes], key: bytes) -> int:
    """`keyed_hash_of` for a sealed value."""
    return keyed_hash_of(value.unseal(), key)


def name_of(borne: Borne, key: bytes) -> str:
    """128 bits in hex that name a value within a run: the key of tables that must hold no value."""
    text = borne.column.value.encode() + b"\x00" + borne.value.unseal()
    return hashlib.blake2b(text, key=key, digest_size=16).hexdigest()


def same_value(one: Sealed[bytes], other: Sealed[bytes]) -> bool:
    """Whether two sealed values are byte for byte the same."""
    return one.unseal() == other.unseal()


# --- membership ---------------------------------------------------------------------------------------------------


def contains_of(keys: frozenset[bytes], value: bytes) -> bool:
    """Exact membership, the definition."""
    return value in keys


def heads_of(data: U8) -> U64:
    """(rows,) the first 8 bytes of each digest as a big-endian number, so that its order is the bytes' order."""
    head: U64 = np.ascontiguousarray(data[:, :8]).view(">u8").reshape(-1).astype(np.uint64)
    return head


def _filter_places(data: U8, words: int) -> tuple[U64, U64]:
    """For each digest the word of the filter it falls in and the four bits it sets there.

    A blocked Bloom filter with one machine word to a block (Putze, Sanders, Singler 2007), cut down to one look at
    memory for each probe. Digests are uniform, so their own bytes serve as hash: head for the word, the next 4 bytes
    for the bits.
    """
    head = heads_of(data)
    word = ((head >> np.uint64(32)) * np.uint64(words)) >> np.uint64(32)
    bits = np.ascontiguousarray(data[:, 8:12]).view("<u4").reshape(-1).astype(np.uint64)
    mask = np.zeros(len(data), np.uint64)
    for shift in (0, 6, 12, 18):
        mask |= np.uint64(1) << ((bits >> np.uint64(shift)) & np.uint64(63))
    return word, mask


def filter_words(keys: U8) -> U64:
    """The prefilter over all keys (count, width_bytes)."""
    count = max(1, -(-len(keys) * FILTER_BITS_PER_KEY // 64))
    words = np.zeros(count, np.uint64)
    if len(keys):
        word, mask = _filter_places(keys, count)
        np.bitwise_or.at(words, word.astype(np.int64), mask)
    return words


def sorted_keys(keys: U8) -> tuple[U8, I64]:
    """Distinct keys (count, width_bytes) in byte order, and for each given key its position among them."""
    if not len(keys):
        return keys, np.zeros(0, np.int64)
    padded = np.zeros((len(keys), -(-keys.shape[1] // 8) * 8), np.uint8)
    padded[:, : keys.shape[1]] = keys
    parts = padded.view(">u8").astype(np.uint64)
    order = np.lexsort(parts.T[::-1])
    ranked = parts[order]
    new = np.ones(len(keys), np.bool_)
    new[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    positions = np.empty(len(keys), np.int64)
    positions[order] = np.cumsum(new) - 1
    return keys[order[new]], positions


def positions_in(table: KeyTable, digests: Digests) -> I64:
    """(rows,) the position of each row's digest among the table's keys, -1 where it is absent or not listed.

    The filter lets through all that is listed and little else; what passes is compared whole.
    """
    found = np.full(len(digests.present), -1, np.int64)
    if not table.count or not len(digests.present):
        return found
    word, mask = _filter_places(digests.data, len(table.words))
    passing = np.flatnonzero(((table.words[word.astype(np.int64)] & mask) == mask) & digests.present)
    if not len(passing):
        return found
    candidates = digests.data[passing]
    head = heads_of(candidates)
    first = np.searchsorted(table.heads, head, side="left")
    for row, place, wanted, value in zip(passing.tolist(), first.tolist(), head.tolist(), candidates, strict=True):
        found[row] = _walk(table, place, wanted, value[8:].tobytes())
    return found


def _walk(table: KeyTable, place: int, head: int, tail: bytes) -> int:
    """From the first key with this head onward, the position of the key with this tail, or -1."""
    while place < table.count and int(table.heads[place]) == head:
        if table.tails[place].tobytes() == tail:
            return place
        place += 1
    return -1


# --- policy conditions ----------------------------------------------------------------------------------------------


def above(batch: SealedBatch, column: Column, limit: float) -> Mask:
    """Rows whose number lies above the limit; null and NaN do not."""
    values = batch.unseal().column(column.value)
    mask: Mask = pc.fill_null(pc.greater(values, limit), False).to_numpy(zero_copy_only=False)
    return mask


def one_of(batch: SealedBatch, column: Column, words: frozenset[str]) -> Mask:
    """Rows whose text is one of the words, case aside (ASCII space around it ignored)."""
    wanted = {word.strip().casefold() for word in words}
    return np.fromiter(
        (
            value is not None and value.decode("utf-8", "replace").strip().casefold() in wanted
            for value in _blobs(batch, column)
        ),
        np.bool_,
        batch.rows,
    )


def word_pattern(words: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds any of the words or phrases as whole words, case aside."""
    alternatives = "|".join(sorted((re.escape(word.casefold()) for word in words), key=lambda word: (-len(word), word)))
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)")


def with_words(batch: SealedBatch, column: Column, pattern: re.Pattern[str]) -> Mask:
    """Rows whose text holds one of the words of `word_pattern`."""
    return np.fromiter(
        (
            value is not None and pattern.search(value.decode("utf-8", "replace").casefold()) is not None
            for value in _blobs(batch, column)
        ),
        np.bool_,
        batch.rows,
    )


def host_of(value: bytes) -> str | None:
    """The host of an address, by the WHATWG rules; None if it has none."""
    try:
        return str(ada_url.URL(value.decode("utf-8")).hostname) or None
    except ValueError:
        return None


def on_hosts(batch: SealedBatch, hosts: frozenset[str]) -> Mask:
    """Rows whose URL lies on one of the hosts or below it (`example.org` covers `img.example.org`)."""
    return np.fromiter(
        (value is not None and _covered(host_of(value), hosts) for value in _blobs(batch, Column.URL)),
        np.bool_,
        batch.rows,
    )


def _covered(host: str | None, hosts: frozenset[str]) -> bool:
    if host is None:
        return False
    labels = host.rstrip(".").split(".")
    return any(".".join(labels[start:]) in hosts for start in range(len(labels)))


# --- addresses, sealed ------------------------------------------------------------------------------------------------


def addresses(batch: SealedBatch, rows: Iterable[int]) -> Iterator[Sealed[Address]]:
    """For each row of the batch, by its place in it: its URL and recorded digests, sealed for the vault."""
    columns = {column: signal for column, signal in DIGEST_COLUMNS.items() if column in batch.columns}
    record = batch.unseal()
    for row in rows:
        url = record.column(Column.URL.value)[row].as_py() if Column.URL in batch.columns else None
        digests: dict[Signal, bytes] = {}
        for column, signal in columns.items():
            digest = hex_digest_of(record.column(column.value)[row].as_py(), WIDTH_BYTES[signal])
            if digest is not None:
                digests[signal] = digest
        yield Sealed(Address(url, digests))


def key_at(digests: Digests, row: int) -> Sealed[bytes]:
    """The digest of one row, sealed."""
    return Sealed(digests.data[row].tobytes())
