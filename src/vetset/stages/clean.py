"""Clean: which rows of a shard stay, from what was found and what the policy says. Doubt removes.

In it: the choice of rows and its books. Not in it: writing, which the dataset's own format does.
Rules: a row that was hit or expanded goes whatever else holds; a held row goes only if asked, or if the policy says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vetset.records import CleanOutcome, StageResult, Tally

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CleanSettings:
    """`remove_held` takes the rows of values that did not spread as well."""

    remove_held: bool = False


def clean(rows: int, *, found: I64, held: I64, by_policy: I64, settings: CleanSettings) -> StageResult[I64]:
    """The rows to leave out, ascending and distinct. `found` are hits and expanded rows; all are row numbers."""
    removed = np.union1d(found, held) if settings.remove_held else np.unique(found)
    policy_only = np.setdiff1d(by_policy, removed)
    out = np.union1d(removed, policy_only).astype(np.int64)
    tally = Tally(
        {
            CleanOutcome.KEPT.value: rows - len(out),
            CleanOutcome.REMOVED.value: len(removed),
            CleanOutcome.REMOVED_BY_POLICY.value: len(policy_only),
        }
    )
    return StageResult(out, Tally({outcome: count for outcome, count in tally.items() if count}))
