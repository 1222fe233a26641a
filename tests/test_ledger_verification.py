"""Verification: every change to a manifest, a root, a product or run.toml is found, and nothing else is."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from vetset.ledger import Ledger, Manifest, Product, Sink, create_run

SHARDS = ("a", "b")


def whole_run(root: Path, shards: Sequence[str] = SHARDS) -> Ledger:
    """Shards through three steps, with roots, and a cleaned dataset beside the run."""
    ledger = create_run(root / "run", {"schema": 1, "dataset": "made-up"})
    cleaned = Sink(root / "cleaned")
    for shard in shards:
        previous = ledger.run_digest
        for step in ("index", "screen", "clean"):
            sink, name = (cleaned, shard) if step == "clean" else (ledger.sink, f"results/{step}/{shard}.parquet")
            products = {"rows": sink.put(name, f"{step} {shard}".encode())}
            previous = committed(ledger, step, shard, previous, products).digest
    for step in ("index", "screen", "clean"):
        ledger.write_root(step, shards)
    return ledger


def committed(
    ledger: Ledger, step: str, shard: str, previous: str, products: dict[str, Product], attempt: int = 1
) -> Manifest:
    manifest = Manifest(
        step=step,
        shard=shard,
        path=shard,
        attempt=attempt,
        run=ledger.run_digest,
        previous=previous,
        products=products,
        rows=4,
    )
    ledger.commit(manifest)
    return manifest


def problems(root: Path, cleaned: Path | None = None) -> list[str]:
    return Ledger(root / "run").verify(cleaned)


def test_a_whole_run_has_no_problem(tmp_path: Path) -> None:
    whole_run(tmp_path)
    assert problems(tmp_path) == []
    assert problems(tmp_path, tmp_path / "cleaned") == []


def test_every_single_byte_that_changes_is_found(tmp_path: Path) -> None:
    whole_run(tmp_path, ["a"])
    run = tmp_path / "run"
    watched = [path for path in sorted(run.rglob("*")) if path.is_file() and path.name != ".lock"]
    assert len(watched) == 1 + 3 + 3 + 2  # run.toml, manifests, roots, results
    for path in watched:
        data = path.read_bytes()
        for place in range(len(data)):
            path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            assert problems(tmp_path), f"byte {place} of {path.name}"
        path.write_bytes(data)
    assert problems(tmp_path) == []


def test_every_manifest_taken_away_is_found(tmp_path: Path) -> None:
    whole_run(tmp_path)
    for path in sorted((tmp_path / "run" / "manifests").glob("*/*.json")):
        data = path.read_bytes()
        path.unlink()
        assert problems(tmp_path), path
        path.write_bytes(data)
    assert problems(tmp_path) == []


def test_manifests_that_changed_places_are_found(tmp_path: Path) -> None:
    whole_run(tmp_path)
    folder = tmp_path / "run" / "manifests"
    one, other = folder / "screen" / "a.json", folder / "screen" / "b.json"
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    assert any("another step or shard" in problem for problem in problems(tmp_path))


def test_a_root_in_anothers_place_is_found(tmp_path: Path) -> None:
    whole_run(tmp_path)
    folder = tmp_path / "run" / "manifests"
    shutil.copy(folder / "index.root.json", folder / "screen.root.json")
    assert any("another step or run" in problem for problem in problems(tmp_path))


def test_a_manifest_of_another_run_is_found(tmp_path: Path) -> None:
    whole_run(tmp_path)
    other = create_run(tmp_path / "other", {"schema": 1, "dataset": "another"})
    committed(other, "index", "c", other.run_digest, {})
    shutil.copy(tmp_path / "other" / "manifests" / "index" / "c.json", tmp_path / "run" / "manifests" / "index")
    assert any("another run" in problem for problem in problems(tmp_path))


def test_a_step_that_was_done_anew_unsettles_what_rests_on_it(tmp_path: Path) -> None:
    ledger = whole_run(tmp_path)
    committed(ledger, "index", "a", ledger.run_digest, {}, attempt=2)
    found = problems(tmp_path)
    assert any("manifests/screen/a.json rests on" in problem for problem in found)
    assert any("index.root.json does not agree" in problem for problem in found)


def test_a_chain_does_not_cross_from_one_shard_to_another(tmp_path: Path) -> None:
    ledger = whole_run(tmp_path)
    other = ledger.done("index", "b")
    assert other is not None
    committed(ledger, "expand", "a", other.digest, {})
    assert [problem for problem in problems(tmp_path) if "expand/a.json rests on" in problem]


def test_a_cleaned_file_that_changed_is_found_where_it_is_looked_at(tmp_path: Path) -> None:
    whole_run(tmp_path)
    (tmp_path / "cleaned" / "b").write_bytes(b"more")
    assert problems(tmp_path) == []
    assert problems(tmp_path, tmp_path / "cleaned") == ["manifests/clean/b.json: its product b is missing or changed"]


def test_a_shard_that_failed_may_be_missing_from_a_root(tmp_path: Path) -> None:
    ledger = whole_run(tmp_path)
    ledger.write_root("clean", ["a"])
    assert problems(tmp_path) == ["manifests/clean.root.json does not agree with the manifest of b"]
    ledger.record_failure("clean", "b", 1, "worker_died", "", "")
    assert problems(tmp_path) == []


def test_leftovers_of_a_crash_are_no_problem(tmp_path: Path) -> None:
    whole_run(tmp_path)
    (tmp_path / "run" / "manifests" / "screen" / "c.json.partial").write_bytes(b'{"torn')
    assert problems(tmp_path) == []


@pytest.mark.parametrize("name", ["manifests/screen/c.json", "manifests/later.root.json"])
def test_what_cannot_be_read_is_a_problem_and_no_crash(tmp_path: Path, name: str) -> None:
    whole_run(tmp_path)
    (tmp_path / "run" / name).mkdir()
    assert [problem for problem in problems(tmp_path) if problem == f"{name} cannot be read"]
