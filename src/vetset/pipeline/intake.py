"""The intake: answers are taken off the network by a thread of its own while pictures are looked into.

In it: the thread, the bound on what waits, and the end of both. Not in it: what is asked, and what becomes of answers.
Rules: sockets are served whatever the sandbox is doing; bodies wait in memory, at most `most_bytes` of them; an
exception of the fetcher or of what it is fed with comes out here, in the thread of whoever takes the answers; at the
end of the context nothing is asked any more.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition
from typing import Self

from vetset import kernels
from vetset.ports import Fetcher
from vetset.records import Answer, Request

#: Bodies that may wait to be looked into. Beyond that the sandbox is the slower one, and the network has to wait.
MOST_BYTES = 256 * 1024 * 1024


class _Closed(Exception):  # noqa: N818 - no error: nobody takes the answers any more
    """Ends the thread."""


class Intake:
    """Answers of a fetcher in batches. A context: its end ends the asking.

    `heard` is told of each answer in the thread, before the next request is drawn.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        requests: Iterable[Request],
        *,
        most_bytes: int = MOST_BYTES,
        heard: Callable[[Answer], None] = lambda _: None,
    ) -> None:
        self._fetcher = fetcher
        self._requests = requests
        self._heard = heard
        self._most_bytes = most_bytes
        self._waiting: deque[Answer] = deque()
        self._bytes = 0
        self._closed = False
        self._news = Condition()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="vetset-intake")
        self._task: Future[None] | None = None

    def __enter__(self) -> Self:
        self._task = self._pool.submit(self._run)
        self._task.add_done_callback(lambda _: self._tell())
        return self

    def __exit__(self, *_: object) -> None:
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._pool.shutdown(wait=True)

    def batches(self, most: int, wait_seconds: float) -> Iterator[list[Answer]]:
        """Up to `most` answers at a time, none where nothing came in `wait_seconds`. Raises what ended the thread."""
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._over(), wait_seconds)
                batch = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
                self._bytes -= _bytes_of(batch)
                over = not batch and self._over()
                self._news.notify_all()
            if over:
                break
            yield batch
        if self._task is not None:
            self._task.result()

    def _over(self) -> bool:
        return self._task is None or self._task.done()

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()

    def _run(self) -> None:
        """In the thread."""
        answers = self._fetcher.fetch(self._requests)
        with contextlib.suppress(_Closed):
            for answer in answers:
                self._heard(answer)
                self._put(answer)
        close = getattr(answers, "close", None)
        if close is not None:
            close()

    def _put(self, answer: Answer) -> None:
        with self._news:
            self._news.wait_for(lambda: self._closed or self._bytes < self._most_bytes)
            if self._closed:
                raise _Closed
            self._waiting.append(answer)
            self._bytes += _bytes_of([answer])
            self._news.notify_all()


def _bytes_of(answers: Iterable[Answer]) -> int:
    return kernels.body_bytes([answer.body for answer in answers if answer.body is not None])
