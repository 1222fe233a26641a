"""The jobs of the command line: an audit from end to end, going on with one, and looking at what a run left.

In it: the verbs in order around an opened run, and the summary at the end. Not in it: options and words on a screen.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from vetset import summary
from vetset.errors import ShardError, SinkError, Stop
from vetset.ledger import FOLDER, Disk, Failure, Ledger, discard_run, open_run
from vetset.ledger.verification import Kept
from vetset.pipeline.account import About, Account
from vetset.pipeline.audit import Audit
from vetset.pipeline.casebook import Casebook, was_verified
from vetset.pipeline.cleaning import kept_files
from vetset.pipeline.failing import explained, failed_report
from vetset.pipeline.pictures import TROUBLES
from vetset.pipeline.planning import named
from vetset.pipeline.releasing import heeded
from vetset.pipeline.reporting import preservation_lines, preserved
from vetset.pipeline.room import held_rows
from vetset.pipeline.watching import Watcher
from vetset.records import FETCH_TROUBLES, Reach, ScreenOutcome
from vetset.vault import Vault, close_run, open_keys, read_identities
from vetset.wiring.doctor import versions
from vetset.wiring.known import known_run, shard_from
from vetset.wiring.opening import Opened, Request, opened
from vetset.wiring.worker import SINK_HINT, sink_words, workers_of

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Result:
    """How a job ended: lines for a person, the summary as one line, and what decides the exit status."""

    complete: bool
    hits: int
    lines: tuple[str, ...]
    json_line: str = "{}"


def audit(request: Request, watcher: Watcher, clock: Clock, disk: Disk | None = None) -> Result:
    """An audit from index to summary; with `resume`, whatever of it is not done yet."""
    return go_on(request, watcher, clock, until="clean", disk=disk)


def go_on(
    request: Request,
    watcher: Watcher,
    clock: Clock,
    *,
    until: str,
    only: Sequence[str] = (),
    disk: Disk | None = None,
) -> Result:
    """Runs the verbs up to `until` (screen, match, expand, clean).

    `only` names the failures of shards, and the outcomes of pictures, to try again; the rest stay.
    """
    started = clock()
    with as_stops(), opened(request, watcher, disk) as run:
        work = run.audit
        if not work.keys.recipients:
            raise Stop(
                f"{request.run} is closed, or kept its key in memory only (--strict): its audit cannot go on",
                hint="`vetset clean` and `vetset vault open` still take --identity; else audit anew into another --out",
            )
        work.again = frozenset(only) & (TROUBLES | FETCH_TROUBLES)
        if only and not _leave_failed(work, only) and not _to_do_again(work):
            return _left_alone(run)
        work.index()
        with _refusing(run):
            work.must_be_comparable()
        work.screen()
        if until == "screen":
            return _partly(run, "screened")
        if until == "match" and not work.looks_into_pictures:
            raise Stop("this run reaches columns only: it looks into no picture", hint="audit anew with --reach local")
        if until == "fetch" and not work.fetches:
            raise Stop("this run fetches nothing", hint="audit anew with --reach fetch, under an agreement")
        work.fetch()
        if until == "fetch":
            return _partly(run, "fetched")
        work.match()
        if until == "match" or not work.lists:
            return _partly(run, "matched") if work.lists else _without_list(run)
        basis = work.expand()
        if until == "expand":
            return _partly(run, "expanded")
        released = _cleaned(run, basis)
        return _concluded(run, basis, clock() - started, released)


def clean(request: Request, watcher: Watcher, clock: Clock, disk: Disk | None = None) -> Result:
    """Writes the cleaned dataset of a run whose findings are settled; needs no list, so they may have expired."""
    started = clock()
    with as_stops(), opened(replace(request, bare=True), watcher, disk) as run:
        basis = run.audit.settled_on()
        released = _cleaned(run, basis)
        return _concluded(run, basis, clock() - started, released)


def _cleaned(run: Opened, basis: str) -> int | None:
    """Cleans, heeding what bodies said; answers how many rows that released, None where no body was asked."""
    work = run.audit
    if work.cleaned is None or not was_verified(work.ledger):
        work.clean(basis)
        return None
    released, heeding = heeded(Casebook(work.ledger, work.vault, work.keys, work.shards), basis)
    work.clean(heeding)
    return released


def close(run: Path, disk: Disk | None = None) -> None:
    """Destroys what opens a run from within. Raises Stop, after which it can be done again."""
    with as_stops():
        ledger, _ = open_run(run, disk)  # even where run.toml says too little to go on: keys can always be destroyed
        with ledger.lock():
            close_run(ledger)


@contextlib.contextmanager
def _refusing(run: Opened) -> Iterator[None]:
    """A run refused before its first row was read leaves nothing in the way of the corrected command."""
    try:
        yield
    except Stop:
        ledger = run.audit.ledger
        if not (ledger.root / "manifests/screen").exists():
            discard_run(ledger)
        raise


@contextlib.contextmanager
def as_stops() -> Iterator[None]:
    """Trouble that reaches the coordinator ends the command with words for the operator."""
    try:
        yield
    except SinkError as error:
        raise Stop(sink_words(error), hint=SINK_HINT) from None
    except ShardError as error:
        raise Stop(
            f"{error.trouble.replace('_', ' ')}: {error.detail}",
            hint="remove the damaged file and run again with --resume: its step is then done again",
        ) from None


def _leave_failed(work: Audit, only: Sequence[str]) -> int:
    """Leaves the shards whose failure is not among `only` as they are; answers how many are tried again."""
    by_id = {shard.id: shard for shard in work.shards}
    chosen = 0
    for step in work.ledger.failed_steps():
        for shard_id, failure in work.ledger.failures(step).items():
            if failure.trouble in only or "failed" in only:
                chosen += 1
            elif shard_id in by_id:
                work.failed[shard_id] = failed_report(step, by_id[shard_id], failure)
            else:
                work.failed_hosts[step, shard_id] = failed_report(step, named(shard_id), failure)
    return chosen


def _to_do_again(work: Audit) -> bool:
    """Whether addresses or pictures anywhere ended in an outcome that is to be tried again."""
    steps = work.picture_steps() if work.again else ()
    manifests = [manifest for step in steps for manifest in work.ledger.manifests(step)]
    if work.fetches:
        return any(work.again.intersection(manifest.materials.get("troubles", "").split(",")) for manifest in manifests)
    return any(work.again.intersection(manifest.tally) for manifest in manifests)


#: The steps that every shard goes through; rounds of fetch and expand come between, and match only where a run reaches
#: pictures.
STEPS = ("index", "screen", "match", "expand", "clean")


def _left_alone(run: Opened) -> Result:
    """Nothing was to be tried again: the run is what it was."""
    try:
        line = json.dumps(json.loads((run.request.run / "summary.json").read_bytes()), sort_keys=True)
    except (OSError, ValueError):  # the run did not come so far, or the file was damaged since
        line = "{}"
    words = f"nothing to try again: no shard of {run.request.run} failed so"
    return Result(not run.audit.failed and not run.audit.failed_hosts, 0, (words,), line)


def _partly(run: Opened, done: str) -> Result:
    failed = [f"{report.task.shard.path}: {explained(report)}" for report in run.audit.failed.values()]
    lines = (*run.notes, f"{done}; go on with `vetset audit ... --resume` or the next verb", *failed, *_hosts(run))
    return Result(not run.audit.failed and not run.audit.failed_hosts, 0, lines)


def _without_list(run: Opened) -> Result:
    """An audit that compared nothing must not look like one that found nothing: there is no summary of it."""
    failed = [f"{report.task.shard.path}: {explained(report)}" for report in run.audit.failed.values()]
    said = "fingerprinted and compared with nothing, for want of a list: no row is found and none is clear"
    ask = f"ask a platform: vetset verify {run.request.run} --candidates --platform NAME --matches NEW.vsl"
    return Result(run.audit.is_complete(), 0, (*run.notes, said, ask, *failed, *_hosts(run)))


def _hosts(run: Opened) -> Iterator[str]:
    """Groups of hosts that could not be done, by what befell them; a group has no name that says anything."""
    for report in run.audit.failed_hosts.values():
        yield f"a group of hosts: failed in {report.task.step}: {explained(report)}"


def _concluded(run: Opened, basis: str, seconds: float, released: int | None) -> Result:
    """Writes the summary beside the run, and says in a few lines what it says."""
    account = Account(run.audit, basis)
    published = summary.publish(account.figures(replace(_about(run, seconds), released=released)))
    sink = run.audit.ledger.sink
    sink.put("summary.json", summary.to_json(published))
    sink.put("summary.html", summary.to_html(published))
    lines = (*run.notes, *published["sentences"], *_failures(run), *_whereabouts(run))
    complete = run.audit.is_complete()
    return Result(complete, account.hits, tuple(lines), json.dumps(published, sort_keys=True))


def _failures(run: Opened) -> Iterator[str]:
    for report in run.audit.failed.values():
        yield f"{report.task.shard.path}: failed in {report.task.step}: {explained(report)}"
    yield from _hosts(run)
    for what, names in (("pictures came to grief in the sandbox", TROUBLES), (_NO_ANSWER, FETCH_TROUBLES)):
        if count := run.audit.troubles(names):
            yield f"{count:,} {what}; vetset retry {run.request.run} {_only(names)}"
    if run.audit.failed or run.audit.failed_hosts:
        yield f"once the cause is gone: vetset retry {run.request.run} --only failed (a changed file is another run)"


_NO_ANSWER = "addresses gave no answer that tells anything"


def _only(outcomes: Iterable[str]) -> str:
    return " ".join(f"--only {outcome}" for outcome in sorted(outcomes))


def _whereabouts(run: Opened) -> Iterator[str]:
    yield f"summary: {run.request.run / 'summary.html'} (and summary.json)"
    if run.request.clean:
        state = "not whole, see INCOMPLETE in it" if run.audit.failed else "complete"
        yield f"cleaned dataset: {run.request.clean} ({state})"
    if run.found.ignored:
        yield f"{len(run.found.ignored)} other files were neither read nor copied; the summary names them"
    if not run.request.strict:
        yield f"the run is open, its key lies beside it: `vetset close {run.request.run}` destroys that"


def _about(run: Opened, seconds: float) -> About:
    """What the summary says of the run itself."""
    request = run.request
    finished = datetime.now(UTC)
    policy = request.settings.policy
    return About(
        dataset=Path(request.dataset).name or request.dataset,
        fingerprint=run.fingerprint,
        started=(finished - timedelta(seconds=seconds)).isoformat(timespec="seconds"),
        finished=finished.isoformat(timespec="seconds"),
        duration_seconds=seconds,
        workers=workers_of(request.settings.run),
        ignored=run.found.ignored,
        lists=run.lists,
        policy=policy.name or ("own rules" if policy.rules else ""),
        recipients=len(run.audit.vault.custodians),
        key_on_this_machine=run.key_on_this_machine,
        libraries=versions() if run.audit.looks_into_pictures else {},
        legal_basis=request.settings.agreement.legal_basis,
    )


# --- what a run left ----------------------------------------------------------------------------------------------


def status_of(run: Path, *, verify: bool = False, today: date | None = None, alarm_days: int = 30) -> dict[str, Any]:
    """Where a run stands, as counts and names of shards; with `verify`, every manifest and product is checked too.

    With `today`, duties to keep what was reported that end within `alarm_days` are an alarm.
    """
    ledger, known = known_run(run)
    shards = len(known["inputs"])
    reach = known["settings"].get("audit", {}).get("reach", Reach.COLUMNS)
    steps = {step: len(list(ledger.manifests(step))) for step in STEPS if step != "match" or reach != Reach.COLUMNS}
    failures = {step: dict(ledger.failures(step)) for step in ledger.failed_steps()}
    cleaned = Path(known["clean"]) if known["clean"] and verify else None
    kept = _kept(ledger, known) if cleaned else None
    problems = ledger.verify(cleaned, kept) if verify else []
    state: dict[str, Any] = {
        "run": str(run),
        "shards": shards,
        "reach": reach,
        "done": steps,
        "asked": {step: asked for step in ledger.steps() if (asked := _groups_done(ledger, step))},
        "failed": {step: {name: item.trouble for name, item in items.items()} for step, items in failures.items()},
        "open": (run / "run.key").exists(),
        "problems": problems,
        "sound": not problems,
        "preserve": preserved(ledger),
        "folders_unseen": cleaned is not None and kept is None and _has_folders(ledger),
    }
    state["lines"] = list(_status_lines(run, state, failures))
    if today is not None:
        state["lines"] += preservation_lines(state["preserve"], today, alarm_days)
    return state


def _kept(ledger: Ledger, known: Mapping[str, Any]) -> Kept | None:
    """Tells the files of cleaned folders while the run is open; None once only custodians can open it."""
    try:
        vault = Vault(ledger.sink, open_keys(ledger, ()), known["recipients"])
    except Stop:
        return None
    return partial(kept_files, vault)


def _has_folders(ledger: Ledger) -> bool:
    return any(FOLDER in manifest.products for manifest in ledger.manifests("clean"))


def _groups_done(ledger: Ledger, step: str) -> int:
    """How many groups of hosts are through, where the step is a round of fetch."""
    return len(list(ledger.manifests(step))) - 1 if step.startswith("fetch-") else 0


def _status_lines(run: Path, state: Mapping[str, Any], failures: Mapping[str, Mapping[str, Failure]]) -> Iterator[str]:
    for step in state["done"]:
        yield f"{step:8} {state['done'][step]} of {state['shards']} shards"
    yield from (f"{step:8} {count} groups of hosts" for step, count in state["asked"].items())
    for step, items in failures.items():
        for name, failure in items.items():
            yield f"failed in {step}: {name}: {failure.trouble} {failure.detail} (attempt {failure.attempt})"
    yield from (f"problem: {problem}" for problem in state["problems"])
    if state["folders_unseen"]:
        yield "the files of cleaned folders were not checked: what names them is sealed, and the run is closed"
    if state["open"]:
        yield f"open: the run's key lies in {run / 'run.key'}; `vetset close {run}` destroys it"
    else:
        yield "closed, or its key was never on disk: findings open with a custodian's --identity"


def outcomes_of(run: Path, identities: Sequence[Path] = ()) -> dict[tuple[str, int], ScreenOutcome]:
    """The rows of a run that were hit, expanded or held, by shard path and row number: as sealed as the vault is."""
    found: dict[tuple[str, int], ScreenOutcome] = {}
    order = list(ScreenOutcome).index
    for line in _lines(run, identities):
        place, outcome = (line["shard"], line["row"]), ScreenOutcome(line["outcome"])
        found[place] = min(found.get(place, outcome), outcome, key=order)
    vault, known = _vault(run, identities)
    for item in known["inputs"]:
        shard = shard_from(item)
        if (run / f"vault/held/{shard.id}.age").is_file():
            rows = held_rows(vault, shard).tolist()
            held = ((shard.path, row) for row in rows if found.get((shard.path, row)) is not ScreenOutcome.HIT)
            found.update(dict.fromkeys(held, ScreenOutcome.HELD))
    return found


def findings_lines(run: Path, identities: Sequence[Path]) -> Iterator[str]:
    """Every finding of a run as a JSON line: hits of screen, then rows that share their values."""
    with as_stops():
        for line in _lines(run, identities):
            yield json.dumps(line, sort_keys=True, ensure_ascii=False)


def _lines(run: Path, identities: Sequence[Path]) -> Iterator[dict[str, Any]]:
    vault, known = _vault(run, identities)
    ledger, _ = known_run(run)
    for step in ("screen", "match", "expand"):
        for item in known["inputs"]:
            if ledger.done(step, item["id"]) is not None:
                yield from vault.finding_lines(step, item["id"])


def _vault(run: Path, identities: Sequence[Path]) -> tuple[Vault, dict[str, Any]]:
    ledger, known = known_run(run)
    texts = read_identities(identities)
    return Vault(ledger.sink, open_keys(ledger, texts), known["recipients"], texts), known
