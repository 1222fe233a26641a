"""The exact figures of a run, as the pipeline hands them over to be published.

In it: frozen records of counts, and the check of their books. Not in it: anything that is published as it stands.
Rules: these records exist in memory only, since they hold counts of 1 to 4; they have no repr; no value of a row and
no value of a list is in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vetset.records import CleanOutcome, Column, FetchOutcome, FingerprintOutcome, ScreenOutcome, Signal, UrlForm


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFigures:
    """A list that took part: what it says of itself, and how many entries it holds of each signal."""

    name: str
    version: int
    digest: str
    created: str = ""
    expires: str = ""
    source: str = ""
    purpose: str = ""
    entries: Mapping[Signal, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FailedShard:
    """A shard whose rows are not in the figures: its path in the dataset, and why (`errors.Trouble`)."""

    path: str
    trouble: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """Values of a column, or of a form of the URL as in `url (raw)`, that were compared with a list's keys."""

    column: str
    list_name: str
    signal: Signal
    values: int


@dataclass(frozen=True, slots=True)
class Unusable:
    """Values of a column that could be compared with nothing: null or empty, and malformed."""

    column: str
    blank: int
    malformed: int


@dataclass(frozen=True, slots=True, repr=False)
class Uniques:
    """How many different things some rows show: URLs as stored, and recorded digests of pictures."""

    urls: int = 0
    digests: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class NoisyEntry:
    """A list entry that hit more rows than the spread limit, by an opaque id."""

    entry: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFigures:
    """What came of the pictures that the dataset holds: facts about the data, none about matches.

    `fingerprint` adds up to `held`. `too_plain` are those that were decoded and show too little for PDQ, whatever a
    list says of their bytes: less those that match by digest, the count would give these away, since how many
    pictures were compared by PDQ is public.
    """

    held: int
    fingerprint: Mapping[FingerprintOutcome, int]
    too_plain: int
    sandbox_level: str
    variant: str
    radius_bits: Mapping[str, int]  # by list
    quality_floor: int
    resize_modes: Mapping[str, int] = field(default_factory=dict)
    oddities: Mapping[str, int] = field(default_factory=dict)  # members of tars that are no sample, by kind
    libraries: Mapping[str, str] = field(default_factory=dict)  # that decoded and fingerprinted, by version


@dataclass(frozen=True, slots=True)
class StratumFigures:
    """Addresses of one stratum that were chosen alike (`drawn` at random or `ranked`): asked, and fetched."""

    stratum: str
    chosen: str
    asked: int
    fetched: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchFigures:
    """What was asked of the web and what came back: facts about the web, none about matches.

    `candidates` are the rows with a usable address that meet no policy, hits among them; `unasked` are those that the
    budget, the rounds or a failed group of hosts left out. `outcomes` add up to the addresses asked. Times are ISO 8601
    in UTC, empty where nothing was answered.
    """

    candidates: int
    unasked: int
    outcomes: Mapping[FetchOutcome, int]
    rounds: int
    failed_groups: int = 0
    unanswered: int = 0  # addresses that were planned and not asked: the budget ended, or their group failed
    strata: tuple[StratumFigures, ...] = ()
    seed: int = 0
    random_share: float = 0.0
    legal_basis: str = ""
    first_at: str = ""
    last_at: str = ""

    @property
    def asked(self) -> int:
        return sum(self.outcomes.values())

    @property
    def fetched(self) -> int:
        return self.outcomes.get(FetchOutcome.FETCHED, 0)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Figures:
    """Everything that the summary of a run may draw on. `rows` counts the rows of the shards that are done.

    `base` counts the rows as if nothing had met any of them; what is published of policy and of rows that could be
    compared with nothing comes from there, and is the same whatever was found.
    `cleaned` is None where no dataset was written, `policy` is empty where none was in force. `hits_by_signal` names
    the form for signals of URLs and None for digests of pictures. `started` and `finished` are ISO 8601 in UTC.
    `settings` are further settings that decide results, shown as they are.
    """

    dataset: str
    version: str
    fingerprint: str
    started: str
    finished: str
    duration_seconds: float
    workers: int
    reach: str = "columns"
    complete: bool

    rows: int
    shards_total: int
    shards_done: int
    failed: tuple[FailedShard, ...] = ()
    ignored: tuple[str, ...] = ()
    columns: Mapping[Column, int] = field(default_factory=dict)
    lists: tuple[ListFigures, ...] = ()
    compared: tuple[Compared, ...] = ()
    unusable: tuple[Unusable, ...] = ()

    outcomes: Mapping[ScreenOutcome, int]
    base: Mapping[ScreenOutcome, int]
    pictures: PictureFigures | None = None
    fetch: FetchFigures | None = None
    cleaned: Mapping[CleanOutcome, int] | None = None
    released: int | None = None  # found rows that the cleaning kept, since their reasons were refuted; None: not asked
    hits_by_list: Mapping[str, int] = field(default_factory=dict)
    hits_by_signal: Mapping[tuple[Signal, UrlForm | None], int] = field(default_factory=dict)
    hits_uniques: Uniques = field(default_factory=Uniques)
    removable_uniques: Uniques = field(default_factory=Uniques)  # of the hits and the expanded rows together
    noisy: tuple[NoisyEntry, ...] = ()
    values_held: int = 0
    rounds: int = 0

    policy: str = ""
    spread_limit: int = 1000
    remove_held: bool = False
    expand: bool = True
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    recipients: int = 0
    key_on_this_machine: bool = False


#: What a row is where nothing met it.
_REMOVABLE = (ScreenOutcome.HIT, ScreenOutcome.NEAR_HIT, ScreenOutcome.EXPANDED)
_UNFOUND = (ScreenOutcome.POLICY, ScreenOutcome.NOT_ASSESSABLE, ScreenOutcome.CLEAR)


def check_books(figures: Figures) -> None:
    """Raises ValueError, without any count, where the outcomes do not add up to the rows."""
    if not sum(figures.outcomes.values()) == sum(figures.base.values()) == figures.rows:
        raise ValueError("the books do not balance: outcomes and rows differ")
    if min((*figures.outcomes.values(), *figures.base.values()), default=0) < 0:
        raise ValueError("the books do not balance: an outcome is negative")
    if any(figures.outcomes.get(outcome, 0) > figures.base.get(outcome, 0) for outcome in _UNFOUND):
        raise ValueError("the books do not balance: a row came to an outcome that only columns give")
    if not 0 <= (figures.released or 0) <= sum(figures.outcomes.get(outcome, 0) for outcome in _REMOVABLE):
        raise ValueError("the books do not balance: more rows were released than were found")
    if figures.pictures is not None:
        _check_pictures(figures.pictures)
    if figures.fetch is not None:
        _check_fetch(figures.fetch, figures)


def _check_fetch(fetched: FetchFigures, figures: Figures) -> None:
    if not 0 <= fetched.unasked <= fetched.candidates <= figures.rows:
        raise ValueError("the books do not balance: more rows were left out than could be asked about")
    asked = fetched.asked if not figures.failed else 0  # of addresses whose shard failed since, no row is counted
    if min(fetched.outcomes.values(), default=0) < 0 or asked > fetched.candidates - fetched.unasked:
        raise ValueError("the books do not balance: more addresses were asked than rows bear")
    if figures.pictures is not None and figures.pictures.held != fetched.fetched:
        raise ValueError("the books do not balance: bodies and pictures differ")


def _check_pictures(pictures: PictureFigures) -> None:
    if sum(pictures.fingerprint.values()) != pictures.held:
        raise ValueError("the books do not balance: outcomes and pictures differ")
    if min(pictures.fingerprint.values(), default=0) < 0:
        raise ValueError("the books do not balance: an outcome of pictures is negative")
    if not 0 <= pictures.too_plain <= pictures.held:
        raise ValueError("the books do not balance: more pictures are too plain than are held")
