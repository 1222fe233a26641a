"""The CyberTipline's report about addresses: written as XML, and checked against our own schema before it is sent.

In it: `Reporter`, the XML of a letter, the schema of what we write, and its check. Not in it: HTTP (`cybertip`).
Rules: a report names addresses on other companies' servers (`webPageIncident@thirdPartyHostedContent`) and carries no
file; elements stand in NCMEC's order; the length limits are those of its documentation, which its XSD lacks. What the
schema refuses is a Stop, and nothing is sent. No message holds a value of the letter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from xml.etree.ElementTree import Element, SubElement, tostring

from vetset.errors import Stop
from vetset.records import Letter

INCIDENT_TYPE = "Child Pornography (possession, manufacture, and distribution)"
#: Presence flags of reportAnnotations: elements without content, there or not.
FLAGS = ("sextortion", "csamSolicitation", "minorToMinorInteraction", "spam", "sadisticOnlineExploitation")
MAX_PLATFORM_CHARACTERS = 256
MAX_ESCALATION_CHARACTERS = 3000
MAX_LEGAL_URL_CHARACTERS = 2083

_ABOUT_TIME = "When a recorded value was found to match a hash list; not when the content was made or published."
_ABOUT_REPORT = (
    "Found by comparing hashes; nobody viewed the content for this report, and no file accompanies it. "
    "The addresses stand in a dataset; what they serve may have changed since."
)


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports, as the settings say. `email` must be given; `platform`: the application's name, if any."""

    email: str
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    company_template: str = ""
    terms_of_service: str = ""
    legal_url: str = ""
    platform: str = ""


def written(letter: Letter, reporter: Reporter, *, flags: Sequence[str] = (), escalation: str = "") -> bytes:
    """The report as XML in UTF-8. Raises Stop for one that the service would refuse."""
    urls = list(dict.fromkeys(spelled_url(url.unseal()) for url in letter.urls))
    if letter.found_at.tzinfo is None:
        raise Stop("a letter's time has no zone", hint="this is a fault of vetset: please report it")
    root = Element("report")
    _incident(root, letter, reporter, flags, escalation)
    page = SubElement(SubElement(root, "internetDetails"), "webPageIncident", {"thirdPartyHostedContent": "true"})
    for url in urls:
        SubElement(page, "url").text = url
    SubElement(page, "additionalInfo").text = _remarks(letter)
    _reporter(root, reporter)
    SubElement(root, "additionalInfo").text = _ABOUT_REPORT
    if found := fault(root):
        raise Stop(
            f"a report would be refused by the CyberTipline: {found}; nothing was sent",
            hint="look at the reporter's fields in the settings; limits stand in the guide to the CyberTipline",
        )
    text: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _incident(root: Element, letter: Letter, reporter: Reporter, flags: Sequence[str], escalation: str) -> None:
    summary = SubElement(root, "incidentSummary")
    SubElement(summary, "incidentType").text = INCIDENT_TYPE
    _where_said(summary, "platform", reporter.platform)
    _where_said(summary, "escalateToHighPriority", escalation)
    if flags:
        annotations = SubElement(summary, "reportAnnotations")
        for flag in flags:
            SubElement(annotations, flag)
    SubElement(summary, "incidentDateTime").text = letter.found_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    SubElement(summary, "incidentDateTimeDescription").text = _ABOUT_TIME


def _reporter(root: Element, reporter: Reporter) -> None:
    found = SubElement(root, "reporter")
    person = SubElement(found, "reportingPerson")
    _where_said(person, "firstName", reporter.first_name)
    _where_said(person, "lastName", reporter.last_name)
    _where_said(person, "phone", reporter.phone)
    SubElement(person, "email").text = reporter.email
    _where_said(found, "companyTemplate", reporter.company_template)
    _where_said(found, "termsOfService", reporter.terms_of_service)
    _where_said(found, "legalURL", reporter.legal_url)


def _where_said(parent: Element, name: str, text: str) -> None:
    if text:
        SubElement(parent, name).text = text


def _remarks(letter: Letter) -> str:
    lines = [letter.remarks]
    if letter.match_ids:
        lines.append(f"Known to the bodies that confirmed it as: {', '.join(letter.match_ids)}.")
    lines.append(f"Our reference: {letter.picture}.")
    return "\n".join(lines)


def spelled_url(url: bytes) -> str:
    """An address as XML can hold it: what XML 1.0 cannot hold, and bytes that are no UTF-8, are percent-encoded."""
    text = url.decode("utf-8", "surrogateescape")
    return "".join(letter if _HELD(letter) else _percent(letter) for letter in text)


def _percent(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogateescape"))


# --- the schema ------------------------------------------------------------------------------------------------------

#: XML 1.0 §2.2, less white space that a parser would change.
_CHARACTERS = "\\u0020-\\uD7FF\\uE000-\\uFFFD\\U00010000-\\U0010FFFF"
_HELD = re.compile(f"[{_CHARACTERS}]").fullmatch
_TEXT = re.compile(f"[\\t\\n{_CHARACTERS}]*")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_MANY = None


@dataclass(frozen=True, slots=True)
class _Rule:
    """What an element may hold: children (name, least, most) in order or, `anyhow`, in any; or text that passes."""

    children: Sequence[tuple[str, int, int | None]] = ()
    text: Callable[[str], bool] | None = None
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    anyhow: bool = False


def _of(most_characters: int | None = None) -> _Rule:
    return _Rule(text=lambda text: bool(text.strip()) and (most_characters is None or len(text) <= most_characters))


_ANY = _of()
#: Every element that we write, by its path; what is not here is refused.
_SCHEMA: Mapping[str, _Rule] = {
    "report": _Rule(
        [("incidentSummary", 1, 1), ("internetDetails", 1, 1), ("reporter", 1, 1), ("additionalInfo", 0, 1)]
    ),
    "report/incidentSummary": _Rule(
        [
            ("incidentType", 1, 1),
            ("platform", 0, 1),
            ("escalateToHighPriority", 0, 1),
            ("reportAnnotations", 0, 1),
            ("incidentDateTime", 1, 1),
            ("incidentDateTimeDescription", 0, 1),
        ]
    ),
    "report/incidentSummary/incidentType": _Rule(text=lambda text: text == INCIDENT_TYPE),
    "report/incidentSummary/platform": _of(MAX_PLATFORM_CHARACTERS),
    "report/incidentSummary/escalateToHighPriority": _of(MAX_ESCALATION_CHARACTERS),
    "report/incidentSummary/reportAnnotations": _Rule([(flag, 0, 1) for flag in FLAGS], anyhow=True),
    **{f"report/incidentSummary/reportAnnotations/{flag}": _Rule(text=lambda text: not text) for flag in FLAGS},
    "report/incidentSummary/incidentDateTime": _Rule(text=lambda text: bool(_TIME.fullmatch(text))),
    "report/incidentSummary/incidentDateTimeDescription": _ANY,
    "report/internetDetails": _Rule([("webPageIncident", 1, 1)]),
    "report/internetDetails/webPageIncident": _Rule(
        [("url", 1, _MANY), ("additionalInfo", 0, 1)], attributes={"thirdPartyHostedContent": ("true",)}
    ),
    "report/internetDetails/webPageIncident/url": _ANY,
    "report/internetDetails/webPageIncident/additionalInfo": _ANY,
    "report/reporter": _Rule(
        [
            ("reportingPerson", 1, 1),
            ("companyTemplate", 0, 1),
            ("termsOfService", 0, 1),
            ("legalURL", 0, 1),
        ]
    ),
    "report/reporter/reportingPerson": _Rule(
        [("firstName", 0, 1), ("lastName", 0, 1), ("phone", 0, 1), ("email", 1, 1)]
    ),
    "report/reporter/reportingPerson/firstName": _ANY,
    "report/reporter/reportingPerson/lastName": _ANY,
    "report/reporter/reportingPerson/phone": _ANY,
    "report/reporter/reportingPerson/email": _Rule(text=lambda text: bool(re.fullmatch(r"[^@\s]+@[^@\s]+", text))),
    "report/reporter/companyTemplate": _ANY,
    "report/reporter/termsOfService": _ANY,
    "report/reporter/legalURL": _of(MAX_LEGAL_URL_CHARACTERS),
    "report/additionalInfo": _ANY,
}


def fault(root: Element) -> str:
    """What the schema refuses in a report, by the place of it; nothing for one that stands."""
    return _fault(root, root.tag)


def _fault(element: Element, path: str) -> str:
    rule = _SCHEMA.get(path)
    if rule is None:
        return f"{path} has no place there"
    if {name: (value,) for name, value in element.attrib.items()} != dict(rule.attributes):
        return f"the attributes of {path}"
    if rule.text is not None:
        text = element.text or ""
        return "" if not len(element) and _TEXT.fullmatch(text) and rule.text(text) else f"the text of {path}"
    if (element.text or "").strip() or any((child.tail or "").strip() for child in element):
        return f"text within {path}"
    if not _fits([child.tag for child in element], rule):
        return f"the order or number of what {path} holds"
    return next((found for child in element if (found := _fault(child, f"{path}/{child.tag}"))), "")


def _fits(names: Sequence[str], rule: _Rule) -> bool:
    """Whether children stand in the rule's order and in its numbers."""
    if rule.anyhow:
        known = {name for name, _, _ in rule.children}
        return set(names) <= known and len(set(names)) == len(names)
    at = 0
    for name, least, most in rule.children:
        count = 0
        while at < len(names) and names[at] == name:
            at, count = at + 1, count + 1
        if count < least or (most is not None and count > most):
            return False
    return at == len(names)
