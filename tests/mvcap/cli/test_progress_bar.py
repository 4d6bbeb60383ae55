"""The progress bar: drawn on a terminal and nowhere else, gone when a verb fails."""

import os
import sys
from contextlib import contextmanager

import pytest

from mvcap.cli.progress_bar import bar
from mvcap.progress import silent

pty = pytest.importorskip("pty")


@contextmanager
def terminal(monkeypatch):
    """Standard error as a real terminal; give a function that returns what was written to it since it was asked."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    with monkeypatch.context() as patch, os.fdopen(theirs, "w") as stream:
        patch.setattr(sys, "stderr", stream)

        def written():
            stream.flush()
            text = b""
            try:
                while piece := os.read(ours, 1 << 16):
                    text += piece
            except BlockingIOError:
                pass
            return text.decode()

        yield written
    os.close(ours)


def test_stages_are_drawn_with_their_counts(monkeypatch):
    with terminal(monkeypatch) as written:
        with bar(quiet=False) as progress:
            for done in range(11):
                progress("estimate", done, 10)
            progress("track", 3, 7)
        text = written()
    assert "estimate" in text and "10/10" in text and "track" in text and "3/7" in text
    assert text.count("\n") < 10  # lines are drawn over, not one after another for every frame


def test_a_quiet_verb_draws_nothing_on_a_terminal(monkeypatch):
    with terminal(monkeypatch) as written:
        with bar(quiet=True) as progress:
            assert progress is silent
            progress("estimate", 1, 2)
        assert written() == ""


def test_nothing_is_drawn_into_a_file(capsys):
    with bar(quiet=False) as progress:
        assert progress is silent
        progress("estimate", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_fault_comes_through_and_leaves_the_cursor_visible(monkeypatch):
    with terminal(monkeypatch) as written:
        with pytest.raises(KeyError, match="fault"), bar(quiet=False) as progress:
            progress("estimate", 1, 2)
            raise KeyError("fault")
        text = written()
    hidden, shown = text.rfind("\x1b[?25l"), text.rfind("\x1b[?25h")
    assert 0 <= hidden < shown


def test_the_bar_is_not_on_standard_output(monkeypatch, capsys):
    with terminal(monkeypatch) as written:
        with bar(quiet=False) as progress:
            progress("estimate", 1, 1)
        assert "estimate" in written()
    assert capsys.readouterr().out == ""
