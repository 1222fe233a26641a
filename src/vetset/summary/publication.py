"""The published document: exact figures in, a tree of plain values out, and that tree as canonical JSON.

In it: the schema `vetset/summary/1`, field by field. Not in it: which counts may stand (`suppression`), words
(`wording`), layout (`page`).
Rules: a cell is a number, {"below": 5} or "withheld"; names from outside are made printable here, once, for JSON and
page alike (threats F7); everything that differs between two equal runs stands under "timing" and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from vetset.datasets.printable import printable
from vetset.records import CleanOutcome, FetchOutcome, FingerprintOutcome, ScreenOutcome, Signal, UrlForm
from vetset.summary import wording
from vetset.summary.figures import FetchFigures, Figures, ListFigures, PictureFigures, check_books
from vetset.summary.releasing import released
from vetset.summary.suppression import FLOOR, Cell, Hidden, Secrets, Shown, ShownUniques, suppress

SCHEMA = "vetset/summary/1"
MAX_NAME_CHARACTERS = 240
MAX_IGNORED_NAMES = 1000

#: Signals that are compared by distance; the others are digests, and compared exactly.
NEAR_SIGNALS = frozenset({Signal.PDQ, Signal.PHOTODNA})

SignalForm = tuple[Signal, UrlForm | None]


def publish(figures: Figures) -> dict[str, Any]:
    """What may be said of a run, as a tree of plain values: the contents of `summary.json`.

    Raises ValueError, without any count, where the figures contradict each other: that is a fault of the caller.
    """
    check_books(figures)
    shown = suppress(_secrets(figures))
    published: dict[str, Any] = {
        "schema": SCHEMA,
        "complete": figures.complete and not figures.failed,
        "run": _run(figures),
        "rows": _rows(figures),
        "shards": _shards(figures),
        "columns": {column.value: shards for column, shards in figures.columns.items()},
        "lists": [_list(item) for item in _lists(figures)],
        "compared": _compared(figures),
        "unusable": _unusable(figures),
        "outcomes": _outcomes(figures, shown),
        "pictures": _pictures(figures.pictures),
        "fetch": _fetch(figures.fetch),
        "hits": _hits(figures, shown),
        "expansion": {"values_held": _cell(shown.values_held), "rounds": _cell(shown.rounds)},
        "removal": _removal(figures, shown),
        "sealing": {"recipients": figures.recipients, "key_on_this_machine": figures.key_on_this_machine},
        "timing": _timing(figures),
    }
    published["sentences"] = [*wording.sentences(published), *released(published)]
    return published


def to_json(published: Mapping[str, Any]) -> bytes:
    """Canonical JSON: sorted keys, two spaces, ASCII only, one newline at the end."""
    return (json.dumps(published, sort_keys=True, indent=2, allow_nan=False) + "\n").encode("ascii")


# --- from exact to shown ----------------------------------------------------------------------------------------------


def _secrets(figures: Figures) -> Secrets:
    count = figures.outcomes.get
    found = {
        "hit": count(ScreenOutcome.HIT, 0),
        "near_hit": count(ScreenOutcome.NEAR_HIT, 0),
        "expanded": count(ScreenOutcome.EXPANDED, 0),
        "held": count(ScreenOutcome.HELD, 0),
        "clear": count(ScreenOutcome.CLEAR, 0),
    }
    policy_rows = figures.base.get(ScreenOutcome.POLICY, 0)
    exact_room, near_room = _rooms(figures)
    return Secrets(
        **found,
        exact_room=exact_room,
        near_room=near_room,
        rows=figures.rows,
        policy_rows=policy_rows if figures.policy or policy_rows else None,
        not_assessable=_not_assessable(figures),
        policy_removed=(figures.cleaned or {}).get(CleanOutcome.REMOVED_BY_POLICY, 0) if _stands(figures) else 0,
        cleaned=_stands(figures),
        remove_held=figures.remove_held,
        by_list=[figures.hits_by_list.get(item.name, 0) for item in _lists(figures)],
        by_signal=[figures.hits_by_signal.get(key, 0) for key in _signals(figures)],
        hits_uniques=figures.hits_uniques,
        removable_uniques=figures.removable_uniques,
        noisy=[entry.rows for entry in figures.noisy],
        values_held=figures.values_held,
        rounds=figures.rounds,
    )


def _rooms(figures: Figures) -> tuple[int | None, int]:
    """How many rows could be hits, and near hits, at most. By columns alone every row assessed could be a hit."""
    if figures.pictures is None:
        return None, 0
    if figures.fetch is not None:
        return _rooms_of_fetched(figures, figures.fetch)
    compared: dict[tuple[str, bool], int] = {}
    for item in figures.compared:
        near = item.signal in NEAR_SIGNALS
        family = item.signal.value if near else item.column.partition(" (")[0]
        compared[family, near] = max(compared.get((family, near), 0), item.values)
    exact, by_distance = (sum(n for (_, near), n in compared.items() if near is kind) for kind in (False, True))
    return exact, min(by_distance, figures.pictures.held)


def _not_assessable(figures: Figures) -> int:
    """Rows that could be compared with nothing, found ones among them: a fact, whatever was found."""
    return figures.base.get(ScreenOutcome.NOT_ASSESSABLE, 0)


def _rooms_of_fetched(figures: Figures, fetched: FetchFigures) -> tuple[int, int]:
    """A picture may stand in many rows; but none was found by an address that was not asked, or gave nothing."""
    nothing = fetched.asked - fetched.fetched
    near = any(item.signal in NEAR_SIGNALS and item.values for item in figures.compared)
    exact, by_distance = (most - fetched.unasked - nothing for most in (figures.rows, fetched.candidates))
    return max(exact, 0), max(by_distance, 0) if near else 0


def _held_by_policy(figures: Figures) -> int:
    cleaned = figures.cleaned or {}
    return cleaned.get(CleanOutcome.REMOVED_BY_POLICY, 0) - figures.outcomes.get(ScreenOutcome.POLICY, 0)


def _stands(figures: Figures) -> bool:
    """Whether the cleaned dataset covers the rows of the outcomes; a shard may have failed in between."""
    if figures.cleaned is None:
        return False
    goes = [ScreenOutcome.HIT, ScreenOutcome.NEAR_HIT, ScreenOutcome.EXPANDED]
    goes += [ScreenOutcome.HELD] if figures.remove_held else []
    released = figures.released or 0
    removed = sum(figures.outcomes.get(outcome, 0) for outcome in goes) - released
    stays = released + (0 if figures.remove_held else figures.outcomes.get(ScreenOutcome.HELD, 0))
    agrees = (
        sum(figures.cleaned.values()) == figures.rows
        and figures.cleaned.get(CleanOutcome.REMOVED, 0) == removed
        and 0 <= _held_by_policy(figures) <= (stays if figures.policy else 0)
    )
    if figures.complete and not figures.failed and not agrees:
        raise ValueError("the books do not balance: outcomes and cleaned rows differ")
    return agrees and not released  # what was found less what was removed would tell how many were released


def _signals(figures: Figures) -> list[SignalForm]:
    """What hits may be counted by. Taken from what was compared, so that it says nothing about hits."""
    forms = {f"url ({form.value})": form for form in UrlForm}
    known = {(item.signal, forms.get(item.column)) for item in figures.compared}
    names = {item.name for item in figures.lists}
    if not set(figures.hits_by_signal) <= known or not set(figures.hits_by_list) <= names:
        raise ValueError("the books do not balance: hits by something that was not compared")
    return sorted(known, key=lambda key: (key[0].value, key[1].value if key[1] else ""))


def _cell(cell: Cell) -> int | str | dict[str, int]:
    if cell is Hidden.BELOW:
        return {"below": FLOOR}
    return cell if isinstance(cell, int) else "withheld"


# --- field by field ---------------------------------------------------------------------------------------------------


def _name(text: str) -> str:
    return printable(text, max_characters=MAX_NAME_CHARACTERS)


def _run(figures: Figures) -> dict[str, Any]:
    return {
        "dataset": _name(figures.dataset),
        "fingerprint": _name(figures.fingerprint),
        "vetset": _name(figures.version),
        "reach": _name(figures.reach),
        "policy": _name(figures.policy) or None,
        "spread_limit": figures.spread_limit,
        "remove_held": figures.remove_held,
        "expand": figures.expand,
        "settings": {
            _name(key): _name(value) if isinstance(value, str) else value for key, value in figures.settings.items()
        },
    }


def _rows(figures: Figures) -> dict[str, int]:
    not_assessable = _not_assessable(figures)
    return {"total": figures.rows, "assessed": figures.rows - not_assessable, "not_assessable": not_assessable}


def _shards(figures: Figures) -> dict[str, Any]:
    failed = sorted(figures.failed, key=lambda shard: shard.path)
    return {
        "total": figures.shards_total,
        "done": figures.shards_done,
        "failed": [
            {"path": _name(shard.path), "trouble": _name(shard.trouble), "detail": _name(shard.detail)}
            for shard in failed
        ],
        "ignored_files": len(figures.ignored),
        "ignored_names": [_name(name) for name in sorted(figures.ignored)[:MAX_IGNORED_NAMES]],
    }


def _lists(figures: Figures) -> list[ListFigures]:
    return sorted(figures.lists, key=lambda item: (item.name, item.version, item.digest))


def _list(item: ListFigures) -> dict[str, Any]:
    return {
        "name": _name(item.name),
        "version": item.version,
        "digest": _name(item.digest),
        "created": _name(item.created),
        "expires": _name(item.expires),
        "source": _name(item.source),
        "purpose": _name(item.purpose),
        "entries": {signal.value: count for signal, count in item.entries.items()},
    }


def _compared(figures: Figures) -> list[dict[str, Any]]:
    ordered = sorted(figures.compared, key=lambda item: (item.column, item.list_name, item.signal.value))
    return [
        {
            "column": _name(item.column),
            "list": _name(item.list_name),
            "signal": item.signal.value,
            "values": item.values,
        }
        for item in ordered
    ]


def _unusable(figures: Figures) -> list[dict[str, Any]]:
    return [
        {"column": _name(item.column), "blank": item.blank, "malformed": item.malformed}
        for item in sorted(figures.unusable, key=lambda item: item.column)
    ]


def _outcomes(figures: Figures, shown: Shown) -> dict[str, Any]:
    """`policy` and `not_assessable` count found rows too, so that they say nothing about matches."""
    return {
        "hit": _cell(shown.hit),
        "near_hit": _cell(shown.near_hit),
        "expanded": _cell(shown.expanded),
        "held": _cell(shown.held),
        "policy": figures.base.get(ScreenOutcome.POLICY, 0),
        "not_assessable": _not_assessable(figures),
        "clear": _cell(shown.clear),
    }


def _pictures(pictures: PictureFigures | None) -> dict[str, Any] | None:
    if pictures is None:
        return None
    return {
        "held": pictures.held,
        "outcomes": {outcome.value: pictures.fingerprint.get(outcome, 0) for outcome in FingerprintOutcome},
        "too_plain": pictures.too_plain,
        "sandbox": _name(pictures.sandbox_level),
        "variant": _name(pictures.variant),
        "radius_bits": {_name(name): bits for name, bits in sorted(pictures.radius_bits.items())},
        "quality_floor": pictures.quality_floor,
        "resize_modes": {_name(mode): count for mode, count in sorted(pictures.resize_modes.items())},
        "oddities": {_name(kind): count for kind, count in sorted(pictures.oddities.items())},
        "libraries": {_name(name): _name(number) for name, number in sorted(pictures.libraries.items())},
    }


def _fetch(fetched: FetchFigures | None) -> dict[str, Any] | None:
    if fetched is None:
        return None
    return {
        "candidates": fetched.candidates,
        "unasked": fetched.unasked,
        "asked": fetched.asked,
        "outcomes": {outcome.value: fetched.outcomes.get(outcome, 0) for outcome in FetchOutcome},
        "unanswered": fetched.unanswered,
        "failed_groups": fetched.failed_groups,
        "rounds": fetched.rounds,
        "seed": fetched.seed,
        "random_share": fetched.random_share,
        "strata": [
            {"stratum": item.stratum, "chosen": item.chosen, "asked": item.asked, "fetched": item.fetched}
            for item in fetched.strata
        ],
        "legal_basis": _name(fetched.legal_basis),
    }


def _hits(figures: Figures, shown: Shown) -> dict[str, Any]:
    lists = zip(_lists(figures), shown.by_list, strict=True)
    signals = zip(_signals(figures), shown.by_signal, strict=True)
    return {
        "verified": False,
        "by_list": [{"list": _name(item.name), "version": item.version, "rows": _cell(rows)} for item, rows in lists],
        "by_signal": [
            {"signal": signal.value, "form": form.value if form else None, "rows": _cell(rows)}
            for (signal, form), rows in signals
        ],
        "direct": _distinct(shown.found, shown.hits_uniques),
        "with_expanded": _distinct(shown.removable, shown.removable_uniques),
        "noisy": _noisy(figures, shown.noisy),
    }


def _distinct(rows: Cell, uniques: ShownUniques) -> dict[str, Any]:
    return {
        "rows": _cell(rows),
        "unique_urls": _cell(uniques.urls),
        "unique_digests": _cell(uniques.digests),
    }


def _noisy(figures: Figures, named: Iterable[bool] | Hidden) -> list[dict[str, Any]] | str:
    if isinstance(named, Hidden):
        return named.value
    entries = [entry for entry, shown in zip(figures.noisy, named, strict=True) if shown]
    entries.sort(key=lambda entry: (-entry.rows, entry.entry))
    return [{"entry": _name(entry.entry), "rows": entry.rows} for entry in entries]


def _removal(figures: Figures, shown: Shown) -> dict[str, Any] | None:
    if figures.cleaned is None:
        return None
    return {
        "kept": _cell(shown.kept),
        "removed": _cell(shown.removed),
        "removed_by_policy": _cell(shown.removed_by_policy),
        **({} if figures.released is None else {"released": "withheld" if figures.released else 0}),
    }


def _timing(figures: Figures) -> dict[str, Any]:
    seconds = figures.duration_seconds
    return {
        "started": _name(figures.started),
        "finished": _name(figures.finished),
        "duration_seconds": round(seconds, 3),
        "rows_per_second": round(figures.rows / seconds) if seconds > 0 else None,
        "workers": figures.workers,
        **({} if figures.fetch is None else _span(figures.fetch)),
    }


def _span(fetched: FetchFigures) -> dict[str, str]:
    """When the first and the last answer came."""
    return {"fetched_from": _name(fetched.first_at), "fetched_to": _name(fetched.last_at)}
