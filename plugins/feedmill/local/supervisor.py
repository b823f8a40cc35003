"""Keeps the Spark Connect server running: ``python -m feedmill.local.supervisor <home> <project>``.

If the server is out of memory, it ends, for all its clients, and the supervisor starts it again. If it keeps dying, the
pauses are 1, 2, 4 … 30 seconds. A server that already runs is adopted, so the supervisor may be killed too.
It also keeps the logs of the whole stack small.
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
from feedmill.local.spark import SparkServer

LONGEST_PAUSE = 30.0
STEADY = 60.0
"""If a server ran for this many seconds, it was fine, and the next pause is a short one again."""

log = logging.getLogger("feedmill.local.supervisor")


def supervise(server: SparkServer) -> None:
    """Run until SIGTERM, which also stops the server."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    restarts = 0
    pause = 0.0
    looked = -logs.EVERY
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
            while server.component.pid() is not None:
                if time.monotonic() - looked > logs.EVERY:
                    logs.bound(server.home)
                    looked = time.monotonic()
                time.sleep(0.5)
            pause = 1.0 if time.monotonic() - begun > STEADY else min(LONGEST_PAUSE, max(1.0, pause * 2))
    finally:
        stop([server.component], grace=10)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stderr)
    supervise(SparkServer(Home(Path(sys.argv[1]), Path(sys.argv[2]))))
