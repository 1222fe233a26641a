"""The commands around runs that fetch, with a web in memory behind them: budgets, verbs, digests kept, what is said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.commanding import User
from tests.driving import Place, Silent
from tests.fetching import AGREED, Site, body_of, md5, site_in, wanted
from vetset.config import AgreementSettings, BudgetSettings, FetchSettings, with_budgets
from vetset.datasets.formats import ByFormat
from vetset.errors import ShardError, Stop, Trouble
from vetset.ledger import open_run
from vetset.records import Answer, Column, FetchOutcome, Request, RowBatch, Sealed, Shard
from vetset.testing.memory_web import MemoryFetcher, Page
from vetset.vault import Vault, open_keys
from vetset.wiring import job, opening

SETTINGS = '[agreement]\nlegal_basis = "a synthetic test"\ncontact = "audit@vetset.example"\n[run]\npart_seconds = 0\n'


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return site_in(tmp_path, 21, shards=2, rows=20)


@pytest.fixture
def user(site: Site, monkeypatch: pytest.MonkeyPatch) -> User:
    """At a terminal, with the site's web in the place of the network."""
    monkeypatch.setattr(opening, "fetcher_of", site.web)
    (site.place.root / "agreed.toml").write_text(SETTINGS)
    return User(site.place)


def fetching(user: User, *more: object) -> list[object]:
    return [*user.audit_words("--reach", "fetch", "--settings", user.root / "agreed.toml"), *more]


def test_an_audit_that_fetches_by_the_command_line(user: User, site: Site) -> None:
    ran = user.vetset(*fetching(user, "--clean", site.place.cleaned, "--json", "--fail-on-hit"))
    assert ran.status == 4, ran.err
    published = json.loads(ran.out)
    assert published == site.place.summary()
    assert published["fetch"]["asked"] == sum(site.web.asked().values())
    assert published["run"]["reach"] == "fetch"
    assert any("addresses asked" in line for line in published["sentences"])


def test_the_verbs_one_at_a_time_end_where_they_say(user: User, site: Site) -> None:
    assert user.vetset(*fetching(user, "--budget", 5)).status == 0
    asked = site.web.asked()
    for verb in ("fetch", "match", "expand"):
        assert user.vetset(verb, site.place.run, "--runner", "serial", "--quiet").status == 0
    assert site.web.asked() == asked
    assert sum(asked.values()) == 5


def test_status_counts_the_shards_of_a_run_that_fetches(user: User, site: Site) -> None:
    site.audit()
    ran = user.vetset("status", site.place.run)
    assert ran.status == 0
    assert "match    2 of 2 shards" in ran.err + ran.out
    assert re.search(r"fetch-1  [123] groups of hosts", ran.err + ran.out)  # a key decides which hosts share a group


def test_without_an_agreement_nothing_is_asked(site: Site) -> None:
    for agreement in (AgreementSettings(), AgreementSettings(legal_basis="x"), AgreementSettings(contact="  y")):
        with pytest.raises(Stop, match=r"\[agreement\]"):
            site.audit(agreement=agreement)
    assert not site.web.asked()
    assert not site.place.run.exists()


def test_lists_that_hold_addresses_alone_are_no_reason_to_ask(site: Site) -> None:
    only = Place(site.place.root / "only")
    only.root.mkdir()
    only.list_of("addresses", {"url": ["https://listed.example/1"]})
    with pytest.raises(Stop, match="compared with nothing"):
        job.audit(only.request(**site.options(), dataset=str(site.place.dataset)), Silent(), lambda: 0.0)
    assert not site.web.asked()


def test_another_budget_is_another_run_and_another_floor_is_not(site: Site) -> None:
    site.audit()
    with pytest.raises(Stop, match=r"other settings: \[budget\]"):
        site.audit(resume=True, budget=BudgetSettings(host_groups=3, urls=5))
    assert site.audit(resume=True, budget=BudgetSettings(host_groups=3, success_floor=0.9)).complete


@pytest.mark.parametrize("changed", [{"robots": False}, {"max_bytes": 9}, {"ports": (80,)}])
def test_another_rule_of_asking_is_another_run(site: Site, changed: dict[str, Any]) -> None:
    site.audit()
    with pytest.raises(Stop, match=r"other settings: \[fetch\]"):
        site.audit(resume=True, fetch=FetchSettings(**changed))


def test_more_patience_is_the_same_run(site: Site) -> None:
    site.audit()
    patient = FetchSettings(timeout_seconds=90, retries=5, connections_per_host=1, contact="other@vetset.example")
    assert site.audit(resume=True, fetch=patient).complete


def test_a_contact_that_cannot_stand_in_a_request_is_refused_at_once(site: Site) -> None:
    with pytest.raises(Stop, match="no contact that can stand in a request"):
        site.audit(agreement=replace(AGREED, contact="a person (somewhere)"))
    assert not site.place.run.exists()
    assert not site.web.asked()


def test_the_agreement_stands_in_the_run_and_in_the_summary(site: Site) -> None:
    site.audit()
    assert AGREED.legal_basis in (site.place.run / "run.toml").read_text()
    assert site.place.summary()["fetch"]["legal_basis"] == AGREED.legal_basis


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["5000"], BudgetSettings(urls=5000)),
        (["12h"], BudgetSettings(hours=12.0)),
        (["1.5 h", "20GB"], BudgetSettings(hours=1.5, bytes=20 * 10**9)),
        (["7 urls", "1b"], BudgetSettings(urls=7, bytes=1)),
    ],
)
def test_budgets_as_they_are_typed(words: list[str], wanted: BudgetSettings) -> None:
    assert with_budgets(BudgetSettings(), words) == wanted


@pytest.mark.parametrize("text", ["", "ten", "0", "-1", "1.5", "0h", "20XB", "1e9", "99999999h", "5 5"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(Stop, match="--budget"):
        with_budgets(BudgetSettings(), [text])


# --- digests ----------------------------------------------------------------------------------------------------------


def test_digests_are_dropped_unless_they_are_asked_for(site: Site) -> None:
    site.audit()
    assert not (site.place.run / "digests").exists()


def test_digests_that_are_kept_are_sealed_and_say_what_was_fetched(site: Site) -> None:
    site.audit(keep_digests=True)
    ledger, known = open_run(site.place.run)
    kept = Vault(ledger.sink, open_keys(ledger), known["recipients"], folder="digests")
    lines = [
        line
        for path in sorted((site.place.run / "digests/fetch-1").glob("*.age"))
        for line in kept.lines("fetch-1", path.name.removesuffix(".age"))
    ]
    fetched = {url for url in site.web.asked() if site.pages[url][0].outcome is FetchOutcome.FETCHED}
    rows = {name: site.rows[name] for name in site.rows}
    found = {(rows[line["shard"]][line["row"]]["url"], line["md5"]) for line in lines}
    assert found == {(url, md5(site.pages[url][0].body)) for url in fetched}
    assert all(len(view[2]) == 8 * 64 for line in lines for view in line["pdq"])
    assert site.audit(keep_digests=True, resume=True).complete


# --- findings ---------------------------------------------------------------------------------------------------------


def test_a_finding_is_bound_to_its_row_the_digest_of_the_bytes_and_the_time(site: Site) -> None:
    site.audit()
    rows = site.rows["part-0.parquet"]
    (line,) = [
        line
        for line in site.place.findings()
        if (line["step"], line["shard"], line["row"]) == ("match", "part-0.parquet", 2)
    ]
    assert line["url"] == rows[2]["url"]
    assert line["computed"]["md5"] == md5(body_of(2, 1))
    assert line["served_at"] == "2027-01-15T08:00:00+00:00"
    assert line["matches"][0]["near"]["distance"] <= 31


def test_bytes_that_are_not_the_recorded_ones_are_compared_and_named(site: Site) -> None:
    site.rows["part-0.parquet"][2]["md5"] = md5(b"what it was then")
    site.write()
    site.audit()
    assert site.place.summary()["pictures"]["outcomes"]["changed_content"] >= 1
    assert ("part-0.parquet", 2) in site.removed()


def test_what_is_no_picture_is_compared_by_its_digests(site: Site) -> None:
    url = site.rows["part-1.parquet"][5]["url"] = "https://text.example/page.html"
    site.rows["part-1.parquet"][5]["md5"] = None
    site.pages[url] = (Page(b"<html>no picture</html>"),)
    site.listed_md5.add(md5(b"<html>no picture</html>"))
    site.write()
    site.audit()
    assert ("part-1.parquet", 5) in site.removed()


def test_rows_beyond_the_budget_are_counted_as_not_asked_about(site: Site) -> None:
    site.audit(budget=BudgetSettings(urls=4, host_groups=3))
    fetched = site.place.summary()["fetch"]
    assert fetched["asked"] == 4
    assert fetched["unasked"] > 0
    assert fetched["candidates"] > fetched["unasked"]
    assert any("were not asked about" in line for line in site.place.summary()["sentences"])


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_closed_run_is_cleaned_by_the_custodian(site: Site) -> None:
    site.audit(clean=None)
    wanted = site.removed()
    job.close(site.place.run)
    result = job.clean(site.place.request(**site.options(resume=True)), Silent(), lambda: 0.0)
    assert result.complete
    kept = sum(len(rows) for rows in site.rows.values()) - len(wanted)
    assert site.place.summary()["fetch"]["asked"] == sum(site.web.asked().values())
    assert sum(pq.read_table(path).num_rows for path in site.place.cleaned.glob("*.parquet")) == kept


def test_a_shard_that_failed_is_asked_about_once_it_is_done(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ByFormat.batches

    def failing(dataset: ByFormat, shard: Shard, columns: frozenset[Column]) -> Iterator[RowBatch]:
        if shard.path == "part-1.parquet":
            raise ShardError(Trouble.UNREADABLE, "a device error")
        yield from whole(dataset, shard, columns)

    monkeypatch.setattr(ByFormat, "batches", failing)
    assert not site.audit().complete
    monkeypatch.undo()
    first = site.web.asked()
    request = site.place.request(**site.options(resume=True))
    assert job.go_on(request, Silent(), lambda: 0.0, until="clean", only=("failed",)).complete
    assert site.removed() == {at for at, what in wanted(site).items() if what != "held"}
    assert all(site.web.asked()[url] == 1 for url in first)


@pytest.mark.parametrize("spoil", ["no answer", "no body", "a body too many", "twice"])
def test_a_fetcher_that_breaks_its_contract_fails_its_group_and_is_tried_again(
    site: Site, spoil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = MemoryFetcher.fetch

    def spoiled(fetcher: MemoryFetcher, requests: Iterable[Request]) -> Iterator[Answer]:
        for number, answer in enumerate(whole(fetcher, requests)):
            if number != 5:
                yield answer
            elif spoil == "no body":
                yield replace(answer, outcome=FetchOutcome.FETCHED, body=None)
            elif spoil == "a body too many":
                yield replace(answer, outcome=FetchOutcome.GONE, body=Sealed(b"x"))
            elif spoil == "twice":
                yield from (answer, answer)

    monkeypatch.setattr(MemoryFetcher, "fetch", spoiled)
    assert not site.audit(budget=BudgetSettings(host_groups=1)).complete
    fetched = site.place.summary()["fetch"]
    assert fetched["failed_groups"] == 1
    assert any("1 group of hosts could not be done" in line for line in site.place.summary()["sentences"])
    monkeypatch.undo()
    before = site.web.asked()
    request = site.place.request(**site.options(resume=True, budget=BudgetSettings(host_groups=1)))
    again = job.go_on(request, Silent(), lambda: 0.0, until="clean", only=("failed",))
    assert again.complete
    more = site.web.asked() - before
    assert max(site.web.asked().values()) <= 2  # what shared a batch with the breach was not committed
    assert spoil != "no answer" or sum(more.values()) == 1
