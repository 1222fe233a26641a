"""The jobs of `report`: an authority told of confirmed pictures, or given them in a sealed bundle.

In it: letters from the casebook, the plan, the telling, receipts by hand. Not in it: options and words on a screen, who
the authorities are (`telling`), the order of a report's steps (`stages.report`).
Rules: nothing is sent but with `live` and a count that the operator named; only what a body confirmed is told, never
what is harmful and not illegal, nor an entry for tests; a picture without an address is counted and cannot be told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from vetset.cases import CaseState
from vetset.config import AuthoritySettings
from vetset.errors import Stop
from vetset.kernels import duration_words
from vetset.ledger import Disk, Sink
from vetset.pipeline.casebook import Casebook
from vetset.pipeline.reporting import ReportBook, Told, letter_of, told_pictures
from vetset.ports import Authority
from vetset.records import Abilities, Receipt
from vetset.stages.report import ReportOutcome, ReportPatience, report
from vetset.vault import bundle, check_recipients
from vetset.wiring.job import Result
from vetset.wiring.telling import authority_of
from vetset.wiring.verdicts import OpenRun, Verifying, must_be_apart, opened_book, shown


class Authorities(Protocol):
    """The authorities that the settings name. What it opens asks nobody by itself."""

    def authority(self, name: str) -> AbstractContextManager[Authority]: ...


@dataclass(frozen=True, slots=True)
class NamedAuthorities:
    """Those of `[authorities.NAME]`: at its sandbox where one is set, else the service itself."""

    tables: Mapping[str, AuthoritySettings]

    @contextmanager
    def authority(self, name: str) -> Iterator[Authority]:
        table = self.tables.get(name)
        with authority_of(name, self.tables, live=table is None or not table.sandbox_url) as authority:
            yield authority


@dataclass(frozen=True, slots=True)
class Telling:
    """How an authority is told: how patiently, and what waits."""

    patience: ReportPatience = field(default_factory=ReportPatience)
    wait: Callable[[float], None] = time.sleep


def report_to(
    request: Verifying, name: str, authorities: Authorities, telling: Telling | None = None, disk: Disk | None = None
) -> Result:
    """Tells an authority of every confirmed picture that it was not told of; without `live` says what it would be."""
    telling = telling or Telling()
    with ExitStack() as opened:
        authority = opened.enter_context(authorities.authority(name))
        live = authority.abilities.live
        run = opened.enter_context(
            opened_book(request.run, request.identities, request.config_folder, disk, with_sandboxes=not live)
        )
        journal = ReportBook(run.book, name, request.settings.report.preserve_days, live=live)
        pictures = told_pictures(run.book, journal.known())
        news = [told for told in pictures if journal.standing(told.id).receipt is None and told.urls]
        for line in _plan(run.book, authority.abilities, pictures, news, journal):
            request.say(line)
        if not request.live:
            return Result(complete=True, hits=0, lines=("nothing was sent; --live sends",))
        if not news:
            journal.close()
            return Result(complete=True, hits=0, lines=("there is nothing to report",))
        if not request.agreed(len(news)):
            raise Stop("nothing was sent: the count was not confirmed", hint="type the number, or say --yes-send N")
        journal.cases = {told.id: [case.id for case in told.cases] for told in news}
        letters = [letter_of(told, _found_at(run)) for told in news]
        authority.ready()
        result = report(letters, authority, journal, telling.wait, telling.patience)
        journal.close()
        done = result.tally[ReportOutcome.REPORTED] + result.tally[ReportOutcome.REPORTED_BEFORE]
        trouble = next((one.trouble for one in result.onward if one.trouble), "")
        if trouble:
            raise Stop(
                f"{name} did not answer as it should: {trouble}; {len(news) - done:,} pictures are not reported",
                hint="every receipt is kept; the same command goes on, and reports no picture twice",
            )
        return Result(complete=True, hits=0, lines=(f"{done:,} pictures reported to {name}", *_kept(request, run)))


def _found_at(run: OpenRun) -> datetime:
    """The run's beginning: its matches were found from then on."""
    return datetime.fromisoformat(str(run.known["created"]))


def _plan(
    book: Casebook, body: Abilities, pictures: Sequence[Told], news: Sequence[Told], journal: ReportBook
) -> Iterator[str]:
    """What would be told to whom, in counts."""
    addresses = sum(len(told.urls) for told in news)
    yield f"{len(pictures):,} confirmed pictures; {len(news):,} of them are to be reported, at {addresses:,} addresses"
    gap = 2.0 / body.requests_per_second if body.requests_per_second else 0.0  # opened, then finished
    time_needed = f", about {duration_words(gap * len(news))}" if gap * len(news) >= 1 else ""
    yield f"{body.name} ({body.party}): {len(news):,} reports, one for each picture{time_needed}"
    yield f"  it learns: {body.learns}"
    without = sum(not told.urls for told in pictures)
    if without:
        yield f"  {without:,} confirmed pictures have no address: this authority cannot be told of them by address"
    done = journal.told_cases()
    late = sum(case.id not in done for told in pictures if journal.standing(told.id).receipt for case in told.cases)
    if late:
        yield f"  {late:,} cases of pictures that it was told of came later: their addresses are not in its reports"
    for state in (CaseState.HARMFUL_NOT_ILLEGAL, CaseState.TEST):
        cases = sum(len(exhibit.cases) for exhibit in book.in_state(state))
        if cases:
            yield f"  never reported: {shown(cases)} cases that are {state.value}"


def _kept(request: Verifying, run: OpenRun) -> Iterator[str]:
    days = request.settings.report.preserve_days
    yield f"receipts are sealed in the run; keep it for {days} days, `vetset status {request.run}` says until when"
    told, open_ = (shown(run.book.counts()[state.value]) for state in (CaseState.REPORTED, CaseState.CONFIRMED))
    yield f"{told} cases are reported, {open_} are confirmed and not reported"


# --- by hand ----------------------------------------------------------------------------------------------------------


def report_by_bundle(
    request: Verifying, out: Path, recipients: Sequence[str], body: str, disk: Disk | None = None
) -> Result:
    """Seals the confirmed pictures for an authority that is told by hand. `report_receipt` then says that it was."""
    to = check_recipients(recipients)
    if not to:
        raise Stop("a bundle is sealed to an authority's key", hint="name it with --to age1...")
    must_be_apart(request.run, out)
    with opened_book(request.run, request.identities, request.config_folder, disk) as run:
        journal = ReportBook(run.book, body, request.settings.report.preserve_days)
        pictures = [told for told in told_pictures(run.book, journal.known()) if not _is_told(journal, told)]
        if not pictures:
            return Result(complete=True, hits=0, lines=("there is nothing to report",))
        at = request.moment()
        exhibits = [exhibit for told in pictures for exhibit in told.exhibits]
        made = bundle.made(exhibits, to, body, at)
        for told in pictures:
            journal.opened(told.id, made.id)
        bundle.put(made, Sink(out.absolute(), disk), body, at)
        journal.close()
        words = f"{len(pictures):,} confirmed pictures sealed for {body} in {out}: bundle {made.id}"
        hint = f"once it is handed over: vetset report {request.run} --receipt {made.id} --body NAME"
        return Result(complete=True, hits=0, lines=(words, hint))


def _is_told(journal: ReportBook, told: Told) -> bool:
    return journal.standing(told.id).receipt is not None


def report_receipt(request: Verifying, bundle_id: str, body: str, disk: Disk | None = None) -> Result:
    """Notes that an authority has a bundle: its pictures are reported, and are to be kept from now on."""
    with opened_book(request.run, request.identities, request.config_folder, disk) as run:
        journal = ReportBook(run.book, body, request.settings.report.preserve_days)
        pictures = {told.id: told for told in told_pictures(run.book, journal.known())}
        named = [name for name in pictures if journal.standing(name).report_id == bundle_id]
        if not named:
            raise Stop(f"no bundle {bundle_id} was made for {body}", hint="name both as `report --bundle` said them")
        news = [name for name in named if not _is_told(journal, pictures[name])]
        journal.cases = {name: [case.id for case in pictures[name].cases] for name in news}
        for name in news:
            journal.finished(name, Receipt(bundle_id, request.now(), {"by": "hand"}))
        journal.close()
        return Result(complete=True, hits=0, lines=(f"{len(news):,} pictures reported to {body}", *_kept(request, run)))


def named_authorities(request: Verifying) -> Authorities:
    """Those of the settings."""
    return NamedAuthorities(request.settings.authorities)
