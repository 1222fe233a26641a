"""Pictures too plain for PDQ are counted whatever a list says of their bytes, so that the count tells nothing of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.listing import read_back
from vetset.pipeline.pictures import Pictures, table_of
from vetset.records import Decoded, FingerprintOutcome, Fingerprints, MatchOutcome, Signal, View, ViewPrint
from vetset.stages.match import Matched, MatchSettings, match

QUALITIES = (10, 49, 50, 100)


def fingerprints() -> Fingerprints:
    """Four pictures: two too plain, and two that show enough."""
    prints = [ViewPrint(View.FIRST, quality, np.full((8, 32), quality, np.uint8)) for quality in QUALITIES]
    decoded = tuple(Decoded(row, FingerprintOutcome.FINGERPRINTED, (view,)) for row, view in enumerate(prints))
    digests = [hashlib.md5(str(quality).encode(), usedforsecurity=False).digest() for quality in QUALITIES]
    keys = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)
    return Fingerprints(np.arange(len(prints)), {Signal.MD5: keys}, decoded)


def matched(place: Path, listed: bytes) -> tuple[Matched, dict[str, int]]:
    hash_list = read_back(place, listed.hex(), signal=Signal.MD5)
    result = match(fingerprints(), [hash_list], MatchSettings(), shard_id="a")
    return result.onward, dict(result.tally)


def lines_of(onward: Matched, tally: dict[str, int]) -> pa.Table:
    result = Pictures(np.zeros(len(QUALITIES), np.uint8), comparisons=onward.compared, too_plain=onward.too_plain)
    result.match.update(tally)
    return table_of(result)


def test_the_count_in_clear_is_the_same_whether_a_plain_picture_is_listed_or_not(tmp_path: Path) -> None:
    listed = fingerprints().digests[Signal.MD5][0].tobytes()
    (tmp_path / "hit").mkdir()
    (tmp_path / "miss").mkdir()
    hit, hit_tally = matched(tmp_path / "hit", listed)
    miss, miss_tally = matched(tmp_path / "miss", bytes(range(16)))
    assert (hit_tally[MatchOutcome.HIT], hit_tally[MatchOutcome.TOO_PLAIN]) == (1, 1)
    assert miss_tally == {MatchOutcome.TOO_PLAIN: 2, MatchOutcome.CLEAR: 2}
    assert hit.too_plain == miss.too_plain == 2
    assert lines_of(hit, hit_tally) == lines_of(miss, miss_tally)
    assert {"what": "match", "name": "too_plain", "list": None, "signal": None, "pictures": 2} in lines_of(
        hit, hit_tally
    ).to_pylist()
