"""What a summary says of verdicts: nothing before any was sought, no count ever, and never that nobody was asked."""

from __future__ import annotations

from typing import Any

import pytest

from vetset.summary.releasing import reached, released, unconfirmed, were_asked
from vetset.wiring.verdicts import shown


def published(**removal: Any) -> dict[str, Any]:
    return {"removal": removal or None}


@pytest.mark.parametrize("document", [published(), published(kept=5, removed=0)])
def test_before_any_verdict_the_sentences_say_that_none_was_sought(document: dict[str, Any]) -> None:
    assert not were_asked(document)
    assert "this run sought no verdict" in unconfirmed(document)
    assert reached(document) == "Nothing was fetched and nothing was sent."
    assert list(released(document)) == []


@pytest.mark.parametrize("count", [0, "withheld"])
def test_once_verdicts_were_heeded_no_sentence_denies_it(count: int | str) -> None:
    document = published(kept=5, removed=0, released=count)
    assert were_asked(document)
    sentences = [unconfirmed(document), reached(document), *released(document)]
    assert not [line for line in sentences if "no verdict" in line or "nothing was sent" in line.lower()]
    assert not [line for line in sentences if any(letter.isdigit() for letter in line)]


def test_the_sentence_about_rows_says_whether_any_was_released_and_not_how_many() -> None:
    (none,), (some,) = list(released(published(released=0))), list(released(published(released="withheld")))
    assert none.endswith("they released no row.")
    assert "how many is not said" in some


def test_an_operator_is_told_that_a_count_is_none() -> None:
    assert [shown(count) for count in (0, 1, 4, 5)] == ["0", "fewer than 5", "fewer than 5", "5"]
