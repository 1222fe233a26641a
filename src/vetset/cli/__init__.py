"""The command line. Everything a person reads goes to stderr; stdout carries only what a program asked for.

In it: the commands, by movement: `survey` (audit and its verbs), `lists`, `settle` (verify, report),
`keeping` (status, close, vault, keys).
Not in it: any work. Rules: a `Stop` becomes its message, its hint and exit status 1; an interruption 130; nothing
printed here comes from a row or a list.
"""

from __future__ import annotations

import sys

import click

from vetset import __version__
from vetset.cli.demo import demo
from vetset.cli.doctor import doctor
from vetset.cli.keeping import close, keys, status, vault
from vetset.cli.lists import lists
from vetset.cli.settle import report, verify
from vetset.cli.streams import ReaderGone, forget_stdout, say
from vetset.cli.survey import audit, clean, expand, fetch, fingerprint, match, retry, screen
from vetset.errors import ExitStatus, Stop


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="vetset")
def vetset() -> None:
    """Find known abuse material in an image-text training set by comparing hashes, never by looking.

    \b
    First steps:
      vetset demo                                  whole audits on rows and pictures made on the spot
      vetset doctor                                what this installation can do
      vetset lists compile L.vsl SOURCE --name N --version 1
      vetset audit DATASET --lists L.vsl --out RUN --clean DIR
      vetset close RUN                             when the work on the run is done

    Nothing is sent without --live, and nothing is fetched from a dataset's links but with --reach fetch, under an
    agreement. No picture is opened but with --reach local or fetch, in a sandbox, and none is ever shown or stored.
    What is found is sealed at once.

    \b
    Exit status: 0 done, 1 stopped with a message, 2 usage, 3 incomplete, 4 a hit (with --fail-on-hit),
    130 interrupted (go on with --resume).
    """


for command in (
    demo, lists, audit, screen, fetch, fingerprint, match, expand, verify, report, clean, retry, status, close, vault,
    keys, doctor,
):  # fmt: skip
    vetset.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """The entry point: runs a command and ends the process with the design's exit status."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Runs a command and answers the exit status."""
    try:
        result = vetset.main(args=arguments, prog_name="vetset", standalone_mode=False)
    except Stop as stop:
        say(f"vetset: {stop.message}")
        if stop.hint:
            say(f"  hint: {stop.hint}")
        return ExitStatus.STOPPED
    except ReaderGone:
        forget_stdout()
        return ExitStatus.STOPPED
    except (KeyboardInterrupt, click.Abort):
        say("vetset: interrupted; what was done is kept. Go on with the same command and --resume")
        return ExitStatus.INTERRUPTED
    except click.exceptions.Exit as ended:
        return int(ended.exit_code)
    except click.ClickException as error:
        error.show()
        return ExitStatus.USAGE
    return int(result) if isinstance(result, int) else ExitStatus.DONE
