"""Known plants in synthetic rows: lists that hit chosen rows, and what an audit with them must find.

In it: the choice of rows by recipe, decoys, the list files (text, `<signal> <value>` a line).
Not in it: making rows (`rows`), what follows from lists (`expectation`), compiling lists, running an audit.
Rules: the rows are left as they are; their own duplicates and popular pictures serve as material. No recipe touches
a row that another one reaches, so that each shows what it is for; a data set without the material for a recipe goes
without it.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vetset.records import ScreenOutcome, Tally
from vetset.testing.expectation import (
    HEX_DIGITS,
    NOTHING,
    Entry,
    Place,
    Rows,
    Value,
    digest_of,
    expected_outcomes,
)
from vetset.testing.rows import mixed

#: The lists written, by name: recorded digests, addresses, and a second body's list that shares entries with the first.
DIGESTS, ADDRESSES, SECOND = "example-digests", "example-addresses", "example-second"

_SPREAD_LIMIT = 1000


@dataclass(frozen=True, slots=True, repr=False)
class Plants:
    """What was planted and what must be found."""

    lists: Mapping[str, Path]  # name -> source file
    spread_limit: int  # under which the expectation holds
    expected: Mapping[Place, ScreenOutcome]  # every row, after the closure, with no policy
    hit_rows: Mapping[str, int]  # name of a list -> rows that it hits
    noisy_entries: int  # entries that hit more rows than the limit, over all lists
    recipes: Mapping[str, tuple[tuple[Place, ...], ...]]  # recipe -> the rows it chose, the row that is hit first

    def tally(self) -> Tally:
        return Tally(Counter(str(outcome) for outcome in self.expected.values()))


def plant(
    dataset: Path | Mapping[str, pa.Table],
    lists_folder: Path,
    *,
    seed: int,
    spread_limit: int | None = None,
    rows_each: int = 12,
    decoys: int = 500,
) -> Plants:
    """Chooses rows of a data set made by `rows`, writes lists that hit them, and works out every row's outcome.

    `dataset` is a folder of Parquet shards, or tables by name. Without `spread_limit` it is 1,000, or less in a small
    data set, so that the two most borne digests exceed it. Each recipe is used `rows_each` times or as often as the
    rows allow. Raises ValueError for addresses or columns that `rows` would not make.
    """
    tables = dict(_shards(dataset)) if isinstance(dataset, Path) else dataset
    rows = Rows(tables)
    limit = _fitting_limit(rows) if spread_limit is None else spread_limit
    planter = _Planter(rows, seed, limit, rows_each)
    planter.use_all_recipes()
    planter.add_decoys(decoys)
    found = expected_outcomes(rows, planter.entries, limit)
    return Plants(
        lists=_write(lists_folder, planter.entries),
        spread_limit=limit,
        expected=dict(zip(rows.places, found.outcomes, strict=True)),
        hit_rows=found.hit_rows,
        noisy_entries=found.noisy_entries,
        recipes={name: tuple(chosen) for name, chosen in planter.recipes.items()},
    )


def _shards(folder: Path) -> Iterator[tuple[str, pa.Table]]:
    for path in sorted(folder.rglob("*.parquet")):
        wanted = [name for name in pq.read_schema(path).names if name.casefold() in {"url", *HEX_DIGITS}]
        yield path.relative_to(folder).as_posix(), pq.read_table(path, columns=wanted)


def _write(folder: Path, entries: Iterable[Entry]) -> dict[str, Path]:
    lines: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        lines[entry.list_name].add(f"{entry.signal} {entry.value}\n")
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.txt" for name in sorted(lines)}
    for name, path in paths.items():
        path.write_text(
            "# A synthetic list: invented digests, reserved names.\n" + "".join(sorted(lines[name])), "utf-8"
        )
    return paths


def _popular(rows: Rows) -> list[Value]:
    """The two digests that most rows bear, the most borne first."""
    digests = [value for value in rows.bearers if value[0] in rows.digests]
    return nsmallest(2, digests, key=lambda value: (-len(rows.bearers[value]), value))


def _fitting_limit(rows: Rows) -> int:
    popular = [len(rows.bearers[value]) for value in _popular(rows)]
    return max(1, min([_SPREAD_LIMIT, *(count * 3 // 4 for count in popular)]))


# --- choosing rows -------------------------------------------------------------------------------------------------


class _Planter:
    """Uses recipes on rows that no other recipe touches, in an order that the seed decides."""

    def __init__(self, rows: Rows, seed: int, limit: int, rows_each: int) -> None:
        self.rows = rows
        self.seed = seed
        self.limit = limit
        self.rows_each = rows_each
        self.entries: list[Entry] = []
        self.recipes: dict[str, list[tuple[Place, ...]]] = {}
        self._used: set[int] = set()
        everyone = range(len(rows.places))
        self.plain = [row for row in everyone if all(len(rows.bearers[value]) <= limit for value in rows.borne(row))]

    def use_all_recipes(self) -> None:
        """The rare material first, so that the plentiful does not use it up."""
        for algorithm in self.rows.digests:
            self._use(f"chain-{algorithm}", self._chains(algorithm), self._digest_entry(algorithm))
            self._use(f"same-url-{algorithm}", self._same_url(algorithm), self._digest_entry(algorithm))
            self._use(f"same-{algorithm}", self._same_digest(algorithm), self._url_entry)
        self._use_popular()
        for signal in ("url_sha1", "url_sha256"):
            self._use(f"{signal}-whatwg", self._spelled_unlike("whatwg"), self._hashed_entry(signal, "whatwg"))
        self._use("url_md5-tx", self._spelled_unlike("tx"), self._hashed_entry("url_md5", "tx"))
        self._use("url", ((row,) for row in self.plain if self.rows.forms[row]), self._url_entry)
        for algorithm, digests in self.rows.digests.items():
            with_digest = [(row,) for row in self.plain if digests[row] not in (None, NOTHING[algorithm])]
            self._use(algorithm, with_digest, self._digest_entry(algorithm))
            self._use(f"two-lists-{algorithm}", with_digest, self._digest_entry(algorithm), also_in=SECOND)

    def add_decoys(self, count: int) -> None:
        """Entries that no row has, in every list."""
        for number in range(count):
            invented = [hashlib.sha256(f"{self.seed}:decoy:{number}:{name}".encode()).hexdigest() for name in "dus"]
            for algorithm, digits in HEX_DIGITS.items():
                if algorithm in self.rows.digests:
                    self.entries.append(Entry(DIGESTS, algorithm, invented[0][:digits]))
                    self.entries.append(Entry(SECOND, algorithm, invented[2][:digits]))
            self.entries.append(Entry(ADDRESSES, "url_md5", invented[1][:32]))
            self.entries.append(Entry(ADDRESSES, "url", f"https://decoy-{invented[1][:16]}.invalid/{number}.jpg"))

    def _use(
        self,
        recipe: str,
        candidates: Iterable[tuple[int, ...]],
        entry_for: Callable[[int], Entry],
        *,
        times: int | None = None,
        also_in: str = "",
    ) -> None:
        chosen = self.recipes.setdefault(recipe, [])
        for rows in self._in_order(list(candidates), recipe):
            if len(chosen) == (self.rows_each if times is None else times):
                break
            touched = self.rows.reached(rows, self.limit, self.rows.related)
            if not touched & self._used:
                self._used |= touched
                chosen.append(tuple(self.rows.places[row] for row in rows))
                entry = entry_for(rows[0])
                self.entries.extend([entry, entry._replace(list_name=also_in)] if also_in else [entry])

    def _in_order(self, candidates: list[tuple[int, ...]], recipe: str) -> list[tuple[int, ...]]:
        keys = mixed(np.array([rows[0] for rows in candidates], np.int64), self.seed, recipe)
        return [candidates[number] for number in np.argsort(keys, kind="stable").tolist()]

    def _use_popular(self) -> None:
        """A row with a placeholder is hit by its address: its twins are held. A banner is listed: a noisy entry."""
        popular = [value for value in _popular(self.rows) if len(self.rows.bearers[value]) > self.limit]
        for recipe, value in zip(("held", "noisy"), popular, strict=False):
            bearers = [(row,) for row in self.rows.bearers[value] if self.rows.forms[row]]
            entry_for = self._url_entry if recipe == "held" else self._noisy_entry(value[0])
            self._use(recipe, bearers, entry_for, times=1)

    # entries

    def _digest_entry(self, algorithm: str) -> Callable[[int], Entry]:
        def entry(row: int) -> Entry:
            digest = self.rows.digests[algorithm][row] or ""
            return Entry(DIGESTS, algorithm, digest.upper() if row % 2 else digest)

        return entry

    def _noisy_entry(self, algorithm: str) -> Callable[[int], Entry]:
        return lambda row: self._digest_entry(algorithm)(row)._replace(list_name=SECOND)

    def _url_entry(self, row: int) -> Entry:
        return Entry(ADDRESSES, "url", self.rows.forms[row]["raw"])

    def _hashed_entry(self, signal: str, form: str) -> Callable[[int], Entry]:
        algorithm = signal.removeprefix("url_")
        return lambda row: Entry(ADDRESSES, signal, digest_of(self.rows.forms[row][form], algorithm))

    # candidates

    def _spelled_unlike(self, form: str) -> Iterator[tuple[int]]:
        for row in self.plain:
            forms = self.rows.forms[row]
            if forms and not forms["raw"].endswith(forms[form]):
                yield (row,)

    def _pairs(self, name: str) -> Iterator[tuple[int, int]]:
        """Rows in different shards that bear the same value of a kind."""
        plain = frozenset(self.plain)
        for value, bearers in self.rows.bearers.items():
            if value[0] == name and 1 < len(bearers) <= self.limit:
                for one, other in pairwise(bearers):
                    if self.rows.shard(one) != self.rows.shard(other) and {one, other} <= plain:
                        yield one, other

    def _same_url(self, algorithm: str) -> Iterator[tuple[int, int]]:
        digests = self.rows.digests[algorithm]
        for one, other in self._pairs("url"):
            if digests[one] not in (None, NOTHING[algorithm], digests[other]):
                yield one, other

    def _same_digest(self, algorithm: str) -> Iterator[tuple[int, int]]:
        for one, other in self._pairs(algorithm):
            if self._other_address(one, other):
                yield one, other

    def _chains(self, algorithm: str) -> Iterator[tuple[int, int, int]]:
        """A and B share a URL, B and C a digest, in three shards; A and C share nothing."""
        digests = self.rows.digests[algorithm]
        for one, other in self._same_url(algorithm):
            for last in self.rows.bearers.get((algorithm, digests[other] or ""), ()):
                shards = {self.rows.shard(row) for row in (one, other, last)}
                if len(shards) == len((one, other, last)) and self._other_address(other, last):
                    yield one, other, last

    def _other_address(self, one: int, other: int) -> bool:
        forms = self.rows.forms
        return bool(forms[one] and forms[other]) and forms[one]["tx"] != forms[other]["tx"]
