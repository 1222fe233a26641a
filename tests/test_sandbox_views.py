"""The views of a file (threats, P4): a picture planted in every slot of every format is found in some view, or the slot
is listed as one that is not looked into; and what costs too much is named before it is paid.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from tests.sandboxes import bits_apart, canary, encoded, nearest, outcomes, pictures_of, sandbox
from vetset.kernels.pdq import pdq
from vetset.records import Decoded, ResizeMode, Stored, View
from vetset.sandbox.formats import Format, format_of, gif_frames, jpeg_of, without_text
from vetset.sandbox.room import Sandbox

SIZE = (160, 120)
COVER, CANARY = canary(100), canary(7)
WANTED = pdq(np.asarray(CANARY))[0][0]
RADIUS_BITS = 31


_STANDING: list[Sandbox] = []  # one for all tests that need nothing special: a child takes a while to start


@pytest.fixture(scope="module", autouse=True)
def _standing_room() -> Iterator[None]:
    with sandbox() as room:
        _STANDING.append(room)
        yield
        _STANDING.pop()


def decoded(*bodies: bytes, stored: Stored | None = None, **settings: object) -> list[Decoded]:
    if not settings:
        return list(_STANDING[0].decode(pictures_of(bodies, stored)))
    with sandbox(**settings) as room:  # type: ignore[arg-type]
        return list(room.decode(pictures_of(bodies, stored)))


# --- the canary in every slot -------------------------------------------------------------------------------------------


def with_alpha(seen_over: int) -> Image.Image:
    """Over the ground `seen_over` it shows the canary; its colours alone, or over the other ground, it does not."""
    canary_pixels, rgb = np.asarray(CANARY).astype(np.float64), np.asarray(COVER)
    alpha = np.full((*rgb.shape[:2], 1), 128.0)
    hidden = np.clip((canary_pixels / 2 + seen_over / 2 - (255 - alpha) / 255 * seen_over) * 255 / alpha, 0, 255)
    return Image.fromarray(np.concatenate([hidden, alpha], 2).astype(np.uint8), "RGBA")


def by_transparency(ground: int) -> Image.Image:
    """Black or white pixels whose transparency draws the canary's grey over the other of the two."""
    grey = np.asarray(CANARY.convert("L"))
    alpha = grey if ground == 0 else 255 - grey
    pixels = np.full((*grey.shape, 4), 255 - ground, np.uint8)
    pixels[..., 3] = alpha
    return Image.fromarray(pixels, "RGBA")


def animated(kind: str, at: int, frames: int = 5, mode: str = "RGB") -> bytes:
    pictures = [(CANARY if number == at else canary(200 + number)).convert(mode) for number in range(frames)]
    options = {"quality": 90} if kind == "WEBP" else {}
    return encoded(pictures[0], kind, save_all=True, append_images=pictures[1:], **options)


def exif_with(thumbnail: Image.Image) -> bytes:
    """An EXIF block whose second directory holds a JPEG."""
    body = encoded(thumbnail, "JPEG", quality=90)
    tags = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 44, 0x0202, 4, 1, len(body), 0)
    return b"Exif\0\0" + b"II*\0\x08\0\0\0" + struct.pack("<HI", 0, 14) + tags + body


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def plain_exif_with(thumbnail: Image.Image) -> bytes:
    """EXIF with a thumbnail as rows of RGB, as TIFF stores them (Exif 2.3, 4.5.2 and table 20)."""
    small = thumbnail.resize((120, 90))
    tags = [(0x100, 4, 120), (0x101, 4, 90), (0x103, 3, 1), (0x106, 3, 2), (0x115, 3, 3), (0x117, 4, 120 * 90 * 3)]
    tags += [(0x111, 4, 8 + 2 + 4 + 2 + 12 * 7 + 4)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(tags))
    first = struct.pack("<HI", 0, 14)
    ifd = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + first + ifd + small.tobytes()


def cover(kind: str) -> bytes:
    return encoded(COVER.quantize(256) if kind == "GIF" else COVER, kind)


def mpo() -> bytes:
    return encoded(COVER, "MPO", save_all=True, append_images=[canary(300), CANARY], quality=90)


def jfxx() -> bytes:
    """A thumbnail in JFIF's own extension."""
    body, small = encoded(COVER, "JPEG"), encoded(CANARY, "JPEG", quality=85)
    segment = b"JFXX\0\x10" + small
    return body[:2] + b"\xff\xe0" + struct.pack(">H", len(segment) + 2) + segment + body[2:]


def wide_grey() -> bytes:
    return encoded(Image.fromarray(np.asarray(CANARY.convert("L")).astype(np.uint16) << 8))


def wide_grey_clipped() -> bytes:
    """16 bits of which only the low byte shows anything: white to who takes the high byte."""
    return encoded(Image.fromarray(np.asarray(CANARY.convert("L")).astype(np.uint16)))


SLOTS: dict[str, tuple[Callable[[], bytes], View]] = {
    "jpeg first": (lambda: encoded(CANARY, "JPEG", quality=90), View.FIRST),
    "jpeg progressive": (lambda: encoded(CANARY, "JPEG", quality=90, progressive=True), View.FIRST),
    "jpeg grey": (lambda: encoded(CANARY.convert("L"), "JPEG", quality=90), View.FIRST),
    "jpeg cmyk": (lambda: encoded(CANARY.convert("CMYK"), "JPEG", quality=90), View.FIRST),
    "jpeg rgb": (lambda: encoded(CANARY, "JPEG", quality=90, keep_rgb=True), View.FIRST),
    "jpeg exif thumbnail": (lambda: encoded(COVER, "JPEG", exif=exif_with(CANARY)), View.THUMBNAIL),
    "jpeg jfxx thumbnail": (jfxx, View.THUMBNAIL),
    "jpeg mpo": (mpo, View.FRAME),
    "jpeg appended jpeg": (lambda: encoded(COVER, "JPEG") + encoded(CANARY, "JPEG"), View.FRAME),
    "jpeg appended png": (lambda: encoded(COVER, "JPEG") + encoded(CANARY), View.FRAME),
    "jpeg appended behind noise": (lambda: encoded(COVER, "JPEG") + bytes(999) + encoded(CANARY, "JPEG"), View.FRAME),
    **{
        f"{kind} appended {other}": (lambda kind=kind, other=other: cover(kind) + encoded(CANARY, other), View.FRAME)  # type: ignore[misc]
        for kind in ("PNG", "WEBP", "GIF")
        for other in ("JPEG", "PNG")
    },
    "gif of many frames appended jpeg": (lambda: animated("GIF", 1, 40) + encoded(CANARY, "JPEG"), View.FRAME),
    "fourth picture appended": (lambda: 4 * encoded(COVER, "PNG") + encoded(CANARY, "JPEG"), View.FRAME),
    "png first": (lambda: encoded(CANARY), View.FIRST),
    "png palette": (lambda: encoded(CANARY.quantize(256)), View.FIRST),
    "png grey": (lambda: encoded(CANARY.convert("L")), View.FIRST),
    "png grey and alpha": (lambda: encoded(CANARY.convert("LA")), View.FIRST),
    "png 16 bits": (wide_grey, View.FIRST),
    "png 16 bits clipped": (wide_grey_clipped, View.FIRST),
    "png over white": (lambda: encoded(by_transparency(255)), View.ON_WHITE),
    "png over black": (lambda: encoded(by_transparency(0)), View.ON_BLACK),
    "png exif thumbnail": (lambda: encoded(COVER, exif=exif_with(CANARY)), View.THUMBNAIL),
    "webp first": (lambda: encoded(CANARY, "WEBP", quality=90), View.FIRST),
    "webp lossless": (lambda: encoded(CANARY, "WEBP", lossless=True), View.FIRST),
    "webp over white": (lambda: encoded(by_transparency(255), "WEBP", lossless=True, exact=True), View.ON_WHITE),
    "webp over black": (lambda: encoded(by_transparency(0), "WEBP", lossless=True, exact=True), View.ON_BLACK),
    "webp exif thumbnail": (lambda: encoded(COVER, "WEBP", exif=exif_with(CANARY)), View.THUMBNAIL),
    "gif first": (lambda: encoded(CANARY.quantize(256), "GIF"), View.FIRST),
    **{
        f"{kind} frame {at}": (lambda kind=kind, at=at: animated(kind.upper(), at), View.FRAME)  # type: ignore[misc]
        for kind in ("gif", "webp", "png")
        for at in range(1, 5)
    },
    **{
        f"{kind} last of 40": (lambda kind=kind: animated(kind.upper(), 39, 40), View.FRAME)  # type: ignore[misc]
        for kind in ("gif", "webp", "png")
    },
}

#: Slots that are not looked into, as docs/concepts/the-sealed-room.md lists them: none is shown by a trainer's decoder
#: at its first frame.
EXCEPTIONS: dict[str, Callable[[], bytes]] = {
    "gif frame that is not sampled": lambda: animated("GIF", 3, 40),
    "fifth picture appended": lambda: 5 * encoded(COVER, "PNG") + encoded(CANARY, "JPEG"),
    "gif appended to a jpeg": lambda: encoded(COVER, "JPEG") + encoded(CANARY.quantize(256), "GIF"),
    "webp appended to a png": lambda: encoded(COVER) + encoded(CANARY, "WEBP"),
    "uncompressed exif thumbnail": lambda: encoded(COVER, "JPEG", exif=plain_exif_with(CANARY)),
}


@pytest.mark.parametrize("slot", list(SLOTS))
def test_a_canary_is_found_in_every_slot(slot: str) -> None:
    make, view = SLOTS[slot]
    (answer,) = decoded(make())
    found = {seen.view for seen in answer.views if min(bits_apart(turn, WANTED) for turn in seen.pdq) <= RADIUS_BITS}
    assert answer.outcome.value == "fingerprinted"
    assert view in found


@pytest.mark.parametrize("slot", list(EXCEPTIONS))
def test_slots_that_are_not_looked_into_are_listed(slot: str) -> None:
    """When one of these is found some day, it moves to the table above."""
    (answer,) = decoded(EXCEPTIONS[slot]())
    assert answer.outcome.value == "fingerprinted"
    assert nearest(answer, WANTED) > RADIUS_BITS


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_turned_picture_is_seen_upright_too(kind: str, orientation: int) -> None:
    from PIL import ImageOps

    body = encoded(CANARY, kind, exif=turned(orientation))
    (answer,) = decoded(body)
    upright = pdq(np.ascontiguousarray(ImageOps.exif_transpose(Image.open(io.BytesIO(body))).convert("RGB")))[0]
    (seen,) = [view for view in answer.views if view.view is (View.ORIENTED if orientation > 1 else View.FIRST)]
    assert (seen.pdq == upright).all()


def test_a_jpeg_that_was_cut_short_is_no_picture_and_seen_all_the_same() -> None:
    """Pillow refuses it, OpenCV does not: the outcome says the one, the view shows the other."""
    body = encoded(CANARY, "JPEG", quality=90)
    answers = decoded(body[: len(body) * 97 // 100], body[:200], body[:2])
    assert outcomes(answers) == ["undecodable"] * 3
    assert nearest(answers[0], WANTED) <= RADIUS_BITS
    assert [len(answer.views) for answer in answers] == [1, 0, 0]


def test_an_opaque_picture_with_an_alpha_channel_has_one_view() -> None:
    (answer,) = decoded(encoded(CANARY.convert("RGBA")))
    assert [view.view for view in answer.views] == [View.FIRST]


def test_the_luma_variant_is_near_and_only_for_jpeg_with_a_luma() -> None:
    bodies = [encoded(CANARY, "JPEG", quality=92), encoded(CANARY, "JPEG", keep_rgb=True), encoded(CANARY)]
    for exact, luma in zip(decoded(*bodies), decoded(*bodies, variant="luma"), strict=True):
        assert bits_apart(exact.views[0].pdq[0], luma.views[0].pdq[0]) <= 4


def test_img2dataset_padding_is_undone_by_geometry() -> None:
    padded = Image.new("RGB", (160, 160), (255, 255, 255))
    padded.paste(CANARY, (0, 20))
    body = encoded(padded)
    asked = [Stored(ResizeMode.BORDER, 640, 480), Stored(None, 640, 480), Stored(None)]
    answers = [answer for stored in asked for answer in decoded(body, stored=stored)]
    assert [nearest(answer, WANTED) <= 2 for answer in answers] == [True, True, False]
    assert [len(answer.views) for answer in answers] == [1, 2, 1]


# --- names, headers, bombs ------------------------------------------------------------------------------------------------


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *extra: bytes, data: bytes | None = None) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = zlib.compress(bytes((width + 1) * height) if data is None else data)
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bomb(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def many_frames(count: int, side: int = 4) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\x00"
    return head + frame * count + b";"


BOMBS: dict[str, tuple[bytes, str]] = {
    "png gigapixels": (png(50_000, 50_000, data=bytes(1 << 20)), "too_large"),
    "png just too large": (png(10_001, 10_000, data=b""), "too_large"),
    "gif gigapixels": (b"GIF89a" + struct.pack("<HH", 65535, 65535) + many_frames(1)[10:], "too_large"),
    "webp gigapixels": (
        b"RIFF"
        + struct.pack("<I", 30)
        + b"WEBPVP8X"
        + struct.pack("<I", 10)
        + b"\x10\0\0\0"
        + b"\xff\xff\0" * 2
        + bytes(8),
        "too_large",
    ),
    "jpeg gigapixels": (
        b"\xff\xd8\xff\xc0\0\x0b\x08" + struct.pack(">HH", 65535, 65535) + b"\1\1\x11\0" + bytes(64),
        "too_large",
    ),
    "gif many frames": (many_frames(300_000), "too_large"),
    "png zTXt": (png(8, 8, chunk(b"zTXt", b"a\0\0" + bomb(1 << 27))), "fingerprinted"),
    "png many zTXt": (png(8, 8, *[chunk(b"zTXt", b"a\0\0" + bomb(1 << 20))] * 80), "fingerprinted"),
    "png iTXt": (png(8, 8, chunk(b"iTXt", b"a\0\1\0\0\0" + bomb(1 << 27))), "fingerprinted"),
    "png iCCP": (png(8, 8, chunk(b"iCCP", b"a\0\0" + bomb(1 << 27))), "fingerprinted"),
    "png more data than pixels": (png(8, 8, data=bytes(1 << 27)), "fingerprinted"),
    "png less data than pixels": (png(8000, 8000, data=b"\0"), "undecodable"),
}


@pytest.mark.parametrize("name", list(BOMBS))
def test_bombs_end_in_a_named_outcome_and_no_death(name: str) -> None:
    body, outcome = BOMBS[name]
    before = _STANDING[0]._child
    assert outcomes(decoded(body, encoded(COVER))) == [outcome, "fingerprinted"]
    assert _STANDING[0]._child is before


def test_what_was_seen_before_it_cost_too_much_is_kept() -> None:
    (answer,) = decoded(many_frames(300_000))
    assert answer.views[0].view is View.FIRST


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\xff\xd8\xff", Format.JPEG),
        (b"\x89PNG\r\n\x1a\n", Format.PNG),
        (b"GIF87a", Format.GIF),
        (b"RIFF\0\0\0\0WEBP", Format.WEBP),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"BM", None),
        (b"%!PS-Adobe", None),
        (b"%PDF-1.4", None),
        (b"<svg xmlns=", None),
        (b"II*\0", None),
        (b"8BPS", None),
        (b"", None),
        (b"GIF88a", None),
    ],
)
def test_a_format_is_known_by_its_first_bytes(body: bytes, kind: Format | None) -> None:
    assert format_of(body) is kind
    assert format_of(memoryview(body)) is kind


def test_polyglots_are_what_their_first_bytes_say() -> None:
    kinds = ("JPEG", "PNG", "GIF", "WEBP")
    bodies = {kind: encoded(canary(20 + number), kind) for number, kind in enumerate(kinds)}
    alone = dict(zip(kinds, decoded(*bodies.values()), strict=True))
    pairs = [(first, second) for first in kinds for second in kinds if first != second]
    for (first, _), answer in zip(pairs, decoded(*[bodies[one] + bodies[two] for one, two in pairs]), strict=True):
        assert answer.outcome.value == "fingerprinted"
        assert (answer.views[0].pdq == alone[first].views[0].pdq).all()


def test_headers_cut_anywhere_are_read_without_an_error() -> None:
    for body in (encoded(CANARY, "JPEG", exif=exif_with(COVER), progressive=True), mpo(), animated("GIF", 1)):
        for length in (*range(min(700, len(body))), len(body)):
            found = jpeg_of(body[:length])
            assert found.width in {0, SIZE[0]}
            assert gif_frames(body[:length], 10) <= 5


def test_text_of_a_png_never_reaches_the_decoder() -> None:
    """Another decoder skips it: it must not decide whether the picture is seen."""
    noise = [chunk(b"zTXt", b"a\0\0" + bomb(1 << 24)), chunk(b"tEXt", b"a\0b"), chunk(b"iCCP", b"a\0\0no profile")]
    plain = png(*SIZE)
    assert without_text(plain) is plain
    assert without_text(png(*SIZE, *noise)) == plain
    for length in range(len(plain)):
        assert without_text(png(*SIZE, *noise)[:length])[:8] == plain[: min(8, length)]
