"""Synthetic rows in the shape of LAION's joined sets, and shards of them: data to test, demonstrate and measure with.

In it: columns made from a seed and row numbers, the spellings of the known releases, Parquet shards.
Not in it: hash lists and what to expect of an audit (`plants`), and the words (`stock`).
Rules: every value follows from (seed, row number) alone by integer arithmetic, so a slice is the same rows whoever
makes it, on any machine and with any version of numpy; recorded digests are of invented bytes; no address leads
anywhere.

How rows relate, as crawls do: a row points to a link (a URL) and a link to a picture. Some rows share a link with an
earlier row (one URL, several texts), some of these spelled otherwise or recorded when the picture had changed; some
links share a picture with an earlier link (one digest, several URLs). Two pictures are borne by very many rows: a "not
available" placeholder and a banner.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import mmh3
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vetset.testing import stock

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

#: Pictures borne by very many rows, by number; all others are numbered from 0.
PLACEHOLDER, BANNER = -1, -2

_MILLION = 1_000_000

# How often things happen, in rows (or links) per million.
_EMPTY_URL, _NULL_URL = 400, 200
_SHARED_LINK, _OTHER_SPELLING, _PICTURE_CHANGED = 80_000, 150_000, 400_000
_UPPER_HOST, _UPPER_SCHEME, _PLAIN_HTTP = 2_500, 2_500, 350_000
_SHARED_PICTURE, _PLACEHOLDER_LINKS, _BANNER_LINKS = 150_000, 12_000, 9_000
_NULL_DIGEST, _DIGEST_OF_NOTHING = 8_000, 1_000
_NULL_TEXT, _FOREIGN_TEXT = 10_000, 60_000
_NULL_NSFW, _NSFW, _UNSURE = 5_000, 15_000, 50_000
_UNSAFE = 29_000  # share of punsafe above 0.5 in laion2B-en (reference: datasets, §1)


# --- spellings of the releases (reference: datasets, §1): a release's column -> the field it holds -----------------


def _release(names: str, **renamed: str) -> Mapping[str, str]:
    fields = {name: renamed.get(name, name.lower()) for name in names.split()}
    return MappingProxyType(fields)


_BASE = "SAMPLE_ID URL TEXT HEIGHT WIDTH LICENSE NSFW similarity"

SPELLINGS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "laion400m": _release("SAMPLE_ID URL TEXT LICENSE NSFW similarity WIDTH HEIGHT"),
        "joined-en": _release(f"{_BASE} hash punsafe pwatermark"),
        "joined-multi": _release(f"{_BASE} LANGUAGE hash pwatermark punsafe"),
        "joined-nolang": _release(f"{_BASE} hash pwatermark punsafe"),
        "aesthetic": _release("URL TEXT WIDTH HEIGHT similarity hash punsafe pwatermark aesthetic"),
        "aesthetic-score": _release(
            "URL TEXT WIDTH HEIGHT similarity punsafe pwatermark AESTHETIC_SCORE hash",
            AESTHETIC_SCORE="aesthetic_float64", WIDTH="width_float64", HEIGHT="height_float64",
        ),
        "en-md5": _release(f"{_BASE} hash punsafe pwatermark md5"),
        "img2dataset": _release("url caption key status error_message width height sha256", caption="text"),
        "pandas": _release(
            "URL TEXT WIDTH HEIGHT similarity __index_level_0__",
            WIDTH="width_float64", HEIGHT="height_float64", __index_level_0__="index",
        ),
    }
)  # fmt: skip


# --- chance, from a seed and numbers alone -------------------------------------------------------------------------


@cache
def _key(seed: int, purpose: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=8).digest(), "little")


def mixed(numbers: U64 | I64, seed: int, purpose: str) -> U64:
    """64 bits for each number, by SplitMix64 (Steele, Lea and Flood 2014); a bijection for one seed and purpose."""
    bits = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(_key(seed, purpose))
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


class _Draws:
    """Independent draws for each of some numbers, named by their purpose."""

    def __init__(self, seed: int, numbers: I64) -> None:
        self.seed = seed
        self.numbers = numbers

    def below(self, purpose: str, bound: int | I64) -> I64:
        """Numbers from 0 to below the bound, which is under 2^31."""
        high = mixed(self.numbers, self.seed, purpose) >> np.uint64(33)
        return ((high.astype(np.int64) * bound) >> 31).astype(np.int64)

    def happens(self, purpose: str, per_million: int) -> Mask:
        return self.below(purpose, _MILLION) < per_million

    def fraction(self, purpose: str) -> npt.NDArray[np.float64]:
        """Numbers from 0 to below 1 that are exact in any arithmetic."""
        return self.below(purpose, 1 << 24) / float(1 << 24)

    def pick(self, purpose: str, table: Any) -> Any:
        return table.take(pa.array(self.below(purpose, len(table))))


@cache
def _table(name: str) -> Any:
    """A table of the stock as an Arrow array; of hosts, the same in capitals follow."""
    words: Sequence[str] = getattr(stock, name)() if callable(getattr(stock, name)) else getattr(stock, name)
    return pa.array([*words, *(word.upper() for word in words)] if name == "hosts" else words, pa.string())


@cache
def _zipf(ranks: int) -> I64:
    """Cumulated weights 1/rank, as whole numbers: few hosts hold most links."""
    return np.cumsum((1 << 20) // np.arange(1, ranks + 1, dtype=np.int64)).astype(np.int64)


def hex_column(data: npt.NDArray[np.uint8]) -> Any:
    """(rows, bytes) to an Arrow column of their hex text."""
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text = np.empty((data.shape[0], 2 * data.shape[1]), np.uint8)
    text[:, 0::2], text[:, 1::2] = digits[data >> 4], digits[data & 15]
    offsets = np.arange(0, text.size + 1, text.shape[1], dtype=np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.large_string(), len(text), buffers).cast(pa.string())


# --- rows ----------------------------------------------------------------------------------------------------------


def laion_hash(url: str | None, text: str | None) -> int:
    """LAION's `hash`: the first 64 bits, signed, of MurmurHash3-x64-128, seed 0, over UTF-8 of url + text."""
    return int(mmh3.hash64((url or "") + (text or ""))[0])


class _Rows:
    """Rows `first` to `first + count` of the endless data set of a seed; each field is made when asked for."""

    def __init__(self, seed: int, first: int, count: int) -> None:
        self.seed = seed
        self.draws = _Draws(seed, np.arange(first, first + count, dtype=np.int64))

    @cached_property
    def links(self) -> I64:
        return self._earlier(self.draws, "link", _SHARED_LINK)

    @cached_property
    def link_draws(self) -> _Draws:
        return _Draws(self.seed, self.links)

    @cached_property
    def pictures(self) -> I64:
        """Numbers of the recorded pictures."""
        shared = self.links != self.draws.numbers
        changed = shared & self.draws.happens("changed", _PICTURE_CHANGED)
        pictures = np.where(changed, self.draws.numbers, self._earlier(self.link_draws, "picture", _SHARED_PICTURE))
        popular = self.link_draws.below("popular", _MILLION)
        pictures[popular < _PLACEHOLDER_LINKS + _BANNER_LINKS] = BANNER
        pictures[popular < _PLACEHOLDER_LINKS] = PLACEHOLDER
        return pictures

    @staticmethod
    def _earlier(draws: _Draws, purpose: str, per_million: int) -> I64:
        """The number itself, or sometimes one up to it."""
        other = draws.below(f"{purpose}-other", draws.numbers + 1)
        return np.where(draws.happens(purpose, per_million), other, draws.numbers)

    @cached_property
    def _no_url(self) -> I64:
        """0: there is a URL; 1: it is empty; 2: it is null."""
        chance = self.draws.below("no-url", _MILLION)
        return np.where(chance < _EMPTY_URL, 1, np.where(chance < _EMPTY_URL + _NULL_URL, 2, 0))

    @cached_property
    def url(self) -> Any:
        return pc.if_else(self._no_url == 0, self._addresses(), pa.array(["", None]).take(pa.array(self._no_url // 2)))

    def _addresses(self) -> Any:
        link = self.link_draws
        cumulated = _zipf(len(_table("hosts")) // 2)
        host = np.searchsorted(cumulated, link.below("host", int(cumulated[-1])), side="right")
        upper_scheme, upper_host, other_scheme = self._spelling()
        secure = ~link.happens("http", _PLAIN_HTTP) ^ other_scheme
        schemes = pa.array(["http://", "https://", "HTTP://", "HTTPS://"])
        return pc.binary_join_element_wise(
            schemes.take(pa.array(secure + 2 * upper_scheme)),
            _table("hosts").take(pa.array(host + len(cumulated) * upper_host)),
            *(link.pick(name, _table(name)) for name in ("directories", "slugs")),
            hex_column(mixed(link.numbers, self.seed, "token").astype(">u8").view(np.uint8).reshape(-1, 8)),
            *(link.pick(name, _table(name)) for name in ("SUFFIXES", "EXTENSIONS", "QUERIES")),
            "",
        )

    def _spelling(self) -> tuple[Mask, Mask, Mask]:
        """(scheme in capitals, host in capitals, the other scheme): of the link, or for some sharers of their own."""
        shared = self.links != self.draws.numbers
        own = np.where(shared & self.draws.happens("spelling", _OTHER_SPELLING), 1 + self.draws.below("way", 3), 0)
        chance = self.link_draws.below("capitals", _MILLION)
        of_link = np.where(chance < _UPPER_SCHEME, 1, np.where(chance < _UPPER_SCHEME + _UPPER_HOST, 2, 0))
        way = np.where(own, own, of_link)
        return way == 1, way == 2, way == 3  # noqa: PLR2004 - the third way

    @cached_property
    def text(self) -> Any:
        draws = self.draws
        things, places = draws.pick("thing", _table("captions")), draws.pick("place", _table("PLACES"))
        others = draws.pick("other", _table("NOUNS"))
        tail = draws.pick("tail", _table("TAILS"))
        plain = pc.binary_join_element_wise(things, places, "with", others, " ")
        plain = pc.binary_join_element_wise(plain, tail, "")
        foreign = pc.binary_join_element_wise(draws.pick("foreign-text", _table("FOREIGN")), places, " ")
        text = pc.if_else(draws.happens("foreign", _FOREIGN_TEXT), foreign, plain)
        return pc.if_else(draws.happens("no-text", _NULL_TEXT), pa.scalar(None, pa.string()), text)

    def hashes(self) -> Any:
        pairs = zip(self.url.to_pylist(), self.text.to_pylist(), strict=True)
        return pa.array([laion_hash(url, text) for url, text in pairs], pa.int64())

    def digest(self, algorithm: str) -> Any:
        """Recorded digests in hex; null where nothing was fetched, and of nothing where the answer was empty."""
        make = getattr(hashlib, algorithm)
        contents = picture_bytes(self.seed, self.pictures)
        made = [make(content, usedforsecurity=False).hexdigest() for content in contents]
        nothing = make(b"", usedforsecurity=False).hexdigest()
        chance = self.draws.below("no-digest", _MILLION)
        digests = pc.if_else(chance < _NULL_DIGEST + _DIGEST_OF_NOTHING, nothing, pa.array(made, pa.string()))
        missing = (chance < _NULL_DIGEST) | (self._no_url > 0)
        return pc.if_else(missing, pa.scalar(None, pa.string()), digests)

    def nsfw(self) -> Any:
        chance = self.draws.below("nsfw", _MILLION)
        steps = np.cumsum([_NULL_NSFW, _NSFW, _UNSURE])
        return pa.array([None, "NSFW", "UNSURE", "UNLIKELY"]).take(pa.array(np.searchsorted(steps, chance, "right")))

    def punsafe(self) -> Any:
        part = self.draws.fraction("punsafe")
        unsafe = self.draws.happens("unsafe", _UNSAFE)
        return pa.array(np.where(unsafe, 0.5 + part / 2, part * part / 2), pa.float32())

    def sides(self, purpose: str, kind: Any) -> Any:
        return self.draws.pick(purpose, pa.array(stock.SIDES, kind))

    def scores(self, purpose: str, low: float, span: float, kind: Any) -> Any:
        part = self.draws.fraction(purpose)
        return pa.array(low + span * part * part, kind)

    def same(self, value: str | None) -> Any:
        return pa.array([value], pa.string()).take(pa.array(np.zeros(len(self.links), np.int64)))


def picture_bytes(seed: int, pictures: I64) -> Iterator[bytes]:
    """The invented contents of pictures, by number: a few words, so that their digests are of no picture at all."""
    return (b"vetset synthetic picture %d of %d" % (number, seed) for number in pictures.tolist())


#: What a column may hold, by our names for it.
FIELDS: Mapping[str, Callable[[_Rows], Any]] = MappingProxyType(
    {
        "sample_id": lambda rows: pa.array((mixed(rows.draws.numbers, rows.seed, "id") >> np.uint64(1)).view(np.int64)),
        "url": lambda rows: rows.url,
        "text": lambda rows: rows.text,
        "height": lambda rows: rows.sides("height", pa.int32()),
        "width": lambda rows: rows.sides("width", pa.int32()),
        "height_float64": lambda rows: rows.sides("height", pa.float64()),
        "width_float64": lambda rows: rows.sides("width", pa.float64()),
        "license": lambda rows: rows.same("?"),
        "nsfw": _Rows.nsfw,
        "similarity": lambda rows: rows.scores("similarity", 0.28, 0.25, pa.float64()),
        "language": lambda rows: rows.draws.pick("language", _table("LANGUAGES")),
        "hash": _Rows.hashes,
        "punsafe": _Rows.punsafe,
        "pwatermark": lambda rows: rows.scores("pwatermark", 0.0, 1.0, pa.float32()),
        "aesthetic": lambda rows: rows.scores("aesthetic", 3.5, 5.0, pa.float32()),
        "aesthetic_float64": lambda rows: rows.scores("aesthetic", 3.5, 5.0, pa.float64()),
        "md5": lambda rows: rows.digest("md5"),
        "sha1": lambda rows: rows.digest("sha1"),
        "sha256": lambda rows: rows.digest("sha256"),
        "key": lambda rows: pc.utf8_lpad(pa.array(rows.draws.numbers).cast(pa.string()), width=9, padding="0"),
        "status": lambda rows: rows.same("success"),
        "error_message": lambda rows: rows.same(None),
        "index": lambda rows: pa.array(rows.draws.numbers),
    }
)


def laion_rows(
    count: int, seed: int, *, columns: Mapping[str, str] = SPELLINGS["en-md5"], first: int = 0
) -> pa.Table:  # fmt: skip
    """`count` rows from row number `first`; `columns` maps names, in their order, to FIELDS (see SPELLINGS)."""
    unknown = sorted(set(columns.values()) - set(FIELDS))
    if unknown:
        raise ValueError(f"no field {unknown[0]!r}; known: {', '.join(FIELDS)}")
    rows = _Rows(seed, first, count)
    return pa.table({name: FIELDS[field](rows) for name, field in columns.items()})


def shard_names(shards: int, *, seed: int, codec: str = "snappy") -> list[str]:
    """The names that Spark gave LAION's files: number, an id of the collection, the codec."""
    collection = uuid.UUID(int=_key(seed, "name-high") << 64 | _key(seed, "name-low"), version=4)
    ending = "parquet" if codec == "none" else f"{codec}.parquet"
    return [f"part-{number:05d}-{collection}-c000.{ending}" for number in range(shards)]


def write_shards(
    folder: Path,
    rows: int,
    shards: int,
    *,
    seed: int,
    codec: str = "snappy",
    row_group_rows: int = 100_000,
    columns: Mapping[str, str] = SPELLINGS["en-md5"],
) -> list[Path]:
    """Writes the first rows of a seed evenly over Parquet shards in a folder; one row group is in memory at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in shard_names(shards, seed=seed, codec=codec)]
    schema = laion_rows(0, seed, columns=columns).schema
    for number, path in enumerate(paths):
        first, end = rows * number // shards, rows * (number + 1) // shards
        with pq.ParquetWriter(path, schema, compression=codec) as writer:
            for start in range(first, end, row_group_rows):
                count = min(row_group_rows, end - start)
                writer.write_table(laion_rows(count, seed, columns=columns, first=start), row_group_size=row_group_rows)
    return paths
