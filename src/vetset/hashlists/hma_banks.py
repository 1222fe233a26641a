"""A bank of a Hasher-Matcher-Actioner as an exchange: its contents asked one by one, by number.

In it: the walk over the numbers, what a content's record must say, what stands and what went. Not in it: HTTP
(`service`), asking HMA about a fingerprint (`platforms`).
Rules: HMA lists no bank, but gives a content with its signals by its number (OpenMediaMatch, route
`/c/bank/NAME/content/ID?include_signals=true`); numbers rise and are shared by all banks, so the walk ends `gap`
numbers behind the last one that was there. A content that is not there, is another bank's, or is disabled for now, is
withdrawn. Every walk starts anew, since anything may have been disabled; one that was cut off goes on where it was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from vetset.errors import ServiceError, Stop
from vetset.hashlists.account import Reason
from vetset.hashlists.exchange import Checkpoint, Entry, Part, Value
from vetset.hashlists.service import Service
from vetset.hashlists.value import value_of
from vetset.records import ListEntry, Signal

#: Names of signals as HMA has them, where they are not ours. Those of videos are compared as any file's.
_SIGNALS = {**{signal.value: signal for signal in Signal}, "video_md5": Signal.MD5, "video_sha256": Signal.SHA256}
_MAX_RECORD_BYTES = 1024 * 1024
#: Numbers asked before what came is kept.
PART_NUMBERS = 200
_ABSENT = "http_404"
_HINT = "HMA gives signals by content from OpenMediaMatch 1.1 on; is this the address of one?"


@dataclass(frozen=True, slots=True, repr=False)
class HmaBank:
    """The exchange. `gap`: so many numbers without a content end the walk."""

    service: Service
    bank: str
    gap: int
    now: Callable[[], datetime]

    @property
    def origin(self) -> str:
        return f"hma {self.service.base} bank {self.bank}"

    def plan(self, checkpoint: Checkpoint) -> Sequence[str]:
        first, top = int(checkpoint.get("next", "1")), int(checkpoint.get("top", "0"))
        return [
            f"the contents of bank {self.bank} from number {first:,} to at least {top + self.gap:,}, one by one",
            "it learns who asks, when, and from which network address; nothing of any dataset is sent",
        ]

    def parts(self, checkpoint: Checkpoint) -> Iterator[Part]:
        """One part for each stretch of numbers; the last one's checkpoint is the beginning of the next walk."""
        self._must_be_there()
        number, top = int(checkpoint.get("next", "1")), int(checkpoint.get("top", "0"))
        known = int(checkpoint.get("known", top))
        began = checkpoint.get("began") or self.now().isoformat(timespec="microseconds")
        while number <= top + self.gap:
            faults, entries, stop = Counter[Reason](), list[Entry](), number + PART_NUMBERS
            while number < stop and number <= top + self.gap:
                record = self._record(number)
                top = max(top, number) if record is not None else top
                values = self._values(number, record, faults)
                if values is not None or number <= known:
                    entries.append(Entry(f"id {number}", began, values))
                number += 1
            where = {"next": str(number), "known": str(known), "began": began} if number <= top + self.gap else {}
            yield Part(entries, {"top": str(top), **where}, faults=faults)

    def _must_be_there(self) -> None:
        try:
            self._asked(f"/c/bank/{quote(self.bank, safe='')}")
        except ServiceError as error:
            if error.code == _ABSENT:
                raise Stop(
                    f"{self.service.name} has no bank {self.bank}", hint="check `bank` in the settings"
                ) from None
            raise

    def _record(self, number: int) -> dict[str, Any] | None:
        """What HMA says of a content; None where there is none."""
        try:
            record = self._asked(f"/c/bank/{quote(self.bank, safe='')}/content/{number}?include_signals=true")
        except ServiceError as error:
            if error.code == _ABSENT:
                return None
            if error.code == "http_405":
                raise Stop(f"{self.service.name} does not give out contents", hint=_HINT) from None
            raise
        if record.get("id") != number or not isinstance(record.get("bank"), dict):
            raise ServiceError(self.service.name, "broken_answer")
        return record

    def _asked(self, path: str) -> dict[str, Any]:
        try:
            record = json.loads(self.service.get(path, max_bytes=_MAX_RECORD_BYTES))
        except (ValueError, RecursionError):
            raise ServiceError(self.service.name, "broken_answer") from None
        if not isinstance(record, dict):
            raise ServiceError(self.service.name, "broken_answer")
        return record

    def _values(self, number: int, record: dict[str, Any] | None, faults: Counter[Reason]) -> frozenset[Value] | None:
        """The values of a content that counts; None withdraws it."""
        if record is None or record["bank"].get("name") != self.bank:
            return None
        until, signals = record.get("disable_until_ts"), record.get("signals")
        if not isinstance(until, int):
            raise ServiceError(self.service.name, "broken_answer")
        if until > self.now().timestamp():
            return None
        if not isinstance(signals, dict):
            raise Stop(f"{self.service.name} gives contents without their signals", hint=_HINT)
        return frozenset(self._read(number, signals, faults))

    def _read(self, number: int, signals: dict[str, Any], faults: Counter[Reason]) -> Iterator[Value]:
        for name, text in sorted(signals.items()):
            signal = _SIGNALS.get(name)
            value = value_of(signal, str(text).encode("utf-8", "replace")) if signal else Reason.UNKNOWN_SIGNAL
            if isinstance(value, Reason):
                faults[value] += 1
            elif signal is not None:
                yield signal, value, ListEntry(str(number), "", self.bank)
