"""Servers that misbehave: each ends inside its deadline and its cap of bytes, and comes to what it must."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostility import Round, faults, rounds
from vetset.testing.hostile_web import BEHAVIOURS

pytestmark = pytest.mark.own_network


def test_there_are_enough_of_them_and_each_has_its_own_host() -> None:
    assert len(BEHAVIOURS) >= 45
    assert len({behaviour.host for behaviour in BEHAVIOURS}) == len(BEHAVIOURS)


def test_every_behaviour_comes_to_what_it_must(tmp_path: Path) -> None:
    done: list[Round] = list(rounds(tmp_path, 2))
    assert [fault for one in done for fault in faults(one)] == []
    assert done[1].grown_bytes < 64 * 1024 * 1024
