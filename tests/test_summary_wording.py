"""The sentences of a summary: what must be said, in which order, and the words that are never said."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.summaries import figures_of, run_with
from vetset.records import CleanOutcome, ScreenOutcome, Signal
from vetset.summary import Compared, FailedShard, Figures, Uniques, publish, to_html
from vetset.summary.wording import amount, when

NEVER = re.compile(
    r"\b(clean|cleaned|safe|csam|illegal|abusive|innocent|guilty|legal|free of|verified by)\b", re.IGNORECASE
)


def said(figures: Figures) -> str:
    return " ".join(publish(figures)["sentences"])


counts = st.integers(0, 9) | st.integers(0, 10**6)


@st.composite
def runs(draw: st.DrawFn) -> Figures:
    hit = draw(counts)
    return run_with(
        hit,
        draw(counts) if hit else 0,
        draw(counts) if hit else 0,
        draw(counts),
        expand=draw(st.booleans()),
        policy=draw(st.sampled_from(["", "own rules"])),
        complete=draw(st.booleans()),
        shards_total=draw(st.integers(1, 5)),
        shards_done=draw(st.integers(0, 3)),
        failed=draw(st.sampled_from([(), (FailedShard("a", "truncated"),)])),
    )


# --- what is never said -----------------------------------------------------------------------------------------------


@given(runs())
def test_no_sentence_calls_anything_good_or_bad(figures: Figures) -> None:
    text = said(figures)
    assert not NEVER.search(text)
    assert not re.search(r"contains? [\d,]+", text)


def test_no_word_of_the_page_does_either() -> None:
    for figures in (run_with(0), run_with(3), run_with(700, 80, 3000), run_with(cleaned=None, complete=False)):
        page = re.sub(r"<style>.*?</style>|<[^>]+>", " ", to_html(publish(figures)).decode("utf-8"), flags=re.DOTALL)
        assert not NEVER.search(page)


# --- what is always said ----------------------------------------------------------------------------------------------


@given(runs())
def test_whatever_matches_is_called_unverified(figures: Figures) -> None:
    text = said(figures)
    if figures.outcomes[ScreenOutcome.HIT]:
        assert "Matches (unverified): " in text
        assert "No match" not in text
    if "further row" in text:
        assert "(unverified)" in text


@given(runs())
def test_every_claim_names_lists_with_versions_and_what_was_assessed(figures: Figures) -> None:
    text = said(figures)
    assert f"Of {figures.rows:,} row" in text
    assert ("alpha v12" in text) == bool(figures.rows)
    assert ("Nothing was compared" in text) == (not figures.rows)
    if "No match" in text:
        assert "No match to list alpha v12 among the rows assessed." in text


@given(runs())
def test_an_incomplete_run_says_so_first(figures: Figures) -> None:
    published = publish(figures)
    assert published["sentences"][0].startswith("This run is incomplete") == (not published["complete"])


@given(runs(), st.integers(1, 4))
def test_sentences_know_only_what_is_published(figures: Figures, small: int) -> None:
    """A small count stands in no sentence: with all public numbers far from it, no such number is found."""
    large = run_with(small, clear=70_000, shards_done=80, shards_total=80, expand=figures.expand)
    said_of_hits = [s for s in publish(large)["sentences"] if "match" in s and "Counts from" not in s]
    for sentence in said_of_hits:
        assert not re.search(rf"(?<![\d,v]){small}(?![\d,])", sentence.replace("fewer than 5", ""))


# --- cases ------------------------------------------------------------------------------------------------------------


def test_an_audit_that_compared_nothing_does_not_look_like_one_that_found_nothing() -> None:
    for compared in ((), (Compared("md5", "alpha", Signal.MD5, 0),)):
        text = said(run_with(0, compared=compared, hits_by_signal={}))
        assert "Nothing was compared" in text
        assert "No match" not in text
        assert "lower limit" not in text


def test_a_list_that_met_no_value_is_named_apart() -> None:
    figures = figures_of("plenty")
    gamma = replace(figures.lists[1], name="gamma", version=2)
    text = said(replace(figures, lists=(*figures.lists, gamma)))
    assert "lists alpha v12 or beta v7." in text
    assert "No value was compared with list gamma v2, so this run says nothing about matches to it." in text
    text = said(replace(figures, lists=(*figures.lists, gamma, replace(gamma, version=3))))
    assert "with lists gamma v2 or gamma v3, so this run says nothing about matches to them." in text


def test_no_match_names_every_list() -> None:
    figures = run_with(0, lists=figures_of("plenty").lists)
    both = (*figures.compared, replace(figures.compared[0], list_name="beta"))
    assert "No match to lists alpha v12, beta v7 among the rows assessed." in said(replace(figures, compared=both))


def test_few_and_many_hits() -> None:
    assert "Matches (unverified): fewer than 5 of 1,003 rows assessed match entries of list alpha v12." in said(
        run_with(3)
    )
    assert "Matches (unverified): 1,204 of 2,204 rows assessed match" in said(run_with(1204))
    assert "is withheld, because in so small a table" in said(run_with(2, clear=0))
    assert "None of them is confirmed" in said(run_with(1204))


def test_singular_and_plural() -> None:
    outcomes = {ScreenOutcome.CLEAR: 1, ScreenOutcome.NOT_ASSESSABLE: 1, ScreenOutcome.POLICY: 1}
    one = run_with(rows=3, outcomes=outcomes, cleaned=None, shards_done=1, shards_total=1, policy="own rules")
    text = said(one)
    assert "Of 3 rows in 1 shard read, 2 were assessed" in text
    assert "1 row was not assessed" in text
    assert "1 row met the policy" in text
    single = run_with(rows=1, outcomes={ScreenOutcome.NOT_ASSESSABLE: 1}, cleaned=None, shards_done=2)
    assert "Of 1 row in 2 shards read, 0 were assessed" in said(single)
    failed = run_with(failed=(FailedShard("a", "truncated"),), shards_total=1, shards_done=0)
    assert "incomplete: 1 of 1 shard could not be done" in said(failed)


def test_different_values_are_told_from_rows() -> None:
    text = said(run_with(300, hits_uniques=Uniques(120, 1), removable_uniques=Uniques(120, 1)))
    assert "Among them are 120 different URLs and fewer than 5 different recorded digests" in text


def test_further_rows_and_held_rows() -> None:
    text = said(run_with(300, 57, 2400))
    assert "57 further rows share a URL or a recorded digest with a match (unverified)" in text
    assert "2,400 rows share a value with a match that more than 1,000 rows bear" in text
    assert "held, and kept unless a policy says otherwise" in text
    removed = run_with(300, 0, 2400, remove_held=True, cleaned={CleanOutcome.REMOVED: 2700, CleanOutcome.KEPT: 1000})
    assert "held, and left out, as the settings say" in said(removed)
    assert "were not looked for" in said(run_with(300, expand=False))
    assert "Fewer than 5 further rows" in said(run_with(300, 2))
    assert "A withheld number of further rows" in said(run_with(300, 2, 2400))


def test_removal() -> None:
    assert "The dataset was written again: 300 rows left out because of a match, 1,000 rows kept." in said(
        run_with(300)
    )
    cleaned = {CleanOutcome.REMOVED: 300, CleanOutcome.REMOVED_BY_POLICY: 0, CleanOutcome.KEPT: 1000}
    assert "because of a match and 0 rows by policy" in said(run_with(300, policy="own rules", cleaned=cleaned))
    assert "No dataset was written" in said(run_with(300, cleaned=None))


def test_limits_say_which_way_and_why() -> None:
    text = said(run_with(300))
    assert "upper limit for what can still be reached" in text
    assert "lower limit for what the dataset points to" in text
    assert "about 15 %" in text
    assert "upper limit" not in said(run_with(0))
    by_url = (Compared("url (raw)", "alpha", Signal.URL, 1000),)
    assert "15 %" not in said(run_with(0, compared=by_url, hits_by_signal={}))


def test_suppression_is_explained_where_it_happened() -> None:
    assert "shown as 'fewer than 5'" in said(run_with(3))
    assert "fewer than 5" not in said(run_with(300, hits_uniques=Uniques(9, 9), removable_uniques=Uniques(9, 9)))
    assert "fewer than 5" not in said(run_with(0, dataset="withheld"))


@pytest.mark.parametrize(
    ("cell", "words"), [(0, "0"), (1234567, "1,234,567"), ({"below": 5}, "fewer than 5"), ("withheld", "withheld")]
)
def test_amounts(cell: Any, words: str) -> None:
    assert amount(cell) == words


def test_the_date_stands_with_the_timings_alone() -> None:
    published = publish(run_with(3))
    assert when(published) == (
        "The audit ran from 2026-05-03 10:00:00 UTC to 2026-05-03 10:00:40 UTC; "
        "every figure is as of the list versions named."
    )
    assert "2026-05-03" not in " ".join(published["sentences"])
