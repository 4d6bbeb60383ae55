"""`mvcap view` on the command line: it prints where the page is, writes files instead, and refuses in one line."""

import signal
import subprocess
import sys
import time
import urllib.request

import cv2
import pytest
from built_page import needs_page
from numbered_videos import numbered_session
from synthetic_take import command, make_session

import mvcap
from mvcap.cli import main
from mvcap.cli.view import CAMERA_PATHS
from mvcap.drawing import viewpoints
from mvcap.errors import SessionError

pytestmark = needs_page


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    made = make_session(tmp_path_factory.mktemp("take"), 25, people=2, cameras=3)
    mvcap.reconstruct(made)
    return made


def test_files_are_written_instead_of_a_page(session, tmp_path, capsys):
    page, picture, video = (tmp_path / name for name in ("take.html", "take.png", "take.mp4"))
    files = ["--export", str(page), "--png", str(picture), "--mp4", str(video)]
    main.main(["view", str(session.folder), *files, "--time", "0.5", "--path", "side"])
    assert capsys.readouterr().out.split() == [str(page), str(picture), str(video)]
    assert cv2.imread(str(picture)).shape == (720, 1280, 3) and page.stat().st_size > 5e5
    film = cv2.VideoCapture(str(video))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 25 and film.read()[1].std() > 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["take.html", "take.mp4", "take.png"]


def test_what_is_wrong_is_one_line(session, tmp_path, capsys):
    empty = make_session(tmp_path / "empty", 5, people=1)
    folder, page = str(session.folder), str(tmp_path / "b.html")
    cases = (
        ([str(empty.folder), "--export", page], "run `mvcap refine"),
        ([folder, "--videos"], "--videos belongs to --export"),
        ([folder, "--truth", str(tmp_path / "none.npz"), "--no-open"], "none.npz"),
        ([str(tmp_path / "nothing")], "is not a session"),
        ([folder, "--export", "/proc/none/a.html"], "cannot be written"),
        ([folder, "--png", str(tmp_path / "a.png"), "--time", "9"], "lasts from 0 to 0.960 s"),
        ([folder, "--png", str(tmp_path / "a.png"), "--time", "-1"], "lasts from 0"),
        ([folder, "--png", str(tmp_path / "a.png"), "--time", "nan"], "lasts from 0"),
        ([folder, "--png", "."], "ends in .png"),
        ([folder, "--mp4", str(tmp_path / "a.avi")], "ends in .mp4"),
        ([folder, "--export", str(tmp_path / "a")], "ends in .html"),
        ([folder, "--time", "1"], "--time belongs to --png"),
        ([folder, "--path", "top"], "--path belongs to --png"),
        ([folder, "--png", str(tmp_path / "a.png"), "--truth", "x"], "--truth belongs to the page"),
        ([folder, "--rrd", str(tmp_path / "a.html")], "ends in .rrd"),
        ([folder, "--window", "--port", "80"], "viewer 'window' has no option 'port'"),
        ([folder, "--viewer", "brwser"], "did you mean 'browser'"),
        ([folder, "--port", "99999"], "--port"),
    )
    for words, told in cases:
        with pytest.raises(SystemExit) as end:
            main.main(["view", *words])
        error = capsys.readouterr().err
        assert end.value.code == 2 and told in error and error.count("\n") == 1, error
    assert [path.name for path in tmp_path.iterdir()] == ["empty"], "nothing half-written"
    with pytest.raises(SessionError):
        mvcap.view(empty)


def test_the_address_is_printed_and_serves_until_it_is_interrupted(session):
    process = subprocess.Popen(
        command("view", session.folder, "--no-open"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        url = process.stdout.readline().split()[1]
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert b"viewer.js" in answer.read()
    finally:
        process.terminate()
    assert process.wait(10) == 0 and "Traceback" not in process.stderr.read()


def test_the_paths_offered_are_those_there_are():
    assert set(CAMERA_PATHS) == set(viewpoints.CAMERA_PATHS)


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts are sent as signals")
def test_interrupted_twice_while_videos_are_prepared_nothing_is_left(tmp_path):
    session = numbered_session(tmp_path, 400, cameras=2, people=1)
    process = subprocess.Popen(
        command("view", session.folder, "--no-open"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    assert process.wait(20) == 0 and process.stderr.read() == b""
    assert not list((session.folder / "proxies").glob(".*"))
