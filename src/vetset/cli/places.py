"""Where the command line keeps what is the user's own. Not in it: a run's folder, which the user names."""

from __future__ import annotations

import os
from pathlib import Path


def config_folder() -> Path:
    """The user's settings folder (XDG Base Directory Specification): custodian's key, versions of lists seen."""
    named = os.environ.get("XDG_CONFIG_HOME", "")
    root = Path(named) if Path(named).is_absolute() else Path.home() / ".config"  # a relative one is to be ignored
    return root / "vetset"
