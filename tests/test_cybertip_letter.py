"""Reports as XML: NCMEC's own schema judges ours, and ours is at least as strict."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, tostring

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reporting import REPORTER, keeps_schema, letter
from vetset.errors import Stop
from vetset.platforms import letter as module
from vetset.platforms.letter import FLAGS, Reporter, fault, spelled_url, written
from vetset.records import Letter, Sealed

WHEN = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


def root_of(one: Letter, reporter: Reporter = REPORTER, **more: object) -> Element:
    return fromstring(written(one, reporter, **more))  # type: ignore[arg-type]


def test_what_stands_in_a_report() -> None:
    root = root_of(letter("p-1", "https://made-up.example/1", "https://made-up.example/2", remarks="Known."))
    page = root.find("internetDetails/webPageIncident")
    assert page is not None
    assert page.attrib == {"thirdPartyHostedContent": "true"}
    assert [url.text for url in page.findall("url")] == ["https://made-up.example/1", "https://made-up.example/2"]
    said = page.findtext("additionalInfo") or ""
    assert all(part in said for part in ("Known.", "id-1", "p-1"))
    assert root.findtext("incidentSummary/incidentType") == module.INCIDENT_TYPE
    assert root.findtext("incidentSummary/incidentDateTime") == "2026-11-03T12:00:00Z"
    assert root.findtext("reporter/reportingPerson/email") == REPORTER.email
    assert "nobody viewed" in (root.findtext("additionalInfo") or "")


def test_the_schema_of_ncmec_takes_it() -> None:
    assert keeps_schema(written(letter("a"), REPORTER))
    assert keeps_schema(written(letter("a"), Reporter("a@b")))


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_is_an_element_without_content(flag: str) -> None:
    text = written(letter("a"), REPORTER, flags=[flag], escalation="A child is in danger.")
    assert f"<{flag} />".encode() in text
    assert keeps_schema(text)


def test_all_flags_at_once_and_none_twice() -> None:
    assert keeps_schema(written(letter("a"), REPORTER, flags=FLAGS))
    with pytest.raises(Stop):
        written(letter("a"), REPORTER, flags=["spam", "spam"])
    with pytest.raises(Stop):
        written(letter("a"), REPORTER, flags=["generativeAi"])


def test_an_address_is_named_once() -> None:
    root = root_of(letter("a", *["https://made-up.example/1"] * 3))
    assert len(list(root.iter("url"))) == 1


@pytest.mark.parametrize(("name", "most"), [("platform", 256), ("legal_url", 2083)])
def test_limits_of_length(name: str, most: int) -> None:
    assert keeps_schema(written(letter("a"), replace(REPORTER, **{name: "é" * most})))
    with pytest.raises(Stop) as stopped:
        written(letter("a"), replace(REPORTER, **{name: "é" * (most + 1)}))
    assert "é" not in stopped.value.message


def test_the_limit_of_an_escalation() -> None:
    written(letter("a"), REPORTER, escalation="x" * 3000)
    with pytest.raises(Stop, match="escalateToHighPriority"):
        written(letter("a"), REPORTER, escalation="x" * 3001)


@pytest.mark.parametrize(
    ("one", "reporter", "what"),
    [
        (Letter("a", (), WHEN, "r"), REPORTER, "webPageIncident"),
        (Letter("a", (Sealed(b""),), WHEN, "r"), REPORTER, "url"),
        (Letter("a", (Sealed(b"   "),), WHEN, "r"), REPORTER, "url"),
        (Letter("a", (Sealed(b"https://x"),), WHEN, "bell \x07"), REPORTER, "additionalInfo"),
        (Letter("a", (Sealed(b"https://x"),), WHEN, "return \r"), REPORTER, "additionalInfo"),
        (letter("a"), Reporter(""), "email"),
        (letter("a"), Reporter("nobody"), "email"),
        (letter("a"), replace(REPORTER, first_name="\x00"), "firstName"),
        (letter("a"), replace(REPORTER, company_template=" \n"), "companyTemplate"),
    ],
)
def test_what_would_be_refused_is_stopped(one: Letter, reporter: Reporter, what: str) -> None:
    with pytest.raises(Stop, match=what) as stopped:
        written(one, reporter)
    assert stopped.value.hint


def test_a_time_without_a_zone_is_stopped() -> None:
    with pytest.raises(Stop):
        written(Letter("a", (Sealed(b"https://x"),), datetime(2026, 11, 3), "r"), REPORTER)  # noqa: DTZ001 - that it has none


@pytest.mark.parametrize(
    ("url", "spelled"),
    [
        (b"https://made-up.example/a b", "https://made-up.example/a b"),
        (b"https://made-up.example/\xff", "https://made-up.example/%FF"),
        (b"https://made-up.example/\x00\x1f", "https://made-up.example/%00%1F"),
        (b"https://made-up.example/\r\n\t", "https://made-up.example/%0D%0A%09"),
        ("https://made-up.example/é&<".encode(), "https://made-up.example/é&<"),
        ("https://made-up.example/\ufffe".encode(), "https://made-up.example/%EF%BF%BE"),
    ],
)
def test_addresses_that_xml_cannot_hold(url: bytes, spelled: str) -> None:
    assert spelled_url(url) == spelled


@given(st.binary(min_size=1, max_size=60))
def test_any_address_comes_through(url: bytes) -> None:
    if not spelled_url(url).strip():
        return
    text = written(Letter("a", (Sealed(url),), WHEN, "r"), REPORTER)
    (found,) = fromstring(text).iter("url")
    assert found.text == spelled_url(url)


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
reporters = st.builds(Reporter, st.just("a@made-up.example") | words, words, words, words, words, words, words, words)
letters = st.builds(
    Letter, words, st.lists(st.builds(Sealed, st.binary(max_size=8)), max_size=3).map(tuple), st.just(WHEN), words
)


@settings(max_examples=150, deadline=None)
@given(letters, reporters, st.lists(st.sampled_from(FLAGS), max_size=3), words)
def test_whatever_passes_ours_passes_theirs(one: Letter, reporter: Reporter, flags: list[str], escalation: str) -> None:
    try:
        text = written(one, reporter, flags=flags, escalation=escalation)
    except Stop as stop:
        assert "CyberTipline" in stop.message  # noqa: PT017 - either outcome is a case of its own
        return
    assert keeps_schema(text)


def elements(root: Element) -> list[Element]:
    return list(root.iter())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_theirs_refuses_after_a_change_ours_refuses(data: st.DataObject) -> None:
    """One element moved, doubled, dropped, renamed or added anywhere in a whole report."""
    root = root_of(letter("a"), flags=FLAGS[:2], escalation="x")
    changed = copy.deepcopy(root)
    parent = data.draw(st.sampled_from([one for one in elements(changed) if len(one)]))
    at = data.draw(st.integers(0, len(parent) - 1))
    how = data.draw(st.sampled_from(["drop", "double", "move", "rename", "add", "text", "attribute"]))
    child = parent[at]
    if how == "drop":
        parent.remove(child)
    elif how == "double":
        parent.insert(at, copy.deepcopy(child))
    elif how == "move":
        parent.remove(child)
        parent.insert(data.draw(st.integers(0, len(parent))), child)
    elif how == "rename":
        child.tag = data.draw(st.sampled_from(["url", "email", "victim", "platform", "made-up"]))
    elif how == "add":
        SubElement(parent, data.draw(st.sampled_from(["url", "email", "victim", "made-up"]))).text = "x"
    elif how == "text":
        child.text = data.draw(st.sampled_from(["", "x", "true", "2026-11-03"]))
    else:
        child.set(
            data.draw(st.sampled_from(["thirdPartyHostedContent", "type"])), data.draw(st.sampled_from(["x", "false"]))
        )
    if not keeps_schema(tostring(changed)):
        assert fault(changed)


def test_no_fault_in_what_is_written() -> None:
    assert fault(root_of(letter("a"), flags=FLAGS)) == ""


def test_another_root_is_refused() -> None:
    assert fault(Element("fileDetails"))
