"""The shipped command, killed from outside: at chosen system calls by strace, and by signals at chosen moments.

In it: the command over the crash case, dry traces, injections, signals to coordinator, worker and group. Not in it: how
many of each. Rules: moments are counted in system calls or in products on disk, never in time; after each one
`--resume` must end with the same, and no ending shows a traceback.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.crash_case import SPREAD_LIMIT, Case, blamed
from tests.tools import needed
from vetset.errors import ExitStatus

VETSET = Path(sys.executable).with_name("vetset")
#: What changes files, under the names that it has on any machine; which of them occur, a dry trace tells.
SYSCALLS = (
    *("write", "pwrite64", "fsync", "rename", "renameat", "renameat2"),
    *("unlink", "unlinkat", "mkdir", "mkdirat", "rmdir"),
)
SERIAL, WORKERS = ("--runner", "serial"), ("--workers", "2")
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")


@dataclass(frozen=True)
class Injection:
    """At the `when`-th call of `syscall` in each process: a KILL, or an error (ENOSPC, EIO)."""

    syscall: str
    when: int
    what: str

    def option(self) -> str:
        effect = "signal=KILL" if self.what == "KILL" else f"error={self.what}"
        return f"inject={self.syscall}:{effect}:when={self.when}"


@dataclass(frozen=True)
class Command:
    """`vetset audit` over a case, with its runner."""

    case: Case
    runner: Sequence[str] = SERIAL

    def line(self, *more: str) -> list[str]:
        place, policy = self.case.place, self.case.place.root / "policy.toml"
        policy.write_text("[[policy.rules]]\npunsafe_above = 0.95\n", "utf-8")
        named = [part for path in place.lists for part in ("--lists", str(path))]
        folders = ["--out", str(place.run), "--clean", str(place.cleaned)]
        rules = ["--policy", str(policy), "--spread-limit", str(SPREAD_LIMIT), "--quiet"]
        return [str(VETSET), "audit", str(place.dataset), *named, *folders, *rules, *self.runner, *more]

    def start(self, line: Sequence[str]) -> subprocess.Popen[str]:
        """In a session of its own, so that a signal can go to the whole of it as Ctrl-C does."""
        environment = {**os.environ, "XDG_CONFIG_HOME": str(self.case.place.root / "home")}
        return subprocess.Popen(
            list(line),
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, line: Sequence[str]) -> int:
        """To its end; the status, negative for a signal. Raises AssertionError for a traceback."""
        return ended(self.start(line))

    def resume(self) -> None:
        status = self.run(self.line("--resume"))
        assert status == ExitStatus.DONE, f"--resume ended with {status}"
        self.case.check()

    def traced(self, *options: str) -> list[str]:
        """The command line under strace."""
        # Not with --seccomp-bpf: strace 6.1 then counts an injected signal and does not send it.
        return [needed("strace"), "-f", "-qq", *options, *self.line()]

    def calls(self) -> list[Injection]:
        """Every system call of an undisturbed run that changes a file of RUN or of the cleaned dataset.

        The run before it makes what only a first run makes: the custodian's key and the list of lists seen.
        """
        self.case.clear()
        assert self.run(self.line()) == ExitStatus.DONE
        self.case.clear()
        place = self.case.place
        trace = place.root / "trace"
        traced = ",".join(f"?{name}" for name in SYSCALLS)
        assert self.run(self.traced("-y", "-o", str(trace), "-e", f"trace={traced}")) == ExitStatus.DONE
        self.case.check()
        return list(calls_in(trace.read_text("utf-8", "replace"), (str(place.run), str(place.cleaned))))

    def struck(self, injection: Injection) -> int:
        """A run into the injection, and its recovery; the status of the run."""
        self.case.clear()
        output = ["-o", "/dev/null", "-e", f"trace={injection.syscall}"]
        with blamed([injection, *self.runner]):
            status = self.run(self.traced(*output, "-e", injection.option()))
            assert status in self.endings(injection), f"ended with {status}"
            self.resume()
        return status

    def endings(self, injection: Injection) -> set[int]:
        """With workers, each process counts its own calls: any of them may be struck, or none. A worker is replaced."""
        alone = {-signal.SIGKILL} if injection.what == "KILL" else {ExitStatus.STOPPED}
        return alone if self.runner == SERIAL else alone | {ExitStatus.DONE, ExitStatus.INCOMPLETE}

    def signalled(self, products: int, send: Callable[[subprocess.Popen[str]], None]) -> int:
        """A run that is sent something once it has so many products, and its recovery; the status of the run."""
        self.case.clear()
        process = self.start(self.line())
        while process.poll() is None and products_in(self.case.place.run) < products:
            os.sched_yield()
        if process.poll() is None:
            send(process)
        status = ended(process)
        self.resume()
        return status


def ended(process: subprocess.Popen[str]) -> int:
    _, heard = process.communicate()
    assert "Traceback" not in heard, heard
    return process.returncode


def calls_in(trace: str, folders: Sequence[str]) -> list[Injection]:
    """The calls of the traced command's first thread whose arguments name one of the folders, by their numbers."""
    seen: Counter[str] = Counter()
    found, first = [], None
    for line in trace.splitlines():
        call = _CALL.match(line)
        if call is None:
            continue
        thread, name, arguments = call.groups()
        first = first or thread
        if thread == first:
            seen[name] += 1
            if any(folder in arguments for folder in folders):
                found.append(Injection(name, seen[name], "KILL"))
    return found


def products_in(run: Path) -> int:
    """Finished files below RUN; a folder that vanishes under the look has none."""
    return sum(1 for _, _, files in os.walk(run) for name in files if not name.endswith(".partial"))


# --- what is sent -------------------------------------------------------------------------------------------------


def kill_coordinator(process: subprocess.Popen[str]) -> None:
    process.kill()


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C: the terminal sends it to the whole foreground group."""
    os.killpg(process.pid, signal.SIGINT)


def kill_worker(process: subprocess.Popen[str]) -> None:
    for child in workers_of(process.pid)[:1]:
        os.kill(child, signal.SIGKILL)


def workers_of(pid: int) -> list[int]:
    """Children of the coordinator that were spawned to work; its resource tracker is none."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        lines = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    except OSError:
        return []
    return [child for child, line in lines.items() if b"spawn_main" in line]
