"""The optional kinds of fingerprint: loaded by name inside a child, before it locks itself in.

In it: their loading and the check of what they declare. Not in it: any kind; none is shipped.
Rules: a kind that cannot be loaded stops the run at its start, by its number; its own words are not repeated.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from vetset.ports import FingerprintKind
from vetset.sandbox.wire import MOST_KINDS, MOST_NAME_BYTES, MOST_OTHER_BYTES


def load_kinds(names: Sequence[str]) -> tuple[list[FingerprintKind], int]:
    """The optional kinds by `module:Class`, or the number (from 1) of the first that is not one."""
    kinds: list[FingerprintKind] = []
    room = MOST_OTHER_BYTES
    for number, name in enumerate(names, 1):
        kind = _loaded(name)
        if (
            kind is None
            or number > MOST_KINDS
            or not 0 < kind.width_bytes <= room
            or len(kind.name.encode()) > MOST_NAME_BYTES
        ):
            return [], number
        room -= kind.width_bytes
        kinds.append(kind)
    return kinds, 0


def _loaded(name: str) -> FingerprintKind | None:
    module, _, attribute = name.partition(":")
    try:
        kind: FingerprintKind = getattr(importlib.import_module(module), attribute)()
        sound = type(kind.name) is str and type(kind.width_bytes) is int and callable(kind.compute)
    except (ImportError, AttributeError, TypeError, ValueError, OSError, RuntimeError, SyntaxError):
        return None
    return kind if sound else None
