"""NCMEC hash-sharing pages: fingerprints, categories, versions and tombstones over pages, and what is no page."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.listing import CREATED, folder, keys_of, leaks, opened, said_of
from vetset.errors import Stop
from vetset.hashlists import ncmec
from vetset.hashlists.account import Reason
from vetset.hashlists.compiled import compile_list
from vetset.hashlists.file import read_sources
from vetset.hashlists.gathering import Gathered
from vetset.records import ListEntry, Signal

NAMESPACE = "https://hashsharing.ncmec.org/hashsharing/v2"
ONE = "01" * 16
TWO = "02" * 16

#: A page in the shape of the service's own examples: truncated pdna, large fingerprints by reference, element orders.
PAGE = f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<queryResult xmlns="{NAMESPACE}">
    <images count="2" maxTimestamp="2017-10-24T15:10:00Z">
        <image>
            <member id="42">Example Member</member>
            <timestamp>2017-10-24T15:00:00Z</timestamp>
            <id>image1</id>
            <classification>A1</classification>
            <fingerprints>
                <md5>{"a1" * 16}</md5>
                <sha1>{"A1" * 20}</sha1>
                <pdna>a1a1a1a1a1a1...</pdna>
                <pdq>{"a1" * 32}</pdq>
                <netclean>invented</netclean>
            </fingerprints>
            <feedback lastUpdateTimestamp="2023-06-01T12:48:14Z">
                <negativeFeedback type="Sha1"><members><member id="43">Other</member></members></negativeFeedback>
            </feedback>
        </image>
        <deletedImage>
            <member id="43">Example Member2</member>
            <id>image4</id>
            <timestamp>2017-10-24T15:10:00Z</timestamp>
        </deletedImage>
    </images>
    <videos count="1">
        <video>
            <member id="101">Another</member>
            <timestamp>2019-11-24T15:10:00Z</timestamp>
            <id>largetags</id>
            <fingerprints>
                <md5>{"b1" * 16}</md5>
                <tmk-pdqf rel="self" href="/v2/entries/1/fingerprints/TMK_PDQF"/>
                <videntifier rel="self" href="/v2/entries/1/fingerprints/VIDENTIFIER"/>
            </fingerprints>
        </video>
    </videos>
</queryResult>
"""


def entry(name: str, time: str, *values: str, member: str = "42", kind: str = "image", category: str = "A1") -> str:
    prints = "".join(f"<md5>{value}</md5>" for value in values)
    return (
        f'<{kind}><member id="{member}">Some Member</member><timestamp>{time}</timestamp><id>{name}</id>'
        f"<classification>{category}</classification><fingerprints>{prints}</fingerprints></{kind}>"
    )


def tombstone(name: str, time: str, *, member: str = "42", kind: str = "deletedImage") -> str:
    return f'<{kind}><member id="{member}">Some Member</member><id>{name}</id><timestamp>{time}</timestamp></{kind}>'


def page(*elements: str, more: str = "") -> str:
    inner = "\n".join(elements)
    return f'<queryResult xmlns="{NAMESPACE}">\n<images count="9">\n{inner}\n</images>{more}</queryResult>'


def gathered_from(place: Path, *pages: str | bytes) -> Gathered:
    paths = []
    for number, contents in enumerate(pages):
        paths.append(place / f"page-{number}.xml")
        paths[-1].write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    gathered = Gathered()
    read_sources(paths, gathered)
    return gathered


def md5s(gathered: Gathered) -> set[str]:
    return {key.hex() for key in keys_of(gathered).get((Signal.MD5, None), set())}


def faults(gathered: Gathered) -> list[dict[str, list[int]]]:
    return [{reason.value: lines for reason, lines in account.lines.items()} for account in gathered.accounts]


def test_a_page_gives_what_we_hold_and_counts_the_rest(tmp_path: Path) -> None:
    gathered = gathered_from(tmp_path, PAGE)
    assert keys_of(gathered) == {
        (Signal.MD5, None): {bytes.fromhex("a1" * 16), bytes.fromhex("b1" * 16)},
        (Signal.SHA1, None): {bytes.fromhex("a1" * 20)},
        (Signal.PDQ, None): {bytes.fromhex("a1" * 32)},
    }
    at = {name: number for number, line in enumerate(PAGE.splitlines(), 1) for name in line.split("<")[1:2]}
    lines = [at[name] for name in at if name.startswith(("pdna", "netclean", "tmk", "videntifier"))]
    assert faults(gathered) == [{"not_base64": lines[:1], "unknown_signal": lines[1:2], "by_reference": lines[2:]}]
    assert gathered.accounts[0].taken == 4
    assert not gathered.accounts[0].notes


def test_what_is_said_of_an_entry_is_its_class_member_and_id(tmp_path: Path) -> None:
    (tmp_path / "page.xml").write_text(PAGE)
    target = tmp_path / "list.vsl"
    compile_list([tmp_path / "page.xml"], target, name="n", version=1, created=CREATED, recipients=())
    held = opened(target)
    image = ListEntry("42/image1", "A1", "42")
    assert said_of(held, Signal.MD5, bytes.fromhex("a1" * 16)) == {image}
    assert said_of(held, Signal.PDQ, bytes.fromhex("a1" * 32)) == {image}
    assert said_of(held, Signal.MD5, bytes.fromhex("b1" * 16)) == {ListEntry("101/largetags", "", "101")}


def test_the_class_of_a_text_node_does_not_come_from_feedback(tmp_path: Path) -> None:
    without = PAGE.replace("            <classification>A1</classification>\n", "")
    with_feedback = without.replace(
        "<negativeFeedback type", "<classification>Z9</classification><negativeFeedback type"
    )
    gathered = gathered_from(tmp_path, with_feedback)
    assert set(gathered.keys[Signal.MD5, None].categories) == {""}


# --- withdrawal -------------------------------------------------------------------------------------------------------

EARLY, MIDDLE, LATE = "2020-01-01T00:00:00Z", "2020-06-01T00:00:00Z", "2020-12-31T23:59:59Z"


@pytest.mark.parametrize("kind", ["deletedImage", "deletedVideo"])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize(("time", "withdrawn"), [(EARLY, False), (MIDDLE, True), (LATE, True)])
def test_a_tombstone_withdraws_what_is_not_newer(
    tmp_path: Path, kind: str, order: int, time: str, withdrawn: bool
) -> None:
    pages = [page(entry("e", MIDDLE, ONE), entry("f", MIDDLE, TWO)), page(tombstone("e", time, kind=kind))]
    gathered = gathered_from(tmp_path, *(reversed(pages) if order else pages))
    assert md5s(gathered) == ({TWO} if withdrawn else {ONE, TWO})
    account = gathered.accounts[1 if order else 0]
    assert dict(account.faults) == ({Reason.WITHDRAWN: 1} if withdrawn else {})
    assert account.taken == (1 if withdrawn else 2)


@pytest.mark.parametrize("stranger", [tombstone("e", LATE, member="43"), tombstone("E", LATE), tombstone("2/e", LATE)])
def test_a_tombstone_of_another_key_withdraws_nothing(tmp_path: Path, stranger: str) -> None:
    assert md5s(gathered_from(tmp_path, page(entry("e", MIDDLE, ONE), stranger))) == {ONE}


def test_ids_do_not_run_into_each_other(tmp_path: Path) -> None:
    gathered = gathered_from(tmp_path, page(entry("b/c", MIDDLE, ONE, member="a"), tombstone("c", LATE, member="a/b")))
    assert md5s(gathered) == {ONE}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_an_entrys_versions_the_newest_counts(tmp_path: Path, order: tuple[int, ...]) -> None:
    versions = [entry("e", EARLY, ONE), entry("e", LATE, TWO), entry("e", MIDDLE, "03" * 16)]
    gathered = gathered_from(tmp_path, *(page(versions[number]) for number in order))
    assert md5s(gathered) == {TWO}
    assert sum(account.faults[Reason.SUPERSEDED] for account in gathered.accounts) == 2


def test_versions_of_the_same_time_count_together(tmp_path: Path) -> None:
    gathered = gathered_from(tmp_path, page(entry("e", LATE, ONE), entry("e", "2020-12-31T23:59:59.000Z", TWO, ONE)))
    assert md5s(gathered) == {ONE, TWO}
    assert gathered.accounts[0].taken == 2
    assert faults(gathered) == [{}]


def test_offsets_of_time_are_understood(tmp_path: Path) -> None:
    later_by_an_hour = tombstone("e", "2020-06-01T00:30:00+01:00")
    assert md5s(gathered_from(tmp_path, page(entry("e", MIDDLE, ONE), later_by_an_hour))) == {ONE}
    naive = tombstone("e", "2020-06-01T00:00:00")
    assert md5s(gathered_from(tmp_path, page(entry("e", MIDDLE, ONE), naive))) == set()


@pytest.mark.parametrize("bad", ["", "yesterday", "2020-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_times_that_cannot_be_read_are_counted(tmp_path: Path, bad: str) -> None:
    assert md5s(gathered_from(tmp_path, page(entry("e", MIDDLE, ONE), tombstone("e", bad)))) == {ONE}
    untimed = gathered_from(tmp_path, page(entry("e", bad, ONE), tombstone("e", EARLY)))
    assert md5s(untimed) == set()
    assert faults(untimed) == [{"bad_timestamp": [3], "withdrawn": [3]}]
    both = gathered_from(tmp_path, page(entry("e", bad, ONE), tombstone("e", bad)))
    assert md5s(both) == {ONE}
    assert faults(both) == [{"bad_timestamp": [3, 4]}]


def test_entries_without_an_id_are_kept_apart_and_kept(tmp_path: Path) -> None:
    nameless = entry("", MIDDLE, ONE)
    gathered = gathered_from(tmp_path, page(nameless, entry("", MIDDLE, TWO, member=""), tombstone("", LATE)))
    assert md5s(gathered) == {ONE, TWO}
    assert faults(gathered) == [{"no_entry_id": [3, 4, 5]}]
    assert set(gathered.keys[Signal.MD5, None].entry_ids) == {""}


KEYS = st.tuples(st.sampled_from(["1", "2"]), st.sampled_from(["a", "b"]))
TIMES = st.integers(0, 3)
EVENTS = st.lists(st.tuples(KEYS, TIMES, st.none() | st.integers(0, 3)), max_size=10)


@settings(max_examples=60)
@given(events=EVENTS, cuts=st.integers(1, 3), data=st.data())
def test_what_stands_is_what_the_rule_says_in_any_order(
    events: list[tuple[tuple[str, str], int, int | None]], cuts: int, data: st.DataObject
) -> None:
    wanted: set[str] = set()
    for key in {key for key, _, _ in events}:
        versions = [(time, value) for name, time, value in events if name == key and value is not None]
        ends = [time for name, time, value in events if name == key and value is None]
        newest = max((time for time, _ in versions), default=0)
        if versions and newest > max(ends, default=-1):
            wanted |= {f"{value:032x}" for time, value in versions if time == newest}
    shuffled = data.draw(st.permutations(events))
    elements = [
        tombstone(name, f"2020-01-0{time + 1}T00:00:00Z", member=member)
        if value is None
        else entry(name, f"2020-01-0{time + 1}T00:00:00Z", f"{value:032x}", member=member)
        for (member, name), time, value in shuffled
    ]
    with folder() as place:
        gathered = gathered_from(place, *(page(*elements[start::cuts]) for start in range(cuts)))
    assert md5s(gathered) == wanted


# --- pages ------------------------------------------------------------------------------------------------------------


def test_a_last_page_that_names_a_next_one_is_noted(tmp_path: Path) -> None:
    paging = "<paging><next>/v2/entries?start=2001</next></paging>"
    first, last = page(entry("e", MIDDLE, ONE), more=paging), page(entry("f", MIDDLE, TWO))
    assert not any(account.notes for account in gathered_from(tmp_path, first, last).accounts)
    (note,) = gathered_from(tmp_path, last, first).accounts[1].notes
    assert "names a next one" in note


def test_sections_and_elements_yet_unknown_are_counted(tmp_path: Path) -> None:
    gathered = gathered_from(tmp_path, page(entry("e", MIDDLE, ONE, kind="hologram"), more="<holograms/>"))
    assert faults(gathered) == [{"unknown_element": [3, 4]}]
    assert md5s(gathered) == set()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("", "not whole XML"),
        (PAGE[:-40], "not whole XML: trouble in line"),
        (PAGE.replace(NAMESPACE, "https://hashsharing.ncmec.org/hashsharing/v3"), "no page of entries"),
        (f'<status xmlns="{NAMESPACE}"><username>x</username></status>', "no page of entries"),
        ("<html/>", "no page of entries"),
        (f"<!DOCTYPE x>{page()}", "declares a document type"),
        (f'<!DOCTYPE x [<!ENTITY a "{ONE}">]><x>&a;</x>', "declares a document type"),
        (f'<!DOCTYPE x SYSTEM "http://a.example/{ONE}"><x/>', "declares a document type"),
        (f"<x>&{ONE};</x>", "not whole XML"),
        (f'<?xml version="1.0" encoding="{ONE}"?><x/>', "is not"),
        (b"\xff\xfe\x00" * 40, "is not"),
    ],
)
def test_what_is_no_page_stops_and_is_not_quoted(tmp_path: Path, contents: str | bytes, message: str) -> None:
    with pytest.raises(Stop, match=message) as stop:
        gathered_from(tmp_path, page(entry("e", MIDDLE, TWO)), contents)
    assert stop.value.hint
    assert stop.value.__cause__ is None
    assert stop.value.__suppress_context__ or stop.value.__context__ is None
    assert not leaks(f"{stop.value!r}{stop.value.hint}".encode(), [ONE.encode(), b"a1" * 16, TWO.encode()])


def test_a_page_beyond_its_size_stops(tmp_path: Path) -> None:
    path = tmp_path / "page.xml"
    path.write_text(page())
    os.truncate(path, ncmec.MAX_PAGE_BYTES + 1)
    with pytest.raises(Stop, match="is larger than"):
        read_sources([path], Gathered())


def test_deep_nesting_does_no_harm(tmp_path: Path) -> None:
    deep = 50_000
    gathered = gathered_from(tmp_path, page("<image>" * deep + "</image>" * deep, entry("e", MIDDLE, ONE)))
    assert md5s(gathered) == {ONE}
    assert faults(gathered) == [{"bad_timestamp": [3], "no_entry_id": [3]}]


def test_a_hostile_number_of_values_is_only_values(tmp_path: Path) -> None:
    values = [f"{number:032x}" for number in range(3000)]
    gathered = gathered_from(tmp_path, page(entry("e", MIDDLE, *values)))
    assert md5s(gathered) == set(values)
    assert gathered.accounts[0].taken == 3000
