"""What all adapters do with questions: equal ones are asked once, foreign ones not at all, and order is kept.

In it: `answered`. Not in it: any service.
Rules: a fingerprint of a kind or width that the body does not take is `unreachable`, and nothing of it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vetset.errors import ServiceError
from vetset.platforms.answer import BROKEN
from vetset.records import Abilities, Question, Ruling, Verdict

#: (kind, fingerprint), distinct, in -> a verdict for each, in order.
Judge = Callable[[Sequence[tuple[str, bytes]]], Sequence[Verdict]]


def answered(
    questions: Sequence[Question], abilities: Abilities, width_bytes: Mapping[str, int], judge: Judge
) -> list[Verdict]:
    """A verdict for each question, in order. Raises ServiceError if the body gave another number of them.

    `width_bytes` holds every kind that the body takes. Raises ValueError for more questions than a request holds.
    """
    if len(questions) > abilities.batch:
        raise ValueError("more questions than a request of this body holds")
    opened = [(question.kind, question.fingerprint.unseal()) for question in questions]
    asked = [pair for pair in dict.fromkeys(opened) if width_bytes.get(pair[0]) == len(pair[1])]
    verdicts = judge(asked) if asked else ()
    if len(verdicts) != len(asked):
        raise ServiceError(abilities.name, BROKEN)
    said = dict(zip(asked, verdicts, strict=True))
    return [said.get(pair, NOT_TAKEN) for pair in opened]


NOT_TAKEN = Verdict(Ruling.UNREACHABLE, noted={"why": "a kind or width that it does not take"})
