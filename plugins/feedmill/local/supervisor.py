"""Keeps the Spark Connect server running: ``python -m feedmill.local.supervisor <home> <project>``.

If the server is out of memory, it ends, for all its clients, and the supervisor starts it again. If it keeps dying, the
pauses are 1, 2, 4 … 30 seconds. A server that already runs is adopted, so the supervisor may be killed too.
It also keeps the logs of the whole stack small, and starts ``watch`` again if that dies.

A server with a cancelled task that does not end is stopped and started again. The task would hold a core until somebody
noticed, and the builds of the others are tried again.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from feedmill.local import logs
from feedmill.local.home import Home
from feedmill.local.process import stop
from feedmill.local.spark import REAP_SECONDS, UNSTOPPABLE, SparkServer
from feedmill.local.watch import Watching

LONGEST_PAUSE = 30.0
REVIVES = 5.0
"""At most so often, in seconds, ``watch`` is started again."""
STEADY = 60.0
"""If a server ran for this many seconds, it was fine, and the next pause is a short one again."""

log = logging.getLogger("feedmill.local.supervisor")


class Log:
    """A log that grows, and is moved aside or emptied at times."""

    def __init__(self, path: Path):
        """What it holds already is old."""
        self.path = path
        self.place = self._state()

    def news(self) -> str:
        """What was written since the last call."""
        file, size = self._state()
        known, end = self.place
        begin = end if file == known and size >= end else 0
        self.place = file, size
        if begin == size:
            return ""
        try:
            with self.path.open("rb") as stream:
                stream.seek(begin)
                return stream.read(size - begin).decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _state(self) -> tuple[int, int]:
        try:
            state = self.path.stat()
        except FileNotFoundError:
            return 0, 0
        return state.st_ino, state.st_size


def supervise(server: SparkServer) -> None:
    """Run until SIGTERM, which also stops the server."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    restarts = 0
    pause = 0.0
    looked = revived = -logs.EVERY
    watching = Watching(server.home)
    try:
        while True:
            if server.component.pid() is None:
                if pause:
                    log.warning("the server died; start number %d in %.0f s", restarts + 1, pause)
                    time.sleep(pause)
                pid = server.component.start(
                    server.command(), env=server.environment(), cwd=server.folder, restarts=restarts
                )
                log.warning("started the server, pid %d", pid)
                begun = time.monotonic()
                restarts += 1
            else:
                log.warning("adopted the server, pid %d", server.component.pid())
                begun = time.monotonic()
            said = Log(server.home.logs / f"{server.component.name}.log")
            while server.component.pid() is not None:
                time.sleep(0.5)
                if UNSTOPPABLE in said.news():
                    log.warning("a cancelled task goes on for more than %d s; the server is stopped", REAP_SECONDS)
                    stop([server.component], grace=2)
                if time.monotonic() - looked > logs.EVERY:
                    logs.bound(server.home)
                    looked = time.monotonic()
                if time.monotonic() - revived > REVIVES and watching.revive():
                    log.warning("watch died; started it again")
                    revived = time.monotonic()
            pause = 1.0 if time.monotonic() - begun > STEADY else min(LONGEST_PAUSE, max(1.0, pause * 2))
    finally:
        stop([server.component], grace=10)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stderr)
    supervise(SparkServer(Home(Path(sys.argv[1]), Path(sys.argv[2]))))
