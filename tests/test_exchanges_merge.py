"""What stands of all that was said: merging is order-free, repeats change nothing, and NCMEC's pages define it."""

from __future__ import annotations

import io
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.listing import folder, keys_of
from vetset.hashlists.account import Account
from vetset.hashlists.exchange import NOTHING_KNOWN, Collected, Entry, Known, Part, Value, merged
from vetset.hashlists.file import read_sources
from vetset.hashlists.gathering import Gathered
from vetset.hashlists.ncmec import read_page
from vetset.hashlists.ncmec_service import _entry
from vetset.hashlists.state import Head, Segments, State
from vetset.records import ListEntry, Signal
from vetset.testing.ncmec_server import Exchanged, SharedEntry
from vetset.testing.serving import Asked, Reply

START = datetime(2026, 1, 1, tzinfo=UTC)


def value(number: int) -> Value:
    return Signal.MD5, bytes([number]) * 16, ListEntry("id", "A1", "42")


entries = st.builds(
    Entry,
    st.just("key"),
    st.sampled_from(["", "2026-01-01", "2026-01-02", "2026-01-03"]),
    st.none() | st.frozensets(st.integers(0, 3).map(value), max_size=2),
)


def all_of(said: list[Entry]) -> Known:
    known = NOTHING_KNOWN
    for entry in said:
        known = merged(known, entry)
    return known


@given(st.lists(entries, max_size=5))
def test_the_order_in_which_things_are_said_is_nothing(said: list[Entry]) -> None:
    assert len({all_of(list(order)) for order in itertools.permutations(said)}) == 1


@given(st.lists(entries, max_size=6), st.data())
def test_what_is_said_again_changes_nothing(said: list[Entry], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(said), max_size=4)) if said else []
    assert all_of(said + again) == all_of(said)


@given(st.lists(entries, max_size=6))
def test_what_stands_by_the_obvious_definition(said: list[Entry]) -> None:
    """The values of the newest versions, unless a tombstone is as new as they."""
    versions = [entry for entry in said if entry.values is not None]
    newest = max((entry.time for entry in versions), default="")
    withdrawn = max((entry.time for entry in said if entry.values is None), default="")
    wanted = frozenset().union(*(entry.values or () for entry in versions if entry.time == newest))
    assert all_of(said).standing() == (frozenset() if withdrawn and withdrawn >= newest else wanted)


histories = st.lists(
    st.builds(
        SharedEntry,
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 4).map(lambda days: (START + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")),
        st.dictionaries(st.sampled_from(["md5", "sha1"]), st.integers(0, 3).map(str), max_size=2).map(
            lambda prints: {tag: (f"0{number}" * (16 if tag == "md5" else 20)) for tag, number in prints.items()}
        ),
        member=st.sampled_from(["1", "2"]),
        deleted=st.booleans(),
        video=st.booleans(),
    ),
    max_size=8,
)


def pages_of(history: list[SharedEntry], page_entries: int) -> list[bytes]:
    books = Exchanged(history, page_entries=page_entries)
    pages, path = [], {"from": "2025-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"}
    for start in range(1, max(2, len(history) + 1), page_entries):
        reply: Reply = books._entries({**path, "start": str(start)})
        pages.append(reply.body)
    return pages


@given(histories, st.integers(1, 4))
def test_it_agrees_with_pages_read_as_files(history: list[SharedEntry], page_entries: int) -> None:
    """`ncmec.Pages` over all pages at once is the definition; the state is built page by page."""
    pages = pages_of(history, page_entries)
    with folder() as place:
        paths = [place / f"{number}.xml" for number in range(len(pages))]
        for path, page in zip(paths, pages, strict=True):
            path.write_bytes(page)
        defined = Gathered()
        read_sources(paths, defined)
        state = State(Unwritten(place), Head())
        for page in pages:
            said = read_page(io.BytesIO(page), Account("here")).said
            state.take(Part([entry for one in said if (entry := _entry(one))], {}))
        gathered = Gathered()
        for signal, data, said_of_it in state.standing():
            gathered.hold(signal, data, said_of_it)
    assert keys_of(gathered) == keys_of(defined)
    assert said_in(gathered) == said_in(defined)


def said_in(gathered: Gathered) -> set[tuple[str, str, str]]:
    return {
        said
        for keys in gathered.keys.values()
        for said in zip(keys.entry_ids, keys.categories, keys.sources, strict=True)
    }


class Unwritten(Segments):
    """Segments that are forgotten at once."""

    def __init__(self, place: Path) -> None:
        super().__init__(place, ())

    def write(self, number: int, lines: object) -> None:
        pass


def test_nothing_of_an_entry_is_shown() -> None:
    shown = repr(Entry("secret-key", "", frozenset({value(1)}))) + repr(all_of([Entry("k", "", frozenset({value(1)}))]))
    shown += repr(Part([Entry("secret-key")], {"next": "x"}))
    assert "secret-key" not in shown
    assert "\\x01" not in shown


def test_collected_values_are_named_by_their_id_or_by_themselves() -> None:
    collected = Collected()
    collected.hold(Signal.MD5, b"\x01" * 16, ListEntry("one"))
    collected.hold(Signal.SHA1, b"\x02" * 20, ListEntry("one"))
    collected.hold_bare(Signal.MD5, b"\x03" * 32)
    keys = {entry.key: len(entry.values or ()) for entry in collected.as_entries()}
    assert sorted(keys.values()) == [1, 2]
    assert keys["id one"] == 2


def test_the_emulated_pages_are_asked_as_a_service() -> None:
    assert Exchanged().answer(Asked("GET", "/v2/entries", {}, {}, b"")).status == 401
