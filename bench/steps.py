"""Where an audit's CPU time goes, by step: one run in this process, with a clock around the functions of each step.

In it: the table of steps, and the clock. Not in it: what is compared with what (`columns`), and making data (`data`).
Rules: a step within a step is taken off the outer one, so that the parts add up to the whole process; what is in no
step is `everything else`. Functions are wrapped by their names: a name that is gone is an error, never a silent zero.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from inspect import isgeneratorfunction
from pathlib import Path
from typing import Any

#: Function -> step, in the order of the table. A method is named by its class.
STEPS = {
    "vetset.wiring.listed:open_list": "opening the lists (decrypting, digest)",
    "vetset.pipeline.source:digest_of_file": "SHA-256 of the source",
    "vetset.datasets.parquet:Parquet.batches": "reading columns",
    "vetset.kernels:recorded_digests": "hex digests decoded",
    "vetset.kernels:url_values": "URL values and forms",
    "vetset.kernels:blank_rows": "URL values and forms",
    "vetset.kernels:digests_of": "digests of URLs",
    "vetset.kernels:positions_in": "probing the lists",
    "vetset.stages.expand:join_rows": "keyed hashes for expand",
    "vetset.stages.expand:find_bearers": "expand: rounds over keyed hashes",
    "vetset.stages.expand:expand": "expand: rounds over keyed hashes",
    "vetset.datasets.parquet:Parquet.lookup": "expand: looking rows up",
    "vetset.vault.sealing:Vault.seal": "sealing and opening findings",
    "vetset.vault.sealing:Vault.hits": "sealing and opening findings",
    "vetset.pipeline.cleaning:_write_cleaned": "writing the cleaned file",
    "vetset.ledger.sink:ProductStream.write": "writing and digesting products",
    "vetset.ledger.disk:Disk.sync": "writing and digesting products",
    "vetset.wiring.job:_concluded": "summary",
}
OTHER = "everything else"
START = "start-up: interpreter and imports"


class StepClock:
    """CPU seconds of this process by step; `enter` and `leave` nest."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {START: time.process_time()}
        self._stack = [OTHER]
        self._mark = time.process_time()

    def _charge(self) -> None:
        now = time.process_time()
        self.seconds[self._stack[-1]] = self.seconds.get(self._stack[-1], 0.0) + now - self._mark
        self._mark = now

    def enter(self, step: str) -> None:
        self._charge()
        self._stack.append(step)

    def leave(self) -> None:
        self._charge()
        self._stack.pop()

    def wrapped(self, function: Callable[..., Any], step: str) -> Callable[..., Any]:
        """The function with the clock around it; of a generator, around each of its turns."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            self.enter(step)
            try:
                return function(*args, **kwargs)
            finally:
                self.leave()

        def turns(*args: Any, **kwargs: Any) -> Iterator[Any]:
            made = function(*args, **kwargs)
            missing = object()
            while (item := timed_next(made, missing)) is not missing:
                yield item

        timed_next = self.wrapped(next, step) if isgeneratorfunction(function) else next
        return turns if isgeneratorfunction(function) else timed


def places() -> list[tuple[Any, str, str]]:
    """Owner, name and step of every function of `STEPS`; imports their modules. AttributeError if one is gone."""
    found = []
    for name, step in STEPS.items():
        module, _, path = name.partition(":")
        owner: Any = importlib.import_module(module)
        *outer, last = path.split(".")
        for part in outer:
            owner = getattr(owner, part)
        getattr(owner, last)
        found.append((owner, last, step))
    return found


def main() -> None:
    """`steps.py TABLE.json ARGUMENT...`: runs `vetset ARGUMENT...` here and writes the seconds by step."""
    from vetset.cli import main as vetset_main

    target, arguments = sys.argv[1], sys.argv[2:]
    found = places()
    clock = StepClock()  # from here on: what came before is the start-up
    for owner, name, step in found:
        setattr(owner, name, clock.wrapped(getattr(owner, name), step))
    sys.argv = ["vetset", *arguments]
    try:
        vetset_main()
    except SystemExit as end:
        status = end.code
    clock.leave()
    Path(target).write_text(json.dumps(clock.seconds), "utf-8")
    sys.exit(status)


if __name__ == "__main__":
    main()
