"""The photo set of the benchmarks: 500 JPEGs of the size and make that picture datasets hold, out of Debian wallpapers.

In it: the recipe. Not in it: any measurement, any photo. Rules: the same seed and packages give the same pixels; the
files are kept in the folder that is given and made once.

    apt-get download gnome-backgrounds mate-backgrounds lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 \\
        plasma-workspace-wallpapers ukui-wallpapers
    for package in *.deb; do dpkg -x "$package" wallpapers; done
    python bench/photos.py wallpapers photos

Each picture is a crop of a wallpaper at one of six shapes, resized by Lanczos to a long side of 500 px (three in ten,
as photo sites show them) or 256 to 1600 px (evenly in the logarithm), with film grain, saved at quality 75 to 95,
four in five with halved colour, one in ten progressive. Numbers to compare with are in reference: hashes, 5.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

COUNT = 500
SHAPES = ((4, 3), (3, 2), (1, 1), (3, 4), (2, 3), (16, 9))
LEAST_SOURCE_BYTES = 100_000  # smaller files are drawings and gradients

Image.MAX_IMAGE_PIXELS = None


def sources(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*.jp*g") if path.is_file() and not path.is_symlink())
    return [path for path in found if path.stat().st_size >= LEAST_SOURCE_BYTES]


def cropped(source: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A piece of the picture, at least half as long as it can be, resized to the length of a dataset's picture."""
    across, down = SHAPES[rng.integers(len(SHAPES))]
    scale = min(source.width / across, source.height / down) * rng.uniform(0.5, 1.0)
    width, height = int(across * scale), int(down * scale)
    left, top = rng.integers(source.width - width + 1), rng.integers(source.height - height + 1)
    longest = 500 if rng.random() < 0.3 else int(np.exp(rng.uniform(np.log(256), np.log(1600))))
    ratio = longest / max(width, height)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    box = (int(left), int(top), int(left) + width, int(top) + height)
    return source.resize(size, Image.Resampling.LANCZOS, box)


def grained(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(picture, np.float32)
    grain = rng.normal(0, rng.uniform(3, 10), pixels.shape[:2])[:, :, None]
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def make(wallpapers: Path, out: Path) -> None:
    out.mkdir(parents=True)
    paths = sources(wallpapers)
    rng = np.random.default_rng(3)
    order = np.sort(rng.integers(len(paths), size=COUNT))  # sorted: each wallpaper is decoded once
    opened, source = -1, Image.new("RGB", (1, 1))
    for number, place in enumerate(order):
        if opened != place:
            opened, source = place, Image.open(paths[place]).convert("RGB")
        picture = grained(cropped(source, rng), rng)
        subsampling = 2 if rng.random() < 0.8 else 0
        progressive = bool(rng.random() < 0.1)
        quality = int(rng.integers(75, 96))
        picture.save(out / f"{number:03}.jpg", quality=quality, subsampling=subsampling, progressive=progressive)


def pictures(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
