"""The commands that audit a dataset: `audit`, its verbs one at a time, and `retry`.

In it: options and what they mean. Not in it: work (`wiring.job`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vetset.cli.places import config_folder
from vetset.cli.progress import Progress
from vetset.cli.streams import give, say
from vetset.config import PolicySettings, Settings, read_policy, read_settings, with_budgets
from vetset.errors import ExitStatus, Stop

if TYPE_CHECKING:
    from vetset.wiring.job import Result
    from vetset.wiring.opening import Request

PATH = click.Path(path_type=Path)


def decorated(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options as one decorator, in the order in which help shows them."""

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_carrying = decorated(
    click.option("--workers", type=click.IntRange(0), help="Worker processes; 0 is one for each core."),
    click.option("--runner", type=click.Choice(["local", "serial"]), help="serial is for debugging, in one process."),
    click.option("--identity", "identities", type=PATH, multiple=True, help="Identity file that opens sealed lists."),
    click.option("--quiet", is_flag=True, help="No progress on stderr."),
)

_as_json = click.option("--json", "as_json", is_flag=True, help="Print summary.json as the last line of stdout.")


@click.command(short_help="Audit a dataset by its columns, or its pictures too, and clean it.")
@click.argument("dataset")
@click.option(
    "--lists",
    "list_files",
    type=PATH,
    multiple=True,
    help="Compiled list; repeatable. May be left out only with --keep-digests, to ask a platform instead.",
)
@click.option("--out", "run", type=PATH, required=True, help="Folder of the run; made new, or gone on with --resume.")
@click.option("--clean", "clean_folder", type=PATH, help="Write the cleaned dataset here; never in place.")
@click.option(
    "--reach",
    type=click.Choice(["columns", "local", "fetch"]),
    help="columns: only columns are read. local: pictures that the dataset holds are fingerprinted too. fetch: what "
    "the rows' addresses lead to, under an [agreement] in the settings. [columns]",
)
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    help="What fetch may spend: addresses (5000), bytes (20GB) or hours of asking (12h); repeatable. [no limit]",
)
@click.option(
    "--keep-digests", is_flag=True, default=None, help="With local or fetch: keep digests of every picture, sealed."
)
@click.option(
    "--sandbox",
    type=click.Choice(["preferred", "required"]),
    help="required: refuse to decode pictures where this system cannot confine the decoder. [preferred]",
)
@click.option("--policy", help="research, research-safe, or a TOML file with a [policy] table.")
@click.option("--policy-words", type=PATH, help="Your own words for a policy that needs them, one a line.")
@click.option("--recipient", "recipients", multiple=True, help="age1... that findings are sealed to; repeatable.")
@click.option("--strict", is_flag=True, help="Keep the run's key in memory only; a crash then means starting again.")
@click.option("--spread-limit", type=click.IntRange(0), help="A value borne by more rows does not spread. [1000]")
@click.option("--remove-held", is_flag=True, default=None, help="Remove the rows of values that did not spread, too.")
@click.option("--expand/--no-expand", default=None, help="Follow hits to rows that share their URL or digest.")
@click.option("--allow-nothing-comparable", is_flag=True, default=None, help="Go on though nothing can be compared.")
@click.option("--fail-on-hit", is_flag=True, help="Exit with 4 when a row was hit.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--settings", "settings_file", type=PATH, help="TOML file with the same names in tables.")
@_carrying
@_as_json
def audit(dataset: str, list_files: tuple[Path, ...], run: Path, **options: Any) -> int:
    """Compare what DATASET's rows record with hash lists; seal the hits; with --clean, write it without them.

    DATASET is a folder, a file or a quoted glob of Parquet, CSV or JSON lines. Columns are found by name, in any
    case and order: url, text, md5, sha1, sha256, hash, punsafe, nsfw. Nothing is fetched unless you say so.

    With --reach local it may also be webdataset tars, img2dataset's outputs, Parquet with picture bytes, or folders of
    pictures: each picture is decoded in memory, in a sandbox that pixels never leave, and its digests and PDQ are
    compared with the lists, exactly and nearly. No picture is shown, stored or sent. Without it none is opened.

    With --reach fetch the addresses of rows that no list hit are asked, best chances first and some of all at random;
    what they serve is fingerprinted in the same sandbox, in memory, and forgotten. It needs an [agreement] table in the
    settings that names the legal basis and a contact, which goes with every request.

    \b
    Examples:
      vetset audit laion/ --lists c3p.vsl --lists iwf.vsl --out run1 --clean laion-cleaned
      vetset audit 'laion/*.parquet' --lists c3p.vsl --out run1 --recipient age1...
      vetset audit laion/ --lists c3p.vsl --out run1 --clean laion-cleaned --resume
      vetset audit shards/ --reach local --sandbox required --lists c3p.vsl --out run2 --clean shards-cleaned
      vetset audit laion/ --reach fetch --settings agreed.toml --budget 100000 --lists c3p.vsl --out run3

    Hits and rows that share their URL or recorded digest are removed at once; nothing pending delays it.
    """
    from vetset.wiring.job import audit as audit_job
    from vetset.wiring.opening import Request

    settings = _settings(options)
    if not list_files and not settings.audit.keep_digests:
        raise click.UsageError("Missing option '--lists'.")
    request = Request(
        dataset=dataset,
        lists=list_files,
        run=run,
        clean=options["clean_folder"],
        settings=settings,
        recipients=options["recipients"],
        identities=options["identities"],
        strict=options["strict"],
        resume=options["resume"],
        config_folder=config_folder(),
        now=datetime.now(UTC),
    )
    with _progress(options) as watcher:
        result = audit_job(request, watcher, time.monotonic)
    return _ended(result, options)


def _progress(options: dict[str, Any]) -> Progress:
    return Progress(sys.stderr, quiet=options["quiet"], clock=time.monotonic)


def _settings(options: dict[str, Any]) -> Settings:
    """The settings file, with what the command line says above it."""
    settings = read_settings(options["settings_file"])
    audit_names = ("spread_limit", "remove_held", "allow_nothing_comparable", "expand", "reach", "keep_digests")
    changes = {name: options[name] for name in audit_names if options[name] is not None}
    settings = replace(settings, audit=replace(settings.audit, **changes))
    if options["budgets"]:
        if settings.audit.reach != "fetch":
            raise Stop("--budget is what --reach fetch may spend", hint="leave it out, or say --reach fetch")
        settings = replace(settings, budget=with_budgets(settings.budget, options["budgets"]))
    if options["sandbox"] is not None:
        settings = replace(settings, sandbox=replace(settings.sandbox, required=options["sandbox"] == "required"))
    if options["policy"] is not None:
        settings = replace(settings, policy=_policy(options["policy"], settings.policy))
    if options["policy_words"] is not None:
        settings = replace(settings, policy=replace(settings.policy, words_file=str(options["policy_words"])))
    return _carried(settings, options)


def _policy(name_or_file: str, before: PolicySettings) -> PolicySettings:
    """A named policy keeps the word list that the settings name."""
    policy = read_policy(name_or_file)
    return policy if policy.words_file else replace(policy, words_file=before.words_file)


def _carried(settings: Settings, options: dict[str, Any]) -> Settings:
    changes = {name: options[name] for name in ("workers", "runner") if options[name] is not None}
    return replace(settings, run=replace(settings.run, **changes))


def _ended(result: Result, options: dict[str, Any]) -> int:
    for line in result.lines:
        say(line)
    if options.get("as_json"):
        give(result.json_line)
    if options.get("fail_on_hit") and result.hits:
        return ExitStatus.HIT
    return ExitStatus.DONE if result.complete else ExitStatus.INCOMPLETE


# --- one verb at a time -------------------------------------------------------------------------------------------


def _request_of(run: Path, options: dict[str, Any]) -> Request:
    from vetset.wiring.opening import request_of

    request = request_of(run, config_folder=config_folder(), now=datetime.now(UTC), identities=options["identities"])
    return replace(request, settings=_carried(request.settings, options))


def _verb(name: str, run: Path, options: dict[str, Any], only: tuple[str, ...] = ()) -> int:
    from vetset.wiring.job import go_on

    with _progress(options) as watcher:
        result = go_on(_request_of(run, options), watcher, time.monotonic, until=name, only=only)
    return _ended(result, options)


@click.command(short_help="Screen what is not screened yet.")
@click.argument("run", type=PATH)
@_carrying
def screen(run: Path, **options: Any) -> int:
    """Finish the screening of RUN, and stop before expand."""
    return _verb("screen", run, options)


@click.command(short_help="Ask the web what the addresses of a run lead to.")
@click.argument("run", type=PATH)
@_carrying
def fetch(run: Path, **options: Any) -> int:
    """Finish screen and fetch of RUN, and stop before its findings are settled. Only for a run made with --reach fetch.

    Addresses are asked in rounds, group of hosts by group of hosts; what they serve is fingerprinted and matched in the
    same task, in memory. What was asked before, and answered, is not asked again.
    """
    return _verb("fetch", run, options)


@click.command(short_help="Fingerprint and match the pictures of a run.")
@click.argument("run", type=PATH)
@_carrying
def match(run: Path, **options: Any) -> int:
    """Finish screen and match of RUN, and stop before expand. Only for a run made with --reach local or fetch.

    Fingerprinting and matching are one task: a fingerprint lives only until it has been compared.
    """
    return _verb("match", run, options)


@click.command(short_help="The same as match: a fingerprint lives only until it is matched.")
@click.argument("run", type=PATH)
@_carrying
def fingerprint(run: Path, **options: Any) -> int:
    """Finish screen, fingerprint and match of RUN, and stop before expand; for a run with --reach local or fetch.

    Fingerprinting and matching are one task: a fingerprint is as good as a picture to some, and is never stored.
    """
    return _verb("match", run, options)


@click.command(short_help="Follow the hits to rows that share their values.")
@click.argument("run", type=PATH)
@_carrying
def expand(run: Path, **options: Any) -> int:
    """Finish screen and expand of RUN, and stop before clean. Needs an open run: its keyed hashes die at close."""
    return _verb("expand", run, options)


@click.command(short_help="Write the cleaned dataset of a run.")
@click.argument("run", type=PATH)
@click.option("--clean", "clean_folder", type=PATH, help="Where to; by default as the audit was told.")
@_carrying
@_as_json
def clean(run: Path, clean_folder: Path | None, **options: Any) -> int:
    """Write the dataset of RUN without the rows to remove: same files, schema and order, never in place.

    While the run is open it needs no identity; afterwards name the custodian's with --identity.
    """
    from vetset.wiring.job import clean as clean_job

    request = _request_of(run, options)
    request = replace(request, clean=clean_folder or request.clean)
    if request.clean is None:
        raise Stop("no folder to write the cleaned dataset to", hint="name one with --clean DIR")
    with _progress(options) as watcher:
        result = clean_job(request, watcher, time.monotonic)
    return _ended(result, options)


@click.command(short_help="Try failed shards, pictures and addresses again.")
@click.argument("run", type=PATH)
@click.option(
    "--only",
    multiple=True,
    metavar="OUTCOME",
    help="failed, quarantined, a trouble such as unreadable, or of pictures sandbox_death, sandbox_alarm or "
    "internal_error; repeatable.",
)
@_carrying
@_as_json
def retry(run: Path, only: tuple[str, ...], **options: Any) -> int:
    """Try the shards of RUN that failed again, as new attempts, and carry the audit to its end.

    Outcomes that are trouble of the moment are tried again one by one: of pictures sandbox_death, sandbox_alarm and
    internal_error; of addresses that were asked timeout, server_error and internal_error. All others stay as they are.

    \b
    Example:
      vetset retry run1 --only quarantined --only unreadable
      vetset retry run3 --only timeout --only server_error
    """
    if not only:
        raise Stop("retry needs --only OUTCOME", hint="`vetset status RUN` shows what failed; --only failed takes all")
    return _verb("clean", run, options, only=only)
