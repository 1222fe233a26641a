"""Builds the optional native kernels; without a C compiler the package installs all the same, and runs slower."""

from pathlib import Path

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "vetset._native",
            sources=sorted(map(str, Path("native").glob("*.c"))),
            depends=sorted(map(str, Path("native").glob("*.h"))),
            # No -march: each kernel picks its instructions when it runs, so that one build serves every machine.
            extra_compile_args=[
                *("-std=gnu11", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror=vla"),
                "-ffp-contract=off",  # PDQ is exact only in the reference's own order of roundings
            ],
            optional=True,
        )
    ]
)
