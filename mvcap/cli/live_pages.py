"""What ``record`` and ``live`` do alike: end in good order on a signal, and serve a page meanwhile."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mvcap.recording.recorder import Recorder
    from mvcap.structures.token_server import TokenServer


def stopped_by_signals(recorder: Recorder, stack: ExitStack) -> None:
    """Let Ctrl-C and a termination end the recorder in good order, until the stack is left."""
    for number, words in ((signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "terminated")):
        before = signal.signal(number, lambda *_, words=words: recorder.stop(words))
        stack.callback(signal.signal, number, before)


def serve_page(server: TokenServer, stack: ExitStack) -> None:
    """Serve a page until the stack is left, and print where it is."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    for url in server.urls:
        click.echo(f"page: {url}")
