"""What holds for every test: generated cases have no deadline, and an interruption is one, however the tests were begun."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import networks
from vetset.kernels import native

settings.register_profile("vetset", deadline=None)
settings.load_profile("vetset")

# A shell starts what runs in its background with interruptions ignored, and every child inherits that: the tests of
# Ctrl-C would wait for ever. With a handler here, what they start has the default again.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", params=["plain", "native"])
def either_kernels(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs what uses it on the plain definitions and on the native module, whose absence is no pass in CI."""
    lib = native.LIB
    if request.param == "native" and lib is None:
        if "CI" not in os.environ:
            pytest.skip("the native kernels were not built")
        pytest.fail("the native kernels were not built")
    native.LIB = lib if request.param == "native" else None
    yield request.param
    native.LIB = lib


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """A test marked `own_network` runs in a process of its own, in a network of its own."""
    if pyfuncitem.get_closest_marker("own_network") is None or networks.inside():
        return None
    networks.run_again_inside(pyfuncitem)
    return True


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Inside such a process: what became of a test, for whoever waits outside."""
    networks.note(report)
