"""The same result on any runner, with any number of workers, batch size and row group, and after killed workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.driving import Place
from vetset.config import PolicySettings, Rule, RunSettings
from vetset.testing.plants import plant
from vetset.testing.rows import write_shards

ROWS = 4_000


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, int]:
    place = Place(tmp_path_factory.mktemp("planted"))
    write_shards(place.dataset, ROWS, 5, seed=7, row_group_rows=300)
    plants = plant(place.dataset, place.root / "sources", seed=7)
    for name, source in plants.lists.items():
        shutil.copy(source, place.root / f"{name}.txt")
        values: dict[str, list[str]] = {}
        for line in source.read_text("utf-8").splitlines():
            if not line.startswith("#"):
                signal_name, _, value = line.partition(" ")
                values.setdefault(signal_name, []).append(value)
        place.list_of(name, values)
    return place, plants.spread_limit


def elsewhere(planted: tuple[Place, int], folder: Path) -> tuple[Place, dict[str, Any]]:
    """The same dataset and lists, another run."""
    source, limit = planted

    class Beside(Place):
        dataset = property(lambda _: source.dataset)

    policy = PolicySettings(rules=(Rule(punsafe_above=0.9),))
    return Beside(folder, source.lists), {"spread_limit": limit, "policy": policy}


@pytest.fixture(scope="module")
def undisturbed(planted: tuple[Place, int], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place, settings = elsewhere(planted, tmp_path_factory.mktemp("undisturbed"))
    assert place.audit(run_settings=RunSettings(runner="serial"), **settings).complete
    return place.sameness()


@pytest.mark.parametrize(
    "run_settings",
    [
        RunSettings(runner="serial", batch_rows=1),
        RunSettings(runner="serial", batch_rows=97),
        RunSettings(runner="local", workers=1),
        RunSettings(runner="local", workers=3, batch_rows=1000),
    ],
    ids=lambda item: f"{item.runner}-{item.workers}-{item.batch_rows}",
)
def test_any_runner_gives_the_same(
    planted: tuple[Place, int], undisturbed: dict[str, Any], run_settings: RunSettings, tmp_path: Path
) -> None:
    place, settings = elsewhere(planted, tmp_path)
    assert place.audit(run_settings=run_settings, **settings).complete
    assert place.sameness() == undisturbed


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    return [int(word) for word in text.split()]


def workers_of(pid: int) -> Iterator[int]:
    for child in children_of(pid):
        command = Path(f"/proc/{child}/cmdline").read_bytes()
        if b"spawn_main" in command:
            yield child


def test_killed_workers_change_nothing(planted: tuple[Place, int], undisturbed: dict[str, Any], tmp_path: Path) -> None:
    place, settings = elsewhere(planted, tmp_path)
    stop = threading.Event()
    killed: list[int] = []

    def killer() -> None:
        """Kills each worker that shows up, until two are dead (three could quarantine a shard): by what is seen."""
        while len(killed) < 2 and not stop.is_set():
            for worker in workers_of(os.getpid()):
                if worker not in killed and len(killed) < 2 and any((place.run / "manifests").rglob("*.json")):
                    os.kill(worker, signal.SIGKILL)
                    killed.append(worker)
            stop.wait(0.05)

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        result = place.audit(run_settings=RunSettings(runner="local", workers=2), **settings)
    finally:
        stop.set()
        thread.join()
    assert killed
    assert result.complete
    assert place.sameness() == undisturbed


def test_an_interrupted_run_resumes_to_the_same(planted: tuple[Place, int], tmp_path: Path) -> None:
    place, _ = elsewhere(planted, tmp_path)
    lists = [word for path in place.lists for word in ("--lists", str(path))]
    command = [str(Path(sys.executable).parent / "vetset"), "audit", str(place.dataset), *lists]
    command += ["--out", str(place.run), "--clean", str(place.cleaned), "--workers", "1", "--quiet"]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "home")}
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    while running.poll() is None and not list((place.run / "manifests").rglob("*.json")):
        threading.Event().wait(0.01)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode in {130, 0}
    if running.returncode == 130:
        assert b"--resume" in errors
    done = subprocess.run([*command, "--resume"], env=environment, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    other, _ = elsewhere(planted, tmp_path / "other")
    other.root.mkdir()
    assert other.audit(run_settings=RunSettings(runner="serial")).complete
    assert place.sameness() == other.sameness()
