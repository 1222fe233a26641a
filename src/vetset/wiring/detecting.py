"""The job `verify --candidates`: a platform as the detector of a run that has no list.

In it: the plan and the asking over all kept fingerprints, and the sealed list of what the platform met. Not in it:
whose pictures they are: an audit with that list finds the rows, seals, follows and cleans them like any other hits.
Rules: nothing is sent but with `live` and a count; the list is sealed to the run's custodians and to whoever holds the
run, appears whole or not at all, and never holds what the platform did not meet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vetset.config import settings_from
from vetset.errors import ServiceError, Stop
from vetset.hashlists.compiled import compile_gathered
from vetset.hashlists.gathering import Gathered
from vetset.hashlists.layout import About
from vetset.hashlists.seen import highest_seen
from vetset.kernels import plan_lines, planned, seconds_left_of_month
from vetset.ledger import Disk
from vetset.pipeline.candidates import CANDIDATES, Candidates, candidates_of
from vetset.records import Abilities, Signal
from vetset.stages.verify import WORD, Asked, verify
from vetset.vault import Vault, custodian
from vetset.vault.journal import Journal
from vetset.wiring.job import Result
from vetset.wiring.verdicts import Bodies, Held, Verifying, held_run, must_be_done, shown, stopped


def detect(request: Verifying, target: Path | None, bodies: Bodies, disk: Disk | None = None) -> Result:
    """Asks one platform about every picture that a run kept; what it met becomes a new list at `target`."""
    if len(request.platforms) != 1:
        raise Stop("--candidates asks one platform", hint="name it with --platform NAME")
    (name,) = request.platforms
    with held_run(request.run, request.identities, request.config_folder, disk) as held:
        must_be_done(held.ledger, held.known, ("screen", "match"))
        journal = Journal(held.vault, held.ledger.sink, CANDIDATES)
        found = _candidates(held)
        body = bodies.abilities(name)
        answered = {line["print"] for line in _words(journal, body)}
        asked = found.to_ask(body.kinds, answered)
        for line in _plan(request, bodies, name, found, asked):
            request.say(line)
        if not request.live:
            return Result(complete=True, hits=0, lines=("nothing was sent; --live sends",))
        if target is None or target.exists():
            raise Stop("--candidates makes a new list of what is met", hint="name a new file with --matches NEW.vsl")
        if asked and not request.agreed(len(asked)):
            raise Stop("nothing was sent: the count was not confirmed", hint="type the number, or say --yes-send N")
        _ask(request, bodies, name, asked, journal)
        words = _words(journal, body)
        return Result(complete=True, hits=0, lines=tuple(_listed(request, held, found, words, body, target)))


def _words(journal: Journal, body: Abilities) -> list[dict[str, Any]]:
    """What the body said; a sandbox and a live service of one name are two."""
    words = (line for line in journal.lines if line["what"] == WORD and line["body"] == body.name)
    return [line for line in words if line["live"] == body.live]


def _candidates(held: Held) -> Candidates:
    digests = Vault(held.ledger.sink, held.keys, held.known["recipients"], held.identities, folder="digests")
    floor = settings_from(held.known["settings"]).match.quality_floor
    found = candidates_of(held.ledger, digests, held.keys.case_key, floor)
    if not found.pictures:
        raise Stop("this run kept no fingerprint", hint="audit with --reach local --keep-digests into another --out")
    return found


def _plan(request: Verifying, bodies: Bodies, name: str, found: Candidates, asked: Sequence[Asked]) -> Iterator[str]:
    yield f"{found.pictures:,} pictures with {len(found.questions):,} different fingerprints"
    kinds = Counter(item.question.kind for item in asked)
    used, left = {name: bodies.used_this_month(name)}, seconds_left_of_month(request.now())
    yield from plan_lines(planned(kinds, [bodies.abilities(name)], used_this_month=used, seconds_left_of_month=left))


def _ask(request: Verifying, bodies: Bodies, name: str, asked: Sequence[Asked], journal: Journal) -> None:
    if asked:
        with bodies.platform(name) as platform:
            platform.ready()
            try:
                verify(asked, platform, journal, request.moment)
            except ServiceError as error:
                raise stopped(error) from None
    journal.fold()


def _listed(
    request: Verifying,
    held: Held,
    found: Candidates,
    words: list[dict[str, Any]],
    body: Abilities,
    target: Path,
) -> Iterator[str]:
    met, name = list(found.found(words)), body.name if body.live else f"{body.name}-sandbox"
    if not met:
        yield "the platform met none of them: there is nothing to make a list of, and nothing is clear"
        return
    gathered = Gathered()
    for digest, entry in met:
        gathered.hold(Signal.SHA256, digest, entry)
    stamp = request.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    about = About(name, highest_seen(request.config_folder, name) + 1, stamp, name, "", "rows of this dataset")
    to = dict.fromkeys([*held.known["recipients"], custodian(request.config_folder)[0]])
    compile_gathered(gathered, target, about, [*to])
    yield f"{shown(len(met))} files were met; they are the list {target}, sealed"
    yield f"find, seal and clean their rows: vetset audit DATASET --reach local --lists {target} --out RUN --clean DIR"
