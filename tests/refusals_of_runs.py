"""More refused commands: on runs that are there already or damaged, and the commands for runs, lists and keys."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from tests.commanding import HIT_DIGEST, User, table
from tests.refusals import Words, case, changed, good, on
from tests.refusals_of_settings import CASES
from vetset.vault import new_identity

__all__ = ["CASES"]


# --- runs that are there already --------------------------------------------------------------------------------------


def resumed(user: User) -> Words:
    return [*good(user), "--resume"]


def done(user: User, *more: object) -> Words:
    """Audits and cleans; answers the same words again."""
    ran = user.clean_audit(*more)
    assert ran.status == 0, ran.err
    return [*good(user), *more]


@case("a run that is there already", resumed)
def _(user: User) -> Words:
    return done(user)


@case("resumed with another setting", resumed)
def _(user: User) -> Words:
    return [*done(user), "--resume", "--spread-limit", 7, "--no-expand"]


@case("resumed with another policy", resumed)
def _(user: User) -> Words:
    done(user)
    (user.root / "policy.toml").write_text("[[policy.rules]]\npunsafe_above = 0.5\n")
    return [*resumed(user), "--policy", user.root / "policy.toml"]


@case("resumed with another list", resumed)
def _(user: User) -> Words:
    done(user)
    path = user.place.list_of("third", {"md5": ["00" * 16]})
    user.place.lists.remove(path)
    return [*resumed(user), "--lists", path]


@case("resumed with another recipient", resumed)
def _(user: User) -> Words:
    recipient = new_identity(user.root / "theirs.key")
    return [*done(user), "--resume", "--recipient", recipient]


def restored(user: User) -> Words:
    shutil.copy(user.root / "kept.parquet", user.place.dataset / "a.parquet")
    return resumed(user)


@case("resumed after the dataset changed", restored)
def _(user: User) -> Words:
    done(user)
    shutil.copy(user.place.dataset / "a.parquet", user.root / "kept.parquet")
    pq.write_table(table(5), user.place.dataset / "a.parquet")
    return resumed(user)


@case("resumed with another dataset", resumed)
def _(user: User) -> Words:
    done(user)
    shutil.copytree(user.place.dataset / "sub", user.root / "another")
    return [*on(user, user.root / "another"), "--resume"]


@case("resumed into another run's folder", resumed)
def _(user: User) -> Words:
    done(user)
    words = changed(changed(good(user), "--out", user.root / "run2"), "--clean", user.root / "cleaned2")
    ran = user.vetset(*words, "--remove-held")
    assert ran.status == 0
    return [*changed(resumed(user), "--out", user.root / "run2")]


@case("resumed into another run's cleaned dataset", resumed)
def _(user: User) -> Words:
    done(user)
    shutil.copytree(user.place.cleaned, user.root / "theirs")
    (user.root / "theirs" / "INCOMPLETE").write_text("of another run")
    return changed(resumed(user), "--clean", user.root / "theirs")


# --- damage -----------------------------------------------------------------------------------------------------------


def damaged(name: str, file: str, data: bytes | None, mended: Callable[[User, Path], Words]) -> None:
    """A run with a file whose bytes are replaced (None: by as many zeros), refused on --resume."""

    def whole_again(user: User) -> Words:
        return mended(user, user.place.run / file)

    @case(name, whole_again)
    def _(user: User) -> Words:
        done(user)
        shutil.copy(user.place.run / file, user.root / "kept")
        (user.place.run / file).write_bytes(bytes((user.root / "kept").stat().st_size) if data is None else data)
        return resumed(user)


def from_a_copy(user: User, path: Path) -> Words:
    shutil.copy(user.root / "kept", path)
    return resumed(user)


def deleted(user: User, path: Path) -> Words:
    path.unlink()
    return resumed(user)


damaged("run.toml is damaged", "run.toml", b"schema = ", from_a_copy)
damaged("run.toml lacks something", "run.toml", b"schema = 1\n", from_a_copy)
damaged("run.toml is of a later schema", "run.toml", b"schema = 2\n", from_a_copy)
damaged("a manifest is damaged", "manifests/screen/a.parquet.json", b"{}", deleted)
damaged("the run's key is damaged", "run.key", b"AGE-SECRET-KEY-1\n", from_a_copy)
damaged("the run's secrets are damaged", "vault/run.age", b"age", from_a_copy)
damaged("a small table is damaged", "results/screen/a.parquet.parquet", None, deleted)
damaged("the findings are damaged", "vault/screen/a.parquet.age", b"age", deleted)


# --- the commands for runs --------------------------------------------------------------------------------------------


def closed(user: User) -> None:
    done(user)
    assert user.vetset("close", user.place.run).status == 0


def with_own_key(user: User) -> Words:
    return ["vault", "open", user.place.run, "--identity", user.custodian, "--out", user.root / "findings.jsonl"]


def resumed_elsewhere(user: User) -> Words:
    return changed(changed(good(user), "--out", user.root / "anew"), "--clean", user.root / "cleaned anew")


@case("findings opened with a key that does not fit", with_own_key)
def _(user: User) -> Words:
    closed(user)
    new_identity(user.root / "other.key")
    return ["vault", "open", user.place.run, "--identity", user.root / "other.key"]


@case("findings opened with no such key", with_own_key)
def _(user: User) -> Words:
    closed(user)
    return ["vault", "open", user.place.run, "--identity", user.root / "nowhere.key"]


@case("findings written over a file", with_own_key)
def _(user: User) -> Words:
    closed(user)
    return changed(with_own_key(user), "--out", user.root / "digests.txt")


@case("findings written where nothing can be", with_own_key)
def _(user: User) -> Words:
    closed(user)
    return changed(with_own_key(user), "--out", user.root / "nowhere" / "findings.jsonl")


@case("findings opened that are damaged", lambda user: deleted(user, user.place.run / "vault/screen/a.parquet.age"))
def _(user: User) -> Words:
    done(user)
    (user.place.run / "vault/screen/a.parquet.age").write_bytes(b"age-encryption.org/v1\n")
    return with_own_key(user)


@case("cleaned without a folder", lambda user: ["clean", user.place.run, "--clean", user.place.cleaned])
def _(user: User) -> Words:
    assert user.audit().status == 0
    return ["clean", user.place.run]


@case("cleaned before the audit is done", resumed)
def _(user: User) -> Words:
    assert user.audit().status == 0
    shutil.rmtree(user.place.run / "manifests" / "screen")
    return ["clean", user.place.run, "--clean", user.place.cleaned]


@case("tried again without saying what", lambda user: ["retry", user.place.run, "--only", "failed"])
def _(user: User) -> Words:
    assert user.audit().status == 0
    return ["retry", user.place.run]


@case("screened after close", resumed_elsewhere)
def _(user: User) -> Words:
    closed(user)
    return ["screen", user.place.run]


@case("expanded after close", resumed_elsewhere)
def _(user: User) -> Words:
    closed(user)
    return ["expand", user.place.run]


@case("resumed after close", resumed_elsewhere)
def _(user: User) -> Words:
    closed(user)
    return resumed(user)


def another_key(user: User) -> Words:
    return ["keys", "new", "--out", user.root / "new.key"]


for verb in ("status", "close", "screen", "expand", "clean"):

    @case(f"{verb} of a folder that is no run", another_key)
    def _(user: User, verb: str = verb) -> Words:
        return [verb, user.place.dataset]


@case("a key written over another", another_key)
def _(user: User) -> Words:
    new_identity(user.root / "mine.key")
    return ["keys", "new", "--out", user.root / "mine.key"]


@case("a key where nothing can be written", another_key)
def _(user: User) -> Words:
    return ["keys", "new", "--out", user.root / "digests.txt" / "mine.key"]


def compiled(user: User) -> Words:
    return ["lists", "compile", user.root / "new.vsl", user.root / "digests.txt", "--name", "n", "--version", 1]


@case("a list of nothing valid", compiled)
def _(user: User) -> Words:
    (user.root / "bad.txt").write_text(f"md6 {HIT_DIGEST}\nmd5 xyz\n")
    return ["lists", "compile", user.root / "new.vsl", user.root / "bad.txt", "--name", "n", "--version", 1]


@case("a list written over another", compiled)
def _(user: User) -> Words:
    return changed(compiled(user), "compile", user.place.lists[0])
