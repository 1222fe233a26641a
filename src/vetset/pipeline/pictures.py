"""The step `match`: the pictures that a shard holds are fingerprinted and compared, batch by batch, and forgotten.

In it: the two stages as one task, the addresses of what was found, and the small table of what came of the pictures.
Not in it: decoding (the sandbox), comparing (stages), which columns say what (`screen`).
Rules: a fingerprint lives only until its batch was matched; what is found is sealed when the shard is through; which
rows were compared by their picture is noted beside the joins, and says nothing about hits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vetset import kernels
from vetset.errors import ShardError, Trouble
from vetset.ports import Dataset, Decoder, FingerprintKind, HashList
from vetset.records import (
    Address,
    FingerprintOutcome,
    Fingerprints,
    Hit,
    MatchOutcome,
    Picture,
    ScreenOutcome,
    Sealed,
    Shard,
    Tally,
)
from vetset.stages.expand import SPREADING
from vetset.stages.fingerprint import fingerprint
from vetset.stages.match import PRINTS, Comparison, MatchSettings, match

U8 = npt.NDArray[np.uint8]

#: What a run is not complete with: no fact about the data, but something that went wrong here.
TROUBLES = frozenset(
    {FingerprintOutcome.SANDBOX_DEATH, FingerprintOutcome.SANDBOX_ALARM, FingerprintOutcome.INTERNAL_ERROR}
)


@dataclass(slots=True, repr=False)
class Pictures:
    """What came of a shard's pictures. `compared` marks the rows whose picture was compared with any list."""

    compared: U8
    fingerprint: Tally = field(default_factory=Tally)
    match: Tally = field(default_factory=Tally)
    comparisons: Counter[Comparison] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    oddities: Counter[str] = field(default_factory=Counter)
    too_plain: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Looking:
    """What it takes to look into pictures."""

    dataset: Dataset
    decoder: Decoder
    lists: Sequence[HashList]
    settings: MatchSettings
    kinds: Sequence[FingerprintKind] = ()
    kept: list[dict[str, object]] | None = None  # takes the digests of every picture, where they are asked for


def digests_of(prints: Fingerprints, place: int) -> dict[str, object]:
    """Everything that a later list or a platform could be asked about one picture, in hex; to be sealed."""
    views = prints.decoded[place].views
    other = [{name: value.hex() for name, value in view.other.items()} for view in views if view.other]
    return {
        **{signal.value: digests[place].tobytes().hex() for signal, digests in prints.digests.items()},
        "pdq": [[view.view.value, view.quality, view.pdq.tobytes().hex()] for view in views],
        **({"other": other} if other else {}),
    }


def match_pictures(looking: Looking, shard: Shard, rows: int) -> tuple[Pictures, list[Hit]]:
    """Fingerprints and matches every picture of a shard with `rows` rows; hits by ascending row, one for each row."""
    result = Pictures(np.zeros(rows, np.uint8))
    found: dict[int, list[Hit]] = {}
    for batch in looking.dataset.pictures(shard):
        for hit in _matched(looking, batch, shard, result):
            found.setdefault(hit.row, []).append(hit)
    result.oddities.update(looking.dataset.oddities(shard))
    hits = [merged(found[row]) for row in sorted(found)]
    return result, list(_with_addresses(hits, looking.dataset, shard))


def _matched(looking: Looking, batch: Sequence[Picture], shard: Shard, result: Pictures) -> Sequence[Hit]:
    if batch and not 0 <= batch[-1].row < len(result.compared):
        raise ShardError(Trouble.COUNTS_DISAGREE, "the shard holds pictures of more rows than it had when screened")
    printed = fingerprint(batch, looking.decoder)
    if looking.kept is not None:
        places = enumerate(printed.onward.rows.tolist())
        looking.kept.extend({"row": row, **digests_of(printed.onward, place)} for place, row in places)
    matched = match(printed.onward, looking.lists, looking.settings, shard_id=shard.id, kinds=looking.kinds)
    for rows in (printed.tally.rows(), matched.tally.rows() + matched.onward.not_compared):
        if rows != len(batch):
            raise ShardError(Trouble.BOOKS, f"{len(batch)} pictures went in, {rows} outcomes came out")
    result.fingerprint.update(printed.tally)
    result.match.update(matched.tally)
    result.comparisons.update(matched.onward.compared)
    result.modes.update(picture.stored.mode.value if picture.stored.mode else "unknown" for picture in batch)
    result.too_plain += matched.onward.too_plain
    result.compared[matched.onward.assessed] = 1
    return matched.onward.hits


def merged(hits: Sequence[Hit]) -> Hit:
    """The findings about one row as one: every reason, the weightier outcome."""
    first = hits[0]
    if len(hits) == 1:
        return first
    outcome = min((hit.outcome for hit in hits), key=list(ScreenOutcome).index)
    matches = tuple(reason for hit in hits for reason in hit.matches)
    noted = {name: value for hit in hits for name, value in hit.noted.items()}
    prints = [item for hit in hits for item in hit.noted.get(PRINTS, ())]
    return replace(first, outcome=outcome, matches=matches, noted=noted | ({PRINTS: prints} if prints else {}))


def _with_addresses(hits: Sequence[Hit], dataset: Dataset, shard: Shard) -> Iterator[Hit]:
    """The hits with what their rows record, read from the columns where they stand."""
    wanted = np.array([hit.row for hit in hits], np.int64)
    known: dict[int, Sealed[Address]] = {}
    if len(wanted):
        for batch in dataset.lookup(shard, wanted, frozenset(SPREADING)):
            rows = range(batch.first_row, batch.first_row + batch.rows)
            known.update(zip(rows, kernels.addresses(batch.values, range(batch.rows)), strict=True))
    for hit in hits:
        yield kernels.hit_at(hit, known[hit.row]) if hit.row in known else hit


# --- the small table ----------------------------------------------------------------------------------------------

SCHEMA = pa.schema(
    [
        ("what", pa.string()),  # compared, outcome, match, resize_mode, oddity
        ("name", pa.string()),
        ("list", pa.string()),
        ("signal", pa.string()),
        ("pictures", pa.int64()),
    ]
)


def table_of(result: Pictures) -> pa.Table:
    """Pictures compared by kind x list, by outcome, too plain ones, by resize mode; oddities of the shard."""
    lines = [
        {
            "what": "compared",
            "name": what.column,
            "list": what.list_name,
            "signal": what.signal.value,
            "pictures": count,
        }
        for what, count in sorted(result.comparisons.items(), key=lambda item: (item[0].column, item[0].list_name))
    ]
    facts: tuple[tuple[str, Mapping[str, int]], ...] = (
        ("outcome", result.fingerprint),
        ("match", _in_clear(result)),
        ("resize_mode", result.modes),
        ("oddity", result.oddities),
    )
    lines.extend(
        {"what": what, "name": name, "pictures": counts[name]} for what, counts in facts for name in sorted(counts)
    )
    return pa.Table.from_pylist(lines, schema=SCHEMA)


def _in_clear(result: Pictures) -> dict[str, int]:
    """Of match, only what says nothing about hits: not the outcomes, of which any tells of the others."""
    return {MatchOutcome.TOO_PLAIN.value: result.too_plain} if result.too_plain else {}


def shown(result: Pictures) -> dict[str, int]:
    """What a manifest may say of the pictures: facts about the data."""
    return result.fingerprint.in_order()
