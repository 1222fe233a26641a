"""The curator's routes of a Hasher-Matcher-Actioner, emulated as far as a bank can be read by them.

In it: banks, contents by number with their signals, disabled ones, numbers that went. Not in it: HTTP and its faults
(`serving`), matching (`hma_server`).
Rules: built from OpenMediaMatch's documented routes: a content is found by its number whatever bank is named, and its
record names its own; signals come only where they are asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from vetset.testing.serving import Asked, Reply, Served, served

_BANK = re.compile(r"/c/bank/([^/]+)")
_CONTENT = re.compile(r"/c/bank/([^/]+)/content/(\d+)")


@dataclass(slots=True)
class Banked:
    """A content."""

    bank: str
    signals: Mapping[str, str]
    disable_until_ts: int = 0


@dataclass(slots=True)
class Curator:
    """Banks by name, contents by number. `value`: what must stand in `Authorization`, if anything."""

    banks: set[str] = field(default_factory=lambda: {"KNOWN", "OTHER"})
    contents: dict[int, Banked] = field(default_factory=dict)
    value: str = ""
    gives_signals: bool = True
    has_contents: bool = True

    def answer(self, asked: Asked) -> Reply:
        if self.value and asked.headers.get("authorization") != self.value:
            return _said({"message": "not authorised"}, 401)
        if bank := _BANK.fullmatch(asked.path):
            known = bank[1] in self.banks
            return _said({"name": bank[1], "matching_enabled_ratio": 1.0}) if known else _missing("bank")
        content = _CONTENT.fullmatch(asked.path)
        if content is None or content[1] not in self.banks:
            return _missing("bank")
        if not self.has_contents:
            return _said({"message": "method not allowed"}, 405)
        return self._content(int(content[2]), asked.query.get("include_signals", "false").lower() == "true")

    def _content(self, number: int, with_signals: bool) -> Reply:  # noqa: FBT001 - a query's flag
        held = self.contents.get(number)
        if held is None:
            return _missing("content")
        record: dict[str, Any] = {
            "id": number,
            "disable_until_ts": held.disable_until_ts,
            "collab_metadata": {},
            "original_media_uri": None,
            "bank": {"name": held.bank, "matching_enabled_ratio": 1.0},
        }
        return _said(record | ({"signals": dict(held.signals)} if with_signals and self.gives_signals else {}))


def _said(tree: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(tree).encode("utf-8"), {"Content-Type": "application/json"})


def _missing(what: str) -> Reply:
    return _said({"message": f"{what} not found"}, 404)


@contextmanager
def hma_bank_server(curator: Curator) -> Iterator[Served]:
    """The service for as long as the context lasts."""
    with served(curator.answer) as service:
        yield service
