"""Bundles and verdict files: what a body is given, what of its answer is refused, and what people's words do."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.canaries import files_below, leaks
from tests.commanding import MEMORY
from tests.driving import Place
from tests.settling import Settled, answer_to
from vetset.errors import Stop
from vetset.testing.judges import MemoryPlatform
from vetset.vault import age
from vetset.wiring import verdicts


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def url(name: str) -> str:
    return f"https://{name}.bundled.example/"


#: Two rows of one listed picture, one hit by URL, a row that shares the first one's digest, a row that shares only an
#: address with it and records another digest, and harmless ones.
ROWS = [
    (url("one"), md5("bad")),
    (url("two"), md5("bad")),
    (url("listed"), md5("by address")),
    (url("mirror"), md5("bad")),
    (url("one"), md5("another picture")),
    *((url(f"harmless{number}"), md5(f"harmless{number}")) for number in range(20)),
]


@pytest.fixture
def settled() -> Iterator[Settled]:
    with tempfile.TemporaryDirectory(prefix="vetset-test-", dir=MEMORY) as name:
        place = Place(Path(name))
        urls, digests = zip(*ROWS, strict=True)
        place.write({"a.parquet": pa.table({"url": urls, "md5": digests})})
        place.list_of("made up", {"md5": [md5("bad")], "url": [url("listed")]})
        place.audit()
        yield Settled(place)


IDENTITY = age.new_identity()
BODY = age.recipient_of(IDENTITY)


def bundled(settled: Settled, name: str = "bundle", body: str = "hotline", parties: int = 1) -> Path:
    out = settled.place.root / name
    verdicts.verify_by_bundle(settled.request(parties=parties), out, [BODY], body)
    return out


def opened(out: Path) -> list[dict[str, Any]]:
    text = age.decrypt((out / "cases.age").read_bytes(), [IDENTITY]).decode("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def pictures(out: Path) -> list[dict[str, Any]]:
    return [line for line in opened(out) if "picture" in line]


def with_digest(out: Path, text: str) -> str:
    """The picture of a bundle that records a digest."""
    found = [line["picture"] for line in pictures(out) if {"md5": md5(text)} in line["recorded"]]
    assert len(found) == 1
    return str(found[0])


def read_back(settled: Settled, text: str, name: str = "answer.jsonl") -> Any:
    path = settled.place.root / name
    path.write_text(text, "utf-8")
    return verdicts.read_verdicts(settled.request(), path)


# --- out --------------------------------------------------------------------------------------------------------------


def test_a_bundle_holds_every_open_case_once_by_picture(settled: Settled) -> None:
    out = bundled(settled)
    found = pictures(out)
    urls = {line["picture"]: sorted(line["urls"]) for line in found}
    assert sorted(urls.values()) == sorted([
        sorted([url("one"), url("two"), url("mirror")]), [url("listed")], [url("one")],
    ])  # fmt: skip
    by_digest = next(line for line in found if {"md5": md5("bad")} in line["recorded"])
    assert [entry["list"] for entry in by_digest["entries"]] == ["made up"]
    assert len(by_digest["cases"]) == 3
    assert len({case["case"] for line in found for case in line["cases"]}) == 5
    assert settled.states() == Counter(sent=5)


def test_only_the_body_can_open_it_and_nothing_stands_in_clear(settled: Settled) -> None:
    out = bundled(settled)
    canaries = [url(name) for name in ("one", "two", "listed", "mirror")] + [md5("bad"), md5("by address")]
    outside = [(name, data) for name, data in files_below(out) if not name.endswith("cases.age")]
    assert len(outside) == 2
    assert leaks(outside, canaries) == []
    assert leaks([("sealed", (out / "cases.age").read_bytes())], canaries) == []
    with pytest.raises(age.NoIdentityFits):
        age.decrypt((out / "cases.age").read_bytes(), [age.new_identity()])
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    assert manifest["sha256"] == hashlib.sha256((out / "cases.age").read_bytes()).hexdigest()
    assert set(manifest) == {"schema", "bundle", "body", "made", "file", "sha256"}
    size = len(age.decrypt((out / "cases.age").read_bytes(), [IDENTITY]))
    assert size == 64 * 1024  # padded: its size tells no count


def test_a_bundle_goes_into_a_new_folder_outside_the_run(settled: Settled) -> None:
    out = bundled(settled)
    request = settled.request()
    with pytest.raises(Stop, match="not an empty folder"):
        verdicts.verify_by_bundle(request, out, [BODY], "hotline")
    with pytest.raises(Stop, match="inside RUN"):
        verdicts.verify_by_bundle(request, settled.place.run / "bundle", [BODY], "hotline")
    with pytest.raises(Stop, match="sealed to a body's key"):
        verdicts.verify_by_bundle(request, settled.place.root / "other", [], "hotline")
    with pytest.raises(Stop, match="none that age knows"):
        verdicts.verify_by_bundle(request, settled.place.root / "other", ["age1nobody"], "hotline")


def test_hits_that_were_not_followed_yet_are_not_bundled(settled: Settled) -> None:
    shutil.rmtree(settled.place.run / "manifests" / "expand")
    with pytest.raises(Stop, match="not followed to the rows that share their values yet"):
        bundled(settled)
    settled.place.audit(resume=True)
    bundled(settled)


def test_a_run_by_columns_has_no_fingerprint_for_a_platform(settled: Settled) -> None:
    platform = MemoryPlatform()
    settled.verify({"judge": platform})
    assert platform.asked == []
    assert "  3 pictures have no fingerprint that it takes: a --bundle needs none" in settled.said
    assert settled.states() == Counter(unverified=5)


# --- back -------------------------------------------------------------------------------------------------------------


def test_peoples_words_settle_the_cases_they_name(settled: Settled) -> None:
    out = bundled(settled)
    rulings = {with_digest(out, "bad"): "csam", with_digest(out, "by address"): "harmful"}
    result = read_back(settled, answer_to(out, IDENTITY, rulings))
    assert result.lines[0] == "2 verdicts of 3 pictures asked, by hotline on 2026-11-30"
    assert settled.states() == Counter(confirmed=3, harmful_not_illegal=1, sent=1)


def test_the_same_file_again_changes_nothing(settled: Settled) -> None:
    out = bundled(settled)
    text = answer_to(out, IDENTITY, {with_digest(out, "bad"): "csam"})
    read_back(settled, text)
    lines = len(settled.book().journal.lines)
    read_back(settled, text)
    assert len(settled.book().journal.lines) == lines


def test_a_second_answer_may_add_what_the_first_left_out(settled: Settled) -> None:
    out = bundled(settled)
    read_back(settled, answer_to(out, IDENTITY, {with_digest(out, "bad"): "no_match"}))
    assert settled.states() == Counter(undecided=3, sent=2)
    read_back(settled, answer_to(out, IDENTITY, {with_digest(out, "bad"): "csam"}))
    assert settled.states() == Counter(confirmed=3, sent=2)


def test_a_body_and_a_bundle_of_another_are_two_parties(settled: Settled) -> None:
    for body in ("hotline", "other body"):
        out = bundled(settled, name=body, body=body, parties=2)
        read_back(settled, answer_to(out, IDENTITY, {with_digest(out, "bad"): "csam"}), f"{body}.jsonl")
    assert settled.states() == Counter(confirmed=3, sent=2)


FLAWS: dict[str, tuple[Callable[[str], str], str]] = {
    "another bundle": (lambda text: text.replace('"bundle": "', '"bundle": "0'), "answers no bundle of this run"),
    "another digest": (lambda text: text.replace('"sha256": "', '"sha256": "0'), "line 1: its sha256 is not that"),
    "another seal": (lambda text: text.replace('"seal": "', '"seal": "0'), "line 1: its seal is not that"),
    "another body": (lambda text: text.replace("hotline", "hotlime"), "line 1: its body is not that"),
    "nobody": (lambda text: text.replace('"by": "an analyst"', '"by": " "'), "line 1: it does not say by"),
    "no date": (lambda text: text.replace("2026-11-30", "30.11.2026"), "line 1: its date is none"),
    "another schema": (lambda text: text.replace("vetset/verdicts/1", "x"), "line 1: no head of a verdict file"),
    "an unknown picture": (lambda text: text.replace('{"picture": "', '{"picture": "0'), "line 2: no picture of the"),
    "an unknown ruling": (lambda text: text.replace('"csam"', '"guilty"'), "line 2: no ruling"),
    "a picture twice": (lambda text: text + text.splitlines()[-1] + "\n", "line 3: a picture that was judged above"),
    "more than a ruling": (lambda text: text.replace('"csam"', '"csam", "note": "x"'), "line 2: no ruling"),
    "no JSON": (lambda text: text + "csam\n", "line 3: no JSON"),
    "a list": (lambda text: text + "[]\n", "line 3: no JSON object"),
    "nothing": (lambda _: "", "does not say bundle"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_one_flaw_refuses_a_verdict_file_whole(settled: Settled, flaw: str) -> None:
    change, words = FLAWS[flaw]
    out = bundled(settled)
    whole = answer_to(out, IDENTITY, {with_digest(out, "bad"): "csam"})
    text = change(whole)
    assert text != whole
    with pytest.raises(Stop) as stopped:
        read_back(settled, text)
    assert words in stopped.value.message
    assert not leaks([("message", stopped.value.message.encode())], [with_digest(out, "bad"), url("one")])
    assert settled.states() == Counter(sent=5)


def test_a_missing_file_is_said(settled: Settled) -> None:
    bundled(settled)
    with pytest.raises(Stop, match="cannot read"):
        verdicts.read_verdicts(settled.request(), settled.place.root / "nothing")


# --- what is refuted --------------------------------------------------------------------------------------------------


def kept_rows(settled: Settled, name: str) -> set[int]:
    """The rows of the dataset that a cleaning kept, by place."""
    from dataclasses import replace

    from tests.driving import Silent
    from vetset.wiring import job

    folder = settled.place.root / name
    request = replace(settled.place.request(resume=True), clean=folder)
    job.clean(request, Silent(), lambda: 0.0)
    left = [(row["url"], row["md5"]) for row in pq.read_table(folder / "a.parquet").to_pylist()]
    return {number for number, row in enumerate(ROWS) if row in left}


HARMLESS = set(range(5, len(ROWS)))


def test_a_refuted_row_is_kept_by_the_next_cleaning_with_a_trace(settled: Settled) -> None:
    assert kept_rows(settled, "before") == HARMLESS
    out = bundled(settled)
    read_back(settled, answer_to(out, IDENTITY, {with_digest(out, "by address"): "refuted"}))
    assert kept_rows(settled, "after") == HARMLESS | {2}
    vault, known = settled.place.vault()
    (line,) = vault.lines("released", known["inputs"][0]["id"])
    case = next(c for e in settled.exhibits() for c in e.cases if c.row == 2)
    assert line == {"row": 2, "case": case.id, "state": "refuted"}


def test_rows_that_only_shared_a_value_come_back_with_the_last_that_stood(settled: Settled) -> None:
    out = bundled(settled)
    read_back(settled, answer_to(out, IDENTITY, {with_digest(out, "bad"): "refuted"}))
    assert kept_rows(settled, "after") == HARMLESS | {0, 1, 3, 4}  # row 4 only shared the address of row 0


def test_a_row_that_a_body_accuses_stays_out_and_holds_what_shares_its_address(settled: Settled) -> None:
    out = bundled(settled)
    rulings = {with_digest(out, "bad"): "refuted", with_digest(out, "another picture"): "csam"}
    read_back(settled, answer_to(out, IDENTITY, rulings))
    assert kept_rows(settled, "after") == HARMLESS | {1, 3}  # row 0 is at the address of what is accused


@pytest.mark.parametrize("ruling", ["csam", "harmful", "no_match", "unreachable", "test"])
def test_no_other_ruling_releases_a_row(settled: Settled, ruling: str) -> None:
    out = bundled(settled)
    read_back(settled, answer_to(out, IDENTITY, {line["picture"]: ruling for line in pictures(out)}))
    assert kept_rows(settled, "after") == HARMLESS


def test_what_another_body_confirmed_a_refutation_does_not_free(settled: Settled) -> None:
    outs = {body: bundled(settled, name=body, body=body) for body in ("hotline", "other")}
    for body, ruling in (("hotline", "refuted"), ("other", "csam")):
        text = answer_to(outs[body], IDENTITY, {with_digest(outs[body], "bad"): ruling})
        read_back(settled, text, f"{body}.jsonl")
        expected = {"refuted": HARMLESS | {0, 1, 3, 4}, "csam": HARMLESS}[ruling]
        assert kept_rows(settled, f"after {body}") == expected


def test_the_same_folder_is_cleaned_anew_once_verdicts_came(settled: Settled) -> None:
    assert kept_rows(settled, "cleaned") == HARMLESS
    out = bundled(settled)
    read_back(settled, answer_to(out, IDENTITY, {with_digest(out, "by address"): "refuted"}))
    assert kept_rows(settled, "cleaned") == HARMLESS | {2}


def test_the_summary_says_that_verdicts_were_heeded_and_not_how_many_rows_that_freed(settled: Settled) -> None:
    out = bundled(settled)
    kept_rows(settled, "asked")
    removal = settled.place.summary()["removal"]
    assert removal["released"] == 0
    assert isinstance(removal["kept"], int | str | dict)
    read_back(settled, answer_to(out, IDENTITY, {with_digest(out, "by address"): "refuted"}))
    kept_rows(settled, "after")
    summary = settled.place.summary()
    assert summary["removal"] == dict.fromkeys(("kept", "removed", "removed_by_policy", "released"), "withheld")
    assert any("Verdicts of bodies were heeded" in line for line in summary["sentences"])
    assert summary["hits"]["verified"] is False
