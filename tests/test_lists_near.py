"""What finds near keys of a compiled list: built once in sealed memory, the same in every process, never on disk."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.listing import TODAY, compiled, opened
from vetset import kernels
from vetset.hashlists.compiled import CompiledList, map_list, near_memory_of, open_list
from vetset.records import Decoded, FingerprintOutcome, Fingerprints, ListEntry, Signal, View, ViewPrint
from vetset.stages.match import MatchSettings, match
from vetset.testing.lists import MemoryList
from vetset.wiring.worker import Inherited

U8 = npt.NDArray[np.uint8]

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def prints(count: int, seed: int = 1) -> U8:
    return np.random.default_rng(seed).integers(0, 256, (count, 32), np.uint8)


def source_of(keys: U8) -> str:
    return "\n".join(key.tobytes().hex() for key in keys)


@contextmanager
def near_list(place: Path, keys: U8, radius_bits: int = 31) -> Iterator[tuple[CompiledList, int, int]]:
    """The list with its near tables, and the descriptors that a worker inherits."""
    path, _ = compiled(place, source_of(keys), signal=Signal.PDQ)
    memory = open_list(path, (), today=TODAY)
    near_memory = near_memory_of(map_list(memory), radius_bits)
    assert near_memory is not None
    try:
        yield map_list(memory, near_memory), memory, near_memory
    finally:
        os.close(memory)
        os.close(near_memory)


@pytest.mark.parametrize("count", [1, 300, 30_000])
def test_near_tables_answer_as_the_definition_by_positions_of_the_exact_table(
    either_kernels: str, tmp_path: Path, count: int
) -> None:
    keys = prints(count)
    queries = np.concatenate([keys[:20], prints(5, seed=2)])
    queries[: len(keys[:20]), 3] ^= 0b1011
    with near_list(tmp_path, keys) as (listed, _, _):
        (table,) = listed.near_tables.values()
        assert (table.signal, table.count) == (Signal.PDQ, count)
        number = next(iter(listed.near_tables))
        exact = kernels.listed_keys(listed.tables[number])
        found = table.within(queries, 31)
        for column, wanted in zip(found, kernels.within_of(exact, queries, 31), strict=True):
            assert column.tolist() == wanted.tolist()
        assert set(range(min(count, 20))) <= set(found[0].tolist())


def test_a_greater_radius_than_it_was_built_for_misses_nothing(either_kernels: str, tmp_path: Path) -> None:
    keys = prints(30_000)
    queries = keys[:3].copy()
    queries[:, :5] ^= 255  # 40 bits
    with near_list(tmp_path, keys, radius_bits=20) as (listed, _, _):
        (table,) = listed.near_tables.values()
        assert [len(column) for column in table.within(queries, 39)] == [0, 0, 0]
        assert table.within(queries, 40)[2].tolist() == [40, 40, 40]


def test_the_memory_is_sealed_and_has_no_name_on_disk(tmp_path: Path) -> None:
    with near_list(tmp_path, prints(50)) as (_, _, near_memory):
        assert fcntl.fcntl(near_memory, fcntl.F_GET_SEALS) & SEALS == SEALS
        assert fcntl.fcntl(near_memory, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        assert str(Path(f"/proc/self/fd/{near_memory}").readlink()).startswith("/memfd:")
        with pytest.raises(OSError, match="descriptor"):
            os.write(near_memory, b"x")
    assert {path.name for path in tmp_path.iterdir()} == {"source.txt", "list.vsl"}


def test_a_list_without_prints_needs_no_index(tmp_path: Path) -> None:
    path, _ = compiled(tmp_path, "00" * 16, signal=Signal.MD5)
    listed = opened(path)
    assert near_memory_of(listed, 31) is None
    assert listed.near_tables == {}


def test_a_list_opened_for_its_columns_alone_has_no_near_table(tmp_path: Path) -> None:
    path, _ = compiled(tmp_path, source_of(prints(5)), signal=Signal.PDQ)
    assert opened(path).near_tables == {}


def asked_in_a_child(memory: Inherited, near_memory: Inherited, query: bytes, answer: Connection) -> None:
    """What a worker does with the descriptors that it inherits."""
    (table,) = map_list(memory.fd, near_memory.fd).near_tables.values()
    found = table.within(np.frombuffer(query, np.uint8).reshape(1, 32), 31)
    answer.send_bytes(repr([column.tolist() for column in found]).encode())


def test_another_process_maps_the_same_index_by_its_descriptor(tmp_path: Path) -> None:
    context = get_context("spawn")
    with near_list(tmp_path, prints(3000)) as (listed, memory, near_memory):
        query = kernels.listed_keys(listed.tables[0])[1234].tobytes()
        receiving, sending = context.Pipe(duplex=False)
        child = context.Process(
            target=asked_in_a_child, args=(Inherited(memory), Inherited(near_memory), query, sending)
        )
        child.start()
        assert receiving.recv_bytes() == b"[[0], [1234], [0]]"
        child.join()


def test_entries_are_told_of_the_key_that_is_near(either_kernels: str, tmp_path: Path) -> None:
    """A compiled list and one in memory give the same reasons, with what the list says of each key."""
    keys = prints(200)
    rows = [f"{key.tobytes().hex()},entry {number},kind" for number, key in enumerate(keys)]
    contents = "pdq,entry_id,category\n" + "\n".join(rows)
    path, _ = compiled(tmp_path, contents, suffix=".csv")
    said = {key.tobytes(): [ListEntry(f"entry {n}", "kind")] for n, key in enumerate(keys)}
    in_memory = MemoryList("invented", 1, {Signal.PDQ: said})
    listed = opened(path)
    near_memory = near_memory_of(listed, 31)
    assert near_memory is not None
    memory = open_list(path, (), today=TODAY)
    whole = map_list(memory, near_memory)
    os.close(memory)
    os.close(near_memory)
    turned = prints(8, seed=5)
    turned[6] = keys[77]
    turned[6][:2] ^= 255
    pictures = Fingerprints(
        np.arange(1), {}, (Decoded(0, FingerprintOutcome.FINGERPRINTED, (ViewPrint(View.FIRST, 90, turned),)),)
    )
    results = [match(pictures, [item], MatchSettings(), shard_id="s") for item in (whole, in_memory)]
    told = [[(r.entry, r.near, r.key.unseal()) for hit in made.onward.hits for r in hit.matches] for made in results]
    assert told[0] == told[1]
    assert [(entry.entry_id, near.distance if near else -1) for entry, near, _ in told[0]] == [("entry 77", 16)]
