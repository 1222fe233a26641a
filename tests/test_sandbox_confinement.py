"""What a locked-in child can still do: tried through an optional kind, which is foreign code in the child, and read off
the filter itself, run step by step as the kernel would.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import sandboxes
from tests.sandboxes import child_of, named, outcomes, sandbox, with_trigger
from vetset.sandbox.filter import ARCHITECTURES, Architecture, program
from vetset.sandbox.level import SandboxLevel

FINE, ALARM = "fingerprinted", "sandbox_alarm"
ESCAPES = [
    sandboxes.Opens,
    sandboxes.Lists,
    sandboxes.Connects,
    sandboxes.Forks,
    sandboxes.Executes,
    sandboxes.Spawns,
    sandboxes.Kills,
    sandboxes.WritesElsewhere,
]


@pytest.mark.parametrize("escape", ESCAPES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("level", [SandboxLevel.SECCOMP, SandboxLevel.SECCOMP_LANDLOCK])
def test_an_escape_ends_by_the_filter_and_is_an_alarm(escape: type, level: SandboxLevel) -> None:
    with sandbox(kinds=named(escape), strongest=level) as room:
        assert room.level == level
        assert outcomes(room.decode(with_trigger(4))) == [FINE, FINE, ALARM, FINE]


def test_an_alarm_is_not_unsaid_by_a_second_attempt_that_succeeds() -> None:
    """The first child is killed by the filter's own signal; the second one answers, and the alarm stays."""
    with sandbox() as room:
        answers = room.decode(with_trigger(300, at=()))
        os.kill(child_of(room), signal.SIGSYS)
        said = list(answers)
    assert [answer.outcome.value for answer in said].count(ALARM) == 1
    assert all(answer.views for answer in said)


def test_with_limits_alone_nothing_is_written_and_nothing_started() -> None:
    with sandbox(kinds=named(sandboxes.Spawns), strongest=SandboxLevel.LIMITS) as room:
        answer = outcomes(room.decode(with_trigger(4)))[2]
    assert answer in {"internal_error", FINE}  # root may start processes whatever its limit


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


def limits_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/limits").read_text("ascii").splitlines()[1:]
    return {line[:26].strip(): line[26:47].strip() for line in lines}


def test_a_child_has_one_thread_few_descriptors_and_no_way_back() -> None:
    with sandbox() as room:
        pid = child_of(room)
        status, limits = status_of(pid), limits_of(pid)
        descriptors = sorted(Path(f"/proc/{pid}/fd").iterdir(), key=lambda entry: int(entry.name))
        targets = [str(entry.readlink()) for entry in descriptors]
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert status["Threads"] == "1"
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert limits["Max core file size"] == limits["Max file size"] == limits["Max processes"] == "0"
    assert limits["Max open files"] == "8"
    assert 1 << 30 < int(limits["Max address space"]) < 3 << 30
    assert [target.split(":")[0] for target in targets] == ["/dev/null"] * 3 + ["pipe"] * 2
    assert all(
        entry.split(b"=")[0] in {b"LC_ALL", b"OMP_NUM_THREADS", b"OPENBLAS_NUM_THREADS", b"MKL_NUM_THREADS"}
        for entry in environment
        if entry
    )


def test_the_shared_memory_is_read_only_in_a_child_and_cannot_be_run() -> None:
    with sandbox() as room:
        lines = Path(f"/proc/{child_of(room)}/maps").read_text("ascii").splitlines()
    (shared,) = [line for line in lines if "memfd:vetset-pictures" in line]
    assert shared.split()[1] == "r--s"


def test_a_child_does_not_load_what_no_picture_meets() -> None:
    with sandbox() as room:
        maps = Path(f"/proc/{child_of(room)}/maps").read_text("ascii")
    assert "libjpeg" in maps
    assert "arrow" not in maps


LOCKED = """
import ctypes, os, sys
from vetset.sandbox.confinement import confine
from vetset.sandbox.level import SandboxLevel
libc = ctypes.CDLL(None, use_errno=True)
held = os.open("/etc/passwd", os.O_RDONLY)
assert confine(SandboxLevel({level!r}), memory_bytes=1 << 28, requests_fd=0, replies_fd=1) is SandboxLevel({level!r})
{work}
os._exit(0)
"""


def ended(work: str, level: SandboxLevel = SandboxLevel.SECCOMP_LANDLOCK) -> int:
    script = LOCKED.format(level=level.value, work=work)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    return done.returncode


@pytest.mark.parametrize(
    "work",
    [
        "os.open('/etc/passwd', os.O_RDONLY)",
        "os.read(held, 1)",
        "os.write(held, b'x')",
        "os.kill(os.getpid(), 0)",
        "os.getppid()",
        "os.dup(0)",
        "os.pipe()",
        "os.memfd_create('x')",
        "os.mkdir('/tmp/vetset-escape')",
        "libc.ptrace(0, 0, 0, 0)",
        "libc.mmap(0, 4096, 7, 0x22, -1, 0)",
        "libc.mprotect(0, 4096, 5)",
        "libc.prctl(4, 1, 0, 0, 0)",
        "libc.syscall(317, 1, 0, 0)",
        "libc.syscall(0x40000000 + 39)",
        "libc.syscall(425, 8, 0)",
        "libc.socket(1, 1, 0)",
        "libc.syscall(234, 1, 1, 15)",
    ],
)
def test_calls_that_no_decoding_makes_kill(work: str) -> None:
    assert ended(work) == -signal.SIGSYS


@pytest.mark.parametrize(
    ("work", "code"),
    [
        ("os._exit(0 if len(os.urandom(8)) == 8 else 1)", 0),
        ("bytearray(1 << 26)", 0),
        ("os.write(1, b'x'); os.write(2, b'x')", 0),
        ("os.abort()", -signal.SIGABRT),
        ("ctypes.string_at(0)", -signal.SIGSEGV),
        ("try:\n    bytearray(1 << 29)\nexcept MemoryError:\n    os._exit(5)", 5),
    ],
)
def test_what_decoding_needs_is_left(work: str, code: int) -> None:
    assert ended(work) == code


@pytest.mark.parametrize("landlocked", [False, True])
def test_landlock_refuses_files_by_itself(landlocked: bool) -> None:
    """Without the filter, so that it is Landlock that answers."""
    script = (
        "import os\nfrom vetset.sandbox import confinement\nlibc = confinement._libc()\n"
        "libc.prctl(38, 1, 0, 0, 0)\n"
        + ("assert confinement._landlock(libc)\n" if landlocked else "")
        + "try:\n    os.listdir('/')\n    os.open('/etc/passwd', os.O_RDONLY)\nexcept PermissionError:\n    os._exit(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == (7 if landlocked else 0)


def test_a_kernel_without_landlock_lowers_the_level() -> None:
    script = (
        "import os\nfrom vetset.sandbox import confinement as c\nfrom vetset.sandbox.level import SandboxLevel as S\n"
        "c._LANDLOCK_CREATE_RULESET = 9999\n"
        "level = c.confine(S.SECCOMP_LANDLOCK, memory_bytes=1 << 28, requests_fd=0, replies_fd=1)\n"
        "os._exit(0 if level is S.SECCOMP else 1)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_machine_whose_calls_are_not_known_is_limited_only() -> None:
    script = (
        "import os\nfrom vetset.sandbox import confinement as c\nfrom vetset.sandbox.level import SandboxLevel as S\n"
        "c.platform.machine = lambda: 'riscv64'\n"
        "level = c.confine(S.SECCOMP_LANDLOCK, memory_bytes=1 << 28, requests_fd=0, replies_fd=1)\n"
        "os._exit(0 if level is S.LIMITS else 1)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


# --- the filter, run by hand ----------------------------------------------------------------------------------------------


def verdict(steps: bytes, number: int, architecture: int, arguments: tuple[int, ...] = ()) -> int:
    """What the kernel's packet filter answers, for the instructions that are used."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", number, architecture, 0, *padded)
    tests: dict[int, Callable[[int, int], bool]] = {
        0x15: lambda held, value: held == value,
        0x35: lambda held, value: held >= value,
        0x45: lambda held, value: bool(held & value),
    }
    at, held = 0, 0
    while True:
        code, then, otherwise, value = struct.unpack_from("<HBBI", steps, at * 8)
        at += 1
        if code == 0x20:
            (held,) = struct.unpack_from("<I", data, value)
        elif code == 0x06:
            return int(value)
        else:
            at += then if tests[code](held, value) else otherwise


ALLOW, KILL = 0x7FFF0000, 0x80000000


@pytest.mark.parametrize("machine", list(ARCHITECTURES.values()), ids=list(ARCHITECTURES))
def test_the_filter_allows_what_is_named_and_nothing_else(machine: Architecture) -> None:
    steps = program(machine, requests_fd=5, replies_fd=6, pid=777)
    allowed = {n for n in range(600) if verdict(steps, n, machine.audit, (5, 0, 0)) == ALLOW}
    bound = {machine.calls[name] for name in ("write", "writev", "tgkill")}
    assert allowed == set(machine.calls.values()) - bound
    assert all(verdict(steps, n, machine.audit ^ 1, (5,)) == KILL for n in range(600))
    assert all(verdict(steps, 0x40000000 + n, machine.audit, (5,)) == KILL for n in range(600))


@pytest.mark.parametrize("machine", list(ARCHITECTURES.values()), ids=list(ARCHITECTURES))
def test_the_filter_looks_at_arguments(machine: Architecture) -> None:
    steps = program(machine, requests_fd=5, replies_fd=6, pid=777)

    def asked(name: str, *arguments: int) -> bool:
        return verdict(steps, machine.calls[name], machine.audit, arguments) == ALLOW

    assert asked("read", 5)
    assert not asked("read", 6)
    assert not asked("read", 0)
    assert asked("write", 6)
    assert asked("write", 2)
    assert not asked("write", 5)
    assert asked("writev", 2)
    assert not asked("writev", 6)
    assert asked("tgkill", 777)
    assert not asked("tgkill", 1)
    assert asked("mmap", 0, 4096, 3)
    assert not asked("mmap", 0, 4096, 4)
    assert not asked("mmap", 0, 4096, 7)


def test_no_call_that_opens_connects_starts_or_traces_is_named() -> None:
    feared = (
        "open",
        "socket",
        "connect",
        "clone",
        "fork",
        "exec",
        "ptrace",
        "mprotect",
        "prctl",
        "ioctl",
        "kill",
        "mount",
    )
    for machine in ARCHITECTURES.values():
        assert not [name for name in machine.calls for fear in feared if name.startswith(fear)]
        assert len(set(machine.calls.values())) == len(machine.calls) <= 28
    assert set(ARCHITECTURES["x86_64"].calls) - set(ARCHITECTURES["aarch64"].calls) == {"time"}
