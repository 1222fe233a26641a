"""The sentence about rows that a cleaning kept after all, because every reason to leave them out was refuted.

In it: that sentence. Not in it: how many they are, which no summary says: beside the rows found, it would tell how many
findings bodies refuted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def released(published: Mapping[str, Any]) -> Iterator[str]:
    """Nothing where no verdict was heeded."""
    removal = published["removal"] or {}
    if removal.get("released") == 0:
        yield "Verdicts of bodies were heeded: they released no row."
    elif "released" in removal:
        yield (
            "Verdicts of bodies were heeded: rows whose every reason was refuted by people, or withdrawn by its list, "
            "were kept; how many is not said, and so neither is how many were left out."
        )
