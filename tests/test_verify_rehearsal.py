"""A rehearsal at sandboxes: it goes through to the report, and leaves live bodies and authorities all their work."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain

from tests.settling import Settled
from tests.test_report_run import expected_urls, report, told_urls
from tests.test_verify_run import audited, judge, settled
from vetset.cases import CaseState
from vetset.records import Ruling
from vetset.testing.judges import SHIELDLIKE, TIPLINELIKE, MemoryAuthority, MemoryPlatform

__all__ = ["audited", "settled"]
SANDBOX = replace(TIPLINELIKE, live=False)


def rehearsed(settled: Settled, *rulings: Ruling) -> MemoryPlatform:
    """A platform's sandbox asked about everything."""
    platform = judge(settled, *rulings)
    platform.abilities = replace(SHIELDLIKE, live=False)
    settled.verify({"judge": platform})
    return platform


def test_a_rehearsal_goes_through_to_the_report(settled: Settled) -> None:
    settled = replace(settled, rehearsal=True)
    rehearsed(settled, Ruling.CSAM, Ruling.NO_MATCH)
    wanted = [
        sorted({case.address.unseal().url.decode() for case in exhibit.cases})  # type: ignore[union-attr]
        for exhibit in settled.book().in_state(CaseState.CONFIRMED)
    ]
    authority = MemoryAuthority(abilities=SANDBOX)
    report(settled, authority)
    assert told_urls(authority) == sorted(wanted)
    assert settled.states() == Counter(reported=10, undecided=10)


def test_what_a_sandbox_said_confirms_nothing_to_a_live_authority(settled: Settled) -> None:
    rehearsed(settled, Ruling.CSAM)
    authority = MemoryAuthority()
    result = report(settled, authority)
    assert result.lines == ("there is nothing to report",)
    assert authority.letters == []
    assert set(settled.states()) == {"unverified"}


def test_a_live_platform_of_the_same_name_is_asked_all_the_same(settled: Settled) -> None:
    first = rehearsed(settled, Ruling.CSAM)
    platform = judge(settled, Ruling.NO_MATCH)
    settled.verify({"judge": platform})
    assert sorted(chain(*platform.asked)) == sorted(chain(*first.asked))
    assert set(settled.states()) == {"undecided"}


def test_what_a_sandbox_was_told_is_told_to_the_authority_of_the_same_name(settled: Settled) -> None:
    rehearsed(settled, Ruling.CSAM)
    report(settled, MemoryAuthority(abilities=SANDBOX))
    settled.verify({"judge": judge(settled, Ruling.CSAM)})
    wanted, authority = expected_urls(settled, "confirmed"), MemoryAuthority()
    assert len(wanted) == len(settled.exhibits())
    report(settled, authority)
    assert told_urls(authority) == wanted
    assert set(settled.states()) == {"reported"}


def test_a_sandbox_is_no_second_party(settled: Settled) -> None:
    platform = judge(settled, Ruling.CSAM)
    platform.abilities = replace(SHIELDLIKE, live=False, party="another")
    settled.verify({"other": platform}, parties=2)
    settled.verify({"judge": judge(settled, Ruling.CSAM)}, parties=2)
    assert set(settled.states()) == {"undecided"}
