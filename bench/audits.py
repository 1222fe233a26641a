"""vetset's side of the benchmark: its lists compiled, and its audits run and measured as the peers are.

In it: the commands, each in a process of its own. Not in it: the peers (`peers`), the tables (`columns`).
Rules: the shipped command is run, with its own settings folder beside the lists; what it writes is removed at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from data import BenchData
from peers import Measurement, Run, kept_rows, measure

VETSET = str(Path(sys.executable).with_name("vetset"))


@dataclass(frozen=True, slots=True)
class Audit:
    """A way to run the audit: which lists, and which options."""

    name: str
    lists: tuple[str, ...]
    options: tuple[str, ...]


#: What the peers do too: a recorded md5, and the md5 of the raw URL; fused with the cleaning.
FUSED = Audit("vetset, screen + clean", ("md5", "url_md5-raw"), ("--no-expand", "--runner", "serial"))
#: The whole job: all three forms of the URL, keyed hashes, the rounds of expand, everything sealed.
WHOLE = Audit("vetset, whole job", ("md5", "url_md5-all"), ("--runner", "serial"))
AUDITS = (FUSED, WHOLE)

_COMPILED = {
    "md5": ("--signal", "md5"),
    "url_md5-raw": ("--signal", "url_md5", "--url-forms", "raw"),
    "url_md5-all": ("--signal", "url_md5"),
}


@dataclass(frozen=True, slots=True)
class Lists:
    """Compiled lists in a folder, with the settings folder whose key opens them, and what one cost to compile."""

    folder: Path
    compiling: Measurement

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.vsl"

    @property
    def environment(self) -> dict[str, str]:
        return _environment(self.folder)


def _environment(folder: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str((folder / "config").absolute()), "OMP_NUM_THREADS": "1"}


def compiled_lists(folder: Path, digests: Path) -> Lists:
    """The digests compiled once for each signal, sealed as by default; those of an earlier call are used again
    unless the digests are newer."""
    costs = folder / "costs.json"
    if not costs.is_file() or costs.stat().st_mtime < digests.stat().st_mtime:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, options in _COMPILED.items():
            target = str(folder / f"{name}.vsl")
            command = [VETSET, "lists", "compile", target, str(digests), "--name", name, "--version", "1", *options]
            cost = measure(command, environment=_environment(folder))
        costs.write_text(json.dumps(asdict(cost)), "utf-8")
    return Lists(folder, Measurement(**json.loads(costs.read_text("utf-8"))))


def run_audit(audit: Audit, data: BenchData, lists: Lists, *, options: Sequence[str] = ()) -> Run:
    """One audit with cleaning, measured; `options` come after the audit's own and win."""
    out = Path(tempfile.mkdtemp(prefix="vetset-bench-"))
    try:
        arguments = audit_arguments(audit, data, lists, out)
        cost = measure([VETSET, *arguments, *options], environment=lists.environment)
        return Run(audit.name, cost, kept_rows(out / "clean"))
    finally:
        shutil.rmtree(out)


def steps_of(audit: Audit, data: BenchData, lists: Lists) -> dict[str, float]:
    """CPU seconds of one audit by step, see `steps`."""
    out = Path(tempfile.mkdtemp(prefix="vetset-bench-"))
    try:
        table = out / "steps.json"
        program = [sys.executable, str(Path(__file__).with_name("steps.py")), str(table)]
        measure([*program, *audit_arguments(audit, data, lists, out)], environment=lists.environment)
        seconds: dict[str, float] = json.loads(table.read_text("utf-8"))
        return seconds
    finally:
        shutil.rmtree(out)


def audit_arguments(audit: Audit, data: BenchData, lists: Lists, out: Path) -> list[str]:
    """The command line after `vetset`."""
    named = [part for name in audit.lists for part in ("--lists", str(lists.path(name)))]
    folders = ["--out", str(out / "run"), "--clean", str(out / "clean")]
    return ["audit", os.fspath(data.rows), *named, *folders, "--quiet", *audit.options]
