"""The sentences of a summary that depend on whether bodies were asked, and what their verdicts did to the rows.

In it: those sentences. Not in it: how many findings are confirmed or refuted, and how many rows were kept after all,
which no summary says: beside the rows found, it would tell how many findings bodies refuted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def were_asked(published: Mapping[str, Any]) -> bool:
    """Whether the cleaning heeded verdicts."""
    return "released" in (published["removal"] or {})


def unconfirmed(published: Mapping[str, Any]) -> str:
    """What a match is as long as no verdict stands beside it."""
    if were_asked(published):
        return (
            "A match is what a list says of a value. Verdicts were sought after it; they are sealed with the findings, "
            "and this summary counts none."
        )
    return "None of them is confirmed: this run sought no verdict, and a match is what a list says of a value."


def reached(published: Mapping[str, Any]) -> str:
    """What left the machine where pictures in hand were looked into."""
    if were_asked(published):
        return "The audit fetched nothing and sent nothing; bodies were asked after it."
    return "Nothing was fetched and nothing was sent."


def released(published: Mapping[str, Any]) -> Iterator[str]:
    """Nothing where no verdict was heeded."""
    removal = published["removal"] or {}
    if removal.get("released") == 0:
        yield "Verdicts of bodies were heeded: they released no row."
    elif were_asked(published):
        yield (
            "Verdicts of bodies were heeded: rows whose every reason was refuted by people, or withdrawn by its list, "
            "were kept; how many is not said, and so neither is how many were left out."
        )
