"""Synthetic tar shards in img2dataset's shape: the tar, the Parquet with a line for each download, the counts.

In it: writing from samples made up by the caller, and reading back for comparison. Not in it: pictures (`pictures`).
Rules: the same samples give the same bytes; every address is under a reserved name.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SUCCESS = "success"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SyntheticSample:
    """A download: its bytes, what is recorded of it. Without `status` success it has a line and no members."""

    key: str
    body: bytes
    url: str = ""
    caption: str = ""
    extension: str = "jpg"
    md5: str | None = None
    sha256: str | None = None
    original_width: int = 0
    original_height: int = 0
    width: int = 0
    height: int = 0
    status: str = SUCCESS

    def line(self) -> dict[str, Any]:
        """What img2dataset records, in its order."""
        return {
            "caption": self.caption,
            "url": self.url,
            "key": self.key,
            "status": self.status,
            "error_message": None,
            "width": self.width,
            "height": self.height,
            "original_width": self.original_width,
            "original_height": self.original_height,
            "md5": self.md5,
            "sha256": self.sha256,
        }


def write_tar_shard(
    folder: Path, name: str, samples: Sequence[SyntheticSample], *, side_parquet: bool = False, stats: bool = False
) -> Path:
    """Writes `name.tar` and, if asked, the side files."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            if sample.status == SUCCESS:
                text = json.dumps(sample.line()).encode()
                parts = ((sample.extension, sample.body), ("json", text), ("txt", sample.caption.encode()))
                for ending, body in parts:
                    member = tarfile.TarInfo(f"{sample.key}.{ending}")
                    member.size = len(body)
                    tar.addfile(member, io.BytesIO(body))
    if side_parquet:
        pq.write_table(pa.Table.from_pylist([sample.line() for sample in samples]), folder / f"{name}.parquet")
    if stats:
        (folder / f"{name}_stats.json").write_text(json.dumps(counts(samples), indent=4))
    return path


def counts(samples: Sequence[SyntheticSample]) -> dict[str, Any]:
    """What img2dataset counts of a shard."""
    statuses = [sample.status for sample in samples]
    return {
        "count": len(samples),
        "successes": statuses.count(SUCCESS),
        "failed_to_download": statuses.count("failed_to_download"),
        "failed_to_resize": statuses.count("failed_to_resize"),
        "duration": 1.5,
        "status_dict": {SUCCESS: statuses.count(SUCCESS)},
    }


def tar_samples(path: Path) -> list[tuple[str, tuple[tuple[str, bytes], ...]]]:
    """Key and members of every sample of a plain tar, in order."""
    found: dict[str, list[tuple[str, bytes]]] = {}
    with tarfile.open(path) as tar:
        for member in tar.getmembers():
            stream = tar.extractfile(member)
            found.setdefault(member.name.partition(".")[0], []).append((member.name, stream.read() if stream else b""))
    return [(key, tuple(members)) for key, members in found.items()]
