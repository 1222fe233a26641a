"""Fetching: versions, what is kept between, deaths at any point, and what a state refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.exchanging import NOW, Moments, ncmec_of, spelled
from tests.listing import folder, opened
from vetset.errors import Stop
from vetset.hashlists.exchange import Entry, Part
from vetset.hashlists.fetching import MAX_SEGMENTS, Fetched, Wanted, fetch, plan
from vetset.hashlists.seen import highest_seen, remember
from vetset.hashlists.state import Segments, opened_state
from vetset.records import ListEntry, ListRef, Signal
from vetset.testing.hashlist_contract import _Killed, _Mortal
from vetset.testing.ncmec_server import Exchanged, SharedEntry, ncmec_server
from vetset.testing.serving import Fault, Reply
from vetset.vault import age

IDENTITY = age.new_identity()
RECIPIENT = age.recipient_of(IDENTITY)


def wanted(place: Path, **more: object) -> Wanted:
    return Wanted("made-up", place / "lists", (RECIPIENT,), (IDENTITY,), **more)  # type: ignore[arg-type]


def entry(name: str, number: int, kind: Signal = Signal.MD5, time: str = "", said: str = "") -> Entry:
    width = 16 if kind is Signal.MD5 else 20
    return Entry(name, time, frozenset({(kind, bytes([number]) * width, ListEntry(name, said))}))


class Given:
    """An exchange that says what it is given, in parts."""

    origin = "given"

    def __init__(self, *parts: Part) -> None:
        self.given = list(parts)
        self.asked_from: dict[str, str] = {}

    def parts(self, checkpoint: object) -> object:
        self.asked_from = dict(checkpoint)  # type: ignore[call-overload]
        return iter(self.given)

    def plan(self, checkpoint: object) -> list[str]:
        return [f"from {dict(checkpoint)}"]  # type: ignore[call-overload]


def part(*entries: Entry, at: str = "1", whole: bool = False) -> Part:
    return Part(entries, {"at": at}, whole)


def fetched(place: Path, *parts: Part, **more: object) -> Fetched:
    return fetch(Given(*parts), wanted(place, **more), NOW)  # type: ignore[arg-type]


def held(path: Path | None) -> dict[Signal, int]:
    assert path is not None
    return opened(path, [IDENTITY]).counts


def test_a_version_is_called_by_its_number_and_says_what_it_is(tmp_path: Path) -> None:
    more = {"source": "A body", "purpose": "tests", "valid_days": 30}
    done = fetched(tmp_path, part(entry("a", 1)), **more)
    assert done.path == tmp_path / "lists" / "made-up-1.vsl"
    about = opened(done.path, [IDENTITY], today=date(2026, 11, 4)).about
    assert (about.name, about.version, about.created) == ("made-up", 1, "2026-11-03T12:00:00Z")
    assert (about.source, about.purpose, about.expires) == ("A body", "tests", "2026-12-03")


def test_it_is_sealed_to_the_recipients(tmp_path: Path) -> None:
    done = fetched(tmp_path, part(entry("a", 1)))
    assert done.path is not None
    with pytest.raises(Stop, match="sealed"):
        opened(done.path, [age.new_identity()])


def test_asking_begins_where_the_last_kept_part_said(tmp_path: Path) -> None:
    fetched(tmp_path, part(entry("a", 1), at="7"))
    exchange = Given()
    fetch(exchange, wanted(tmp_path), NOW)  # type: ignore[arg-type]
    assert exchange.asked_from == {"at": "7"}
    assert plan(exchange, wanted(tmp_path)) == ["from {'at': '7'}"]  # type: ignore[arg-type]


def test_counts_are_of_what_stands(tmp_path: Path) -> None:
    fetched(tmp_path, part(entry("a", 1, time="1"), entry("b", 2, time="1"), entry("c", 3, time="1")))
    done = fetched(
        tmp_path,
        part(
            Entry("a", "2", None),  # withdrawn
            Entry("x", "2", None),  # never heard of
            entry("b", 9, time="2"),  # another value
            entry("c", 3, time="2"),  # said again
            entry("d", 4, time="2"),
            Entry("d", "3", None),  # came and went
            entry("e", 5, time="2"),
        ),
    )
    assert (done.changes.added, done.changes.withdrawn, done.changes.altered) == (1, 1, 1)
    assert done.counts == {Signal.MD5: 3}


def test_a_checkpoint_that_moves_alone_makes_no_version(tmp_path: Path) -> None:
    fetched(tmp_path, part(entry("a", 1)))
    done = fetched(tmp_path, part(at="2"))
    assert done.path is None
    assert done.ref is not None
    assert done.ref.version == 1
    assert [path.name for path in (tmp_path / "lists").glob("*.vsl")] == ["made-up-1.vsl"]


def test_a_newer_time_without_a_change_makes_no_version(tmp_path: Path) -> None:
    fetched(tmp_path, part(entry("a", 1, time="1")))
    assert fetched(tmp_path, part(entry("a", 1, time="2"))).path is None


def test_kinds_that_are_not_wanted_are_known_and_not_compiled(tmp_path: Path) -> None:
    both = part(entry("a", 1), entry("b", 2, Signal.SHA1))
    assert held(fetched(tmp_path, both, signals=frozenset({Signal.SHA1})).path) == {Signal.SHA1: 1}
    done = fetched(tmp_path, signals=frozenset(Signal))
    assert done.ref is not None
    assert done.ref.version == 2
    assert held(done.path) == {Signal.MD5: 1, Signal.SHA1: 1}


def test_an_empty_list_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="nothing stands"):
        fetched(tmp_path, part(at="1"))
    fetched(tmp_path, part(entry("a", 1, time="1"), at="2"))
    with pytest.raises(Stop, match="nothing stands"):
        fetched(tmp_path, part(Entry("a", "2", None), at="3"))
    assert fetched(tmp_path, part(entry("a", 1, time="3"), entry("b", 2))).path == wanted(tmp_path).path(2)


def test_versions_rise_above_all_that_was_seen(tmp_path: Path) -> None:
    assert highest_seen(tmp_path / "config", "made-up") == 0
    remember(tmp_path / "config", ListRef("made-up", 41, "d" * 64))
    least = highest_seen(tmp_path / "config", "made-up") + 1
    done = fetched(tmp_path, part(entry("a", 1)), least_version=least)
    assert done.path == wanted(tmp_path).path(42)


def test_versions_rise_above_files_when_the_state_was_lost(tmp_path: Path) -> None:
    for number in (1, 2):
        fetched(tmp_path, part(entry(str(number), number)))
    for path in (tmp_path / "lists" / "made-up.state").iterdir():
        path.unlink()
    (tmp_path / "lists" / "made-up-extra-9.vsl").touch()
    done = fetched(tmp_path, part(entry("a", 1)))
    assert done.path == wanted(tmp_path).path(3)


def test_segments_do_not_pile_up(tmp_path: Path) -> None:
    fetched(tmp_path, part(entry("a", 1)))
    for number in range(MAX_SEGMENTS + 2):
        fetched(tmp_path, part(at=str(number)))
    assert len(list((tmp_path / "lists" / "made-up.state").iterdir())) < MAX_SEGMENTS
    assert fetched(tmp_path, part(entry("b", 2), at="z")).changes.added == 1


def test_a_whole_part_withdraws_what_it_lacks(tmp_path: Path) -> None:
    fetched(tmp_path, part(entry("a", 1), entry("b", 2), whole=True))
    done = fetched(tmp_path, part(entry("b", 2), entry("c", 3), whole=True))
    assert (done.changes.added, done.changes.withdrawn) == (1, 1)
    assert held(done.path) == {Signal.MD5: 2}


def test_a_whole_part_that_lacks_too_much_is_refused(tmp_path: Path) -> None:
    """It may have been cut short where it was made, and nothing else would tell."""
    fetched(tmp_path, part(*(entry(str(number), number) for number in range(4)), whole=True))
    with pytest.raises(Stop, match="lacks 3 of 4"):
        fetched(tmp_path, part(entry("0", 0), at="2", whole=True))
    assert fetched(tmp_path).path is None
    done = fetched(tmp_path, part(entry("0", 0), at="2", whole=True), most_withdrawn=0.75)
    assert (done.changes.withdrawn, done.counts) == (3, {Signal.MD5: 1})


def test_an_entry_that_holds_two_values_loses_one(tmp_path: Path) -> None:
    both = Entry(
        "a", "1", frozenset({(Signal.MD5, b"\1" * 16, ListEntry("a")), (Signal.MD5, b"\2" * 16, ListEntry("a"))})
    )
    fetched(tmp_path, Part([both], {"at": "1"}))
    done = fetched(tmp_path, part(entry("a", 1, time="2")))
    assert (done.changes.added, done.changes.withdrawn, done.changes.altered) == (0, 0, 1)
    assert done.counts == {Signal.MD5: 1}


def test_addresses_and_odd_ids_come_through(tmp_path: Path) -> None:
    odd = 'tab\tline\nquote"\u2028é'
    said = frozenset({(Signal.URL, "https://made-up.example/é".encode(), ListEntry(odd, "c\td"))})
    fetched(tmp_path, Part([Entry(odd, "1", said)], {"at": "1"}))
    done = fetched(tmp_path, part(entry("b", 2), at="2"))
    assert done.entries == 2
    assert held(done.path)[Signal.URL] == 1


# --- what is refused --------------------------------------------------------------------------------------------------


def test_another_origin_is_not_merged(tmp_path: Path) -> None:
    fetched(tmp_path, part(entry("a", 1)))
    other = Given(part(entry("b", 2)))
    other.origin = "another"
    with pytest.raises(Stop, match="another service"):
        fetch(other, wanted(tmp_path), NOW)  # type: ignore[arg-type]


def test_a_state_that_no_identity_opens(tmp_path: Path) -> None:
    fetched(tmp_path, part(entry("a", 1)))
    closed = Wanted("made-up", tmp_path / "lists", (RECIPIENT,), ())
    with pytest.raises(Stop, match="sealed"):
        fetch(Given(), closed, NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize("cut", [1, 300])
def test_a_damaged_state(tmp_path: Path, cut: int) -> None:
    fetched(tmp_path, part(entry("a", 1)))
    (path,) = (tmp_path / "lists" / "made-up.state").iterdir()
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(Stop) as stopped:
        fetched(tmp_path)
    assert stopped.value.hint


def test_a_state_of_a_newer_vetset(tmp_path: Path) -> None:
    files = Segments(tmp_path, (RECIPIENT,))
    files.write(1, [b'{"format": "vetset-exchange/2"}\n'])
    with pytest.raises(Stop, match="newer"), opened_state(files, "given", [IDENTITY]):
        pass


def test_one_at_a_time(tmp_path: Path) -> None:
    files = Segments(tmp_path / "lists" / "made-up.state", (RECIPIENT,))
    with opened_state(files, "given", [IDENTITY]), pytest.raises(Stop, match="another process"):
        fetched(tmp_path, part(entry("a", 1)))
    fetched(tmp_path, part(entry("a", 1)))


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "lists").write_text("a file")
    with pytest.raises(Stop):
        fetched(tmp_path, part(entry("a", 1)))


def test_a_stranger_at_the_name_of_the_intended_version(tmp_path: Path) -> None:
    first = fetched(tmp_path, part(entry("a", 1)))
    assert first.path is not None
    with suppress(_Killed):
        mortal = _Mortal(Segments(wanted(tmp_path).state_folder, (RECIPIENT,)), 4)  # dies once it is intended
        fetch(Given(part(entry("b", 2), at="2")), wanted(tmp_path), NOW, mortal)  # type: ignore[arg-type]
    stranger = wanted(tmp_path).path(2)
    stranger.write_bytes(first.path.read_bytes())
    with pytest.raises(Stop, match="another list"):
        fetched(tmp_path)
    stranger.unlink()
    assert held(fetched(tmp_path, part(entry("c", 3), at="3")).path) == {Signal.MD5: 3}


# --- deaths -----------------------------------------------------------------------------------------------------------


def undisturbed(history: list[SharedEntry], page_entries: int) -> dict[str, set[bytes]]:
    with folder() as place, ncmec_server(Exchanged(list(history), page_entries)) as served:
        return asked_to_the_end(place, served.url)


def asked_to_the_end(place: Path, url: str) -> dict[str, set[bytes]]:
    """Every entry's line of the state, and the values of the newest version."""
    with ncmec_of(url, lambda _: None, Moments()) as exchange, suppress(Stop):
        fetch(exchange, wanted(place), NOW)
    lists = sorted((place / "lists").glob("*.vsl"))
    if not lists:
        return {}
    newest = max(lists, key=lambda path: int(path.stem.rpartition("-")[2]))
    found = opened(newest, [IDENTITY])
    return {
        table.signal.value: {
            bytes(table.heads[row].astype(">u8").tobytes() + table.tails[row].tobytes()) for row in range(table.count)
        }
        for table in found.tables
    }


histories = st.lists(
    st.builds(
        SharedEntry,
        st.sampled_from("abcde"),
        st.integers(1, 60).map(lambda days: spelled(NOW - timedelta(days=days))),
        st.integers(0, 6).map(lambda number: {"md5": f"{number:032x}"}),
        deleted=st.booleans(),
    ),
    min_size=1,
    max_size=9,
)
deaths = st.lists(
    st.one_of(st.tuples(st.just("disk"), st.integers(1, 14)), st.tuples(st.just("request"), st.integers(0, 5))),
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(histories, st.integers(1, 4), deaths)
def test_whatever_dies_the_list_is_that_of_an_undisturbed_fetch(
    history: list[SharedEntry], page_entries: int, died: list[tuple[str, int]]
) -> None:
    """Deaths at changes of the disk and at requests, in any chain; then one fetch to the end."""
    with folder() as place, ncmec_server(Exchanged(list(history), page_entries)) as served:
        for where, number in died:
            files = Segments(wanted(place).state_folder, (RECIPIENT,))
            served.faults.clear()
            if where == "request":
                served.faults.extend([None] * number + [Reply(418)])
            with ncmec_of(served.url, lambda _: None, Moments()) as exchange, suppress(_Killed, Stop):
                fetch(exchange, wanted(place), NOW, _Mortal(files, number) if where == "disk" else files)
        served.faults.clear()
        found = asked_to_the_end(place, served.url)
        assert found == undisturbed(history, page_entries)


PROGRAM = """
import sys
from datetime import datetime
from pathlib import Path
from tests.exchanging import NOW, Moments, ncmec_of
from vetset.hashlists.fetching import Wanted, fetch
place, url, recipient, identity = sys.argv[1:]
with ncmec_of(url, lambda _: None, Moments(), window_days=20) as exchange:
    fetch(exchange, Wanted("made-up", Path(place) / "lists", (recipient,), (identity,)), NOW)
"""


def test_a_process_that_is_killed_at_any_request(tmp_path: Path) -> None:
    """SIGKILL while its request is being answered, one request later each time."""
    history = [
        SharedEntry(str(number), spelled(NOW - timedelta(days=number)), {"md5": f"{number:032x}"})
        for number in range(1, 12)
    ]
    root = Path(__file__).parent.parent
    with ncmec_server(Exchanged(history, 2)) as served:
        for number in range(1, 6):
            command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path), served.url, RECIPIENT, IDENTITY]
            asked = len(served.asked) + number
            process = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE)
            served.before = lambda _, process=process, asked=asked: (
                os.kill(process.pid, signal.SIGKILL) if len(served.asked) + 1 == asked else None
            )
            _, said = process.communicate(timeout=60)
            assert process.returncode in (-signal.SIGKILL, 0), said
            if process.returncode == 0:
                break
        served.before = None
        found = asked_to_the_end(tmp_path, served.url)
    assert found == {"md5": {number.to_bytes(16, "big") for number in range(1, 12)}}
    assert not list((tmp_path / "lists").rglob(".*")), "a temporary file is left"


def test_what_a_crash_left_half_written_is_swept(tmp_path: Path) -> None:
    fetched(tmp_path, part(entry("a", 1)))
    left = [tmp_path / "lists" / "made-up.state" / ".000009.age.k3x", tmp_path / "lists" / ".made-up-2.vsl.k3x"]
    for path in left:
        path.write_bytes(b"half")
    fetched(tmp_path)
    assert not any(path.exists() for path in left)


def test_trouble_in_the_middle_keeps_what_came(tmp_path: Path) -> None:
    history = [
        SharedEntry(str(number), spelled(NOW - timedelta(days=1)), {"md5": f"{number:032x}"}) for number in range(6)
    ]
    with ncmec_server(Exchanged(history, 2)) as served:
        served.faults.extend([None, None, None, None, *[Fault.UNHEARD] * 6])
        with ncmec_of(served.url, lambda _: None, Moments()) as exchange:
            with pytest.raises(Stop, match="is kept"):
                fetch(exchange, wanted(tmp_path), NOW)
            asked = len(served.asked)
            assert fetch(exchange, wanted(tmp_path), NOW).changes.added == 6
        assert len(served.asked) == asked + 1


def test_created_is_when_it_was_intended(tmp_path: Path) -> None:
    with suppress(_Killed):
        mortal = _Mortal(Segments(wanted(tmp_path).state_folder, (RECIPIENT,)), 4)
        fetch(Given(part(entry("a", 1))), wanted(tmp_path), NOW, mortal)  # type: ignore[arg-type]
    later = datetime(2027, 1, 1, tzinfo=UTC)
    fetch(Given(part(at="1")), wanted(tmp_path), later)  # type: ignore[arg-type]
    assert opened(wanted(tmp_path).path(1), [IDENTITY]).about.created == "2026-11-03T12:00:00Z"
