"""Hasher-Matcher-Actioner 1.1.7 as an emulating server: banks of PDQs, looked up by signal.

In it: `/status`, `/m/lookup` by signal, `/m/raw_lookup`, `/m/index/status`, `/c/banks`, `/c/bank/NAME`, signals banked
without media. Not in it: the hasher, exchanges, routes that fetch.
Rules: errors are `{"message": …}`; before the index is loaded, lookups are 503; distances are strings; a bank that is
switched off or drawn at random is skipped, and a lookup by signal does not heed `bypass_coinflip`; an index of exactly
one distinct hash that was saved and loaded again finds nothing, and answers 200.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from vetset.testing.service import Answer, Heard, Said, basic_pair, heard_json, said_json

_RADIUS_BITS, _PDQ_DIGITS = 31, 64
_PDQ = "pdq"


@dataclass(slots=True)
class Bank:
    """A bank: its share of lookups, and PDQs by the id of their content."""

    ratio: float = 1.0
    contents: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class HmaServer:
    """Banks, and what state the index is in.

    `state`: LOADED, INDEX-NOT-LOADED or INDEX-STALE. `indexed`: the hashes that the index holds; None: all that are
    banked. `reloaded`: it was saved and loaded again. `curator`: `/c` is reachable. `pair`: of a proxy before it.
    """

    banks: dict[str, Bank] = field(default_factory=dict)
    state: str = "LOADED"
    indexed: frozenset[bytes] | None = None
    reloaded: bool = True
    curator: bool = True
    pair: tuple[str, str] | None = None
    drawn: Random = field(default_factory=lambda: Random(1))  # noqa: S311 - the coin of its banks
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def bank(self, name: str, *pdqs: bytes, ratio: float = 1.0) -> None:
        """Banks hashes."""
        kept = self.banks.setdefault(name, Bank(ratio))
        kept.contents.update({next(self._numbers): pdq for pdq in pdqs})

    def __call__(self, heard: Heard) -> Said:
        if self.pair is not None and basic_pair(heard) != self.pair:
            return Said(b"<html>401 Authorization Required</html>", 401, content_type="text/html")
        if heard.path.startswith("/c/") and not self.curator:
            return _message("Not Found", 404)
        if heard.path.startswith("/c/bank/"):
            return self._curated(heard, heard.path.split("/")[3:])
        routes: Mapping[tuple[str, str], Answer] = {
            ("GET", "/status"): self._status,
            ("GET", "/m/lookup"): self._lookup,
            ("GET", "/m/raw_lookup"): self._raw_lookup,
            ("GET", "/m/index/status"): self._index_status,
            ("GET", "/c/banks"): lambda _: said_json([_told(name, bank) for name, bank in self.banks.items()]),
            ("POST", "/c/banks"): self._new_bank,
        }
        return routes.get((heard.method, heard.path), _not_found)(heard)

    def _status(self, _: Heard) -> Said:
        well = self.state == "LOADED"
        text = "I-AM-ALIVE" if well else self.state
        return Said(text.encode(), 200 if well else 503, content_type="text/html")

    def _lookup(self, heard: Heard) -> Said:
        refused = self._refusal(heard)
        if refused is not None:
            return refused
        found: dict[str, list[dict[str, Any]]] = {}
        for name, number, distance in self._near(heard.asked("signal")):
            found.setdefault(name, []).append({"bank_content_id": number, "distance": str(distance)})
        coin = self.drawn.random()  # one for all banks; `bypass_coinflip` is heeded by POST alone
        return said_json({name: matches for name, matches in found.items() if self.banks[name].ratio >= coin})

    def _raw_lookup(self, heard: Heard) -> Said:
        refused = self._refusal(heard)
        if refused is not None:
            return refused
        found = [(number, distance) for _, number, distance in self._near(heard.asked("signal"))]
        if heard.asked("include_distance"):
            return said_json({"matches": [{"bank_content_id": n, "distance": str(bits)} for n, bits in found]})
        return said_json({"matches": [number for number, _ in found]})

    def _refusal(self, heard: Heard) -> Said | None:
        if heard.asked("signal_type") != _PDQ:
            return _message("No such signal type", 400)
        if _pdq_of(heard.asked("signal")) is None:
            return _message("invalid signal", 400)
        return None if self.state != "INDEX-NOT-LOADED" else _message("index not yet ready", 503)

    def _near(self, digits: str) -> Iterator[tuple[str, int, int]]:
        value, index = _pdq_of(digits) or b"", self._index()
        for name, bank in self.banks.items():
            for number, pdq in bank.contents.items():
                distance = (int.from_bytes(pdq) ^ int.from_bytes(value)).bit_count()
                if pdq in index and distance <= _RADIUS_BITS:
                    yield name, number, distance

    def _index(self) -> frozenset[bytes]:
        banked = frozenset(pdq for bank in self.banks.values() for pdq in bank.contents.values())
        held = banked if self.indexed is None else self.indexed
        return frozenset() if len(held) == 1 and self.reloaded else held

    def _index_status(self, _: Heard) -> Said:
        size = len({pdq for bank in self.banks.values() for pdq in bank.contents.values()})
        return said_json({_PDQ: {"present": self.state != "INDEX-NOT-LOADED", "built_to": 0, "size": size}})

    def _new_bank(self, heard: Heard) -> Said:
        body = heard_json(heard)
        if not isinstance(body, dict) or not isinstance(body.get("name"), str):
            return _message("name is required", 400)
        self.banks[body["name"]] = Bank(float(body.get("enabled_ratio", 1.0)))
        return said_json(_told(body["name"], self.banks[body["name"]]), 201)

    def _curated(self, heard: Heard, rest: list[str]) -> Said:
        bank = self.banks.get(rest[0])
        if bank is None:
            return _message("bank not found", 404)
        if heard.method == "GET" and len(rest) == 1:
            return said_json(_told(rest[0], bank))
        body = heard_json(heard)
        value = _pdq_of(str(body.get(_PDQ))) if isinstance(body, dict) else None
        if (heard.method, rest[1:]) != ("POST", ["signal"]) or value is None:
            return _message("invalid signal", 400)
        number = next(self._numbers)
        bank.contents[number] = value
        return said_json({"id": number, "signals": {_PDQ: value.hex()}})


def _not_found(_: Heard) -> Said:
    return _message("Not Found", 404)


def _pdq_of(digits: str) -> bytes | None:
    if len(digits) != _PDQ_DIGITS or set(digits) - set("0123456789abcdef"):
        return None
    return bytes.fromhex(digits)


def _told(name: str, bank: Bank) -> dict[str, Any]:
    return {"name": name, "matching_enabled_ratio": bank.ratio}


def _message(text: str, status: int) -> Said:
    return said_json({"message": text}, status)
