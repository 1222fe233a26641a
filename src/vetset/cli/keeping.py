"""The commands for what remains of a run: `status`, `close`, `vault open`, `keys new`.

In it: options and what is shown of a run. Rules: only `vault open` shows findings, to whoever holds an identity, and
only into a file or stdout that the operator named.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from vetset.cli.places import config_folder
from vetset.cli.streams import give, say
from vetset.errors import Stop

PATH = click.Path(path_type=Path)


@click.command(short_help="Where a run stands.")
@click.argument("run", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON on stdout.")
@click.option("--verify", is_flag=True, help="Check every manifest, chain and product as well.")
@click.option("--alarm-days", type=click.IntRange(0), default=30, help="Say so many days ahead that a duty ends. [30]")
def status(run: Path, *, as_json: bool, verify: bool, alarm_days: int) -> int:
    """Show how far RUN is, which shards failed and why, and whether its key still lies beside it.

    Where cases of it were reported, it says too until when the law wants them kept, and when that comes to its end.
    """
    from vetset.wiring.job import status_of

    state = status_of(run, verify=verify, today=datetime.now(UTC).date(), alarm_days=alarm_days)
    if as_json:
        give(json.dumps(state, sort_keys=True))
    else:
        for line in state["lines"]:
            say(line)
    return 0 if state["sound"] else 1


@click.command(short_help="Destroy the run's key and its keyed hashes.")
@click.argument("run", type=PATH)
def close(run: Path) -> None:
    """End the work on RUN: destroy RUN/run.key and the keyed hashes, so that only the custodians can open it.

    The findings stay, sealed to the recipients. Afterwards `clean` and `vault open` take --identity.
    """
    from vetset.wiring.job import close as close_job

    close_job(run)
    say(f"closed {run}: its key and keyed hashes are destroyed; the findings open with a custodian's key")


@click.group(short_help="The sealed findings of a run.")
def vault() -> None:
    """Work with the sealed findings of a run."""


@vault.command("open", short_help="Open the findings with an identity.")
@click.argument("run", type=PATH)
@click.option(
    "--identity", "identities", type=PATH, multiple=True, required=True, help="The custodian's identity file."
)
@click.option("--out", "out", type=PATH, help="Write to this new file (0600) instead of stdout.")
@click.option("--i-am-alone", is_flag=True, help="Allow writing findings to a terminal.")
def open_vault(run: Path, identities: tuple[Path, ...], out: Path | None, *, i_am_alone: bool) -> None:
    """Write RUN's findings as JSON lines: case, list, entry, address. They are a map to harm: handle them as such.

    \b
    Example:
      vetset vault open run1 --identity custodian.key --out findings.jsonl

    Stock age reads the same files: age -d -i custodian.key run1/vault/screen/SHARD.age
    """
    from vetset.wiring.job import findings_lines

    if out is None and sys.stdout.isatty() and not i_am_alone:
        raise Stop("findings are not shown on a terminal", hint="name a file with --out, or pipe them on")
    lines = findings_lines(run, identities)
    if out is None:
        for line in lines:
            give(line)
    else:
        _write_new(out, lines)


def _write_new(out: Path, lines: Iterator[str]) -> None:
    """Writes a new file for the owner alone, whole or not at all."""
    try:
        fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Stop(f"cannot write {out}: {error.strerror}", hint="name a new file in a folder that is there") from None
    whole = False
    try:
        with open(fd, "w", encoding="utf-8") as stream:  # noqa: PTH123 - the descriptor carries the mode
            stream.writelines(f"{line}\n" for line in lines)
        whole = True
    except OSError as error:
        raise Stop(f"cannot write {out}: {error.strerror}", hint="free space there, or name another file") from None
    finally:
        if not whole:
            out.unlink()


@click.group(short_help="Keys of custodians.")
def keys() -> None:
    """Make the keys that findings are sealed to."""


@keys.command("new", short_help="Make a custodian's identity.")
@click.option(
    "--out", "out", type=PATH, help="The identity file; by default the custodian's own in the settings folder."
)
def new_key(out: Path | None) -> None:
    """Make an age identity (0600) and print its recipient, which is what --recipient takes.

    Best made on another machine, by whoever is to open the findings.
    """
    from vetset.vault import custodian, new_identity

    recipient = custodian(config_folder())[0] if out is None else new_identity(out)
    give(recipient)
