"""How a process locks itself in: limits, no new privileges, Landlock, and the filter of system calls.

In it: each measure, and `confine`, which takes them in order and says how far it came. Not in it: what is locked in.
Rules: everything is given up for good; a measure that the kernel does not know lowers the level and is no error; the
calls are those of getrlimit(2), prctl(2), landlock(7) and seccomp(2), made through ctypes, with no other library.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
from pathlib import Path

from vetset.sandbox.filter import ARCHITECTURES, program
from vetset.sandbox.level import SandboxLevel

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38

_LANDLOCK_CREATE_RULESET = 444  # the same on every architecture
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
#: Rights that a ruleset may handle, by the version of the interface that brought them; all are refused.
_FILE_RIGHTS = {1: 0x1FFF, 2: 0x2000, 3: 0x4000, 5: 0x8000}
_NET_RIGHTS = {4: 0b11}  # bind and connect TCP
_SCOPES = {6: 0b11}  # abstract sockets, signals to others

_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_TSYNC = 1  # every thread of the process

_MOST_DESCRIPTORS = 8


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))  # struct sock_fprog


class _Ruleset(ctypes.Structure):
    # struct landlock_ruleset_attr
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


def die_with(parent_pid: int) -> None:
    """The process ends with the thread that started it, leaves no dump, and cannot be read by the user's others."""
    libc = _libc()
    libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0), 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the line above, which then waits in vain
        os._exit(1)


def confine(strongest: SandboxLevel, *, memory_bytes: int, requests_fd: int, replies_fd: int) -> SandboxLevel:
    """Locks this process in as far as the kernel can and `strongest` says. `memory_bytes` beyond what it has now."""
    if strongest is SandboxLevel.NONE:
        return SandboxLevel.NONE
    libc = _libc()
    machine = ARCHITECTURES.get(platform.machine())
    _limit(memory_bytes)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0)
    if strongest is SandboxLevel.LIMITS:
        return SandboxLevel.LIMITS
    landlocked = strongest is SandboxLevel.SECCOMP_LANDLOCK and _landlock(libc)
    if machine is None:
        return SandboxLevel.LIMITS
    steps = program(machine, requests_fd=requests_fd, replies_fd=replies_fd, pid=os.getpid())
    held = ctypes.create_string_buffer(steps, len(steps))
    given = _FilterProgram(len(steps) // 8, ctypes.cast(held, ctypes.c_void_p))
    mode, flags = ctypes.c_ulong(_SECCOMP_SET_MODE_FILTER), ctypes.c_ulong(_SECCOMP_TSYNC)
    if libc.syscall(ctypes.c_long(machine.seccomp), mode, flags, ctypes.byref(given)) != 0:
        return SandboxLevel.LIMITS
    return SandboxLevel.SECCOMP_LANDLOCK if landlocked else SandboxLevel.SECCOMP


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def _limit(memory_bytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    _never_more_than(resource.RLIMIT_AS, pages * resource.getpagesize() + memory_bytes)
    _never_more_than(resource.RLIMIT_CORE, 0)
    _never_more_than(resource.RLIMIT_FSIZE, 0)
    _never_more_than(resource.RLIMIT_NPROC, 0)
    _never_more_than(resource.RLIMIT_NOFILE, _MOST_DESCRIPTORS)


def _never_more_than(what: int, amount: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        amount = min(amount, hard)
    resource.setrlimit(what, (amount, amount))


def _landlock(libc: ctypes.CDLL) -> bool:
    """Refuses every file, TCP port and abstract socket. False where the kernel has no Landlock."""
    version = libc.syscall(ctypes.c_long(_LANDLOCK_CREATE_RULESET), None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return False
    rules = _Ruleset(_known(_FILE_RIGHTS, version), _known(_NET_RIGHTS, version), _known(_SCOPES, version))
    size = ctypes.c_size_t(ctypes.sizeof(rules))
    ruleset = libc.syscall(ctypes.c_long(_LANDLOCK_CREATE_RULESET), ctypes.byref(rules), size, 0)
    if ruleset < 0:
        return False
    done = libc.syscall(ctypes.c_long(_LANDLOCK_RESTRICT_SELF), ctypes.c_int(ruleset), 0)
    os.close(ruleset)
    return bool(done == 0)


def _known(rights: dict[int, int], version: int) -> int:
    return sum(bits for since, bits in rights.items() if since <= version)
