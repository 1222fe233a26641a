"""The summary as one HTML file, from what is published.

In it: the template's environment and the few shapes that a page needs and JSON does not. Not in it: figures, words of
the result (`wording`), style and structure (`templates/summary.html.j2`).
Rules: one file, no script, no picture, no link and no request to anywhere (parts 6); autoescape is on and an undefined
name is an error; readable without colour, on a phone and on paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from vetset.summary import asking, wording

MAX_NAMES_SHOWN = 50


def to_html(published: Mapping[str, Any]) -> bytes:
    """The page, UTF-8."""
    page = _template().render(
        summary=published,
        when=wording.when(published),
        matrix=_matrix(published["compared"]),
        picture_outcomes=tuple(wording.PICTURE_OUTCOMES.items()),
        fetch_outcomes=tuple(asking.FETCH_OUTCOMES.items()),
        names_shown=MAX_NAMES_SHOWN,
    )
    return page.encode("utf-8")


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("vetset", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["amount"] = wording.amount
    return environment.get_template("summary.html.j2")


def _matrix(compared: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Values compared as column and signal x list; None where the two never meet."""
    lists = sorted({item["list"] for item in compared})
    counts = {(item["column"], item["signal"], item["list"]): item["values"] for item in compared}
    lines = sorted({(item["column"], item["signal"]) for item in compared})
    return {
        "lists": lists,
        "lines": [
            {"column": column, "signal": signal, "values": [counts.get((column, signal, name)) for name in lists]}
            for column, signal in lines
        ],
    }
