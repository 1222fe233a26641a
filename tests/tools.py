"""Programs of the system that some tests need: found, or the test is skipped, which CI does not allow."""

from __future__ import annotations

import os
import shutil

import pytest


def needed(name: str) -> str:
    """The path of a program that `make system` installs."""
    path = shutil.which(name)
    if path is None and "CI" not in os.environ:
        pytest.skip(f"{name} is not installed: `make system` installs it")
    assert path, f"{name} is missing: run `make system`"
    return path
