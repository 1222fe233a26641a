"""What the sandbox costs: the same pictures decoded and hashed by the same code, in process and in children.

    python -m bench.sandbox [--rounds 5] [--pictures 1000]

CPU seconds of worker and children together, a child's start with it, since a child lives for a thousand pictures. The
ways take turns in each round, and the least of each is shown. Pictures are the JPEG files of the shared benign set, as
they are and enlarged to 1,024 pixels.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import resource
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from PIL import Image

from vetset.config import FingerprintSettings, SandboxSettings
from vetset.kernels import native
from vetset.records import Picture, Sealed, Stored
from vetset.sandbox.child import Eye
from vetset.sandbox.level import SandboxLevel
from vetset.sandbox.room import Sandbox
from vetset.sandbox.views import Looking

BENIGN = Path(__file__).parent.parent.parent / "shared" / "data" / "benign"


def cpu_seconds() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in spent)


def photos(most: int) -> list[bytes]:
    paths = sorted(path for path in BENIGN.rglob("*.jpg"))
    chosen = paths[:: max(1, len(paths) // most)][:most]
    return [path.read_bytes() for path in chosen]


def enlarged(body: bytes, side: int = 1024) -> bytes:
    image = Image.open(io.BytesIO(body)).convert("RGB")
    scale = side / max(image.size)
    buffer = io.BytesIO()
    image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS).save(
        buffer, "JPEG", quality=88
    )
    return buffer.getvalue()


def in_process(bodies: Sequence[bytes]) -> int:
    eye = Eye(Looking())
    return sum(bool(eye.look(body, Stored())[1]) for body in bodies)


def in_children(level: SandboxLevel) -> Callable[[Sequence[bytes]], int]:
    def work(bodies: Sequence[bytes]) -> int:
        pictures = [Picture(row, Sealed(body)) for row, body in enumerate(bodies)]
        with Sandbox(FingerprintSettings(), SandboxSettings(), strongest=level) as sandbox:
            return sum(bool(answer.views) for answer in sandbox.decode(pictures))

    return work


WAYS: dict[str, Callable[[Sequence[bytes]], int]] = {
    "in process": in_process,
    **{f"child, {level.value}": in_children(level) for level in SandboxLevel},
}


def measured(bodies: Sequence[bytes], rounds: int) -> dict[str, float]:
    least: dict[str, float] = {}
    for _ in range(rounds):
        for name, work in WAYS.items():
            started = cpu_seconds()
            if work(bodies) != len(bodies):
                raise SystemExit(f"{name}: not every picture was decoded")
            least[name] = min(least.get(name, 1e9), cpu_seconds() - started)
    return least


def table(rounds: int, most: int) -> Iterator[str]:
    small = photos(500)
    sets = {"320 px": small, "1,024 px": [enlarged(body) for body in small]}
    yield "| pictures | way | ms CPU a picture | against in process |"
    yield "|---|---|--:|--:|"
    for name, bodies in sets.items():
        repeated = (list(bodies) * (most // len(bodies) + 1))[:most]
        least = measured(repeated, rounds)
        for way, seconds in least.items():
            share = seconds / least["in process"] - 1
            yield f"| {name} JPEG | {way} | {seconds / len(repeated) * 1000:.2f} | {share:+.1%} |"
    names = ", ".join(f"{name} {version(name)}" for name in ("pillow", "simplejpeg", "numpy"))
    yield ""
    kernels = "native" if native.LIB else "plain"
    yield f"Python {platform.python_version()}, {names}, {kernels} kernels, {os.cpu_count()} cores."


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--pictures", type=int, default=1000)
    asked = options.parse_args()
    for line in table(asked.rounds, asked.pictures):
        print(line)


if __name__ == "__main__":
    main()
