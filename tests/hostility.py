"""The hostile web asked: what the tests, the campaign and nobody else share."""

from __future__ import annotations

import resource
import ssl
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.webs import HASTY, fetcher, requests
from vetset.records import Answer
from vetset.testing.certificates import authority
from vetset.testing.hostile_web import BEHAVIOURS, Behaviour, Contexts, hostile_web
from vetset.testing.names import name_server
from vetset.testing.network import NAME_SERVER

TIMEOUT_SECONDS = 8
#: A server in Python with twenty floods at once leaves some of them without a word for a second.
PATIENCE = replace(HASTY, speed_seconds=3)
MOST_BYTES = 1_000_000
MOST_HEADER_BYTES = 20_000


@dataclass(frozen=True)
class Round:
    """What became of every behaviour, asked all at once."""

    answers: Sequence[Answer]
    seconds: float
    grown_bytes: int


def contexts(folder: Path) -> Contexts:
    """TLS for each behaviour; the authority's file is the folder's `authority.pem`."""
    own = authority(folder)
    made = {
        "sound": own.server("*.hostile.test"),
        "expired": own.server("*.hostile.test", expired=True),
        "other": own.server("other.example"),
        "self": own.server("*.hostile.test", self_signed=True),
    }

    def context(behaviour: Behaviour) -> ssl.SSLContext | None:
        return made.get(behaviour.certificate)

    return context


def rounds(folder: Path, count: int) -> Iterable[Round]:
    """Asks each behaviour once in every round, by a fetcher of its own for each."""
    with _served_elsewhere(folder):
        for _ in range(count):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            started = time.monotonic()
            with fetcher(
                patience=PATIENCE,
                timeout_seconds=TIMEOUT_SECONDS,
                max_bytes=MOST_BYTES,
                max_header_bytes=MOST_HEADER_BYTES,
                certificates_file=str(folder / "authority.pem"),
                max_redirects=3,
            ) as asking:
                answers = list(asking.fetch(requests(behaviour.url for behaviour in BEHAVIOURS)))
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
            yield Round(answers, time.monotonic() - started, grown)


@contextmanager
def _served_elsewhere(folder: Path) -> Iterator[None]:
    """The servers in a process of their own: their floods must not keep the fetcher from its work."""
    words = [sys.executable, "-m", "tests.hostility", str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as served:
        assert served.stdin is not None
        assert served.stdout is not None
        assert served.stdout.readline() == b"ready\n"
        yield
        served.stdin.close()


def serve(folder: Path) -> None:
    behaving = contexts(folder)
    with hostile_web(behaving) as served, name_server(NAME_SERVER, served.place_of):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()


def faults(done: Round) -> list[str]:
    """What was not as it must be, in words."""
    found = []
    numbers = sorted(answer.number for answer in done.answers)
    if numbers != list(range(len(BEHAVIOURS))):
        found.append(f"answers for {numbers}")
    for answer in done.answers:
        behaviour = BEHAVIOURS[answer.number]
        if answer.outcome is not behaviour.outcome:
            found.append(f"{behaviour.name}: {answer.outcome}, not {behaviour.outcome}")
        if answer.seconds > TIMEOUT_SECONDS + 1:
            found.append(f"{behaviour.name}: took {answer.seconds:.1f} s")
        if answer.received_bytes > MOST_BYTES + 256 * 1024:
            found.append(f"{behaviour.name}: took {answer.received_bytes} bytes")
    return found


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
