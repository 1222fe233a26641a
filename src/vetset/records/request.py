"""What is asked of the web and what comes back: requests, answers, outcomes of fetch.

In it: frozen data and a closed enum. Not in it: sockets, policies, clocks.
Rules: an address and a body are sealed; every request gets exactly one answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vetset.records.value import Sealed


class FetchOutcome(StrEnum):
    """What becomes of a request; the first that applies."""

    FETCHED = "fetched"
    GONE = "gone"  # the server says that it is not there
    REFUSED = "refused"  # the server, or its whole host, will not answer us
    ROBOTS = "robots"  # robots.txt asks us not to (RFC 9309)
    OPTED_OUT = "opted_out"  # the answer's headers ask not to be used (X-Robots-Tag: noai and others)
    DNS = "dns"
    TLS_INVALID = "tls_invalid"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    BLOCKED_ADDRESS = "blocked_address"  # no address that may be connected to: not public, or not a web address
    REDIRECT_LIMIT = "redirect_limit"
    SERVER_ERROR = "server_error"
    NOT_AN_IMAGE = "not_an_image"
    INTERNAL_ERROR = "internal_error"


#: Outcomes that are trouble of the moment and not facts about the data: they make a run incomplete.
FETCH_TROUBLES = frozenset({FetchOutcome.TIMEOUT, FetchOutcome.SERVER_ERROR, FetchOutcome.INTERNAL_ERROR})


class Asking(StrEnum):
    """What becomes of a row that bears a usable address and meets no policy, when fetch is planned; the first."""

    ASKED = "asked"  # its address is asked
    NEEDLESS = "needless"  # its columns were hit, or it shares a value with a hit
    SHARED = "shared"  # it records the digest of a picture that was fetched elsewhere, and found unchanged
    UNASKED = "unasked"  # the budget or the rounds did not reach it


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Request:
    """One address to fetch. `number` is the asker's own and comes back with the answer."""

    number: int
    url: Sealed[str]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Answer:
    """What became of a request. `body` is there only where it was fetched."""

    number: int
    outcome: FetchOutcome
    at_seconds: float  # when it ended, seconds since 1970
    seconds: float = 0.0  # from its first connection to its end
    status: int = 0  # the last HTTP status; 0: none came
    hops: int = 0  # redirects followed
    received_bytes: int = 0
    body: Sealed[bytes] | None = None
