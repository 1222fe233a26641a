"""The records that pass between the parts: signals, columns, shards, batches, hits, tallies, tasks.

In it: frozen data and closed enums, and `Sealed`, which keeps a sensitive value from being printed by accident.
Not in it: rules, files, clocks, randomness.
Rules: a fingerprint is `bytes`, hex exists at the edges only; a row's identity is (shard id, row number from 0);
what could lead to material is `Sealed` or `SealedBatch` from the moment it is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

T = TypeVar("T")


class Signal(StrEnum):
    """Kinds of value a list may hold, by the names the field uses."""

    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"
    URL = "url"
    URL_MD5 = "url_md5"
    URL_SHA1 = "url_sha1"
    URL_SHA256 = "url_sha256"
    PDQ = "pdq"
    PHOTODNA = "photodna"


#: Bytes in a key of each signal. A raw `url` entry is kept as the SHA-256 of its form.
WIDTH_BYTES: Mapping[Signal, int] = {
    Signal.MD5: 16,
    Signal.SHA1: 20,
    Signal.SHA256: 32,
    Signal.URL: 32,
    Signal.URL_MD5: 16,
    Signal.URL_SHA1: 20,
    Signal.URL_SHA256: 32,
    Signal.PDQ: 32,
    Signal.PHOTODNA: 144,
}

#: The digest that turns a form of a URL into a key of the signal.
URL_ALGORITHM: Mapping[Signal, str] = {
    Signal.URL: "sha256",
    Signal.URL_MD5: "md5",
    Signal.URL_SHA1: "sha1",
    Signal.URL_SHA256: "sha256",
}


class UrlForm(StrEnum):
    """The spellings of an address under which it is compared; defined in `kernels`."""

    RAW = "raw"
    TX = "tx"
    WHATWG = "whatwg"


class Column(StrEnum):
    """Columns vetset knows, by its own names; adapters map a dataset's spellings to these."""

    URL = "url"
    TEXT = "text"
    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"
    HASH = "hash"
    NSFW = "nsfw"
    PUNSAFE = "punsafe"


#: Columns that hold a recorded digest of the picture's bytes, and the signal each is compared as.
DIGEST_COLUMNS: Mapping[Column, Signal] = {
    Column.MD5: Signal.MD5,
    Column.SHA1: Signal.SHA1,
    Column.SHA256: Signal.SHA256,
}


class Sealed(Generic[T]):
    """A value that cannot be printed, formatted, compared or pickled. `unseal` is called in kernels, vault, writers."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def unseal(self) -> T:
        return self._value

    def __repr__(self) -> str:
        return "<sealed>"

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError("a sealed value cannot be formatted, compared, hashed or pickled")

    def __format__(self, spec: str) -> NoReturn:
        self._refuse()

    def __eq__(self, other: object) -> NoReturn:
        self._refuse()

    def __hash__(self) -> NoReturn:  # noqa: PLE0309
        self._refuse()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self._refuse()


class SealedBatch(Sealed[pa.RecordBatch]):
    """Columns of rows, sealed. Its number of rows and the names of its columns are no secret."""

    __slots__ = ()

    @property
    def rows(self) -> int:
        return int(self._value.num_rows)

    @property
    def columns(self) -> frozenset[Column]:
        return frozenset(Column(name) for name in self._value.schema.names)


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of a dataset. `id` is its escaped relative path, unique in the run and safe as a file name."""

    id: str
    path: str  # relative to the dataset's root, with forward slashes
    size_bytes: int
    probe: str  # digest over size, head and tail: what the run's fingerprint knows of the contents
    companions: tuple[str, ...] = ()  # files beside it that hold the same rows, by the same kind of path, in order


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """What a look at a shard's footer or first line tells. `rows` is None where only reading can tell."""

    rows: int | None
    columns: Mapping[Column, str]  # ours -> the dataset's spelling
    schema_digest: str


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Consecutive rows of a shard, from `first_row`. Columns absent in the dataset are absent here.

    `url`, `text`, `nsfw` are large_binary (UTF-8 as stored, unchecked); digest columns are large_binary of hex text;
    `hash` is int64 and `punsafe` float64. Nulls are kept.
    """

    first_row: int
    values: SealedBatch

    @property
    def rows(self) -> int:
        return self.values.rows


class Reach(StrEnum):
    """How far a run may reach: what is read, and that nothing beyond it is."""

    COLUMNS = "columns"
    LOCAL = "local"  # bytes that the user already holds


class ResizeMode(StrEnum):
    """How img2dataset brought pictures to its size before it stored them; its own words (reference: datasets, 5.2)."""

    NO = "no"
    BORDER = "border"
    KEEP_RATIO = "keep_ratio"
    KEEP_RATIO_LARGEST = "keep_ratio_largest"
    CENTER_CROP = "center_crop"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Stored:
    """How a picture came to be stored as it is. `mode` None: nobody resized it, as far as the dataset tells.

    `intact`: the bytes are those that were fetched, so that the recorded digest must be theirs.
    """

    mode: ResizeMode | None = None
    original_width: int = 0  # pixels; 0: not recorded
    original_height: int = 0
    intact: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Picture:
    """The stored bytes of one row's picture, with what the dataset recorded of them."""

    row: int
    body: Sealed[bytes | memoryview]
    recorded: Mapping[Signal, bytes] = field(default_factory=dict)  # digests that the dataset gives for the original
    stored: Stored = field(default_factory=Stored)


class View(StrEnum):
    """The pictures that one file may hold or stand for; each is fingerprinted (reference: threats, P4)."""

    FIRST = "first"  # the first frame as stored; padding undone where the shard's resizing padded
    FRAME = "frame"  # a sampled later frame, or a further picture of the file
    ORIENTED = "oriented"  # turned as EXIF asks
    ON_WHITE = "on_white"  # transparency over white
    ON_BLACK = "on_black"  # transparency over black
    THUMBNAIL = "thumbnail"  # the picture embedded in EXIF


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ViewPrint:
    """What one view of a picture gave: PDQ in its 8 orientations (8, 32) in the reference's order, quality 0 to 100.

    `other` holds fingerprints of optional kinds by their names.
    """

    view: View
    quality: int
    pdq: npt.NDArray[np.uint8]
    other: Mapping[str, bytes] = field(default_factory=dict)


class FingerprintOutcome(StrEnum):
    """What becomes of a picture in fingerprint; the first that applies."""

    FINGERPRINTED = "fingerprinted"
    CHANGED_CONTENT = "changed_content"  # fingerprinted all the same; its bytes are not those the dataset recorded
    UNDECODABLE = "undecodable"
    UNSUPPORTED = "unsupported"  # a format that is not decoded here
    NOT_AUDITABLE = "not_auditable"  # stored in a way that no fingerprint of the original survives
    TOO_LARGE = "too_large"
    SANDBOX_DEATH = "sandbox_death"
    SANDBOX_ALARM = "sandbox_alarm"  # the child died by SIGSYS: an attack, or a fault of the sandbox
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Decoded:
    """What the sandbox answers about one picture: an outcome, and a print for each view that could be decoded."""

    row: int
    outcome: FingerprintOutcome
    views: tuple[ViewPrint, ...] = ()


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Fingerprints:
    """A batch of pictures as fingerprints: all in the order of `rows`.

    `digests` are of the stored bytes, (pictures, width) by signal; `decoded` what the sandbox answered.
    """

    rows: npt.NDArray[np.int64]
    digests: Mapping[Signal, npt.NDArray[np.uint8]]
    decoded: tuple[Decoded, ...]


class MatchOutcome(StrEnum):
    """What becomes of a fingerprinted picture in match; the first that applies."""

    HIT = "hit"
    NEAR_HIT = "near_hit"
    HELD = "held"
    TOO_PLAIN = "too_plain"
    CLEAR = "clear"


class ScreenOutcome(StrEnum):
    """What becomes of a row in screen and expand; the first that applies, in this order."""

    HIT = "hit"
    NEAR_HIT = "near_hit"  # by a picture's fingerprint alone; only match gives it
    EXPANDED = "expanded"
    HELD = "held"
    POLICY = "policy"
    NOT_ASSESSABLE = "not_assessable"
    CLEAR = "clear"


#: What a shard's manifest may show in clear: these outcomes merged under one name.
ASSESSED = (
    ScreenOutcome.HIT,
    ScreenOutcome.NEAR_HIT,
    ScreenOutcome.EXPANDED,
    ScreenOutcome.HELD,
    ScreenOutcome.POLICY,
    ScreenOutcome.CLEAR,
)


class CleanOutcome(StrEnum):
    """What becomes of a row in clean."""

    KEPT = "kept"
    REMOVED = "removed"
    REMOVED_BY_POLICY = "removed_by_policy"


class Tally(Counter[str]):
    """Counts by outcome. `balance` is the law of the books: every row has exactly one outcome."""

    def plus(self, other: Mapping[str, int]) -> Tally:
        total = Tally(self)
        for outcome, count in other.items():
            total[outcome] += count
        return total

    def rows(self) -> int:
        return sum(self.values())

    def in_order(self) -> dict[str, int]:
        return {key: self[key] for key in sorted(self) if self[key]}


def merged(tally: Mapping[str, int]) -> dict[str, int]:
    """The part of a screen tally that may stand in clear: assessed rows in one figure, and the rest by name."""
    assessed = {str(outcome) for outcome in ASSESSED}
    clear = {"assessed": sum(count for outcome, count in tally.items() if outcome in assessed)}
    clear.update({outcome: count for outcome, count in sorted(tally.items()) if outcome not in assessed and count})
    return clear


@dataclass(frozen=True, slots=True)
class ListRef:
    """A compiled list as named in results: every figure is "as of" this version and digest."""

    name: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class ListEntry:
    """What a list says of one of its entries, beside the value."""

    entry_id: str = ""
    category: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Nearness:
    """How a picture met a list's fingerprint: which view, in which orientation of eight, how far apart."""

    distance: int  # bits for PDQ; whatever the kind measures in, for others
    view: View
    orientation: int = 0
    quality: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Match:
    """One reason why a row is a hit: which list, which signal, under which form, by which entry. Vault only."""

    list_name: str
    list_version: int
    signal: Signal
    form: UrlForm | None
    key: Sealed[bytes]
    entry: ListEntry = field(default_factory=ListEntry)
    near: Nearness | None = None  # how near the picture is, where it was matched by distance


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """Where a row's picture lies or lay, and what was recorded of it. Only ever inside `Sealed`."""

    url: bytes | None
    digests: Mapping[Signal, bytes]  # as the dataset records them
    computed: Mapping[Signal, bytes] = field(default_factory=dict)  # of the bytes in hand


@dataclass(frozen=True, slots=True, repr=False)
class Borne:
    """A value by which a finding may spread: a raw URL, or a recorded digest, and the column it stands in."""

    column: Column
    value: Sealed[bytes]


@dataclass(frozen=True, slots=True, repr=False)
class Hit:
    """A row and what was found about it: a claim, unverified. Written to the vault and nowhere else."""

    shard_id: str
    row: int
    outcome: ScreenOutcome
    address: Sealed[Address]
    matches: tuple[Match, ...] = ()
    noted: Mapping[str, Any] = field(default_factory=dict)


Onward = TypeVar("Onward")


@dataclass(frozen=True, slots=True)
class StageResult(Generic[Onward]):
    """What a stage gives: something for the next stage, and an outcome for every row it took."""

    onward: Onward
    tally: Tally


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of work: a stage over a shard. Picklable and small; everything else comes by file."""

    stage: str
    shard: Shard
    round: int = 0
    attempt: int = 1
    basis: str = ""  # digest of what the step rests on beside the shard; another basis is another result

    @property
    def step(self) -> str:
        """The stage's name in the ledger; rounds of expand are steps of their own."""
        return f"{self.stage}-{self.round}" if self.round else self.stage


@dataclass(frozen=True, slots=True)
class TaskReport:
    """What a runner brings back. `trouble` is None when the task's manifest is written; no value of a row is in it."""

    task: Task
    rows: int = 0
    tally: Mapping[str, int] = field(default_factory=dict)
    trouble: str | None = None
    place: str = ""
    detail: str = ""
    seconds: float = 0.0
    stop: str | None = None  # operator trouble met inside a worker: the run stops with this message
    hint: str = ""


def total(tallies: Iterable[Mapping[str, int]]) -> Tally:
    result = Tally()
    for tally in tallies:
        result = result.plus(tally)
    return result
