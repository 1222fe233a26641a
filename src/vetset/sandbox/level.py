"""How far a child is confined, by name. Nothing else is here, so that settings, worker and child may share it."""

from __future__ import annotations

from enum import StrEnum


class SandboxLevel(StrEnum):
    """What stands between a hostile picture and the machine, from least to most."""

    NONE = "none"
    LIMITS = "limits"  # memory, descriptors, file sizes: a crash harms nobody, a takeover could still open files
    SECCOMP = "seccomp"  # and no system call but some two dozen
    SECCOMP_LANDLOCK = "seccomp+landlock"  # and no file, twice over

    @property
    def rank(self) -> int:
        return list(SandboxLevel).index(self)
