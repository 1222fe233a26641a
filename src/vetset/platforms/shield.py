"""Shield by Project Arachnid (Canadian Centre for Child Protection): PDQ in, a class out.

In it: `/v1/pdq` and `/v1/version` of its API 1.1.0, over HTTP Basic. Not in it: `/v1/media`, `/v1/url` and
`/v1/media/submit`, which take pictures or addresses and are never called.
Rules: a hash is base64 of 32 bytes (hex is refused); classes are csam, harmful-abusive-material, no-known-match and
test, and any other is an error. `no-known-match` means that its database does not hold it, and must not be presented
as anything more; nor may what it answers serve generative models, nor be kept beyond its purpose (its terms).
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Self

from vetset.errors import ServiceError
from vetset.platforms.answer import BROKEN, at, items, parsed, word
from vetset.platforms.asked import answered
from vetset.platforms.credential import Credential
from vetset.platforms.http import Line, stopped_at_first
from vetset.platforms.terms import Terms
from vetset.records import WIDTH_BYTES, Abilities, Question, Ruling, Signal, Verdict

LIVE = "https://shield.projectarachnid.com"
PARTY = "Canadian Centre for Child Protection"
#: Batch and rate are documented nowhere; these are modest, and the body is to be asked.
TERMS = Terms("shield", batch=50, requests_per_second=1.0)
LEARNS = (
    "the PDQ of each picture asked about (32 bytes, from which a likeness can be guessed), that you ask, and when; no "
    "picture and no address; its no-known-match may be presented as nothing more than that"
)

_PDQ = str(Signal.PDQ)
_WIDTHS = {_PDQ: WIDTH_BYTES[Signal.PDQ]}
_NO_MATCH = "no-known-match"
_RULINGS: Mapping[str, Ruling] = {
    "csam": Ruling.CSAM,
    "harmful-abusive-material": Ruling.HARMFUL,
    _NO_MATCH: Ruling.NO_MATCH,
    "test": Ruling.TEST,
}


class ShieldPlatform:
    """The port `Platform` over Shield. Made by `.sandbox()` and `.live()`."""

    _line: Line
    _credential: Credential
    _database: str
    abilities: Abilities

    def __init__(self, *_: object) -> None:
        raise TypeError("made by .sandbox() or .live()")

    @classmethod
    def sandbox(cls, url: str, credential: Credential, terms: Terms = TERMS) -> Self:
        """A test service or an emulator; plain http to this machine is allowed."""
        return cls._made(Line(url, terms, sandbox=True), credential, terms, live=False)

    @classmethod
    def live(cls, credential: Credential, terms: Terms = TERMS) -> Self:
        """The service itself."""
        return cls._made(Line(LIVE, terms, sandbox=False), credential, terms, live=True)

    @classmethod
    def _made(cls, line: Line, credential: Credential, terms: Terms, *, live: bool) -> Self:
        made = cls.__new__(cls)
        made.__dict__.update(_line=line, _credential=credential, _database="")
        made.abilities = terms.abilities(PARTY, (_PDQ,), LEARNS, live=live)
        return made

    def close(self) -> None:
        """Hangs up."""
        self._line.close()

    def ready(self) -> None:
        """Raises Stop unless the service answers and knows us. Notes when its database was made."""
        stopped_at_first(self._line.service, self._look)

    def _look(self) -> None:
        said = parsed(self._line.ask("GET", "/v1/version", headers=self._headers()).body, self._line.service)
        self._database = word(at(said, "last_updated_at", str, self._line.service), self._line.service)

    def judge(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        """One verdict for each question. Raises ServiceError."""
        return answered(questions, self.abilities, _WIDTHS, self._judge)

    def _judge(self, asked: Sequence[tuple[str, bytes]]) -> list[Verdict]:
        service = self._line.service
        names = [b64encode(value).decode("ascii") for _, value in asked]
        body = json.dumps({"hashes": names}).encode("ascii")
        headers = {**self._headers(), "Content-Type": "application/json"}
        said = parsed(self._line.ask("POST", "/v1/pdq/", headers=headers, body=body).body, service)
        found = at(said, "scanned_hashes", dict, service)
        if set(found) != set(names):
            raise ServiceError(service, BROKEN)
        return [self._verdict(found[name]) for name in names]

    def _headers(self) -> dict[str, str]:
        pair = ":".join(self._credential.pair())
        return {"Authorization": "Basic " + b64encode(pair.encode("ascii")).decode("ascii")}

    def _verdict(self, match: Any) -> Verdict:
        """A hash's entry. Null is documented for no match, and seen as an entry of the class no-known-match too."""
        service, noted = self._line.service, {"database": self._database} if self._database else {}
        if match is None:
            return Verdict(Ruling.NO_MATCH, noted=noted)
        said = at(match, "classification", str, service)
        details = _details(match, service)
        kind = match.get("match_type")
        if said not in _RULINGS:
            raise ServiceError(service, "unknown_class")
        if kind not in (None, "near", "exact") or (said == _NO_MATCH and (kind or details)):
            raise ServiceError(service, BROKEN)
        ids = tuple(word(at(detail, "sha256_hex", str, service), service).lower() for detail in details)
        return Verdict(_RULINGS[said], ids, near=kind == "near", noted={"classification": said, **noted})


def _details(match: dict[str, Any], service: str) -> list[dict[str, Any]]:
    """What it is near to: one object or null for a PDQ, by the SDK; a list for media."""
    details = match.get("near_match_details")
    if isinstance(details, dict):
        return [details]
    return items(match, "near_match_details", service)
