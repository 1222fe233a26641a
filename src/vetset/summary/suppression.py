"""Suppression: which counts may be published, so that no small count can be worked out.

In it: exact counts in, cells out. Not in it: words, files, and counts that are facts about the data (rows, rows that
meet the policy, rows that could be compared with nothing, values compared), which are public and the same whatever
was found.
Rules: a count of 1 to 4 never stands in a cell (threats 1.3 L5, 5.4); 0 does; what is hidden depends on the counts
only in ways that leave every small count at least two possible values to somebody who has the whole summary, knows
these rules, and does the arithmetic. `tests/test_summary_suppression.py` plays that somebody.
What it cannot do: two summaries of overlapping data can be subtracted, and whoever holds a dataset before and after
cleaning can count what is missing (threats 4.1). Whoever holds a dataset whose every address was asked but those of
hits can count its different addresses, and compare that with how many were asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vetset.summary.figures import Uniques

#: Counts from 1 to below this are small.
FLOOR = 5


class Hidden(StrEnum):
    """What stands in place of a count: `BELOW` means 1 to 4, `WITHHELD` says nothing."""

    BELOW = "below"
    WITHHELD = "withheld"


Cell = int | Hidden


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secrets:
    """Exact counts that depend on hits. `clear` is there because it completes a total.

    `rows`, `policy_rows` and `not_assessable` are public: all rows, and those that meet the policy (None: no policy)
    or could be compared with nothing, whatever was found. `policy_removed` are the rows that the cleaned dataset lacks
    because of the policy alone. `cleaned` is False where no cleaned dataset, or only a part of one, stands against the
    outcomes. `exact_room` and `near_room` are public: how many rows could be a hit, or a near hit, at most, by what
    was compared (None: any).
    """

    hit: int
    near_hit: int = 0
    expanded: int
    held: int
    clear: int
    rows: int
    exact_room: int | None = None
    near_room: int | None = None
    policy_rows: int | None = None
    not_assessable: int = 0
    policy_removed: int = 0
    cleaned: bool = True
    remove_held: bool = False
    by_list: Sequence[int] = ()
    by_signal: Sequence[int] = ()
    hits_uniques: Uniques = field(default_factory=Uniques)
    removable_uniques: Uniques = field(default_factory=Uniques)
    noisy: Sequence[int] = ()
    values_held: int = 0
    rounds: int = 0

    @property
    def others(self) -> tuple[int, int]:
        """Rows that are not clear even where nothing is found: by the policy, and for want of a value."""
        return self.policy_rows or 0, self.not_assessable

    @property
    def comparable(self) -> int:
        """The rows that are clear where nothing is found; public."""
        return self.rows - sum(self.others)

    @property
    def found(self) -> int:
        return self.hit + self.near_hit + self.expanded + self.held

    @property
    def found_among_others(self) -> int:
        """Found rows that meet the policy or could be compared with nothing: they are in those counts all the same."""
        return self.found + self.clear - self.comparable

    @property
    def removed(self) -> int:
        return self.found if self.remove_held else self.found - self.held


@dataclass(frozen=True, slots=True)
class ShownUniques:
    urls: Cell
    digests: Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The cells that may be published. `noisy` marks, in the order given, the entries that may be named."""

    hit: Cell
    near_hit: Cell
    expanded: Cell
    held: Cell
    clear: Cell
    found: Cell
    removable: Cell
    kept: Cell
    removed: Cell
    removed_by_policy: Cell
    by_list: tuple[Cell, ...]
    by_signal: tuple[Cell, ...]
    hits_uniques: ShownUniques
    removable_uniques: ShownUniques
    noisy: tuple[bool, ...] | Hidden
    values_held: Cell
    rounds: Cell


def suppress(secrets: Secrets) -> Shown:
    """The cells of a run. The rules, each for the arithmetic that it defeats:

    1. The rows that are clear where nothing is found are public, so `clear` is withheld with any of hit, near hit,
       expanded and held; the five are withheld together where there is one such row, or one that could be a hit, or
       one that could be a near hit, or where as many are found and there are rows of other kinds, which must then be
       found too; and with a small one among them also where fewer than twice FLOOR rows of room are left, or fewer
       than FLOOR could be one of the two.
    2. A row is held only if its value has more bearers than the spread limit, which is public: where rows are held
       and any of the four is small, near hits, expanded and held are withheld, be they none; values held and rounds
       too.
    3. A sum is published if all its parts are (or if one is not and the others are 0, as that one).
    4. Every hit and near hit has a list and a signal, so a group of counts by list, or by signal, that holds a small
       one is withheld but for its zeros, unless the two are fewer than FLOOR together: then every count in it is small.
    5. Unique values among these and expanded rows differ from those among these by at most the rows expanded:
       withheld, both kinds at once, where the difference is small or not all parts are published.
    6. A noisy entry is named only from FLOOR rows on, and with a published count of hits.
    7. Rows found that meet the policy, or could be compared with nothing, are missing from neither count, but `clear`
       tells how many they are, and the rows removed by policy how many of them were removed anyway: both are withheld
       where that is few or could only be few, and the latter where the outcomes are withheld, or where the rows found
       among the others are more than there are of some kind that they may be.
    """
    hit, near, expanded, held, clear = _outcomes(secrets)
    hidden = isinstance(clear, Hidden)
    found = total((hit, near))
    kept, removed, by_policy = _cleaned(secrets, total((hit, near, expanded)), held)
    clear = clear if hidden else _clear(secrets)
    return Shown(
        hit=hit,
        near_hit=near,
        expanded=expanded,
        held=held,
        clear=clear,
        found=found,
        removable=total((hit, near, expanded)),
        kept=kept,
        removed=removed,
        removed_by_policy=by_policy,
        by_list=_group(found, secrets.by_list),
        by_signal=_group(found, secrets.by_signal),
        hits_uniques=_among_hits(found, secrets.hits_uniques),
        removable_uniques=_among_removable(found, expanded, secrets),
        noisy=_noisy(found, secrets.noisy),
        values_held=Hidden.WITHHELD if hidden else cell(secrets.values_held),
        rounds=Hidden.WITHHELD if hidden else secrets.rounds,
    )


def cell(count: int) -> Cell:
    """A count by itself."""
    return Hidden.BELOW if is_small(count) else count


def is_small(count: int) -> bool:
    return 0 < count < FLOOR


def total(parts: Sequence[Cell]) -> Cell:
    """The sum of cells, as far as they give it away already."""
    hidden = [part for part in parts if isinstance(part, Hidden)]
    known = sum(part for part in parts if not isinstance(part, Hidden))
    if not hidden:
        return known
    return hidden[0] if len(hidden) == 1 and known == 0 else Hidden.WITHHELD


def _outcomes(secrets: Secrets) -> tuple[Cell, ...]:
    """Hit, near hit, expanded, held; last what would be clear if nothing found met the policy or was unassessable."""
    found = (secrets.hit, secrets.near_hit, secrets.expanded, secrets.held)
    rooms = (secrets.exact_room, secrets.near_room)
    nothing = (*(0 if most == 0 else Hidden.WITHHELD for most in rooms), *(Hidden.WITHHELD,) * 3)
    most = secrets.comparable - (1 if sum(secrets.others) else 0)  # that are found where anything is told
    if 1 in (secrets.rows, secrets.comparable, *rooms) or secrets.found > max(0, most):
        return nothing
    if not any(is_small(count) for count in found):
        return (*found, secrets.comparable - secrets.found)
    shown: list[Cell] = [cell(count) for count in found]
    if secrets.held:
        shown[1:] = [0 if secrets.near_room == 0 else Hidden.WITHHELD, Hidden.WITHHELD, Hidden.WITHHELD]
    room = most - sum(count for count in shown if not isinstance(count, Hidden))
    scarce = room < 2 * FLOOR or any(most is not None and is_small(most) for most in rooms)
    return nothing if scarce else (*shown, Hidden.WITHHELD)


def _clear(secrets: Secrets) -> Cell:
    few = secrets.found and any(is_small(count) for count in secrets.others)
    return Hidden.WITHHELD if few or is_small(secrets.found_among_others) else secrets.clear


def _cleaned(secrets: Secrets, removable: Cell, held: Cell) -> tuple[Cell, Cell, Cell]:
    """Rows kept, removed, removed by policy."""
    if not secrets.cleaned:
        return Hidden.WITHHELD, Hidden.WITHHELD, Hidden.WITHHELD
    removed = total((removable, held)) if secrets.remove_held else removable
    by_policy = _removed_by_policy(secrets, removed)
    if isinstance(removed, Hidden) or isinstance(by_policy, Hidden):
        return Hidden.WITHHELD, removed, by_policy
    return secrets.rows - removed - by_policy, removed, by_policy


def _removed_by_policy(secrets: Secrets, removed: Cell) -> Cell:
    if not secrets.policy_rows:
        return 0
    anyway = secrets.policy_rows - secrets.policy_removed
    rest = secrets.found_among_others - anyway  # held, or found though they could be compared with nothing
    few = secrets.found and any(is_small(count) for count in secrets.others)
    tells = removed is Hidden.WITHHELD or (anyway and isinstance(removed, Hidden))
    bound = secrets.found_among_others and not _have_room(secrets)
    if few or tells or bound or is_small(anyway) or is_small(rest):
        return Hidden.WITHHELD
    return secrets.policy_removed


def _have_room(secrets: Secrets) -> bool:
    """Whether all rows found among the others could be of each kind that some may be, or there is only one kind."""
    policy_rows, not_assessable = secrets.others
    held = 0 if secrets.remove_held else min(secrets.held, policy_rows)
    further = [count for count in (held, not_assessable) if count]
    return not further or min(policy_rows, secrets.removed, *further) >= secrets.found_among_others


def _group(hit: Cell, counts: Sequence[int]) -> tuple[Cell, ...]:
    if hit is Hidden.WITHHELD:
        return (Hidden.WITHHELD,) * len(counts)
    if hit is Hidden.BELOW or not any(is_small(count) for count in counts):
        return tuple(cell(count) for count in counts)
    return tuple(Hidden.WITHHELD if count else 0 for count in counts)


def _among_hits(hit: Cell, uniques: Uniques) -> ShownUniques:
    if hit is Hidden.WITHHELD:
        return ShownUniques(Hidden.WITHHELD, Hidden.WITHHELD)
    return ShownUniques(cell(uniques.urls), cell(uniques.digests))


def _among_removable(hit: Cell, expanded: Cell, secrets: Secrets) -> ShownUniques:
    among_hits = _among_hits(hit, secrets.hits_uniques)
    if expanded == 0:
        return among_hits
    more, fewer = secrets.removable_uniques, secrets.hits_uniques
    published = (hit, expanded, among_hits.urls, among_hits.digests)
    withheld = any(isinstance(part, Hidden) for part in published)
    if withheld or is_small(more.urls - fewer.urls) or is_small(more.digests - fewer.digests):
        return ShownUniques(Hidden.WITHHELD, Hidden.WITHHELD)
    return ShownUniques(more.urls, more.digests)


def _noisy(hit: Cell, rows_of_entries: Sequence[int]) -> tuple[bool, ...] | Hidden:
    if hit is Hidden.WITHHELD:
        return Hidden.WITHHELD
    return tuple(rows >= FLOOR for rows in rows_of_entries)


# --- what was published ---------------------------------------------------------------------------------------------


def hides_any(published: Mapping[str, Any]) -> bool:
    """Whether a cell of the published document is not a count."""
    hits = published["hits"]
    tables = (published["outcomes"], hits["direct"], hits["with_expanded"], published["expansion"])
    cells = [cell for table in (*tables, published["removal"] or {}) for cell in table.values()]
    cells += [item["rows"] for item in (*hits["by_list"], *hits["by_signal"])]
    return any(not isinstance(cell, int) for cell in cells)
