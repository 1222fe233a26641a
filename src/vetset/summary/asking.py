"""The sentences about what was asked of the web: how many addresses, what came back, what was left out and why.

In it: sentences of runs that fetched, and the words for outcomes of fetch. Not in it: everything else that is said
(`wording`), exact counts.
Rules: an address that gave nothing is not assessed, whatever the reason; what was served is dated and is nobody's but
that of whoever controlled the name then (threats P1, P3); the dead and the living are never one number (threats 5.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Published = Mapping[str, Any]

#: Why an address gave nothing to compare, so that a number may stand before it.
NOT_FETCHED = {
    "gone": "gone",
    "refused": "refused by the server or its host",
    "robots": "left alone because robots.txt asks for it",
    "opted_out": "left alone because the answer asks for it",
    "dns": "on hosts without an address",
    "tls_invalid": "on hosts whose certificate does not hold",
    "timeout": "not answered in time",
    "too_large": "larger than the cap",
    "too_slow": "served too slowly",
    "blocked_address": "on hosts without a public address",
    "redirect_limit": "redirected too often",
    "server_error": "answered by an error of the server",
    "not_an_image": "no picture",
    "internal_error": "lost by a fault of vetset",
}
FETCH_OUTCOMES = {"fetched": "gave a body, which was looked into", **NOT_FETCHED}
TROUBLES = ("timeout", "server_error", "internal_error")


def of(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun: "1 address", "1,204 addresses"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def addresses(count: int) -> str:
    return of(count, "address", "addresses")


def troubled(fetched: Published | None) -> int:
    """Addresses whose answer was trouble of the moment, and so no fact about the data."""
    return sum(fetched["outcomes"].get(name, 0) for name in TROUBLES) if fetched else 0


def asked(published: Published) -> Iterator[str]:
    """What was asked about, and what was not."""
    fetched = published["fetch"]
    if fetched is None:
        return
    reached = fetched["candidates"] - fetched["unasked"]
    yield (
        f"Of {of(fetched['candidates'], 'row')} with an address of the web that the policy does not take, {reached:,} "
        "were asked about, share an address or a recorded digest with one that was, or needed no asking."
    )
    yield from _left_out(fetched)
    gave = fetched["outcomes"]["fetched"]
    yield f"Of {addresses(fetched['asked'])} asked, {gave:,} gave something to look into."
    yield from _gave_nothing(fetched)
    yield from _drawn(fetched)


def _left_out(fetched: Published) -> Iterator[str]:
    if fetched["unasked"]:
        was = "was" if fetched["unasked"] == 1 else "were"
        yield (
            f"{of(fetched['unasked'], 'row')} {was} not asked about, because the budget or the rounds did not reach "
            "so far: not assessed by their picture, and that is not the same as no match."
        )
    if fetched["failed_groups"]:
        yield (
            f"{of(fetched['failed_groups'], 'group')} of hosts could not be done; what was asked of them is not in "
            "these figures."
        )


def _gave_nothing(fetched: Published) -> Iterator[str]:
    outcomes = fetched["outcomes"]
    reasons = [f"{words} ({outcomes[name]:,})" for name, words in NOT_FETCHED.items() if outcomes[name]]
    if reasons:
        nothing = fetched["asked"] - outcomes["fetched"]
        yield (
            f"{addresses(nothing)} gave nothing to compare: {'; '.join(reasons)}. What once stood there was not "
            "assessed by its picture; addresses are often gone because something bad was taken down."
        )


def _drawn(fetched: Published) -> Iterator[str]:
    drawn: Sequence[Published] = [item for item in fetched["strata"] if item["chosen"] == "drawn"]
    count = sum(item["asked"] for item in drawn)
    if count:
        yield (
            f"{addresses(count)} of those asked were drawn at random from {of(len(drawn), 'stratum', 'strata')} by "
            f"the seed {fetched['seed']}; the others were chosen because they rank high, and are no sample of anything."
        )


def limits(published: Published) -> Iterator[str]:
    """What the figures of a run that fetched are limits of."""
    yield (
        "Nothing was sent to any platform. What was fetched was opened in memory, in a sandbox; none of it was shown "
        "or stored."
    )
    yield (
        "A picture is what whoever controlled its host served to this audit at that time; the same address may serve "
        "something else to others, or later, and may have served something else when the dataset was made."
    )
    yield (
        "The count of matches is a lower limit for what the dataset points to: addresses that gave nothing, rows not "
        "asked about, copies altered beyond the radius and pictures that no list holds are not found."
    )
    yield (
        "'Clear' means that no list named here holds a value of the row, or a fingerprint near to the picture that its "
        "address served, as far as they could be compared, and no more than that."
    )
    if published["fetch"]["legal_basis"]:
        yield f"Fetched under: {published['fetch']['legal_basis']}."


def when(published: Published) -> str:
    """The dates of the answers; they belong to the timings, since two equal runs differ in them."""
    timing = published["timing"]
    if not timing.get("fetched_from"):
        return ""
    first, last = (timing[name].replace("T", " ").replace("+00:00", " UTC") for name in ("fetched_from", "fetched_to"))
    return f" Addresses were asked from {first} to {last}."
