"""Every native kernel survives its fuzz driver for a while, under both sanitizers; and a driver does see what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import fuzz_native
from tests.tools import needed

ROUNDS = 1500


@pytest.mark.parametrize("name", fuzz_native.DRIVERS)
def test_a_kernel_survives_its_driver(name: str, tmp_path: Path) -> None:
    needed("cc")
    driver = fuzz_native.built(name, tmp_path)
    reports = [report for seed in (1, 2) if (report := fuzz_native.run(driver, seed, ROUNDS))]
    assert reports == []


def test_every_native_file_with_a_kernel_has_a_driver() -> None:
    kernels = {path.stem for path in fuzz_native.NATIVE.glob("*.c") if "METH_VARARGS" in path.read_text("utf-8")}
    assert kernels == set(fuzz_native.DRIVERS)


def test_a_driver_sees_a_byte_too_far(tmp_path: Path) -> None:
    """The same build of a program that reads one byte too many ends in a report."""
    needed("cc")
    source = tmp_path / "fuzz"
    source.mkdir()
    (source / "wrong.c").write_text(
        '#include "driver.h"\nstatic int seen;\n'
        "static void try_input(const uint8_t *data, size_t size) {\n"
        "    uint8_t *block = block_of(data, size);\n    seen += block[size ? size : 1];\n    free(block);\n}\n"
    )
    (source / "driver.h").write_text((fuzz_native.NATIVE / "fuzz" / "driver.h").read_text("utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fuzz_native, "NATIVE", tmp_path)
        driver = fuzz_native.built("wrong", tmp_path)
    assert "heap-buffer-overflow" in fuzz_native.run(driver, 1, 10)
