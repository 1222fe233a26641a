"""PhotoDNA Cloud Service (Microsoft): edge hashes in, matches out.

In it: `/MatchHash` with `PreHashV2`. Not in it: `/Match`, which takes pictures and addresses and is never called;
`/Report`; any library that makes edge hashes: the user brings one under a licence, as a kind of fingerprint.
Rules: at most five items; what went wrong with an item comes inside HTTP 200 as a code of its own, and only 3000 makes
`IsMatch` count; without it, or with one that is neither true nor false, the answer is an error. `MatchId` names the
picture in the database. `Source: Test` marks entries that exist for tests.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from vetset.errors import ServiceError, Stop
from vetset.platforms.answer import BROKEN, at, exactly, items, parsed, word
from vetset.platforms.asked import answered
from vetset.platforms.credential import Credential
from vetset.platforms.http import Line, stopped_at_first
from vetset.platforms.terms import Terms
from vetset.records import Abilities, Question, Ruling, Verdict

LIVE = "https://api.microsoftmoderator.com/photodna/v1.0"
PARTY = "Microsoft"
EDGE_HASH_BYTES = 924
MOST_ITEMS = 5
#: The rate that two integrators keep to; neither it nor the monthly cap is published.
TERMS = Terms("photodna", batch=MOST_ITEMS, requests_per_second=5.0)
LEARNS = (
    "the edge hash of each picture asked about (924 bytes), whose key asks, and when; it may audit, and gives NCMEC "
    "counts; no picture and no address"
)

_OK = 3000
#: Codes that are facts about an item: no image, a size out of range, too large.
_CANNOT_JUDGE = frozenset({3206, 3208, 3209})
_MAY_PASS = frozenset({3004})
_TEST = "Test"


@dataclass(frozen=True, slots=True)
class EdgeHashes:
    """The names of the user's kinds that are edge hashes, and the service's own hash for tests, if there is one."""

    kinds: tuple[str, ...]
    canary: bytes = field(default=b"", repr=False)


class PhotoDnaPlatform:
    """The port `Platform` over PhotoDNA Cloud. Made by `.sandbox()` and `.live()`."""

    _line: Line
    _credential: Credential
    _canary: bytes
    abilities: Abilities

    def __init__(self, *_: object) -> None:
        raise TypeError("made by .sandbox() or .live()")

    @classmethod
    def sandbox(cls, url: str, credential: Credential, hashes: EdgeHashes, terms: Terms = TERMS) -> Self:
        """An emulator; plain http to this machine is allowed."""
        return cls._made(Line(url, terms, sandbox=True), credential, hashes, terms, live=False)

    @classmethod
    def live(cls, credential: Credential, hashes: EdgeHashes, terms: Terms = TERMS) -> Self:
        """The service itself."""
        return cls._made(Line(LIVE, terms, sandbox=False), credential, hashes, terms, live=True)

    @classmethod
    def _made(cls, line: Line, credential: Credential, hashes: EdgeHashes, terms: Terms, *, live: bool) -> Self:
        if not 0 < terms.batch <= MOST_ITEMS:
            raise Stop(f"{terms.name} takes {MOST_ITEMS} items at most in a request", hint="lower batch")
        if len(hashes.canary) not in (0, EDGE_HASH_BYTES):
            raise Stop(f"the canary of {terms.name} is no edge hash", hint=f"it has {EDGE_HASH_BYTES} bytes, in base64")
        made = cls.__new__(cls)
        made.__dict__.update(_line=line, _credential=credential, _canary=hashes.canary)
        made.abilities = terms.abilities(PARTY, tuple(hashes.kinds), LEARNS, live=live)
        return made

    def close(self) -> None:
        """Hangs up."""
        self._line.close()

    def ready(self) -> None:
        """Raises Stop where there is no key, or the canary is not found.

        Without a canary nothing is asked, since every request counts: a key that is not taken shows at the first one.
        """
        self._credential.resolve()
        if self._canary:
            stopped_at_first(self._line.service, self._look)

    def _look(self) -> None:
        (verdict,) = self._judge([("", self._canary)])
        if verdict.ruling not in {Ruling.TEST, Ruling.CSAM}:
            raise Stop(
                f"{self._line.service} does not find its canary, so what else it does not find means nothing",
                hint="take the hash for tests that Microsoft gives out",
            )

    def judge(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        """One verdict for each question. Raises ServiceError."""
        widths = dict.fromkeys(self.abilities.kinds, EDGE_HASH_BYTES)
        return answered(questions, self.abilities, widths, self._judge)

    def _judge(self, asked: Sequence[tuple[str, bytes]]) -> list[Verdict]:
        service = self._line.service
        given = [{"DataRepresentation": "PreHashV2", "Value": b64encode(value).decode("ascii")} for _, value in asked]
        headers = {
            "Ocp-Apim-Subscription-Key": self._credential.resolve(),
            "Cache-Control": "no-cache",
            "Content-Type": "application/json",
        }
        body = json.dumps(given).encode("ascii")
        said = parsed(self._line.ask("POST", "/MatchHash?enhance", headers=headers, body=body).body, service)
        if "MatchResults" not in exactly(said, dict, service):
            _check_code(said, service)  # a request that is refused as a whole has a code in place of results
        results = at(said, "MatchResults", list, service)
        if len(results) != len(asked):  # they come in order and bear no name
            raise ServiceError(service, BROKEN)
        return [_verdict(result, service) for result in results]


def _check_code(said: Any, service: str) -> int:
    """The code of an item or a whole answer. Raises ServiceError for those that are no fact about an item."""
    code = at(at(said, "Status", dict, service), "Code", int, service)
    if code == _OK or code in _CANNOT_JUDGE:
        return code
    raise ServiceError(service, f"code_{code}", may_pass=code in _MAY_PASS)


def _verdict(result: Any, service: str) -> Verdict:
    code = _check_code(result, service)
    if code != _OK:
        return Verdict(Ruling.UNREACHABLE, noted={"code": str(code)})
    matched = at(result, "IsMatch", bool, service)
    details = result.get("MatchDetails")
    flags = [] if details is None else items(details, "MatchFlags", service)
    if not matched:
        if flags:
            raise ServiceError(service, BROKEN)
        return Verdict(Ruling.NO_MATCH, noted={"code": str(code)})
    sources = [word(flag.get("Source"), service) for flag in flags]
    distances = [at(flag, "MatchDistance", int, service) for flag in flags if flag.get("MatchDistance") is not None]
    distance = min(distances, default=None)
    ruling = Ruling.TEST if sources and set(sources) == {_TEST} else Ruling.CSAM
    ids = _match_ids([*flags, *([details] if details else [])], service)
    return Verdict(ruling, ids, near=bool(distance), distance=distance, noted=_noted(code, flags, sources, service))


def _match_ids(places: Sequence[Any], service: str) -> tuple[str, ...]:
    pairs = [pair for place in places for pair in items(place, "AdvancedInfo", service)]
    return tuple(dict.fromkeys(word(pair.get("Value"), service) for pair in pairs if pair.get("Key") == "MatchId"))


def _noted(code: int, flags: Sequence[Any], sources: Sequence[str], service: str) -> Mapping[str, str]:
    classes = [
        word(said, service)
        for flag in flags
        if flag.get("Violations") is not None
        for said in at(flag, "Violations", list, service)
    ]
    found = {"sources": sources, "violations": classes}
    return {"code": str(code), **{name: " ".join(sorted(set(words))) for name, words in found.items() if words}}
