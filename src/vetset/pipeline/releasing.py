"""Which rows a cleaning keeps after all: those whose every reason was refuted.

In it: the casebook's refutations followed through what expand found, and their trace in the vault. Not in it: the rule
(`stages.verify`), the writing (`cleaning`).
Rules: before any verdict a cleaning rests on what it always rested on; after one, its basis says so by a keyed digest,
whether or not a row is released, so that it tells nothing; every shard gets a sealed file, for the same reason.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable

from vetset import kernels
from vetset.cases import RELEASED
from vetset.pipeline.casebook import ACCUSED, Casebook
from vetset.pipeline.settling import borne_from
from vetset.records import ScreenOutcome, Shard
from vetset.stages.verify import Found, released
from vetset.vault import Vault

#: Where the trace lies: for each shard the rows that were released, and why.
STEP = "released"
_REACHED = (ScreenOutcome.HIT, ScreenOutcome.NEAR_HIT)


def step_of(basis: str) -> str:
    """The step that a cleaning's basis names."""
    return basis.partition("+")[0]


def was_asked(basis: str) -> bool:
    """Whether a cleaning heeds verdicts."""
    return "+" in basis


def heeded(book: Casebook, basis: str) -> tuple[int, str]:
    """Seals which rows are released, shard by shard; answers how many, and the basis of a cleaning that heeds it."""
    places = released(list(_found(book, basis)))
    for shard in book.shards:
        book.vault.seal(STEP, shard.id, _lines(book, shard, places))
    text = "\n".join(f"{shard_id}\x00{row}" for shard_id, row in sorted(places))
    return len(places), f"{basis}+{hmac.new(book.keys.case_key, text.encode(), hashlib.sha256).hexdigest()}"


def released_rows(vault: Vault, shard: Shard) -> list[int]:
    """The rows of a shard that a cleaning keeps after all."""
    return [int(line["row"]) for line in vault.lines(STEP, shard.id)]


def _lines(book: Casebook, shard: Shard, places: Collection[tuple[str, int]]) -> list[dict[str, object]]:
    """The trace: row, case, and in which state the case is; one that was expanded needs none of its own."""
    return [
        {"row": case.row, "case": case.id, "state": book.state(exhibit).value}
        for exhibit in book.exhibits
        for case in exhibit.cases
        if case.shard_id == shard.id and (case.shard_id, case.row) in places
    ]


def _found(book: Casebook, basis: str) -> Iterable[Found]:
    spreading = _spreading(book) if basis == "expand" else frozenset()
    for exhibit in book.exhibits:
        state = book.state(exhibit)
        for case in exhibit.cases:
            met = case.outcome in _REACHED and state not in RELEASED
            borne = kernels.borne_by(case.address)
            names = {kernels.name_of(value, book.keys.case_key): value for value in borne}
            bears = frozenset(name for name, value in names.items() if kernels.bears(case.address, value))
            # A refuted row may stay out, since its address led to what stands; what it bears accuses no other row.
            spreads = frozenset[str]() if state in RELEASED else spreading.intersection(names)
            yield Found((case.shard_id, case.row), met or state in ACCUSED, bears & spreading, spreads)


def _spreading(book: Casebook) -> frozenset[str]:
    """The names of the values that spread, as the rounds of expand decided."""
    found = set[str]()
    for line in book.vault.lines("expand", "decided"):
        if "round" in line:
            step, places = f"expand-{line['round']}", frozenset(line["spreads"])
            frontier = enumerate(book.vault.lines(step, "frontier"))
            found.update(
                kernels.name_of(borne_from(item), book.keys.case_key) for place, item in frontier if place in places
            )
    return frozenset(found)
