"""What a decoding child leaves out: libraries that no picture meets, which would make it slow to start and large.

In it: stand-ins that are in place before the first import of vetset in a child. Not in it: anything the worker uses.
Rules: a stand-in has only what is named while modules are loaded; a use of it later is an error that shows.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType


def leave_out_arrow() -> None:
    """Arrow is more than half of what a worker maps; `records` names one of its types, in a base class."""
    stand_in = ModuleType("pyarrow")
    stand_in.__dict__["RecordBatch"] = object
    sys.modules["pyarrow"] = stand_in


def take_kernels_singly() -> None:
    """Makes `vetset.kernels` a bare package, whose modules load one by one instead of all with it."""
    spec = importlib.util.find_spec("vetset.kernels")
    if spec is None:
        raise ImportError("vetset.kernels is missing")
    bare = ModuleType("vetset.kernels")
    bare.__path__ = list(spec.submodule_search_locations or ())
    sys.modules["vetset.kernels"] = bare


def arrow_may_come_again() -> None:
    """An optional kind may use the real one."""
    sys.modules.pop("pyarrow", None)
