"""What was seen of lists: versions only rise, contents of a version stay, and the memory cannot be talked out of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.listing import folder
from vetset.errors import Stop
from vetset.hashlists.seen import check_not_rolled_back, remember
from vetset.records import ListRef

ONE = ListRef("a", 3, "d" * 64)


def test_what_was_never_seen_passes_and_leaves_no_trace(tmp_path: Path) -> None:
    check_not_rolled_back(tmp_path / "none", ONE)
    assert not (tmp_path / "none").exists()


def test_the_same_list_passes_again(tmp_path: Path) -> None:
    remember(tmp_path, ONE)
    check_not_rolled_back(tmp_path, ONE)
    remember(tmp_path, ONE)


def test_an_older_version_is_rolled_back(tmp_path: Path) -> None:
    remember(tmp_path, ONE)
    older = ListRef("a", 2, "e" * 64)
    for use in (check_not_rolled_back, remember):
        with pytest.raises(Stop, match="version 2 is rolled back: version 3 was seen") as stop:
            use(tmp_path, older)
        assert "lists.json" in stop.value.hint
    check_not_rolled_back(tmp_path, ONE)


def test_other_contents_under_the_same_version_are_swapped(tmp_path: Path) -> None:
    remember(tmp_path, ONE)
    for use in (check_not_rolled_back, remember):
        with pytest.raises(Stop, match="was swapped"):
            use(tmp_path, ListRef("a", 3, "e" * 64))
    check_not_rolled_back(tmp_path, ONE)


def test_a_newer_version_replaces_the_older(tmp_path: Path) -> None:
    remember(tmp_path, ONE)
    newer = ListRef("a", 4, "e" * 64)
    check_not_rolled_back(tmp_path, newer)
    check_not_rolled_back(tmp_path, ONE)  # looking is not remembering
    remember(tmp_path, newer)
    with pytest.raises(Stop, match="rolled back"):
        check_not_rolled_back(tmp_path, ONE)


@given(seen=st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 5), st.sampled_from("xy")), max_size=12))
def test_what_is_remembered_is_the_highest_of_each_list(seen: list[tuple[str, int, str]]) -> None:
    known: dict[str, tuple[int, str]] = {}
    with folder() as place:
        for name, version, digest in seen:
            highest, contents = known.get(name, (0, ""))
            if version < highest or (version == highest and digest != contents):
                with pytest.raises(Stop):
                    remember(place, ListRef(name, version, digest))
            else:
                remember(place, ListRef(name, version, digest))
                known[name] = (version, digest)
        for name, (version, digest) in known.items():
            check_not_rolled_back(place, ListRef(name, version, digest))
            with pytest.raises(Stop):
                check_not_rolled_back(place, ListRef(name, version - 1, digest))


def test_the_file_is_for_its_owner_alone_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "vetset"
    remember(place, ONE)
    assert [path.name for path in place.iterdir()] == ["lists.json"]
    assert (place / "lists.json").stat().st_mode & 0o777 == 0o600
    assert place.stat().st_mode & 0o777 == 0o700
    assert json.loads((place / "lists.json").read_text()) == {"a": {"version": 3, "digest": "d" * 64}}


@pytest.mark.parametrize(
    "contents",
    [
        "",
        "nonsense",
        "[]",
        "null",
        '{"a": 3}',
        '{"a": {}}',
        '{"a": {"version": "x", "digest": ""}}',
        '{"a": {"version": null, "digest": ""}}',
        "[" * 100_000,
    ],
)
def test_what_cannot_be_read_is_not_taken_for_nothing_seen(tmp_path: Path, contents: str) -> None:
    (tmp_path / "lists.json").write_text(contents)
    for use in (check_not_rolled_back, remember):
        with pytest.raises(Stop, match="cannot be understood") as stop:
            use(tmp_path, ONE)
        assert "rolled back" in stop.value.hint
    assert (tmp_path / "lists.json").read_text() == contents


def test_bytes_that_are_no_text_stop(tmp_path: Path) -> None:
    (tmp_path / "lists.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Stop, match="cannot be understood"):
        check_not_rolled_back(tmp_path, ONE)


def test_places_that_cannot_be_used_stop(tmp_path: Path) -> None:
    (tmp_path / "lists.json").mkdir()
    with pytest.raises(Stop, match="cannot read"):
        check_not_rolled_back(tmp_path, ONE)
    (tmp_path / "file").touch()
    with pytest.raises(Stop, match="cannot write"):
        remember(tmp_path / "file" / "vetset", ONE)


def test_a_failing_disk_keeps_what_was_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(tmp_path, ONE)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(Stop, match="No space left"):
        remember(tmp_path, ListRef("a", 4, "e" * 64))
    check_not_rolled_back(tmp_path, ONE)
    assert [path.name for path in tmp_path.iterdir()] == ["lists.json"]


PROCESS = """
import sys
from pathlib import Path
from vetset.hashlists.seen import remember
from vetset.records import ListRef
for number in range(25):
    remember(Path(sys.argv[1]), ListRef(f"{sys.argv[2]}-{number}", 1, "d"))
"""


def test_processes_that_remember_at_once_lose_nothing(tmp_path: Path) -> None:
    children = [subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path), name]) for name in "abc"]
    assert [child.wait() for child in children] == [0, 0, 0]
    known = json.loads((tmp_path / "lists.json").read_text())
    assert set(known) == {f"{name}-{number}" for name in "abc" for number in range(25)}
