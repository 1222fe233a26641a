"""What every exchange must do, as functions that an exchange's tests call.

In it: the laws of fetching, over a body that the caller emulates: exact lists, counted changes, patience, resumption,
silence. Not in it: any body, any test runner.
Rules: a breach raises AssertionError; every value is made up here. Waiting is noted and not done.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path
from tempfile import TemporaryDirectory

from vetset.errors import Stop
from vetset.hashlists import fetching
from vetset.hashlists.compiled import map_list, open_list
from vetset.hashlists.exchange import Exchange
from vetset.hashlists.fetching import Fetched, Wanted
from vetset.hashlists.state import Segments
from vetset.records import Signal
from vetset.testing.serving import Fault, Reply, Served
from vetset.vault import age

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Body:
    """A body that runs. `publish` makes it give out exactly these entries: md5 digests by id.

    `exchange` answers a new client; waits go to its argument. `secret` is the credential as the caller gave it.
    """

    served: Served
    publish: Callable[[Mapping[str, bytes]], None]
    exchange: Callable[[Callable[[float], None]], AbstractContextManager[Exchange]]
    secret: str


OpenBody = Callable[[], AbstractContextManager[Body]]


@dataclass(slots=True)
class _Desk:
    """A place where lists of one body are fetched."""

    body: Body
    folder: Path
    identity: str = field(default_factory=age.new_identity, repr=False)
    waited: list[float] = field(default_factory=list)

    def wanted(self) -> Wanted:
        return Wanted("contract", self.folder, (age.recipient_of(self.identity),), (self.identity,))

    def fetch(self, segments: Segments | None = None) -> Fetched:
        with self.body.exchange(self.waited.append) as exchange:
            return fetching.fetch(exchange, self.wanted(), NOW, segments)

    def held(self, version: int) -> set[bytes]:
        """The md5 digests of a version, read from its table."""
        memory = open_list(self.wanted().path(version), [self.identity], today=None)
        try:
            tables = [table for table in map_list(memory).tables if table.signal is Signal.MD5]
            keys: set[bytes] = set()
            for table in tables:
                heads = table.heads.astype(">u8").tobytes()
                tails = table.tails.tobytes()
                keys |= {heads[8 * row : 8 * row + 8] + tails[8 * row : 8 * row + 8] for row in range(table.count)}
            return keys
        finally:
            os.close(memory)

    def versions(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*.vsl"))


def invented(*names: str) -> dict[str, bytes]:
    """Entries by id with digests that are nobody's."""
    return {name: md5(f"contract {name}".encode(), usedforsecurity=False).digest() for name in names}


ONE, TWO = invented("a", "b", "c", "d", "e"), invented("a", "c", "e", "f")


def check_all(open_body: OpenBody) -> None:
    """Every law."""
    for law in (
        check_versions,
        check_nothing_new,
        check_plan_asks_nothing,
        check_patience,
        check_we_are_not_let_in,
        check_giving_up_and_going_on,
        check_killed_anywhere,
        check_silence,
    ):
        with open_body() as body, TemporaryDirectory() as folder:
            law(_Desk(body, Path(folder) / "lists"))


def check_versions(desk: _Desk) -> None:
    """A version holds exactly what the body gives out; what came and went is counted."""
    desk.body.publish(ONE)
    first = desk.fetch()
    _must(
        (_version(first), first.changes.added, first.changes.withdrawn) == (1, 5, 0),
        "the first version holds all entries, and says so",
    )
    _must(desk.held(1) == set(ONE.values()), "a first version of another content")
    desk.body.publish(TWO)
    second = desk.fetch()
    _must((_version(second), second.changes.added, second.changes.withdrawn) == (2, 1, 2), "two left and one came")
    _must(desk.held(2) == set(TWO.values()), "another second version")
    _must(desk.held(1) == set(ONE.values()), "an older version was changed")
    desk.body.publish({**TWO, "c": invented("g")["g"]})
    third = desk.fetch()
    _must(
        (third.changes.added, third.changes.withdrawn, third.changes.altered) == (0, 0, 1), "one entry says otherwise"
    )


def check_nothing_new(desk: _Desk) -> None:
    """Where nothing changed no version is written."""
    desk.body.publish(ONE)
    desk.fetch()
    again = desk.fetch()
    _must(again.path is None, "a version without a change")
    _must(_version(again) == 1, "the newest version is lost")
    _must(not again.changes.any(), "changes without a change")
    _must(desk.versions() == ["contract-1.vsl"], "a file without a change")


def check_plan_asks_nothing(desk: _Desk) -> None:
    """A plan says something, asks nothing and writes nothing."""
    with desk.body.exchange(desk.waited.append) as exchange:
        _must(bool(fetching.plan(exchange, desk.wanted())), "a plan without a sentence")
    _must(not desk.body.served.asked, "a plan asked")
    _must(not desk.folder.exists(), "a plan wrote")


def check_patience(desk: _Desk) -> None:
    """What may pass is asked again, and after as long as the body says."""
    desk.body.publish(ONE)
    desk.body.served.faults.extend([Reply(429, b"", {"Retry-After": "7"}), Reply(503), Reply(500), Fault.LOST])
    desk.fetch()
    _must(desk.held(1) == set(ONE.values()), "no list after faults that pass")
    _must(desk.waited[0] == 7.0, "it did not wait for as long as the body said")  # noqa: PLR2004 - as the body said
    _must(len(desk.waited) == 4, "it did not wait once for each fault")  # noqa: PLR2004 - one for each fault
    desk.body.publish(TWO)
    desk.body.served.faults.extend([Fault.UNHEARD, Fault.CUT, Reply(502), Reply(504)])
    desk.fetch()
    _must(desk.held(2) == set(TWO.values()), "another list after faults")


def check_we_are_not_let_in(desk: _Desk) -> None:
    """401 stops at once, and the credential is not repeated."""
    desk.body.publish(ONE)
    desk.body.served.faults.append(Reply(401))
    stop = _stopped(desk)
    _must("credentials" in stop.hint, "the hint does not speak of credentials")
    _must(desk.body.secret not in stop.message + stop.hint, "the credential is told")
    _must(len(desk.body.served.asked) == 1, "it asked again though it was not let in")
    _must(not desk.versions(), "a list from nothing")


def check_giving_up_and_going_on(desk: _Desk) -> None:
    """Trouble that does not pass stops with a hint; the same call goes on later."""
    desk.body.publish(ONE)
    desk.body.served.faults.extend([Reply(503)] * 50)
    _must("again" in _stopped(desk).hint, "no hint to try again")
    _must(sum(desk.waited) < 600, "waiting is not bounded")  # noqa: PLR2004 - ten minutes
    desk.body.served.faults.clear()
    desk.body.served.faults.append(Reply(429, b"", {"Retry-After": "86400"}))
    _must("86,400" in _stopped(desk).hint, "no hint when to try again")
    desk.fetch()
    _must(desk.held(1) == set(ONE.values()), "another list in the end")


class _Killed(BaseException):
    """Stands for the end of the process."""


class _Mortal(Segments):
    """Segments of a process that dies at one change of the disk: before it, or after it and before its return."""

    def __init__(self, whole: Segments, at: int) -> None:
        super().__init__(whole.folder, whole._recipients)  # noqa: SLF001 - the same files
        self._left = at

    def write(self, number: int, lines: object) -> None:
        self._step()
        super().write(number, lines)  # type: ignore[arg-type]
        self._step()

    def remove(self, number: int) -> None:
        self._step()
        super().remove(number)
        self._step()

    def _step(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise _Killed


def check_killed_anywhere(desk: _Desk) -> None:
    """Killed at any change of the disk, twice in a row too, a fetch ends in the list of an undisturbed one."""
    desk.body.publish(ONE)
    desk.fetch()
    desk.body.publish(TWO)
    start = desk.folder
    undisturbed, steps = desk.folder.with_name("undisturbed"), 0
    _copy(start, undisturbed)
    desk.folder = undisturbed
    desk.fetch()
    wanted = desk.held(2)
    while True:
        steps += 1
        desk.folder = start.with_name(f"killed-{steps}")
        _copy(start, desk.folder)
        if not _dies(desk, steps):
            break
        _dies(desk, 1 + steps % 3)
        desk.fetch()
        newest = max(int(name[len("contract-") : -4]) for name in desk.versions())
        _must(newest == 2, f"killed at step {steps}: the newest version is {newest}")  # noqa: PLR2004
        _must(desk.held(2) == wanted, f"killed at step {steps}: another list")
    _must(steps > 4, "no step was struck")  # noqa: PLR2004 - writing, intending, rebasing, removing


def _dies(desk: _Desk, at: int) -> bool:
    try:
        desk.fetch(_Mortal(Segments(desk.wanted().state_folder, desk.wanted().recipients), at))
    except _Killed:
        return True
    return False


def _copy(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            place.write_bytes(path.read_bytes())


def check_silence(desk: _Desk) -> None:
    """No value lies on disk in clear; the credential stands in a header and nowhere else."""
    desk.body.publish(ONE)
    desk.fetch()
    _must(bool(desk.body.served.asked), "nothing was asked")
    written = b"".join(path.read_bytes() for path in desk.folder.rglob("*") if path.is_file())
    for value in ONE.values():
        _must(value not in written, "a value in clear")
        _must(value.hex().encode() not in written, "a value in clear, as hex")
    _must(desk.body.secret.encode() not in written, "the credential is written")
    for asked in desk.body.served.asked:
        _must(desk.body.secret not in asked.path + repr(dict(asked.query)), "the credential stands in a URL")
    modes = {path.stat().st_mode & 0o077 for path in desk.folder.rglob("*.age")}
    _must(modes == {0}, "others can read what is known")


def _stopped(desk: _Desk) -> Stop:
    try:
        desk.fetch()
    except Stop as stop:
        return stop
    raise AssertionError("nothing stopped the fetch")


def _version(fetched: Fetched) -> int:
    return fetched.ref.version if fetched.ref else 0


def _must(holds: bool, breach: str) -> None:  # noqa: FBT001 - a condition is what it takes
    if not holds:
        raise AssertionError(breach)
