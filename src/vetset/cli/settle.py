"""The commands that settle what a run found: `verify` and `report`.

In it: options, the plan on the screen, and the confirmation by count. Not in it: work (`wiring`).
Rules: nothing is sent without --live and a count that the operator named; nothing that was found is shown.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vetset.cli.places import config_folder
from vetset.cli.streams import say
from vetset.cli.survey import PATH, decorated
from vetset.config import read_settings
from vetset.errors import Stop

if TYPE_CHECKING:
    from vetset.wiring.job import Result
    from vetset.wiring.verdicts import Verifying

_sending = decorated(
    click.option("--plan", is_flag=True, help="Say what would be sent, to whom and for how long; send nothing."),
    click.option("--live", is_flag=True, help="Send, once the count is confirmed."),
    click.option("--yes-send", type=click.IntRange(0), metavar="N", help="Confirm the count without being asked."),
    click.option("--identity", "identities", type=PATH, multiple=True, help="Opens a closed run; a custodian's."),
    click.option("--settings", "settings_file", type=PATH, help="TOML file with [platforms.NAME], [verify], [report]."),
)


_WITHDRAWN = "A list as it is now; cases of which it took back every entry are refuted. Repeatable."


@click.command(short_help="Ask bodies that may judge about what a run found.")
@click.argument("run", type=PATH)
@click.option("--platform", "platforms", multiple=True, metavar="NAME", help="Ask this platform; repeatable, in order.")
@click.option("--bundle", "bundle_folder", type=PATH, metavar="OUT", help="Seal the open cases for a body, in OUT.")
@click.option("--to", "recipients", multiple=True, metavar="age1...", help="The body's key; with --bundle.")
@click.option("--body", metavar="NAME", help="Whose word it will be; with --bundle. [the name of OUT]")
@click.option("--verdicts", "verdict_file", type=PATH, metavar="FILE", help="Read a body's verdict file back.")
@click.option("--withdrawn", "newer_lists", type=PATH, multiple=True, metavar="L.vsl", help=_WITHDRAWN)
@click.option("--candidates", is_flag=True, help="Ask about every picture of a run made with --keep-digests.")
@click.option("--matches", type=PATH, metavar="NEW.vsl", help="The list of what is met; with --candidates.")
@click.option("--parties", type=click.IntRange(1, 9), help="Independent parties needed to confirm a case. [1]")
@_sending
def verify(run: Path, **options: Any) -> int:
    """Have the findings of RUN judged. Only a body's word makes a case confirmed; vetset has none of its own.

    Platforms are asked by fingerprint, each unique one once; no picture and no address is sent to them. The plan is
    shown first, and nothing is sent without --live and the count of fingerprints, typed or given with --yes-send.
    Interrupted anywhere, the same command goes on: at most one batch is sent again.

    A run by columns has no fingerprints. For it, and for bodies that work by hand, --bundle seals the open cases with
    their addresses to the body's age key, and --verdicts reads its answer back.

    \b
    Examples:
      vetset verify run1 --platform shield --settings bodies.toml
      vetset verify run1 --platform shield --settings bodies.toml --live
      vetset verify run1 --bundle for-hotline --to age1... --body hotline
      vetset verify run1 --verdicts answer.jsonl
      vetset verify run1 --withdrawn hotline-v8.vsl
      vetset verify run2 --candidates --platform shield --matches met.vsl --settings bodies.toml --live

    With --candidates a platform stands in for a list: it is asked about every picture that RUN kept fingerprints of,
    and what it meets becomes a sealed list, with which an audit finds the rows, seals them and cleans them.

    A machine's "no match" leaves a case undecided and its row out. What people refute, the next `clean` keeps.
    """
    from vetset.wiring import verdicts

    request = _verifying(run, options)
    ways = [name for name in ("platforms", "bundle_folder", "verdict_file", "newer_lists") if options[name]]
    if len(ways) != 1:
        raise Stop("name one of --platform, --bundle, --verdicts and --withdrawn", hint="see `vetset verify --help`")
    if options["bundle_folder"]:
        out = options["bundle_folder"]
        return _ended(verdicts.verify_by_bundle(request, out, options["recipients"], options["body"] or out.name))
    if options["verdict_file"]:
        return _ended(verdicts.read_verdicts(request, options["verdict_file"]))
    if options["newer_lists"]:
        from vetset.wiring.withdrawing import withdraw

        return _ended(withdraw(request, options["newer_lists"]))
    if options["candidates"]:
        from vetset.wiring.detecting import detect

        return _ended(detect(request, options["matches"], verdicts.bodies_of(request)))
    return _ended(verdicts.verify_by_platforms(request, verdicts.bodies_of(request)))


@click.command(short_help="Tell an authority of what bodies confirmed.")
@click.argument("run", type=PATH)
@click.option("--authority", metavar="NAME", help="Tell this authority of the settings.")
@click.option("--bundle", "bundle_folder", type=PATH, metavar="OUT", help="Seal what is to be told, in OUT, by hand.")
@click.option("--to", "recipients", multiple=True, metavar="age1...", help="The authority's key; with --bundle.")
@click.option("--body", metavar="NAME", help="The authority told by hand; with --bundle and --receipt.")
@click.option("--receipt", metavar="BUNDLE", help="Note that the authority named by --body has this bundle.")
@_sending
def report(run: Path, **options: Any) -> int:
    """Tell an authority of each picture of RUN that a body confirmed: once, with all its addresses.

    Never told: what no body confirmed, what is harmful and not illegal, entries for tests. No picture is sent. The plan
    is shown first, and nothing is sent without --live and the count of reports. Interrupted anywhere, the same command
    goes on and reports no picture twice. Receipts are sealed in RUN, and `status` says until when it is to be kept.

    \b
    Examples:
      vetset report run1 --authority cybertip --settings bodies.toml
      vetset report run1 --authority cybertip --settings bodies.toml --live
      vetset report run1 --bundle for-police --to age1... --body police
      vetset report run1 --receipt 0123456789abcdef --body police
    """
    from vetset.wiring import reports

    request = _verifying(run, options)
    ways = [name for name in ("authority", "bundle_folder", "receipt") if options[name]]
    if len(ways) != 1:
        raise Stop("name one of --authority, --bundle and --receipt", hint="see `vetset report --help`")
    if options["authority"]:
        return _ended(reports.report_to(request, options["authority"], reports.named_authorities(request)))
    if options["bundle_folder"]:
        out = options["bundle_folder"]
        return _ended(reports.report_by_bundle(request, out, options["recipients"], options["body"] or out.name))
    if not options["body"]:
        raise Stop("--receipt does not say of whom", hint="name the authority with --body NAME")
    return _ended(reports.report_receipt(request, options["receipt"], options["body"]))


def _verifying(run: Path, options: dict[str, Any]) -> Verifying:
    from vetset.wiring.verdicts import Verifying

    if options["plan"] and options["live"]:
        raise Stop("--plan sends nothing and --live sends", hint="name one of them")
    settings = read_settings(options["settings_file"])
    if options.get("parties"):
        settings = replace(settings, verify=replace(settings.verify, parties=options["parties"]))
    return Verifying(
        run=run,
        platforms=tuple(dict.fromkeys(options.get("platforms", ()))),
        live=options["live"],
        agreed=lambda count: _agreed(count, options["yes_send"]),
        say=say,
        identities=options["identities"],
        settings=settings,
        config_folder=config_folder(),
        now=lambda: datetime.now(UTC),
    )


def _agreed(count: int, given: int | None) -> bool:
    """Whether the operator named the count: with the command, or at the terminal."""
    if given is not None:
        return given == count
    if not sys.stdin.isatty():
        return False
    return bool(
        click.prompt(f"To send, type the count ({count})", default="", show_default=False, err=True) == str(count)
    )


def _ended(result: Result) -> int:
    for line in result.lines:
        say(line)
    return 0
