"""What an audit of synthetic rows must find: every row's outcome from lists of plain values, by dictionaries and sets.

In it: all rows with what each bears, the forms of plain addresses, hits, the closure with its breaker.
Not in it: the choice of rows and entries (`plants`), files, policies.
Rules: it shares no code with the kernels and stages, so that an audit and its check cannot be wrong together.
Spellings of URLs are only as hard as `rows` makes them; an address beyond those is refused and not guessed at.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from vetset.records import ScreenOutcome

#: A row: its shard (path in the data set, or name of the table) and its number from 0.
Place = tuple[str, int]

#: A value and its kind: `url`, the name of a digest, or a form of the URL.
Value = tuple[str, str]

#: Recorded digests, by the length of their hex text.
HEX_DIGITS: Mapping[str, int] = {"md5": 32, "sha1": 40, "sha256": 64}

#: Digests of no bytes: they never spread.
NOTHING: Mapping[str, str] = {name: hashlib.new(name, b"", usedforsecurity=False).hexdigest() for name in HEX_DIGITS}

# Addresses on which the forms are plain: no port, user, escape, dot segment, empty query, fragment or encoded host.
_PLAIN_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>(?!(?:.*\.)?xn--)[a-z0-9.-]*[a-z])(?P<rest>/(?!.*/\.)[\w/.-]*(?:\?[\w=&+-]+)?)",
    re.IGNORECASE | re.ASCII,
)


class Entry(NamedTuple):
    """A line of a list: the list's name, the signal as in text lists, the value as written."""

    list_name: str
    signal: str
    value: str

    def __repr__(self) -> str:
        return f"<{self.signal} entry of {self.list_name}>"


def forms_of(url: str) -> dict[str, str]:
    """The spellings of an address under which lists are compared with it."""
    match = _PLAIN_URL.fullmatch(url)
    if match is None:
        raise ValueError("an address is spelled in a way that the plants do not know; use the rows of vetset.testing")
    scheme, host, rest = match.group("scheme", "host", "rest")
    return {"raw": url, "tx": f"{host}{rest}".lower(), "whatwg": f"{scheme.lower()}://{host.lower()}{rest}"}


def _hex(value: str | None, algorithm: str) -> str | None:
    return value.lower() if value and re.fullmatch(f"[0-9a-fA-F]{{{HEX_DIGITS[algorithm]}}}", value) else None


class Rows:
    """Every row of every shard, numbered through."""

    def __init__(self, tables: Mapping[str, pa.Table]) -> None:
        self.places: list[Place] = []
        columns: dict[str, list[Any]] = {name: [] for name in ("url", *HEX_DIGITS)}
        for shard in sorted(tables):
            table = tables[shard]
            self.places.extend((shard, row) for row in range(table.num_rows))
            spelled = {name.casefold(): name for name in table.column_names}
            for name, values in columns.items():
                values.extend(table[spelled[name]].to_pylist() if name in spelled else [None] * table.num_rows)
        self.forms = [forms_of(url) if url else {} for url in columns["url"]]
        made = {name: [_hex(value, name) for value in columns[name]] for name in HEX_DIGITS}
        self.digests = {name: values for name, values in made.items() if any(values)}
        self.bearers: dict[Value, list[int]] = defaultdict(list)
        for row in range(len(self.places)):
            for value in self.related(row):
                self.bearers[value].append(row)

    def shard(self, row: int) -> str:
        return self.places[row][0]

    def borne(self, row: int) -> list[Value]:
        """The values by which a finding spreads from a row."""
        values = [("url", self.forms[row]["raw"])] if self.forms[row] else []
        for name, digests in self.digests.items():
            digest = digests[row]
            if digest and digest != NOTHING[name]:
                values.append((name, digest))
        return values

    def related(self, row: int) -> list[Value]:
        """What a row bears, and the form under which an entry for one of its spellings hits the others."""
        return [*self.borne(row), *((("tx", self.forms[row]["tx"]),) if self.forms[row] else ())]

    def reached(self, start: Iterable[int], limit: int, values_of: Callable[[int], list[Value]]) -> set[int]:
        """Rows reached from some by values that at most `limit` rows bear, to closure."""
        found = set(start)
        waiting = sorted(found)
        while waiting:
            for value in values_of(waiting.pop()):
                if len(self.bearers[value]) <= limit:
                    more = set(self.bearers[value]) - found
                    found |= more
                    waiting.extend(more)
        return found


def digest_of(text: str, algorithm: str) -> str:
    """The digest of a text's UTF-8, in hex."""
    make: Callable[..., Any] = getattr(hashlib, algorithm)
    return str(make(text.encode(), usedforsecurity=False).hexdigest())


class Expectation(NamedTuple):
    """What lists must find."""

    outcomes: list[ScreenOutcome]  # of all rows, in order
    hit_rows: dict[str, int]  # name of a list -> rows that it hits
    noisy_entries: int  # entries that hit more rows than the limit, over all lists


def expected_outcomes(rows: Rows, entries: Iterable[Entry], limit: int) -> Expectation:
    """What an audit of these rows with these lists must find under a spread limit, with no policy."""
    index: dict[Value, set[Entry]] = defaultdict(set)
    for entry in entries:
        for key in _keys_of_entry(entry):
            index[key].add(entry._replace(value=key[1]) if entry.signal != "url" else entry)
    signals = {key[0] for key in index}
    hits = set()
    by_list: Counter[str] = Counter({entry.list_name: 0 for found in index.values() for entry in found})
    by_entry: Counter[Entry] = Counter()
    for row in range(len(rows.places)):
        met = [index[key] for key in _keys_of_row(rows, row, signals) if key in index]
        if met:
            hits.add(row)
            found = set[Entry]().union(*met)
            by_entry.update(found)
            by_list.update({entry.list_name for entry in found})
    noisy = sum(1 for count in by_entry.values() if count > limit)
    return Expectation(_after_closure(rows, hits, limit, signals), dict(by_list), noisy)


def _keys_of_entry(entry: Entry) -> list[Value]:
    if entry.signal == "url":
        return [(f"url {form}", spelled) for form, spelled in forms_of(entry.value).items()]
    return [(entry.signal, entry.value.lower())]


def _keys_of_row(rows: Rows, row: int, signals: set[str]) -> list[Value]:
    keys = [(name, digests[row] or "") for name, digests in rows.digests.items()]
    forms = rows.forms[row]
    keys.extend((f"url {form}", spelled) for form, spelled in forms.items())
    for algorithm in HEX_DIGITS:
        if f"url_{algorithm}" in signals:
            keys.extend((f"url_{algorithm}", digest_of(spelled, algorithm)) for spelled in set(forms.values()))
    return keys


def _after_closure(rows: Rows, hits: set[int], limit: int, signals: set[str]) -> list[ScreenOutcome]:
    out = rows.reached(hits, limit, rows.borne)
    stopped = {value for row in out for value in rows.borne(row) if len(rows.bearers[value]) > limit}
    held = {row for value in stopped for row in rows.bearers[value]}
    with_urls = any(signal.startswith("url") for signal in signals)
    digests = [values for name, values in rows.digests.items() if name in signals]
    outcomes = []
    for row in range(len(rows.places)):
        if row in hits:
            outcomes.append(ScreenOutcome.HIT)
        elif row in out:
            outcomes.append(ScreenOutcome.EXPANDED)
        elif row in held:
            outcomes.append(ScreenOutcome.HELD)
        elif (with_urls and rows.forms[row]) or any(values[row] for values in digests):
            outcomes.append(ScreenOutcome.CLEAR)
        else:
            outcomes.append(ScreenOutcome.NOT_ASSESSABLE)
    return outcomes
