"""The commands around audits of pictures: what is refused, what is tried again, and what an incomplete run says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.driving import Place, Silent
from vetset.config import FingerprintSettings, ListSettings, MatchSettings, SandboxSettings
from vetset.errors import Stop
from vetset.records import Decoded, FingerprintOutcome
from vetset.sandbox.room import Sandbox
from vetset.testing.pictures import jpeg, picture
from vetset.testing.tars import SyntheticSample, write_tar_shard
from vetset.wiring import job


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    bodies = [jpeg(picture(number, width=96, height=96)) for number in range(4)]
    rows = [SyntheticSample(key=f"{n:09d}", body=body, url=f"https://a.example/{n}") for n, body in enumerate(bodies)]
    write_tar_shard(place.dataset, "00000", rows)
    place.list_of("bodies", {"md5": ["00" * 16], "pdq": ["5a" * 32]})
    return place


@pytest.fixture
def ailing(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The sandbox loses the pictures of these rows, until the set is emptied."""
    rows = {1, 3}
    whole = Sandbox.decode

    def decode(sandbox: Sandbox, pictures: list) -> Iterator[Decoded]:
        for answer in whole(sandbox, pictures):
            lost = answer.row in rows
            yield Decoded(answer.row, FingerprintOutcome.SANDBOX_DEATH) if lost else answer

    monkeypatch.setattr(Sandbox, "decode", decode)
    return rows


def test_lost_pictures_make_a_run_incomplete_and_are_tried_again(place: Place, ailing: set[int]) -> None:
    first = place.audit(reach="local")
    assert not first.complete
    assert any("sandbox_death" in line and "vetset retry" in line for line in first.lines)
    assert place.summary()["pictures"]["outcomes"]["sandbox_death"] == 2
    ailing.clear()
    request = place.request(reach="local", resume=True)
    again = job.go_on(request, Silent(), lambda: 0.0, until="clean", only=("sandbox_death",))
    assert again.complete
    assert place.summary()["pictures"]["outcomes"]["sandbox_death"] == 0
    assert place.summary()["complete"]


def test_other_outcomes_are_not_tried_again(place: Place, ailing: set[int]) -> None:
    place.audit(reach="local")
    request = place.request(reach="local", resume=True)
    left = job.go_on(request, Silent(), lambda: 0.0, until="clean", only=("internal_error",))
    assert any("nothing to try again" in line for line in left.lines)


def test_an_alarm_is_the_first_thing_that_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Sandbox.decode

    def decode(sandbox: Sandbox, pictures: list) -> Iterator[Decoded]:
        for answer in whole(sandbox, pictures):
            yield Decoded(answer.row, FingerprintOutcome.SANDBOX_ALARM) if answer.row == 2 else answer

    monkeypatch.setattr(Sandbox, "decode", decode)
    result = place.audit(reach="local")
    assert not result.complete
    assert "alarm" in place.summary()["sentences"][0].lower()


def test_a_resumed_run_must_reach_as_far_and_match_alike(place: Place) -> None:
    place.audit(reach="local")
    for other in ({"match": MatchSettings(radius_bits=20)}, {"fingerprint": FingerprintSettings(max_pixels=10)}):
        with pytest.raises(Stop, match="other settings"):
            place.audit(reach="local", resume=True, **other)


def test_what_confines_the_sandbox_is_no_other_run(place: Place) -> None:
    place.audit(reach="local")
    assert place.audit(reach="local", resume=True, sandbox=SandboxSettings(timeout_seconds=99)).complete


def test_the_luma_variant_marks_and_does_not_clean(place: Place) -> None:
    luma = FingerprintSettings(variant="luma")
    with pytest.raises(Stop, match="nothing is cleaned by it"):
        place.audit(reach="local", fingerprint=luma)
    assert place.audit(reach="local", fingerprint=luma, clean=None).complete
    assert place.summary()["pictures"]["variant"] == "luma"


def test_a_list_is_named_in_the_settings_by_its_own_name(place: Place) -> None:
    with pytest.raises(Stop, match="names no list of this run") as refused:
        place.audit(reach="local", lists_settings={"bodys": ListSettings(radius_bits=10)})
    assert "bodies" in refused.value.hint


def test_the_level_of_the_sandbox_stands_in_manifest_and_summary(place: Place) -> None:
    place.audit(reach="local")
    (path,) = (place.run / "manifests" / "match").glob("*.json")
    level = json.loads(path.read_text())["materials"]["sandbox"]
    assert level == place.summary()["pictures"]["sandbox"]
    assert level.startswith("seccomp")


def test_a_run_by_columns_has_no_pictures_to_match(tmp_path: Path) -> None:
    import pyarrow as pa

    place = Place(tmp_path)
    place.write({"a.parquet": pa.table({"url": ["https://a.example/1"]})})
    place.list_of("bodies", {"url": ["https://b.example/"]})
    place.audit()
    with pytest.raises(Stop, match="looks into no picture"):
        job.go_on(place.request(resume=True), Silent(), lambda: 0.0, until="match")
