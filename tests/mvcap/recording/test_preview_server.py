"""The page of a recording, in a real browser: what it shows, its buttons, and that others cannot read it."""

import http.client
import json
import shutil
import threading
import time
from contextlib import contextmanager

import pytest
from camera_server import camera, numbered_jpegs

from mvcap.recording.preview import Preview
from mvcap.recording.preview_server import PreviewServer
from mvcap.recording.recorder import Recorder
from mvcap.sources.mjpeg import Mjpeg

SIZE = (320, 180)


@contextmanager
def page_of(recorder):
    """A recorder that runs in a thread, with its page."""
    preview = Preview(list(recorder.sources))
    recorder.listen(preview.listen)
    server = PreviewServer(recorder, preview)
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}),
        threading.Thread(target=recorder.run),
    ]
    for thread in threads:
        thread.start()
    try:
        yield server
    finally:
        recorder.stop()
        server.shutdown()
        for thread in threads:
            thread.join(20)
        server.server_close()


@pytest.fixture(scope="module")
def jpegs():
    return numbered_jpegs(300, SIZE)


def ask(server, path, method="GET", token=None, host=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(
        method, f"/{server.token if token is None else token}/{path}", headers={"Host": host} if host else {}
    )
    answer = connection.getresponse()
    return answer.status, answer.read()


def until(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_it_is_started_and_stopped_by_those_who_have_the_address(tmp_path, jpegs):
    with camera(jpegs, 30.0) as served:
        recorder = Recorder(tmp_path / "r", {"a": Mjpeg(served.address())}, keep_free=0, waits=True)
        with page_of(recorder) as server:
            until(lambda: recorder.state.phase == "ready")
            for wrong in ({"token": "x"}, {"host": "evil.example"}):
                assert ask(server, "start", "POST", **wrong)[0] == 403 and ask(server, "status.json", **wrong)[0] == 403
            assert recorder.state.phase == "ready"
            assert ask(server, "view/0.jpg")[1][:2] == b"\xff\xd8" and ask(server, "view/1.jpg")[0] == 404
            assert ask(server, "../recorder.py")[0] == 404 and ask(server, "erase", "POST")[0] == 404
            assert ask(server, "start", "POST")[0] == 200
            until(lambda: recorder.state.seconds > 0.3)
            [view] = json.loads(ask(server, "status.json")[1])["views"]
            assert view["written"] > 3 and view["lost"] == 0 and abs(view["rate_hz"] - 30) < 2 and view["connected"]
            assert ask(server, "stop", "POST")[0] == 200
            until(lambda: recorder.state.phase == "ended")
    assert (tmp_path / "r" / "videos" / "a.mkv").stat().st_size > 1000


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium")
def test_the_page_in_a_browser(tmp_path, jpegs):
    from playwright.sync_api import sync_playwright

    with camera(jpegs, 30.0) as served, sync_playwright() as running:
        sources = {name: Mjpeg(served.address(name)) for name in ("left", "right")}
        recorder = Recorder(tmp_path / "r", sources, keep_free=0, waits=True)
        chromium = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with page_of(recorder) as server:
            page, faults = chromium.new_page(viewport={"width": 1000, "height": 600}), []
            page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda fault: faults.append(str(fault)))
            page.on("request", lambda one: faults.append(one.url) if not one.url.startswith(server.url) else None)
            page.goto(server.url)
            page.wait_for_selector("#start:visible", timeout=60_000)
            page.click("#start")
            page.wait_for_selector("#phase.recording", timeout=60_000)
            widths = "[...document.images].map((one) => one.naturalWidth)"
            until(lambda: page.evaluate(widths) == [480, 480] and recorder.state.seconds > 1, 60)
            served.away.add("right")
            page.wait_for_selector("figure.away", timeout=60_000)
            text = page.inner_text("main")
            page.screenshot(path=str(tmp_path / "recording.png"))
            page.click("#stop")
            until(lambda: recorder.state.phase == "ended")
        chromium.close()
    assert "left" in text and "30.0" in text and "lost" in text
    assert not faults
