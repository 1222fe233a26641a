"""Fuzzes the native kernels: every driver of native/fuzz, built with ASan and UBSan, for some time or some rounds.

`python -m tests.fuzz_native --seconds 60` (`make fuzz`); the tests run a few thousand rounds of each. A kernel's driver
is `native/fuzz/KERNEL.c`, see `driver.h` there. Half the time goes to inputs from a generator; the other half to
libFuzzer, which is led by the branches that an input takes, where clang has it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

NATIVE = Path(__file__).parent.parent / "native"
DRIVERS = sorted(path.stem for path in (NATIVE / "fuzz").glob("*.c"))
FLAGS = ["-std=gnu11", "-g", "-ffp-contract=off", "-fno-omit-frame-pointer", "-Wno-unused-function"]
#: Lanes unrolled, with a check at every access, take gcc many minutes to optimise.
LEVELS = {"digest": "-O0"}
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def built(name: str, folder: Path) -> Path:
    """The driver of a kernel, ready to run."""
    target = folder / name
    compiler = shutil.which("cc") or "gcc"
    source = NATIVE / "fuzz" / f"{name}.c"
    include = f"-I{sysconfig.get_paths()['include']}"
    flags = [LEVELS.get(name, "-O1"), *FLAGS, *SANITIZERS]
    subprocess.run([compiler, *flags, include, str(source), "-o", str(target), "-lm"], check=True)
    return target


def guided(name: str, folder: Path) -> Path | None:
    """The driver under libFuzzer; None where no clang has it."""
    compiler = shutil.which("clang")
    if compiler is None:
        return None
    target, source = folder / f"{name}-guided", NATIVE / "fuzz" / f"{name}.c"
    sanitizers = [
        "-fsanitize=fuzzer,address,undefined",
        "-fno-sanitize-recover=all",
        "-DVETSET_LIBFUZZER",
        "-Wno-psabi",
    ]
    words = [
        compiler,
        LEVELS.get(name, "-O1"),
        *FLAGS,
        *sanitizers,
        f"-I{sysconfig.get_paths()['include']}",
        str(source),
        "-o",
        str(target),
        "-lm",
    ]
    return target if subprocess.run(words, check=False).returncode == 0 else None


def run_guided(driver: Path, seconds: float) -> str:
    """What libFuzzer said of its end: nothing, or a report. What it was led to is not kept."""
    words = [str(driver), f"-max_total_time={max(1, round(seconds))}", "-max_len=4096", "-verbosity=0"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=driver.parent)
    return "" if done.returncode == 0 else f"{driver.name}: exit {done.returncode}\n{done.stderr[-4000:]}"


def run(driver: Path, seed: int, rounds: int) -> str:
    """What a driver said of its end: nothing, or a report. Every report is a failure."""
    done = subprocess.run([driver, str(seed), str(rounds)], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"{driver.name}, seed {seed}: exit {done.returncode}\n{done.stderr[-4000:]}"


def main(words: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=30, help="for each driver")
    options.add_argument("--only", nargs="*", default=DRIVERS, choices=DRIVERS, help="these drivers alone")
    options.add_argument("--rounds", type=int, default=5000, help="between two looks at the clock")
    chosen = options.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.only:
            driver, led, seed, started = built(name, Path(folder)), guided(name, Path(folder)), 0, time.monotonic()
            report = run_guided(led, chosen.seconds / 2) if led else ""
            while not report and time.monotonic() - started < chosen.seconds:
                seed += 1
                report = run(driver, seed, chosen.rounds)
            if report:
                sys.stderr.write(report)
                return 1
            sys.stdout.write(f"{name}: {seed * chosen.rounds:,} cases{' and libFuzzer' if led else ''}, no report\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
