"""What holds for every test: generated cases have no deadline, and an interruption is one, however the tests were begun."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

from vetset.kernels import native

settings.register_profile("vetset", deadline=None)
settings.load_profile("vetset")

# A shell starts what runs in its background with interruptions ignored, and every child inherits that: the tests of
# Ctrl-C would wait for ever. With a handler here, what they start has the default again.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["native", "plain"])
def either_kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test twice: with the native kernels, and with the definitions in their place."""
    if request.param == "plain":
        monkeypatch.setattr(native, "LIB", None)
    elif native.LIB is None:
        pytest.skip("the native kernels are not built here")
    return str(request.param)
