"""What stands in clear does not tell whether a list met a row: audits under two lists that differ in one entry.

The one entry meets exactly one row or picture of the dataset, the other none. Compared is every file of RUN, by name and
size and where it is in clear by content, and what the command prints. What every run draws at random is masked: keys,
and digests that follow from them. What may follow from matches is named in `ALLOWED`, and nothing else may.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import picture_oracle as oracle
from tests.commanding import User
from tests.driving import Place
from vetset.testing.folders import write_folder_shard, write_parquet_shard
from vetset.testing.pictures import jpeg, picture
from vetset.testing.tars import SyntheticSample, write_tar_shard
from vetset.vault.ladder import LEAST_BYTES

WRITERS: Mapping[str, Callable[..., Path]] = {
    "tar": write_tar_shard,
    "files": write_folder_shard,
    "parquet": write_parquet_shard,
}
#: Of the summary: cells that suppression decides about, and what is drawn from them.
ALLOWED = {
    "outcomes": ("hit", "near_hit", "expanded", "held", "clear"),
    "hits": ("by_list", "by_signal", "direct", "with_expanded", "noisy"),
    "expansion": ("values_held", "rounds"),
    "removal": ("kept", "removed", "removed_by_policy"),
}


@dataclass
class Scene:
    """A dataset, what is on both lists, and the entry by which they differ: one that meets a row, one that does not."""

    write: Callable[[Path], object]
    always: dict[str, list[str]]
    met: tuple[str, str]
    unmet: tuple[str, str]
    settings: str = ""
    words: tuple[str, ...] = ("--reach", "local")


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


# --- scenes -----------------------------------------------------------------------------------------------------------


def samples(*, digests: bool = True) -> list[SyntheticSample]:
    """Twelve downloads: pictures, a plain one, a cut one, and two rows that record the same URL."""
    bodies = [jpeg(picture(number, width=128, height=96)) for number in range(10)]
    bodies += [jpeg(0 * picture(1, width=128, height=96)), bodies[0][:300]]
    urls = [f"https://row{8 if number == 9 else number}.example/" for number in range(12)]
    return [
        SyntheticSample(key=f"{number:09d}", body=body, url=url, caption="shapes", md5=md5(body) if digests else None)
        for number, (body, url) in enumerate(zip(bodies, urls, strict=True))
    ]


def pictures(kind: str, meets: int, *, near: bool = False, settings: str = "", digests: bool = True) -> Scene:
    rows = samples(digests=digests)
    body = rows[meets].body
    met = ("pdq", oracle.prints_of(body)[0][0].hex()) if near else ("sha256", hashlib.sha256(body).hexdigest())
    unmet = ("pdq", "5a" * 32) if near else ("sha256", "5a" * 32)
    always = {"md5": [md5(rows[1].body)], met[0]: ["a5" * 32]}
    return Scene(partial(WRITERS[kind], name="00000", samples=rows), always, met, unmet, settings)


CROPPED = '[pictures]\nresize_mode = "center_crop"\n'
POLICY = "[[policy.rules]]\npunsafe_above = 0.9\n"


def columns(meets: int, policy: str = "") -> Scene:
    """Rows of which some record no digest, though their URL is another's, and some meet the policy."""
    digests = [md5(str(number).encode()) for number in range(20)]
    urls = [f"https://row{number}.example/" for number in range(20)]
    digests += [None, None]  # type: ignore[list-item]
    urls += [urls[3], "https://alone.example/"]
    scores = [0.95 if number in {3, 5, 6, 7, 8, 9} else 0.1 for number in range(22)]

    def write(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"url": urls, "md5": digests, "punsafe": scores}), folder / "a.parquet")

    always = {"md5": [digests[1]]}
    return Scene(write, always, ("md5", digests[meets]), ("md5", "5a" * 16), policy, ())


SCENES: Mapping[str, Callable[[], Scene]] = {
    **{f"by digest, {kind}": partial(pictures, kind, 4) for kind in WRITERS},
    **{f"nearly, {kind}": partial(pictures, kind, 4, near=True) for kind in WRITERS},
    **{f"cropped, {kind}": partial(pictures, kind, 4, settings=CROPPED, digests=False) for kind in WRITERS},
    "cropped, and recorded": partial(pictures, "tar", 4, settings=CROPPED),
    "a plain picture": partial(pictures, "tar", 10),
    "a cut picture": partial(pictures, "tar", 11),
    "a row whose URL another bears": partial(pictures, "parquet", 8, settings=CROPPED, digests=False),
    "a row by its columns": partial(columns, 4),
    "a row whose URL one without a digest bears": partial(columns, 3),
    "a row of the policy": partial(columns, 5, POLICY),
    "a row of the policy whose URL another bears": partial(columns, 3, POLICY),
}


# --- what is public ---------------------------------------------------------------------------------------------------

_RANDOM = re.compile(r"[0-9a-f]{64}|age1[0-9a-z]+|\d{4}-\d\d-\d\dT[\d:]+\+00:00")


def audited(root: Path, scene: Scene, entry: tuple[str, str]) -> dict[str, Any]:
    """Everything public of an audit under the list with the entry, masked; and how many rows were found."""
    place = Place(root)
    scene.write(place.dataset)
    signal, value = entry
    lists = {**scene.always, signal: [*scene.always.get(signal, []), value]}
    place.list_of("one", lists)
    (root / "vetset.toml").write_text(scene.settings or "[run]\n", "utf-8")
    user = User(place)
    words = [*scene.words, "--settings", root / "vetset.toml", "--json"]
    ran = user.clean_audit(*words)
    assert ran.status == 0, ran.err
    published = json.loads(ran.out)
    said = [line for line in ran.err.splitlines() if line not in published["sentences"]]
    return {
        **{f"file {name}": seen for name, seen in files(place).items()},
        "stdout": summary_of(published),
        "stderr": masked("\n".join(said), root),
        "found": len(place.outcomes()),
    }


def files(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(path for path in place.run.rglob("*") if path.is_file()):
        name = path.relative_to(place.run).as_posix()
        found[name] = seen_of(name, path, place.root)
    return found


def seen_of(name: str, path: Path, root: Path) -> Any:
    """What somebody without a key sees of a file: its size, on the ladder where it is sealed, or what it says."""
    part, size_bytes = name.partition("/")[0], path.stat().st_size
    if part == "vault":  # age adds less than as much again, of random length
        return 1 << (size_bytes.bit_length() - 1) if size_bytes > LEAST_BYTES else "less than a rung"
    if part in {"joins", "run.key", ".lock", "summary.html"}:  # keyed, random, and what summary.json says
        return size_bytes if part != "summary.html" else 0
    if part == "results":
        return path.read_bytes()
    if name == "summary.json":
        return summary_of(json.loads(path.read_bytes()))
    text = path.read_text("utf-8")
    return masked(json.dumps(without_products(json.loads(text))) if part == "manifests" else text, root)


def without_products(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest of `clean` tells digest and size of the file written, which follow from what is in it."""
    if manifest.get("step") == "clean" and "products" in manifest:
        manifest["products"] = {role: item["name"] for role, item in manifest["products"].items()}
    return manifest


def masked(text: str, root: Path) -> str:
    return _RANDOM.sub("*", text.replace(str(root), "ROOT"))


def summary_of(tree: dict[str, Any]) -> Any:
    for part in ("timing", "sentences"):
        del tree[part]
    for part, names in ALLOWED.items():
        for name in names if tree[part] is not None else ():
            del tree[part][name]
    return json.loads(_RANDOM.sub("*", json.dumps(tree)))


# --- the law ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENES)
def test_one_entry_more_that_hits_changes_nothing_in_clear(tmp_path: Path, name: str) -> None:
    scene = SCENES[name]()
    met, unmet = (tmp_path / side for side in ("met", "unmet"))
    for folder in (met, unmet):
        folder.mkdir()
    with_hit, without = audited(met, scene, scene.met), audited(unmet, scene, scene.unmet)
    assert with_hit.pop("found") > without.pop("found") > 0
    assert with_hit.keys() == without.keys()
    for what, seen in with_hit.items():
        assert seen == without[what], what


def test_the_comparison_sees_a_count_that_moves(tmp_path: Path) -> None:
    """The same comparison of two audits whose datasets differ by one row finds it in many places."""
    one, other = columns(4), columns(4)
    write = other.write

    def shorter(folder: Path) -> None:
        write(folder)
        pq.write_table(pq.read_table(folder / "a.parquet").slice(0, 21), folder / "a.parquet")

    other.write = shorter
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    seen = audited(tmp_path / "one", one, one.met)
    differing = audited(tmp_path / "other", other, other.met)
    moved = {what for what in seen if seen[what] != differing.get(what)}
    assert {"stdout", "file summary.json", "file manifests/screen/a.parquet.json"} <= moved
