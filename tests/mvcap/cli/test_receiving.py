"""``mvcap assets fetch`` says what it downloads and how large that is, on standard error alone."""

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mvcap import assets
from mvcap.cli.assets import assets as verb


@pytest.fixture(autouse=True)
def downloads(monkeypatch):
    def fetch(names, progress):
        for received in (0, 0, 20_000_000, 40_985_403):
            progress("@mediapipe/pose 0.5", received, 40_985_403)
        for received in (0, 5000, 0):
            progress("of unknown size", received, 0)
        return [Path("model.bin")]

    monkeypatch.setattr(assets, "fetch", fetch)


def test_a_line_for_each_download_where_there_is_no_terminal():
    done = CliRunner().invoke(verb, ["fetch", "blazepose-heavy"])
    assert done.exit_code == 0 and done.stdout == "model.bin\n"
    assert done.stderr == "receiving @mediapipe/pose 0.5 (41.0 MB)\nreceiving of unknown size\n"


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    pty = pytest.importorskip("pty")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        verb.main(["fetch", "blazepose-heavy"], standalone_mode=False)
        stream.flush()
        text = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "@mediapipe/pose 0.5" in text and "41.0/41.0 MB" in text and "of unknown size" in text
    assert capsys.readouterr().out == "model.bin\n"
