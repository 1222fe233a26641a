"""The command `doctor`: its options and its words. The examination itself is `wiring.doctor`."""

from __future__ import annotations

import json
import time

import click

from vetset.cli.streams import give, say
from vetset.errors import ExitStatus


@click.command(short_help="What this installation can do, measured and tried.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one line of JSON on stdout.")
def doctor(*, as_json: bool) -> int:
    """Look at this installation: native kernels and by what factor they matter, the sandbox, versions, a self-test.

    Opens nothing of yours and sends nothing; all it looks at it makes itself. Takes a few seconds. The exit status
    is 1 when a fingerprint did not come out as it should: do not rely on such an installation.
    """
    from vetset.wiring.doctor import examined

    found = examined(time.process_time)
    for line in found.lines():
        say(line)
    if as_json:
        give(json.dumps(found.as_tree(), sort_keys=True))
    return ExitStatus.DONE if found.sound else ExitStatus.STOPPED
