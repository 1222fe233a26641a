"""The sealed bundle: what a body that judges by hand is given, and its verdict file, read back and checked.

In it: one age file of JSON lines to the body's key, a manifest in clear beside it, and the reading of its answer. Not
in it: which cases are in it, and what a verdict does (`pipeline.casebook`, `cases`).
Rules: no picture is in it, for none is anywhere; the manifest holds no count, address or digest of a finding; a verdict
file is bound to the bundle by its id, its digest and a word that only whoever opened the bundle knows; one flaw in it
refuses it whole, and a message names a line's number, never what it says.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

from vetset.errors import Stop
from vetset.ledger import Sink
from vetset.records import Exhibit, Ruling
from vetset.vault import age
from vetset.vault.ladder import padded
from vetset.vault.spelling import digest_lines, json_line, match_line, text_or_base64

SCHEMA = "vetset/bundle/1"
ANSWER_SCHEMA = "vetset/verdicts/1"
CASES, MANIFEST, README = "cases.age", "manifest.json", "README.txt"
MAX_ANSWER_BYTES = 256 * 1024 * 1024
MAX_NAME_CHARACTERS = 200
RULINGS = frozenset(Ruling)

_README = """This bundle was made by vetset for {body}. It holds no picture.

cases.age     JSON lines, sealed to your age key: age -d -i YOUR_KEY cases.age
              The first line is the head: bundle, seal. Each further line is one picture: its addresses, digests and
              fingerprints, the list entries that it met, and the opaque names of its rows. The last line is padding.
manifest.json which bundle this is, and the SHA-256 of cases.age.

To answer, write a file of JSON lines:
  {{"schema": "{answer}", "bundle": ..., "sha256": ..., "seal": ..., "body": ..., "by": ..., "date": "YYYY-MM-DD"}}
  {{"picture": ..., "ruling": one of {rulings}}}
The head repeats `bundle` and `sha256` from manifest.json and `seal` from the sealed head; `by` says who judged.
One line for each picture that you judged; leave out the others.
"""


@dataclass(frozen=True, slots=True, repr=False)
class Bundle:
    """A bundle as it was made: its id, the digest of its sealed file, the word that an answer repeats."""

    id: str
    sha256: str
    seal: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict file: by whom, when, and the ruling on each picture by its id in the bundle."""

    bundle: str
    body: str
    by: str
    date: str
    rulings: Mapping[str, Ruling]


# --- out --------------------------------------------------------------------------------------------------------------


def made(exhibits: Iterable[Exhibit], recipients: Sequence[str], body: str, at: str) -> Bundle:
    """A bundle in memory. `at`: when, ISO 8601 in UTC."""
    bundle_id, seal = secrets.token_hex(8), secrets.token_hex(16)
    head = {"schema": SCHEMA, "bundle": bundle_id, "seal": seal, "body": body, "made": at}
    lines = bytearray().join([json_line(head), *(json_line(_line(exhibit)) for exhibit in exhibits)])
    sealed = age.encrypt(padded(lines), recipients)
    return Bundle(bundle_id, hashlib.sha256(sealed).hexdigest(), seal, sealed)


def put(bundle: Bundle, sink: Sink, body: str, at: str) -> None:
    """Writes the bundle's three files; the manifest last."""
    sink.put(CASES, bundle.sealed, mode=0o600)
    words = _README.format(body=body, answer=ANSWER_SCHEMA, rulings=", ".join(ruling.value for ruling in Ruling))
    sink.put(README, words.encode("utf-8"))
    manifest = {"schema": SCHEMA, "bundle": bundle.id, "body": body, "made": at, "file": CASES, "sha256": bundle.sha256}
    sink.put(MANIFEST, json.dumps(manifest, sort_keys=True, indent=2).encode("utf-8") + b"\n")


def _line(exhibit: Exhibit) -> dict[str, object]:
    """One picture, in words and hex, for people with stock tools."""
    addresses = [case.address.unseal() for case in exhibit.cases]
    urls = dict.fromkeys(address.url for address in addresses if address.url)
    return {
        "picture": exhibit.id,
        "urls": [text_or_base64(url) for url in urls],
        "recorded": _each(digest_lines(address.digests) for address in addresses),
        "computed": _each(digest_lines(address.computed) for address in addresses),
        "prints": [{question.kind: question.fingerprint.unseal().hex()} for question in exhibit.prints.values()],
        "entries": _each(match_line(match) for match in exhibit.matches),
        "cases": [{"case": case.id, "outcome": case.outcome.value} for case in exhibit.cases],
    }


def _each(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each once, in order; nothing for what is empty."""
    return [*{json.dumps(line, sort_keys=True): line for line in lines if line}.values()]


# --- back -------------------------------------------------------------------------------------------------------------


def read_answer(path: Path, known: Mapping[str, Mapping[str, Any]]) -> Answer:
    """A verdict file, checked against the bundles that this run made, by id. Raises Stop for any flaw."""
    lines = _lines(path)
    head = next(lines, {})
    bundle = known.get(_text(path, head, "bundle"))
    if head.get("schema") != ANSWER_SCHEMA:
        _refuse(path, 1, f"no head of a verdict file ({ANSWER_SCHEMA})")
    if bundle is None:
        raise Stop(
            f"{path} answers no bundle of this run", hint="name the verdict file for a bundle made from this run"
        )
    for name in ("sha256", "seal", "body"):
        if head.get(name) != bundle[name]:
            _refuse(path, 1, f"its {name} is not that of the bundle")
    rulings = dict(_rulings(path, lines, frozenset(bundle["pictures"])))
    return Answer(str(head["bundle"]), bundle["body"], _text(path, head, "by"), _date(path, head), rulings)


def _rulings(path: Path, lines: Iterator[dict[str, Any]], known: Collection[str]) -> Iterator[tuple[str, Ruling]]:
    seen = set[str]()
    for number, line in enumerate(lines, start=2):
        picture, ruling = line.get("picture"), line.get("ruling")
        if not isinstance(picture, str) or picture not in known:
            _refuse(path, number, "no picture of the bundle")
        if picture in seen:
            _refuse(path, number, "a picture that was judged above")
        if ruling not in RULINGS or set(line) - {"picture", "ruling"}:
            _refuse(path, number, f"no ruling; known: {', '.join(sorted(RULINGS))}")
        seen.add(picture)
        yield picture, Ruling(ruling)


def _text(path: Path, head: Mapping[str, Any], name: str) -> str:
    value = head.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME_CHARACTERS:
        _refuse(path, 1, f"it does not say {name}")
    return value


def _date(path: Path, head: Mapping[str, Any]) -> str:
    try:
        return date.fromisoformat(_text(path, head, "date")).isoformat()
    except ValueError:
        _refuse(path, 1, "its date is none (YYYY-MM-DD)")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_ANSWER_BYTES + 1)
    except OSError as error:
        raise Stop(f"cannot read {path}: {error.strerror}", hint="check path and permissions") from None
    if len(data) > MAX_ANSWER_BYTES:
        raise Stop(f"{path} is too large for a verdict file", hint="one short line for each picture is enough")
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            tree = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            _refuse(path, number, "no JSON")
        if not isinstance(tree, dict):
            _refuse(path, number, "no JSON object")
        yield tree


def _refuse(path: Path, number: int, why: str) -> NoReturn:
    raise Stop(
        f"{path}, line {number}: {why}", hint="have it mended by whoever wrote it; nothing was taken from it"
    ) from None
