"""Which files belong together: side files, embeddings, and who gets what two could claim."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.datasets.grouping import companions_of
from vetset.datasets.naming import folder_and_part, format_of, is_picture_name, part_path, stem_of
from vetset.records import Reach


def local(paths: Sequence[str], *shards: str) -> dict[str, tuple[str, ...]]:
    return companions_of(paths, shards, Reach.LOCAL)


def test_a_tar_has_its_parquet_and_its_counts() -> None:
    paths = ["00000.parquet", "00000.tar", "00000_stats.json", "00001.parquet"]
    assert local(paths, "00000.parquet", "00000.tar", "00001.parquet") == {
        "00000.tar": ("00000.parquet", "00000_stats.json"),
        "00001.parquet": (),
    }


def test_by_columns_a_parquet_is_a_shard_by_itself_whatever_lies_beside_it() -> None:
    paths = ["00000.parquet", "00000.tar", "00000_stats.json"]
    assert companions_of(paths, ["00000.parquet"], Reach.COLUMNS) == {"00000.parquet": ()}


def test_a_numbered_folder_has_side_files_and_a_named_one_only_if_it_was_counted() -> None:
    paths = [
        "00000/1.jpg",
        "00000.parquet",
        "cats/1.jpg",
        "cats.parquet",
        "dogs/1.jpg",
        "dogs.parquet",
        "dogs_stats.json",
    ]
    shards = ["00000/", "00000.parquet", "cats/", "cats.parquet", "dogs/", "dogs.parquet"]
    assert local(paths, *shards) == {
        "00000/": ("00000.parquet",),
        "cats/": (),
        "cats.parquet": (),
        "dogs/": ("dogs.parquet", "dogs_stats.json"),
    }


def test_a_parquet_with_bytes_has_its_counts() -> None:
    assert local(["a/0.parquet", "a/0_stats.json"], "a/0.parquet") == {"a/0.parquet": ("a/0_stats.json",)}


@pytest.mark.parametrize("order", [("0.tar", "0/", "0.parquet"), ("0.parquet", "0/", "0.tar")])
def test_what_two_could_claim_goes_to_the_tar(order: tuple[str, ...]) -> None:
    groups = local(["0.tar", "0/1.jpg", "0.parquet", "0_stats.json"], *order)
    assert groups == {"0.tar": ("0.parquet", "0_stats.json"), "0/": ()}


@pytest.mark.parametrize("text", ["a.csv", "a.jsonl"])
def test_a_text_file_claims_nothing(text: str) -> None:
    assert local([text, "a.parquet", "a_stats.json"], text, "a.parquet") == {text: (), "a.parquet": ("a_stats.json",)}


@pytest.mark.parametrize("reach", list(Reach))
@pytest.mark.parametrize(
    ("metadata", "arrays"),
    [
        ("metadata/metadata_0000.parquet", ("img_emb/img_emb_0000.npy", "text_emb/text_emb_0000.npy")),
        ("laion2B-en-metadata/metadata_0000.parquet", ("img_emb/img_emb_0000.npy",)),
        ("metadata_0000.parquet", ("img_emb_0000.npy", "text_emb_0000.npy")),
        ("x/metadata_7.parquet", ("x/img_emb_7.npy",)),
        ("deep/m/metadata_12.parquet", ("deep/img_emb/img_emb_12.npy",)),
    ],
)
def test_embeddings_of_the_same_number_go_with_their_metadata(
    reach: Reach, metadata: str, arrays: tuple[str, ...]
) -> None:
    assert companions_of([metadata, *arrays], [metadata], reach) == {metadata: arrays}


@pytest.mark.parametrize(
    "array", ["img_emb/img_emb_0001.npy", "img_emb/img_emb_000.npy", "far/away/img_emb_0000.npy", "img_emb/other.npy"]
)
def test_other_arrays_are_nobodys(array: str) -> None:
    paths = ["metadata/metadata_0000.parquet", array]
    assert companions_of(paths, paths[:1], Reach.COLUMNS) == {paths[0]: ()}


def test_embeddings_that_two_metadata_files_could_mean_are_neithers() -> None:
    shards = ["en-metadata/metadata_0.parquet", "multi-metadata/metadata_0.parquet"]
    assert companions_of([*shards, "img_emb/img_emb_0.npy"], shards, Reach.COLUMNS) == dict.fromkeys(shards, ())


def test_embeddings_beside_a_tar_follow_the_parquet_that_it_took() -> None:
    paths = ["metadata_0.tar", "metadata_0.parquet", "img_emb_0.npy"]
    assert local(paths, "metadata_0.tar", "metadata_0.parquet") == {
        "metadata_0.tar": ("metadata_0.parquet", "img_emb_0.npy")
    }


NAMES = st.sampled_from(
    ["0.tar", "0.TAR", "0.parquet", "0.pq", "0_stats.json", "0.csv", "0/", "metadata_0.parquet", "img_emb_0.npy"]
)
PLACES = st.sampled_from(["", "a/", "b/", "a/c/"])


@given(st.sets(st.builds(str.__add__, PLACES, NAMES)), st.sampled_from(Reach))
def test_a_file_is_a_shard_or_the_companion_of_one_shard_or_neither(paths: set[str], reach: Reach) -> None:
    shards = sorted(path for path in paths if format_of(path))
    groups = companions_of(sorted(paths), shards, reach)
    beside = [name for names in groups.values() for name in names]
    assert len(beside) == len(set(beside))
    assert not set(beside) & set(groups)
    assert set(shards) <= {*groups, *beside}
    assert {*groups, *beside} <= paths


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a.jpg", "A.JPEG", "_DSC1.png", "x.y.webp", "v.svg", "i.ico", "é.heic", "a.jp2", "a.jxl"]
)
def test_names_of_pictures(name: str) -> None:
    assert is_picture_name(name)


@pytest.mark.parametrize("name", ["a.txt", "jpg", ".jpg", ".a.jpg", "._a.jpg", "a.jpg.json", "", "a.", "a.jpgx"])
def test_names_of_no_pictures(name: str) -> None:
    assert not is_picture_name(name)


@given(st.sampled_from(["./", "a/", "a/b.jpg/", "#1/"]), st.none() | st.integers(0, 10**7))
def test_a_part_of_a_folder_has_a_path_of_its_own_that_tells_which(folder: str, part: int | None) -> None:
    path = part_path(folder, part)
    assert folder_and_part(path) == (folder, part)
    assert format_of(path) == "folder"


@pytest.mark.parametrize(("name", "stem"), [("a.jpg", "a"), ("a.b.jpg", "a.b"), ("a", "a"), (".jpg", ".jpg")])
def test_stems(name: str, stem: str) -> None:
    assert stem_of(name) == stem
