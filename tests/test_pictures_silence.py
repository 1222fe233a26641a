"""No picture, fingerprint or address of a hit leaves a whole audit of pictures, by any file or output.

The command runs as users run it. A listed picture bears a canary in its own bytes; its digests and PDQ are canaries
too. strace shows every write of every process.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import picture_oracle as oracle
from tests.canaries import files_below, leaks
from tests.driving import Place
from tests.tools import needed
from vetset.testing.folders import write_folder_shard, write_parquet_shard
from vetset.testing.pictures import jpeg, picture
from vetset.testing.tars import SyntheticSample, write_tar_shard

WRITERS: dict[str, Any] = {"tar": write_tar_shard, "files": write_folder_shard, "parquet": write_parquet_shard}
CANARY = b"CANARY-c4n4ry-of-a-picture-0123456789abcdef"


def with_comment(body: bytes, comment: bytes) -> bytes:
    """A JPEG with a comment segment behind its first marker (ITU-T T.81, B.2.4.5)."""
    return body[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + body[2:]


@pytest.fixture(params=["tar", "files", "parquet"])
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Place, list[str]]:
    """Two shards with a listed picture by digest, one by PDQ, and harmless ones; and what must not be seen."""
    place = Place(tmp_path)
    exact = with_comment(jpeg(picture(1)), CANARY)
    near = with_comment(jpeg(picture(2), quality=50), CANARY)
    rows = [
        SyntheticSample(key=f"{number:09d}", body=body, url=url, caption="shapes")
        for number, (body, url) in enumerate(
            [
                (jpeg(picture(50)), "https://harmless.example/50.jpg"),
                (exact, "https://c4n4ry-exact.example/1.jpg"),
                (jpeg(picture(51)), "https://harmless.example/51.jpg"),
                (near, "https://c4n4ry-near.example/2.jpg"),
            ]
        )
    ]
    for name in ("00000", "00001"):
        WRITERS[request.param](place.dataset, name, rows)
    turned, _ = oracle.prints_of(jpeg(picture(2), quality=95))
    lists = {"md5": [hashlib.md5(exact).hexdigest()], "pdq": [turned[0].hex()]}
    place.list_of("bodies", lists)
    prints = [bits.hex() for body in (exact, near) for bits in oracle.prints_of(body)[0]]
    digests = [hashlib.new(name, body).hexdigest() for body in (exact, near) for name in ("md5", "sha1", "sha256")]
    urls = ["https://c4n4ry-exact.example/1.jpg", "https://c4n4ry-near.example/2.jpg"]
    return place, [CANARY.decode(), *urls, *digests, *prints, turned[0].hex()]


def command(place: Place) -> list[str]:
    lists = [word for path in place.lists for word in ("--lists", str(path))]
    where = ["--out", str(place.run), "--clean", str(place.cleaned), "--workers", "2"]
    return [
        str(Path(sys.executable).parent / "vetset"),
        "audit",
        str(place.dataset),
        "--reach",
        "local",
        *lists,
        *where,
    ]


def environment(place: Place) -> dict[str, str]:
    temporary = place.root / "tmp"
    temporary.mkdir(exist_ok=True)
    return {**os.environ, "XDG_CONFIG_HOME": str(place.root / "home"), "TMPDIR": str(temporary)}


def test_no_canary_in_any_output_or_file_outside_the_vault(scene: tuple[Place, list[str]]) -> None:
    place, canaries = scene
    done = subprocess.run(
        [*command(place), "--json"], env=environment(place), capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert len(place.findings()) == 4
    roots = [place.run, place.cleaned, place.root / "tmp", place.root / "home"]
    texts = [("stdout", done.stdout), ("stderr", done.stderr), *files_below(*roots)]
    assert leaks(texts, canaries) == []


def test_no_write_of_any_process_holds_a_listed_picture(scene: tuple[Place, list[str]]) -> None:
    place, _ = scene
    trace = place.root / "trace"
    calls = "trace=write,pwrite64,writev,pwritev,sendto,sendmsg,sendfile,copy_file_range,splice"
    strace = [needed("strace"), "-f", "-y", "-s", "1000000", "-e", calls, "-o", str(trace), "--"]
    done = subprocess.run(
        [*strace, *command(place)], env=environment(place), capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    lines = trace.read_text("latin-1").splitlines()
    assert any(str(place.run) in line for line in lines)
    holding = [line for line in lines if CANARY.decode() in line]
    to_files = [line[:200] for line in holding if not re.search(r"\(\d+<(pipe|socket|/memfd|anon)", line)]
    assert to_files == []
