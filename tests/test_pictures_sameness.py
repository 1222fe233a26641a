"""The same result of an audit of pictures on any runner, with any number of workers, and after killed processes."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests import picture_oracle as oracle
from tests.driving import Place
from tests.test_sameness import children_of
from vetset.config import RunSettings
from vetset.testing.folders import write_folder_shard
from vetset.testing.pictures import jpeg, picture
from vetset.testing.tars import SyntheticSample, write_tar_shard


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("planted"))
    listed = picture(5)
    bodies = [jpeg(picture(number)) for number in range(20, 26)]
    for shard in range(4):
        mine = [*bodies[shard:], jpeg(listed), jpeg(listed, quality=40 + shard), b"no picture at all", *bodies[:shard]]
        rows = [
            SyntheticSample(key=f"{shard:05d}{number:04d}", body=body, url=f"https://a.example/{number}", caption="")
            for number, body in enumerate(mine)
        ]
        (write_folder_shard if shard % 2 else write_tar_shard)(place.dataset, f"{shard:05d}", rows)
    lists = {"md5": [hashlib.md5(jpeg(listed)).hexdigest()], "pdq": [oracle.prints_of(jpeg(listed))[0][0].hex()]}
    place.list_of("bodies", lists)
    return place


def elsewhere(planted: Place, folder: Path) -> Place:
    class Beside(Place):
        dataset = property(lambda _: planted.dataset)

    return Beside(folder, planted.lists)


@pytest.fixture(scope="module")
def undisturbed(planted: Place, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = elsewhere(planted, tmp_path_factory.mktemp("undisturbed"))
    assert place.audit(reach="local", run_settings=RunSettings(runner="serial")).complete
    return place.sameness()


@pytest.mark.parametrize("workers", [1, 3])
def test_any_runner_gives_the_same(planted: Place, undisturbed: dict[str, Any], workers: int, tmp_path: Path) -> None:
    place = elsewhere(planted, tmp_path)
    assert place.audit(reach="local", run_settings=RunSettings(runner="local", workers=workers)).complete
    assert place.sameness() == undisturbed


def test_killed_decoders_change_nothing(planted: Place, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    """A decoding child is killed from outside; its picture is tried once more in a fresh one."""
    place = elsewhere(planted, tmp_path)
    stop = threading.Event()
    killed: list[int] = []

    def killer() -> None:
        while not killed and not stop.is_set():
            for child in children_of(os.getpid()):
                words = Path(f"/proc/{child}/cmdline").read_bytes()
                if b"vetset.sandbox" in words and not killed:
                    os.kill(child, signal.SIGKILL)
                    killed.append(child)
            stop.wait(0.005)

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        result = place.audit(reach="local", run_settings=RunSettings(runner="serial"))
    finally:
        stop.set()
        thread.join()
    assert killed
    assert result.complete
    assert place.sameness() == undisturbed
