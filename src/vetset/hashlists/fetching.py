"""Fetching a list: an exchange asked for what is new, all of it kept, and a new version compiled if anything changed.

In it: the order of these steps, and what is told of them. Not in it: any service, settings, words on a screen.
Rules: every part is kept before the next one is asked for, so that a fetch that was cut off goes on where it stopped;
the version to be compiled is kept as an intention first, so that no crash gives one version two contents; nothing is
compiled if nothing changed; a list that would be empty, or lost more than the operator allows, is not written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from vetset.errors import ServiceError, Stop
from vetset.hashlists.account import Reason
from vetset.hashlists.compiled import compile_gathered
from vetset.hashlists.exchange import Exchange, Part
from vetset.hashlists.gathering import Gathered
from vetset.hashlists.layout import About
from vetset.hashlists.sealing import read_outer
from vetset.hashlists.state import Changes, Segments, State, opened_state
from vetset.records import ListRef, Signal

#: So many small segments are made one, even if nothing changed.
MAX_SEGMENTS = 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a fetched list is called, where it goes, and what is compiled of what comes."""

    name: str
    folder: Path
    recipients: tuple[str, ...]
    identities: tuple[str, ...] = field(repr=False)  # that open the state
    signals: frozenset[Signal] = frozenset(Signal)
    source: str = ""
    purpose: str = ""
    valid_days: int = 0
    least_version: int = 1  # versions below were seen before
    most_withdrawn: float = 0.5  # a whole document that lacks a larger share of what stood is refused

    def path(self, version: int) -> Path:
        return self.folder / f"{self.name}-{version}.vsl"

    @property
    def state_folder(self) -> Path:
        return self.folder / f"{self.name}.state"

    def made_with(self) -> str:
        return ",".join(sorted(self.signals))


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of a fetch. `changes` and `faults` are of entries; no `path`: nothing changed, none was written."""

    ref: ListRef | None = None  # the newest version that there is
    path: Path | None = None  # of the version that this fetch compiled
    changes: Changes = field(default_factory=Changes)
    counts: Mapping[Signal, int] = field(default_factory=dict)  # distinct values of the version compiled
    faults: Mapping[Reason, int] = field(default_factory=dict)
    entries: int = 0


def fetch(exchange: Exchange, wanted: Wanted, now: datetime, segments: Segments | None = None) -> Fetched:
    """Asks for all that is new. Raises Stop; whatever came before is kept, and the same call goes on from there."""
    files = segments or Segments(wanted.state_folder, wanted.recipients)
    with opened_state(files, exchange.origin, wanted.identities) as state:
        _sweep(wanted)
        _settle(state, wanted)
        faults = _asked(exchange, state, wanted)
        changes = state.changes()
        if not changes.any() and state.head.version and state.head.made_with == wanted.made_with():
            if len(files.numbers()) > MAX_SEGMENTS:
                state.rebase(state.head.version, state.head.made_with)
            return Fetched(_ref(state, wanted), None, changes, {}, faults, len(state.known))
        if not any(signal in wanted.signals for signal, _, _ in state.standing()):
            raise Stop(
                f"nothing stands in the list {wanted.name}: no version is written",
                hint="check credentials, environment and `signals`; if all was withdrawn, stop using older versions",
            )
        state.intend(_next_version(state, wanted), now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        ref, counts, path = _compile(state, wanted)
        return Fetched(ref, path, changes, counts, faults, len(state.known))


def plan(exchange: Exchange, wanted: Wanted) -> Sequence[str]:
    """What `fetch` would ask, in sentences. Nothing is asked, and nothing is written."""
    if not wanted.state_folder.is_dir():
        return exchange.plan({})
    with opened_state(Segments(wanted.state_folder, wanted.recipients), exchange.origin, wanted.identities) as state:
        return exchange.plan(state.head.checkpoint)


def _asked(exchange: Exchange, state: State, wanted: Wanted) -> Mapping[Reason, int]:
    faults: Counter[Reason] = Counter()
    try:
        for part in exchange.parts(state.head.checkpoint):
            _check_whole(part, state, wanted)
            state.take(part)
            faults.update(part.faults)
    except ServiceError as error:
        when = f" in {error.wait_seconds:,.0f} seconds" if error.wait_seconds else ""
        raise Stop(
            f"{error.service} did not answer as it should: {error.code}; what came before is kept",
            hint=f"the same command goes on from there: try again{when}",
        ) from None
    return faults


def _check_whole(part: Part, state: State, wanted: Wanted) -> None:
    """A document that was cut short where it was made would withdraw, without a word, what it should have held."""
    lacking = len(state.known.keys() - {entry.key for entry in part.entries}) if part.whole else 0
    if lacking > wanted.most_withdrawn * len(state.known):
        raise Stop(
            f"the document lacks {lacking:,} of {len(state.known):,} entries that stood: nothing of it is taken",
            hint="ask the body whether it is whole; if it is, raise `most_withdrawn` in the settings",
        )


def _sweep(wanted: Wanted) -> None:
    """Takes away lists that a crash left half written, which are sealed and of no use."""
    for path in wanted.folder.glob(f".{wanted.name}-*.vsl.*"):
        path.unlink()


def _settle(state: State, wanted: Wanted) -> None:
    """Ends what a crash cut off between the intention and the base behind it."""
    if state.head.intended:
        _compile(state, wanted)


def _compile(state: State, wanted: Wanted) -> tuple[ListRef, Mapping[Signal, int], Path]:
    version = state.head.intended
    path = wanted.path(version)
    if path.exists():  # written whole before the crash; nothing was taken since the intention
        ref, counts = _existing(path, wanted.name, version), {}
    else:
        compiled = compile_gathered(_gathered(state, wanted), path, _about(state, wanted), wanted.recipients)
        ref, counts = compiled.ref, dict(compiled.counts)
    state.rebase(version, wanted.made_with())
    return ref, counts, path


def _existing(path: Path, name: str, version: int) -> ListRef:
    outer = read_outer(path)
    if (outer.shown.get("name"), outer.shown.get("version")) != (name, version):
        raise Stop(f"{path} is another list", hint="move it away: fetched lists are written under that name")
    return ListRef(name, version, outer.digest)


def _gathered(state: State, wanted: Wanted) -> Gathered:
    gathered = Gathered()
    account = gathered.account(wanted.name)
    for signal, value, entry in state.standing():
        if signal in wanted.signals:
            account.taken += gathered.hold(signal, value, entry) is None
    return gathered


def _about(state: State, wanted: Wanted) -> About:
    created = state.head.intended_at
    expires = date.fromisoformat(created[:10]) + timedelta(days=wanted.valid_days)
    about = About(wanted.name, state.head.intended, created, wanted.source, "", wanted.purpose)
    return replace(about, expires=expires.isoformat()) if wanted.valid_days else about


def _next_version(state: State, wanted: Wanted) -> int:
    there = [state.head.version, wanted.least_version - 1, *_versions(wanted)]
    return max(there) + 1


def _versions(wanted: Wanted) -> Iterable[int]:
    for path in wanted.folder.glob("*.vsl"):
        name, _, number = path.stem.rpartition("-")
        if name == wanted.name and number.isascii() and number.isdigit():
            yield int(number)


def _ref(state: State, wanted: Wanted) -> ListRef | None:
    path = wanted.path(state.head.version)
    return _existing(path, wanted.name, state.head.version) if path.exists() else None
