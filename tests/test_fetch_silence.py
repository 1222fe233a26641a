"""No address, body or fingerprint leaves an audit that fetches, and what is in clear tells nothing by what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests import picture_oracle
from tests.canaries import files_below, leaks
from tests.commanding import User
from tests.fetching import Site, body_of, md5, site_in
from tests.test_fetch_commands import SETTINGS
from tests.test_pictures_silence import with_comment
from vetset.config import RunSettings
from vetset.ledger import Ledger
from vetset.records import FetchOutcome
from vetset.stages.fetch import WEB_RECORD
from vetset.testing.memory_web import Page
from vetset.wiring import opening

CANARY = b"CANARY-c4n4ry-of-a-fetched-picture-0123456789"
BY_COLUMNS = "https://c4n4ry-columns.example/1.jpg"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Findings by columns, by digest and by PDQ; the bodies bear a canary, and so do the addresses."""
    site = site_in(tmp_path, 31, shards=2, rows=15)
    rows = site.rows["part-0.parquet"]
    exact, near = (with_comment(body, CANARY) for body in (body_of(5), body_of(2, 1)))
    for at, (url, body) in enumerate(
        [("https://c4n4ry-exact.example/1.jpg", exact), ("https://c4n4ry-near.example/2.jpg", near)]
    ):
        rows[at] = {"url": url, "md5": None, "punsafe": 0.5}
        site.pages[url] = (Page(body),)
    rows[2] = {"url": BY_COLUMNS, "md5": md5(b"listed by its digest"), "punsafe": 0.5}
    site.listed_md5 |= {md5(exact), md5(b"listed by its digest")}
    site.write()
    return site


def canaries(site: Site) -> list[str]:
    rows = site.rows["part-0.parquet"][:3]
    bodies = [site.pages[row["url"]][0].body for row in rows if row["url"] in site.pages]
    prints = [bits.hex() for body in bodies for bits in picture_oracle.prints_of(body)[0]]
    return [CANARY.decode(), *(row["url"] for row in rows), *map(md5, bodies), md5(b"listed by its digest"), *prints]


@pytest.mark.parametrize("keep", [False, True])
def test_no_canary_in_any_output_or_file_outside_the_vault(
    site: Site, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    monkeypatch.setattr(opening, "fetcher_of", site.web)
    monkeypatch.setattr("vetset.cli.progress.INTERVAL_SECONDS", 0.01)
    (site.place.root / "agreed.toml").write_text(SETTINGS)
    user = User(site.place)
    words = [word for word in user.audit_words("--reach", "fetch", "--json") if word != "--quiet"]
    words += ["--settings", user.root / "agreed.toml", "--clean", site.place.cleaned]
    ran = user.vetset(*words, *(["--keep-digests"] if keep else []))
    assert ran.status == 0, ran.err
    assert {("part-0.parquet", at) for at in range(3)} <= site.removed()
    assert "addresses/s" in ran.err
    texts = [("stdout", ran.out.encode()), ("stderr", ran.err.encode())]
    texts += files_below(site.place.run, site.place.cleaned, user.root / "home")
    assert leaks(texts, canaries(site)) == []
    every_address = [url for url in site.web.asked() if url not in canaries(site)]
    in_run = [("stdout", ran.out.encode()), ("stderr", ran.err.encode()), *files_below(site.place.run)]
    assert leaks(in_run, every_address[:10]) == []


def test_no_canary_in_what_a_killed_run_leaves(site: Site) -> None:
    from tests.faults import Fault, FaultyDisk, Killed

    disk = FaultyDisk()
    site.audit(disk=disk)
    parts = [number for number, operation in enumerate(disk.operations) if "-parts/" in str(operation.path)]
    import shutil

    for folder in (site.place.run, site.place.cleaned):
        shutil.rmtree(folder)
    with pytest.raises(Killed):
        site.audit(disk=FaultyDisk(fault=Fault(parts[len(parts) // 2], "kill")))
    assert leaks(files_below(site.place.run), canaries(site)) == []


def test_what_a_fetcher_chokes_on_is_told_by_its_place_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the thread of the intake quotes an address; what is recorded does not."""
    from vetset.testing import memory_web

    def choke(_: object, request: object) -> None:
        raise RuntimeError(f"could not resolve {BY_COLUMNS} {CANARY.decode()} {request.url.unseal()}")  # type: ignore[attr-defined]

    monkeypatch.setattr(memory_web.MemoryFetcher, "_answer", choke)
    result = site.audit()
    assert not result.complete
    assert any("a group of hosts" in line for line in result.lines)
    said = "\n".join(result.lines).encode()
    assert leaks([("lines", said), *files_below(site.place.run)], canaries(site)) == []
    failures = Ledger(site.place.run).failures("fetch-1")
    assert {failure.trouble for failure in failures.values()} == {"internal_error"}
    assert all("RuntimeError" in failure.place for failure in failures.values())


# --- by what is missing -----------------------------------------------------------------------------------------------


def test_rows_hit_by_columns_stand_among_those_that_were_asked(site: Site) -> None:
    site.audit()
    joins = site.place.run / "joins"
    records = np.fromfile(joins / "part-0.parquet.web", WEB_RECORD)
    compared = np.fromfile(joins / "part-0.parquet.compared", np.uint8)
    assert compared[:3].tolist() == [1, 1, 1]
    data = (joins / "fetch.hashes").read_bytes()
    head, _, rest = data.partition(b"\n")
    sizes = json.loads(head)
    lists = np.frombuffer(rest, "<u8")
    covered = set(lists[: sizes["covered"]].tolist())
    looked = set(lists[sizes["covered"] : sizes["covered"] + sizes["compared"]].tolist())
    hit = int(records["asked"][2])
    assert hit in covered
    assert hit in looked


def test_no_file_in_clear_counts_pictures_or_requests_by_shard(site: Site) -> None:
    site.audit()
    for path in (site.place.run / "manifests/match").glob("*.json"):
        assert json.loads(path.read_bytes())["tally"] == {}
    assert not (site.place.run / "results/match").exists()
    table = pq.read_table(site.place.run / "results/fetch/gathered.parquet", partitioning=None).to_pylist()
    assert sum(line["pictures"] for line in table if line["what"] == "fetch") == sum(site.web.asked().values())
    for path in (site.place.run / "manifests/fetch-1").glob("hosts-*.json"):
        allowed = {outcome.value for outcome in FetchOutcome}
        assert set(json.loads(path.read_bytes())["tally"]) <= allowed


def test_the_plan_in_clear_says_the_rules_and_not_the_rows(site: Site) -> None:
    site.audit(run_settings=RunSettings(runner="serial"))
    plan = json.loads((site.place.run / "results/fetch-1/plan.json").read_text())
    assert set(plan) == {"round", "seed", "strata", "random_share", "drawn", "budget", "rounds", "groups"}
    manifest = json.loads((site.place.run / "manifests/fetch-1/plan.json").read_text())
    assert manifest["products"]["plan"]["name"] == "results/fetch-1/plan.json"
    for path in (site.place.run / "manifests/fetch-1").glob("hosts-*.json"):
        assert json.loads(path.read_bytes())["materials"]["plan"] == manifest["digest"]
