"""Whether the native kernels are here, and the one switch that turns them off.

In it: `LIB`, the compiled module or None. Not in it: any kernel. Rules: a kernel that has a native twin asks `LIB` each
time it runs, so that a test can run everything on both by setting it to None; the two must agree bit for bit.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

LIB: ModuleType | None
try:
    LIB = import_module("vetset._native")
except ImportError:  # no compiler when vetset was installed: slower, and the same answers
    LIB = None
