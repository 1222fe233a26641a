"""Real files through real children: every malformed and every odd file ends in a named outcome, sound ones give the
same PDQ as the reference on Pillow's pixels, and nothing of a picture is written anywhere.
"""

from __future__ import annotations

import ast
import io
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.campaign_pictures import campaign
from tests.sandboxes import DATA, canary, child_of, counts, encoded, files_under, pictures_of, sandbox
from vetset.records import FingerprintOutcome, View

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data are not here")

Outcome = FingerprintOutcome
FACTS = {Outcome.FINGERPRINTED, Outcome.UNDECODABLE, Outcome.UNSUPPORTED, Outcome.TOO_LARGE}


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(("folder", "files"), [("malformed", 440), ("formats", 98), ("pdq", 20)])
def test_every_file_ends_in_a_named_outcome_and_the_child_lives(folder: str, files: int) -> None:
    bodies = [path.read_bytes() for path in files_under(folder)]
    assert len(bodies) >= files
    with sandbox(required=True) as room:
        list(room.decode(pictures_of(bodies)))
        pid, before = child_of(room), peak_bytes()
        for _ in range(2):
            found = counts(room.decode(pictures_of(bodies)))
        grown = peak_bytes() - before
        assert child_of(room) == pid or len(bodies) * 3 > 1000
    assert set(found) <= FACTS
    assert found.total() == len(bodies)
    assert grown < 16 << 20


def test_formats_that_are_not_decoded_are_named() -> None:
    paths = files_under("formats")
    with sandbox() as room:
        answers = list(room.decode(pictures_of(path.read_bytes() for path in paths)))
    for path, answer in zip(paths, answers, strict=True):
        decodes = path.suffix in {".jpg", ".png", ".gif", ".webp", ".mpo"}
        assert (answer.outcome is Outcome.UNSUPPORTED) == (not decodes), path.name


@pytest.mark.filterwarnings("ignore:Palette images:UserWarning")
def test_pdq_equals_the_reference_on_pillows_pixels() -> None:
    """Bit for bit, also where another decoder than Pillow was used."""
    pdqhash = pytest.importorskip("pdqhash")
    paths = files_under("benign")[::4]
    with sandbox() as room:
        answers = list(room.decode(pictures_of(path.read_bytes() for path in paths)))
    for path, answer in zip(paths, answers, strict=True):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        vectors, quality = pdqhash.compute_dihedral(pixels)
        first = answer.views[0]
        assert first.view is View.FIRST
        assert (first.pdq == np.packbits(np.array(vectors, np.uint8), axis=1)).all(), path.name
        assert first.quality == quality


@pytest.mark.parametrize(
    "options",
    [{"quality": 50}, {"quality": 95, "subsampling": 0}, {"progressive": True}, {"quality": 75, "subsampling": 1}],
)
def test_the_quick_decoder_gives_pillows_pixels(options: dict[str, int]) -> None:
    from vetset.sandbox.views import Looking, _by_pillow, _jpeg_pixels

    for number, size in enumerate([(160, 120), (33, 57), (1, 1), (8, 300), (641, 17)]):
        body = encoded(canary(number, *size), "JPEG", **options)
        assert (_jpeg_pixels(body, Looking()) == _by_pillow(body, Looking())).all()


def test_the_sandbox_knows_no_neighbour() -> None:
    """Neither what reads datasets nor what holds keys and lists: what a child loads is only what it needs."""
    known = {
        "vetset",
        "vetset.config",
        "vetset.errors",
        "vetset.records",
        "vetset.ports",
        "vetset.kernels",
        "vetset.sandbox",
    }
    for path in sorted((Path(__file__).parent.parent / "src" / "vetset" / "sandbox").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            ours = {".".join(name.split(".")[:2]) for name in names if name.split(".")[0] == "vetset"}
            assert ours <= known, path.name


def test_a_wrong_name_changes_nothing() -> None:
    """There is no name: bodies alone cross to the child. This holds the interface to it."""
    from vetset.sandbox.wire import Request

    assert set(Request.__dataclass_fields__) == {"number", "offset", "length", "stored"}


WATCHED = """
import sys
from tests.sandboxes import *
bodies = [encoded(canary(number), kind) for number in range(20) for kind in ("JPEG", "PNG", "WEBP")]
bodies += [path.read_bytes() for path in files_under("malformed")]
bodies += [encoded(canary(number), "JPEG")[:900] for number in range(20)]
with sandbox() as room:
    print(len(list(room.decode(pictures_of(bodies)))))
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_nothing_of_a_picture_is_written_to_a_file(tmp_path: Path) -> None:
    """strace over worker and children: no file is opened for writing, and no call that writes holds a body's bytes."""
    record = tmp_path / "calls"
    calls = (
        "trace=openat,open,creat,write,writev,pwrite64,sendto,sendmsg,rename,renameat2,unlink,mkdir,truncate,ftruncate"
    )
    done = subprocess.run(
        ["strace", "-f", "-qq", "-s", "2000", "-xx", "-e", calls, "-o", record, sys.executable, "-B", "-c", WATCHED],
        cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.stdout.strip() == "520", done.stderr[-2000:]
    lines = record.read_text("ascii", "replace").splitlines()
    assert any("read" in line or "open" in line for line in lines)
    null = "".join(f"\\x{byte:02x}" for byte in b"/dev/null")
    assert not [
        line for line in lines if "O_WRONLY" in line or ("O_RDWR" in line and null not in line) or "O_CREAT" in line
    ]
    pieces = [
        body[len(body) // 2 :][:24] for body in (encoded(canary(n), k) for n in range(20) for k in ("JPEG", "PNG"))
    ]
    text = "\n".join(lines)
    assert not [piece for piece in pieces if "".join(f"\\x{byte:02x}" for byte in piece) in text]


def test_mutated_files_end_in_named_outcomes() -> None:
    """A few thousand of the campaign, which is a command of its own: python -m tests.campaign_pictures."""
    found = campaign(files=4000, processes=1, seed=5)
    assert found.outcomes.total() == 4000
    assert set(found.outcomes) <= {outcome.value for outcome in FACTS}
    assert found.alarms == 0
    assert found.grown_bytes < 64 << 20


def test_pixels_stay_where_they_are() -> None:
    """What one picture's answer costs on the wire does not depend on the picture."""
    from vetset.sandbox.wire import MOST_OTHER_BYTES, Kind, pack_replies, reply_bytes

    assert reply_bytes(()) < 512
    assert reply_bytes((Kind("x", MOST_OTHER_BYTES),)) <= 4096
    with sandbox() as room:
        answers = list(room.decode(pictures_of([encoded(canary(1, side, side), "JPEG") for side in (16, 1600)])))
    assert len({len(pack_replies(1, a.outcome, a.views, ())) for a in answers}) == 1
    assert len(io.BytesIO(pack_replies(1, Outcome.UNDECODABLE, (), ())).getvalue()) == reply_bytes(())
