"""Whole audits that fetch: against the slow oracle over a web in memory, on any runner, and after kills at any point."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commanding import files_of
from tests.driving import Place
from tests.faults import Fault, FaultyDisk, Killed
from tests.fetching import Site, md5, site_in, wanted
from tests.test_sameness import workers_of
from vetset.config import BudgetSettings, RunSettings
from vetset.ledger import Ledger, open_run
from vetset.pipeline import fetching
from vetset.pipeline.observed import NONE, REQUEST, fill, unobserved
from vetset.records import FetchOutcome
from vetset.testing.memory_web import Page
from vetset.vault import Vault
from vetset.wiring import worker

SERIAL = RunSettings(runner="serial", batch_rows=16, part_seconds=0)


@pytest.mark.parametrize("seed", range(4))
def test_the_removed_set_is_the_oracles(tmp_path: Path, seed: int) -> None:
    site = site_in(tmp_path, seed)
    assert site.audit().complete
    expected = wanted(site)
    assert {"hit", "near_hit"} <= set(expected.values())
    assert site.removed() == {at for at, what in expected.items() if what != "held"}
    assert set(site.web.asked().values()) == {1}
    assert open_run(site.place.run)[0].verify(site.place.cleaned) == []


def test_a_value_that_too_many_rows_bear_does_not_spread_and_its_hits_still_go(tmp_path: Path) -> None:
    site = site_in(tmp_path, 9)
    assert site.audit(spread_limit=2).complete
    expected = wanted(site, limit=2)
    assert "held" in expected.values()
    found = site.place.outcomes()
    assert {at for at, what in found.items() if what != "held"} == {
        at for at, what in expected.items() if what != "held"
    }


def test_every_row_that_bears_the_address_of_a_finding_is_found_however_many_they_are(tmp_path: Path) -> None:
    site = site_in(tmp_path, 3)
    url = "https://h1.example/shared.jpg"
    site.pages[url] = (Page(site.pages[site.rows["part-0.parquet"][0]["url"]][0].body),)
    for rows in site.rows.values():
        rows[10:14] = [{"url": spelled, "md5": None, "punsafe": 0.1} for spelled in (url, url, f"{url}#top", url)]
    site.write()
    site.audit(spread_limit=2)
    assert {(name, at) for name in site.rows for at in range(10, 14)} <= site.removed()
    assert site.web.asked()[url] == 1


def test_a_mirror_is_asked_where_the_first_address_of_a_digest_is_dead(tmp_path: Path) -> None:
    site = site_in(tmp_path, 4)
    rows = site.rows["part-1.parquet"]
    body = site.pages[site.rows["part-0.parquet"][2]["url"]][0].body  # near to a listed picture, in no list by digest
    for at, url in enumerate(("https://a.example/dead.jpg", "https://b.example/alive.jpg"), start=20):
        rows[at] = {"url": url, "md5": md5(body + b" "), "punsafe": 0.5}
    site.pages["https://b.example/alive.jpg"] = (Page(body),)
    site.write()
    site.audit()
    assert ("part-1.parquet", 21) in site.removed()
    assert site.web.asked()["https://a.example/dead.jpg"] == 1


def test_a_digest_that_was_seen_is_not_asked_again_elsewhere(tmp_path: Path) -> None:
    site = site_in(tmp_path, 5)
    rows, body = site.rows["part-2.parquet"], b"no picture, but the bytes that were recorded"
    for at in range(20, 25):
        url = f"https://m{at}.example/same.jpg"
        rows[at] = {"url": url, "md5": md5(body), "punsafe": 0.5}
        site.pages[url] = (Page(body),)
    site.write()
    site.audit()
    assert sum(count for url, count in site.web.asked().items() if url.endswith("/same.jpg")) == 1


def test_hits_by_columns_and_what_they_reach_are_never_asked(tmp_path: Path) -> None:
    site = site_in(tmp_path, 6)
    rows = site.rows["part-0.parquet"]
    listed = md5(b"known by its digest alone")
    rows[20] = {"url": "https://x.example/1.jpg", "md5": listed, "punsafe": 0.99}
    rows[21] = {"url": "https://x.example/1.jpg", "md5": md5(b"another"), "punsafe": 0.99}
    rows[22] = {"url": "https://x.example/2.jpg", "md5": md5(b"another"), "punsafe": 0.99}
    site.listed_md5.add(listed)
    site.write()
    site.audit()
    assert not [url for url in site.web.asked() if url.startswith("https://x.example/")]
    assert {("part-0.parquet", at) for at in (20, 21, 22)} <= site.removed()


# --- the same on any runner -------------------------------------------------------------------------------------------


def elsewhere(site: Site, folder: Path) -> Site:
    """The same dataset, lists and web; another run, with a log of its own."""

    class Beside(Place):
        dataset = property(lambda _: site.place.dataset)

    place = Beside(folder, site.place.lists)
    return Site(place, site.rows, site.pages, site.listed_md5, site.listed_pdq)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return site_in(tmp_path_factory.mktemp("site"), 11, rows=25)


@pytest.fixture(scope="module")
def undisturbed(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    other = elsewhere(site, tmp_path_factory.mktemp("undisturbed"))
    assert other.audit().complete
    return other.place.sameness()


@pytest.mark.parametrize(
    "run_settings",
    [
        RunSettings(runner="serial", batch_rows=1),
        RunSettings(runner="local", workers=1, part_seconds=0),
        RunSettings(runner="local", workers=3, batch_rows=7),
    ],
    ids=lambda item: f"{item.runner}-{item.workers}-{item.batch_rows}",
)
def test_any_runner_gives_the_same(
    site: Site, undisturbed: dict[str, Any], run_settings: RunSettings, tmp_path: Path
) -> None:
    other = elsewhere(site, tmp_path)
    assert other.audit(run_settings=run_settings).complete
    assert other.place.sameness() == undisturbed
    assert set(other.web.asked().values()) == {1}


def test_resuming_what_is_done_asks_nothing_and_changes_nothing(
    site: Site, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    other = elsewhere(site, tmp_path)
    other.audit()
    before, files = other.web.asked(), files_of(other.place.run)
    other.audit(resume=True)
    assert other.web.asked() == before
    assert other.place.sameness() == undisturbed
    after = files_of(other.place.run)
    assert after.keys() == files.keys()
    same = ("run.toml", "manifests", "results", "joins", "vault/screen", "vault/fetch", "vault/match", "vault/clean")
    assert [name for name in files if name.startswith(same) and files[name] != after[name]] == []


def test_addresses_are_read_in_blocks_and_asked_by_turns(
    site: Site, undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "BLOCK_REQUESTS", 5)
    other = elsewhere(site, tmp_path)
    assert other.audit().complete
    assert other.place.sameness() == undisturbed
    assert set(other.web.asked().values()) == {1}


# --- killed anywhere --------------------------------------------------------------------------------------------------


def committed(run: Path) -> Iterator[tuple[int, int]]:
    """(shard, row) of every address whose outcome stands in a part or in a group's file."""
    ledger = Ledger(run)
    vault = opened(run, ledger)
    for plan in sorted((run / "vault").glob("fetch-?/hosts-*.plan.age")):
        step, name = plan.parent.name, plan.name.removesuffix(".plan.age")
        head, *lines = vault.lines(step, f"{name}.plan")
        requests, observed = np.zeros(head["count"], REQUEST), unobserved(head["count"])
        fill(requests, lines)
        names = [(step, name)] if ledger.done(step, name) else []
        parts = sorted((run / "vault" / f"{step}-parts").glob(f"{name}.*.age"))
        names += [(f"{step}-parts", path.name.removesuffix(".age")) for path in parts]
        for where, what in names:
            (_, *found), _ = vault.observed(where, what)
            fill(observed, found)
        done = observed["outcome"] != NONE
        yield from zip(requests["shard"][done].tolist(), requests["row"][done].tolist(), strict=True)


def opened(run: Path, ledger: Ledger) -> Vault:
    from vetset.vault import open_keys

    return Vault(ledger.sink, open_keys(ledger), open_run(run)[1]["recipients"])


def urls_of(site: Site, places: Iterator[tuple[int, int]]) -> set[str]:
    names = sorted(site.rows)
    return {site.rows[names[shard]][row]["url"] for shard, row in places}


def fetch_operations(site: Site) -> tuple[int, int]:
    """The numbers of the first and the last operation of an undisturbed run that belong to fetch."""
    disk = FaultyDisk()
    site.audit(disk=disk)
    numbers = [number for number, operation in enumerate(disk.operations) if "fetch" in str(operation.path)]
    shutil.rmtree(site.place.run)
    shutil.rmtree(site.place.cleaned)
    site.web.log.unlink()  # type: ignore[union-attr]
    return numbers[0], numbers[-1]


@pytest.mark.parametrize(("kind", "points"), [("kill", 5), ("power", 3)])
def test_killed_anywhere_and_resumed_gives_the_same_and_asks_nothing_committed_again(
    site: Site, undisturbed: dict[str, Any], tmp_path: Path, kind: str, points: int
) -> None:
    other = elsewhere(site, tmp_path)
    first, last = fetch_operations(other)
    again: Counter[str] = Counter()
    for at in np.linspace(first, last, points).astype(int).tolist():
        with pytest.raises(Killed):
            other.audit(disk=FaultyDisk(fault=Fault(at, kind)))
        kept, before = urls_of(other, committed(other.place.run)), other.web.asked()
        assert other.audit(resume=True).complete
        after = other.web.asked()
        assert {url: after[url] for url in kept} == {url: before[url] for url in kept}
        assert other.place.sameness() == undisturbed
        assert open_run(other.place.run)[0].verify(other.place.cleaned) == []
        again.update({"kept": len(kept)})
        for folder in (other.place.run, other.place.cleaned):
            shutil.rmtree(folder)
        other.web.log.unlink()  # type: ignore[union-attr]
    assert again["kept"] > len(other.pages) // 4  # the kills struck where something was committed


# --- tried again ------------------------------------------------------------------------------------------------------


def test_troubles_make_a_run_incomplete_and_are_tried_again_alone(tmp_path: Path) -> None:
    from tests.driving import Silent
    from vetset.wiring import job

    site = site_in(tmp_path, 12, rows=20)
    planted = [row["url"] for row in site.rows["part-0.parquet"][2:4]]
    troubles = dict(zip(planted, (FetchOutcome.TIMEOUT, FetchOutcome.SERVER_ERROR), strict=True))
    whole = {url: site.pages[url][0] for url in planted}
    site.pages.update({url: (Page(outcome=what, status=0), whole[url]) for url, what in troubles.items()})
    first = site.audit()
    assert not first.complete
    assert any("--only server_error" in line and "--only timeout" in line for line in first.lines)
    asked = site.web.asked()
    request = site.place.request(**site.options(resume=True))
    only_one = job.go_on(request, Silent(), lambda: 0.0, until="clean", only=("timeout",))
    assert not only_one.complete
    assert site.web.asked() == asked + Counter([planted[0]])
    then = job.go_on(request, Silent(), lambda: 0.0, until="clean", only=("server_error",))
    assert then.complete
    assert site.web.asked() == asked + Counter(planted)
    assert site.removed() == {at for at, what in wanted(site).items() if what != "held"}
    left = job.go_on(request, Silent(), lambda: 0.0, until="clean", only=("timeout",))
    assert any("nothing to try again" in line for line in left.lines)


# --- budgets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("urls", [1, 7, 30])
def test_a_budget_in_addresses_is_kept(tmp_path: Path, urls: int) -> None:
    site = site_in(tmp_path, 13)
    assert site.audit(budget=BudgetSettings(urls=urls, host_groups=3)).complete
    assert sum(site.web.asked().values()) == urls


def test_a_budget_in_bytes_ends_the_asking_soon(tmp_path: Path) -> None:
    site = site_in(tmp_path, 13)
    site.audit()
    everything = sum(site.web.asked().values())
    shutil.rmtree(site.place.run)
    shutil.rmtree(site.place.cleaned)
    site.web.log.unlink()  # type: ignore[union-attr]
    site.audit(budget=BudgetSettings(bytes=1, host_groups=3, rounds=2))
    assert 0 < sum(site.web.asked().values()) < everything
    assert set(site.web.asked().values()) == {1}


@dataclass(frozen=True)
class Clock:
    """A room whose clock goes on by a second each time that it is asked, as far as parts look at a room."""

    ticks: Iterator[int] = field(default_factory=lambda: iter(range(10**9)))

    def __call__(self) -> float:
        return float(next(self.ticks))


def test_a_budget_in_hours_ends_the_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which every look takes a second: three groups share what is left of ten seconds."""
    site, clock = site_in(tmp_path, 13), Clock()
    whole = worker.room_of
    monkeypatch.setattr(worker, "room_of", lambda *given: replace(whole(*given), clock=clock))
    site.audit(budget=BudgetSettings(hours=10 / 3600, host_groups=3, rounds=1))
    asked = sum(site.web.asked().values())
    fetched = site.place.summary()["fetch"]
    assert 0 < asked == fetched["asked"]
    assert fetched["unanswered"] > 0
    assert any("were not asked about" in line for line in site.place.summary()["sentences"])


def test_killed_workers_lose_little_and_change_nothing(site: Site, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    other = elsewhere(site, tmp_path)
    stop = threading.Event()
    killed: list[int] = []

    def killer() -> None:
        """Kills a worker once something was asked: by what is seen, and only one, so that no group is quarantined."""
        while not killed and not stop.is_set():
            if sum(other.web.asked().values()) > 5:
                for pid in list(workers_of(os.getpid()))[:1]:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
            stop.wait(0.002)

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        result = other.audit(run_settings=RunSettings(runner="local", workers=2, part_seconds=0))
    finally:
        stop.set()
        thread.join()
    assert killed
    assert result.complete
    assert other.place.sameness() == undisturbed
    assert max(other.web.asked().values()) <= 2
