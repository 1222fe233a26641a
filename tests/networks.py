"""Tests that need a network of their own: a file's run again in one process in namespaces, where the servers listen.

Mark one with `own_network` and start its servers in its body: fixtures run outside too. `needs_network` skips where the
system allows no namespaces, which CI does not accept.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from tests.tools import needed
from vetset.testing.network import in_own_network

ROOT = Path(__file__).parent.parent
INSIDE = "VETSET_TEST_IN_OWN_NETWORK"
REPORT = "VETSET_TEST_REPORT"


def inside() -> bool:
    return INSIDE in os.environ


@lru_cache(maxsize=1)
def possible(folder: Path) -> bool:
    done = subprocess.run(in_own_network(["true"], folder), capture_output=True, check=False)
    return done.returncode == 0


def needs_network(folder: Path) -> None:
    needed("unshare")
    needed("ip")
    if not possible(folder) and "CI" not in os.environ:
        pytest.skip("this system allows no network namespaces")


def run_inside(
    words: list[str], folder: Path, *, report: Path | None = None, timeout_seconds: int = 300
) -> subprocess.CompletedProcess[str]:
    """A command in a network of its own; what it printed."""
    needs_network(folder)
    environment = {**os.environ, INSIDE: "1", "PYTHONPATH": str(ROOT), REPORT: str(report or "")}
    return subprocess.run(
        in_own_network(words, folder),
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout_seconds, check=False,
    )  # fmt: skip


def run_shown(words: list[str], folder: Path) -> int:
    """A command in a network of its own that prints for itself; its exit status."""
    environment = {**os.environ, INSIDE: "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(in_own_network(words, folder), cwd=ROOT, env=environment, check=False).returncode


def run_again_inside(item: pytest.Function) -> None:
    """Fails as the test failed in a process of its own, in a network of its own: all those of a file run in one."""
    folder = _shared_folder(item.config) / item.path.stem
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be at the same file
        report = folder / "report"
        if not report.exists():
            _run_file(item, folder, report)
    found = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    mine = [entry for entry in found if entry["test"] == item.nodeid]
    if not mine:
        pytest.fail("it did not run in its own network:\n" + (folder / "printed").read_text("utf-8"), pytrace=False)
    said = "\n".join(entry["said"] for entry in mine if entry["outcome"] == "failed")
    if said:
        pytest.fail(f"in its own network:\n{said}", pytrace=False)
    if any(entry["outcome"] == "skipped" for entry in mine):
        pytest.skip("skipped in its own network")


def _run_file(item: pytest.Function, folder: Path, report: Path) -> None:
    """Runs every test of the item's file that this session has and that needs its own network."""
    tests = [
        other.nodeid
        for other in item.session.items
        if other.path == item.path and other.get_closest_marker("own_network") is not None
    ]
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", *tests]
    done = run_inside(words, folder / "network", report=report, timeout_seconds=900)
    (folder / "printed").write_text(done.stdout + done.stderr, "utf-8")
    report.touch()


def _shared_folder(config: pytest.Config) -> Path:
    """A folder of this session, the same for all its workers."""
    base: Path = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    return (base.parent if hasattr(config, "workerinput") else base) / "own-network"


def note(report: pytest.TestReport) -> None:
    """Inside: what became of a test, for whoever waits outside."""
    name = os.environ.get(REPORT)
    if name and (report.when == "call" or report.outcome != "passed"):
        line = json.dumps({"test": report.nodeid, "outcome": report.outcome, "said": report.longreprtext})
        with Path(name).open("a", encoding="utf-8") as out:
            out.write(line + "\n")
