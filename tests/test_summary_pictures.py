"""The summary of a run that opened pictures: what became of them, near matches, and that neither says too much."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.summaries import HOSTILE, figures_of, pictures_run, run_with
from tests.test_summary_page import check_self_contained, read
from tests.test_summary_wording import NEVER
from vetset.datasets.printable import printable
from vetset.records import CleanOutcome, FingerprintOutcome, Signal
from vetset.summary import Compared, Figures, Uniques, publish, to_html, to_json

DONE = {FingerprintOutcome.FINGERPRINTED: 900}


def sentences(figures: Figures) -> list[str]:
    said: list[str] = publish(figures)["sentences"]
    return said


def said(figures: Figures) -> str:
    return " ".join(sentences(figures))


def with_outcome(outcome: FingerprintOutcome, count: int, **changes: Any) -> Figures:
    return pictures_run(clear=900 + count, fingerprint={**DONE, outcome: count}, **changes)


counts = st.integers(0, 9) | st.integers(0, 10**6)


@st.composite
def runs(draw: st.DrawFn) -> Figures:
    fingerprint = {outcome: draw(counts) for outcome in FingerprintOutcome}
    return pictures_run(
        draw(counts),
        draw(counts),
        draw(counts),
        draw(counts),
        fingerprint=fingerprint,
        too_plain=draw(st.integers(0, sum(fingerprint.values()))),
        sandbox_level=draw(st.sampled_from(["", "none", "limits", "seccomp", "seccomp+landlock"])),
        variant=draw(st.sampled_from(["rgb", "luma"])),
        resize_modes=draw(st.dictionaries(st.sampled_from(["border", "no", "unknown", "center_crop"]), counts)),
        oddities=draw(st.dictionaries(st.sampled_from(["device", "truncated", "damaged"]), counts)),
        expand=draw(st.booleans()),
    )


# --- of all runs ------------------------------------------------------------------------------------------------------


@given(runs())
def test_no_sentence_calls_anything_good_or_bad(figures: Figures) -> None:
    assert not NEVER.search(said(figures))


def test_no_word_of_the_page_does_either() -> None:
    for figures in (figures_of("pictures"), pictures_run(), pictures_run(9, 9, 9), pictures_run(2, 3, cleaned=None)):
        page = re.sub(r"<style>.*?</style>|<[^>]+>", " ", to_html(publish(figures)).decode("utf-8"), flags=re.DOTALL)
        assert not NEVER.search(page)


@given(runs())
def test_whatever_matches_is_unverified_and_pictures_not_compared_are_named(figures: Figures) -> None:
    text, pictures = said(figures), figures.pictures
    assert pictures is not None
    outcomes = publish(figures)["outcomes"]
    assert ("Near matches (unverified): " in text) == (outcomes["near_hit"] != 0)
    assert ("Matches (unverified): " in text) == (outcomes["hit"] != 0)
    if outcomes["hit"] != 0 or outcomes["near_hit"] != 0:
        assert "No match" not in text
    missing = pictures.held - sum(pictures.fingerprint[o] for o in list(FingerprintOutcome)[:2])
    assert (f"{missing:,} picture" in text and "not fingerprinted: " in text) == (missing > 0)
    assert ("not the same as no match" in text) == (pictures.too_plain > 0)


@given(runs())
@settings(max_examples=40)
def test_the_page_is_well_formed_and_says_every_sentence(figures: Figures) -> None:
    reader = read(figures)
    check_self_contained(reader)
    for sentence in sentences(figures):
        assert " ".join(sentence.split()) in reader.text()


@given(st.integers(1, 4), st.integers(1, 4))
def test_what_is_hidden_of_near_hits_decides_nothing_that_is_shown(one: int, other: int) -> None:
    def few(near: int) -> dict[str, Any]:
        return publish(pictures_run(0, near, clear=1000 - near, rounds=1))

    assert to_json(few(one)) == to_json(few(other))
    assert to_html(few(one)) == to_html(few(other))
    assert few(one)["outcomes"]["near_hit"] == {"below": 5}


# --- near matches -----------------------------------------------------------------------------------------------------


def test_near_matches_stand_apart_with_their_radius_and_what_becomes_of_them() -> None:
    text = said(pictures_run(24, 61))
    assert "Matches (unverified): 24 of 1,085 rows assessed match entries of list alpha v12." in text
    assert (
        "Near matches (unverified): 61 of 1,085 rows assessed hold a picture within 31 bits of a fingerprint in list "
        "alpha v12, and no other match."
    ) in text
    assert "quarantined: a dataset written again lacks them until a verdict" in text
    assert "None of them is confirmed" in text
    assert "85 rows left out because of a match or a near match" in text


def test_near_matches_alone() -> None:
    text = said(pictures_run(0, 61))
    assert "Near matches (unverified): 61 of 1,061" in text
    assert " Matches (unverified)" not in text
    assert "Near matches (unverified): fewer than 5 of 1,003 rows" in said(pictures_run(0, 3))
    assert "is withheld" in said(pictures_run(0, 3, clear=0))


def test_radii_by_list_and_kinds_with_a_measure_of_their_own() -> None:
    assert "within 31 bits (alpha) or 24 bits (beta) of a fingerprint" in said(figures_of("pictures"))
    assert "within the radius set of a fingerprint" in said(pictures_run(0, 9, radius_bits={}))
    other = (Compared("picture (licensed)", "alpha", Signal.PHOTODNA, 1009),)
    kind = pictures_run(0, 9, compared=other, hits_by_signal={(Signal.PHOTODNA, None): 9})
    assert "within the radius set of a fingerprint in list alpha v12" in said(kind)


def test_no_match_says_of_what_kind() -> None:
    assert "No match, exact or near, to list alpha v12 among the rows assessed." in said(pictures_run())
    exact = (Compared("picture (md5)", "alpha", Signal.MD5, 1000),)
    assert "No match to list alpha v12 among the rows assessed." in said(
        pictures_run(compared=exact, hits_by_signal={})
    )


def test_rows_that_only_a_noisy_entry_is_near_to_are_not_passed_over() -> None:
    text = said(pictures_run(held=1400, values_held=0))
    assert "No match, exact or near, to list alpha v12 among the rows assessed, but for those held." in text
    assert "1,400 rows share a value with a match that more than 1,000 rows bear" in text
    assert "or are near to an entry that as many are near to; they are held" in text
    assert "are near to an entry" in said(pictures_run(held=1400, values_held=0, expand=False))
    assert "near to an entry" not in said(run_with(300, 0, 1400))


# --- what became of the pictures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (FingerprintOutcome.UNDECODABLE, "could not be decoded (41)"),
        (FingerprintOutcome.UNSUPPORTED, "in a format that is not decoded here (41)"),
        (FingerprintOutcome.NOT_AUDITABLE, "cannot be audited from these bytes and must be fetched anew (41)"),
        (FingerprintOutcome.TOO_LARGE, "larger than the cap (41)"),
        (FingerprintOutcome.SANDBOX_DEATH, "killed the sandbox, each twice (41)"),
        (FingerprintOutcome.SANDBOX_ALARM, "set off the alarm of the sandbox (41)"),
        (FingerprintOutcome.INTERNAL_ERROR, "met a fault of vetset (41)"),
    ],
)
def test_pictures_that_were_not_fingerprinted_are_told_by_reason(outcome: FingerprintOutcome, words: str) -> None:
    figures = with_outcome(outcome, 41)
    text = said(figures)
    assert "Of 941 pictures held in the dataset, 900 were decoded and fingerprinted." in text
    assert "41 pictures were not fingerprinted: " in text
    assert words in text
    assert "At most the digests of the bytes were compared, and that is not the same as no near match." in text
    assert f"{outcome.value.replace('_', ' ')} " in read(figures).text()


def test_an_alarm_comes_before_everything() -> None:
    figures = with_outcome(FingerprintOutcome.SANDBOX_ALARM, 1, complete=False)
    first, second, *_ = sentences(figures)
    assert first.startswith("ALARM: 1 picture made the decoder try what its sandbox forbids.")
    assert second == "This run is incomplete: 1 picture could not be done, and the figures below do not cover it."
    assert "Incomplete run Alarm of the sandbox Rows assessed" in read(figures).text()
    assert "larm" not in said(with_outcome(FingerprintOutcome.SANDBOX_DEATH, 1))


def test_changed_bytes_are_named_and_count_as_fingerprinted() -> None:
    text = said(with_outcome(FingerprintOutcome.CHANGED_CONTENT, 6))
    assert "Of 906 pictures held in the dataset, 906 were decoded and fingerprinted." in text
    assert "6 pictures among them were compared though the bytes are not those that the dataset recorded." in text
    assert "not fingerprinted" not in text


def test_plain_pictures_are_not_hashable_and_that_is_not_no_match() -> None:
    text = said(pictures_run(too_plain=31))
    assert (
        "31 pictures were too plain to be compared by PDQ (quality below 50): not hashable is not the same as no match."
    ) in text
    assert "too plain" not in said(pictures_run())


@pytest.mark.parametrize(
    ("level", "words"),
    [("none", "not confined (sandbox level none)"), ("limits", "by limits alone (sandbox level limits)")],
)
def test_a_sandbox_below_seccomp_is_owned_up_to(level: str, words: str) -> None:
    assert words in said(pictures_run(sandbox_level=level))
    assert f"{level}; below seccomp" in read(pictures_run(sandbox_level=level)).text()


@pytest.mark.parametrize("level", ["seccomp", "seccomp+landlock", ""])
def test_a_sandbox_as_it_should_be_needs_no_sentence(level: str) -> None:
    assert "confined" not in said(pictures_run(sandbox_level=level))
    assert f"Sandbox level {level or 'not reached'} Variant" in read(pictures_run(sandbox_level=level)).text()


def test_the_luma_variant_says_that_it_is_off() -> None:
    assert "luma alone" in said(pictures_run(variant="luma"))
    assert "luma" not in said(pictures_run())


def test_the_making_of_the_dataset_is_told_by_resize_mode() -> None:
    text = said(pictures_run(resize_modes={"keep_ratio": 900, "border": 50, "no": 30, "center_crop": 7, "unknown": 20}))
    assert "950 pictures were resized when the dataset was made (border 50, keep_ratio 900)" in text
    assert "Of 20 pictures the dataset does not say whether they were resized" in text
    assert "resized" not in said(pictures_run(resize_modes={"no": 1000}))


def test_tars_that_were_cut_off_are_told() -> None:
    oddities = {"truncated": 1, "damaged": 2, "symbolic_link": 9}
    text = said(pictures_run(oddities=oddities))
    assert "3 places in the tars were cut off or damaged; what stood there was not assessed." in text
    assert "cut off" not in said(pictures_run(oddities={"device": 3}))
    assert "symbolic link 9 truncated 1" in read(pictures_run(oddities=oddities)).text()


def test_limits_say_what_was_opened_and_what_is_not_found() -> None:
    text = said(pictures_run(3))
    assert "opened in memory, in a sandbox; none was shown or stored" in text
    assert "Nothing was fetched and nothing was sent." in text
    assert "copies altered beyond the radius" in text
    assert "'Clear' means that no list named here holds" in text
    assert "no picture was opened" not in text


# --- the document and the page ----------------------------------------------------------------------------------------


def test_a_run_by_columns_says_nothing_of_pictures() -> None:
    published = publish(run_with(30))
    assert published["pictures"] is None
    assert published["outcomes"]["near_hit"] == 0
    text = read(run_with(30)).text()
    assert "Pictures" not in text
    assert "near" not in text
    assert publish(run_with(3, clear=0))["outcomes"]["near_hit"] == 0  # where all else is withheld


def test_the_section_shows_every_fact() -> None:
    reader = read(figures_of("pictures"))
    text = reader.text()
    for words in (
        "fingerprinted decoded, and compared as far as it shows enough 11,014",
        "All pictures held 12,000",
        "Too plain for PDQ 320, with quality below 50",
        "Radius alpha 31 bits, beta 24 bits",
        "libjpeg-turbo 3.1.0, pillow 11.3.0, simplejpeg 1.8.2",
        "center crop 920",
        "repeated name 3",
        "Rows that match nearly (unverified) 61",
        "near hit holds a picture whose fingerprint is near to a listed one; unverified, quarantined 61",
        "recorded values and the pictures held in the dataset; nothing was fetched or sent",
    ):
        assert words in text
    assert len(reader.named("caption")) == len(reader.named("table"))
    assert {item["aria-labelledby"] for item in reader.named("section")} >= {"pictures", "result"}


def test_a_section_of_few_facts_stays_whole() -> None:
    text = read(pictures_run(radius_bits={})).text()
    assert "Radius none" in text
    assert "Libraries not recorded" in text
    assert "Resize mode" not in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_do_nothing(name: str) -> None:
    facts: dict[str, Any] = {
        "resize_modes": {name: 7},
        "oddities": {name: 8},
        "libraries": {name: name},
        "radius_bits": {name: 9},
    }
    reader = read(pictures_run(30, **facts, sandbox_level=name, variant=name))
    check_self_contained(reader)
    shown = " ".join(printable(name).replace("_", " ").split())
    assert " ".join(reader.text().replace("_", " ").split()).count(shown) >= 7


def test_few_near_hits_are_hidden_with_all_that_follows_from_them() -> None:
    published = publish(pictures_run(0, 3, hits_uniques=Uniques(3, 0), removable_uniques=Uniques(3, 0)))
    assert published["outcomes"]["near_hit"] == {"below": 5}
    assert published["outcomes"]["clear"] == published["removal"]["kept"] == "withheld"
    assert published["removal"]["removed"] == published["hits"]["direct"]["rows"] == {"below": 5}
    assert [line["rows"] for line in published["hits"]["by_signal"]] == [0, {"below": 5}]


@pytest.mark.parametrize(("compared", "near"), [(1, 1), (1, 0), (3, 2), (4, 4)])
def test_where_few_pictures_were_compared_nothing_is_told_of_few_hits(compared: int, near: int) -> None:
    """That one picture was compared nearly is public: a near hit 'fewer than 5' could only be that one."""
    rows = 1000 + near
    signals = (
        Compared("picture (md5)", "alpha", Signal.MD5, rows),
        Compared("picture (pdq)", "alpha", Signal.PDQ, compared),
    )
    outcomes = publish(pictures_run(0, near, too_plain=rows - compared, compared=signals))["outcomes"]
    assert [outcomes[name] for name in ("hit", "near_hit", "expanded", "held", "clear")] == ["withheld"] * 5


def test_rows_removed_must_be_those_found_near_ones_too() -> None:
    with pytest.raises(ValueError, match=r"^the books do not balance: outcomes and cleaned rows differ$"):
        publish(pictures_run(7, 9, cleaned={CleanOutcome.REMOVED: 7, CleanOutcome.KEPT: 1009}))
    everything = {CleanOutcome.REMOVED: 2016, CleanOutcome.KEPT: 1000}
    assert publish(pictures_run(7, 9, 2000, remove_held=True, cleaned=everything))["removal"]["removed"] == 2016


def test_books_of_pictures_that_do_not_balance_are_refused_without_a_count() -> None:
    figures = pictures_run(7)
    assert figures.pictures is not None
    for changes in (
        {"held": 1},
        {"too_plain": 1_000_000},
        {"fingerprint": {FingerprintOutcome.TOO_LARGE: -1}, "held": -1},
    ):
        with pytest.raises(ValueError, match=r"^the books do not balance: [a-z ]+$"):
            publish(replace(figures, pictures=replace(figures.pictures, **changes)))
