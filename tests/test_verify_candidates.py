"""A platform in place of a list: fingerprints kept, asked about, and what is met found, sealed and cleaned like any hit."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.canaries import files_below, leaks
from tests.commanding import MEMORY
from tests.driving import Place, Silent
from tests.faults import Killed
from tests.settling import Settled
from vetset.errors import Stop
from vetset.hashlists.compiled import map_list, open_list
from vetset.pipeline.candidates import candidates_of
from vetset.records import Ruling, ScreenOutcome, Verdict
from vetset.testing.judges import SHIELDLIKE, MemoryBodies, MemoryPlatform
from vetset.testing.picture_plants import PicturePlants, plant_pictures
from vetset.vault import Vault, read_identities
from vetset.wiring import job
from vetset.wiring.detecting import detect
from vetset.wiring.job import Result
from vetset.wiring.verdicts import held_run


@pytest.fixture
def made(audited: tuple[Settled, PicturePlants]) -> Iterator[tuple[Settled, PicturePlants]]:
    """A copy of the audited place under its own path."""
    root = audited[0].place.root
    aside = root.with_name("aside")
    shutil.copytree(root, aside)
    audited[0].said.clear()
    yield audited
    shutil.rmtree(root)
    aside.rename(root)


@pytest.fixture(scope="module")
def audited() -> Iterator[tuple[Settled, PicturePlants]]:
    """Tars audited without a list; what would be on one is known to the test alone."""
    with tempfile.TemporaryDirectory(prefix="vetset-test-", dir=MEMORY) as name:
        place = Place(Path(name) / "made")
        plants = plant_pictures(place.dataset, place.root / "sources", shards=2, samples=15, each=2)
        result = place.audit(reach="local", keep_digests=True, clean=None)
        assert result.complete
        assert "compared with nothing, for want of a list" in result.lines[-2]
        yield Settled(place), plants


def platform_for(
    settled: Settled, plants: PicturePlants, ruling: Ruling = Ruling.CSAM, **changes: Any
) -> MemoryPlatform:
    """Knows the fingerprints of the planted rows, whatever became of them."""
    rows = {(shard, row) for shard, row in plants.expected}
    known: dict[bytes, Verdict] = {}
    with held_run(settled.place.run, (), settled.place.config) as held:
        digests = Vault(held.ledger.sink, held.keys, held.known["recipients"], held.identities, folder="digests")
        for shard in held.shards:
            for line in digests.lines("match", shard.id):
                if (shard.path, line["row"]) in rows:
                    for _, _, orientations in line["pdq"]:
                        known[bytes.fromhex(orientations)[:32]] = Verdict(ruling, ("m1",))
    return MemoryPlatform(known, replace(SHIELDLIKE, **changes))


def asked(settled: Settled, platform: MemoryPlatform, target: str = "met.vsl", **changes: Any) -> Result:
    request = settled.request("judge", **changes)
    return detect(request, settled.place.root / target, MemoryBodies({"judge": platform}))


def test_what_a_platform_meets_is_found_sealed_and_cleaned_like_any_other_hit(
    made: tuple[Settled, PicturePlants],
) -> None:
    settled, plants = made
    asked(settled, platform_for(settled, plants))
    found = Place(settled.place.root / "second")
    found.root.mkdir()
    (found.root / "dataset").symlink_to(settled.place.dataset, target_is_directory=True)
    found.lists.append(settled.place.root / "met.vsl")
    from vetset.vault import custodian

    (found.root / "config").mkdir()
    (settled.place.config / "custodian.key").rename(found.config / "custodian.key")
    custodian(found.config, create=False)
    found.audit(reach="local", dataset=str(settled.place.dataset))
    assert found.outcomes() == dict.fromkeys(plants.expected, ScreenOutcome.HIT.value)
    summary = found.summary()
    assert summary["removal"]["removed"] == len(plants.expected)
    assert summary["removal"]["kept"] == plants.pictures - len(plants.expected)
    assert summary["hits"]["by_list"][0]["list"] == "judge"


def test_each_fingerprint_is_asked_once_and_nothing_without_live(made: tuple[Settled, PicturePlants]) -> None:
    settled, plants = made
    platform = platform_for(settled, plants)
    assert asked(settled, platform, live=False).lines == ("nothing was sent; --live sends",)
    assert platform.asked == []
    asked(settled, platform)
    every = [item for request in platform.asked for item in request]
    assert len(every) == len(set(every))
    assert settled.said[0].startswith(f"{plants.pictures} pictures with {len(every)} different fingerprints")


def test_a_sandbox_makes_a_list_of_its_own_name_and_spares_the_platform_nothing(
    made: tuple[Settled, PicturePlants],
) -> None:
    settled, plants = made
    sandbox, platform = platform_for(settled, plants, live=False), platform_for(settled, plants, Ruling.NO_MATCH)
    asked(settled, sandbox)
    fd = open_list(
        settled.place.root / "met.vsl", read_identities([settled.place.config / "custodian.key"]), today=None
    )
    with os.fdopen(fd):
        assert map_list(fd).ref.name == "judge-sandbox"
    result = asked(settled, platform, target="other.vsl")
    assert "the platform met none of them" in result.lines[0]
    assert sorted(chain(*platform.asked)) == sorted(chain(*sandbox.asked))


def test_a_run_without_a_list_does_not_look_like_one_that_found_nothing(made: tuple[Settled, PicturePlants]) -> None:
    settled, _ = made
    assert not (settled.place.run / "summary.json").exists()
    with pytest.raises(Stop, match="has no list, and so no case"):
        settled.verify({"judge": MemoryPlatform()})


def test_nothing_met_makes_no_list(made: tuple[Settled, PicturePlants]) -> None:
    settled, _ = made
    result = asked(settled, MemoryPlatform())
    assert "nothing is clear" in result.lines[0]
    assert not (settled.place.root / "met.vsl").exists()


@pytest.mark.parametrize("ruling", [Ruling.TEST, Ruling.UNREACHABLE, Ruling.NO_MATCH])
def test_other_words_find_nothing(made: tuple[Settled, PicturePlants], ruling: Ruling) -> None:
    settled, plants = made
    asked(settled, platform_for(settled, plants, ruling))
    assert not (settled.place.root / "met.vsl").exists()


def test_killed_in_the_middle_only_one_batch_is_asked_again(made: tuple[Settled, PicturePlants]) -> None:
    settled, plants = made
    platform = platform_for(settled, plants, batch=4)

    class Dying(MemoryPlatform):
        def judge(self, questions: Any) -> Any:
            answers = super().judge(questions)
            if len(self.asked) == 3:
                raise Killed
            return answers

    dying = Dying(platform.verdicts, platform.abilities)
    with pytest.raises(Killed):
        asked(settled, dying)
    asked(settled, platform)
    every = [item for request in (*dying.asked, *platform.asked) for item in request]
    assert len(every) - len(set(every)) <= 4
    assert (settled.place.root / "met.vsl").is_file()


def test_kept_fingerprints_and_what_was_met_are_sealed(made: tuple[Settled, PicturePlants]) -> None:
    settled, plants = made
    platform = platform_for(settled, plants)
    asked(settled, platform)
    prints = [item.hex() for item in platform.verdicts]
    with held_run(settled.place.run, (), settled.place.config) as held:
        digests = Vault(held.ledger.sink, held.keys, held.known["recipients"], held.identities, folder="digests")
        found = candidates_of(held.ledger, digests, held.keys.case_key, 50)
    files = {digest.hex() for digests in found.files.values() for digest in digests}
    assert len(files) == len({item for names in found.files.values() for item in names}) >= 20
    written = [*files_below(settled.place.run), ("met.vsl", (settled.place.root / "met.vsl").read_bytes())]
    assert leaks(written, [*prints, *files]) == []


def test_what_cannot_be_is_refused(made: tuple[Settled, PicturePlants]) -> None:
    settled, _ = made
    place = settled.place
    with pytest.raises(Stop, match="without a list nothing is found"):
        place.audit(reach="local", keep_digests=True, run=place.root / "other")
    with pytest.raises(Stop, match="without a list nothing is found"):
        job.clean(place.request(lists=(), reach="local", keep_digests=True, resume=True), Silent(), lambda: 0.0)
    with pytest.raises(Stop, match="keeps those of pictures"):
        place.audit(keep_digests=True, clean=None, run=place.root / "other")
    with pytest.raises(Stop, match="no list to compare with"):
        place.audit(reach="local", clean=None, run=place.root / "other")
    (place.root / "met.vsl").write_text(json.dumps({}), "utf-8")
    with pytest.raises(Stop, match="makes a new list"):
        asked(settled, MemoryPlatform())
    with pytest.raises(Stop, match="asks one platform"):
        detect(settled.request("a", "b"), place.root / "new.vsl", MemoryBodies({}))
