"""What holds for every test: generated cases have no deadline, an interruption is one, and kernels run on both codes."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

from vetset.kernels import native

# Fixtures that turn a kernel's native code off do so once for all examples of a test, which is what is wanted.
settings.register_profile("vetset", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("vetset")

# A shell starts what runs in its background with interruptions ignored, and every child inherits that: the tests of
# Ctrl-C would wait for ever. With a handler here, what they start has the default again.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["native", "plain"])
def either_kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test on the native kernels, where they were built, and on the plain ones."""
    if request.param == "plain":
        monkeypatch.setattr(native, "LIB", None)
    elif native.LIB is None:
        pytest.skip("the native kernels were not built")
    return str(request.param)
