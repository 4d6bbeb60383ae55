"""What record and live do alike: signals end them in good order, and pages are served until they have ended."""

import os
import signal
import urllib.error
import urllib.request
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from mvcap.cli.live_pages import serve_page, stopped_by_signals
from mvcap.structures.token_server import TokenHandler, TokenServer


def test_signals_end_it_and_are_given_back():
    before, reasons = signal.getsignal(signal.SIGTERM), []
    with ExitStack() as stack:
        stopped_by_signals(SimpleNamespace(stop=reasons.append), stack)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
    assert reasons == ["Ctrl-C", "terminated"] and signal.getsignal(signal.SIGTERM) is before


class _Page(TokenHandler):
    def send_path(self, path, body):
        self.send_json({"path": path}, body)


def test_a_page_is_served_while_the_stack_stands(capsys):
    server = TokenServer(_Page)
    with ExitStack() as stack:
        serve_page(server, stack)
        [line] = capsys.readouterr().out.splitlines()
        assert line == f"page: {server.url}"
        assert urllib.request.urlopen(f"{server.url}a", timeout=10).read() == b'{"path": "a"}'
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(server.url, timeout=10)
