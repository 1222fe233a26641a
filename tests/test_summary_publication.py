"""The published document: its schema, its books, what it hides, and that nothing else depends on what is hidden."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.summaries import HOSTILE, VECTORS, any_figures, figures_of, run_with
from vetset.datasets.printable import printable
from vetset.records import CleanOutcome, ScreenOutcome, Signal, UrlForm
from vetset.summary import (
    SCHEMA,
    Compared,
    FailedShard,
    Figures,
    NoisyEntry,
    Uniques,
    publish,
    to_html,
    to_json,
)

CASES = sorted(path.name for path in VECTORS.iterdir())


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a document with its path; a cell's {"below": 5} is one value."""
    if isinstance(tree, dict) and set(tree) != {"below"}:
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}")
    elif isinstance(tree, list):
        for value in tree:
            yield from leaves(value, f"{path}[]")
    else:
        yield path, tree


# --- vectors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_the_document_is_as_it_was_agreed(case: str) -> None:
    """Any difference is another schema: a reader of summary.json would notice."""
    assert (VECTORS / case / "why.md").read_text("utf-8").strip()
    expected = (VECTORS / case / "expected.json").read_bytes()
    assert to_json(publish(figures_of(case))) == expected
    assert json.loads(expected)["schema"] == SCHEMA == "vetset/summary/1"


def test_the_vectors_are_there() -> None:
    assert CASES == ["few", "pictures", "plenty"]


# --- hostile names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_reach_neither_json_nor_page(name: str) -> None:
    figures = run_with(7, dataset=name, ignored=(name,), complete=False, failed=(FailedShard(name, name, name),))
    figures = replace(figures, settings={name: name}, version=name, fingerprint=name, started=name, finished=name)
    figures = replace(
        figures,
        lists=(replace(figures.lists[0], name=name, source=name, purpose=name, created=name, expires=name),),
        compared=(replace(figures.compared[0], list_name=name),),
        hits_by_list={name: 7},
    )
    published = publish(figures)
    document, page = to_json(published).decode("ascii"), to_html(published).decode("utf-8")
    assert all(letter.isprintable() or letter == "\n" for letter in document + page)
    assert not re.search(r"<(script|img)|onerror=[^&]*>", page)
    assert json.loads(document)["run"]["dataset"] == published["run"]["dataset"] == printable(name)


def test_long_names_are_cut() -> None:
    published = publish(run_with(dataset="x" * 5000, ignored=("y" * 5000,)))
    assert max(len(value) for _, value in leaves(published) if isinstance(value, str)) < 1000


def test_many_ignored_files_are_counted_and_some_are_named() -> None:
    shards = publish(run_with(ignored=tuple(f"file {number:04}" for number in range(3000))))["shards"]
    assert (shards["ignored_files"], len(shards["ignored_names"])) == (3000, 1000)
    assert shards["ignored_names"][:2] == ["file 0000", "file 0001"]


# --- what is hidden ---------------------------------------------------------------------------------------------------

#: Where a count of 1 to 4 would tell of hits. Everything else is a fact about columns, lists or the run.
SECRET = (
    ".outcomes.hit",
    ".outcomes.expanded",
    ".outcomes.held",
    ".hits",
    ".expansion.values_held",
    ".removal.removed",
)


@given(any_figures())
def test_no_small_count_is_published(figures: Figures) -> None:
    for path, value in leaves(publish(figures)):
        if path.startswith(SECRET) and not path.endswith((".version", ".verified")):
            assert not isinstance(value, int) or value not in range(1, 5), path


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 4), st.integers(0, 3))
def test_what_is_hidden_decides_nothing_that_is_shown(one: int, other: int, urls: int, more: int) -> None:
    """Two runs that differ in small counts only, over the same rows, give the same bytes, the page's too."""

    def few(hit: int, rounds: int) -> dict[str, Any]:
        uniques = Uniques(min(urls and 1 + hit // 2, hit), min(1, urls))
        figures = run_with(hit, clear=1000 - hit, hits_uniques=uniques, removable_uniques=uniques, rounds=rounds)
        return publish(figures)

    assert to_json(few(one, 1)) == to_json(few(other, 1 + more))
    assert to_html(few(one, 1)) == to_html(few(other, 1 + more))


def test_signals_are_listed_by_what_was_compared_and_not_by_what_hit() -> None:
    compared = (
        Compared("md5", "alpha", Signal.MD5, 10),
        Compared("url (raw)", "alpha", Signal.URL_MD5, 10),
        Compared("url (tx)", "alpha", Signal.URL_MD5, 10),
    )
    published = publish(run_with(9, compared=compared, hits_by_signal={(Signal.URL_MD5, UrlForm.TX): 9}))
    assert published["hits"]["by_signal"] == [
        {"signal": "md5", "form": None, "rows": 0},
        {"signal": "url_md5", "form": "raw", "rows": 0},
        {"signal": "url_md5", "form": "tx", "rows": 9},
    ]


def test_noisy_entries_are_named_by_opaque_id_from_the_largest() -> None:
    noisy = (NoisyEntry("b", 7), NoisyEntry("a", 2), NoisyEntry("c", 9))
    assert publish(run_with(20, noisy=noisy))["hits"]["noisy"] == [{"entry": "c", "rows": 9}, {"entry": "b", "rows": 7}]
    assert publish(run_with(3, noisy=(NoisyEntry("a", 3),)))["hits"]["noisy"] == []
    assert publish(run_with(6, clear=0, expanded=1, noisy=noisy[:1]))["hits"]["noisy"] == "withheld"


# --- books ------------------------------------------------------------------------------------------------------------


def test_books_that_do_not_balance_are_refused_without_a_count() -> None:
    for figures in (
        run_with(7, rows=1234),
        run_with(7, cleaned={CleanOutcome.REMOVED: 6, CleanOutcome.KEPT: 1001}),
        run_with(7, cleaned={CleanOutcome.REMOVED: 7, CleanOutcome.KEPT: 10}),
        run_with(7, outcomes={ScreenOutcome.HIT: -1, ScreenOutcome.CLEAR: 1008}),
        run_with(7, hits_by_list={"another": 7}),
        run_with(7, hits_by_signal={(Signal.SHA1, None): 7}),
        run_with(
            7, 0, 9, cleaned={CleanOutcome.REMOVED: 7, CleanOutcome.REMOVED_BY_POLICY: 9, CleanOutcome.KEPT: 1000}
        ),
    ):
        with pytest.raises(ValueError, match=r"^the books do not balance: [a-z ]+$"):
            publish(figures)


def test_a_dataset_written_in_part_shows_no_counts_of_it() -> None:
    part = {CleanOutcome.REMOVED: 6, CleanOutcome.KEPT: 500}
    published = publish(run_with(8, cleaned=part, complete=False, failed=(FailedShard("a", "unreadable"),)))
    assert published["removal"] == {"kept": "withheld", "removed": "withheld", "removed_by_policy": "withheld"}
    assert published["outcomes"]["hit"] == 8


def test_no_dataset_written_is_no_table() -> None:
    assert publish(run_with(8, cleaned=None))["removal"] is None


def test_held_rows_that_were_removed_stand_among_the_removed() -> None:
    cleaned = {CleanOutcome.REMOVED: 2010, CleanOutcome.KEPT: 1000}
    published = publish(run_with(10, 0, 2000, remove_held=True, cleaned=cleaned))
    assert published["removal"] == {"kept": 1000, "removed": 2010, "removed_by_policy": 0}


def test_held_rows_removed_by_policy_stand_with_the_policy() -> None:
    cleaned = {CleanOutcome.REMOVED: 700, CleanOutcome.REMOVED_BY_POLICY: 600, CleanOutcome.KEPT: 2400}
    base = {ScreenOutcome.POLICY: 600, ScreenOutcome.CLEAR: 3100}
    published = publish(run_with(700, 0, 2000, policy="own rules", cleaned=cleaned, base=base))
    assert published["removal"] == {"kept": 2400, "removed": 700, "removed_by_policy": 600}
    assert published["outcomes"]["policy"] == 600


#: What of the document may follow from matches; all else is the same whatever was found.
OF_MATCHES = {("outcomes", name) for name in ("hit", "near_hit", "expanded", "held", "clear")}


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_what_stands_beside_matches_does_not_follow_from_them(clear: int, unread: int, policy: int) -> None:
    """Hits among 60 rows each that would be clear, could be compared with nothing, or meet the policy."""
    base = dict.fromkeys((ScreenOutcome.CLEAR, ScreenOutcome.NOT_ASSESSABLE, ScreenOutcome.POLICY), 60)
    hit = clear + unread + policy
    left = {ScreenOutcome.CLEAR: clear, ScreenOutcome.NOT_ASSESSABLE: unread, ScreenOutcome.POLICY: policy}
    outcomes = {ScreenOutcome.HIT: hit, **{name: 60 - count for name, count in left.items()}}
    more: dict[str, Any] = {"policy": "own rules", "base": base, "cleaned": None, "rows": 180}
    published = publish(run_with(hit, outcomes=outcomes, **more))
    nothing = publish(run_with(outcomes={**base, ScreenOutcome.HIT: 0}, **more))
    for document in (published, nothing):
        for part in ("hits", "expansion", "sentences"):
            document.pop(part)
        for part, name in OF_MATCHES:
            document[part].pop(name)
    assert published == nothing
    assert published["rows"]["not_assessable"] == published["outcomes"]["policy"] == 60


def test_a_match_of_a_row_that_could_not_be_assessed_is_not_told_by_what_is_left() -> None:
    """One hit among the rows that could be compared with nothing: neither their count nor `clear` says so."""
    outcomes = {ScreenOutcome.HIT: 20, ScreenOutcome.NOT_ASSESSABLE: 99, ScreenOutcome.CLEAR: 881}
    base = {ScreenOutcome.NOT_ASSESSABLE: 100, ScreenOutcome.CLEAR: 900}
    shown = publish(run_with(20, outcomes=outcomes, rows=1000, base=base, cleaned=None))["outcomes"]
    assert (shown["hit"], shown["not_assessable"], shown["clear"]) == (20, 100, "withheld")


@given(any_figures())
def test_published_totals_are_those_of_the_run(figures: Figures) -> None:
    published = publish(figures)
    rows, outcomes, removal = published["rows"], published["outcomes"], published["removal"]
    assert rows["total"] == figures.rows == rows["assessed"] + rows["not_assessable"]
    if all(isinstance(count, int) for count in outcomes.values()):
        assert sum(outcomes.values()) == figures.rows
    if all(isinstance(count, int) for count in removal.values()):
        assert sum(removal.values()) == figures.rows
    assert published["complete"] == (figures.complete and not figures.failed)


# --- canonical JSON and timings ---------------------------------------------------------------------------------------


@given(any_figures())
def test_json_is_canonical_and_the_page_is_made(figures: Figures) -> None:
    published = publish(figures)
    data = to_json(published)
    assert data.isascii()
    assert data.endswith(b"}\n")
    parsed = json.loads(data)
    assert parsed == published
    assert to_json(dict(reversed(list(parsed.items())))) == data
    assert to_html(parsed) == to_html(published)


def test_everything_that_differs_between_equal_runs_is_under_timing() -> None:
    one = figures_of("plenty")
    other = replace(one, started="2027", finished="2028", duration_seconds=3.21, workers=64)
    documents = [publish(figures) for figures in (one, other)]
    timings = [document.pop("timing") for document in documents]
    assert documents[0] == documents[1]
    assert timings[0] != timings[1]
    assert timings[1] == {
        "started": "2027",
        "finished": "2028",
        "duration_seconds": 3.21,
        "rows_per_second": 62305,
        "workers": 64,
    }


def test_order_of_the_figures_does_not_show() -> None:
    one = figures_of("plenty")
    other = replace(
        one,
        lists=one.lists[::-1],
        compared=one.compared[::-1],
        unusable=one.unusable[::-1],
        ignored=one.ignored[::-1],
        hits_by_list={name: one.hits_by_list[name] for name in sorted(one.hits_by_list, reverse=True)},
    )
    assert to_json(publish(one)) == to_json(publish(other))


def test_a_run_of_no_time_has_no_speed() -> None:
    assert publish(run_with(duration_seconds=0.0))["timing"]["rows_per_second"] is None


def test_exact_counts_do_not_print() -> None:
    figures = run_with(3, 2, clear=77)
    for value in (figures, figures.hits_uniques, NoisyEntry("a", 3)):
        assert repr(value).startswith("<vetset.summary.figures.")
    assert "rows" in {item.name for item in fields(figures)}
