"""What holds for every test: generated cases have no deadline, since no test of ours asserts a time."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("vetset", deadline=None)
settings.load_profile("vetset")
