"""Whole audits of tars of pictures against the slow oracle: planted copies, edits, turns, duplicates across shards."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from tests import picture_oracle as oracle
from tests.driving import Place
from vetset.errors import Stop
from vetset.testing.pictures import jpeg, mirrored, picture, turned
from vetset.testing.tars import SyntheticSample, write_tar_shard

EDITS = (
    lambda pixels: jpeg(pixels, quality=92),
    lambda pixels: jpeg(pixels, quality=40),
    lambda pixels: jpeg(pixels[::2, ::2]),
    lambda pixels: jpeg(turned(pixels, 1)),
    lambda pixels: jpeg(turned(pixels, 2)),
    lambda pixels: jpeg(turned(pixels, 3)),
    lambda pixels: jpeg(mirrored(pixels)),
    lambda pixels: jpeg(turned(mirrored(pixels), 1)),
)


def write_shards(place: Place, seed: int, *, shards: int = 3, samples: int = 14) -> dict[str, set[Any]]:
    """Tars in which listed pictures stand in every edit, harmless ones between them, and copies across shards."""
    chosen = random.Random(seed)
    listed = [picture(seed * 100 + number, width=160, height=120) for number in range(4)]
    lists: dict[str, set[Any]] = {"md5": {bytes(15) + b"\1"}, "sha256": set(), "pdq": set(), "url": set()}
    for number, pixels in enumerate(listed):
        exact = EDITS[0](pixels)
        if number == 0:
            lists["md5"].add(hashlib.md5(exact).digest())
        elif number == 1:
            lists["sha256"].add(hashlib.sha256(exact).digest())
        else:
            lists["pdq"].add(oracle.prints_of(jpeg(pixels, quality=100))[0][0])
    for shard in range(shards):
        rows = []
        for row in range(samples):
            key = f"{shard:05d}{row:04d}"
            planted = chosen.random() < 0.5
            body = chosen.choice(EDITS)(chosen.choice(listed)) if planted else jpeg(picture(900_000 + seed + row * 7))
            url = f"https://pictures.example/{chosen.randrange(20)}.jpg"
            rows.append(SyntheticSample(key=key, body=body, url=url, caption="shapes"))
        write_tar_shard(place.dataset, f"{shard:05d}", rows)
    return lists


def spelled(lists: dict[str, set[Any]]) -> dict[str, list[str]]:
    return {
        name: sorted(value if isinstance(value, str) else value.hex() for value in values)
        for name, values in lists.items()
    }


def everything(place: Place) -> list[oracle.Sample]:
    return [sample for path in sorted(place.dataset.glob("*.tar")) for sample in oracle.samples_of(path)]


@pytest.mark.parametrize("seed", range(6))
def test_the_removed_set_is_the_oracles(tmp_path: Path, seed: int) -> None:
    place = Place(tmp_path)
    lists = write_shards(place, seed)
    place.list_of("bodies", spelled(lists))
    place.audit(reach="local", spread_limit=8)
    samples = everything(place)
    wanted = oracle.outcomes(samples, [lists], limit=8)
    assert {"near_hit", "clear"} <= set(wanted)
    for shard in sorted(path.name for path in place.dataset.glob("*.tar")):
        own = [(sample, what) for sample, what in zip(samples, wanted, strict=True) if sample["shard"] == shard]
        kept = [sample["members"] for sample, what in own if what in {"clear", "held"}]
        assert [sample["members"] for sample in oracle.samples_of(place.cleaned / shard)] == kept


def test_one_entry_near_to_too_many_rows_holds_them_and_an_exact_hit_still_goes(tmp_path: Path) -> None:
    place = Place(tmp_path)
    pixels = picture(1, width=160, height=120)
    bodies = [jpeg(pixels, quality=60 + number) for number in range(6)]
    rows = [SyntheticSample(key=f"{n:09d}", body=body, url=f"https://a.example/{n}") for n, body in enumerate(bodies)]
    write_tar_shard(place.dataset, "00000", rows)
    lists = {"md5": {hashlib.md5(bodies[0]).digest()}, "pdq": {oracle.prints_of(bodies[3])[0][0]}}
    place.list_of("bodies", spelled(lists))
    place.audit(reach="local", spread_limit=3)
    kept = [sample["key"] for sample in oracle.samples_of(place.cleaned / "00000.tar")]
    assert kept == [f"{number:09d}" for number in range(1, 6)]
    assert place.held() == {("00000.tar", number) for number in range(1, 6)}


def test_a_run_that_does_not_reach_pictures_opens_none(tmp_path: Path) -> None:
    place = Place(tmp_path)
    lists = write_shards(place, 1, shards=1)
    place.list_of("bodies", spelled(lists))
    with pytest.raises(Stop, match="opens none") as refused:
        place.audit()
    assert "--reach local" in refused.value.hint


def test_findings_tell_the_view_and_the_distance_only_in_the_vault(tmp_path: Path) -> None:
    place = Place(tmp_path)
    lists = write_shards(place, 2)
    place.list_of("bodies", spelled(lists))
    place.audit(reach="local")
    near = [line for line in place.findings() if line["outcome"] == "near_hit"]
    assert near
    assert all(match["near"]["distance"] <= oracle.RADIUS_BITS for line in near for match in line["matches"])
    shown = (place.run / "summary.json").read_text() + (place.run / "summary.html").read_text()
    for line in near:
        assert line["url"] not in shown
        assert all(match["key"] not in shown for match in line["matches"])
