"""One decoding child as its worker sees it: started, asked, heard, and ended.

In it: the process, its two pipes, and what its death meant. Not in it: which picture is asked about and what becomes of
one whose child died (`room`). Rules: started by exec with nothing inherited but three descriptors and an environment
that is empty but for the number of threads; no shell; whatever a child does, nothing here blocks without a limit.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import vetset
from vetset.sandbox.child_plan import ChildPlan
from vetset.sandbox.wire import HELLO_BYTES, Breach, Hello, Kind, Reply, Request, hello_from, reply_bytes, reply_from

#: A child that has not said its first words by then will not.
START_SECONDS = 60.0

_PIPE_BYTES = 1 << 20
_START = (
    "import json, sys; plan = json.loads(sys.argv[1]); sys.path[:] = plan.pop('path'); "
    "from vetset.sandbox import lean; lean.leave_out_arrow(); lean.take_kernels_singly(); "
    "from vetset.sandbox.child import main; main(plan)"
)
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Died(Exception):  # noqa: N818 - it is news of a child
    """The child is dead or must be. `alarm`: it was killed for a system call that no decoding makes."""

    def __init__(self, *, alarm: bool) -> None:
        super().__init__("alarm" if alarm else "death")
        self.alarm = alarm


class Child:
    """A running child. It has said its first words once `hello` was read."""

    def __init__(self, plan: ChildPlan, arena_fd: int) -> None:
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        plan = replace(plan, requests_fd=requests, replies_fd=replies, arena_fd=arena_fd)
        try:
            self._process = _started(plan, (requests, replies, arena_fd))
        except OSError:
            os.close(self._requests)
            os.close(self._replies)
            raise
        finally:
            os.close(requests)
            os.close(replies)
        fcntl.fcntl(self._replies, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._poll = select.poll()
        self._poll.register(self._replies, select.POLLIN)
        self._heard = bytearray()
        self._kinds: Sequence[Kind] = ()
        self._reply_bytes = reply_bytes(())
        self.asked = 0

    def hello(self) -> Hello:
        """The first words. Raises Died."""
        try:
            said = hello_from(self._exactly(HELLO_BYTES, time.monotonic() + START_SECONDS))
        except Breach:
            raise Died(alarm=self.end()) from None
        self._kinds = said.kinds
        self._reply_bytes = reply_bytes(said.kinds)
        return said

    def ask(self, request: Request) -> None:
        """Never blocks while no more is in flight than the pipe holds. A dead child is found out when it is heard."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._requests, request.pack())
        self.asked += 1

    def reply(self, deadline: float) -> Reply:
        """The next reply. Raises Died for a child that died, is late, or says what cannot be."""
        data = self._exactly(self._reply_bytes, deadline)
        try:
            return reply_from(data, self._kinds)
        except Breach:
            raise Died(alarm=self.end()) from None

    def _exactly(self, length: int, deadline: float) -> bytes:
        while len(self._heard) < length:
            patience = max(0.0, deadline - time.monotonic())
            if not self._poll.poll(patience * 1000):
                raise Died(alarm=self.end())
            data = os.read(self._replies, 1 << 16)
            if not data:
                raise Died(alarm=self.end())
            self._heard += data
        taken = bytes(self._heard[:length])
        del self._heard[:length]
        return taken

    def end(self) -> bool:
        """Kills the child unless it is dead, and buries it; whether it had been killed by the filter."""
        if self._process.poll() is None:
            self._wait_if_dying()
            self._process.kill()
        status = self._process.wait()
        for fd in (self._requests, self._replies):
            if fd >= 0:
                os.close(fd)
        self._requests = self._replies = -1
        return status == -signal.SIGSYS

    def _wait_if_dying(self) -> None:
        """A child whose pipe is closed is on its way out: how it died is worth a moment."""
        if any(event & (select.POLLHUP | select.POLLERR) for _, event in self._poll.poll(0)):
            try:
                self._process.wait(1.0)
            except subprocess.TimeoutExpired:
                return


def _path() -> list[str]:
    """Where this process finds its modules, and vetset itself, wherever the child stands."""
    return [str(Path(entry).absolute()) for entry in [*sys.path, str(Path(vetset.__file__).parents[1])]]


def _started(plan: ChildPlan, descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
    told = {**asdict(plan), "path": _path()}
    return subprocess.Popen(  # noqa: S603 - this interpreter, with words of our own
        [sys.executable, "-I", "-S", "-B", "-c", _START, json.dumps(told)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
        cwd="/",
        close_fds=True,
        pass_fds=descriptors,
        process_group=0,  # Ctrl-C is the coordinator's
    )
