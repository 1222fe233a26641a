"""Embeddings without some rows, against NumPy itself; and headers that lie."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as extra

from vetset.datasets import embeddings
from vetset.datasets.embeddings import MAX_HEADER_BYTES, array_header, write_array_without
from vetset.errors import ShardError, Trouble
from vetset.testing.dataset_contract import Collected

ROOT = Path(__file__).parent.parent
REAL = sorted((ROOT.parent / "shared" / "data" / "clip").glob("*.npy"))


def saved(array: Any, version: tuple[int, int] | None = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=version, allow_pickle=True)
    return buffer.getvalue()


def without(path: Path, rows: int, removed: list[int]) -> bytes:
    sink = Collected()
    write_array_without(path, rows, np.array(removed, np.int64), sink)
    return sink.data


def refusal(path: Path, data: bytes, rows: int = 3) -> ShardError:
    path.write_bytes(data)
    with pytest.raises(ShardError) as caught:
        without(path, rows, [0])
    return caught.value


SHAPES = extra.array_shapes(min_dims=1, max_dims=3, max_side=12)
TYPES = st.one_of(extra.floating_dtypes(sizes=(16, 32, 64)), extra.integer_dtypes(), extra.boolean_dtypes())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=extra.arrays(TYPES, SHAPES), version=st.sampled_from([(1, 0), (2, 0)]), data=st.data())
def test_what_is_written_is_what_numpy_saves_of_the_rest(
    tmp_path: Path, array: Any, version: tuple[int, int], data: st.DataObject
) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(saved(array, version))
    removed = sorted(data.draw(st.sets(st.integers(0, len(array) - 1))))
    assert without(path, len(array), removed) == saved(np.delete(array, removed, axis=0), version)


@pytest.mark.skipif(not REAL, reason="the shared data are not here")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_real_embeddings(path: Path) -> None:
    array = np.load(path)
    written = np.load(io.BytesIO(without(path, len(array), [0, len(array) - 1])))
    assert (written.dtype, written.tobytes()) == (array.dtype, array[1:-1].tobytes())


def test_rows_are_copied_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "_COPY_BYTES", 7)
    array = np.arange(60, dtype=np.float32).reshape(20, 3)
    (tmp_path / "a.npy").write_bytes(saved(array))
    assert without(tmp_path / "a.npy", 20, [3, 4, 19]) == saved(np.delete(array, [3, 4, 19], axis=0))


def test_all_rows_may_go(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(saved(np.ones((2, 4), np.float16)))
    assert np.load(io.BytesIO(without(tmp_path / "a.npy", 2, [0, 1]))).shape == (0, 4)


def test_a_header_without_numpys_padding_keeps_its_length(tmp_path: Path) -> None:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (10,), }\n"
    (tmp_path / "a.npy").write_bytes(embeddings.MAGIC + b"\1\0" + len(text).to_bytes(2, "little") + text + bytes(40))
    written = without(tmp_path / "a.npy", 10, [0])
    assert len(written) == 10 + len(text) + 36
    assert np.load(io.BytesIO(written)).shape == (9,)


# --- harm ------------------------------------------------------------------------------------------------------------


class Harm:
    """Unpickling this would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (Path.write_text, (self.path, "harm"))


def header(text: bytes, body: bytes = b"", version: bytes = b"\1\0") -> bytes:
    return embeddings.MAGIC + version + len(text).to_bytes(2 if version == b"\1\0" else 4, "little") + text + body


def test_an_array_of_objects_is_refused_and_not_unpickled(tmp_path: Path) -> None:
    array = np.empty(3, object)
    array[:] = [Harm(tmp_path / "made")] * 3
    data = header(b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }\n", pickle.dumps(array))
    assert refusal(tmp_path / "a.npy", data).trouble is Trouble.NOT_THE_FORMAT
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.ones((3, 4))),
        np.zeros(3, [("a", "<f4"), ("b", "<i2")]),
        np.array(["a", "b", "c"]),
        np.float32(1),
        np.array(["2026-01-01"] * 3, "datetime64[D]"),
    ],
    ids=["fortran", "records", "text", "scalar", "dates"],
)
def test_arrays_of_other_kinds_are_refused(tmp_path: Path, array: Any) -> None:
    assert refusal(tmp_path / "a.npy", saved(np.asanyarray(array, order="A"))).trouble is Trouble.NOT_THE_FORMAT


SOUND = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }\n"


@pytest.mark.parametrize(
    ("data", "trouble"),
    [
        (b"", Trouble.NOT_THE_FORMAT),
        (b"\x93NUMP", Trouble.NOT_THE_FORMAT),
        (b"no array at all", Trouble.NOT_THE_FORMAT),
        (header(SOUND, bytes(24), b"\3\0"), Trouble.NOT_THE_FORMAT),
        (header(b""), Trouble.NOT_THE_FORMAT),
        (header(SOUND[:-1], bytes(24)), Trouble.NOT_THE_FORMAT),
        (header(SOUND.replace(b"False", b"__import__('os').system('x')"), bytes(24)), Trouble.NOT_THE_FORMAT),
        (header(b"(" * 5000 + b"\n"), Trouble.NOT_THE_FORMAT),
        (header(SOUND + b" " * MAX_HEADER_BYTES + b"\n", bytes(24), b"\2\0"), Trouble.NOT_THE_FORMAT),
        (header(SOUND.replace(b"(3, 2)", b"(3" + b", 1" * 64 + b")"), bytes(12)), Trouble.NOT_THE_FORMAT),
        (embeddings.MAGIC + b"\2\0\xff\xff\xff\xff" + SOUND, Trouble.NOT_THE_FORMAT),
        (header(SOUND, bytes(23)), Trouble.TRUNCATED),
        (header(SOUND)[:30], Trouble.NOT_THE_FORMAT),
        (header(SOUND, bytes(25)), Trouble.COUNTS_DISAGREE),
        (header(SOUND.replace(b"3", b"9" * 19), bytes(24)), Trouble.TRUNCATED),
        (header(SOUND.replace(b"(3, 2)", b"(9999999999999999999, 0)")), Trouble.COUNTS_DISAGREE),
        (header(SOUND.replace(b"(3, 2)", b"(-3, 2)"), bytes(24)), Trouble.NOT_THE_FORMAT),
        (header(SOUND.replace(b"(3, 2)", b"(2, 2)"), bytes(16)), Trouble.COUNTS_DISAGREE),
    ],
)
def test_headers_that_lie(tmp_path: Path, data: bytes, trouble: Trouble) -> None:
    assert refusal(tmp_path / "a.npy", data).trouble is trouble


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(saved(np.arange(12, dtype=np.float16).reshape(3, 4)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = array_header(io.BytesIO(bytes(whole)), len(whole))
    except ShardError:
        return
    assert found.start + found.rows * found.row_bytes == len(whole)
    assert len(found.renewed(0)) == found.start


def test_a_missing_file_is_a_shards_trouble(tmp_path: Path) -> None:
    with pytest.raises(ShardError) as caught:
        without(tmp_path / "none.npy", 1, [0])
    assert caught.value.trouble is Trouble.UNREADABLE
