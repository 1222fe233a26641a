"""Recall of PDQ after harmless edits, and false matches between distinct pictures: a table for the documents.

    python bench/recall.py [--pictures ../shared/data/benign] [--every 1]

In it: the edits, each with the share of pictures found again within 31 bits, and the pairs of distinct pictures that
lie as near, photos and clip art apart. Not in it: adversaries; the figures hold for these edits and no others.
Rules: the list holds the upright print of the original, of quality 50 or more; found is what lies near it in any of its
8 orientations. Intervals are Wilson's, of 95 %. Modes of img2dataset are its geometry at 256 px (its downscaling by
areas, its JPEG at quality 95), not its code; `undone` means by the recorded size of the original, as vetset does it.
Photos are the folders azure, exif, library, sharp, wallpaper; clip art are clipart and tuxpaint (drawings, objects).
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable
from io import BytesIO
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vetset import kernels
from vetset.records import ResizeMode, Stored

RADIUS_BITS = 31
LEAST_QUALITY = 50
SIZE = 256
CLIP_ART = ("clipart", "tuxpaint")
BITS = 256

Picture = Image.Image
Edit = Callable[[Picture], Picture | None]
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def jpeg(quality: int) -> Edit:
    def edit(picture: Picture) -> Picture:
        body = BytesIO()
        picture.save(body, "JPEG", quality=quality)
        return Image.open(body).convert("RGB")

    return edit


def resized(picture: Picture, width: int, height: int) -> Picture:
    smaller = width < picture.width or height < picture.height
    how = Image.Resampling.BOX if smaller else Image.Resampling.LANCZOS
    return picture.resize((max(1, width), max(1, height)), how)


def scaled(picture: Picture, scale: float) -> Picture:
    return resized(picture, round(picture.width * scale), round(picture.height * scale))


def stored_as(mode: ResizeMode) -> Edit:
    """The picture as img2dataset would store it."""

    def edit(picture: Picture) -> Picture:
        longest, shortest = max(picture.size), min(picture.size)
        if mode is ResizeMode.FIXED:
            made = resized(picture, SIZE, SIZE)
        elif mode in {ResizeMode.KEEP_RATIO, ResizeMode.CENTER_CROP}:
            made = scaled(picture, SIZE / shortest)
        elif mode in {ResizeMode.BORDER, ResizeMode.KEEP_RATIO_LARGEST}:
            made = scaled(picture, SIZE / longest)
        else:
            made = picture
        left, top = (made.width - SIZE) // 2, (made.height - SIZE) // 2
        if mode is ResizeMode.CENTER_CROP:
            made = made.crop((left, top, left + SIZE, top + SIZE))
        elif mode is ResizeMode.BORDER:
            square = Image.new("RGB", (SIZE, SIZE), WHITE)
            square.paste(made, ((SIZE - made.width) // 2, (SIZE - made.height) // 2))
            made = square
        return jpeg(95)(made)

    return edit


def undone(mode: ResizeMode) -> Edit:
    """The same, undone by the recorded size of the original; None where that cannot be."""

    def edit(picture: Picture) -> Picture | None:
        made = stored_as(mode)(picture)
        assert made is not None  # noqa: S101 - an edit that stores always makes something
        stored = Stored(mode, picture.width, picture.height)
        box = kernels.content_box(made.width, made.height, stored)
        if box is None:
            return None
        cut = made.crop(box)
        return cut.resize(kernels.original_ratio(cut.width, cut.height, stored), Image.Resampling.LANCZOS)

    return edit


def cropped(share: float) -> Edit:
    """Each side shorter by the share, half of it at either end."""

    def edit(picture: Picture) -> Picture:
        across, down = round(picture.width * share / 2), round(picture.height * share / 2)
        return picture.crop((across, down, picture.width - across, picture.height - down))

    return edit


def framed(picture: Picture) -> Picture:
    margin = round(max(picture.size) * 0.05)
    made = Image.new("RGB", (picture.width + 2 * margin, picture.height + 2 * margin), BLACK)
    made.paste(picture, (margin, margin))
    return made


def captioned(picture: Picture) -> Picture:
    """A white strip of an eighth of the height below, with words in it."""
    strip = max(12, picture.height // 8)
    made = Image.new("RGB", (picture.width, picture.height + strip), WHITE)
    made.paste(picture, (0, 0))
    font = ImageFont.load_default(strip * 0.6)
    ImageDraw.Draw(made).text((4, picture.height + strip * 0.1), "when the weekend comes", BLACK, font)
    return made


def watermarked(picture: Picture) -> Picture:
    """Words across the middle, half transparent, in an eighth of the height."""
    over = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    font = ImageFont.load_default(max(10, picture.height / 8))
    ImageDraw.Draw(over).text((picture.width / 2, picture.height / 2), "SAMPLE", (*WHITE, 128), font, "mm")
    return Image.alpha_composite(picture.convert("RGBA"), over).convert("RGB")


EDITS: dict[str, Edit] = {
    **{f"JPEG {quality}": jpeg(quality) for quality in (90, 70, 50, 30)},
    "resized to half": lambda picture: scaled(picture, 0.5),
    "resized to 256 px (longest side)": lambda picture: scaled(picture, SIZE / max(picture.size)),
    **{f"img2dataset `{mode.value}`": stored_as(mode) for mode in ResizeMode},
    **{f"img2dataset `{mode.value}`, undone": undone(mode) for mode in ResizeMode},
    **{f"cropped by {share} %": cropped(share / 100) for share in (2, 5, 10)},
    "border of 5 %": framed,
    "turned by 90°": lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "caption strip": captioned,
    "watermark": watermarked,
}


def wilson(found: int, of: int) -> str:
    """The share and its 95 % interval by Wilson's score."""
    if not of:
        return "none"
    z, share = 1.959964, found / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    reach = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return f"{share:.1%} ({max(0.0, middle - reach):.1%} to {min(1.0, middle + reach):.1%})"


def print_of(picture: Picture) -> tuple[np.ndarray, int]:
    prints, quality = kernels.pdq(np.asarray(picture.convert("RGB")))
    return prints.view(np.uint64), quality  # (8, 4)


def is_found(original: np.ndarray, edited: np.ndarray) -> bool:
    return int(np.bitwise_count(edited ^ original[0]).sum(axis=1).min()) <= RADIUS_BITS


def recall(pictures: list[Picture], prints: list[np.ndarray]) -> dict[str, tuple[int, int, int]]:
    """For each edit: found again, tried, and cases where vetset would say that it cannot be told."""
    table = {}
    for name, edit in EDITS.items():
        made = [edit(picture) for picture in pictures]
        tried = [(one, print_of(other)[0]) for one, other in zip(prints, made, strict=True) if other is not None]
        table[name] = (sum(is_found(*pair) for pair in tried), len(tried), len(made) - len(tried))
    return table


def false_matches(prints: list[np.ndarray]) -> tuple[int, int, int]:
    """Pairs of distinct pictures within the radius, upright and in any orientation of either; and all pairs."""
    every = np.stack(prints)  # (pictures, 8, 4)
    upright = either = 0
    for place in range(len(every) - 1):
        rest = every[place + 1 :]
        upright += int((np.bitwise_count(rest[:, 0] ^ every[place, 0]).sum(axis=1) <= RADIUS_BITS).sum())
        least = np.full(len(rest), BITS, np.uint64)
        for own in every[place]:
            np.minimum(least, np.bitwise_count(rest ^ own).sum(axis=2).min(axis=1), out=least)
        either += int((least <= RADIUS_BITS).sum())
    return upright, either, len(every) * (len(every) - 1) // 2


def loaded(folder: Path, every: int) -> dict[str, list[tuple[Picture, np.ndarray]]]:
    """Pictures with enough to see, by group, with their prints."""
    groups: dict[str, list[tuple[Picture, np.ndarray]]] = {"photos": [], "clip art": []}
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    for path in paths[::every]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # transparency in palettes
            picture = Image.open(path).convert("RGB")
        prints, quality = print_of(picture)
        if quality >= LEAST_QUALITY:
            groups["clip art" if path.parent.name in CLIP_ART else "photos"].append((picture, prints))
    return groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(__file__).parent.parent.parent / "shared" / "data" / "benign"
    parser.add_argument("--pictures", type=Path, default=shared)
    parser.add_argument("--every", type=int, default=1, help="take only every so many-th picture")
    options = parser.parse_args()
    groups = loaded(options.pictures, options.every)
    prints = {group: [one for _, one in members] for group, members in groups.items()}
    tables = {group: recall([one for one, _ in members], prints[group]) for group, members in groups.items()}
    print("| edit | " + " | ".join(f"{group} ({len(members)})" for group, members in groups.items()) + " |")
    print("|---|" + "--:|" * len(groups))
    for edit in EDITS:
        cells = []
        for table in tables.values():
            found, tried, untold = table[edit]
            cells.append(wilson(found, tried) + (f"; {untold} not auditable" if untold else ""))
        print(f"| {edit} | " + " | ".join(cells) + " |")
    print("\n| distinct pictures within 31 bits | pairs | upright | any orientation |\n|---|--:|--:|--:|")
    for group, members in {
        **prints,
        "photos and clip art together": list(chain.from_iterable(prints.values())),
    }.items():
        upright, either, pairs = false_matches(members)
        print(f"| {group} | {pairs} | {upright}, {upright / pairs:.1e} | {either}, {either / pairs:.1e} |")


if __name__ == "__main__":
    main()
