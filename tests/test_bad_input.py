"""Bad input is refused with a message and a hint, nothing is lost, and the corrected command then works.

The words of every refusal are kept in `tests/transcripts/refusals.txt`, written by `python -m tests.write_transcripts`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.commanding import User, at_work, changes
from tests.refusals_of_fetch import CASES
from tests.write_transcripts import REFUSALS, section_of, sections


@pytest.fixture
def user() -> Iterator[User]:
    with at_work() as someone:
        yield someone


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_says_what_to_do_and_the_corrected_command_works(user: User, name: str) -> None:
    refused = CASES[name].prepare(user)
    assert section_of(name, user, refused) == sections(REFUSALS)[name], "run `python -m tests.write_transcripts`"
    corrected = CASES[name].mended(user)
    sources = user.sources()
    ran = user.vetset(*corrected)
    assert ran.status == 0, ran.err
    assert changes(sources, user.sources(), "new.vsl") == []
    assert not (user.place.cleaned / "INCOMPLETE").exists()


def test_the_transcript_holds_no_other_refusals() -> None:
    assert list(sections(REFUSALS)) == list(CASES)


def test_hints_tell_what_to_do() -> None:
    for name, text in sections(REFUSALS).items():
        hint = re.search(r"^  hint: (.+)$", text, re.MULTILINE)
        assert hint, name
        assert len(hint[1].split()) >= 2, name
