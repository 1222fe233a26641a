"""What every `ports.Authority` must do, as functions that an authority's tests call.

In it: the laws of telling, over a service that the caller has set up and can spoil. Not in it: the service, any body's
spelling, any test runner.
Rules: a breach raises AssertionError; addresses are made up and lead nowhere; whatever a spoiled service says, no
receipt comes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

from vetset.errors import ServiceError, Stop
from vetset.ports import Authority
from vetset.records import Letter, Receipt, Sealed
from vetset.testing.serving import Fault, Reply, Served

#: Stands in every spoiled body: no error may repeat it.
MARK = "words-of-the-service-7f3a"
#: What a service may say that is no answer at all.
BROKEN: Mapping[str, Reply] = {
    "nothing": Reply(200, b""),
    "a page": Reply(200, f"<html><body>{MARK}</body></html>".encode()),
    "half of something": Reply(200, b"<reportResponse><responseCode>0</resp"),
    "no code": Reply(200, f"<reportResponse><reportId>{MARK}</reportId></reportResponse>".encode()),
    "words for a code": Reply(200, f"<reportResponse><responseCode>{MARK}</responseCode></reportResponse>".encode()),
    "a document type": Reply(
        200, b"<!DOCTYPE r [<!ENTITY e '0'>]><reportResponse><responseCode>&e;</responseCode></reportResponse>"
    ),
    "too much": Reply(200, b"<reportResponse>" + b" " * (1024 * 1024 + 1)),
    "json": Reply(200, b'{"responseCode": 0}'),
    "another code": Reply(
        202, f"<reportResponse><responseCode>3000</responseCode><d>{MARK}</d></reportResponse>".encode()
    ),
    "elsewhere": Reply(302, b"", {"Location": "http://127.0.0.1:9/"}),
    "empty 401": Reply(401),
    "server error": Reply(500, MARK.encode()),
}


@dataclass(frozen=True, slots=True)
class Bench:
    """An authority and the service behind it. `finished`: the addresses of each finished report; `secret`: ours.

    `forgets` makes the service forget reports that are open; `refused`: letters that must not be sent.
    """

    authority: Authority
    served: Served
    finished: Callable[[], Sequence[Sequence[str]]]
    forgets: Callable[[], None]
    secret: str
    refused: Sequence[Letter] = ()


OpenBench = Callable[[], AbstractContextManager[Bench]]


def letter(picture: str, *urls: str) -> Letter:
    """A letter about a picture that does not exist."""
    found_at = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
    sealed = tuple(Sealed(url.encode()) for url in urls or (f"https://made-up.example/{picture}",))
    return Letter(picture, sealed, found_at, "Two bodies say that it is known.", ("id-1",))


def check_all(open_bench: OpenBench) -> None:
    """Every law."""
    for law in (
        check_ready,
        check_open_is_not_finished,
        check_finishing,
        check_forgotten,
        check_retracting,
        check_lost_answers,
        check_broken_answers,
        check_refused_letters,
        check_silence,
    ):
        with open_bench() as bench:
            law(bench)


def check_ready(bench: Bench) -> None:
    """A service that knows us is ready; one that does not, or says nothing, is a Stop with a hint."""
    bench.authority.ready()
    for spoiled in (Reply(401), Reply(500), Fault.UNHEARD):
        bench.served.faults.append(spoiled)
        stop = _stopped(bench.authority.ready)
        _must(bool(stop.hint), "a Stop without a hint")


def check_open_is_not_finished(bench: Bench) -> None:
    """An open report has an id of its own, and tells nobody anything yet."""
    ids = [bench.authority.open(letter("a")), bench.authority.open(letter("a"))]
    _must(len(set(ids)) == len(ids), "two reports of one id")
    _must(not bench.finished(), "an open report counts as finished")


def check_finishing(bench: Bench) -> None:
    """A finished report has all its addresses, and a second finish is a receipt, of the same one report."""
    name = bench.authority.open(letter("a", "https://made-up.example/1", "https://made-up.example/2"))
    for _ in range(3):
        receipt = bench.authority.finish(name)
        _must(receipt.report_id == name, "a receipt for another report")
        _must(receipt.finished_at.tzinfo is not None, "a time without a zone")
    _must(
        [list(urls) for urls in bench.finished()] == [["https://made-up.example/1", "https://made-up.example/2"]],
        "other than one report with its addresses",
    )


def check_forgotten(bench: Bench) -> None:
    """A report that the service forgot, or never had, is gone."""
    name = bench.authority.open(letter("a"))
    bench.forgets()
    for gone in (name, "99999999"):
        error = _failed(lambda gone=gone: bench.authority.finish(gone))  # type: ignore[misc]
        _must(error.code == "gone", "a forgotten report is not gone")
    _must(not bench.finished(), "a forgotten report is finished")


def check_retracting(bench: Bench) -> None:
    """What was retracted cannot be finished; what was finished cannot be retracted."""
    name = bench.authority.open(letter("a"))
    bench.authority.retract(name)
    bench.authority.retract(name)
    _must(_failed(lambda: bench.authority.finish(name)).code == "gone", "a retracted report is not gone")
    done = bench.authority.open(letter("b"))
    bench.authority.finish(done)
    _failed(lambda: bench.authority.retract(done))
    _must(len(bench.finished()) == 1, "retracting changed what was finished")


def check_lost_answers(bench: Bench) -> None:
    """Where an answer is lost the call fails and may be made again; one report is finished in the end."""
    for fault in (Fault.LOST, Fault.CUT, Fault.UNHEARD, Reply(503)):
        bench.served.faults.append(fault)
        _must(_failed(lambda: bench.authority.open(letter("a"))).may_pass, "a lost answer may pass")
    name = bench.authority.open(letter("a"))
    for fault in (Fault.LOST, Fault.CUT, Fault.UNHEARD):
        bench.served.faults.append(fault)
        _must(_failed(lambda: bench.authority.finish(name)).may_pass, "a lost answer may pass")
    bench.served.faults.append(Fault.TWICE)
    bench.authority.finish(name)
    _must(len(bench.finished()) == 1, "other than one finished report")


def check_broken_answers(bench: Bench) -> None:
    """A broken answer is an error, without a word of what it said."""
    name = bench.authority.open(letter("a"))
    for how, reply in BROKEN.items():
        for call in (
            lambda: bench.authority.open(letter("b")),
            lambda: bench.authority.finish(name),
            lambda: bench.authority.retract(name),
        ):
            bench.served.faults.append(reply)
            error = _failed(call)
            said = f"{error} {error.code} {error!r} {error.__cause__!r}"
            _must(MARK not in said, f"{how}: the service's words are repeated")
            _must(error.code != "gone", f"{how}: taken for gone")
    _must(isinstance(bench.authority.finish(name), Receipt), "a broken answer left its mark")


def check_refused_letters(bench: Bench) -> None:
    """A letter that the service would refuse is stopped before anything is sent, and nothing of it is repeated."""
    for refused in bench.refused:
        before = len(bench.served.asked)
        stop = _stopped(lambda refused=refused: bench.authority.open(refused))  # type: ignore[misc]
        _must(len(bench.served.asked) == before, "a refused letter was sent")
        said = stop.message + stop.hint
        _must(
            all(url.unseal().decode("utf-8", "replace") not in said or not url.unseal() for url in refused.urls),
            "an address is told",
        )


def check_silence(bench: Bench) -> None:
    """Addresses go in bodies and credentials in headers; no file is ever sent."""
    name = bench.authority.open(letter("a"))
    bench.authority.finish(name)
    _must(bench.secret not in repr(bench.authority), "the credential is shown")
    for asked in bench.served.asked:
        _must(bench.secret not in asked.path + repr(dict(asked.query)), "the credential stands in a URL")
        _must("made-up.example" not in asked.path + repr(dict(asked.query)), "an address stands in a URL")
        _must("multipart" not in asked.headers.get("content-type", ""), "a file was sent")


def _failed(call: Callable[[], object]) -> ServiceError:
    try:
        call()
    except ServiceError as error:
        return error
    raise AssertionError("no ServiceError")


def _stopped(call: Callable[[], object]) -> Stop:
    try:
        call()
    except Stop as stop:
        return stop
    raise AssertionError("no Stop")


def _must(holds: bool, breach: str) -> None:  # noqa: FBT001 - a condition is what it takes
    if not holds:
        raise AssertionError(breach)
