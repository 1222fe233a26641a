"""What the stored bytes of pictures are: their digests, and whether those are the ones that the dataset recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from vetset.kernels.digest import digests_of_bodies
from vetset.records import Picture, Signal

U8 = npt.NDArray[np.uint8]

#: The digests of a picture's bytes that lists hold.
PICTURE_DIGESTS = (Signal.MD5, Signal.SHA1, Signal.SHA256)


def digests_of_pictures(pictures: Sequence[Picture]) -> Mapping[Signal, U8]:
    """(pictures, width_bytes) for each kind of digest, of the bytes as stored."""
    return digests_of_bodies([picture.body.unseal() for picture in pictures])


def contradicts(pictures: Sequence[Picture], digests: Mapping[Signal, U8]) -> list[bool]:
    """For each picture whether the dataset says that these are the bytes it fetched, and its digest says otherwise."""
    return [
        picture.stored.intact
        and any(
            digests[signal][place].tobytes() != recorded
            for signal, recorded in picture.recorded.items()
            if signal in digests
        )
        for place, picture in enumerate(pictures)
    ]
