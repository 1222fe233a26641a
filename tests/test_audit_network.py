"""Whole audits that fetch over real sockets, in a network of their own, against the slow oracle; and the port's laws."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.fetching import Site, site_in, wanted
from tests.webs import JPEG, PICTURE, fetcher, small_web
from vetset.config import FetchSettings, RunSettings
from vetset.records import FetchOutcome
from vetset.testing import fetcher_contract
from vetset.testing.memory_web import Page as MemoryPage
from vetset.testing.web import NOT_FOUND, Page, Pages, Seen

pytestmark = pytest.mark.own_network

HASTY = FetchSettings(milliseconds_between_requests=0, timeout_seconds=10, retries=0)


def over_http(site: Site) -> Site:
    """The same rows and pages by http, and what is dead simply gone: what one small web can serve."""
    gone = MemoryPage(outcome=FetchOutcome.GONE, status=404)
    site.pages = {
        url.replace("https://", "http://"): pages if pages[-1].outcome is FetchOutcome.FETCHED else (gone,)
        for url, pages in site.pages.items()
    }
    for rows in site.rows.values():
        for row in rows:
            row["url"] = row["url"] and row["url"].replace("https://", "http://")
    site.write()
    return site


def pages_of(site: Site) -> Pages:
    alive = {url: Page(page.body) for url, (*_, page) in site.pages.items() if page.outcome is FetchOutcome.FETCHED}

    def page_of(seen: Seen) -> Page:
        return alive.get(f"http://{seen.host}{seen.path}", NOT_FOUND)

    return page_of


@pytest.mark.parametrize("runner", ["serial", "local"])
def test_an_audit_over_sockets_removes_what_the_oracle_says(tmp_path: Path, runner: str) -> None:
    site = over_http(site_in(tmp_path, 2))
    running = RunSettings(runner=runner, workers=2, batch_rows=16, part_seconds=1)
    with small_web(pages_of(site)) as served:
        result = site.audit(fetchers=None, fetch=HASTY, run_settings=running)
    assert result.complete
    expected = wanted(site)
    assert {"hit", "near_hit"} <= set(expected.values())
    assert site.removed() == {at for at, what in expected.items() if what != "held"}
    asked = Counter(f"http://{seen.host}{seen.path}" for seen in served.seen)
    robots = {url: count for url, count in asked.items() if urlsplit(url).path == "/robots.txt"}
    assert set(asked) - set(robots) <= set(site.pages)
    assert {count for url, count in asked.items() if url not in robots} == {1}
    assert max(robots.values()) <= 2  # a host belongs to one worker, which asks it once a round what it allows
    assert all("audit@vetset.example" in seen.headers["user-agent"] for seen in served.seen)


def test_the_fetcher_keeps_the_laws_of_its_port() -> None:
    def page_of(seen: Seen) -> Page:
        pages = {"/gone": NOT_FOUND, "/words": Page(b"<html>no picture</html>"), "/shut": Page(b"", 403)}
        return pages.get(seen.path, PICTURE)

    site = fetcher_contract.Site(
        bodies={f"http://h{number}.test/{number}.jpg": JPEG for number in range(9)},
        others={
            "http://a.test/gone": FetchOutcome.GONE,
            "http://a.test/words": FetchOutcome.NOT_AN_IMAGE,
            "http://b.test/shut": FetchOutcome.REFUSED,
            "http://nowhere.test/1.jpg": FetchOutcome.DNS,
            "http://127.0.0.1/1.jpg": FetchOutcome.BLOCKED_ADDRESS,
        },
        most_ahead=40_000,
    )
    with small_web(page_of):
        fetcher_contract.check_fetcher(fetcher, site)
