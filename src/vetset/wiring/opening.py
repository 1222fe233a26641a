"""Making and reopening runs: from what the operator asked for to an `Audit` ready to go.

In it: opening the lists, the keys and the dataset, the run's fingerprint, and `run.toml`. Not in it: the work itself.
Rules: everything that can be refused is refused here, before a row is read; a run is resumed only with the same
inputs, settings, lists and code; nothing of a list or a key reaches the disk.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vetset import __version__
from vetset.config import Rule, Settings, resolved_rules, settings_from
from vetset.datasets.columns import known_overrides
from vetset.datasets.location import Found, find_shards
from vetset.errors import Stop
from vetset.hashlists.seen import remember
from vetset.ledger import Disk, Ledger, Sink, create_run
from vetset.pipeline.audit import Audit
from vetset.pipeline.cleaning import INCOMPLETE, incomplete_text
from vetset.pipeline.room import ShardSettings
from vetset.pipeline.watching import Watcher
from vetset.records import Reach
from vetset.runners.local import forbid_dumps
from vetset.summary import ListFigures
from vetset.vault import (
    RunKeys,
    Vault,
    check_recipients,
    custodian,
    new_keys,
    open_keys,
)
from vetset.vault.custody import CUSTODIAN_KEY
from vetset.wiring.agreed import fetch_settings, must_be_agreed, must_be_worth_fetching
from vetset.wiring.known import SCHEMA, another_run, fingerprint_of, known_run
from vetset.wiring.listed import (
    descriptor,
    figures_known,
    figures_of,
    goes_without,
    identities_of,
    match_settings,
    near_memories,
    opened_lists,
)
from vetset.wiring.worker import (
    Inherited,
    OpenFetcher,
    WorkerPlan,
    fetcher_of,
    must_be_known,
    run_task,
    runner_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the operator asked for. Paths are as given; `now` is the moment of asking, UTC."""

    dataset: str
    lists: tuple[Path, ...]
    run: Path
    clean: Path | None = None
    settings: Settings = field(default_factory=Settings)
    recipients: tuple[str, ...] = ()
    identities: tuple[Path, ...] = ()
    strict: bool = False
    resume: bool = False
    bare: bool = False  # go on with a settled run without its lists
    config_folder: Path
    now: datetime
    fetchers: OpenFetcher | None = None  # what opens the network; by default the client that is built in


@dataclass(frozen=True, slots=True)
class Opened:
    """An audit ready to go, with what the summary wants to know of it."""

    audit: Audit
    request: Request
    found: Found
    lists: tuple[ListFigures, ...]
    fingerprint: str
    key_on_this_machine: bool
    notes: tuple[str, ...] = ()


@contextlib.contextmanager
def opened(request: Request, watcher: Watcher, disk: Disk | None = None) -> Iterator[Opened]:
    """Opens everything a run needs, makes or resumes the run, and holds its lock."""
    disk = disk or Disk()
    forbid_dumps()
    rules = resolved_rules(request.settings.policy)
    known_overrides(request.settings.columns)
    must_be_known(request.settings.run)
    _luma_marks_only(request)
    _nothing_is_cleaned_without_a_list(request)
    reach = Reach(request.settings.audit.reach)
    must_be_agreed(request.settings)
    found = find_shards(request.dataset, Reach.LOCAL if reach is Reach.LOCAL else Reach.COLUMNS)
    _apart(request, found)
    identities = identities_of(request)
    with opened_lists(request, identities) as (fds, lists), near_memories(request, lists) as near_fds:
        figures = tuple(map(figures_of, lists)) or (figures_known(request.run) if request.bare else ())
        if not goes_without(request):
            must_be_worth_fetching(request.settings, {signal for item in figures for signal in item.entries})
        fingerprint = fingerprint_of(found, figures, request.settings, rules)
        recipients = _recipients(request)
        notes = _word_of_own_key(request, recipients)
        for hash_list in lists:
            remember(request.config_folder, hash_list.ref)
        ledger, keys = _run(request, found, figures, fingerprint, recipients, identities, disk)
        with ledger.lock(), descriptor(keys.to_fd()) as keys_fd:
            ledger.sink.sweep()
            cleaned = Sink(request.clean.absolute(), disk) if request.clean else None
            if cleaned is not None:
                cleaned.sweep()
            plan = _plan(request, found, recipients, (fds, near_fds), keys_fd, rules)
            audit = Audit(
                ledger=ledger,
                vault=Vault(ledger.sink, keys, recipients, identities),
                keys=keys,
                runner=runner_of(plan, disk),
                run_task=run_task,
                watcher=watcher,
                shards=found.shards,
                lists=lists,
                settings=plan.settings,
                allow_nothing_comparable=request.settings.audit.allow_nothing_comparable or goes_without(request),
                cleaned=cleaned,
            )
            yield Opened(audit, request, found, figures, fingerprint, bool(notes), notes)


def _plan(
    request: Request,
    found: Found,
    recipients: tuple[str, ...],
    fds: tuple[Sequence[int], Sequence[int | None]],
    keys_fd: int,
    rules: tuple[Rule, ...],
) -> WorkerPlan:
    """What the workers are built from. A closed run's findings open by the identities, which workers then get too."""
    return WorkerPlan(
        run=request.run.absolute(),
        dataset_root=found.root.absolute(),
        cleaned=request.clean.absolute() if request.clean else None,
        custodians=recipients,
        identities=request.identities,
        list_fds=tuple(Inherited(fd) for fd in fds[0]),
        near_fds=tuple(None if fd is None else Inherited(fd) for fd in fds[1]),
        keys_fd=Inherited(keys_fd),
        settings=_shard_settings(request.settings, rules),
        reading=request.settings,
        shards=found.shards,
        fetchers=(request.fetchers or fetcher_of) if request.settings.audit.reach == Reach.FETCH else None,
    )


def _shard_settings(settings: Settings, rules: tuple[Rule, ...]) -> ShardSettings:
    return ShardSettings(
        rules=rules,
        spread_limit=settings.audit.spread_limit,
        remove_held=settings.audit.remove_held,
        expand=settings.audit.expand,
        reach=Reach(settings.audit.reach),
        match=match_settings(settings),
        fetch=fetch_settings(settings),
    )


# --- what is refused before it starts ---------------------------------------------------------------------------------


def _apart(request: Request, found: Found) -> None:
    """RUN and the cleaned dataset lie outside the dataset and apart from each other: nothing is done in place."""
    root = found.root.resolve()
    places = {"--out": request.run.resolve()}
    if request.clean:
        places["--clean"] = request.clean.resolve()
        if _nested(places["--out"], places["--clean"]):
            raise Stop("--out and --clean lie one inside the other", hint="name two separate folders")
    one_file = Path(request.dataset).is_file()  # what lies beside it is no part of the dataset
    for option, place in places.items():
        if place == root or (root in place.parents and not one_file):
            raise Stop(
                f"{option} lies inside the dataset", hint="vetset never works in place: name a folder outside it"
            )


def _is_its_own(ledger: Ledger, known: Mapping[str, Any], folder: Path) -> bool:
    """Whether a folder is a run's cleaned dataset already: named in run.toml, or marked by this run as not whole."""
    mark = folder / INCOMPLETE
    try:
        marked = mark.is_file() and incomplete_text(ledger.run_digest) == mark.read_bytes()
    except OSError:
        marked = False
    return marked or bool(known["clean"] == str(folder.absolute()))


def _luma_marks_only(request: Request) -> None:
    if request.clean and request.settings.fingerprint.variant != "rgb":
        raise Stop(
            "the luma variant of PDQ is a few bits off, and nothing is cleaned by it",
            hint="leave --clean out, or audit with the default, [fingerprint] variant = 'rgb'",
        )


def _nothing_is_cleaned_without_a_list(request: Request) -> None:
    if request.clean and goes_without(request):
        raise Stop(
            "without a list nothing is found, and so nothing is cleaned",
            hint="leave --clean out; `vetset verify RUN --candidates` asks a platform, and makes a list to audit with",
        )


def _nested(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents


def _must_be_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Stop(
            f"--clean {folder} exists and is not an empty folder",
            hint="name a new folder, or --resume the run that wrote it",
        )


# --- the run ----------------------------------------------------------------------------------------------------------


def _recipients(request: Request) -> tuple[str, ...]:
    """The recipients of the vault; with none named, the custodian's own key."""
    if request.recipients:
        return check_recipients(request.recipients)
    return (custodian(request.config_folder)[0],)


def _word_of_own_key(request: Request, recipients: Sequence[str]) -> tuple[str, ...]:
    """What it is worth that the custodian's own key, if it opens the findings, lies on this machine."""
    if not (request.config_folder / CUSTODIAN_KEY).is_file():
        return ()
    recipient, path = custodian(request.config_folder, create=False)
    note = (
        f"findings are sealed to your own key {path}: a key on this machine protects only copies of the run; "
        "name a --recipient whose key lies elsewhere"
    )
    return (note,) if recipient in recipients else ()


def _run(
    request: Request,
    found: Found,
    lists: Sequence[ListFigures],
    fingerprint: str,
    recipients: tuple[str, ...],
    identities: Sequence[str],
    disk: Disk,
) -> tuple[Ledger, RunKeys]:
    if (request.run / "run.toml").is_file():
        if not request.resume:
            raise Stop(f"{request.run} holds a run already", hint="go on with --resume, or name another --out")
        ledger, known = known_run(request.run, disk)
        if known["fingerprint"] != fingerprint:
            raise another_run(known, found, lists, request.settings)
        if tuple(known["recipients"]) != recipients:
            raise Stop("this run seals to other recipients", hint="name the same --recipient as when it was made")
        if request.clean and not _is_its_own(ledger, known, request.clean):
            _must_be_free(request.clean)
        return ledger, open_keys(ledger, identities)
    if request.clean:
        _must_be_free(request.clean)
    keys = new_keys()
    run_toml = _run_toml(request, found, lists, fingerprint, recipients)
    ledger = create_run(request.run, run_toml, disk, lambda sink: keys.store(sink, recipients, strict=request.strict))
    return ledger, keys


def _run_toml(
    request: Request, found: Found, lists: Sequence[ListFigures], fingerprint: str, recipients: tuple[str, ...]
) -> dict[str, Any]:
    """What RUN says of itself: enough to resume it by its folder alone."""
    return {
        "schema": SCHEMA,
        "vetset": __version__,
        "fingerprint": fingerprint,
        "created": request.now.astimezone(UTC).isoformat(timespec="seconds"),
        "strict": request.strict,
        "dataset": str(Path(request.dataset).absolute()),
        "clean": str(request.clean.absolute()) if request.clean else "",
        "recipients": list(recipients),
        "list_files": [str(path.absolute()) for path in request.lists],
        "lists": [asdict(item) for item in lists],
        "settings": _without_words(
            {name: table for name, table in asdict(request.settings).items() if name not in _APART}
        ),
        "inputs": [asdict(shard) for shard in found.shards],
    }


#: Tables of what comes before or after a run: they decide nothing of it, and say where secrets stand.
_APART = ("exchanges", "platforms", "authorities", "verify", "report")


def _without_words(tree: Any) -> Any:
    """Settings as TOML can hold them: no word of a word list, and nothing that is not set."""
    if isinstance(tree, Mapping):
        return {name: _without_words(value) for name, value in tree.items() if name != "words" and value is not None}
    if isinstance(tree, list | tuple):
        return [_without_words(value) for value in tree]
    return tree


def request_of(run: Path, *, config_folder: Path, now: datetime, identities: tuple[Path, ...] = ()) -> Request:
    """The request that a run was made by, to go on with it by its folder alone."""
    _, known = known_run(run)
    return Request(
        dataset=known["dataset"],
        lists=tuple(map(Path, known["list_files"])),
        run=run,
        clean=Path(known["clean"]) if known["clean"] else None,
        settings=settings_from(known["settings"]),
        recipients=tuple(known["recipients"]),
        identities=identities,
        strict=known["strict"],
        resume=True,
        config_folder=config_folder,
        now=now,
    )
