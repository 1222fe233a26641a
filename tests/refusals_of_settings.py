"""More refused commands: places that lie in each other, settings, policies."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow.parquet as pq

from tests.commanding import User, table
from tests.refusals import CASES, Words, case, changed, good, on

__all__ = ["CASES"]


# --- places -----------------------------------------------------------------------------------------------------------


@case("RUN inside the dataset")
def _(user: User) -> Words:
    return changed(good(user), "--out", user.place.dataset / "run")


@case("RUN is the dataset")
def _(user: User) -> Words:
    return changed(good(user), "--out", user.place.dataset)


@case("DIR inside the dataset")
def _(user: User) -> Words:
    return changed(good(user), "--clean", user.place.dataset / "sub" / "cleaned")


@case("DIR is the dataset")
def _(user: User) -> Words:
    return changed(good(user), "--clean", user.place.dataset)


@case("DIR is the dataset under another name")
def _(user: User) -> Words:
    (user.root / "link").symlink_to(user.place.dataset, target_is_directory=True)
    return changed(good(user), "--clean", user.root / "link")


@case("DIR inside RUN")
def _(user: User) -> Words:
    return changed(good(user), "--clean", user.place.run / "cleaned")


@case("RUN inside DIR")
def _(user: User) -> Words:
    return changed(good(user), "--out", user.place.cleaned / "run")


def emptied(folder: str) -> Callable[[User], Words]:
    def mended(user: User) -> Words:
        (user.root / folder / "mine.txt").unlink()
        return good(user)

    return mended


@case("DIR holds something", emptied("cleaned"))
def _(user: User) -> Words:
    user.place.cleaned.mkdir()
    (user.place.cleaned / "mine.txt").write_text("mine")
    return good(user)


@case("RUN holds something", emptied("run"))
def _(user: User) -> Words:
    user.place.run.mkdir()
    (user.place.run / "mine.txt").write_text("mine")
    return good(user)


@case("RUN holds something, and is to be resumed", emptied("run"))
def _(user: User) -> Words:
    user.place.run.mkdir()
    (user.place.run / "mine.txt").write_text("mine")
    return [*good(user), "--resume"]


@case("RUN is a file")
def _(user: User) -> Words:
    return changed(good(user), "--out", user.root / "digests.txt")


@case("DIR is a file")
def _(user: User) -> Words:
    return changed(good(user), "--clean", user.root / "digests.txt")


@case("RUN below a file")
def _(user: User) -> Words:
    return changed(good(user), "--out", user.root / "digests.txt" / "run")


# --- settings and policies --------------------------------------------------------------------------------------------


def settings_case(name: str, text: str) -> None:
    """A settings file that is refused."""

    @case(name)
    def _(user: User) -> Words:
        (user.root / "vetset.toml").write_text(text)
        return [*good(user), "--settings", user.root / "vetset.toml"]


settings_case("an unknown setting", "[audit]\nspread_limits = 3\n")
settings_case("an unknown table", "[audits]\nspread_limit = 3\n")
settings_case("a setting of the wrong type", '[audit]\nspread_limit = "3"\n')
settings_case("a setting that is too small", "[run]\nbatch_rows = 0\n")
settings_case("settings that are not TOML", "[audit\n")
settings_case("an unknown column of ours", '[columns]\nlink = "URL"\n')
settings_case("a column that no shard has", '[columns]\nurl = "LINK"\nmd5 = ""\n')
settings_case("an unknown policy in the settings", '[policy]\nname = "strict"\n')
settings_case("a rule without a condition", "[[policy.rules]]\n")


@case("an unknown runner")
def _(user: User) -> Words:
    (user.root / "vetset.toml").write_text('[run]\nrunner = "ray"\n')
    words = [word for word in good(user) if word not in {"--runner", "serial"}]
    return [*words, "--settings", user.root / "vetset.toml"]


@case("no such settings")
def _(user: User) -> Words:
    return [*good(user), "--settings", user.root / "nowhere.toml"]


@case("an unknown policy")
def _(user: User) -> Words:
    return [*good(user), "--policy", "re-research"]


@case("a policy without its words")
def _(user: User) -> Words:
    return [*good(user), "--policy", "research"]


@case("no such words")
def _(user: User) -> Words:
    return [*good(user), "--policy", "research", "--policy-words", user.root / "nowhere.txt"]


@case("words that are none")
def _(user: User) -> Words:
    (user.root / "words.txt").write_text("# nothing yet\n\n")
    return [*good(user), "--policy", "research", "--policy-words", user.root / "words.txt"]


@case("a policy whose column is missing", lambda user: on(user, user.root / "bare"))
def _(user: User) -> Words:
    (user.root / "bare").mkdir()
    (user.root / "words.txt").write_text("bicycle\n")
    pq.write_table(table(0).select(["URL", "TEXT", "md5"]), user.root / "bare" / "a.parquet")
    return [*on(user, user.root / "bare"), "--policy", "research", "--policy-words", user.root / "words.txt"]
