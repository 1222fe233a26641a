"""Whole audits of img2dataset's other outputs and of plain folders against the slow oracle; cleaning done anew."""

from __future__ import annotations

import hashlib
import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import picture_oracle as oracle
from tests.driving import Place
from tests.test_audit_pictures import EDITS, spelled
from vetset.datasets import listing
from vetset.errors import Stop
from vetset.ledger import open_run
from vetset.pipeline.cleaning import kept_files
from vetset.testing.folders import write_folder_shard, write_parquet_shard
from vetset.testing.pictures import jpeg, picture
from vetset.testing.tars import SyntheticSample, write_tar_shard
from vetset.wiring.job import close, status_of

KINDS = ("tar", "files", "parquet")


def write_lines(place: Place, kind: str, name: str, samples: list[SyntheticSample]) -> None:
    if kind == "tar":
        write_tar_shard(place.dataset, name, samples, side_parquet=True, stats=True)
    elif kind == "files":
        write_folder_shard(place.dataset, name, samples)
    else:
        write_parquet_shard(place.dataset, name, samples)


def planted(seed: int, shards: int = 3, rows: int = 12) -> tuple[list[list[SyntheticSample]], dict[str, set[Any]]]:
    """Shards in which listed pictures stand in every edit, failed downloads of shared addresses between them."""
    chosen = random.Random(seed)
    listed = [picture(seed * 100 + number, width=160, height=120) for number in range(3)]
    lists: dict[str, set[Any]] = {
        "md5": {bytes(15) + b"\1", hashlib.md5(EDITS[0](listed[0])).digest()},
        "sha256": set(),
        "pdq": {oracle.prints_of(jpeg(pixels, quality=100))[0][0] for pixels in listed[1:]},
        "url": {"https://pictures.example/listed.jpg"},
    }
    found = []
    for shard in range(shards):
        samples = []
        for row in range(rows):
            body = chosen.choice(EDITS)(chosen.choice(listed)) if chosen.random() < 0.4 else jpeg(picture(900_000 + seed + row * 7))  # fmt: skip
            name = "listed" if chosen.random() < 0.05 else str(chosen.randrange(30))
            status = "failed_to_download" if chosen.random() < 0.2 else "success"
            url = f"https://pictures.example/{name}.jpg"
            samples.append(
                SyntheticSample(key=f"{shard:05d}{row:04d}", body=body, url=url, caption="shapes", status=status)
            )
        found.append(samples)
    return found, lists


def as_oracle_sees(shards: list[list[SyntheticSample]]) -> list[oracle.Sample]:
    return [
        {"key": one.key, "shard": number, "json": one.line(), **({"body": one.body} if one.status == "success" else {})}
        for number, samples in enumerate(shards)
        for one in samples
    ]


def pictures_left(place: Place, kind: str, name: str) -> dict[str, bytes]:
    """Key -> body of the pictures in a cleaned shard, read without the package."""
    if kind == "tar":
        return {sample["key"]: sample["body"] for sample in oracle.samples_of(place.cleaned / f"{name}.tar")}
    if kind == "files":
        return {path.stem: path.read_bytes() for path in (place.cleaned / name).glob("*.jpg")}
    table = pq.read_table(place.cleaned / f"{name}.parquet").to_pylist()
    return {line["key"]: line["jpg"] for line in table if line["jpg"] is not None}


def sound(place: Place) -> None:
    ledger, _ = open_run(place.run)
    vault, _ = place.vault()
    assert ledger.verify(place.cleaned, partial(kept_files, vault)) == []
    assert not (place.cleaned / "INCOMPLETE").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_the_removed_set_is_the_oracles_in_every_output(tmp_path: Path, seed: int, kind: str) -> None:
    place = Place(tmp_path)
    shards, lists = planted(seed)
    for number, samples in enumerate(shards):
        write_lines(place, kind, f"{number:05d}", samples)
    place.list_of("bodies", spelled(lists))
    place.audit(reach="local", spread_limit=8)
    wanted = oracle.outcomes(as_oracle_sees(shards), [lists], limit=8)
    assert {"near_hit", "clear"} <= set(wanted)
    for number, samples in enumerate(shards):
        own = wanted[number * len(samples) : (number + 1) * len(samples)]
        kept = [one for one, what in zip(samples, own, strict=True) if what in {"clear", "held"}]
        name = f"{number:05d}"
        assert pq.read_table(place.cleaned / f"{name}.parquet")["key"].to_pylist() == [one.key for one in kept]
        assert pictures_left(place, kind, name) == {one.key: one.body for one in kept if one.status == "success"}
    sound(place)


@pytest.mark.parametrize("seed", range(3))
def test_plain_folders_lose_the_files_of_what_is_found(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PART_SAMPLES", 5)
    place = Place(tmp_path)
    shards, lists = planted(seed)
    bodies = {f"f{number}/{one.key}.jpg": one.body for number, samples in enumerate(shards) for one in samples}
    for name, body in bodies.items():
        (place.dataset / name).parent.mkdir(parents=True, exist_ok=True)
        (place.dataset / name).write_bytes(body)
    place.list_of("bodies", spelled(lists))
    place.audit(reach="local")
    wanted = oracle.outcomes([{"key": name, "body": body} for name, body in bodies.items()], [lists])
    kept = {name: body for (name, body), what in zip(bodies.items(), wanted, strict=True) if what == "clear"}
    assert 0 < len(kept) < len(bodies)
    assert place.cleaned_bytes() == kept
    sound(place)


def test_a_folder_without_a_hit_is_copied_with_all_its_files(tmp_path: Path) -> None:
    place = Place(tmp_path)
    samples = [SyntheticSample(key=f"{n:09d}", body=jpeg(picture(n)), url=f"https://a.example/{n}") for n in range(3)]
    write_folder_shard(place.dataset, "00000", samples)
    (place.dataset / "00000" / "left.out").write_bytes(b"?")
    place.list_of("bodies", {"md5": ["ab" * 16]})
    place.audit(reach="local")
    source = {path.relative_to(place.dataset).as_posix(): path.read_bytes() for path in place.dataset.rglob("*.*")}
    source.pop("00000/left.out")
    assert place.cleaned_bytes() == source
    assert place.summary()["shards"]["ignored_names"] == ["00000/left.out"]


def test_a_folder_that_loses_everything_leaves_nothing_but_its_lines(tmp_path: Path) -> None:
    place = Place(tmp_path)
    samples = [SyntheticSample(key="000000000", body=jpeg(picture(1)), url="https://a.example/1")]
    write_folder_shard(place.dataset, "00000", samples)
    place.list_of("bodies", {"md5": [hashlib.md5(samples[0].body).hexdigest()]})
    place.audit(reach="local")
    assert set(place.cleaned_bytes()) == {"00000.parquet", "00000_stats.json"}
    assert len(pq.read_table(place.cleaned / "00000.parquet")) == 0
    sound(place)


def test_what_an_earlier_cleaning_kept_goes_when_a_later_one_removes_it(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for number in range(3):
        folder = place.dataset / "cats"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(jpeg(picture(number)))
    place.list_of("bodies", {"md5": [hashlib.md5((folder / "1.jpg").read_bytes()).hexdigest()]})
    place.audit(reach="local")
    stale = place.cleaned / "cats" / "1.jpg"
    assert not stale.exists()
    stale.write_bytes(b"kept by an earlier cleaning")
    (place.cleaned / "cats" / "0.jpg").unlink()  # so that the shard is cleaned anew
    place.audit(reach="local", resume=True)
    assert sorted(place.cleaned_bytes()) == ["cats/0.jpg", "cats/2.jpg"]
    sound(place)


def cats(place: Place, count: int = 4) -> list[str]:
    """A folder of pictures, the second of them listed; answers the digests of all."""
    (place.dataset / "cats").mkdir(parents=True)
    bodies = [jpeg(picture(number)) for number in range(count)]
    for number, body in enumerate(bodies):
        (place.dataset / "cats" / f"kitten-{number}.jpg").write_bytes(body)
    place.list_of("bodies", {"md5": [hashlib.md5(bodies[1]).hexdigest()]})
    return [hashlib.sha256(body).hexdigest() for body in bodies]


def test_run_alone_does_not_tell_which_files_of_a_folder_were_removed(tmp_path: Path) -> None:
    """Named one by one, the files kept would tell by what is missing; neither they nor their number are in clear."""
    place = Place(tmp_path)
    digests = cats(place)
    place.audit(reach="local")
    assert len(place.cleaned_bytes()) == 3
    in_clear = {path: path.read_bytes() for path in place.run.rglob("*") if path.is_file() and path.suffix != ".age"}
    for what in ("kitten", *digests):
        assert [path for path, data in in_clear.items() if what.encode() in data] == []
    (manifest,) = (json.loads(path.read_bytes()) for path in (place.run / "manifests/clean").glob("*.json"))
    assert {role: (item["name"], item["bytes"]) for role, item in manifest["products"].items()} == {
        "folder": ("cats/", 0)
    }
    kept = sorted((name, hashlib.sha256(data).hexdigest()) for name, data in place.cleaned_bytes().items())
    lines = "".join(f"{digest} {name}\n" for name, digest in kept)
    assert manifest["products"]["folder"]["sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    sound(place)


@pytest.mark.parametrize("harm", ["a file gone", "a file cut", "the sealed names gone", "the sealed names damaged"])
def test_a_folder_that_is_not_whole_is_cleaned_anew(tmp_path: Path, harm: str) -> None:
    place = Place(tmp_path)
    cats(place)
    place.audit(reach="local")
    wanted, kept, file = place.cleaned_bytes(), place.run / "vault/kept", place.cleaned / "cats/kitten-2.jpg"
    (sealed,) = kept.iterdir()
    if harm == "a file gone":
        file.unlink()
    elif harm == "a file cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif harm == "the sealed names gone":
        sealed.unlink()
    else:
        sealed.write_bytes(sealed.read_bytes()[:-1] + b"?")
    state = status_of(place.run, verify=True)
    assert not state["sound"]
    assert "cats/ is missing or changed" in " ".join(state["lines"])
    assert place.audit(reach="local", resume=True).complete
    assert place.cleaned_bytes() == wanted
    sound(place)
    assert status_of(place.run, verify=True)["sound"]


def test_of_a_closed_run_the_files_of_folders_are_said_not_to_be_checked(tmp_path: Path) -> None:
    place = Place(tmp_path)
    cats(place)
    place.audit(reach="local")
    close(place.run)
    (place.cleaned / "cats/kitten-2.jpg").unlink()
    state = status_of(place.run, verify=True)
    assert state["sound"]
    assert state["folders_unseen"]
    assert any("not checked" in line for line in state["lines"])


def test_embeddings_lose_the_rows_that_an_audit_by_columns_removes(tmp_path: Path) -> None:
    place = Place(tmp_path)
    array = np.random.default_rng(1).standard_normal((50, 8)).astype(np.float16)
    for number in range(2):
        table = pa.table({"url": [f"https://a.example/{number}/{row}" for row in range(50)], "caption": ["c"] * 50})
        place.write({f"metadata/metadata_{number:04d}.parquet": table})
        (place.dataset / "img_emb").mkdir(exist_ok=True)
        np.save(place.dataset / "img_emb" / f"img_emb_{number:04d}.npy", array)
    place.list_of("urls", {"url": ["https://a.example/0/3", "https://a.example/0/49"]})
    place.audit()
    rest = np.load(place.cleaned / "img_emb" / "img_emb_0000.npy")
    assert rest.tobytes() == np.delete(array, [3, 49], axis=0).tobytes()
    untouched = place.dataset / "img_emb" / "img_emb_0001.npy"
    assert (place.cleaned / "img_emb" / "img_emb_0001.npy").read_bytes() == untouched.read_bytes()
    sound(place)


def test_a_companion_that_changed_where_no_probe_looks_is_not_cleaned(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write({"metadata/metadata_0.parquet": pa.table({"url": ["https://a.example/1", "https://a.example/2"]})})
    (place.dataset / "img_emb").mkdir()
    path = place.dataset / "img_emb" / "img_emb_0.npy"
    np.save(path, np.zeros((2, 40_000)))
    place.list_of("urls", {"url": ["https://a.example/1"]})
    place.audit(clean=None)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert not place.audit(resume=True).complete
    assert place.cleaned_bytes().keys() == {"INCOMPLETE"}


def test_another_companion_is_another_run(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write({"metadata_0.parquet": pa.table({"url": ["https://a.example/1"]})})
    np.save(place.dataset / "img_emb_0.npy", np.zeros((1, 4)))
    place.list_of("urls", {"url": ["https://a.example/1"]})
    place.audit(clean=None)
    np.save(place.dataset / "img_emb_0.npy", np.ones((1, 4)))
    with pytest.raises(Stop):
        place.audit(resume=True)


def test_a_picture_that_changed_since_it_was_screened_is_not_cleaned(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for number in range(2):
        (place.dataset / "cats").mkdir(parents=True, exist_ok=True)
        (place.dataset / "cats" / f"{number}.jpg").write_bytes(jpeg(picture(number)))
    place.list_of("bodies", {"md5": ["ab" * 16]})
    place.audit(reach="local", clean=None)
    path = place.dataset / "cats" / "1.jpg"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert not place.audit(reach="local", resume=True).complete
    assert place.cleaned_bytes().keys() == {"INCOMPLETE"}
