"""A fetched list in an audit: what a body shares hits rows, and what it withdraws no longer does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.commanding import HIT_DIGEST, User, at_work
from tests.exchanging import spelled
from vetset.testing.ncmec_server import PASSWORD, USER, Exchanged, SharedEntry, ncmec_server
from vetset.testing.serving import Served

THEN = datetime.now(UTC) - timedelta(days=3)


@pytest.fixture
def user() -> Iterator[User]:
    with at_work() as someone:
        yield someone


def settings(user: User, served: Served) -> Path:
    word, path = user.root / "home" / "word", user.root / "home" / "exchanges.toml"
    word.parent.mkdir(exist_ok=True)
    word.write_text(f"{USER}:{PASSWORD}")
    word.chmod(0o600)
    since = (THEN - timedelta(days=1)).date()
    path.write_text(
        f'[exchanges.ncmec]\nsandbox_url = "{served.url}"\ncredentials_file = "word"\nfolder = "lists"\nsince = "{since}"\n'
    )
    return path


def hits(user: User, run: str, version: int) -> int:
    path = user.root / "home" / "lists" / f"ncmec-sandbox-{version}.vsl"
    ran = user.vetset(
        "audit", user.place.dataset, "--lists", path, "--out", user.root / run, "--runner", "serial", "--quiet"
    )
    assert ran.status == 0, ran.err
    assert (
        user.vetset(
            "vault", "open", user.root / run, "--identity", user.custodian, "--out", user.root / f"{run}.jsonl"
        ).status
        == 0
    )
    lines = [json.loads(line) for line in (user.root / f"{run}.jsonl").read_text("utf-8").splitlines()]
    return len([line for line in lines if line.get("outcome") == "hit"])


def test_from_a_body_to_an_audit_and_back(user: User) -> None:
    books = Exchanged(
        [
            SharedEntry("listed", spelled(THEN), {"md5": HIT_DIGEST}),
            SharedEntry("other", spelled(THEN), {"md5": "07" * 16}),
        ],
        page_entries=1,
    )
    with ncmec_server(books) as served:
        named = settings(user, served)
        ran = user.vetset("lists", "fetch", "ncmec", "--settings", named)
        assert ran.status == 0, ran.err
        assert hits(user, "run-1", 1) > 0
        books.said.append(SharedEntry("listed", spelled(datetime.now(UTC) - timedelta(minutes=1)), deleted=True))
        ran = user.vetset("lists", "fetch", "ncmec", "--settings", named)
        assert "1 withdrawn" in ran.err
        assert hits(user, "run-2", 2) == 0
