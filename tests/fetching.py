"""A generated web with a dataset of links into it, and the slow oracle of what an audit that fetches must find.

The oracle asks every address of every row, decodes with Pillow, computes PDQ with pdqhash, and compares every value
with every other. It shares no code with the package but the pictures it is given.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests import picture_oracle
from tests.driving import Place
from vetset.config import AgreementSettings, BudgetSettings, RunSettings
from vetset.records import FetchOutcome
from vetset.testing.memory_web import MemoryWeb, Page
from vetset.testing.pictures import U8, jpeg, mirrored, picture, turned

AGREED = AgreementSettings(legal_basis="a synthetic test", contact="audit@vetset.example")
DEAD = (FetchOutcome.GONE, FetchOutcome.DNS, FetchOutcome.REFUSED, FetchOutcome.ROBOTS, FetchOutcome.NOT_AN_IMAGE)

Row = dict[str, Any]


@cache
def small(number: int) -> U8:
    return picture(number, width=96, height=96)


@cache
def body_of(number: int, edit: int = 0) -> bytes:
    """A picture's bytes; edits after the first are other bytes of what looks the same."""
    pixels = small(number)
    edits = (
        lambda: jpeg(pixels, quality=92),
        lambda: jpeg(pixels, quality=60),
        lambda: jpeg(turned(pixels, 1), quality=90),
        lambda: jpeg(mirrored(pixels), quality=90),
    )
    return edits[edit]()


@cache
def near(body: bytes, listed: frozenset[bytes]) -> frozenset[bytes]:
    return frozenset(picture_oracle.near(body, set(listed)))


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


@dataclass
class Site:
    """A dataset of links in its place, the web behind it, and what the lists hold."""

    place: Place
    rows: dict[str, list[Row]]
    pages: dict[str, tuple[Page, ...]]
    listed_md5: set[str] = field(default_factory=set)
    listed_pdq: set[bytes] = field(default_factory=set)

    @property
    def web(self) -> MemoryWeb:
        return MemoryWeb(self.pages, self.place.root / "asked.log")

    def write(self) -> None:
        """Writes the dataset and its list, in place of what was written before."""
        for path in self.place.lists:
            path.unlink()
        self.place.lists.clear()
        for name, rows in self.rows.items():
            columns = {key: [row[key] for row in rows] for key in ("url", "md5", "punsafe")}
            types = {"url": pa.string(), "md5": pa.string(), "punsafe": pa.float64()}
            self.place.write({name: pa.table({key: pa.array(columns[key], types[key]) for key in columns})})
        self.place.list_of("bodies", {"md5": sorted(self.listed_md5), "pdq": sorted(x.hex() for x in self.listed_pdq)})

    def options(self, **changes: Any) -> dict[str, Any]:
        settings = RunSettings(runner="serial", batch_rows=16, part_seconds=0)
        given = {"reach": "fetch", "agreement": AGREED, "fetchers": self.web, "run_settings": settings}
        return {**given, "budget": BudgetSettings(host_groups=3), **changes}

    def audit(self, **changes: Any) -> Any:
        disk = changes.pop("disk", None)
        return self.place.audit(disk=disk, **self.options(**changes))

    def removed(self) -> set[tuple[str, int]]:
        """Rows that the audit found hit, near or expanded."""
        return {at for at, what in self.place.outcomes().items() if what in {"hit", "near_hit", "expanded"}}


PLANTED = (lambda: body_of(0), lambda: body_of(1, 1), lambda: body_of(2, 1), lambda: body_of(3, 2))


def generated(place: Place, seed: int, *, shards: int = 3, rows: int = 28) -> Site:
    """Listed pictures in every edit, mirrors on other hosts, dead links, shared addresses, changed and stale digests."""
    chosen = random.Random(seed)
    pages: dict[str, tuple[Page, ...]] = {}
    pool: list[tuple[str, str | None]] = []
    for number in range(shards * rows * 2 // 3):
        url = f"https://h{chosen.randrange(9)}.example/{seed}/{number}.jpg"
        body = body_of(chosen.randrange(6), chosen.randrange(4)) if chosen.random() < 0.3 else body_of(100 + number)
        alive = chosen.random() < 0.7
        if number < len(PLANTED):  # whatever the draw, each kind of finding is there
            body, alive = PLANTED[number](), True
        pages[url] = (Page(body) if alive else Page(outcome=chosen.choice(DEAD), status=404),)
        recorded = chosen.choice([md5(body), md5(body), None, md5(f"stale {number}".encode())])
        pool.append((url, recorded))
    table: dict[str, list[Row]] = {}
    for shard in range(shards):
        own = table[f"part-{shard}.parquet"] = []
        for at in range(rows):
            url, recorded = pool[at] if at < len(PLANTED) else chosen.choice(pool)
            odd = 1.0 if at < len(PLANTED) else chosen.random()
            own.append(
                {
                    "url": None if odd < 0.05 else "ftp://old.example/1" if odd < 0.08 else url,
                    "md5": recorded if odd > 0.1 else None,
                    "punsafe": round(chosen.random(), 3) if odd < 0.8 else None,
                }
            )
    site = Site(place, table, pages)
    site.listed_md5 = {md5(body_of(0)), md5(body_of(1, 1))}
    site.listed_pdq = {picture_oracle.prints_of(jpeg(small(n), quality=100))[0][0] for n in (2, 3)}
    site.write()
    return site


# --- the oracle -------------------------------------------------------------------------------------------------------


def wanted(site: Site, limit: int = 1000) -> dict[tuple[str, int], str]:
    """hit, near_hit, expanded or held for every row that is any of them, with every address asked once."""
    rows = [(name, at, row) for name, own in site.rows.items() for at, row in enumerate(own)]
    hits, close, values = set(), {}, {}
    for number, (_, _, row) in enumerate(rows):
        page = site.pages.get(row["url"] or "", (Page(outcome=FetchOutcome.GONE),))[-1]
        body = page.body if page.outcome is FetchOutcome.FETCHED else None
        values[number] = {("url", row["url"]), ("md5", row["md5"])} - {("url", None), ("md5", None)}
        if row["md5"] in site.listed_md5 or (body is not None and md5(body) in site.listed_md5):
            hits.add(number)
        if body is not None and (keys := near(body, frozenset(site.listed_pdq))):
            close[number] = keys
    return _settled(site, rows, hits, close, values, limit)


def _settled(
    site: Site,
    rows: list[tuple[str, int, Row]],
    hits: set[int],
    close: dict[int, frozenset[bytes]],
    values: dict[int, set[tuple[str, Any]]],
    limit: int,
) -> dict[tuple[str, int], str]:
    counts = Counter(key for keys in close.values() for key in keys)
    standing = {n for n, keys in close.items() if any(counts[key] <= limit for key in keys)}
    bearers = Counter(value for own in values.values() for value in own)
    out = hits | standing
    while True:
        reached = {value for n in out for value in values[n]} | computed(site, rows, hits | standing)
        spread = {value for value in reached if bearers[value] <= limit}
        more = out | {n for n, own in values.items() if own & spread}
        if more == out:
            break
        out = more
    held = (set(close) - standing) | {n for n, own in values.items() if own & (reached - spread)}
    names = ((hits, "hit"), (standing, "near_hit"), (out, "expanded"), (held, "held"))
    found = {n: next((name for which, name in names if n in which), None) for n in range(len(rows))}
    return {(rows[n][0], rows[n][1]): what for n, what in found.items() if what}


def computed(site: Site, rows: list[tuple[str, int, Row]], found: set[int]) -> set[tuple[str, Any]]:
    """Digests of the bodies of rows that were found by them."""
    bodies = [site.pages[rows[n][2]["url"]][-1] for n in found if rows[n][2]["url"] in site.pages]
    return {("md5", md5(page.body)) for page in bodies if page.outcome is FetchOutcome.FETCHED}


def site_in(folder: Path, seed: int = 1, **options: Any) -> Site:
    return generated(Place(folder), seed, **options)
