"""Tar shards of synthetic pictures with known plants, and the list that meets them.

In it: what is written, which rows must be found and as what, without any search. Not in it: an audit.
Rules: one shard lies in another's order and under other keys; keys, addresses and pictures follow from numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vetset import kernels
from vetset.records import ScreenOutcome
from vetset.testing.pictures import U8, jpeg, mirrored, picture, turned
from vetset.testing.tars import SyntheticSample, write_tar_shard

Place = tuple[str, int]

#: What becomes of a listed picture in the dataset, and what a row that holds it must be. The list knows its digest
#: only in the first case, and its PDQ in all others.
EDITS: Mapping[str, tuple[Callable[[U8], bytes], ScreenOutcome]] = {
    "exact": (lambda pixels: jpeg(pixels, quality=92), ScreenOutcome.HIT),
    "recompressed": (lambda pixels: jpeg(pixels, quality=45), ScreenOutcome.NEAR_HIT),
    "halved": (lambda pixels: jpeg(pixels[::2, ::2], quality=90), ScreenOutcome.NEAR_HIT),
    "turned": (lambda pixels: jpeg(turned(pixels, 1), quality=88), ScreenOutcome.NEAR_HIT),
    "mirrored": (lambda pixels: jpeg(mirrored(pixels), quality=88), ScreenOutcome.NEAR_HIT),
}


@dataclass(frozen=True, slots=True)
class PicturePlants:
    """The source of a list, the rows that must be found, and how many pictures there are in all."""

    source: Path
    expected: Mapping[Place, ScreenOutcome]
    pictures: int
    edits: Mapping[str, int]


def plant_pictures(dataset: Path, lists: Path, *, shards: int = 2, samples: int = 100, each: int = 3) -> PicturePlants:
    """Writes `shards` tars of `samples` pictures each; every edit of `EDITS` stands `each` times in every shard."""
    dataset.mkdir(parents=True)
    lists.mkdir(parents=True)
    listed = [picture(number) for number in range(each * len(EDITS))]
    expected: dict[Place, ScreenOutcome] = {}
    for shard in range(shards):
        rows = _samples(shard, samples, listed, each)
        path = write_tar_shard(dataset, f"{shard:05d}", [sample for sample, _ in rows])
        places = enumerate(outcome for _, outcome in rows)
        expected.update({(path.name, row): outcome for row, outcome in places if outcome is not None})
    return PicturePlants(
        source=_source(lists, listed, each),
        expected=expected,
        pictures=shards * samples,
        edits=dict.fromkeys(EDITS, shards * each),
    )


def _samples(
    shard: int, samples: int, listed: list[U8], each: int
) -> list[tuple[SyntheticSample, ScreenOutcome | None]]:
    edits = [(edit, number) for number, edit in enumerate(list(EDITS) * each)]
    step = samples // len(edits)
    planted = {(place * step + 3 * shard) % samples: edit for place, edit in enumerate(edits)}
    found: list[tuple[SyntheticSample, ScreenOutcome | None]] = []
    for row in range(samples):
        key = f"{shard:05d}{row:04d}"
        if row in planted:
            edit, number = planted[row]
            make, outcome = EDITS[edit]
            found.append((_sample(key, make(listed[number])), outcome))
        else:
            found.append((_sample(key, jpeg(picture(10_000 + shard * samples + row))), None))
    return found


def _sample(key: str, body: bytes) -> SyntheticSample:
    return SyntheticSample(key=key, body=body, url=f"https://pictures.example/{key}.jpg", caption=f"shapes {key}")


def _source(lists: Path, listed: list[U8], each: int) -> Path:
    """Digests and PDQ values as bodies hand them out: hex, a value a line behind the name of its signal."""
    lines = []
    for number, edit in enumerate(list(EDITS) * each):
        if edit == "exact":
            lines.append("md5 " + hashlib.md5(EDITS[edit][0](listed[number]), usedforsecurity=False).hexdigest())
        else:
            lines.append("pdq " + kernels.pdq(listed[number])[0][0].tobytes().hex())
    source = lists / "pictures.txt"
    source.write_text("\n".join(lines) + "\n")
    return source
