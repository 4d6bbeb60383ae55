"""Folders that are made in pieces: kept after a fault, gone on with, refused where something else is in the way."""

import errno
import os
import subprocess
import sys
import time

import pytest

from mvcap.datasets.resumed_folder import PIECES, resumed_folder
from mvcap.errors import InputError, SessionError
from mvcap.structures.npz import write_text

ASKED = {"seed": 1, "size": [2, 3]}


def begun(out, asked=ASKED, fault=KeyboardInterrupt):
    with pytest.raises(fault), resumed_folder(out, asked) as folder:
        write_text(folder / PIECES / "0.txt", "piece")
        (folder / ".half.txt.0123abcd").write_text("half")
        raise fault


def test_what_is_done_is_there_again_and_becomes_the_folder(tmp_path):
    out = tmp_path / "in" / "out"
    begun(out)
    assert not out.exists()
    with resumed_folder(out, {"size": (2, 3), "seed": 1}) as folder:
        assert (folder / PIECES / "0.txt").read_text() == "piece" and not (folder / ".half.txt.0123abcd").exists()
        write_text(folder / "result.txt", "whole")
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert [path.name for path in out.iterdir()] == ["result.txt"]


def test_other_settings_and_other_things_are_refused(tmp_path):
    out = tmp_path / "out"
    begun(out)
    with pytest.raises(InputError, match="begun with seed 1, not 2"), resumed_folder(out, {**ASKED, "seed": 2}):
        pass
    (tmp_path / "out.unfinished" / "asked.json").write_text("[")
    with pytest.raises(InputError, match="in the way"), resumed_folder(out, ASKED):
        pass
    assert (tmp_path / "out.unfinished" / PIECES / "0.txt").exists()
    (out / "mine").mkdir(parents=True)
    with pytest.raises(InputError, match="something already"), resumed_folder(out, ASKED):
        pass


def test_a_full_disk_is_one_line_and_nothing_is_left_where_nothing_is_done(tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    line = r"out cannot be written: No space .* it goes on"
    with pytest.raises(SessionError, match=line), resumed_folder(tmp_path / "out", ASKED):
        raise full
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="of mine"), resumed_folder(tmp_path / "out", ASKED):
        raise InputError("a fault of mine") from full
    assert not list(tmp_path.iterdir())


def test_two_processes_do_not_make_the_same_folder(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from mvcap.datasets.resumed_folder import resumed_folder\n"
        "with resumed_folder(Path(sys.argv[1]), {}) as folder: (folder / 'a').write_text(''); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out")])
    try:
        end = time.monotonic() + 30
        while not (tmp_path / "out.unfinished" / "a").exists() and time.monotonic() < end:
            time.sleep(0.05)
        with pytest.raises(InputError, match="another process"), resumed_folder(tmp_path / "out", {}):
            pass
    finally:
        other.kill()
        other.wait()
    with resumed_folder(tmp_path / "out", {}) as folder:
        assert (folder / "a").exists()
