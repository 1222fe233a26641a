"""A web made on the spot: addresses of pictures on several hosts, and what must become of each of them.

In it: `MiniWeb`, made from pictures, shares and a seed. Not in it: sockets (`web`), lists.
Rules: the same arguments make the same web; what must become of an address is said here without the fetcher's code.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from vetset.records import FetchOutcome
from vetset.testing.web import NOT_FOUND, Page, Seen

#: Hosts whose names begin so are special; every other host is sound.
FORBIDDING, OPTING_OUT, UNKNOWN = "forbidding", "optingout", "unknown"
_FORBIDS = Page(b"User-agent: *\nDisallow: /pictures/\n", 200, (("Content-Type", "text/plain"),))
_TAG = (("X-Robots-Tag", "noai"),)


@dataclass(frozen=True, slots=True, repr=False)
class Link:
    """One address, what it leads to (the number of a picture, -1: nothing), and what must become of it."""

    url: str
    picture: int
    outcome: FetchOutcome


@dataclass(slots=True, repr=False)
class MiniWeb:
    """Addresses and pages. `place_of` is for a name server, `page_of` for a `web.Web`."""

    places: Sequence[str]  # network addresses that the hosts are spread over
    links: list[Link] = field(default_factory=list)
    pages: dict[tuple[str, str], Page] = field(default_factory=dict)

    @property
    def hosts(self) -> list[str]:
        return sorted({urlsplit(link.url).hostname or "" for link in self.links})

    def place_of(self, name: str, _asked: int = 0) -> Sequence[str]:
        """Where a host is; nowhere if it is unknown."""
        if name.startswith(UNKNOWN) or not name.endswith(".pictures.test"):
            return ()
        return [self.places[sum(name.encode()) % len(self.places)]]

    def page_of(self, seen: Seen) -> Page:
        """What a request is answered with."""
        return self.pages.get((seen.host.partition(":")[0], seen.path), NOT_FOUND)

    def outcomes(self) -> Mapping[FetchOutcome, int]:
        """How many addresses must come to what."""
        found = [link.outcome for link in self.links]
        return {outcome: found.count(outcome) for outcome in set(found)}


def mini_web(
    bodies: Sequence[bytes],
    places: Sequence[str],
    *,
    links: int,
    hosts: int = 16,
    dead_share: float = 0.3,
    slow_share: float = 0.03,
    moved_share: float = 0.05,
    seed: int = 1,
) -> MiniWeb:
    """Links to the bodies, each body on several hosts; of the dead ones a third each is gone, unknown or an error page.

    Two hosts more forbid or opt out, and get one link in fifty each.
    """
    made, chance = MiniWeb(places), random.Random(seed)  # noqa: S311 - a made-up web
    names = [f"host{number}.pictures.test" for number in range(hosts)]
    for number in range(links):
        picture = number % len(bodies)
        _link(
            made, chance, (dead_share, slow_share, moved_share), chance.choice(names), number, picture, bodies[picture]
        )
    made.pages[f"{FORBIDDING}.pictures.test", "/robots.txt"] = _FORBIDS
    return made


def _link(
    made: MiniWeb,
    chance: random.Random,
    shares: tuple[float, float, float],
    host: str,
    number: int,
    picture: int,
    body: bytes,
) -> None:
    path, special = f"/pictures/{number}.jpg", chance.random()
    if special < 0.02:  # noqa: PLR2004
        host = f"{FORBIDDING}.pictures.test"
        return _put(made, host, path, Page(body), picture, FetchOutcome.ROBOTS)
    if special < 0.04:  # noqa: PLR2004
        return _put(made, f"{OPTING_OUT}.pictures.test", path, Page(body, 200, _TAG), picture, FetchOutcome.OPTED_OUT)
    dead, slow, moved = shares
    if chance.random() < dead:
        return _put_dead(made, chance, host, path)
    if chance.random() < slow:
        return _put(made, host, path, Page(body, delay_seconds=0.5), picture, FetchOutcome.FETCHED)
    if chance.random() < moved:
        made.pages[host, f"/moved{path}"] = Page(body)
        return _put(made, host, path, Page(b"", 301, (("Location", f"/moved{path}"),)), picture, FetchOutcome.FETCHED)
    return _put(made, host, path, Page(body), picture, FetchOutcome.FETCHED)


def _put_dead(made: MiniWeb, chance: random.Random, host: str, path: str) -> None:
    kind = chance.randrange(3)
    if kind == 0:
        _put(made, host, path, NOT_FOUND, -1, FetchOutcome.GONE)
    elif kind == 1:
        _put(made, f"{UNKNOWN}{chance.randrange(8)}.pictures.test", path, NOT_FOUND, -1, FetchOutcome.DNS)
    else:
        _put(made, host, path, Page(b"<html>this picture was removed</html>"), -1, FetchOutcome.NOT_AN_IMAGE)


def _put(made: MiniWeb, host: str, path: str, page: Page, picture: int, outcome: FetchOutcome) -> None:
    made.links.append(Link(f"http://{host}{path}", picture, outcome))
    made.pages[host, path] = page
