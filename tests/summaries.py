"""Figures of invented runs for the tests of the summary: read from a vector, and drawn at random."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from vetset.records import CleanOutcome, Column, FingerprintOutcome, ScreenOutcome, Signal, UrlForm
from vetset.summary import Compared, FailedShard, Figures, ListFigures, NoisyEntry, PictureFigures, Uniques, Unusable

VECTORS = Path(__file__).parent / "vectors" / "summary"


def figures_of(case: str) -> Figures:
    """The figures of a vector."""
    data: dict[str, Any] = json.loads((VECTORS / case / "figures.json").read_text("utf-8"))
    data["failed"] = tuple(FailedShard(*item) for item in data["failed"])
    data["ignored"] = tuple(data["ignored"])
    data["columns"] = {Column(name): count for name, count in data["columns"].items()}
    data["lists"] = tuple(_list(item) for item in data["lists"])
    data["compared"] = tuple(Compared(column, name, Signal(s), n) for column, name, s, n in data["compared"])
    data["unusable"] = tuple(Unusable(*item) for item in data["unusable"])
    data["outcomes"] = {ScreenOutcome(name): count for name, count in data["outcomes"].items()}
    data["base"] = {ScreenOutcome(name): count for name, count in data["base"].items()}
    data["pictures"] = _pictures(data["pictures"]) if "pictures" in data else None
    data["cleaned"] = {CleanOutcome(name): count for name, count in data["cleaned"].items()}
    data["hits_by_signal"] = {(Signal(s), UrlForm(f) if f else None): n for s, f, n in data["hits_by_signal"]}
    data["hits_uniques"] = Uniques(*data["hits_uniques"])
    data["removable_uniques"] = Uniques(*data["removable_uniques"])
    data["noisy"] = tuple(NoisyEntry(*item) for item in data["noisy"])
    return Figures(**data)


def _pictures(item: dict[str, Any]) -> PictureFigures:
    outcomes = {FingerprintOutcome(name): count for name, count in item["fingerprint"].items()}
    return PictureFigures(**{**item, "fingerprint": outcomes})


def _list(item: dict[str, Any]) -> ListFigures:
    return ListFigures(**{**item, "entries": {Signal(name): count for name, count in item["entries"].items()}})


def run_with(hit: int = 0, expanded: int = 0, held: int = 0, clear: int = 1000, **changes: Any) -> Figures:
    """A run with these outcomes, one list and one signal, whose books balance; `changes` are fields of `Figures`."""
    plenty = figures_of("plenty")
    outcomes = {
        ScreenOutcome.HIT: hit,
        ScreenOutcome.EXPANDED: expanded,
        ScreenOutcome.HELD: held,
        ScreenOutcome.CLEAR: clear,
    }
    removed = hit + expanded
    outcomes = changes.get("outcomes", outcomes)
    simple: dict[str, Any] = {
        "rows": sum(outcomes.values()),
        "outcomes": outcomes,
        "base": as_if_nothing_met(outcomes),
        "cleaned": {CleanOutcome.REMOVED: removed, CleanOutcome.KEPT: held + clear},
        "policy": "",
        "lists": plenty.lists[:1],
        "compared": (Compared("md5", "alpha", Signal.MD5, sum(outcomes.values())),),
        "unusable": (),
        "ignored": (),
        "hits_by_list": {"alpha": hit},
        "hits_by_signal": {(Signal.MD5, None): hit},
        "hits_uniques": Uniques(hit, hit and 1),
        "removable_uniques": Uniques(removed, hit and 1),
        "noisy": (),
        "values_held": min(held, 1),
        "rounds": min(hit, 1),
    }
    return replace(plenty, **(simple | changes))


def as_if_nothing_met(outcomes: Mapping[ScreenOutcome, int]) -> dict[ScreenOutcome, int]:
    """The base of outcomes where every row found would be clear."""
    others = {name: outcomes.get(name, 0) for name in (ScreenOutcome.POLICY, ScreenOutcome.NOT_ASSESSABLE)}
    return {**others, ScreenOutcome.CLEAR: sum(outcomes.values()) - sum(others.values())}


def pictures_run(hit: int = 0, near: int = 0, held: int = 0, clear: int = 1000, **changes: Any) -> Figures:
    """A run over pictures alone, one for each row, all compared by digest and by PDQ; whose books balance.

    `changes` are fields of `Figures`, or of its pictures.
    """
    rows = hit + near + held + clear
    own = {
        name: changes.pop(name) for name in [*changes] if name in PictureFigures.__dataclass_fields__ and name != "held"
    }
    signals = (Signal.MD5, Signal.PDQ)
    facts: dict[str, Any] = {
        "held": sum(own["fingerprint"].values()) if "fingerprint" in own else rows,
        "fingerprint": {FingerprintOutcome.FINGERPRINTED: rows},
        "too_plain": 0,
        "sandbox_level": "seccomp+landlock",
        "variant": "rgb",
        "radius_bits": {"alpha": 31},
        "quality_floor": 50,
    }
    simple: dict[str, Any] = {
        "reach": "local",
        "pictures": PictureFigures(**(facts | own)),
        "outcomes": {
            ScreenOutcome.HIT: hit,
            ScreenOutcome.NEAR_HIT: near,
            ScreenOutcome.HELD: held,
            ScreenOutcome.CLEAR: clear,
        },
        "rows": rows,
        "cleaned": {CleanOutcome.REMOVED: hit + near, CleanOutcome.KEPT: held + clear},
        "compared": tuple(Compared(f"picture ({s.value})", "alpha", s, rows) for s in signals),
        "hits_by_list": {"alpha": hit + near},
        "hits_by_signal": {(Signal.MD5, None): hit, (Signal.PDQ, None): near},
        "hits_uniques": Uniques(0, 0),
        "removable_uniques": Uniques(0, 0),
    }
    return run_with(**(simple | changes))


#: Names as an enemy would choose them: markup, control characters, escapes of a terminal, text direction, surrogates.
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[2J\x1b]8;;http://x.invalid\x07link",
    "line\nfeed\r\ttab\0",
    "right\u202eleft\u2066\u200b\ufeff",
    "half \ud800 pair",
    "</style></title><!--",
    "=cmd|' /C calc'!A0",
    "javascript:alert(1)//",
)

names = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40))


@st.composite
def any_figures(draw: st.DrawFn) -> Figures:
    """Runs of any size with names of any kind; every count that may vary does."""
    count = st.integers(0, 12) | st.integers(0, 10**7)
    hit = draw(count)
    figures = run_with(
        hit,
        draw(count) if hit else 0,
        draw(count) if hit else 0,
        draw(count),
        complete=draw(st.booleans()),
        dataset=draw(names),
        failed=tuple(FailedShard(draw(names), draw(names), draw(names)) for _ in range(draw(st.integers(0, 3)))),
        ignored=tuple(draw(st.lists(names, max_size=4))),
        noisy=tuple(NoisyEntry(draw(names), draw(st.integers(1, max(hit, 1)))) for _ in range(min(hit, 2))),
        values_held=draw(count),
        rounds=draw(st.integers(0, 9)),
        settings={draw(names): draw(names)},
    )
    name = draw(names)
    listed = replace(figures.lists[0], name=name, source=draw(names), purpose=draw(names), digest=draw(names))
    compared = (replace(figures.compared[0], list_name=name, values=draw(count)),)
    return replace(figures, lists=(listed,), compared=compared, hits_by_list={name: hit})
