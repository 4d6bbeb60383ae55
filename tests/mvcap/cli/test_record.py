"""`mvcap record` on the command line: it tells what was recorded, ends on Ctrl-C, and refuses in one line."""

import json
import signal
import subprocess
import time
from types import SimpleNamespace

import pytest
from camera_server import camera, numbered_jpegs
from synthetic_take import command

from mvcap.cli import main
from mvcap.cli.record import CODECS
from mvcap.recording import matroska

SIZE = (320, 180)


@pytest.fixture(scope="module")
def jpegs():
    return numbered_jpegs(100, SIZE)


def test_it_tells_frames_rates_and_losses(tmp_path, jpegs, capsys):
    with camera(jpegs, 30.0) as served:
        words = [f"{name}={served.address(name)}" for name in ("a", "b")]
        main.main(["record", str(tmp_path / "r"), *words, "--seconds", "0.5", "--keep-free", "0", "--no-page"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["a", "b", "ended", "go on with"]
    assert "Hz delivered, 0 lost" in lines[0] and lines[2] == "ended: the time is up"
    assert set(CODECS) == set(matroska.CODECS)


def test_ctrl_c_ends_it_in_good_order(tmp_path, jpegs):
    with camera(jpegs, 30.0) as served:
        words = command("record", tmp_path / "r", f"a={served.address()}", "--keep-free", "0")
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout.readline().startswith("page: http://127.0.0.1:")
            end = time.monotonic() + 20
            while not (tmp_path / "r" / "recording.json").exists() and time.monotonic() < end:
                time.sleep(0.05)
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            out = process.communicate(timeout=20)[0]
        finally:
            process.kill()
    assert process.returncode == 0 and "ended: Ctrl-C" in out
    assert json.loads((tmp_path / "r" / "recording.json").read_text())["state"] == "complete"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["a=http://127.0.0.1:9/", "--no-page"], "not all sources answer: a: http://127.0.0.1:9/: cannot be opened"),
        (["a=nothing"], "no such file, folder or kind of address"),
        (["a=webcam:0", "--board", "chess"], "chess"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, capsys, monkeypatch, words, text):
    monkeypatch.setattr("mvcap.recording.recorder._OPEN_S", 0.5)
    with pytest.raises(SystemExit) as caught:
        main.main(["record", str(tmp_path / "r"), *words])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1 and not (tmp_path / "r").exists()


def test_a_recording_that_was_cut_short_ends_with_status_1(tmp_path, jpegs, capsys, monkeypatch):
    begun = time.monotonic()
    free = lambda path: SimpleNamespace(free=10**9 if time.monotonic() - begun < 2.0 else 10**6)  # noqa: E731
    monkeypatch.setattr("mvcap.recording.recorder.shutil.disk_usage", free)
    words = ["--seconds", "20", "--keep-free", "0.1", "--no-page", "--codec", "h264"]
    with camera(jpegs, 30.0) as served, pytest.raises(SystemExit) as end:
        main.main(["record", str(tmp_path / "r"), f"a={served.address('a')}", *words])
    assert end.value.code == 1
    shown = capsys.readouterr()
    assert "cut short, all that was written plays: the disk is nearly full" in shown.err
    assert "a: 0 frames" not in shown.out and ", 0 lost" in shown.out
