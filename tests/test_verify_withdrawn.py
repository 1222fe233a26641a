"""Entries that a newer list took back: what falls, what stands, and what the next cleaning keeps."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.driving import NOW
from tests.settling import Settled, answer_to
from tests.test_verify_bundle import HARMLESS, IDENTITY, bundled, kept_rows, md5, read_back, settled, url, with_digest
from vetset.errors import Stop
from vetset.hashlists.compiled import compile_list
from vetset.wiring.withdrawing import withdraw

__all__ = ["settled"]


def newer(settled: Settled, lines: list[str], version: int = 2, name: str = "made up") -> Path:
    source = settled.place.root / f"newer {version}.txt"
    source.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    target = settled.place.root / f"newer {version}.vsl"
    compile_list([source], target, name=name, version=version, created=NOW, recipients=())
    return target


OTHER = f"md5 {md5('something else')}"
BAD, LISTED = f"md5 {md5('bad')}", f"url {url('listed')}"


def test_cases_whose_every_entry_is_gone_are_refuted_and_kept(settled: Settled) -> None:
    result = withdraw(settled.request(), [newer(settled, [OTHER, LISTED])])
    assert result.lines[0] == "3 cases of 1 pictures lost every entry that hit them"
    assert settled.states() == Counter(refuted=3, unverified=2)
    assert kept_rows(settled, "after") == HARMLESS | {0, 1, 3, 4}


def test_nothing_falls_that_the_newer_list_still_holds(settled: Settled) -> None:
    withdraw(settled.request(), [newer(settled, [BAD, LISTED])])
    assert settled.states() == Counter(unverified=5)
    assert kept_rows(settled, "after") == HARMLESS


def test_a_list_of_another_name_takes_nothing_back(settled: Settled) -> None:
    withdraw(settled.request(), [newer(settled, [OTHER], name="another")])
    assert settled.states() == Counter(unverified=5)


def test_the_same_list_again_changes_nothing(settled: Settled) -> None:
    path = newer(settled, [OTHER, LISTED])
    withdraw(settled.request(), [path])
    lines = len(settled.book().journal.lines)
    withdraw(settled.request(), [path])
    assert len(settled.book().journal.lines) == lines


def test_what_a_body_confirmed_a_withdrawal_does_not_free(settled: Settled) -> None:
    out = bundled(settled)
    read_back(settled, answer_to(out, IDENTITY, {with_digest(out, "bad"): "csam"}))
    withdraw(settled.request(), [newer(settled, [OTHER, LISTED])])
    assert settled.states() == Counter(confirmed=3, sent=2)
    assert kept_rows(settled, "after") == HARMLESS


def test_a_withdrawn_case_that_a_body_confirms_later_goes_out_again(settled: Settled) -> None:
    out = bundled(settled)
    withdraw(settled.request(), [newer(settled, [OTHER, LISTED])])
    assert kept_rows(settled, "between") == HARMLESS | {0, 1, 3, 4}
    read_back(settled, answer_to(out, IDENTITY, {with_digest(out, "bad"): "csam"}))
    assert settled.states() == Counter(confirmed=3, sent=2)
    assert kept_rows(settled, "after") == HARMLESS


def test_an_older_list_is_refused(settled: Settled) -> None:
    withdraw(settled.request(), [newer(settled, [BAD, LISTED], version=3)])
    with pytest.raises(Stop, match="version"):
        withdraw(settled.request(), [newer(settled, [OTHER, LISTED], version=2)])
    assert settled.states() == Counter(unverified=5)
