"""The commands for hash lists: `lists compile`, `lists fetch` and `lists show`.

In it: options and what is told of a list. Not in it: reading, sealing and opening (`hashlists`).
Rules: counts, names and line numbers are shown, never a value; stdout carries only what --json asks for.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from vetset.cli.places import config_folder
from vetset.cli.streams import give, say
from vetset.errors import Stop
from vetset.records import Signal, UrlForm

PATH = click.Path(path_type=Path)
_MAX_CATEGORIES_SHOWN = 40


@click.group(short_help="Compile hash lists, and look at what a compiled one says of itself.")
def lists() -> None:
    """Work with hash lists: what bodies and platforms give out, compiled to one file that an audit can use."""


@lists.command("compile", short_help="Compile sources to one list.")
@click.argument("out", metavar="OUT.vsl", type=PATH)
@click.argument("sources", metavar="SOURCE...", type=PATH, nargs=-1, required=True)
@click.option("--name", required=True, help="The list's name in all results, as in c3p-md5.")
@click.option("--version", type=click.IntRange(1), required=True, help="Rises with every change; an older is refused.")
@click.option("--signal", type=click.Choice([signal.value for signal in Signal]), help="What bare values of text are.")
@click.option("--map", "map_file", type=PATH, help="TOML file that says which CSV columns hold what; see above.")
@click.option(
    "--format",
    "source_format",
    type=click.Choice(["text", "csv", "ncmec"]),
    help="By default .txt .csv .tsv .xml tell.",
)
@click.option("--source", default="", help="Who gives the list out.")
@click.option("--expires", metavar="YYYY-MM-DD", type=click.DateTime(["%Y-%m-%d"]), help="Last day of its use.")
@click.option("--purpose", default="", help="What it may be used for.")
@click.option(
    "--url-forms", default="raw,tx,whatwg", show_default=True, help="Spellings under which URLs are compared."
)
@click.option("--recipient", "recipients", multiple=True, help="age1... that the list is sealed to; repeatable.")
@click.option("--plain", is_flag=True, help="Do not seal: for lists that anybody may read.")
def compile_command(out: Path, sources: tuple[Path, ...], *, plain: bool, **options: Any) -> None:
    """Read SOURCEs, keep every distinct value once, and write OUT.vsl, sealed.

    \b
    SOURCE is
      text   a value a line with --signal, else "<signal> <value>"; # starts a comment
      csv    columns named by signal, or mapped by --map; separated by comma, semicolon or tab
      ncmec  pages of NCMEC's hash sharing, version 2; give all pages, tombstones withdraw entries

    Signals: md5 sha1 sha256 url url_md5 url_sha1 url_sha256 pdq photodna. Digests are hex of any case, sha1 may be
    base32, photodna may be base64.

    \b
    A map is TOML, signal or category, source, entry_id = "header":
      [columns]
      md5 = "MD5"
      url = "Link"
      category = "Category"

    \b
    Examples:
      vetset lists compile c3p.vsl c3p.txt --name c3p --version 12 --signal md5 --expires 2027-01-31
      vetset lists compile iwf.vsl iwf.csv --name iwf --version 3 --map iwf.toml --recipient age1...
      vetset lists compile ncmec.vsl page-*.xml --name ncmec --version 7

    Without --recipient the list is sealed to your own key in the settings folder. Lines that are no value are counted
    by reason and line number, and never shown. A list without a single valid value is not written.
    """
    from vetset.hashlists.compiled import compile_list

    if plain and options["recipients"]:
        raise click.UsageError("--plain and --recipient exclude each other")
    arguments = _arguments(options)
    recipients, note = _recipients(options["recipients"], plain=plain)
    compiled = compile_list(sources, out, created=datetime.now(UTC), recipients=recipients, **arguments)
    for account in compiled.accounts:
        say(f"{_printable(account.source)}: {account.taken:,} values taken")
        for sentence in account.sentences():
            say(f"  {sentence}")
    counts = ", ".join(f"{count:,} {signal}" for signal, count in compiled.counts.items())
    say(f"compiled {compiled.ref.name} version {compiled.ref.version}: {counts}")
    say(f"  {out}, digest {compiled.ref.digest}")
    say(f"  {note}")


def _arguments(options: dict[str, Any]) -> dict[str, Any]:
    """The options as `compile_list` takes them."""
    from vetset.hashlists.csvfile import read_map
    from vetset.hashlists.file import Format

    expires = options["expires"].date() if options["expires"] else None
    if expires and expires < _today():
        raise Stop(f"--expires {expires} is past", hint="such a list would be refused at once")
    return {
        **{name: options[name] for name in ("name", "version", "source", "purpose")},
        "expires": expires,
        "source_format": Format(options["source_format"]) if options["source_format"] else None,
        "signal": Signal(options["signal"]) if options["signal"] else None,
        "columns": read_map(options["map_file"]) if options["map_file"] else None,
        "url_forms": _forms(options["url_forms"]),
    }


def _today() -> date:
    return datetime.now(UTC).date()


def _forms(text: str) -> frozenset[UrlForm]:
    names = {name.strip() for name in text.split(",")}
    known = {form.value for form in UrlForm}
    if not names <= known:
        raise click.UsageError(f"--url-forms takes {', '.join(UrlForm)}, separated by commas")
    return frozenset(map(UrlForm, names))


def _recipients(named: tuple[str, ...], *, plain: bool) -> tuple[tuple[str, ...], str]:
    """Whom to seal to, and the sentence that says so."""
    from vetset.vault import check_recipients, custodian

    if plain:
        return (), "not sealed: whoever can read the file can read the list"
    if named:
        return check_recipients(named), f"sealed to {len(named)} recipient(s)"
    recipient, path = custodian(config_folder())
    return (recipient,), f"sealed to your own key {path}: keep a copy of that key elsewhere"


@lists.command("fetch", short_help="Get what is new of a body's list, and compile it.")
@click.argument("name")
@click.option("--settings", "settings_file", type=PATH, required=True, help="TOML file with [exchanges.NAME].")
@click.option("--live", is_flag=True, help="Ask the real service. Without it only a sandbox or a file is asked.")
@click.option("--plan", "plan_only", is_flag=True, help="Say what would be asked, and ask nothing.")
@click.option(
    "--identity", "identities", type=PATH, multiple=True, help="Identity file that opens what is known so far."
)
def fetch_command(name: str, settings_file: Path, identities: tuple[Path, ...], *, live: bool, plan_only: bool) -> None:
    """Ask the exchange [exchanges.NAME] of the settings for what is new, and compile the next version of its list.

    What came is kept, sealed, beside the lists; a fetch that was cut off goes on where it stopped with the same
    command. If nothing changed no version is written. A list from a `sandbox_url` is named NAME-sandbox.

    Nothing is asked of a live service without --live, only said; its terms bind you. See the guides for each body.

    \b
    Examples:
      vetset lists fetch ncmec --settings exchanges.toml --plan
      vetset lists fetch ncmec --settings exchanges.toml --live
    """
    from vetset.config import read_settings
    from vetset.wiring.exchanging import FetchRequest, fetch_list, may_ask, plan_of

    request = FetchRequest(name, read_settings(settings_file).exchanges, config_folder(), live, identities)
    if plan_only or not may_ask(request):
        how = "without --plan" if may_ask(request) else "with --live"
        say(f"nothing is asked now; {how} it would be:")
        for sentence in plan_of(request):
            say(f"  {_printable(sentence)}")
        return
    _tell(name, fetch_list(request))


def _tell(name: str, fetched: Any) -> None:
    changes = fetched.changes
    say(
        f"{name}: {changes.added:,} entries added, {changes.withdrawn:,} withdrawn, {changes.altered:,} changed; "
        f"{fetched.entries:,} known"
    )
    for reason, count in sorted(fetched.faults.items()):
        say(f"  left out: {count:,} {reason}")
    if fetched.path is None:
        version = f"version {fetched.ref.version} stays the newest" if fetched.ref else "no version is written"
        say(f"nothing changed: {version}")
        return
    counts = ", ".join(f"{count:,} {signal}" for signal, count in fetched.counts.items())
    say(f"compiled {fetched.ref.name} version {fetched.ref.version}: {counts}")
    say(f"  {fetched.path}, digest {fetched.ref.digest}")
    if changes.withdrawn:
        say("  rows that earlier runs removed stay removed until their cases are settled")


@lists.command("show", short_help="What a compiled list says of itself.")
@click.argument("file", type=PATH)
@click.option("--identity", "identities", type=PATH, multiple=True, help="Identity file that opens a sealed list.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON on stdout.")
def show(file: Path, identities: tuple[Path, ...], *, as_json: bool) -> None:
    """Show a list's name, version, dates, purpose and digest; opened, also its counts by signal and by category.

    A list that cannot be opened is shown as far as its first line goes, which nothing vouches for. Never a value.

    \b
    Example:
      vetset lists show c3p.vsl --identity custodian.key
    """
    facts = _facts(file, identities)
    if as_json:
        give(json.dumps(facts, sort_keys=True))
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            say(f"{name}:")
            for part, count in list(value.items())[:_MAX_CATEGORIES_SHOWN]:
                say(f"  {_printable(part) or '(none)'}: {count:,}")
            if len(value) > _MAX_CATEGORIES_SHOWN:
                say(f"  and {len(value) - _MAX_CATEGORIES_SHOWN:,} more")
        else:
            say(f"{name}: {_printable(str(value))}")


def _facts(file: Path, identities: tuple[Path, ...]) -> dict[str, Any]:
    import os

    from vetset.hashlists.compiled import map_list, open_list
    from vetset.hashlists.sealing import read_outer
    from vetset.vault import read_identities

    outer = read_outer(file)
    own = config_folder() / "custodian.key"
    keys = read_identities([*identities, *([own] if own.is_file() else [])])
    if outer.sealed and not keys:
        return {name: value for name, value in outer.shown.items() if isinstance(value, str | int)} | {"opened": False}
    memory = open_list(file, keys, today=None)
    try:
        held = map_list(memory)
    finally:
        os.close(memory)
    return {
        **outer.shown,
        "opened": True,
        "source": held.about.source,
        "expired": held.about.expired(_today()),
        "counts": {signal.value: count for signal, count in held.counts.items()},
        "categories": held.categories(),
    }


def _printable(text: str) -> str:
    from vetset.datasets.printable import printable

    return printable(text, max_characters=200)
