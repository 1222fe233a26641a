"""The ports: what the stages, the pipeline and the command line ask of datasets, lists, bodies and runners.

In it: protocols only. Not in it: any implementation, and any default.
Rules: a port speaks in records; what it gives about a row is sealed; an adapter raises `ShardError` for trouble with
a shard and `Stop` for trouble of the operator, and lets no library's message through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vetset.records import (
    Abilities,
    Answer,
    Column,
    Decoded,
    Letter,
    ListEntry,
    ListRef,
    Picture,
    Question,
    Receipt,
    Request,
    RowBatch,
    Shard,
    ShardFacts,
    Signal,
    Task,
    TaskReport,
    UrlForm,
    Verdict,
)


class ByteSink(Protocol):
    """Where bytes of a product go; every write is one enumerable operation of the ledger."""

    def write(self, data: bytes | memoryview) -> int: ...


#: Opens a product by its name; what is written is there, whole, once the context has ended.
Products = Callable[[str], AbstractContextManager[ByteSink]]


class Dataset(Protocol):
    """Shards of one format, read by row, looked up by number, written back without some rows.

    Rows of a shard are numbered from 0 in file order. Memory stays under a stated ceiling whatever the shard's size.
    """

    def facts(self, shard: Shard) -> ShardFacts:
        """A cheap look (footer, header line). Raises ShardError if the shard is not what it should be."""
        ...

    def batches(self, shard: Shard, columns: frozenset[Column]) -> Iterator[RowBatch]:
        """Rows in order with those of the asked columns that the shard has; the counts must meet the footer's."""
        ...

    def lookup(self, shard: Shard, rows: npt.NDArray[np.int64], columns: frozenset[Column]) -> Iterator[RowBatch]:
        """The named rows (ascending, distinct), one batch a run of neighbours or more; reads only where they stand."""
        ...

    def files(self, shard: Shard) -> Sequence[str]:
        """Every file that holds rows of the shard, relative to the dataset's root: its own first, then companions."""
        ...

    def pictures(self, shard: Shard) -> Iterator[Sequence[Picture]]:
        """The pictures that the shard holds, by ascending row, in batches small enough for memory.

        A row without a picture is left out. A body may be a view of a mapping that lives until the next batch.
        """
        ...

    def oddities(self, shard: Shard) -> Mapping[str, int]:
        """What the shard holds beside rows, by kind: links, devices, repeated names, what is cut off or damaged."""
        ...

    def write_without(self, shard: Shard, removed: npt.NDArray[np.int64], product: Products) -> int:
        """Writes every file of the shard less the removed rows (ascending, distinct, not empty); answers rows written.

        Schema, metadata and order stay; text formats are cut by source byte ranges; of tars and folders the members
        of other rows stay byte for byte as they are.
        """
        ...


class KeyTable(Protocol):
    """Sorted exact keys of one signal with their prefilter, as views over one shared mapping."""

    @property
    def signal(self) -> Signal: ...
    @property
    def forms(self) -> frozenset[UrlForm]:
        """Forms of a URL that these keys are compared with; empty for signals of pictures."""
        ...

    @property
    def width_bytes(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def heads(self) -> npt.NDArray[np.uint64]:
        """First 8 bytes of each key as a big-endian number, ascending."""
        ...

    @property
    def tails(self) -> npt.NDArray[np.uint8]:
        """(count, width_bytes - 8): the rest of each key."""
        ...

    @property
    def words(self) -> npt.NDArray[np.uint64]:
        """The prefilter's words, see `kernels.filter_words`."""
        ...


class NearTable(Protocol):
    """Keys of one signal that are compared by Hamming distance, with an index that misses none."""

    @property
    def signal(self) -> Signal: ...
    @property
    def count(self) -> int: ...

    def within(
        self, queries: npt.NDArray[np.uint8], radius_bits: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(query number, position of the key, distance in bits) of every key within the radius of a query (q, width).

        In order of query, then position. A position is that of the list's exact table of the same signal.
        """
        ...


class Decoder(Protocol):
    """The sandbox: bytes of strangers in, fingerprints of their pixels out. Pixels never leave it."""

    @property
    def level(self) -> str:
        """What stands between a hostile picture and this machine, in the words of the manifest."""
        ...

    def decode(self, pictures: Sequence[Picture]) -> Iterator[Decoded]:
        """One answer for each picture, in order, whatever becomes of the children that decode them."""
        ...


class Fetcher(Protocol):
    """Addresses in, bytes in memory out: politely, to public addresses only, and never by way of the disk."""

    def fetch(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """One answer for each request, as they end. Requests are taken as there is room for them.

        A body is in memory only as long as its answer is held. Raises Stop only for trouble of the operator.
        """
        ...


class FingerprintKind(Protocol):
    """A kind of fingerprint that the user brings, by `module:Class`; none is shipped.

    `compute` runs in the sandbox, on (height, width, 3) pixels, and answers `width_bytes` bytes or None for a picture
    that it cannot judge. `distances` measures a query against keys (count, width_bytes); at most `radius` is near.
    """

    name: str
    signal: Signal | None  # the lists it is compared with here; None: only to be sent
    width_bytes: int
    radius: int
    may_be_sent_to: frozenset[str]  # kinds of platforms, as in `photodna`

    def compute(self, pixels: npt.NDArray[np.uint8]) -> bytes | None: ...
    def distances(self, keys: npt.NDArray[np.uint8], query: bytes) -> npt.NDArray[np.int64]: ...


class HashList(Protocol):
    """A compiled list, opened. Never exported; entries are asked for one position at a time, for hits only."""

    @property
    def ref(self) -> ListRef: ...
    @property
    def tables(self) -> Sequence[KeyTable]: ...
    @property
    def near_tables(self) -> Mapping[int, NearTable]:
        """By the number of its exact table: the tables whose signal is compared by distance too."""
        ...

    def entries(self, table: int, position: int) -> Sequence[ListEntry]:
        """What the list says of the key at `position` of table number `table`; one ListEntry() if nothing."""
        ...


class Platform(Protocol):
    """A body's service that judges fingerprints. Pictures and addresses of third parties are never sent to it.

    Adapters are made by `.sandbox()` and `.live()` only; wrappers (retry, limit, dry run) are platforms too.
    """

    @property
    def abilities(self) -> Abilities: ...

    def ready(self) -> None:
        """Raises Stop unless the service answers, knows us, and finds its canary where it has one."""
        ...

    def judge(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        """One verdict for each question, in order; at most `abilities.batch` questions.

        Raises ServiceError for any answer that is not whole: a broken answer is never "no match".
        """
        ...


class Authority(Protocol):
    """Whom the law names to be told. A report is opened, its id kept, and only then finished; that cannot be undone."""

    @property
    def abilities(self) -> Abilities: ...

    def ready(self) -> None:
        """Raises Stop unless the service answers and knows us."""
        ...

    def open(self, letter: Letter) -> str:
        """The report's id. Raises Stop for a letter that the service would refuse, before anything is sent."""
        ...

    def finish(self, report_id: str) -> Receipt:
        """Finishes an open report; one that is finished already is a receipt too.

        Raises ServiceError; `code` "gone" where the service knows no such report, which must then be opened anew.
        """
        ...

    def retract(self, report_id: str) -> None:
        """Takes back a report that was opened and not finished. Raises ServiceError."""
        ...


RunTask = Callable[[Task], TaskReport]
Boot = Callable[[], AbstractContextManager[None]]


class Runner(Protocol):
    """Carries tasks over shards. Any order, any number of workers, the same result."""

    def run(self, run_task: RunTask, tasks: Iterable[Task]) -> Iterator[TaskReport]:
        """One report for each task, as they end. A task whose worker died is tried again, then quarantined."""
        ...
