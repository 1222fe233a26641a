"""The summary of a run that fetched: what was asked, what came back, what was left out; and that neither says too much."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.summaries import HOSTILE, pictures_run
from tests.test_summary_page import check_self_contained, read
from tests.test_summary_wording import NEVER
from vetset.records import FetchOutcome, FingerprintOutcome, ScreenOutcome, Signal
from vetset.summary import Compared, FetchFigures, Figures, StratumFigures, publish, to_html, to_json
from vetset.summary.asking import FETCH_OUTCOMES

FROM, TO = "2026-05-03T08:00:00+00:00", "2026-05-09T17:30:00+00:00"


def fetched_run(
    hit: int = 0, near: int = 0, clear: int = 1000, *, outcomes: dict[FetchOutcome, int], **changes: Any
) -> Figures:
    """A run whose addresses had these outcomes; every other row was left out by the budget."""
    gave = outcomes.get(FetchOutcome.FETCHED, 0)
    run = pictures_run(hit, near, 0, clear, fingerprint={FingerprintOutcome.FINGERPRINTED: gave}, too_plain=0)
    asked = sum(outcomes.values())
    figures = {"candidates": run.rows, "unasked": max(0, run.rows - asked - hit), "rounds": 2, "seed": 7}
    texts = {"legal_basis": "a basis", "first_at": FROM, "last_at": TO}
    fetch = FetchFigures(**{**figures, **texts, "outcomes": outcomes, **changes})
    compared = tuple(replace(item, values=gave) for item in run.compared)
    return replace(run, reach="fetch", fetch=fetch, compared=compared)


def said(figures: Figures) -> str:
    return " ".join(publish(figures)["sentences"])


PLENTY = {FetchOutcome.FETCHED: 900, FetchOutcome.GONE: 60, FetchOutcome.ROBOTS: 40}


# --- what is said -----------------------------------------------------------------------------------------------------


def test_the_sentences_name_what_was_asked_and_what_came_back() -> None:
    text = said(fetched_run(10, 5, 1985, outcomes=PLENTY))
    assert "Of 1,000 addresses asked, 900 gave something to look into." in text
    assert "gone (60); left alone because robots.txt asks for it (40)" in text
    assert "990 rows were not asked about" in text
    assert "Nothing was sent to any platform" in text
    assert "whoever controlled its host" in text
    assert "Nothing was fetched" not in text
    assert "Fetched under: a basis." in text


def test_the_random_share_is_named_apart_from_what_ranks_high() -> None:
    strata = (StratumFigures("up to 0.1", "drawn", 50, 40), StratumFigures("above 0.95", "ranked", 950, 860))
    text = said(fetched_run(outcomes=PLENTY, strata=strata))
    assert "50 addresses of those asked were drawn at random from 1 stratum by the seed 7" in text
    assert "no sample of anything" in text


@pytest.mark.parametrize("outcome", [FetchOutcome.TIMEOUT, FetchOutcome.SERVER_ERROR, FetchOutcome.INTERNAL_ERROR])
def test_troubles_make_the_run_incomplete_and_say_how_many(outcome: FetchOutcome) -> None:
    figures = replace(fetched_run(outcomes={**PLENTY, outcome: 3}, clear=1003), complete=False)
    first = publish(figures)["sentences"][0]
    assert first.startswith("This run is incomplete: 3 addresses could not be done")


def test_groups_of_hosts_that_failed_are_named_by_count() -> None:
    assert "2 groups of hosts could not be done" in said(fetched_run(outcomes=PLENTY, failed_groups=2))


def test_dates_stand_with_the_timings_and_nowhere_else() -> None:
    published = publish(fetched_run(outcomes=PLENTY))
    assert published["timing"]["fetched_from"] == FROM
    assert any("2026-05-03 08:00:00 UTC" in text for _, text in read(fetched_run(outcomes=PLENTY)).texts)
    del published["timing"]
    assert "2026-05" not in to_json(published).decode()


def test_no_word_of_the_page_judges() -> None:
    page = to_html(publish(fetched_run(9, 9, 1000, outcomes=PLENTY))).decode("utf-8")
    assert not NEVER.search(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL))


def test_every_outcome_has_its_words() -> None:
    assert set(FETCH_OUTCOMES) == {outcome.value for outcome in FetchOutcome}


counts = st.integers(0, 9) | st.integers(0, 10**6)


@st.composite
def runs(draw: st.DrawFn) -> Figures:
    outcomes = {outcome: draw(counts) for outcome in FetchOutcome}
    asked = sum(outcomes.values())
    return fetched_run(
        draw(st.integers(0, 9)),
        draw(st.integers(0, 9)),
        asked + draw(counts),
        outcomes=outcomes,
        failed_groups=draw(st.integers(0, 2)),
        unanswered=draw(counts),
        legal_basis=draw(st.sampled_from(["", "a basis", *HOSTILE])),
        strata=tuple(StratumFigures("no score", how, draw(counts), 0) for how in ("drawn", "ranked")),
    )


@settings(max_examples=60)
@given(runs())
def test_no_sentence_of_any_run_says_too_much_and_the_page_is_self_contained(figures: Figures) -> None:
    published = publish(figures)
    own = re.sub(r"Fetched under: .*", "", " ".join(published["sentences"]))  # that is in the operator's words
    assert not NEVER.search(own)
    check_self_contained(read(figures))
    assert published["fetch"]["asked"] == sum(published["fetch"]["outcomes"].values())


# --- books ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"candidates": 10**6},
        {"unasked": 10**6},
        {"unasked": -1},
        {"outcomes": {FetchOutcome.FETCHED: 899, FetchOutcome.GONE: 101}},
        {"outcomes": {FetchOutcome.FETCHED: 900, FetchOutcome.GONE: 10**6}},
    ],
)
def test_figures_that_contradict_each_other_are_refused(changes: dict[str, Any]) -> None:
    good = fetched_run(outcomes=PLENTY)
    assert good.fetch is not None
    publish(good)
    with pytest.raises(ValueError, match="do not balance"):
        publish(replace(good, fetch=replace(good.fetch, **changes)))


# --- what could be worked out -----------------------------------------------------------------------------------------


def test_where_nothing_was_fetched_a_small_count_of_hits_is_withheld() -> None:
    """3 hits by columns; every other row was asked and is gone, so rows less addresses asked would be the count."""
    run = fetched_run(3, 0, 1000, outcomes={FetchOutcome.GONE: 1000})
    shown = publish(run)["outcomes"]
    assert shown["hit"] == "withheld"
    assert shown["clear"] == "withheld"


def test_with_room_enough_a_small_count_is_shown_as_small() -> None:
    shown = publish(fetched_run(3, 0, 1000, outcomes={FetchOutcome.FETCHED: 900, FetchOutcome.GONE: 100}))["outcomes"]
    assert shown["hit"] == {"below": 5}
    assert shown["clear"] == "withheld"


@settings(max_examples=200)
@given(hit=st.integers(1, 4), fetched=st.integers(0, 12), gone=st.integers(0, 12), unasked=st.integers(0, 5))
def test_a_small_count_of_hits_keeps_two_values(hit: int, fetched: int, gone: int, unasked: int) -> None:
    """Whoever has the summary knows rows, addresses asked and fetched, and rows left out; hits among columns are rest.

    Rows of addresses that gave nothing, and rows left out, are no hits, so the others bound them from above.
    """
    outcomes = {FetchOutcome.FETCHED: fetched, FetchOutcome.GONE: gone}
    run = fetched_run(hit, 0, fetched + gone + unasked, outcomes=outcomes, unasked=unasked)
    shown = publish(run)["outcomes"]["hit"]
    most = run.rows - unasked - gone
    if shown == {"below": 5}:
        assert most >= 5
    else:
        assert shown == "withheld"


def test_near_hits_are_impossible_where_no_list_is_near() -> None:
    run = fetched_run(outcomes=PLENTY)
    exact = tuple(Compared(item.column, item.list_name, Signal.MD5, item.values) for item in run.compared)
    run = replace(run, compared=exact, hits_by_signal={(Signal.MD5, None): 0})
    assert publish(run)["outcomes"]["near_hit"] == 0
    assert run.outcomes[ScreenOutcome.NEAR_HIT] == 0
