"""What every `ports.Platform` must do, wrappers too, as functions that a platform's tests call.

In it: the laws of judging, over a service that the caller has set up and can spoil. Not in it: the service, any body's
spelling, any test runner.
Rules: a breach raises AssertionError; fingerprints are made up; whatever a spoiled service says, no verdict comes of
it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from vetset.errors import ServiceError
from vetset.ports import Platform
from vetset.records import Question, Ruling, Sealed, Verdict
from vetset.testing.service import Heard, Said, Service

OpenPlatform = Callable[[], AbstractContextManager[Platform]]

_OF_NOBODY = "a kind of nobody's"
_CODED = (("Content-Encoding", "gzip"),)
_ELSEWHERE = (("Location", "http://127.0.0.1:9/elsewhere"),)
#: Stands in every spoiled body: no error may repeat it.
MARK = "words-of-the-service-7f3a"
_MARKED = f'{{"message": "{MARK}", "detail": "{MARK}"}}'.encode()

#: What a service may say that is no answer to any question.
BROKEN: Mapping[str, Said] = {
    "a page": Said(f"<html>{MARK}</html>".encode(), content_type="text/html"),
    "nothing": Said(b""),
    "half of something": Said(b'{"scanned_hashes": {"AAAA'),
    "null": Said(b"null"),
    "a list": Said(b"[]"),
    "an empty table": Said(b"{}"),
    "true": Said(b"true"),
    "a number": Said(b"3000"),
    "no number": Said(b'{"MatchResults": NaN, "scanned_hashes": Infinity}'),
    "a key twice": Said(b'{"matches": [], "matches": []}'),
    "depth": Said(b"[" * 100_000),
    "digits": Said(b"[" + b"9" * 10_000 + b"]"),
    "no text": Said(b"\xff\xfe{}"),
    "too much": Said(b" " * (4 * 1024 * 1024 + 1)),
    "other tables": Said(_MARKED),
    "coded": Said(_MARKED, headers=_CODED),
    "cut within": Said(_MARKED, cut_after=9),
    "cut before": Said(cut_after=-1),
    "nowhere": Said(b"", 302, _ELSEWHERE),
    "moved": Said(_MARKED, 308, _ELSEWHERE),
    **{f"status {status}": Said(_MARKED, status) for status in (202, 400, 401, 403, 404, 413, 429, 500, 502, 503, 504)},
}


@dataclass(frozen=True, slots=True)
class Stand:
    """A service, the made-up fingerprints of one kind that it has something to say of, and what it must be.

    `secrets`: what we are known by, in every spelling in which it travels. `answers`: False for a dry run.
    """

    service: Service
    kind: str
    rulings: Mapping[bytes, Ruling] = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    answers: bool = True

    def questions(self, values: Sequence[bytes] | None = None) -> list[Question]:
        """A question for each value, or for each that it knows."""
        return [Question(self.kind, Sealed(value)) for value in (self.rulings if values is None else values)]

    def lots(self, platform: Platform) -> Iterator[list[bytes]]:
        """Its fingerprints in requests that the platform takes."""
        values, batch = list(self.rulings), platform.abilities.batch
        return (values[start : start + batch] for start in range(0, len(values), batch))


def check_platform(open_platform: OpenPlatform, stand: Stand) -> None:
    """Every law."""
    for check in (check_abilities, check_nothing, check_foreign, check_too_many, check_silence):
        check(open_platform, stand)
    if stand.answers:
        for check in (check_verdicts, check_order_and_repeats, check_broken, check_redirects):
            check(open_platform, stand)
    else:
        check_dry(open_platform, stand)


def check_abilities(open_platform: OpenPlatform, stand: Stand) -> None:
    """A platform says who it is, what it takes, what it allows and what it learns, and asks nobody for it."""
    with open_platform() as platform:
        said = platform.abilities
        _expect(bool(said.name and said.party), "a name and a party")
        _expect(stand.kind in said.kinds and len(set(said.kinds)) == len(said.kinds), "kinds, each once")
        _expect(said.batch >= 1, "a batch")
        _expect(said.requests_per_second >= 0 and said.requests_per_month >= 0, "limits")
        _expect(" " in said.learns and "\n" not in said.learns, "a sentence on what it learns")
        _expect(not said.by_people, "a service is no person")
    _expect(not stand.service.heard, "nobody is asked before something is asked")


def check_nothing(open_platform: OpenPlatform, stand: Stand) -> None:
    """No verdict for no question, and nothing is sent."""
    with open_platform() as platform:
        before = len(stand.service.heard)
        _expect(list(platform.judge([])) == [], "nothing for nothing")
        _expect(len(stand.service.heard) == before, "nothing is sent for nothing")


def check_foreign(open_platform: OpenPlatform, stand: Stand) -> None:
    """A kind that it does not take, and a width that no fingerprint of the kind has, are not sent and not judged."""
    value = next(iter(stand.rulings))
    foreign = [Question(_OF_NOBODY, Sealed(value)), *stand.questions([value[:-1], value + b"\0", b""])]
    with open_platform() as platform:
        before = len(stand.service.heard)
        for question in foreign:
            verdicts = _judged(platform, [question])
            _expect(verdicts is None or [item.ruling for item in verdicts] == [Ruling.UNREACHABLE], "not judged")
        _expect(len(stand.service.heard) == before, "nothing foreign is sent")


def check_too_many(open_platform: OpenPlatform, stand: Stand) -> None:
    """More questions than it takes at once are the caller's mistake: nothing of them is sent."""
    with open_platform() as platform:
        before = len(stand.service.heard)
        many = stand.questions([next(iter(stand.rulings))] * (platform.abilities.batch + 1))
        try:
            platform.judge(many)
        except ValueError:
            _expect(len(stand.service.heard) == before, "nothing of too many is sent")
            return
    raise AssertionError("platform contract: too many questions are refused")


def check_verdicts(open_platform: OpenPlatform, stand: Stand) -> None:
    """Ready; then for each fingerprint the ruling that the service gives; a match names what it met."""
    with open_platform() as platform:
        platform.ready()
        for lot in stand.lots(platform):
            verdicts = platform.judge(stand.questions(lot))
            _expect([item.ruling for item in verdicts] == [stand.rulings[value] for value in lot], "the rulings")
            _expect(all(item.ruling is not Ruling.REFUTED for item in verdicts), "no machine refutes")
            _expect(all(not item.match_ids for item in verdicts if item.ruling is Ruling.NO_MATCH), "nothing met")


def check_order_and_repeats(open_platform: OpenPlatform, stand: Stand) -> None:
    """A verdict for each question in its place, whatever the order and however often one comes."""
    with open_platform() as platform:
        lot = next(stand.lots(platform))
        for values in (lot[::-1], lot[:1] * platform.abilities.batch, (lot + lot)[: platform.abilities.batch]):
            verdicts = platform.judge(stand.questions(values))
            _expect([item.ruling for item in verdicts] == [stand.rulings[value] for value in values], "in its place")


def check_broken(open_platform: OpenPlatform, stand: Stand) -> None:
    """Whatever is said that is no answer: an error that repeats nothing of it, and afterwards it answers as before."""
    with open_platform() as platform:
        lot = next(stand.lots(platform))
        for what, said in BROKEN.items():
            error = _spoiled(platform, stand, lot, said)
            _expect(error is not None, f"{what} is an error")
            _expect(MARK not in f"{error!r} {error}", f"{what} is not repeated")
            _expect(error is None or error.service == platform.abilities.name, "the error names the platform")
        verdicts = platform.judge(stand.questions(lot))
        _expect([item.ruling for item in verdicts] == [stand.rulings[value] for value in lot], "well again")


def _spoiled(platform: Platform, stand: Stand, lot: Sequence[bytes], said: Said) -> ServiceError | None:
    stand.service.instead = lambda _: said
    try:
        platform.judge(stand.questions(lot))
    except ServiceError as error:
        return error
    finally:
        stand.service.instead = None
    return None


def check_redirects(open_platform: OpenPlatform, stand: Stand) -> None:
    """A redirect is followed nowhere: what it leads to is never asked."""
    with open_platform() as platform:
        before = len(stand.service.heard)
        target = (("Location", f"{stand.service.url}/elsewhere"),)
        error = _spoiled(platform, stand, next(stand.lots(platform)), Said(b"", 307, target))
        _expect(error is not None and error.code == "redirected", "a redirect is an error")
        _expect(not any(heard.path == "/elsewhere" for heard in stand.service.heard[before:]), "it is not followed")


def check_silence(open_platform: OpenPlatform, stand: Stand) -> None:
    """Neither a fingerprint nor a secret stands in what is shown; a secret stands in no address."""
    with open_platform() as platform:
        shown = [repr(platform), repr(platform.abilities), *(repr(question) for question in stand.questions())]
        for lot in stand.lots(platform):
            shown.append(repr(_judged(platform, stand.questions(lot))))
            error = _spoiled(platform, stand, lot, Said(_MARKED, 400))
            shown.append(f"{error!r} {error}")
        hidden = [*stand.secrets, *(text for value in stand.rulings for text in _spelt(value))]
        _expect(not [text for text in hidden if any(text in line for line in shown)], "nothing of it is shown")
    asked = [f"{heard.path} {heard.query}" for heard in stand.service.heard]
    _expect(
        not [secret for secret in stand.secrets if any(secret in line for line in asked)], "no secret in an address"
    )


def check_dry(open_platform: OpenPlatform, stand: Stand) -> None:
    """A dry run asks nobody, and answers nothing that could be taken for a verdict."""
    with open_platform() as platform:
        platform.ready()
        for lot in stand.lots(platform):
            _expect(_judged(platform, stand.questions(lot)) is None, "no verdict")
    _expect(not stand.service.heard, "nobody is asked")


def leaves_only_fingerprints(heard: Sequence[Heard], values: Sequence[bytes], words: Sequence[str]) -> None:
    """Raises AssertionError if a request holds more than fingerprints in hex or base64, and words of the protocol."""
    for request in heard:
        rest = request.body.decode("ascii") + " ".join(f"{key} {value}" for key, value in request.query)
        for text in sorted([*(text for value in values for text in _spelt(value)), *words], key=len, reverse=True):
            rest = rest.replace(text, "")
        _expect(not rest.strip(' \n{}[]:,"'), "nothing but fingerprints leaves")


def _judged(platform: Platform, questions: Sequence[Question]) -> Sequence[Verdict] | None:
    try:
        return platform.judge(questions)
    except ServiceError:
        return None


def _spelt(value: bytes) -> tuple[str, ...]:
    return (value.hex(), value.hex().upper(), b64encode(value).decode("ascii"), repr(value)) if value else ()


def _expect(held: bool, what: str) -> None:  # noqa: FBT001 - what was observed
    if not held:
        raise AssertionError(f"platform contract: {what}")
