"""The small audit of pictures that crashes: a tar, a folder and a Parquet with bytes, and something of everything.

In it: the dataset with its lists, and a sandbox that outlives its audits. Not in it: faults, and what is tried (`campaign`).
Rules: the sandbox is the real one, children and all; only its end is put off, since a crash is tried thousands of times.
A forked child that goes on into a fault never speaks to the child of the process it was forked from.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from unittest import mock

import pyarrow as pa

from tests import picture_oracle as oracle
from tests.driving import Place
from vetset.config import Settings
from vetset.sandbox.room import Sandbox
from vetset.testing.pictures import jpeg, picture, turned
from vetset.testing.tars import SyntheticSample, write_tar_shard
from vetset.wiring import worker

#: Pictures near to one entry in more rows than this are held.
SPREAD_LIMIT = 2


def shot(number: int, quality: int = 90) -> bytes:
    return jpeg(picture(number, width=96, height=72), quality=quality)


def address(name: str) -> str:
    return f"https://{name}.example/"


def write_pictures(root: Path) -> Place:
    """Listed are 1 by digest, 2 and 3 by PDQ; copies of 3 stand in too many rows. `shared` is a hit's and another's URL."""
    place = Place(root)
    bodies = [("plain", shot(50)), ("shared", shot(1)), ("near", shot(2, quality=50)), ("noisy0", shot(3))]
    rows = [
        SyntheticSample(key=f"{number:09d}", body=body, url=address(name), caption="shapes")
        for number, (name, body) in enumerate(bodies)
    ]
    write_tar_shard(place.dataset, "00000", rows, side_parquet=True, stats=True)
    folder = place.dataset / "cats"
    folder.mkdir()
    turn = jpeg(turned(picture(2, width=96, height=72), 1))
    for name, body in {"a.jpg": shot(51), "b.jpg": shot(3, quality=60), "c.jpg": turn, "d.jpg": shot(1)[:200]}.items():
        (folder / name).write_bytes(body)
    (folder / "a.txt").write_text("shapes", "utf-8")
    pictures = [shot(52), shot(53), shot(3, quality=70)]
    names = ["shared", "other", "noisy2"]
    place.write({"p.parquet": pa.table({"url": [address(name) for name in names], "jpg": pictures})})
    pdq = [oracle.prints_of(jpeg(picture(number, width=96, height=72), quality=100))[0][0].hex() for number in (2, 3)]
    place.list_of("one", {"md5": [hashlib.md5(shot(1)).hexdigest()]})
    place.list_of("two", {"pdq": pdq})
    return place


class _Standing:
    """In place of a worker's decoders: one sandbox for all audits of a process, and none for a fork of it."""

    sandbox: Sandbox | None = None
    pid = 0

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self) -> Sandbox:
        if _Standing.sandbox is None or _Standing.pid != os.getpid():
            _Standing.sandbox = Sandbox(self._settings.fingerprint, self._settings.sandbox)
            _Standing.pid = os.getpid()
        return _Standing.sandbox

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


@contextmanager
def standing_sandbox() -> Iterator[None]:
    """Audits within share a sandbox, which ends here."""
    with mock.patch.object(worker, "_Decoders", _Standing):
        try:
            yield
        finally:
            if _Standing.sandbox is not None and _Standing.pid == os.getpid():
                _Standing.sandbox.close()
            _Standing.sandbox = None
