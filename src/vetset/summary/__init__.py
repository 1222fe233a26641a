"""The summary of a run: `summary.json` and `summary.html`, from exact figures that are never published themselves.

In it: which counts may be shown (`suppression`), the document (`publication`), its sentences (`wording`, and
`asking` for what was fetched), its page (`page`). Not in it: adding up the figures (`pipeline`), and writing files (the
ledger's sink).
Rules: pure functions; everything after `publish` sees only what is published; nothing of a row or of a list entry is
here; a sentence that denies or claims a match names the lists, their versions, and what was assessed.
"""

from vetset.summary.figures import (
    Compared,
    FailedShard,
    FetchFigures,
    Figures,
    ListFigures,
    NoisyEntry,
    PictureFigures,
    StratumFigures,
    Uniques,
    Unusable,
)
from vetset.summary.page import to_html
from vetset.summary.publication import SCHEMA, publish, to_json

__all__ = [
    "SCHEMA",
    "Compared",
    "FailedShard",
    "FetchFigures",
    "Figures",
    "ListFigures",
    "NoisyEntry",
    "PictureFigures",
    "StratumFigures",
    "Uniques",
    "Unusable",
    "publish",
    "to_html",
    "to_json",
]
