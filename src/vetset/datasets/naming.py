"""What a file's name says of it: its format, whether it is a picture, and which sample of a folder it belongs to.

In it: tables of endings, and keys. Not in it: looking for files (`location`), what is in them.
Rules: a name decides which adapter takes a file, never its contents; endings are read whatever their case; a path that
ends with a slash, or with a slash and the number of a part, is a folder of pictures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

#: File name endings and the format each stands for.
FORMATS: Mapping[str, str] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json-lines": "jsonl",
    ".tar": "webdataset",
}
FOLDER = "folder"
#: Formats that hold nothing but pictures and what is said of them.
PICTURE_FORMATS = frozenset({"webdataset", FOLDER})
#: Endings of compressed files; with one of `FORMATS` of text before it, the file is known and not supported.
COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz", ".lz4")
#: Endings of files that hold pictures and that nothing here reads.
TFRECORDS = frozenset({".tfrecord", ".tfrecords", ".tfrec"})

#: Endings of picture files; what is decodable is decided by the sandbox, from the bytes.
_PICTURES = (
    (
        "jpg",
        "jpeg",
        "jpe",
        "jfif",
        "jif",
        "mpo",
        "png",
        "apng",
        "webp",
        "gif",
        "bmp",
        "dib",
        "tif",
        "tiff",
        "ico",
        "cur",
    ),
    ("avif", "avifs", "heic", "heics", "heif", "heifs", "hif", "jp2", "j2k", "jpx", "jpf", "jxl", "jxr", "svg", "svgz"),
    ("ppm", "pgm", "pbm", "pnm", "pfm", "tga", "psd", "pcx", "sgi", "dds", "exr", "hdr", "qoi", "fli", "flc", "blp"),
    ("dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "raf", "img", "image"),
)
PICTURE_ENDINGS = frozenset(ending for endings in _PICTURES for ending in endings)
#: Counts that img2dataset writes beside a shard.
STATS = "_stats.json"

_PART = re.compile(r"(.*/)#(\d{5,})")


def format_of(path: str) -> str | None:
    """The format that a path's name stands for; None if it stands for none."""
    if path.endswith("/") or _PART.fullmatch(path):
        return FOLDER
    return FORMATS.get(PurePosixPath(path).suffix.lower())


def part_path(folder: str, part: int | None) -> str:
    """The path of a shard that is a folder (`folder` ends with a slash), or one part of it."""
    return folder if part is None else f"{folder}#{part:05d}"


def folder_and_part(path: str) -> tuple[str, int | None]:
    """What `part_path` was made of."""
    match = _PART.fullmatch(path)
    return (path, None) if match is None else (match[1], int(match[2]))


def is_picture_name(name: str) -> bool:
    """Whether a file of a folder is a picture, by its name alone; one that begins with a dot is hidden."""
    stem, dot, ending = name.rpartition(".")
    return bool(stem and dot) and not name.startswith(".") and ending.lower() in PICTURE_ENDINGS


def stem_of(name: str) -> str:
    """A name up to its last dot; the whole name where nothing would be left."""
    return name.rpartition(".")[0] or name
