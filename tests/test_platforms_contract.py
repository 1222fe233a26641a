"""Every platform and every wrapper around every platform keeps the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.bodies import BODIES, Body, count_file, known_to_bodies
from vetset.errors import ServiceError
from vetset.ports import Platform
from vetset.records import Question, Ruling, Verdict
from vetset.testing.platform_contract import check_platform
from vetset.wrappers import DryRun, Limited, Retrying

pytestmark = pytest.mark.usefixtures(known_to_bodies.__name__)
every_body = pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)


def kept(body: Body, wrapped: Callable[[Platform], Platform], *, answers: bool = True) -> None:
    with body.stand() as stand:

        @contextmanager
        def opened() -> Iterator[Platform]:
            with body.open(stand.service) as platform:
                yield wrapped(platform)

        check_platform(opened, replace(stand, answers=answers))


def retrying(platform: Platform) -> Platform:
    return Retrying(platform, wait=lambda _: None, random=Random(1))


def limited(platform: Platform, folder: Path) -> Platform:
    return Limited(platform, counted_in=count_file(folder), clock=lambda: 1.8e9, wait=lambda _: None)


@every_body
def test_a_platform(body: Body) -> None:
    kept(body, lambda platform: platform)


@every_body
def test_retries(body: Body) -> None:
    kept(body, retrying)


@every_body
def test_limits(body: Body, tmp_path: Path) -> None:
    kept(body, lambda platform: limited(platform, tmp_path))


@every_body
def test_retries_around_limits(body: Body, tmp_path: Path) -> None:
    kept(body, lambda platform: retrying(limited(platform, tmp_path)))


@every_body
def test_a_dry_run(body: Body) -> None:
    kept(body, lambda platform: DryRun(platform.abilities), answers=False)


def test_a_breach_is_one(tmp_path: Path) -> None:
    """The contract can fail: a platform that takes broken answers for no match does not keep it."""

    class Hopeful(Limited):
        def judge(self, questions: Sequence[Question]) -> Sequence[Verdict]:
            try:
                return super().judge(questions)
            except ServiceError:
                return [Verdict(Ruling.NO_MATCH) for _ in questions]

    def hopeful(platform: Platform) -> Platform:
        return Hopeful(platform, counted_in=count_file(tmp_path), clock=lambda: 0.0, wait=lambda _: None)

    with pytest.raises(AssertionError, match="is an error"):
        kept(BODIES["shield"], hopeful)
