"""The campaign over a generated web in small, as a command of its own, and what it must find wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import networks
from tests.campaign_web import INTERVAL_MILLISECONDS, WINDOW_REQUESTS, Bodies, differences, marked, too_often
from tests.tools import needed
from vetset.testing.web import Seen

ROOT = Path(__file__).parent.parent


def test_a_small_web_is_audited_killed_resumed_and_traced(tmp_path: Path) -> None:
    networks.needs_network(tmp_path)
    needed("strace")
    words = ["--pictures", "60", "--kills", "1", "--traced", "24", "--seed", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaign_web", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0].partition(" ")[0] for line in lines] == ["undisturbed", "killed", "traced"]
    assert all(line.endswith("; 0 wrong") for line in lines)


def seen(host: str, at_seconds: float) -> Seen:
    return Seen(host, "/", at_seconds, 0, {})


def test_a_host_asked_at_the_allowed_rate_is_not_asked_too_often() -> None:
    steady = [seen("a.test", number * INTERVAL_MILLISECONDS / 1000) for number in range(3 * WINDOW_REQUESTS)]
    assert too_often([*steady, seen("b.test", 0.0), seen("b.test", 0.1)]) == []


def test_a_host_asked_too_often_for_a_while_is_found() -> None:
    rate = INTERVAL_MILLISECONDS / 1000
    hasty = [seen("a.test", 9 + number * rate / 3) for number in range(2 * WINDOW_REQUESTS)]
    steady = [seen("a.test", 20 + number * rate) for number in range(2 * WINDOW_REQUESTS)]
    assert [line.partition(":")[0] for line in too_often([*hasty, *steady])] == ["a.test"]


def test_bodies_differ_and_look_alike() -> None:
    bodies = Bodies([b"\xff\xd8one", b"\xff\xd8other"], 5)
    assert len({bodies[number] for number in range(5)}) == 5
    assert bodies[3] == marked(b"\xff\xd8other", 3)


def test_books_that_differ_are_named_without_what_stands_in_them() -> None:
    assert differences({"rows": 1, "hits": 2}, {"rows": 1, "hits": 3}) == ["hits is not that of the undisturbed run"]
