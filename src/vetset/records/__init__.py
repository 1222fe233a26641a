"""The records that pass between the parts, all under one name: frozen data, closed enums, and `Sealed`.

In it: `value`, `row`, `picture`, `request`, `outcome`, `finding`, `verdict`, `exhibit`, `task`.
Not in it: rules, files, clocks, randomness.
"""

from vetset.records.exhibit import Case, Exhibit
from vetset.records.finding import Address, Borne, Hit, ListEntry, ListRef, Match, Nearness
from vetset.records.outcome import ASSESSED, CleanOutcome, MatchOutcome, ScreenOutcome, Tally, merged, total
from vetset.records.picture import (
    Decoded,
    FingerprintOutcome,
    Fingerprints,
    Picture,
    ResizeMode,
    Stored,
    View,
    ViewPrint,
)
from vetset.records.request import FETCH_TROUBLES, Answer, Asking, FetchOutcome, Request
from vetset.records.row import Reach, RowBatch, Shard, ShardFacts
from vetset.records.task import StageResult, Task, TaskReport
from vetset.records.value import (
    DIGEST_COLUMNS,
    URL_ALGORITHM,
    WIDTH_BYTES,
    Column,
    Sealed,
    SealedBatch,
    Signal,
    UrlForm,
)
from vetset.records.verdict import Abilities, Letter, Question, Receipt, Ruling, Verdict

__all__ = [
    "ASSESSED",
    "DIGEST_COLUMNS",
    "FETCH_TROUBLES",
    "URL_ALGORITHM",
    "WIDTH_BYTES",
    "Abilities",
    "Address",
    "Answer",
    "Asking",
    "Borne",
    "Case",
    "CleanOutcome",
    "Column",
    "Decoded",
    "Exhibit",
    "FetchOutcome",
    "FingerprintOutcome",
    "Fingerprints",
    "Hit",
    "Letter",
    "ListEntry",
    "ListRef",
    "Match",
    "MatchOutcome",
    "Nearness",
    "Picture",
    "Question",
    "Reach",
    "Receipt",
    "Request",
    "ResizeMode",
    "RowBatch",
    "Ruling",
    "ScreenOutcome",
    "Sealed",
    "SealedBatch",
    "Shard",
    "ShardFacts",
    "Signal",
    "StageResult",
    "Stored",
    "Tally",
    "Task",
    "TaskReport",
    "UrlForm",
    "Verdict",
    "View",
    "ViewPrint",
    "merged",
    "total",
]
