"""What is handed on: a source distribution holds all that is tracked, the native kernels' sources too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.tools import needed

ROOT = Path(__file__).parents[1]


def sdist_in(folder: Path) -> Path:
    """Made from a copy of what git tracks, as the build leaves files behind."""
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    built(folder, "sdist", "--dist-dir", "out")
    (path,) = (folder / "out").glob("*.tar.gz")
    return path


def tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run([needed("git"), "-C", ROOT, "ls-files", "-z"], check=True, capture_output=True)
    return [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def built(folder: Path, *words: str) -> None:
    """Without a compiler, as `make` has compiled the same files already; the kernels are optional."""
    command = [sys.executable, "setup.py", "-q", *words]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300, env={**os.environ, "CC": "false"})


def names_in(sdist: Path) -> set[str]:
    with tarfile.open(sdist) as tar:
        return {name.partition("/")[2] for name in tar.getnames()}


def test_a_source_distribution_holds_what_is_tracked(tmp_path: Path) -> None:
    held = names_in(sdist_in(tmp_path))
    assert {"native/module.c", "native/native.h", "src/vetset/templates/summary.html.j2"} <= held
    left_out = {name for name in tracked() if name not in held}
    assert left_out <= {".gitignore", "MANIFEST.in"}
