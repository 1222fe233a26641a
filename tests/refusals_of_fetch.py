"""More refused commands: around `--reach fetch`. None of them opens a socket, mended or not."""

from __future__ import annotations

import pyarrow.parquet as pq

from tests.commanding import User, table
from tests.refusals import Words, case, good, on, with_lists
from tests.refusals_of_runs import CASES

__all__ = ["CASES"]

AGREED = '[agreement]\nlegal_basis = "a test"\ncontact = "audit@vetset.example"\n'


def settings(user: User, text: str = AGREED) -> Words:
    (user.root / "agreed.toml").write_text(text)
    return ["--settings", user.root / "agreed.toml"]


@case("fetch without an agreement")
def _(user: User) -> Words:
    return [*good(user), "--reach", "fetch"]


@case("fetch under an agreement without a contact")
def _(user: User) -> Words:
    return [*good(user), "--reach", "fetch", *settings(user, '[agreement]\nlegal_basis = "a test"\ncontact = " "\n')]


@case("fetch with lists of addresses alone")
def _(user: User) -> Words:
    return [*with_lists(user, user.place.lists[1]), "--reach", "fetch", *settings(user)]


@case("fetch without a column of addresses", lambda user: on(user, user.root / "bare"))
def _(user: User) -> Words:
    (user.root / "bare").mkdir()
    pq.write_table(table(0).select(["TEXT", "md5"]), user.root / "bare" / "a.parquet")
    return [*on(user, user.root / "bare"), "--reach", "fetch", *settings(user)]


@case("fetch with a random share above one")
def _(user: User) -> Words:
    return [*good(user), "--reach", "fetch", *settings(user, f"{AGREED}[budget]\nrandom_share = 1.5\n")]


@case("a budget that is none")
def _(user: User) -> Words:
    return [*good(user), "--reach", "fetch", *settings(user), "--budget", "ten"]


@case("a budget without fetch")
def _(user: User) -> Words:
    return [*good(user), "--budget", 10]


@case("digests kept without fetch")
def _(user: User) -> Words:
    return [*good(user), "--keep-digests"]


@case("fetch of a run that fetches nothing", lambda user: ["status", user.place.run])
def _(user: User) -> Words:
    assert user.audit().status == 0
    return ["fetch", user.place.run]
