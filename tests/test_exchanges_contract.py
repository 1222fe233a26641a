"""Every exchange keeps the contract."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.exchanging import document_bodies, hma_body, ncmec_body
from vetset.testing import hashlist_contract as contract
from vetset.testing.hashlist_contract import Body

LAWS = [
    contract.check_versions,
    contract.check_nothing_new,
    contract.check_plan_asks_nothing,
    contract.check_patience,
    contract.check_we_are_not_let_in,
    contract.check_giving_up_and_going_on,
    contract.check_killed_anywhere,
    contract.check_silence,
]
BODIES = {
    "ncmec": ncmec_body,
    "ncmec-one-page": lambda: ncmec_body(1000),
    "hma": hma_body,
    "hma-one-part": lambda: hma_body(1000),
    "csv": document_bodies("csv"),
    "json": document_bodies("json"),
    "csv-untagged": document_bodies("csv", tagged=False),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_contract(body: Callable[[], AbstractContextManager[Body]]) -> None:
    contract.check_all(body)
