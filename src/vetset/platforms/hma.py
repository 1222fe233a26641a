"""Hasher-Matcher-Actioner (OpenMediaMatch), hosted by yourself or a partner: PDQ in, the banks that hold it out.

In it: `/status`, `/m/lookup` by signal, and `/c/banks` where it is reachable. Not in it: routes that take a picture or
an address, which are never called; any authentication, for HMA has none: it stands behind something.
Rules: an index can answer 200 and find nothing (a bank that is switched off or drawn at random, an index of one hash,
one that was emptied), so a canary that stands in every bank is asked first, and again after every request in which
something was not found; a bank counts only as the settings say what it holds; distances are strings. A lookup puts the
hash into the address: the log of whatever stands before HMA holds it.
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

from vetset.errors import ServiceError, Stop
from vetset.platforms.answer import BROKEN, at, exactly, parsed
from vetset.platforms.asked import answered
from vetset.platforms.credential import Credential
from vetset.platforms.http import Line, stopped_at_first
from vetset.platforms.terms import Terms
from vetset.records import WIDTH_BYTES, Abilities, Question, Ruling, Signal, Verdict

#: A request of ours is so many lookups, one after the other, and one more for the canary.
TERMS = Terms("hma", batch=32)
LEARNS = (
    "the PDQ of each picture asked about (32 bytes), in the address of the request and so in its log; no picture and "
    "no address of one"
)

_PDQ = str(Signal.PDQ)
_WIDTHS = {_PDQ: WIDTH_BYTES[Signal.PDQ]}
_WHOLE_RATIO = 1.0
_NOT_FOUND = "canary_not_found"
_LOST_HINT = (
    "look at its index (/m/index/status): an index of exactly one hash finds nothing after it was loaded again, a bank "
    "that is switched off is not looked into, and a new hash takes a minute"
)
#: The curator's route is not reachable for us; that is its operator's choice.
_CLOSED = frozenset({"http_401", "http_403", "http_404", "http_405"})
#: The worst first: a hash in several banks gets the first ruling that one of them stands for.
_WORST_FIRST = (Ruling.CSAM, Ruling.HARMFUL, Ruling.TEST)


@dataclass(frozen=True, slots=True)
class Banks:
    """Whose banks they are, what each holds, and a PDQ that each of them is known to hold."""

    party: str
    rulings: Mapping[str, Ruling]  # by the bank's name; other banks are not heard
    canary: bytes


class HmaPlatform:
    """The port `Platform` over an HMA. Made by `.sandbox()` and `.live()`."""

    _line: Line
    _credential: Credential | None
    _banks: Banks
    abilities: Abilities

    def __init__(self, *_: object) -> None:
        raise TypeError("made by .sandbox() or .live()")

    @classmethod
    def sandbox(cls, url: str, banks: Banks, credential: Credential | None = None, terms: Terms = TERMS) -> Self:
        """An instance for tests, or an emulator; plain http to this machine is allowed."""
        return cls._made(Line(url, terms, sandbox=True), banks, credential, terms, live=False)

    @classmethod
    def live(cls, url: str, banks: Banks, credential: Credential | None = None, terms: Terms = TERMS) -> Self:
        """An instance whose word counts. `credential`: user:password of whatever stands before it (HTTP Basic)."""
        return cls._made(Line(url, terms, sandbox=False), banks, credential, terms, live=True)

    @classmethod
    def _made(cls, line: Line, banks: Banks, credential: Credential | None, terms: Terms, *, live: bool) -> Self:
        _check_banks(terms.name, banks)
        made = cls.__new__(cls)
        made.__dict__.update(_line=line, _credential=credential, _banks=banks)
        made.abilities = terms.abilities(banks.party, (_PDQ,), LEARNS, live=live)
        return made

    def close(self) -> None:
        """Hangs up."""
        self._line.close()

    def ready(self) -> None:
        """Raises Stop unless its index is loaded, its banks are whole, and it finds the canary."""
        stopped_at_first(self._line.service, self._look)

    def _look(self) -> None:
        self._check_status()
        self._check_ratios()
        lost = self._lost()
        if lost:
            raise Stop(
                f"{self._line.service} does not find the canary in its bank {lost[0]}, so what else it does not find "
                "means nothing",
                hint=_LOST_HINT,
            )

    def _check_status(self) -> None:
        try:
            self._get("/status")
        except ServiceError as error:
            if error.code != "http_503":
                raise
            raise Stop(
                f"{self._line.service} has not loaded its index, or it is stale",
                hint="wait a minute; without its background tasks (plain flask run) an HMA never loads it",
            ) from None

    def _check_ratios(self) -> None:
        """A bank with a ratio below 1 is skipped at random, and a lookup by signal cannot ask for it to be heard."""
        service = self._line.service
        try:
            said = parsed(self._get("/c/banks"), service)
        except ServiceError as error:
            if error.code not in _CLOSED:
                raise
            return
        ratios = {at(bank, "name", str, service): bank.get("matching_enabled_ratio") for bank in _tables(said, service)}
        for name in self._banks.rulings:
            ratio = ratios.get(name)
            if name not in ratios or type(ratio) not in (int, float):
                raise Stop(f"{service} has no bank {name}", hint="name its banks as it spells them")
            if not ratio == _WHOLE_RATIO:
                raise Stop(
                    f"the bank {name} of {service} is looked into only for a part of the lookups",
                    hint="set its matching_enabled_ratio to 1.0",
                )

    def judge(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        """One verdict for each question. Raises ServiceError, also where the canary is not found any more."""
        return answered(questions, self.abilities, _WIDTHS, self._judge)

    def _judge(self, asked: Sequence[tuple[str, bytes]]) -> list[Verdict]:
        verdicts = [_verdict(self._lookup(value), self._banks, self._line.service) for _, value in asked]
        if any(verdict.ruling is Ruling.NO_MATCH for verdict in verdicts) and self._lost():
            raise ServiceError(self._line.service, _NOT_FOUND)
        return verdicts

    def _lost(self) -> list[str]:
        """The banks in which the canary is not found, of those that the settings name."""
        found = self._lookup(self._banks.canary)
        return [bank for bank in self._banks.rulings if not found.get(bank)]

    def _lookup(self, value: bytes) -> dict[str, list[dict[str, Any]]]:
        """What the banks that are heard hold near a PDQ, by bank."""
        service = self._line.service
        query = urlencode({"signal": value.hex(), "signal_type": "pdq"})
        said = exactly(parsed(self._get(f"/m/lookup?{query}"), service), dict, service)
        return {bank: _tables(said[bank], service) for bank in said if bank in self._banks.rulings}

    def _get(self, path: str) -> bytes:
        headers = {}
        if self._credential is not None:
            pair = ":".join(self._credential.pair())
            headers["Authorization"] = "Basic " + b64encode(pair.encode("ascii")).decode("ascii")
        return self._line.ask("GET", path, headers=headers).body


def _check_banks(service: str, banks: Banks) -> None:
    if len(banks.canary) != _WIDTHS[_PDQ]:
        raise Stop(
            f"{service} needs a canary: a PDQ that each of its banks is known to hold",
            hint="put the hashes of two harmless pictures into each bank, and name one of them in hex",
        )
    if not banks.party or not banks.rulings or not set(banks.rulings.values()) <= set(_WORST_FIRST):
        raise Stop(
            f"{service} needs to know whose its banks are and what each holds",
            hint='set party, and banks = { NAME = "csam" } (or harmful, or test)',
        )


def _tables(said: Any, service: str) -> list[dict[str, Any]]:
    return [exactly(item, dict, service) for item in exactly(said, list, service)]


def _verdict(found: Mapping[str, Sequence[dict[str, Any]]], banks: Banks, service: str) -> Verdict:
    """Of what the banks hold near a PDQ, with its ids there and distances."""
    matches = [(bank, match) for bank, listed in found.items() for match in listed]
    if not matches:
        return Verdict(Ruling.NO_MATCH)
    rulings = {banks.rulings[bank] for bank, _ in matches}
    ruling = next(ruling for ruling in _WORST_FIRST if ruling in rulings)
    ids = tuple(f"{bank}/{at(match, 'bank_content_id', int, service)}" for bank, match in matches)
    distances = [_distance(match.get("distance"), service) for _, match in matches]
    distance = min((bits for bits in distances if bits is not None), default=None)
    return Verdict(ruling, ids, bool(distance), distance, {"banks": " ".join(sorted({bank for bank, _ in matches}))})


def _distance(said: Any, service: str) -> int | None:
    """Distances come as strings, some with a fraction of nothing, `-` for none; its own documents show numbers."""
    if said is None or said == "-":
        return None
    if type(said) is int and said >= 0:
        return said
    if not re.fullmatch(r"\d{1,6}(\.0+)?", exactly(said, str, service), re.ASCII):
        raise ServiceError(service, BROKEN)
    return math.floor(float(said))
