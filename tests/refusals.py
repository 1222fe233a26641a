"""Commands that are refused, each with its cause and with the command that works once the cause is gone.

A case prepares a folder and answers the words of the command; `mended` takes the cause away and answers the words that
then work, on the same RUN and DIR wherever nothing of worth was in them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.commanding import HIT_DIGEST, HIT_URL, User, table
from vetset.vault import new_identity

Words = list[object]
Prepare = Callable[[User], Words]
CASES: dict[str, Refusal] = {}


@dataclass(frozen=True)
class Refusal:
    """`prepare` answers the refused command. `mended` answers one that works in the same folder afterwards."""

    prepare: Prepare
    mended: Prepare
    leaves_run: bool = False  # rows were read before the refusal, and RUN is kept to go on with


def good(user: User) -> Words:
    return user.audit_words("--clean", user.place.cleaned)


def case(name: str, mended: Prepare = good, *, leaves_run: bool = False) -> Callable[[Prepare], Prepare]:
    """Notes a case. Unless told otherwise the plain command works afterwards, in the same RUN and DIR."""

    def note(prepare: Prepare) -> Prepare:
        CASES[name] = Refusal(prepare, mended, leaves_run)
        return prepare

    return note


def on(user: User, dataset: object, *more: object) -> Words:
    """The plain command on another dataset."""
    words = good(user)
    return [words[0], dataset, *words[2:], *more]


def changed(words: Words, option: str, value: object) -> Words:
    """The words with another value of an option."""
    place = words.index(option) + 1
    return [*words[:place], value, *words[place + 1 :]]


# --- datasets ---------------------------------------------------------------------------------------------------------


@case("no such dataset")
def _(user: User) -> Words:
    return on(user, user.root / "nowhere")


@case("an empty folder")
def _(user: User) -> Words:
    (user.root / "empty").mkdir()
    return on(user, user.root / "empty")


@case("a glob that matches nothing")
def _(user: User) -> Words:
    return on(user, user.place.dataset / "*.jsonl")


@case("a folder with nothing recognised")
def _(user: User) -> Words:
    folder = user.root / "pictures"
    folder.mkdir()
    (folder / "one.jpg").write_bytes(b"no picture")
    (folder / "README").write_text("words")
    return on(user, folder)


@case("a file of no known format")
def _(user: User) -> Words:
    (user.root / "rows.txt").write_text("url\n")
    return on(user, user.root / "rows.txt")


@case("compressed text only")
def _(user: User) -> Words:
    folder = user.root / "packed"
    folder.mkdir()
    (folder / "rows.csv.gz").write_bytes(b"\x1f\x8b")
    return on(user, folder)


@case("an object store")
def _(user: User) -> Words:
    return on(user, "s3://bucket/laion")


@case("a file address")
def _(user: User) -> Words:
    return on(user, f"file://{user.place.dataset}")


def one_bad_shard(name: str, file_name: str, write: Callable[[Path], object]) -> None:
    """A dataset of one shard that cannot be read, refused before anything of worth is in RUN."""

    @case(name)
    def _(user: User) -> Words:
        folder = user.root / "bad"
        folder.mkdir()
        write(folder / file_name)
        return on(user, folder)


def whole_parquet(path: Path) -> bytes:
    pq.write_table(table(0), path)
    return path.read_bytes()


def forged(path: Path) -> None:
    """The footer's length says more than there is."""
    data = whole_parquet(path)
    path.write_bytes(data[:-8] + (1 << 30).to_bytes(4, "little") + data[-4:])


def scrambled_footer(path: Path) -> None:
    data = whole_parquet(path)
    length = int.from_bytes(data[-8:-4], "little")
    path.write_bytes(data[: -8 - length] + bytes(255 - byte for byte in data[-8 - length : -8]) + data[-8:])


def renamed(path: Path, names: list[str]) -> None:
    pq.write_table(table(0).select(["URL", "TEXT"]).rename_columns(names), path)


one_bad_shard("not Parquet", "a.parquet", lambda path: path.write_text(f"url,md5\n{HIT_URL},{HIT_DIGEST}\n" * 9))
one_bad_shard("an empty Parquet file", "a.parquet", lambda path: path.write_bytes(b""))
one_bad_shard("a truncated Parquet file", "a.parquet", lambda path: path.write_bytes(whole_parquet(path)[:-40]))
one_bad_shard("a footer longer than its file", "a.parquet", forged)
one_bad_shard("a scrambled footer", "a.parquet", scrambled_footer)
one_bad_shard("no column to compare", "a.parquet", lambda path: renamed(path, ["address", "words"]))
one_bad_shard("two columns for one name", "a.parquet", lambda path: renamed(path, ["URL", "url"]))
one_bad_shard(
    "a column of the wrong type", "a.parquet", lambda path: pq.write_table(pa.table({"url": [[HIT_URL]]}), path)
)
one_bad_shard("CSV without a header", "a.csv", lambda path: path.write_text(f"{HIT_URL},{HIT_DIGEST}\n" * 3))
one_bad_shard("an empty CSV file", "a.csv", lambda path: path.write_bytes(b""))
one_bad_shard("CSV in UTF-16", "a.csv", lambda path: path.write_text(f"url\n{HIT_URL}\n", "utf-16"))
one_bad_shard("JSON lines of no objects", "a.jsonl", lambda path: path.write_text("17\n[1, 2]\n"))


# --- lists ------------------------------------------------------------------------------------------------------------


def with_lists(user: User, *files: Path) -> Words:
    """The plain command with these lists instead of the user's own."""
    lists = [word for path in files for word in ("--lists", path)]
    place = user.place
    return [
        "audit",
        place.dataset,
        *lists,
        "--out",
        place.run,
        "--clean",
        place.cleaned,
        "--runner",
        "serial",
        "--quiet",
    ]


@case("no such list")
def _(user: User) -> Words:
    return with_lists(user, user.root / "nowhere.vsl")


@case("a list file that is no list")
def _(user: User) -> Words:
    return with_lists(user, user.root / "digests.txt")


@case("an empty list file")
def _(user: User) -> Words:
    (user.root / "empty.vsl").write_bytes(b"")
    return with_lists(user, user.root / "empty.vsl")


@case("a folder for a list")
def _(user: User) -> Words:
    return with_lists(user, user.place.dataset)


@case("an expired list")
def _(user: User) -> Words:
    path = user.place.list_of("old", {"md5": [HIT_DIGEST]}, expires=date(2020, 2, 29))
    user.place.lists.remove(path)
    return with_lists(user, path)


@case("a corrupted list")
def _(user: User) -> Words:
    data = bytearray(user.place.lists[0].read_bytes())
    data[-50] ^= 1
    (user.root / "corrupted.vsl").write_bytes(data)
    return with_lists(user, user.root / "corrupted.vsl")


@case("a list that is cut short")
def _(user: User) -> Words:
    (user.root / "cut.vsl").write_bytes(user.place.lists[0].read_bytes()[:-32])
    return with_lists(user, user.root / "cut.vsl")


def seen(user: User, version: int, digest: str) -> None:
    user.config.mkdir(parents=True)
    (user.config / "lists.json").write_text(json.dumps({"digests": {"version": version, "digest": digest}}))


def forgotten(user: User) -> Words:
    """As the hint says: the list's name is taken out of what was seen."""
    (user.config / "lists.json").write_text("{}")
    return good(user)


@case("a list that is rolled back", forgotten)
def _(user: User) -> Words:
    seen(user, 7, "00" * 32)
    return good(user)


@case("a list that was swapped", forgotten)
def _(user: User) -> Words:
    seen(user, 1, "00" * 32)
    return good(user)


def remembered_no_more(user: User) -> Words:
    (user.config / "lists.json").unlink()
    return good(user)


@case("what was seen of lists is damaged", remembered_no_more)
def _(user: User) -> Words:
    user.config.mkdir(parents=True)
    (user.config / "lists.json").write_text("[1")
    return good(user)


def with_identity(user: User) -> Words:
    return [*with_lists(user, user.root / "sealed.vsl"), "--identity", user.root / "theirs.key"]


@case("a list sealed to others", with_identity)
def _(user: User) -> Words:
    recipient = new_identity(user.root / "theirs.key")
    path = user.place.list_of("sealed", {"md5": [HIT_DIGEST]}, recipients=[recipient])
    user.place.lists.remove(path)
    return with_lists(user, path)


@case("two lists of one name")
def _(user: User) -> Words:
    shutil.copy(user.place.lists[0], user.root / "copy.vsl")
    return [*good(user), "--lists", user.root / "copy.vsl"]


# --- nothing comparable -----------------------------------------------------------------------------------------------


def only_columns(user: User, columns: Mapping[str, list[object]]) -> Path:
    folder = user.root / "other"
    folder.mkdir()
    pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), folder / "a.pq")
    return folder


@case("no column meets a list", lambda user: [*on(user, user.root / "other"), "--allow-nothing-comparable"])
def _(user: User) -> Words:
    return on(user, only_columns(user, {"sha256": ["00" * 32], "text": ["words"]}))


@case(
    "no value that any list could meet",
    lambda user: [*on(user, user.root / "other"), "--resume", "--allow-nothing-comparable"],
    leaves_run=True,
)
def _(user: User) -> Words:
    return on(user, only_columns(user, {"url": [None, ""], "md5": [None, "not hex"]}))


# --- recipients -------------------------------------------------------------------------------------------------------


@case("a recipient that is none")
def _(user: User) -> Words:
    return [*good(user), "--recipient", "age1nonsense"]


@case("a secret where a recipient belongs")
def _(user: User) -> Words:
    new_identity(user.root / "mine.key")
    secret = (user.root / "mine.key").read_text("ascii").splitlines()[-1]
    return [*good(user), "--recipient", secret]


@case("no such identity file")
def _(user: User) -> Words:
    return [*good(user), "--identity", user.root / "nowhere.key"]


@case("an identity file that holds none")
def _(user: User) -> Words:
    return [*good(user), "--identity", user.root / "digests.txt"]
