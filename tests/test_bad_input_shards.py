"""One bad shard among good ones: the good ones are cleaned, the bad one is named, and nothing passes for whole.

Also what a resumed and a retried run do once the cause is gone, in the file or outside of it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.commanding import HIT_DIGEST, HIT_URL, REMOVED_PER_SHARD, Ran, User, at_work, table
from tests.refusals import forged, renamed, scrambled_footer, whole_parquet
from vetset.errors import ShardError, Trouble
from vetset.pipeline import source

BAD: dict[str, tuple[str, Callable[[Path], object], Trouble]] = {
    "text": ("c.parquet", lambda path: path.write_text(f"{HIT_URL}\n" * 20), Trouble.NOT_THE_FORMAT),
    "empty": ("c.parquet", lambda path: path.write_bytes(b""), Trouble.NOT_THE_FORMAT),
    "cut": ("c.parquet", lambda path: path.write_bytes(whole_parquet(path)[:-40]), Trouble.TRUNCATED),
    "forged": ("c.parquet", forged, Trouble.TRUNCATED),
    "scrambled": ("c.parquet", scrambled_footer, Trouble.NOT_THE_FORMAT),
    "no column": ("c.parquet", lambda path: renamed(path, ["address", "words"]), Trouble.COLUMN_MISSING),
    "two columns": ("c.parquet", lambda path: renamed(path, ["URL", "url"]), Trouble.COLUMN_AMBIGUOUS),
    "type": ("c.parquet", lambda path: pq.write_table(pa.table({"url": [[HIT_URL]]}), path), Trouble.COLUMN_TYPE),
    "no header": ("c.csv", lambda path: path.write_text(f"{HIT_URL},{HIT_DIGEST}\n" * 3), Trouble.COLUMN_MISSING),
    "open quote": ("c.csv", lambda path: path.write_text(f'url,md5\n"{HIT_URL},{HIT_DIGEST}\n'), Trouble.TRUNCATED),
    "no objects": ("c.jsonl", lambda path: path.write_text("17\n"), Trouble.NOT_THE_FORMAT),
}


@pytest.fixture
def user() -> Iterator[User]:
    with at_work() as someone:
        yield someone


def cleaned_rows(user: User) -> dict[str, int]:
    found = sorted(user.place.cleaned.rglob("*.parquet"))
    return {path.relative_to(user.place.cleaned).as_posix(): pq.read_table(path).num_rows for path in found}


def without_the_planted(number: int) -> int:
    return int(table(number).num_rows) - REMOVED_PER_SHARD


def state_of(user: User) -> dict[str, Any]:
    ran = user.vetset("status", user.place.run, "--json", "--verify")
    assert ran.out.count("\n") == 1
    state: dict[str, Any] = json.loads(ran.out)
    return state


@pytest.mark.parametrize("kind", BAD)
def test_the_good_shards_are_cleaned_and_the_bad_one_is_named(user: User, kind: str) -> None:
    name, write, trouble = BAD[kind]
    write(user.place.dataset / name)
    sources = user.sources()
    ran = user.clean_audit("--json")
    assert ran.status == 3, ran.err
    assert f"{name}: failed in " in ran.err
    assert trouble.replace("_", " ") in ran.err
    assert f"vetset retry {user.place.run} --only failed" in ran.err
    assert user.sources() == sources
    assert cleaned_rows(user) == {"a.parquet": without_the_planted(0), "sub/b.parquet": without_the_planted(1)}
    assert (user.place.cleaned / "INCOMPLETE").is_file()
    assert not (user.place.cleaned / name).exists()
    summary = json.loads(ran.out)
    assert summary["complete"] is False
    check_status(user, name, trouble)


def check_status(user: User, name: str, trouble: Trouble) -> None:
    """Both forms of `status` name the shard and its trouble, and find the run sound: incomplete is not damaged."""
    ran = user.vetset("status", user.place.run, "--verify")
    assert ran.status == 0, ran.err
    assert any(name in line and trouble.value in line for line in ran.err.splitlines())
    state = state_of(user)
    assert list(state["failed"].values()) == [{name: trouble.value}]
    assert (state["shards"], state["done"]["clean"], state["sound"]) == (3, 2, True)


def test_a_mended_file_is_another_dataset_and_the_message_says_so(user: User) -> None:
    path = user.place.dataset / "c.parquet"
    path.write_bytes(whole_parquet(path)[:-40])
    assert user.clean_audit().status == 3
    pq.write_table(table(2), path)
    for words in (
        user.audit_words("--clean", user.place.cleaned, "--resume"),
        ["retry", user.place.run, "--only", "failed"],
    ):
        refused = user.refused(*words)
        assert "the dataset is not what this run was made with: c.parquet differs" in refused.err
        assert "name another --out and --clean" in refused.err
    shutil.rmtree(user.place.cleaned)
    shutil.rmtree(user.place.run)
    assert user.clean_audit().status == 0
    assert cleaned_rows(user)["c.parquet"] == without_the_planted(2)


def test_a_second_resume_tries_the_bad_shard_again_and_changes_nothing_else(user: User) -> None:
    (user.place.dataset / "c.parquet").write_bytes(b"no Parquet")
    assert user.clean_audit().status == 3
    before = user.files()
    assert user.clean_audit("--resume").status == 3
    after = user.files()
    other = [name for name in before if before[name] != after.get(name)]
    anew = [name for name in other if not name.startswith("run/vault/expand")]  # sealed again, to the same
    assert set(anew) <= {"run/summary.json", "run/summary.html", "run/sidecar/failures/index/c.parquet.json"}
    assert json.loads(after["run/sidecar/failures/index/c.parquet.json"] or b"")["attempt"] == 2


# --- causes outside the file ------------------------------------------------------------------------------------------


@pytest.fixture
def ailing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a shard unreadable when it is screened, as a share that is gone would, until told otherwise."""
    whole = source.digest_of_file

    def ail(name: str) -> None:
        def digest_of_file(path: Path) -> str:
            if name and path.name == name:
                raise ShardError(Trouble.UNREADABLE, "Stale file handle")
            return whole(path)

        monkeypatch.setattr(source, "digest_of_file", digest_of_file)

    return ail


def undisturbed() -> dict[str, Any]:
    with at_work() as someone:
        assert someone.clean_audit().status == 0
        return sameness(someone)


def sameness(user: User) -> dict[str, Any]:
    shutil.copytree(user.config, user.place.config, dirs_exist_ok=True)
    return user.place.sameness()


def tried_again(user: User, *only: str) -> Ran:
    words = [word for name in only for word in ("--only", name)]
    return user.vetset("retry", user.place.run, *words, "--quiet")


def test_retry_once_the_cause_is_gone_ends_with_the_same(user: User, ailing: Callable[[str], None]) -> None:
    ailing("b.parquet")
    ran = user.clean_audit()
    assert ran.status == 3
    assert "sub/b.parquet: failed in screen: unreadable (Stale file handle)" in ran.err
    ran = tried_again(user, "failed")
    assert ran.status == 3
    ailing("")
    ran = tried_again(user, "unreadable")
    assert ran.status == 0, ran.err
    assert not (user.place.cleaned / "INCOMPLETE").exists()
    state = state_of(user)
    assert (state["failed"], state["done"]["clean"], state["problems"]) == ({}, 2, [])
    assert sameness(user) == undisturbed()


def test_resume_once_the_cause_is_gone_ends_with_the_same(user: User, ailing: Callable[[str], None]) -> None:
    ailing("a.parquet")
    assert user.clean_audit().status == 3
    ailing("")
    assert user.clean_audit("--resume").status == 0
    assert sameness(user) == undisturbed()


def test_retry_of_another_trouble_leaves_the_shard_alone(user: User, ailing: Callable[[str], None]) -> None:
    ailing("a.parquet")
    assert user.clean_audit().status == 3
    ailing("")
    before = user.files()
    ran = tried_again(user, "quarantined", "truncated")
    assert "nothing to try again" in ran.err
    assert ran.status == 3
    assert user.files() == before


def test_retry_of_a_whole_run_has_nothing_to_do(user: User) -> None:
    assert user.clean_audit().status == 0
    ran = tried_again(user, "failed")
    assert ran.status == 0
    assert "nothing to try again" in ran.err


def test_a_limit_that_was_too_small_is_raised_without_another_run(user: User) -> None:
    (user.place.dataset / "long.jsonl").write_text(json.dumps({"url": "https://h.example/" + "x" * 5000}) + "\n")
    (user.root / "small.toml").write_text("[run]\nmax_record_bytes = 4096\n")
    ran = user.clean_audit("--settings", user.root / "small.toml")
    assert ran.status == 3
    assert "max_record_bytes" in ran.err
    ran = user.clean_audit("--resume")
    assert ran.status == 0, ran.err
    assert (user.place.cleaned / "long.jsonl").read_bytes() == (user.place.dataset / "long.jsonl").read_bytes()


def test_every_shard_failing_in_screen_stops_and_resumes(user: User, ailing: Callable[[str], None]) -> None:
    shutil.rmtree(user.place.dataset / "sub")
    ailing("a.parquet")
    ran = user.clean_audit()
    assert ran.status == 1
    assert "no shard could be screened: a.parquet: unreadable (Stale file handle)" in ran.err
    assert "--resume" in ran.err
    ailing("")
    assert user.clean_audit("--resume").status == 0
