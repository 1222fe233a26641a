"""The jobs of `verify`: platforms asked, bundles made for bodies that judge by hand, verdict files read back.

In it: a run opened for its cases alone, the plan before anything is sent, the asking, and what is said afterwards. Not
in it: options and words on a screen, who the platforms are (`bodies`), and what a word does (`cases`).
Rules: nothing is sent but with `live`, and then only after the operator named the count; a plan says counts, quotas,
time and what each body learns, and shows no content; the dataset is not needed.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from vetset.cases import CaseState
from vetset.config import Settings
from vetset.errors import ServiceError, Stop
from vetset.kernels import duration_words, plan_lines, planned, seconds_left_of_month
from vetset.ledger import Disk, Ledger, Sink
from vetset.pipeline.casebook import BUNDLED, Casebook
from vetset.ports import Platform
from vetset.records import Abilities, Reach, Shard
from vetset.stages.verify import WORD, Asked, verify
from vetset.vault import RunKeys, Vault, bundle, check_recipients, open_keys, read_identities
from vetset.vault.custody import CUSTODIAN_KEY
from vetset.wiring.job import Result, as_stops
from vetset.wiring.known import known_run, shard_from
from vetset.wrappers import MONTH_QUOTA

#: Below this a count of cases is said as being below it.
FLOOR = 5


class Bodies(Protocol):
    """The platforms that the settings name. Only what `platform` opens asks anybody, and only with `live`."""

    def abilities(self, name: str) -> Abilities: ...
    def used_this_month(self, name: str) -> int: ...
    def platform(self, name: str) -> AbstractContextManager[Platform]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifying:
    """What the operator asked for. `agreed` is shown how many fingerprints would be sent, and answers whether to."""

    run: Path
    platforms: tuple[str, ...] = ()
    live: bool = False
    agreed: Callable[[int], bool] = lambda _count: False
    say: Callable[[str], None] = lambda _line: None
    identities: tuple[Path, ...] = ()
    settings: Settings = field(default_factory=Settings)
    config_folder: Path
    now: Callable[[], datetime]

    def moment(self) -> str:
        return self.now().astimezone(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True, repr=False)
class OpenRun:
    """A run opened for its cases: no list, no dataset, no worker."""

    ledger: Ledger
    vault: Vault
    keys: RunKeys
    known: Mapping[str, Any]
    book: Casebook


@dataclass(frozen=True, slots=True, repr=False)
class Held:
    """A run whose lock is held, and what opens it."""

    ledger: Ledger
    vault: Vault
    keys: RunKeys
    known: Mapping[str, Any]
    identities: tuple[str, ...]

    @property
    def shards(self) -> list[Shard]:
        return [shard_from(item) for item in self.known["inputs"]]


@contextlib.contextmanager
def held_run(run: Path, identities: Sequence[Path], config_folder: Path, disk: Disk | None = None) -> Iterator[Held]:
    """Opens a run with its own key, or a custodian's, and holds its lock. Raises Stop."""
    ledger, known = known_run(run, disk)
    own = config_folder / CUSTODIAN_KEY
    texts = tuple(read_identities([*identities, *([own] if own.is_file() else [])]))
    keys = open_keys(ledger, texts)
    vault = Vault(ledger.sink, keys, known["recipients"], texts)
    with as_stops(), ledger.lock():
        ledger.sink.sweep()
        yield Held(ledger, vault, keys, known, texts)


@contextlib.contextmanager
def opened_book(
    run: Path,
    identities: Sequence[Path],
    config_folder: Path,
    disk: Disk | None = None,
    *,
    with_sandboxes: bool = False,
) -> Iterator[OpenRun]:
    """Opens a run's cases. Raises Stop for a run that is not settled, or compared nothing."""
    with held_run(run, identities, config_folder, disk) as held:
        if not held.known["list_files"]:
            raise Stop("this run has no list, and so no case", hint="`vetset verify RUN --candidates` asks a platform")
        _must_be_settled(held.ledger, held.known)
        book = Casebook(held.ledger, held.vault, held.keys, held.shards, with_sandboxes)
        if book.exhibits and not _is_expanded(held.ledger, held.known):
            raise Stop("the hits were not followed to the rows that share their values yet", hint=_FINISH)
        yield OpenRun(held.ledger, held.vault, held.keys, held.known, book)


def _must_be_settled(ledger: Ledger, known: Mapping[str, Any]) -> None:
    audit = known["settings"].get("audit", {})
    pictures = audit.get("reach", Reach.COLUMNS) != Reach.COLUMNS
    steps = ("screen", *(("match", "expand") if pictures else ()))
    steps += ("expand",) if (ledger.root / "manifests/expand").is_dir() else ()
    must_be_done(ledger, known, steps)


_FINISH = "finish the audit first: the same `vetset audit` with --resume"


def _is_expanded(ledger: Ledger, known: Mapping[str, Any]) -> bool:
    wanted = known["settings"].get("audit", {}).get("expand", True)
    return not wanted or (ledger.root / "manifests/expand").is_dir()


def must_be_done(ledger: Ledger, known: Mapping[str, Any], steps: Sequence[str]) -> None:
    """Raises Stop where a shard neither went through a step nor failed."""
    for step in steps:
        failed = ledger.failures(step).keys() | ledger.failures("index").keys() | ledger.failures("screen").keys()
        for item in known["inputs"]:
            if ledger.done(step, item["id"]) is None and item["id"] not in failed:
                raise Stop(
                    f"{item['path']} did not go through {step} yet",
                    hint=_FINISH,
                )


# --- platforms --------------------------------------------------------------------------------------------------------


def verify_by_platforms(request: Verifying, bodies: Bodies, disk: Disk | None = None) -> Result:
    """Asks platforms, one after the other, about what no body has settled; without `live` says what it would ask."""
    rehearsal = not any(bodies.abilities(name).live for name in request.platforms)
    with opened_book(request.run, request.identities, request.config_folder, disk, with_sandboxes=rehearsal) as run:
        book = run.book
        plans = {name: book.to_ask(name, bodies.abilities(name).kinds) for name in request.platforms}
        for line in plan_words(request, book, bodies, plans):
            request.say(line)
        count = sum(map(len, plans.values()))
        if not request.live:
            return Result(complete=True, hits=0, lines=("nothing was sent; --live sends",))
        if count and not request.agreed(count):
            raise Stop("nothing was sent: the count was not confirmed", hint="type the number, or say --yes-send N")
        book.ask_of(request.settings.verify.parties)
        for name in plans:
            _ask(request, book, bodies, name)
        book.journal.fold()
        return Result(complete=True, hits=0, lines=tuple(state_lines(book)))


def _ask(request: Verifying, book: Casebook, bodies: Bodies, name: str) -> None:
    """One platform; what an earlier one settled meanwhile is not asked any more."""
    asked = book.to_ask(name, bodies.abilities(name).kinds)
    if not asked:
        return
    with bodies.platform(name) as platform:
        platform.ready()
        try:
            result = verify(asked, platform, book.journal, request.moment)
        except ServiceError as error:
            raise stopped(error) from None
        finally:
            book.replay()
    said = ", ".join(f"{ruling} {count:,}" for ruling, count in sorted(result.tally.items()))
    request.say(f"{name}: {len(asked):,} fingerprints asked: {said}")


def stopped(error: ServiceError) -> Stop:
    """Why the asking ended; every answer before is kept."""
    if error.code == MONTH_QUOTA:
        return Stop(
            f"the month's quota of {error.service} is used up",
            hint=f"every answer is kept; the same command goes on in {duration_words(error.wait_seconds)}",
        )
    return Stop(
        f"{error.service} did not answer as it should: {error.code}",
        hint="every answer before is kept; the same command goes on with what is not answered",
    )


def plan_words(
    request: Verifying, book: Casebook, bodies: Bodies, plans: Mapping[str, Sequence[Asked]]
) -> Iterator[str]:
    """What would be sent to whom, in counts, and how long it takes within each body's limits; asked in turn."""
    pictures, seconds = book.open_exhibits(), 0.0
    yield f"{_cases(pictures):,} cases of {len(pictures):,} pictures are not settled"
    for name, asked in plans.items():
        body = bodies.abilities(name)
        kinds = Counter(item.question.kind for item in asked)
        used = {name: bodies.used_this_month(name)}
        left = seconds_left_of_month(request.now())
        plan = planned(kinds, [body], used_this_month=used, seconds_left_of_month=left)
        yield from plan_lines(plan)
        seconds += plan.seconds_in_turn
        unasked = sum(not any(q.kind in body.kinds for q in item.prints.values()) for item in pictures)
        if unasked:
            yield f"  {unasked:,} pictures have no fingerprint that it takes: a --bundle needs none"
    if len(plans) > 1:
        yield f"one after the other, less what an earlier one settles: {duration_words(seconds)}"


def _cases(exhibits: Sequence[Any]) -> int:
    return sum(len(exhibit.cases) for exhibit in exhibits)


def state_lines(book: Casebook) -> Iterator[str]:
    """Where the cases stand, for whoever holds the key; small counts are said as such all the same."""
    counts: Counter[str] = book.counts()
    yield f"{sum(counts.values()):,} cases of {len(book.exhibits):,} pictures:"
    for state in CaseState:
        if counts[state.value]:
            yield f"  {state.value:20} {shown(counts[state.value])}"
    if counts[CaseState.CONFIRMED.value]:
        yield "confirmed cases are to be reported: `vetset report RUN`"
    if counts[CaseState.REFUTED.value]:
        yield "refuted cases: the next `vetset clean` keeps rows whose every reason is gone"


def shown(count: int) -> str:
    return f"{count:,}" if count >= FLOOR or not count else f"fewer than {FLOOR}"


# --- bundles ----------------------------------------------------------------------------------------------------------


def verify_by_bundle(
    request: Verifying, out: Path, recipients: Sequence[str], body: str, disk: Disk | None = None
) -> Result:
    """Seals what no body has settled to a body's key, in a new folder."""
    to = check_recipients(recipients)
    if not to:
        raise Stop("a bundle is sealed to a body's key", hint="name it with --to age1...")
    must_be_apart(request.run, out)
    with opened_book(request.run, request.identities, request.config_folder, disk) as run:
        exhibits = run.book.open_exhibits()
        if not exhibits:
            return Result(complete=True, hits=0, lines=("no case is open: there is nothing to ask",))
        at = request.moment()
        made = bundle.made(exhibits, to, body, at)
        line = {"what": BUNDLED, "bundle": made.id, "sha256": made.sha256, "seal": made.seal, "body": body, "at": at}
        pictures = {exhibit.id: [case.id for case in exhibit.cases] for exhibit in exhibits}
        every = [case for ids in pictures.values() for case in ids]
        run.book.ask_of(request.settings.verify.parties)
        run.book.append([{**line, "pictures": pictures, "cases": every}])
        bundle.put(made, Sink(out.absolute(), disk), body, at)
        run.book.journal.fold()
        words = (f"{len(every):,} cases of {len(exhibits):,} pictures sealed for {body} in {out}: bundle {made.id}",)
        return Result(complete=True, hits=0, lines=(*words, "its verdict file comes back with --verdicts FILE"))


def must_be_apart(run: Path, out: Path) -> None:
    """A bundle goes into a new folder outside the run. Raises Stop."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Stop(f"{out} exists and is not an empty folder", hint="name a new folder for the bundle")
    if run.resolve() in (out.resolve(), *out.resolve().parents):
        raise Stop("--bundle lies inside RUN", hint="name a folder outside it: the bundle is to be handed on")


def read_verdicts(request: Verifying, file: Path, disk: Disk | None = None) -> Result:
    """Takes in a body's verdict file, whole or not at all. The same file again changes nothing."""
    with opened_book(request.run, request.identities, request.config_folder, disk) as run:
        book = run.book
        known = {line["bundle"]: line for line in book.journal.lines if line["what"] == BUNDLED}
        answer = bundle.read_answer(file, known)
        pictures = known[answer.bundle]["pictures"]
        lines = [
            {
                "what": WORD,
                "bundle": answer.bundle,
                "body": answer.body,
                "party": answer.body,
                "people": True,
                "cases": pictures[picture],
                "ruling": ruling.value,
                "by": answer.by,
                "date": answer.date,
            }
            for picture, ruling in answer.rulings.items()
        ]
        there = {_bare(line) for line in book.journal.lines}
        book.append({**line, "at": request.moment()} for line in lines if _bare(line) not in there)
        book.journal.fold()
        taken = f"{len(lines):,} verdicts of {len(pictures):,} pictures asked, by {answer.body} on {answer.date}"
        return Result(complete=True, hits=0, lines=(taken, *state_lines(book)))


def _bare(line: Mapping[str, Any]) -> str:
    """A line without the time at which it was taken in."""
    return json.dumps({name: value for name, value in line.items() if name != "at"}, sort_keys=True)


def bodies_of(request: Verifying) -> Bodies:
    """The platforms of the settings."""
    from vetset.wiring.bodies import Bodies as Named  # noqa: PLC0415 - only what asks a platform loads its clients

    return Named(settings=request.settings, config_folder=request.config_folder, live=request.live)
