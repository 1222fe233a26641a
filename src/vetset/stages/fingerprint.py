"""Fingerprint: from the bytes of pictures to their digests and, out of the sandbox, to the prints of their views.

In it: one outcome for each picture, and whether its bytes are those that the dataset recorded. Not in it: decoding
(the sandbox does it), and any comparison with a list.
Rules: digests are of the bytes as stored, whatever becomes of the decoding, so that an undecodable file is compared
all the same; pixels never come here; a picture whose bytes are not the recorded ones is compared and named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vetset import kernels
from vetset.ports import Decoder
from vetset.records import Decoded, FingerprintOutcome, Fingerprints, Picture, StageResult, Tally


def fingerprint(pictures: Sequence[Picture], decoder: Decoder) -> StageResult[Fingerprints]:
    """Digests and prints of a batch of pictures, in their order."""
    answers = decoder.decode(pictures)  # the child is at work while the digests are made
    digests = kernels.digests_of_pictures(pictures)
    changed = kernels.contradicts(pictures, digests)
    decoded = tuple(_changed(answer) if other else answer for answer, other in zip(answers, changed, strict=True))
    rows = np.array([picture.row for picture in pictures], np.int64)
    tally = Tally(answer.outcome.value for answer in decoded)
    return StageResult(Fingerprints(rows, digests, decoded), tally)


def _changed(answer: Decoded) -> Decoded:
    """The answer about bytes that are not the recorded ones; what could not be decoded stays that."""
    if answer.outcome is not FingerprintOutcome.FINGERPRINTED:
        return answer
    return replace(answer, outcome=FingerprintOutcome.CHANGED_CONTENT)
