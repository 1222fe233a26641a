"""The system calls that a locked-in child may still make, as a program of the kernel's packet filter (seccomp(2)).

In it: the list by architecture, and the program made from it. Not in it: its installation (`confinement`).
Rules: whatever is not named kills the process, so that a child's end tells an escape from a crash; no call that could
open, connect, start or map anything executable is named; numbers are of asm/unistd.h of each architecture.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_IF_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_ANSWER = 0x06  # BPF_RET | BPF_K

_KILL = 0x80000000  # SECCOMP_RET_KILL_PROCESS
_ALLOW = 0x7FFF0000  # SECCOMP_RET_ALLOW

_NUMBER_AT = 0  # struct seccomp_data: nr, arch, instruction_pointer, args[6]
_ARCHITECTURE_AT = 4
_ARGUMENTS_AT = 16

_PROT_EXEC = 4
_STDERR = 2
_OTHER_TABLE = 0x40000000  # __X32_SYSCALL_BIT: the second table of x86-64, under the same architecture


@dataclass(frozen=True, slots=True)
class Architecture:
    """A machine's own numbers: `audit` as linux/audit.h names it, `calls` those that are allowed."""

    audit: int
    seccomp: int
    calls: Mapping[str, int]


#: What is asked for when a child decodes, grows and shrinks its memory, is interrupted, and ends.
ARCHITECTURES: Mapping[str, Architecture] = {
    "x86_64": Architecture(
        0xC000003E,
        317,
        {
            "read": 0, "write": 1, "close": 3, "fstat": 5, "mmap": 9, "munmap": 11, "brk": 12, "rt_sigaction": 13,
            "rt_sigprocmask": 14, "rt_sigreturn": 15, "writev": 20, "sched_yield": 24, "mremap": 25, "madvise": 28,
            "getpid": 39, "exit": 60, "gettimeofday": 96, "sigaltstack": 131, "gettid": 186, "time": 201,
            "futex": 202, "restart_syscall": 219, "clock_gettime": 228, "exit_group": 231, "tgkill": 234,
            "getcpu": 309, "getrandom": 318,
        },
    ),
    "aarch64": Architecture(
        0xC00000B7,
        277,
        {
            "read": 63, "write": 64, "close": 57, "fstat": 80, "mmap": 222, "munmap": 215, "brk": 214,
            "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "writev": 66, "sched_yield": 124,
            "mremap": 216, "madvise": 233, "getpid": 172, "exit": 93, "gettimeofday": 169, "sigaltstack": 132,
            "gettid": 178, "futex": 98, "restart_syscall": 128, "clock_gettime": 113, "exit_group": 94, "tgkill": 131,
            "getcpu": 168, "getrandom": 278,
        },
    ),
}  # fmt: skip

#: Allowed only with a certain first argument, or without a certain bit.
_BOUND = ("read", "write", "writev", "tgkill", "mmap")


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("<HBBI", code, then, otherwise, value)


def program(architecture: Architecture, *, requests_fd: int, replies_fd: int, pid: int) -> bytes:
    """The filter for a child of this pid that reads from the one descriptor and writes to the other."""
    calls = architecture.calls
    steps = [
        _step(_LOAD, _ARCHITECTURE_AT),
        _step(_IF_EQUAL, architecture.audit, 1, 0),
        _step(_ANSWER, _KILL),
        _step(_LOAD, _NUMBER_AT),
        _step(_IF_AT_LEAST, _OTHER_TABLE, 0, 1),
        _step(_ANSWER, _KILL),
        *_with_argument(calls["read"], (requests_fd,)),
        *_with_argument(calls["write"], (replies_fd, _STDERR)),
        *_with_argument(calls["writev"], (_STDERR,)),  # the last words of the C library before it gives up
        *_with_argument(calls["tgkill"], (pid,)),  # abort(3)
        *_without_bit(calls["mmap"], 2, _PROT_EXEC),
    ]
    for name, number in calls.items():
        if name not in _BOUND:
            steps += [_step(_IF_EQUAL, number, 0, 1), _step(_ANSWER, _ALLOW)]
    return b"".join([*steps, _step(_ANSWER, _KILL)])


def _with_argument(number: int, allowed: tuple[int, ...]) -> list[bytes]:
    """The call with one of these as its first argument, which the kernel takes as 32 bits."""
    checks = [step for value in allowed for step in (_step(_IF_EQUAL, value, 0, 1), _step(_ANSWER, _ALLOW))]
    inner = [_step(_LOAD, _ARGUMENTS_AT), *checks, _step(_ANSWER, _KILL)]
    return [_step(_IF_EQUAL, number, 0, len(inner)), *inner]


def _without_bit(number: int, argument: int, bit: int) -> list[bytes]:
    inner = [
        _step(_LOAD, _ARGUMENTS_AT + 8 * argument),
        _step(_IF_ANY_BIT, bit, 0, 1),
        _step(_ANSWER, _KILL),
        _step(_ANSWER, _ALLOW),
    ]
    return [_step(_IF_EQUAL, number, 0, len(inner)), *inner]
