"""Pictures and what becomes of them: bytes with what is recorded, views, prints, outcomes of fingerprint.

In it: frozen data and closed enums. Not in it: decoding, comparing.
Rules: a body is sealed; no record has room for a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from vetset.records.value import Sealed, Signal


class ResizeMode(StrEnum):
    """How img2dataset brought pictures to its size before it stored them; its own words (reference: datasets, 5.2)."""

    NO = "no"
    BORDER = "border"
    KEEP_RATIO = "keep_ratio"
    KEEP_RATIO_LARGEST = "keep_ratio_largest"
    CENTER_CROP = "center_crop"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Stored:
    """How a picture came to be stored as it is. `mode` None: nobody resized it, as far as the dataset tells.

    `intact`: the bytes are those that were fetched, so that the recorded digest must be theirs.
    """

    mode: ResizeMode | None = None
    original_width: int = 0  # pixels; 0: not recorded
    original_height: int = 0
    intact: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Picture:
    """The stored bytes of one row's picture, with what the dataset recorded of them."""

    row: int
    body: Sealed[bytes | memoryview]
    recorded: Mapping[Signal, bytes] = field(default_factory=dict)  # digests that the dataset gives for the original
    stored: Stored = field(default_factory=Stored)


class View(StrEnum):
    """The pictures that one file may hold or stand for; each is fingerprinted (reference: threats, P4)."""

    FIRST = "first"  # the first frame as stored; padding undone where the shard's resizing padded
    FRAME = "frame"  # a sampled later frame, or a further picture of the file
    ORIENTED = "oriented"  # turned as EXIF asks
    ON_WHITE = "on_white"  # transparency over white
    ON_BLACK = "on_black"  # transparency over black
    THUMBNAIL = "thumbnail"  # the picture embedded in EXIF


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ViewPrint:
    """What one view of a picture gave: PDQ in its 8 orientations (8, 32) in the reference's order, quality 0 to 100.

    `other` holds fingerprints of optional kinds by their names.
    """

    view: View
    quality: int
    pdq: npt.NDArray[np.uint8]
    other: Mapping[str, bytes] = field(default_factory=dict)


class FingerprintOutcome(StrEnum):
    """What becomes of a picture in fingerprint; the first that applies."""

    FINGERPRINTED = "fingerprinted"
    CHANGED_CONTENT = "changed_content"  # fingerprinted all the same; its bytes are not those the dataset recorded
    UNDECODABLE = "undecodable"
    UNSUPPORTED = "unsupported"  # a format that is not decoded here
    NOT_AUDITABLE = "not_auditable"  # stored in a way that no fingerprint of the original survives
    TOO_LARGE = "too_large"
    SANDBOX_DEATH = "sandbox_death"
    SANDBOX_ALARM = "sandbox_alarm"  # the child died by SIGSYS: an attack, or a fault of the sandbox
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Decoded:
    """What the sandbox answers about one picture: an outcome, and a print for each view that could be decoded."""

    row: int
    outcome: FingerprintOutcome
    views: tuple[ViewPrint, ...] = ()


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Fingerprints:
    """A batch of pictures as fingerprints: all in the order of `rows`.

    `digests` are of the stored bytes, (pictures, width) by signal; `decoded` what the sandbox answered.
    """

    rows: npt.NDArray[np.int64]
    digests: Mapping[Signal, npt.NDArray[np.uint8]]
    decoded: tuple[Decoded, ...]
