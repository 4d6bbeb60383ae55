"""A worker process of the runner local: ``python -m mvcap.runners.local_worker`` reads its request from standard input.

The request is one line of JSON. Standard input stays open as long as the worker is wanted; when it ends, the worker
stops as at Ctrl-C: its claim is released, and what it has computed is kept for whoever goes on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calib.errors import CalibrationError
from mvcap.batching.work_queue import WorkQueue
from mvcap.batching.worker import reason_line, work
from mvcap.config import allow_plugins
from mvcap.errors import MvcapError

CANNOT_GO_ON, STOPPED = 2, 130
"""Exit status of a worker that no item can help, and of one that was told to stop."""


def serve(request: Mapping[str, Any]) -> None:
    """Do items of the queue that a request names, until none can be taken."""
    sys.path[:] = request["path"]
    allow_plugins(*request["allowed"])
    queue = WorkQueue(Path(request["folder"]), request["verb"], tuple(request["names"]), request["stale_s"])
    work(queue, request["settings"], request["first"], request["wait"])


def request_line(descriptor: int) -> bytes:
    """Read one line, and nothing behind it."""
    line = b""
    while not line.endswith(b"\n") and (piece := os.read(descriptor, 1 << 16)):
        line += piece
    return line


def serve_standard_input() -> int:
    """Serve the request on standard input; return the exit status."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C goes to the parent, which ends the input
    try:
        request = json.loads(request_line(0))
        threading.Thread(target=_watch, daemon=True).start()
        serve(request)
    except (MvcapError, CalibrationError) as fault:
        print(reason_line(fault), file=sys.stderr)
        return CANNOT_GO_ON
    except KeyboardInterrupt:
        return STOPPED
    return 0


def _watch() -> None:
    """Stop this process once its standard input has ended, as it does, too, when the parent was killed."""
    while os.read(0, 1 << 10):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _stop(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: the claim is being released
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(serve_standard_input())
