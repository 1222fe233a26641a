"""The slow oracle of picture audits: outcomes of samples from first principles, sharing no code with the package.

It reads tars with the standard library, decodes with Pillow, computes PDQ with pdqhash, and compares every value with
every other. Lists map md5, sha1, sha256 and pdq to sets of bytes; `url` to text.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
from PIL import Image

RADIUS_BITS = 31
QUALITY_FLOOR = 50
DIGESTS = ("md5", "sha1", "sha256")

Sample = dict[str, Any]


def samples_of(path: Path) -> list[Sample]:
    """The samples of a tar in order of their first member: key, picture, and what the json member says."""
    found: dict[str, Sample] = {}
    with tarfile.open(path) as tar:
        for member in tar.getmembers():
            key, _, extension = member.name.partition(".")
            sample = found.setdefault(key, {"key": key, "shard": path.name, "members": []})
            stream = tar.extractfile(member)
            assert stream is not None
            body = stream.read()
            sample["members"].append((member.name, body))
            if extension == "json":
                sample["json"] = json.loads(body)
            elif extension in {"jpg", "png"}:
                sample["body"] = body
    return list(found.values())


def prints_of(body: bytes) -> tuple[list[bytes], int]:
    """PDQ in all orientations, and quality."""
    pixels = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))
    turned, quality = pdqhash.compute_dihedral(pixels)
    return [np.packbits(bits).tobytes() for bits in turned], quality


def distance(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def near(body: bytes, listed: set[bytes], radius_bits: int = RADIUS_BITS) -> set[bytes]:
    """The listed values within the radius of any orientation; none for a picture that is too plain."""
    turned, quality = prints_of(body)
    if quality < QUALITY_FLOOR:
        return set()
    return {key for key in listed if any(distance(key, bits) <= radius_bits for bits in turned)}


def borne(sample: Sample) -> set[tuple[str, str]]:
    """What a sample records: its address, and digests of the picture as it was fetched."""
    said = sample.get("json", {})
    return {(name, said[name]) for name in ("url", *DIGESTS) if said.get(name)}


def outcomes(samples: list[Sample], lists: list[dict[str, set[Any]]], limit: int = 1000) -> list[str]:
    """hit, near_hit, expanded, held or clear for each sample."""
    hits: set[int] = set()
    close: dict[int, set[tuple[int, bytes]]] = {}
    for number, sample in enumerate(samples):
        body = sample.get("body")
        for which, held in enumerate(lists):
            if body is not None and any(hashlib.new(name, body).digest() in held.get(name, ()) for name in DIGESTS):
                hits.add(number)
            said = sample.get("json", {})
            recorded = [said.get(name) for name in DIGESTS]
            digests = zip(DIGESTS, recorded, strict=True)
            if any(value and bytes.fromhex(value) in held.get(name, ()) for name, value in digests):
                hits.add(number)
            if said.get("url") and said["url"] in held.get("url", ()):
                hits.add(number)
            if body is not None:
                for key in near(body, held.get("pdq", set())):
                    close.setdefault(number, set()).add((which, key))
    rows_of_entry = Counter(entry for entries in close.values() for entry in entries)
    standing = {n for n, entries in close.items() if any(rows_of_entry[entry] <= limit for entry in entries)}
    return _settled(samples, hits, standing, set(close) - standing, limit)


def _settled(samples: list[Sample], hits: set[int], standing: set[int], held: set[int], limit: int) -> list[str]:
    bearers = Counter(value for sample in samples for value in borne(sample))
    out = hits | standing
    while True:
        reached = {value for number in out for value in borne(samples[number])}
        spread = {value for value in reached if bearers[value] <= limit}
        more = out | {number for number, sample in enumerate(samples) if borne(sample) & spread}
        if more == out:
            break
        out = more
    held = held | {number for number, sample in enumerate(samples) if borne(sample) & (reached - spread)}
    named = [(hits, "hit"), (standing, "near_hit"), (out, "expanded"), (held, "held")]
    return [next((name for which, name in named if n in which), "clear") for n in range(len(samples))]
