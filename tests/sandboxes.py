"""What the tests of the sandbox share: pictures made on the spot, files of the shared data, a sandbox, and kinds that
misbehave. A kind is the real way by which foreign code runs in a locked-in child, so that escapes are tried through it.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vetset.config import FingerprintSettings, SandboxSettings
from vetset.records import Decoded, FingerprintOutcome, Picture, Sealed, Stored
from vetset.sandbox.level import SandboxLevel
from vetset.sandbox.room import Sandbox

U8 = npt.NDArray[np.uint8]

DATA = Path(__file__).parent.parent.parent / "shared" / "data"


def canary(number: int, width: int = 160, height: int = 120) -> Image.Image:
    """A picture of nothing with detail enough for a full PDQ, unlike that of every other number."""
    random = np.random.default_rng([77, number])
    small = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8), "RGB")
    return small.resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pictures_of(bodies: Iterable[bytes], stored: Stored | None = None) -> list[Picture]:
    return [Picture(row, Sealed(body), {}, stored or Stored()) for row, body in enumerate(bodies)]


def files_under(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((DATA / folder).rglob("*")) if path.is_file()]
    return [path for path in found if path.suffix != ".csv"]


@contextmanager
def sandbox(
    *,
    strongest: SandboxLevel = SandboxLevel.SECCOMP_LANDLOCK,
    pictures_of_a_child: int = 1000,
    required: bool = False,
    timeout_seconds: int = 10,
    memory_bytes: int = 1024 * 1024 * 1024,
    **fingerprint: Any,
) -> Iterator[Sandbox]:
    limits = SandboxSettings(required=required, timeout_seconds=timeout_seconds, memory_bytes=memory_bytes)
    with Sandbox(
        FingerprintSettings(**fingerprint), limits, strongest=strongest, pictures_of_a_child=pictures_of_a_child
    ) as room:
        yield room


def outcomes(answers: Iterable[Decoded]) -> list[str]:
    return [answer.outcome.value for answer in answers]


def counts(answers: Iterable[Decoded]) -> Counter[FingerprintOutcome]:
    return Counter(answer.outcome for answer in answers)


def child_of(room: Sandbox) -> int:
    assert room._child is not None
    return room._child._process.pid


def bits_apart(one: U8, other: U8) -> int:
    return int(np.bitwise_count(np.bitwise_xor(one, other)).sum())


def nearest(answer: Decoded, wanted: U8) -> int:
    """Bits between a value and the nearest orientation of any view."""
    return min((bits_apart(turn, wanted) for view in answer.views for turn in view.pdq), default=256)


def _objects() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([None], object), allow_pickle=True)
    return buffer.getvalue()


#: An array that cannot be read without unpickling.
OBJECTS = _objects()

# --- kinds that misbehave ---------------------------------------------------------------------------------------------

#: A picture of this width is what they wait for: the samples of the warm-up are 8 pixels wide.
TRIGGER_WIDTH = 161


class _Kind:
    name = "test"
    width_bytes = 4

    def compute(self, rgb: U8) -> bytes | None:
        if rgb.shape[1] == TRIGGER_WIDTH:
            self.misbehave()
        return b"fine" if rgb.shape[1] > 8 else None

    def misbehave(self) -> None:
        """What is tried."""


class Opens(_Kind):
    def misbehave(self) -> None:
        os.open("/etc/passwd", os.O_RDONLY)


class Lists(_Kind):
    def misbehave(self) -> None:
        os.listdir("/")  # noqa: PTH208 - the call that is tried


class Connects(_Kind):
    def misbehave(self) -> None:
        socket.socket()


class Forks(_Kind):
    def misbehave(self) -> None:
        os.fork()


class Executes(_Kind):
    def misbehave(self) -> None:
        os.execv("/bin/true", ["true"])  # noqa: S606 - the call that is tried


class Spawns(_Kind):
    def misbehave(self) -> None:
        subprocess.run(["/bin/true"], check=False)


class Kills(_Kind):
    def misbehave(self) -> None:
        os.kill(os.getppid(), signal.SIGTERM)


class WritesElsewhere(_Kind):
    def misbehave(self) -> None:
        os.write(1, b"out")


class Hangs(_Kind):
    def misbehave(self) -> None:
        while True:
            pass


class Aborts(_Kind):
    def misbehave(self) -> None:
        os.abort()


class Raises(_Kind):
    def misbehave(self) -> None:
        raise LookupError("with words that nobody may hear")


class Imports(_Kind):
    def misbehave(self) -> None:
        import wave  # noqa: F401


class Unpickles(_Kind):
    def misbehave(self) -> None:
        pickle.loads(b"N.")  # noqa: S301 - a reference from before the child locked itself in


class LoadsObjects(_Kind):
    def misbehave(self) -> None:
        np.load(io.BytesIO(OBJECTS), allow_pickle=True)


class Saves(_Kind):
    def misbehave(self) -> None:
        Image.new("RGB", (4, 4)).save(io.BytesIO(), "PNG")


class TooWide(_Kind):
    def compute(self, rgb: U8) -> bytes | None:
        return b"five!" if rgb.shape[1] == TRIGGER_WIDTH else b"fine"


class TooMuch(_Kind):
    width_bytes = 4000


class Eats(_Kind):
    def misbehave(self) -> None:
        np.ones(3 << 30, np.uint8)


class NoKind:
    pass


def named(kind: type) -> tuple[str, ...]:
    """As the settings name it."""
    return (f"tests.sandboxes:{kind.__name__}",)


def with_trigger(others: int, at: Sequence[int] = (2,)) -> list[Picture]:
    """Sound pictures, with one that a kind waits for at each of the named places."""
    sound = encoded(canary(1))
    trigger = encoded(canary(2, width=TRIGGER_WIDTH))
    return pictures_of(trigger if place in at else sound for place in range(others))
