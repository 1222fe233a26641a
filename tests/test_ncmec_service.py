"""NCMEC's hash sharing asked over real HTTP: windows, pages, checkpoints, traps, and what a body must not do to us."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from tests.exchanging import BASIC, NOW, Moments, ncmec_of, spelled
from tests.reporting import XSD
from vetset.errors import ServiceError, Stop
from vetset.hashlists.account import Reason
from vetset.hashlists.exchange import NOTHING_KNOWN, Checkpoint, Known, Part, merged
from vetset.hashlists.ncmec_service import Ncmec
from vetset.hashlists.service import Service
from vetset.records import Signal
from vetset.testing.ncmec_server import Exchanged, SharedEntry, ncmec_server
from vetset.testing.serving import Reply, Served

EXCHANGE = XSD.parent
DAY = timedelta(days=1)


def at(days: float) -> str:
    """So many days before now."""
    return spelled(NOW - timedelta(days=days))


def md5(number: int) -> dict[str, str]:
    return {"md5": f"{number:032x}"}


@pytest.fixture
def books() -> Exchanged:
    return Exchanged(page_entries=2)


@pytest.fixture
def served(books: Exchanged) -> Iterator[Served]:
    with ncmec_server(books) as service:
        yield service


def parts(
    served: Served, checkpoint: Checkpoint | None = None, moments: Moments | None = None, **how: object
) -> list[Part]:
    with ncmec_of(served.url, waits.append, moments or Moments(), **how) as exchange:  # type: ignore[arg-type]
        return list(exchange.parts(checkpoint or {}))


waits: list[float] = []


def standing(found: list[Part]) -> set[str]:
    known: dict[str, Known] = {}
    for part in found:
        for entry in part.entries:
            known[entry.key] = merged(known.get(entry.key, NOTHING_KNOWN), entry)
    return {data.hex() for one in known.values() for _, data, _ in one.standing()}


def numbers(*found: int) -> set[str]:
    return {f"{number:032x}" for number in found}


def test_pages_are_followed_to_the_last(served: Served, books: Exchanged) -> None:
    books.said = [SharedEntry(str(number), at(number), md5(number)) for number in range(1, 8)]
    found = parts(served, window_days=365)
    assert len(found) == 4
    assert standing(found) == numbers(*range(1, 8))
    assert [("start" in asked.query) for asked in served.asked] == [False, True, True, True]


def test_the_checkpoint_passes_a_window_only_when_its_last_page_is_there(served: Served, books: Exchanged) -> None:
    books.said = [SharedEntry(str(number), at(1), md5(number)) for number in range(5)]
    checkpoints = [part.checkpoint for part in parts(served, window_days=365)]
    assert [checkpoint["from"] for checkpoint in checkpoints] == ["2026-09-01T00:00:00Z"] * 2 + [spelled(NOW)]
    assert [bool(checkpoint.get("next")) for checkpoint in checkpoints] == [True, True, False]


def test_windows_meet_and_overlap(served: Served) -> None:
    parts(served, window_days=30)
    asked = [(one.query["from"], one.query["to"]) for one in served.asked]
    assert asked == [
        ("2026-08-31T23:00:00Z", "2026-10-01T00:00:00Z"),
        ("2026-09-30T23:00:00Z", "2026-10-31T00:00:00Z"),
        ("2026-10-30T23:00:00Z", "2026-11-03T12:00:00Z"),
    ]


@pytest.mark.parametrize("within", [False, True])
def test_an_entry_on_the_edge_of_a_window_is_not_missed(served: Served, books: Exchanged, within: bool) -> None:
    """The public facts do not say whether a window holds its last second."""
    books.to_is_within = within
    books.said = [SharedEntry("a", "2026-10-01T00:00:00Z", md5(1)), SharedEntry("b", "2026-09-30T23:59:59Z", md5(2))]
    assert standing(parts(served)) == numbers(1, 2)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
def test_times_are_utc_whatever_the_machine_says(served: Served, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A known client formats local time and calls it UTC."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        parts(served, {"from": "2026-11-01T00:00:00Z"})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert served.asked[0].query["to"] == "2026-11-03T12:00:00Z"


def test_entries_that_come_in_no_order(served: Served, books: Exchanged) -> None:
    """The newest version first, its elders on later pages."""
    books.said = [
        SharedEntry("a", at(1), md5(3)),
        SharedEntry("b", at(5), md5(4)),
        SharedEntry("a", at(9), md5(1)),
        SharedEntry("a", at(5), md5(2)),
    ]
    assert standing(parts(served)) == numbers(3, 4)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_an_update_and_then_a_delete_of_one_id(served: Served, books: Exchanged, order: tuple[int, ...]) -> None:
    said = [SharedEntry("a", at(9), md5(1)), SharedEntry("a", at(5), md5(2)), SharedEntry("a", at(1), deleted=True)]
    books.said = [*(said[place] for place in order), SharedEntry("b", at(2), md5(3))]
    assert standing(parts(served, window_days=365)) == numbers(3)


def test_shared_again_after_a_delete(served: Served, books: Exchanged) -> None:
    books.said = [
        SharedEntry("a", at(1), md5(2)),
        SharedEntry("a", at(5), deleted=True),
        SharedEntry("a", at(9), md5(1)),
    ]
    assert standing(parts(served)) == numbers(2)


def test_a_delete_is_of_one_members_entry(served: Served, books: Exchanged) -> None:
    books.said = [SharedEntry("a", at(2), md5(1), member="1"), SharedEntry("a", at(1), deleted=True, member="2")]
    assert standing(parts(served)) == numbers(1)


def test_every_kind_that_we_hold(served: Served, books: Exchanged) -> None:
    prints = {"md5": "01" * 16, "sha1": "02" * 20, "pdq": "03" * 32, "pdna": "04" * 144}
    books.said = [SharedEntry("a", at(1), prints, classification="B2")]
    (entry,) = [entry for part in parts(served) for entry in part.entries]
    found = {signal: (data, said) for signal, data, said in entry.values or ()}
    assert {signal: data.hex()[:2] for signal, (data, _) in found.items()} == {
        Signal.MD5: "01",
        Signal.SHA1: "02",
        Signal.PDQ: "03",
        Signal.PHOTODNA: "04",
    }
    assert {(said.category, said.source, said.entry_id) for _, said in found.values()} == {("B2", "42", "42/a")}


def test_large_fingerprints_by_reference_are_counted_and_not_followed(served: Served, books: Exchanged) -> None:
    books.said = [
        SharedEntry("a", at(1), md5(1), ["tmk-pdqf", "videntifier"], video=True),
        SharedEntry("b", at(1), {}, ["pdna"]),
    ]
    found = parts(served)
    assert standing(found) == numbers(1)
    total = sum((Counter(part.faults) for part in found), Counter())
    assert total == {"by_reference": 3}
    assert {asked.path for asked in served.asked} == {"/v2/entries"}


def test_a_window_without_entries(served: Served) -> None:
    found = parts(served, {"from": spelled(NOW - DAY)})
    assert [(list(part.entries), dict(part.checkpoint)) for part in found] == [([], {"from": spelled(NOW)})]


def test_the_fixtures_of_the_service(served: Served) -> None:
    """The service's own examples, as its answers."""
    names = ["ncmec_entries_xml.xml", "ncmec_entries_xml2.xml", "ncmec_entries_large_fingerprints.xml"]
    served.faults.extend(Reply(200, (EXCHANGE / name).read_bytes()) for name in names)
    found = parts(served, {"from": spelled(NOW - DAY)})
    assert [len(part.entries) for part in found] == [4, 1, 1]
    assert served.asked[1].query["start"] == "2001"
    served.faults.append(Reply(200, (EXCHANGE / "ncmec_entries_no_data_xml.xml").read_bytes()))
    assert [len(part.entries) for part in parts(served, {"from": spelled(NOW - DAY)})] == [0]


# --- going on ---------------------------------------------------------------------------------------------------------


def stopped_after(served: Served, pages: int, moments: Moments) -> Checkpoint:
    with ncmec_of(served.url, waits.append, moments, window_days=365) as exchange:
        asking = iter(exchange.parts({}))
        return [next(asking) for _ in range(pages)][-1].checkpoint


def test_it_goes_on_with_the_next_page(served: Served, books: Exchanged) -> None:
    books.said = [SharedEntry(str(number), at(1), md5(number)) for number in range(7)]
    moments = Moments()
    checkpoint = stopped_after(served, 2, moments)
    asked = len(served.asked)
    moments.now += timedelta(hours=10)
    found = parts(served, checkpoint, moments, window_days=365)
    assert served.asked[asked].query["start"] == "5"
    assert standing(found) == numbers(4, 5, 6)
    assert found[-1].checkpoint == {"from": spelled(moments.now)}


@pytest.mark.parametrize("how", ["after hours", "http_404", "http_400", "http_410"])
def test_a_next_page_that_is_not_to_be_had_any_more(served: Served, books: Exchanged, how: str) -> None:
    """A next page is good for about 12 hours: then its window is begun again, with the same end."""
    books.said = [SharedEntry(str(number), at(1), md5(number)) for number in range(7)]
    moments = Moments()
    checkpoint = stopped_after(served, 2, moments)
    asked = len(served.asked)
    moments.now += timedelta(hours=11, seconds=1) if how == "after hours" else timedelta(0)
    served.faults.extend([Reply(int(how[5:]))] if how != "after hours" else [])
    found = parts(served, checkpoint, moments, window_days=365)
    assert standing(found) == numbers(*range(7))
    fresh = served.asked[asked if how == "after hours" else asked + 1]
    assert fresh.query == {"from": "2026-08-31T23:00:00Z", "to": spelled(NOW)}


def test_other_trouble_with_a_next_page_is_trouble(served: Served, books: Exchanged) -> None:
    books.said = [SharedEntry(str(number), at(1), md5(number)) for number in range(7)]
    checkpoint = stopped_after(served, 2, Moments())
    served.faults.append(Reply(418))
    with pytest.raises(ServiceError, match="http_418"):
        parts(served, checkpoint, window_days=365)


def test_a_plan_counts_windows_and_asks_nothing(served: Served) -> None:
    with ncmec_of(served.url, waits.append, Moments()) as exchange:
        first, second = exchange.plan({})
        assert "3 window(s)" in first
        assert "2026-09-01T00:00:00Z" in first
        assert "nothing of any dataset" in second
        assert "1 window(s)" in exchange.plan({"from": spelled(NOW)})[0]
    assert not served.asked


# --- what a body must not do to us ------------------------------------------------------------------------------------


def page_with_next(path: str) -> Reply:
    text = f'<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2"><images count="0"/><paging><next>{path}</next></paging></queryResult>'
    return Reply(200, text.encode())


@pytest.mark.parametrize(
    "path",
    [
        "https://made-up.example/v2/entries?x",
        "//made-up.example/",
        "/v2/feedback?x",
        "/v2/entries?x&#10;y",
        "entries?x",
        "/v2/entries?\\",
    ],
)
def test_a_next_page_elsewhere_is_not_followed(served: Served, path: str) -> None:
    served.faults.append(page_with_next(path))
    with pytest.raises(Stop, match="elsewhere"):
        parts(served)
    assert len(served.asked) == 1


def test_pages_in_a_circle_end(served: Served) -> None:
    served.faults.extend(
        [page_with_next("/v2/entries?a"), page_with_next("/v2/entries?b"), page_with_next("/v2/entries?a")]
    )
    with pytest.raises(Stop, match="its own next"):
        parts(served)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html/>",
        b"<queryResult/>",
        b'<!DOCTYPE q [<!ENTITY a "b">]><queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2">&a;</queryResult>',
        b'<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2"><images>',
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_page_stops(served: Served, body: bytes) -> None:
    served.faults.append(Reply(200, body))
    with pytest.raises(Stop):
        parts(served)


def test_a_redirect_is_not_followed_and_takes_no_credentials_along(served: Served) -> None:
    with ncmec_server(Exchanged()) as other:
        served.faults.append(Reply(302, b"", {"Location": f"{other.url}/v2/entries"}))
        with pytest.raises(ServiceError, match="http_302"):
            parts(served)
        assert not other.asked


def test_entries_without_an_id_are_kept_once(served: Served) -> None:
    element = "<image><timestamp>2026-11-01T00:00:00Z</timestamp><fingerprints><md5>{}</md5></fingerprints></image>"
    text = '<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2"><images>{}</images></queryResult>'
    body = text.format(element.format("01" * 16) + element.format("02" * 16)).encode()
    served.faults.extend([Reply(200, body), Reply(200, body)])
    first, second = parts(served, {"from": spelled(NOW - 40 * DAY)})[:2]
    assert {entry.key for entry in first.entries} == {entry.key for entry in second.entries}
    assert len(first.entries) == 2
    assert standing([first, second]) == {"01" * 16, "02" * 16}
    assert first.faults[Reason.NO_ENTRY_ID] == 2


def test_a_tombstone_without_id_or_time_withdraws_nothing(served: Served) -> None:
    text = '<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2"><images><deletedImage><id>a</id></deletedImage><deletedImage><member id="1"/><id>a</id></deletedImage></images></queryResult>'
    served.faults.append(Reply(200, text.encode()))
    (part,) = parts(served, {"from": spelled(NOW - DAY)})
    assert not part.entries


def test_credentials_go_in_a_header(served: Served) -> None:
    parts(served, {"from": spelled(NOW - DAY)})
    assert served.asked[0].headers["authorization"] == BASIC.value.unseal()
    assert served.asked[0].headers["user-agent"] == "vetset"


def test_it_is_its_origin() -> None:
    exchange = Ncmec(Service.live("n", "https://made-up.example/hashsharing/"), date(2026, 1, 1), DAY, Moments())
    assert exchange.origin == "ncmec https://made-up.example/hashsharing"
