"""Audits of a generated web over real sockets, killed at random moments and resumed; and one under strace.

    python -m tests.campaign_web [--pictures 20000] [--kills 10] [--seed 1] [--traced 400] [--benign FOLDER]

In a network of its own: some hosts by name, 30 % of the links dead, 3 % slow, hosts that forbid and that opt out,
planted pictures with mirrors on other hosts. The removed rows must be the slow oracle's, every address must come to what
the web says, no host may be asked more often than the settings allow, and what was killed must end with the same books
and ask nothing again whose outcome was committed. Under strace no write may hold a byte of a picture.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from tests import networks, picture_oracle
from tests.driving import Place
from tests.fetching import Row, Site, md5, wanted
from tests.test_audit_fetch import committed, urls_of
from vetset.records import FetchOutcome
from vetset.testing.memory_web import Page as MemoryPage
from vetset.testing.mini_web import MiniWeb, mini_web
from vetset.testing.names import name_server
from vetset.testing.network import NAME_SERVER
from vetset.testing.pictures import jpeg, picture
from vetset.testing.web import Seen, Web, web

VETSET = Path(sys.executable).with_name("vetset")
PLACES = [f"11.0.{number}.1" for number in range(8)]
CANARY = b"c4n4ry-of-a-picture-"
SIDE_PIXELS = 192
INTERVAL_MILLISECONDS = 20
SHARDS, HOSTS = 6, 48
#: How much sooner requests may come in than they were sent: what the system takes to hand them on.
SLACK_SECONDS = 0.25
WINDOW_REQUESTS = 25
_LOOK_SECONDS = 0.01
SETTINGS = f"""
[agreement]
legal_basis = "a synthetic test"
contact = "audit@vetset.example"
[fetch]
milliseconds_between_requests = {INTERVAL_MILLISECONDS}
timeout_seconds = 60
[run]
part_seconds = 1
"""


# --- pictures, links, rows --------------------------------------------------------------------------------------------


def bases(folder: Path | None, seed: int) -> list[bytes]:
    """Small JPEGs of the pictures in a folder, or synthetic ones."""
    if folder is None:
        return [jpeg(picture(seed * 1000 + number, width=128, height=128)) for number in range(60)]
    made = []
    for path in sorted(folder.rglob("*.jpg")):
        with Image.open(path) as opened:
            small = opened.convert("RGB")
            small.thumbnail((SIDE_PIXELS, SIDE_PIXELS))
        out = io.BytesIO()
        small.save(out, "JPEG", quality=80)
        made.append(out.getvalue())
    return made


def marked(body: bytes, number: int) -> bytes:
    """The same picture as other bytes: a comment with a canary behind the first marker (ISO 10918-1, B.2.4.5)."""
    comment = CANARY + str(number).encode()
    return body[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + body[2:]


@dataclass
class Bodies(Sequence[bytes]):
    """Pictures that differ in every digest, and look like their bases."""

    bases: list[bytes]
    pictures: int

    def __len__(self) -> int:
        return self.pictures

    def __getitem__(self, number: int) -> bytes:  # type: ignore[override]
        return marked(self.bases[number % len(self.bases)], number)


def site_of(place: Place, mini: MiniWeb, bodies: Bodies, chance: random.Random) -> Site:
    """A dataset of the links, some of them in several rows, with recorded digests that are right, stale or missing."""
    pages: dict[str, tuple[MemoryPage, ...]] = {}
    table: dict[str, list[Row]] = {f"part-{number}.parquet": [] for number in range(SHARDS)}
    for link in mini.links:
        body = bodies[link.picture] if link.picture >= 0 else b""
        alive = link.outcome is FetchOutcome.FETCHED
        pages[link.url] = (MemoryPage(body) if alive else MemoryPage(outcome=link.outcome, status=404),)
        recorded = chance.choice([md5(body), md5(body), md5(f"stale {link.url}".encode()), None]) if body else None
        for _ in range(1 + (chance.random() < 0.05)):
            row = {"url": link.url, "md5": recorded, "punsafe": round(chance.random(), 3)}
            chance.choice(list(table.values())).append(row)
    site = Site(place, table, pages)
    pictures = [link.picture for link in mini.links if link.picture >= 0]
    planted = chance.sample(pictures, min(60, len(pictures) // 4))
    site.listed_md5 = {md5(bodies[number]) for number in planted}
    sound = [base for base in bodies.bases if picture_oracle.prints_of(base)[1] >= picture_oracle.QUALITY_FLOOR]
    site.listed_pdq = {picture_oracle.prints_of(base)[0][0] for base in chance.sample(sound, 4)}
    site.write()
    return site


def with_shared_oracle(site: Site, bodies: Bodies) -> dict[tuple[str, int], str]:
    """The oracle's rows. Bodies of one base have the same pixels, so the base stands for them before Pillow."""
    keys = frozenset(site.listed_pdq)
    by_base = [frozenset(picture_oracle.near(base, set(keys))) for base in bodies.bases]
    from tests import fetching

    number_of = re.compile(re.escape(CANARY) + rb"(\d+)")

    def near(body: bytes, _listed: frozenset[bytes]) -> frozenset[bytes]:
        found = number_of.search(body)
        return by_base[int(found[1]) % len(bodies.bases)] if found else frozenset()

    whole, fetching.near = fetching.near, near  # type: ignore[assignment]
    try:
        return {at: what for at, what in wanted(site).items() if what != "held"}
    finally:
        fetching.near = whole


# --- runs -------------------------------------------------------------------------------------------------------------


@dataclass
class Watched:
    """What one audit asked, session by session: a kill ends a session."""

    sessions: list[list[Seen]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    kept_at_kills: list[int] = field(default_factory=list)

    def asked(self) -> Counter[str]:
        return Counter(f"http://{seen.host}{seen.path}" for session in self.sessions for seen in session)


def command(place: Place, *more: str) -> list[str]:
    settings = place.root / "vetset.toml"
    settings.write_text(SETTINGS, "utf-8")
    named = [part for path in place.lists for part in ("--lists", str(path))]
    folders = ["--out", str(place.run), "--clean", str(place.cleaned), "--settings", str(settings)]
    return [str(VETSET), "audit", str(place.dataset), *named, *folders, "--reach", "fetch", "--quiet", *more]


def started(place: Place, words: list[str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "XDG_CONFIG_HOME": str(place.root / "home")}
    log = (place.root / "printed").open("ab")
    return subprocess.Popen(words, env=environment, stdout=log, stderr=log, start_new_session=True)


def audited(site: Site, served: Web, moments: Iterator[int]) -> Watched:
    """An audit to its end, killed after each of so many requests and resumed."""
    place, found = site.place, Watched()
    kept: set[str] = set()
    before: Counter[str] = Counter()
    words = command(place)
    while True:
        served.seen.clear()
        process = started(place, words)
        killed_after(process, served, next(moments, None))
        found.sessions.append(list(served.seen))
        asked = found.asked()
        again = [url for url in kept if asked[url] > before[url]]
        found.wrong += [f"asked again after its outcome was committed: {url}" for url in again]
        if process.returncode == 0:
            return found
        if process.returncode != -signal.SIGKILL:
            found.wrong.append(f"ended with {process.returncode}")
            return found
        words = command(place, "--resume")
        kept = urls_of(site, committed(place.run))
        found.kept_at_kills.append(len(kept))
        before = asked


def killed_after(process: subprocess.Popen[bytes], served: Web, requests: int | None) -> None:
    """Waits for the end of the process, or kills it and its workers once so many requests came in."""
    while process.poll() is None:
        if requests is not None and len(served.seen) >= requests:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_SECONDS)


def too_often(session: Sequence[Seen]) -> list[str]:
    """Hosts of which some stretch of requests came in quicker than the settings allow."""
    times: dict[str, list[float]] = {}
    for seen in session:
        times.setdefault(seen.host, []).append(seen.at_seconds)
    found = []
    for host, own in times.items():
        own.sort()
        for width in (WINDOW_REQUESTS, len(own) - 1):
            least = width * INTERVAL_MILLISECONDS / 1000 - SLACK_SECONDS
            spans = [later - sooner for sooner, later in zip(own, own[width:], strict=False)] if width > 0 else []
            if spans and min(spans) < least:
                found.append(f"{host}: {width} requests in {min(spans):.3f} s")
    return found


def judged(site: Site, mini: MiniWeb, bodies: Bodies, found: Watched) -> list[str]:
    """What is wrong with a finished audit."""
    wrong = list(found.wrong)
    expected = with_shared_oracle(site, bodies)
    if (removed := site.removed()) != set(expected):
        wrong.append(f"{len(removed - set(expected))} rows too many, {len(set(expected) - removed)} too few")
    outcome_of = {link.url: link.outcome.value for link in mini.links}
    told = {name: count for name, count in site.place.summary()["fetch"]["outcomes"].items() if count}
    meant = Counter(outcome_of[url] for url in urls_of(site, committed(site.place.run)))
    if told != meant:
        wrong.append(f"outcomes are {told}, should be {dict(meant)}")
    for session in found.sessions:
        wrong += too_often(session)
    return wrong


def without_timing(place: Place) -> dict[str, object]:
    """What must be the same however often a run was killed: all but when."""
    document, same = place.summary(), place.sameness()
    document.pop("timing")
    for finding in same["findings"]:
        finding.pop("served_at", None)
    return {**document, **same}


def differences(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Which of the books are not the same; not what stands in them."""
    return [f"{name} is not that of the undisturbed run" for name in one if one[name] != other.get(name)]


# --- the campaign -----------------------------------------------------------------------------------------------------


def campaign(options: argparse.Namespace, folder: Path) -> list[str]:
    """Everything, in a network of its own; what was wrong."""
    chance = random.Random(options.seed)
    bodies = Bodies(bases(options.benign, options.seed), options.pictures)
    links = options.pictures + options.pictures // 5  # a fifth of the pictures has a mirror
    mini = mini_web(bodies, PLACES, links=links, hosts=HOSTS, seed=options.seed)
    places = [(place, 80) for place in PLACES]
    with name_server(NAME_SERVER, mini.place_of), web(mini.page_of, places) as served:
        site = site_of(Place(folder / "undisturbed"), mini, bodies, chance)
        began = time.monotonic()
        found = audited(site, served, iter(()))
        seconds = time.monotonic() - began
        wrong = judged(site, mini, bodies, found)
        books = without_timing(site.place)
        tell(f"undisturbed: {sum(found.asked().values()):,} requests of {links:,} links in {seconds:.0f} s", wrong)
        if options.kills:
            other = Site(elsewhere(site, folder / "killed"), site.rows, site.pages, site.listed_md5, site.listed_pdq)
            requests = sum(found.asked().values())
            moments = (chance.randrange(1, max(2, 2 * requests // options.kills)) for _ in range(options.kills))
            struck = audited(other, served, moments)
            worse = judged(other, mini, bodies, struck)
            worse += differences(books, without_timing(other.place))
            kills = len(struck.sessions) - 1
            tell(f"killed {kills} times, with {struck.kept_at_kills} outcomes committed", worse)
            wrong += worse
    return wrong


def elsewhere(site: Site, root: Path) -> Place:
    """The same dataset and lists with another run."""
    place = Place(root, list(site.place.lists))
    root.mkdir()
    shutil.copytree(site.place.dataset, place.dataset)
    shutil.copytree(site.place.root / "home", root / "home")
    return place


WRITING = ("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg", "splice", "sendfile")
READING = ("read", "readv", "recvfrom", "recvmsg")


def traced(options: argparse.Namespace, folder: Path) -> list[str]:
    """A whole audit under strace: bytes of pictures come in, and none goes out, to a file or anywhere else."""
    bodies = Bodies(bases(options.benign, options.seed), options.traced)
    mini = mini_web(bodies, PLACES, links=options.traced, hosts=8, seed=options.seed)
    with name_server(NAME_SERVER, mini.place_of), web(mini.page_of, [(place, 80) for place in PLACES]):
        site = site_of(Place(folder / "traced"), mini, bodies, random.Random(options.seed))
        trace = folder / "trace"
        calls = ",".join(f"?{name}" for name in WRITING + READING)
        strace = ["strace", "-f", "-qq", "-s", "100000", "-e", f"trace={calls}", "-o", str(trace), "--"]
        status = started(site.place, [*strace, *command(site.place)]).wait()
    counts: Counter[str] = Counter()
    with trace.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if CANARY.decode() in line:
                call = re.search(r"(\w+)\(|<\.\.\. (\w+) resumed", line)
                counts[(call[1] or call[2]) if call else "?"] += 1
    wrong = [f"{name} held bytes of pictures {n} times" for name, n in counts.items() if name not in READING]
    wrong += [] if status == 0 else [f"under strace it ended with {status}"]
    wrong += [] if any(counts[name] for name in READING) else ["nothing was read under strace: it proves nothing"]
    tell(f"traced: {counts.total():,} calls with bytes of pictures, {dict(counts)}", wrong)
    return wrong


def tell(line: str, wrong: Sequence[str]) -> None:
    sys.stdout.write("\n  ".join([f"{line}; {len(wrong)} wrong", *wrong[:20]]) + "\n")
    sys.stdout.flush()


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pictures", type=int, default=20_000)
    options.add_argument("--kills", type=int, default=10)
    options.add_argument("--traced", type=int, default=400)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--benign", type=Path, help="a folder of harmless JPEG pictures; synthetic ones without")
    options.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.inside:
        wrong = campaign(asked, asked.inside) if asked.pictures else []
        wrong += traced(asked, asked.inside) if asked.traced else []
        return 1 if wrong else 0
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "tests.campaign_web", *sys.argv[1:], "--inside", folder]
        return networks.run_shown(words, Path(folder) / "network")


if __name__ == "__main__":
    sys.exit(main())
