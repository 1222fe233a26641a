"""The decoding child: loads what it may need, tries it, locks itself in, and then looks at one picture after another.

In it: its life, its one loop, and the second of the two broad catches that the design allows. Not in it: how files are
decoded (`views`), how it is confined (`confinement`). Rules: nothing of a picture leaves but fingerprints; nothing is
unpickled, imported, saved, shown or printed after the first words; what goes wrong with a picture becomes its outcome.
"""

from __future__ import annotations

import contextlib
import encodings.ascii
import encodings.latin_1
import encodings.utf_8
import encodings.utf_16  # noqa: F401 - text in metadata, which would else be looked up in files when it is met
import mmap
import os
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from PIL import Image, MpoImagePlugin, TiffImagePlugin  # noqa: F401 - loaded by other plugins in the middle of work

from vetset.kernels.pdq import pdq
from vetset.ports import FingerprintKind
from vetset.records import FingerprintOutcome, Stored, View, ViewPrint
from vetset.sandbox import lean
from vetset.sandbox.child_plan import ChildPlan
from vetset.sandbox.confinement import confine, die_with
from vetset.sandbox.kinds import load_kinds
from vetset.sandbox.level import SandboxLevel
from vetset.sandbox.samples import BROKEN, SOUND
from vetset.sandbox.views import Damaged, Looking, TooLarge, Unsupported, views_of
from vetset.sandbox.wire import (
    MOST_VIEWS,
    REQUEST_BYTES,
    Hello,
    Kind,
    pack_replies,
    request_from,
)

U8 = npt.NDArray[np.uint8]


def main(plan: Mapping[str, Any]) -> NoReturn:
    """The whole life of a child. It ends with its worker, or when that closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    given = ChildPlan(**{**plan, "kinds": tuple(plan["kinds"])})
    die_with(given.parent_pid)
    warnings.simplefilter("ignore")
    lean.arrow_may_come_again()
    kinds, failed = load_kinds(given.kinds)
    if failed:
        os.write(given.replies_fd, Hello(SandboxLevel.NONE, (), failed).pack())
        os._exit(0)
    eye = Eye(Looking(given.max_pixels, given.luma), kinds)
    eye.warm_up()
    with memoryview(mmap.mmap(given.arena_fd, given.arena_bytes, mmap.MAP_SHARED, mmap.PROT_READ)) as arena:
        keep_only(0, 1, 2, given.requests_fd, given.replies_fd)
        forbid_the_rest()
        level = confine(
            SandboxLevel(given.strongest),
            memory_bytes=given.memory_bytes,
            requests_fd=given.requests_fd,
            replies_fd=given.replies_fd,
        )
        eye.warm_up()  # once more behind the lock: what trips it must do so now, and not at somebody's picture
        os.write(given.replies_fd, Hello(level, eye.wired).pack())
        serve(eye, arena, given.requests_fd, given.replies_fd)


def serve(eye: Eye, arena: memoryview, requests_fd: int, replies_fd: int) -> NoReturn:
    """One picture after another, until nobody asks any more."""
    while len(data := os.read(requests_fd, REQUEST_BYTES)) == REQUEST_BYTES:
        request = request_from(data)
        body = arena[request.offset : request.offset + request.length]
        outcome, prints = eye.look(body, request.stored)
        reply = pack_replies(request.number, outcome, prints, eye.wired)
        while reply:
            reply = reply[os.write(replies_fd, reply) :]
    os._exit(0)


class Eye:
    """What looks at pictures: the settings, and the optional kinds beside PDQ."""

    def __init__(self, looking: Looking, kinds: Sequence[FingerprintKind] = ()) -> None:
        self._kinds = kinds
        self._looking = replace(looking, luma=looking.luma and not kinds)
        self.wired = tuple(Kind(kind.name, kind.width_bytes) for kind in kinds)

    def look(self, body: bytes | memoryview, stored: Stored) -> tuple[FingerprintOutcome, list[ViewPrint]]:
        """What becomes of a file, and the prints of the views that came before anything went wrong."""
        prints: list[ViewPrint] = []
        try:
            self._print_views(body, stored, prints)
        except Unsupported:
            return FingerprintOutcome.UNSUPPORTED, prints
        except Damaged:
            return FingerprintOutcome.UNDECODABLE, prints
        except (TooLarge, MemoryError):
            return FingerprintOutcome.TOO_LARGE, prints
        except Exception:  # noqa: BLE001 - the boundary: a stranger's file must not end the child, and its words stay here
            return FingerprintOutcome.INTERNAL_ERROR, prints
        return FingerprintOutcome.FINGERPRINTED, prints

    def _print_views(self, body: bytes | memoryview, stored: Stored, prints: list[ViewPrint]) -> None:
        views = views_of(body, stored, self._looking)
        while len(prints) < MOST_VIEWS:
            seen = next(views, None)
            if seen is None:
                return
            prints.append(self._print(*seen))
            del seen

    def _print(self, view: View, pixels: U8) -> ViewPrint:
        values, quality = pdq(pixels)
        other = {}
        for kind in self._kinds:
            value = kind.compute(pixels)
            if value is not None and len(value) != kind.width_bytes:
                raise RuntimeError("an optional kind gave another width than it declared")
            if value is not None:
                other[kind.name] = bytes(value)
        return ViewPrint(view, quality, values, other)

    def warm_up(self) -> None:
        """Looks at every sample. Raises RuntimeError if one that is sound cannot be decoded."""
        for sample in SOUND:
            outcome, _ = self.look(sample, Stored())
            if outcome is not FingerprintOutcome.FINGERPRINTED:
                raise RuntimeError("a decoder does not decode")
        for sample in BROKEN:
            self.look(sample, Stored())


def keep_only(*descriptors: int) -> None:
    """Closes every other descriptor, also that which a mapping holds of its own."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        if int(entry.name) not in descriptors:
            with contextlib.suppress(OSError):  # the one through which they were listed
                os.close(int(entry.name))


# --- what a child may not do, before the kernel is asked to see to it ------------------------------------------------


class Forbidden(Exception):  # noqa: N818 - whoever sees it has done what must not be done
    """Something was tried that no decoding needs."""


class _Refused:
    """Stands where something stood that a child must never do."""

    def __init__(self, *_: object, **__: object) -> None:
        raise Forbidden


class _NoFinder:
    """The only finder of modules that is left: an import that comes late is an error with a name, not an escape."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        raise ImportError(f"{name} was not loaded in time")


def forbid_the_rest() -> None:
    """No unpickling, no new modules, no saving and no showing of pictures."""
    for name in ("pickle", "_pickle"):
        module = sys.modules.get(name)
        if isinstance(module, ModuleType):
            for attribute in ("load", "loads", "Unpickler", "_load", "_loads", "_Unpickler"):
                if hasattr(module, attribute):
                    setattr(module, attribute, _Refused)
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails
    for attribute in ("save", "show", "tobitmap"):
        setattr(Image.Image, attribute, _Refused)
    sys.meta_path[:] = [_NoFinder]
