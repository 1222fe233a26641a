"""Fingerprint: one outcome for each picture, digests of the bytes as stored, and content that is not the recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset import kernels
from vetset.records import (
    Decoded,
    FingerprintOutcome,
    Picture,
    Sealed,
    Signal,
    Stored,
    View,
    ViewPrint,
)
from vetset.stages.fingerprint import fingerprint

FAILURES = [outcome for outcome in FingerprintOutcome if outcome is not FingerprintOutcome.CHANGED_CONTENT]


class Table:
    """A decoder that answers from a table: what the sandbox would have said of each body."""

    level = "none"

    def __init__(self, answers: dict[bytes, FingerprintOutcome]) -> None:
        self.answers = answers

    def decode(self, pictures: Sequence[Picture]) -> Iterator[Decoded]:
        for picture in pictures:
            outcome = self.answers[bytes(picture.body.unseal())]
            views = (ViewPrint(View.FIRST, 80, np.zeros((8, 32), np.uint8)),)
            yield Decoded(picture.row, outcome, views if outcome is FingerprintOutcome.FINGERPRINTED else ())


def a_picture(row: int, body: bytes, recorded: dict[Signal, bytes] | None = None, *, intact: bool = False) -> Picture:
    return Picture(row, Sealed(body), recorded or {}, Stored(intact=intact))


def md5(body: bytes) -> bytes:
    return hashlib.md5(body).digest()


@given(st.lists(st.tuples(st.binary(max_size=200), st.sampled_from(FAILURES)), max_size=8))
def test_every_picture_has_one_outcome_and_its_own_digests(
    bodies: list[tuple[bytes, FingerprintOutcome]],
) -> None:
    answers = dict(bodies)
    pictures = [a_picture(10 + number, body) for number, (body, _) in enumerate(bodies)]
    result = fingerprint(pictures, Table(answers))
    assert result.tally.rows() == len(pictures)
    assert [item.outcome for item in result.onward.decoded] == [answers[body] for body, _ in bodies]
    assert result.onward.rows.tolist() == [picture.row for picture in pictures]
    for signal in kernels.PICTURE_DIGESTS:
        made = [row.tobytes() for row in result.onward.digests[signal]]
        assert made == [hashlib.new(signal.value, body).digest() for body, _ in bodies]


@pytest.mark.parametrize("outcome", FAILURES)
def test_a_file_that_was_not_decoded_still_has_its_digests(outcome: FingerprintOutcome) -> None:
    result = fingerprint([a_picture(0, b"body")], Table({b"body": outcome}))
    assert result.tally == {outcome.value: 1}
    assert result.onward.digests[Signal.MD5].tobytes() == md5(b"body")


def test_bytes_that_are_not_the_recorded_ones_are_named_and_kept_for_comparison() -> None:
    picture = a_picture(0, b"now", {Signal.MD5: md5(b"then")}, intact=True)
    result = fingerprint([picture], Table({b"now": FingerprintOutcome.FINGERPRINTED}))
    assert result.tally == {"changed_content": 1}
    assert len(result.onward.decoded[0].views) == 1


def test_one_recorded_digest_that_differs_is_enough() -> None:
    recorded = {Signal.MD5: md5(b"now"), Signal.SHA256: hashlib.sha256(b"then").digest()}
    result = fingerprint(
        [a_picture(0, b"now", recorded, intact=True)], Table({b"now": FingerprintOutcome.FINGERPRINTED})
    )
    assert result.tally == {"changed_content": 1}


def test_the_recorded_digest_says_nothing_of_bytes_that_were_encoded_anew() -> None:
    picture = a_picture(0, b"now", {Signal.MD5: md5(b"then")}, intact=False)
    result = fingerprint([picture], Table({b"now": FingerprintOutcome.FINGERPRINTED}))
    assert result.tally == {"fingerprinted": 1}


def test_what_could_not_be_decoded_keeps_that_outcome_though_its_content_changed() -> None:
    picture = a_picture(0, b"now", {Signal.MD5: md5(b"then")}, intact=True)
    result = fingerprint([picture], Table({b"now": FingerprintOutcome.UNDECODABLE}))
    assert result.tally == {"undecodable": 1}


def test_a_sandbox_that_answers_too_little_is_noticed() -> None:
    class Short(Table):
        def decode(self, pictures: Sequence[Picture]) -> Iterator[Decoded]:
            yield from list(super().decode(pictures))[:-1]

    pictures = [a_picture(0, b"one"), a_picture(1, b"two")]
    with pytest.raises(ValueError, match="longer"):
        fingerprint(
            pictures, Short({b"one": FingerprintOutcome.FINGERPRINTED, b"two": FingerprintOutcome.FINGERPRINTED})
        )
