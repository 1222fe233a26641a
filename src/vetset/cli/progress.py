"""How far a run is, on stderr: a live line on a terminal, a plain line now and then elsewhere.

In it: counting reports, and the words and figures of the line. Not in it: results, which the summary tells.
Rules: a line holds the stage's name, counts and times, never anything of a shard or a row; a stream that cannot be
written to ends the progress and nothing else.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from vetset.cli.asking import AskingCount, clock_face
from vetset.errors import Stop
from vetset.pipeline.watching import Pulse
from vetset.records import TaskReport

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

#: Without a terminal, a line at most this often.
INTERVAL_SECONDS = 10.0


@dataclass(slots=True)
class StageCount:
    """What is done of one stage. Rows and shards that were done before this run count as done, not towards the rate.

    The stage `match` goes by pictures, which its reports have outcomes of: a row may hold none.
    """

    name: str
    shards_total: int
    rows_total: int | None
    started_seconds: float
    shards: int = 0
    rows: int = 0
    failed: int = 0
    shards_before: int = 0
    rows_before: int = 0
    pictures: int = 0
    pictures_before: int = 0

    def add(self, report: TaskReport) -> None:
        """Counts a report; one without seconds is of work done before."""
        self.shards += 1
        self.rows += report.rows
        pictures = sum(report.tally.values()) if self.name == "match" else 0
        self.pictures += pictures
        self.failed += report.trouble is not None
        if not report.seconds and report.trouble is None:
            self.shards_before += 1
            self.rows_before += report.rows
            self.pictures_before += pictures

    def pictures_per_second(self, elapsed_seconds: float) -> float:
        """Pictures done in this run a second, 0 while there is nothing to tell."""
        return (self.pictures - self.pictures_before) / elapsed_seconds if elapsed_seconds > 0 else 0.0

    def rows_per_second(self, elapsed_seconds: float) -> float:
        """Rows done in this run a second, 0 while there is nothing to tell."""
        return (self.rows - self.rows_before) / elapsed_seconds if elapsed_seconds > 0 else 0.0

    def seconds_left(self, elapsed_seconds: float) -> float | None:
        """By rows where their number is known, else by shards; None while nothing was done in this run."""
        done, left = self.shards - self.shards_before, self.shards_total - self.shards
        if self.rows_total is not None and not self.failed:  # rows of a failed shard never come
            done, left = self.rows - self.rows_before, self.rows_total - self.rows
        return max(left, 0) * elapsed_seconds / done if done > 0 else None

    def line(self, now_seconds: float) -> str:
        """The stage as it stands."""
        elapsed = now_seconds - self.started_seconds
        left = self.seconds_left(elapsed)
        return ", ".join(
            [*self._counts(elapsed), f"{clock_face(left)} left" if left is not None else "time left unknown"]
        )

    def last_line(self, now_seconds: float) -> str:
        """The stage when it is over."""
        elapsed = now_seconds - self.started_seconds
        return ", ".join([*self._counts(elapsed), f"in {clock_face(elapsed)}"])

    def _counts(self, elapsed_seconds: float) -> list[str]:
        rows = f"{self.rows:,}" if self.rows_total is None else f"{self.rows:,}/{self.rows_total:,}"
        failed = [f"{self.failed:,} failed"] if self.failed else []
        if self.name.startswith("fetch"):  # its tasks are a plan, groups of hosts, and the gathering
            return [f"{self.name}: {self.shards:,}/{self.shards_total:,} tasks", *failed, f"{rows} addresses"]
        counts = [f"{self.name}: {self.shards:,}/{self.shards_total:,} shards", *failed, f"{rows} rows"]
        if self.name == "match":
            rate = f"{self.pictures_per_second(elapsed_seconds):,.0f} pictures/s"
            return [*counts, f"{self.pictures:,} pictures", rate]
        return [*counts, f"{self.rows_per_second(elapsed_seconds):,.0f} rows/s"]


class Progress:
    """A `pipeline.audit.Watcher` that writes to `stream`: live on a terminal, at most every ten seconds elsewhere.

    `clock` gives seconds that never go back. Leaving the context takes a live line away.
    """

    def __init__(self, stream: TextIO, *, quiet: bool, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._quiet = quiet
        self._clock = clock
        self._stage: StageCount | None = None
        self._live: Live | None = None
        self._told_seconds = 0.0
        self._asking: AskingCount | None = None
        self._over = threading.Event()
        self._teller: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._end_live()

    def stage(self, name: str, shards_total: int, rows_total: int | None) -> None:
        """A stage begins; one that was not finished ends without a line."""
        self._end_live()
        self._end_asking()
        now = self._clock()
        self._stage, self._told_seconds = StageCount(name, shards_total, rows_total, now), now
        if not self._quiet and self._stream.isatty():
            self._begin_live()

    def follow(self, look: Callable[[], Pulse]) -> None:
        """The stage is a round of fetch: its line and its warnings come from `look`, between reports too."""
        if self._stage is None or self._quiet:
            return
        self._asking = AskingCount.begun(self._stage.name, look, self._clock())
        self._over.clear()
        self._teller = threading.Thread(target=self._tell_now_and_then, daemon=True)
        self._teller.start()

    def advance(self, report: TaskReport) -> None:
        """A shard of the stage has ended, well or not."""
        if self._stage is None:
            return
        self._stage.add(report)
        now = self._clock()
        if self._live is None and self._asking is None and now - self._told_seconds >= INTERVAL_SECONDS:
            self._told_seconds = now
            self._tell(self._stage.line(now))

    def finish(self) -> None:
        """The stage is over."""
        self._end_live()
        self._end_asking()
        if self._stage is not None:
            self._tell(self._stage.last_line(self._clock()))
        self._stage = None

    # --- a round of fetch ------------------------------------------------------------------------------------------

    def _tell_now_and_then(self) -> None:
        """In a thread of its own, since no report comes while a group of hosts is asked."""
        while not self._over.wait(INTERVAL_SECONDS):
            self._tell_asking(live=self._live is not None)

    def _tell_asking(self, *, live: bool) -> None:
        if self._asking is None:
            return
        with contextlib.suppress(Stop):  # a damaged word of how far it is: the run itself will tell
            line = self._asking.line(self._clock())
            for text in (*([] if live else [line]), *self._asking.warnings()):
                self._tell(text)

    def _end_asking(self) -> None:
        """Says how the round ended, and what was to worry about in it."""
        if self._teller is not None:
            self._over.set()
            self._teller.join()
            self._teller = None
            self._tell_asking(live=False)
            self._asking = None

    def _tell(self, line: str) -> None:
        if self._quiet:
            return
        with self._unless_it_breaks():
            if self._live is not None:
                self._live.console.print(line, markup=False)
                return
            self._stream.write(f"{line}\n")
            self._stream.flush()

    def _begin_live(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream, highlight=False)
        if console.is_terminal and not console.is_dumb_terminal:
            self._live = Live(
                console=console,
                get_renderable=self._rendered,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            with self._unless_it_breaks():
                self._live.start(refresh=True)

    def _end_live(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            with self._unless_it_breaks():
                live.stop()

    @contextlib.contextmanager
    def _unless_it_breaks(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._quiet, self._live = True, None

    def _rendered(self) -> RenderableType:
        from rich.text import Text

        line = self._stage.line(self._clock()) if self._stage is not None else ""
        if self._asking is not None:
            line = self._asking.line(self._clock())
        return Text(line, no_wrap=True, overflow="ellipsis")
