"""What the bytes of pictures are: how they begin, their digests, and whether those are the ones that were recorded."""

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


#: First bytes of the formats that are decoded here.
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
#: And of those that are not: BMP, TIFF in both orders, icons, JPEG XL bare and boxed, JPEG 2000 bare and boxed.
_OTHER_MAGIC = (
    b"BM", b"II*\0", b"MM\0*", b"\0\0\1\0", b"\xff\x0a", b"\0\0\0\x0cJXL ", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ",
)  # fmt: skip
#: Brands of pictures in the container of ISO 14496-12: AVIF, HEIF.
_BRANDS = frozenset({b"avif", b"avis", b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"})


def begins_as_picture(body: memoryview) -> bool:
    """Whether the first bytes of a file are those of a format that is decoded here."""
    head = bytes(body[:12])
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def begins_as_image(body: memoryview) -> bool:
    """Whether the first bytes of a file are those of any picture: one that is not decoded has digests all the same."""
    head = bytes(body[:12])
    return begins_as_picture(body) or head.startswith(_OTHER_MAGIC) or (head[4:8] == b"ftyp" and head[8:] in _BRANDS)
