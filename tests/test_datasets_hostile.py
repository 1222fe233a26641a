"""Parquet files that lie, are broken or attack: each ends as shard trouble, and none of their values is told."""

from __future__ import annotations

import base64
import io
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vetset.config import RunSettings, Settings
from vetset.datasets.location import find_shards
from vetset.datasets.parquet import Parquet
from vetset.errors import ShardError, Trouble
from vetset.records import Column
from vetset.testing.dataset_contract import Collected, into

CANARY = "https://canary.example/never-to-be-shown.jpg"
ALL = frozenset(Column)
ROWS = 1000


def scan(error: BaseException) -> None:
    """No spelling of the canary in the message, the representation or the traceback."""
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(error.args)
    raw = CANARY.encode()
    for spelling in (CANARY, CANARY[8:30], quote(CANARY, safe=""), raw.hex(), base64.b64encode(raw).decode()[:40]):
        assert spelling not in shown


def sample(**options: Any) -> bytes:
    table = pa.table(
        {"URL": [f"{CANARY}?{number}" for number in range(ROWS)], "hash": pa.array(range(ROWS), pa.int64())}
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


class Lab:
    """Puts bytes into a file and reads them every way that there is."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "x.parquet"

    def opened(self, data: bytes, **run: Any) -> tuple[Parquet, Any]:
        self.path.write_bytes(data)
        found = find_shards(str(self.path))
        return Parquet(found.root, Settings(run=RunSettings(batch_rows=128, **run))), found.shards[0]

    def ways(self, data: bytes, **run: Any) -> list[Callable[[], int]]:
        dataset, shard = self.opened(data, **run)
        return [
            lambda: dataset.facts(shard).rows or 0,
            lambda: sum(batch.rows for batch in dataset.batches(shard, ALL)),
            lambda: sum(batch.rows for batch in dataset.lookup(shard, np.arange(0, 20), ALL)),
            lambda: dataset.write_without(shard, np.array([3]), into(Collected())),
        ]

    def troubles(self, data: bytes, **run: Any) -> list[Trouble | None]:
        """For facts, batches, lookup, write: the trouble, or None where it went through."""
        troubles: list[Trouble | None] = []
        for way in self.ways(data, **run):
            try:
                way()
                troubles.append(None)
            except ShardError as error:
                scan(error)
                troubles.append(error.trouble)
        return troubles

    def trouble(self, data: bytes, **run: Any) -> Trouble:
        """The one trouble that every way meets."""
        (trouble,) = set(self.troubles(data, **run))
        assert trouble is not None
        return trouble


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def zigzag(number: int) -> bytes:
    value, out = number << 1, b""
    while value > 127:
        value, out = value >> 7, out + bytes([value & 127 | 128])
    return out + bytes([value])


def split(data: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(data[-8:-4], "little")
    return data[: -8 - length], data[-8 - length : -8]


def joined(body: bytes, footer: bytes) -> bytes:
    return body + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def forged(data: bytes, old: int, new: int, *, only: tuple[int, ...] | None = None) -> bytes:
    """The file with a number of its footer replaced, wherever it stands or at some of its places."""
    body, footer = split(data)
    parts = footer.split(zigzag(old))
    assert len(parts) > 1
    glue = [zigzag(new if only is None or place in only else old) for place in range(len(parts) - 1)]
    return joined(body, b"".join(part + more for part, more in zip(parts, [*glue, b""], strict=True)))


# --- no Parquet at all -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"", b"PAR", CANARY.encode() * 10, b"\x00" * 100, b"%PDF-1.7" * 9],
    ids=["empty", "short", "text", "zeros", "pdf"],
)
def test_other_things(lab: Lab, data: bytes) -> None:
    assert lab.trouble(data) is Trouble.NOT_THE_FORMAT


def test_every_truncation_is_trouble(lab: Lab) -> None:
    data = sample(compression="zstd")
    for length in [*range(64), *range(64, len(data) - 64, 97), *range(len(data) - 64, len(data))]:
        assert lab.trouble(data[:length]) in {Trouble.NOT_THE_FORMAT, Trouble.TRUNCATED}


def test_a_hole_in_the_middle_is_trouble(lab: Lab) -> None:
    data = sample(use_dictionary=False, compression="none")
    body, footer = split(data)
    assert None not in lab.troubles(joined(body[: len(body) // 2], footer))[1:]


# --- footers that lie --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claimed", [0, 1, 500, ROWS - 1, ROWS + 1, 5000, 2_000_000_000, 2**62])
def test_a_footer_that_claims_another_number_of_rows_throughout(lab: Lab, claimed: int) -> None:
    facts, batches, lookup, write = lab.troubles(forged(sample(), ROWS, claimed))
    assert facts is None  # a footer that agrees with itself can only be caught by its pages
    assert batches is Trouble.COUNTS_DISAGREE
    assert {lookup, write} <= {Trouble.COUNTS_DISAGREE, Trouble.BOOKS}  # rows asked for beyond the claim


@pytest.mark.parametrize("claimed", [0, 999, 2**40])
def test_a_footer_at_odds_with_itself(lab: Lab, claimed: int) -> None:
    data = sample()
    places = len(split(data)[1].split(zigzag(ROWS))) - 1
    for place in range(places):
        troubles = set(lab.troubles(forged(data, ROWS, claimed, only=(place,))))
        assert troubles <= {Trouble.COUNTS_DISAGREE, Trouble.NOT_THE_FORMAT, None}
        if None in troubles:  # the pandas-free footer holds the number in statistics too, which decide nothing
            assert lab.ways(forged(data, ROWS, claimed, only=(place,)))[1]() == ROWS


def test_counts_below_zero(lab: Lab) -> None:
    body, footer = split(sample())
    minus_one = b"\x01\xff"  # zigzag 1 is -1; padded to two bytes it must not parse as the same length
    assert None not in lab.troubles(joined(body, footer.replace(zigzag(ROWS), minus_one)))


@pytest.mark.parametrize(
    ("claimed", "trouble"),
    [
        (2**31 - 1, Trouble.TRUNCATED),
        (2**32 - 1, Trouble.TRUNCATED),
        (0, Trouble.NOT_THE_FORMAT),
        (7, Trouble.NOT_THE_FORMAT),
    ],
)
def test_footer_lengths(lab: Lab, claimed: int, trouble: Trouble) -> None:
    data = sample()
    assert lab.trouble(data[:-8] + claimed.to_bytes(4, "little") + b"PAR1") is trouble


def test_caps_on_footer_and_row_group(lab: Lab) -> None:
    data = sample()
    assert lab.trouble(data, max_footer_bytes=50) is Trouble.RECORD_TOO_LARGE
    assert lab.trouble(data, max_row_group_bytes=1000) is Trouble.RECORD_TOO_LARGE


def test_a_small_file_that_asks_for_gigabytes(lab: Lab) -> None:
    data = sample(compression="zstd")
    total = pq.read_metadata(pa.BufferReader(data)).row_group(0).column(0).total_uncompressed_size
    assert lab.trouble(forged(data, total, 2**41)) is Trouble.RECORD_TOO_LARGE


def test_columns_that_lie_outside_of_the_file(lab: Lab) -> None:
    data = sample(use_dictionary=False)
    offset = pq.read_metadata(pa.BufferReader(data)).row_group(0).column(1).data_page_offset
    for place in (len(data), 2**40, 1):
        troubles = lab.troubles(forged(data, offset, place))
        assert None not in troubles[1:]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_bytes_of_the_footer(lab: Lab, changes: list[tuple[int, int]]) -> None:
    body, footer = split(sample())
    changed = bytearray(footer)
    for place, value in changes:
        changed[place % len(changed)] = value
    (_, batches, *_), data = lab.troubles(joined(body, bytes(changed))), joined(body, bytes(changed))
    if batches is None:
        assert lab.ways(data)[1]() == ROWS


# --- pages that lie --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["snappy", "zstd", "none"])
def test_flipped_bytes_never_lose_a_row(lab: Lab, compression: str) -> None:
    data = sample(compression=compression, write_page_checksum=True)
    body, footer = split(data)
    for place in range(4, len(body), max(1, len(body) // 60)):
        flipped = bytearray(body)
        flipped[place] ^= 0xFF
        batches = lab.troubles(joined(bytes(flipped), footer))[1]
        assert batches in {
            Trouble.NOT_THE_FORMAT,
            Trouble.COUNTS_DISAGREE,
            Trouble.TRUNCATED,
            Trouble.RECORD_TOO_LARGE,
            None,
        }
        if batches is None:  # a byte of a header that decides nothing
            assert lab.ways(joined(bytes(flipped), footer))[1]() == ROWS


def test_a_checksum_that_does_not_fit(lab: Lab) -> None:
    data = sample(compression="none", use_dictionary=False, write_page_checksum=True)
    at = data.index(f"{CANARY}?500".encode())
    assert lab.troubles(data[:at] + b"X" + data[at + 1 :])[1] is Trouble.NOT_THE_FORMAT


# --- encryption, code, names ----------------------------------------------------------------------------------------------


class ToyKms(pe.KmsClient):  # type: ignore[misc]
    def __init__(self, _: object) -> None:
        super().__init__()

    def wrap_key(self, key: bytes, _: str) -> bytes:
        return base64.b64encode(key)

    def unwrap_key(self, key: bytes, _: str) -> bytes:
        return base64.b64decode(key)


@pytest.mark.parametrize("plaintext_footer", [True, False])
def test_encrypted_files(lab: Lab, plaintext_footer: bool) -> None:
    config = pe.EncryptionConfiguration("footer", column_keys={"key": ["URL"]}, plaintext_footer=plaintext_footer)
    properties = pe.CryptoFactory(ToyKms).file_encryption_properties(pe.KmsConnectionConfig(), config)
    assert lab.trouble(sample(encryption_properties=properties)) is Trouble.ENCRYPTED


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_no_extension_type_is_unpickled(lab: Lab, tmp_path: Path) -> None:
    payload = pickle.dumps(Bomb(tmp_path / "boom"))
    metadata = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": payload}
    schema = pa.schema([("URL", pa.string()), pa.field("evil", pa.binary(), metadata=metadata)])
    sink = io.BytesIO()
    pq.write_table(pa.table([["a", "b"], [b"1", b"2"]], schema=schema), sink)
    dataset, shard = lab.opened(sink.getvalue())
    assert sum(batch.rows for batch in dataset.batches(shard, ALL)) == 2
    written = Collected()
    dataset.write_without(shard, np.array([0]), into(written))
    assert pq.read_schema(pa.BufferReader(written.data)).field("evil").metadata[b"ARROW:extension:metadata"] == payload
    assert not (tmp_path / "boom").exists()


def test_hostile_names_of_columns_are_escaped(lab: Lab) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"\x1b]8;;http://x\x07": ["a"], "=cmd|' /C'!A1\n": ["b"]}), sink)
    dataset, shard = lab.opened(sink.getvalue())
    with pytest.raises(ShardError) as caught:
        dataset.facts(shard)
    assert caught.value.trouble is Trouble.COLUMN_MISSING
    assert str(caught.value).isprintable()


def test_a_file_that_changed_since_it_was_found(lab: Lab) -> None:
    dataset, shard = lab.opened(sample())
    lab.path.write_bytes(sample() + b"x")
    with pytest.raises(ShardError) as caught:
        list(dataset.batches(shard, ALL))
    assert caught.value.trouble is Trouble.SOURCE_CHANGED
