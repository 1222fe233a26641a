"""Links that lead, or seem to lead, to addresses that are not public: none may ever be connected to.

    python -m tests.campaign_addresses [--cases 100000] [--seed 1]

Every special block, wrapping, spelling and way (a link, a redirect, a name, a name with two answers, one that changes),
then more of them by chance, fetched in a network of its own under strace. Judged by the addresses that connect() was
called with, whatever the fetcher says; and each case must come to the right outcome.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pycurl

from tests import addresses, networks
from tests.webs import JPEG, PLACE, fetcher, requests
from vetset.testing.names import name_server
from vetset.testing.network import NAME_SERVER, NETWORK, NETWORK_6
from vetset.testing.web import Page, Seen, web

AT_ONCE = 5000
OURS = (ip_network(NETWORK), ip_network(NETWORK_6))


@dataclass
class Found:
    """What a campaign came to."""

    cases: int
    outcomes: dict[str, dict[str, int]]  # by way
    wrong: list[str]
    to_loopback: int
    connects: Counter[str]  # by address, as strace saw them

    @property
    def foreign(self) -> list[str]:
        """Addresses beyond the test's own that something connected to."""
        return [place for place in self.connects if not any(ip_address(place) in net for net in OURS)]


def inside(chosen: list[addresses.Case], robots: bool) -> dict[str, Any]:
    """The cases fetched here; counts as JSON."""
    outcomes: dict[str, Counter[str]] = {way: Counter() for way in addresses.WAYS}
    wrong = []

    def names(name: str, asked: int) -> tuple[str, ...]:
        found = re.fullmatch(r"c(\d+)\.case\.test", name)
        return tuple(chosen[int(found[1])].answers(asked, PLACE)) if found else (PLACE,)

    def pages(seen: Seen) -> Page:
        if seen.host == "sound.test" and seen.path[1:].isdigit():
            return Page(b"", 302, (("Location", chosen[int(seen.path[1:])].location.encode().decode("latin-1")),))
        return Page(JPEG, close=True)

    traps = [("127.0.0.1", 80), ("::1", 80), ("127.0.0.1", 443), ("::1", 443)]
    with (
        name_server(NAME_SERVER, names),
        web(pages, [(PLACE, 80), (PLACE, 443)]),
        web(pages, traps) as trap,
        fetcher(robots=robots, timeout_seconds=20) as asking,
    ):
        for lane in asking._lanes.values():
            lane.curl.setopt(pycurl.DNS_CACHE_TIMEOUT, 0)  # so that a resolver can change its mind at every request
        for start in range(0, len(chosen), AT_ONCE):
            some = chosen[start : start + AT_ONCE]
            for answer in asking.fetch(requests(case.url for case in some)):
                case = some[answer.number]
                outcomes[case.way][answer.outcome.value] += 1
                if answer.outcome.value not in case.wanted:
                    wrong.append(f"{case}: {answer.outcome.value}")
        return {"outcomes": outcomes, "wrong": wrong[:50], "to_loopback": len(trap.seen)}


def campaign(chosen: list[addresses.Case], folder: Path, *, seed: int, robots: bool) -> Found:
    """Runs `inside` in its own network under strace. `chosen` are numbered from 0."""
    folder.mkdir(parents=True, exist_ok=True)
    cases, report, trace = folder / "cases.json", folder / "report.json", folder / "trace"
    rows = [[number, case.way, case.address, case.spelling] for number, case in enumerate(chosen)]
    cases.write_text(json.dumps({"cases": rows, "robots": robots}))
    strace = ["strace", "-f", "-qq", "-yy", "--seccomp-bpf", "-e", "trace=connect", "-o", str(trace), "--"]
    words = [*strace, sys.executable, "-m", "tests.campaign_addresses", "--inside", str(cases), str(report)]
    done = networks.run_inside(words, folder / "network", timeout_seconds=3600)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    told = json.loads(report.read_text())
    return Found(len(chosen), told["outcomes"], told["wrong"], told["to_loopback"], connects_in(trace))


_CONNECT = re.compile(r'connect\(\d+<(TCP|TCPv6|MPTCP)[^>]*>, \{sa_family=AF_INET6?, .*?"([0-9a-f.:]+)"')


def connects_in(trace: Path) -> Counter[str]:
    """How often each address was connected to over TCP. (The resolver also `connects` UDP sockets to sort addresses.)"""
    found: Counter[str] = Counter()
    with trace.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            match = _CONNECT.search(line)
            if match:
                found[match[2]] += 1
    return found


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cases", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.inside:
        told = json.loads(Path(asked.inside[0]).read_text())
        chosen = [addresses.Case(*row) for row in told["cases"]]
        Path(asked.inside[1]).write_text(json.dumps(inside(chosen, told["robots"])))
        return 0
    started = time.monotonic()
    os.environ["CI"] = os.environ.get("CI", "campaign")  # what is missing is no reason to skip
    with tempfile.TemporaryDirectory() as folder:
        chosen = list(addresses.cases(asked.cases, asked.seed))
        half = len(chosen) // 2
        both = [
            campaign(part, Path(folder) / str(number), seed=asked.seed, robots=bool(number))
            for number, part in enumerate((chosen[:half], chosen[half:]))
        ]
    return tell(both, time.monotonic() - started)


def tell(both: list[Found], seconds: float) -> int:
    lines = ["| way | cases | outcomes |", "|---|--:|---|"]
    for way in addresses.WAYS:
        counts = sum((Counter(found.outcomes[way]) for found in both), Counter())
        told = ", ".join(f"{name} {number:,}" for name, number in counts.items())
        lines.append(f"| {way} | {counts.total():,} | {told} |")
    foreign = [place for found in both for place in found.foreign]
    wrong = [line for found in both for line in found.wrong]
    total = (
        f"{sum(found.cases for found in both):,} cases, {sum(found.connects.total() for found in both):,} connects, "
        f"{len(foreign)} to an address that is not public, {sum(found.to_loopback for found in both)} served on loopback, "
        f"{len(wrong)} wrong outcomes; {seconds:.0f} s"
    )
    lines += ["", total]
    sys.stdout.write("\n".join([*lines, *foreign, *wrong]) + "\n")
    return 1 if foreign or wrong or any(found.to_loopback for found in both) else 0


if __name__ == "__main__":
    sys.exit(main())
