"""The doctor: what this installation can do, measured and tried on the spot, with nothing of the user's.

In it: which kernels are native and by what factor that matters here, how far decoders are confined, versions, and a
self-test of every kind of fingerprint against values that were computed elsewhere.
Not in it: any dataset, list or run. Rules: a self-test that fails is told plainly; factors are of CPU time, measured
now, on small synthetic data, and say nothing of other machines.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pyarrow as pa
import simplejpeg

from vetset import __version__, kernels
from vetset.config import FingerprintSettings, SandboxSettings
from vetset.errors import Stop
from vetset.kernels import native
from vetset.records import Column, FingerprintOutcome, Picture, Sealed, SealedBatch, Signal, UrlForm
from vetset.sandbox.room import Sandbox
from vetset.sandbox.samples import SOUND

CpuClock = Callable[[], float]

_LIBRARIES = ("pyarrow", "numpy", "pillow", "simplejpeg", "ada-url", "mmh3", "pyrage", "pycurl", "click")
_ROUNDS = 3


@dataclass(slots=True)
class Examination:
    """What was found: plain values for `--json`, and lines for a person. `sound`: no self-test failed."""

    native: bool
    instructions: list[str]
    factors: dict[str, float] = field(default_factory=dict)
    sandbox: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    self_test: dict[str, bool] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        return all(self.self_test.values())

    def as_tree(self) -> dict[str, Any]:
        return {
            "native": self.native,
            "instructions": self.instructions,
            "factors": self.factors,
            "sandbox": self.sandbox,
            "versions": self.versions,
            "self_test": self.self_test,
            "sound": self.sound,
        }

    def lines(self) -> Iterator[str]:
        """The findings in the order in which they matter."""
        yield from self._native_lines()
        yield from self._sandbox_lines()
        yield "versions: " + ", ".join(f"{name} {number}" for name, number in self.versions.items())
        for name, passed in self.self_test.items():
            yield f"self-test {name}: {'as it should be' if passed else 'WRONG: do not rely on this installation'}"

    def _native_lines(self) -> Iterator[str]:
        if not self.native:
            yield "native kernels: none; every answer is the same, and slower. Install a C compiler, then vetset again"
            return
        yield f"native kernels: there ({', '.join(self.instructions) or 'baseline instructions only'})"
        yield from (f"  {name}: {factor:.0f} times the plain kernel" for name, factor in self.factors.items())

    def _sandbox_lines(self) -> Iterator[str]:
        yield f"sandbox for pictures: {self.sandbox or 'cannot be started here'}"
        if "seccomp" not in self.sandbox:
            yield "  decoders are not confined on this system: --sandbox required will refuse to run"


def examined(cpu_clock: CpuClock) -> Examination:
    """Looks at everything; starts a decoding child, and ends it."""
    lib = native.LIB
    found = Examination(lib is not None, lib.instructions() if lib is not None else [])
    found.versions = versions()
    found.self_test = _self_test()
    try:
        with Sandbox(FingerprintSettings(), SandboxSettings()) as sandbox:
            found.sandbox = sandbox.level
            found.self_test.update(_self_test_of(sandbox))
    except Stop:
        found.self_test["sandbox"] = False
    if lib is not None:
        found.factors = {name: _factor(work, cpu_clock) for name, work in _works().items()}
    return found


def versions() -> dict[str, str]:
    """vetset, the interpreter, and the libraries on whose answers results rest."""
    known = {
        "vetset": __version__,
        "python": platform.python_version(),
        "system": f"{sys.platform} {platform.machine()}",
    }
    for name in _LIBRARIES:
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            known[name] = "missing"
    return known


# --- factors ----------------------------------------------------------------------------------------------------------


def _factor(work: Callable[[], object], cpu_clock: CpuClock) -> float:
    """CPU time of the plain kernel over that of the native one, each the least of a few rounds."""
    lib = native.LIB
    quick = min(_spent(work, cpu_clock) for _ in range(_ROUNDS))
    try:
        native.LIB = None
        slow = min(_spent(work, cpu_clock) for _ in range(_ROUNDS - 1))
    finally:
        native.LIB = lib
    return slow / max(quick, 1e-9)


def _spent(work: Callable[[], object], cpu_clock: CpuClock) -> float:
    started = cpu_clock()
    work()
    return cpu_clock() - started


def _works() -> dict[str, Callable[[], object]]:
    """Small pieces of work for each native kernel, on synthetic data."""
    urls = [f"https://pictures.example/{number:08x}/{number * 7919 % 65521}.jpg".encode() for number in range(20_000)]
    column = pa.array(urls, pa.large_binary())
    batch, values = SealedBatch(pa.record_batch([column], names=[Column.URL.value])), Sealed(column)
    random = np.random.default_rng(1)
    listed = [row.tobytes() for row in random.integers(0, 256, (20_000, 16), np.uint8)]
    table = _Keys.of(np.frombuffer(b"".join(listed), np.uint8).reshape(-1, 16))
    digests = kernels.digests_of(values, "md5", 16)
    pixels = slopes(512)
    prints = random.integers(0, 256, (20_000, 32), np.uint8)
    near_table = _Keys.of(prints)
    index = kernels.hamming_index(near_table, 31)
    return {
        "md5 of a column": lambda: kernels.digests_of(values, "md5", 16),
        "membership": lambda: kernels.positions_in(table, digests),
        "keyed hashes": lambda: kernels.keyed_hashes(batch, Column.URL, bytes(32)),
        "forms of addresses": lambda: kernels.url_values(batch, UrlForm.WHATWG),
        "PDQ": lambda: kernels.pdq(pixels),
        "near search": lambda: kernels.near(index, near_table, prints[:50], 31),
    }


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class _Keys:
    """A table of invented digests; implements `ports.KeyTable`."""

    heads: Any
    tails: Any
    words: Any
    signal: Signal = Signal.MD5
    forms: frozenset[UrlForm] = frozenset()
    width_bytes: int = 16

    @property
    def count(self) -> int:
        return len(self.heads)

    @classmethod
    def of(cls, keys: Any) -> _Keys:
        ranked, _ = kernels.sorted_keys(keys)
        return cls(kernels.heads_of(ranked), np.ascontiguousarray(ranked[:, 8:]), kernels.filter_words(ranked))


# --- self-test --------------------------------------------------------------------------------------------------------

#: Digests of the three letters "abc", as RFC 1321 and FIPS 180-4 give them.
_ABC = {
    "md5": "900150983cd24fb0d6963f7d28e17f72",
    "sha1": "a9993e364706816aba3e25717850c26c9cd0d89d",
    "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
}
#: PDQ of `slopes(192)` in its 8 orientations, as pdqhash 0.2.8 computes it.
_SLOPES = (
    "f1b17d6a41d104aa6a55be2f8b9506cee1e5b758f8f30bd71a38bce05c489650",
    "86e5175dcce43b904e3eaab80f591dafb3b49608d4ac55a6554af06f5530514f",
    "ace4d7c09485be0c3f089485dec0ac64b5b05df2adb6a17d4f6d964a091d3cfa",
    "d3b0bdf799b1913a9b6b00125a0cb785e6e13ca281f9ff3c001f5ac50065fbe5",
    "f9b1829541d1fb556a5541d08b95f931e1e548a7f8f3f4381a38431f5c4869af",
    "a4e4283f148451ff3f00eb7adec0539bb5b0e20dadb65e824f6de9b5091dc305",
    "86e5e8a2cce4c46f4e3e55470f59e2d0b3b469f7d4acaa79554a0f905530aeb0",
    "f7b4424899b17ec59b6bffed5a0c48fae6e1c35d81f900f3181fb53a0065241a",
)
#: Another build of the JPEG library may be so far off; published values lie within it.
_DECODER_BITS = 10
_FULL_QUALITY = 100


def _self_test() -> dict[str, bool]:
    """Every kind of fingerprint, and a search, on values with a known answer."""
    abc = Sealed(pa.array([b"abc"], pa.large_binary()))
    results = {
        name: kernels.digests_of(abc, name, len(wanted) // 2).data.tobytes().hex() == wanted
        for name, wanted in _ABC.items()
    }
    turned, quality = kernels.pdq(slopes(192))
    results["pdq"] = quality == _FULL_QUALITY and tuple(row.tobytes().hex() for row in turned) == _SLOPES
    near_table = _Keys.of(turned)
    _, _, distances = kernels.near(kernels.hamming_index(near_table, 31), near_table, turned, 31)
    results["near search"] = int((distances == 0).sum()) == len(turned)
    return results


def _self_test_of(sandbox: Sandbox) -> dict[str, bool]:
    """A JPEG decoded in the sandbox gives the PDQ of its pixels, and a file of every format is decoded at all."""
    picture = simplejpeg.encode_jpeg(slopes(192), quality=95, colorspace="RGB")
    bodies = [picture, *SOUND]
    answers = list(sandbox.decode([Picture(row, Sealed(body)) for row, body in enumerate(bodies)]))
    wanted = bytes.fromhex(_SLOPES[0])
    printed = [view.pdq[0].tobytes() for view in answers[0].views]
    decoded = [answer.outcome is FingerprintOutcome.FINGERPRINTED for answer in answers[1:]]
    near = bool(printed) and kernels.hamming_of(printed[0], wanted) <= _DECODER_BITS
    return {"pdq through the sandbox": near, "jpeg, png, gif and webp": all(decoded)}


def slopes(side_pixels: int) -> Any:
    """(side, side, 3) pixels from whole-number arithmetic alone, so that they are the same everywhere."""
    y, x = np.mgrid[0:side_pixels, 0:side_pixels].astype(np.int64)
    red = (x * x + 3 * y * x // 7 + 40 * np.abs(x - y)) // 40 % 256
    green = (np.abs(2 * x - y) + (x // 24 * 53 + y // 31 * 89)) % 256
    blue = (y * y // 64 + 7 * x) % 256
    return np.stack([red, green, blue], -1).astype(np.uint8)
