"""The page of a live view in a real browser: people over the pictures, how late they are, and its one button."""

import http.client
import shutil
import threading
import time

import pytest
from live_take import cameras, oracle_take

import mvcap
from mvcap.streaming.live_server import LiveServer


def ask(server, path, method="GET", token=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, f"/{server.token if token is None else token}/{path}")
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium")
def test_the_page_in_a_browser(tmp_path):
    from playwright.sync_api import sync_playwright

    rig, settings = oracle_take(tmp_path)
    servers = []

    def opened(recorder):
        servers.append(LiveServer(recorder))
        threading.Thread(target=servers[0].serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def follow():
        with cameras(rig) as sources:
            results.append(mvcap.live(sources, rig, estimator="oracle", settings=settings, seconds=60, opened=opened,
                                      told=lambda *moment: servers[0].show(*moment)))  # fmt: skip

    results = []
    thread = threading.Thread(target=follow)
    thread.start()
    while not servers:
        time.sleep(0.02)
    [server] = servers
    with sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page, faults = chromium.new_page(viewport={"width": 1200, "height": 800}), []
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("request", lambda one: faults.append(one.url) if not one.url.startswith(server.url) else None)
        page.goto(server.url)
        page.wait_for_selector("main img", timeout=30_000, state="attached")
        page.wait_for_selector("#facts:has-text('people 1, 2')", timeout=30_000)
        end, widths = time.monotonic() + 20, [0]
        while min(widths) == 0 and time.monotonic() < end:  # the page's own rules forbid Playwright's way of waiting
            page.wait_for_timeout(100)
            widths = page.evaluate("[...document.images].map((one) => one.naturalWidth)")
        page.screenshot(path=str(tmp_path / "live.png"))
        assert ask(server, "status.json", token="x")[0] == 403 and ask(server, "stop", "POST", token="x")[0] == 403
        assert ask(server, "view/9.jpg")[0] == 404 and ask(server, "../live.py")[0] == 404
        assert ask(server, "erase", "POST")[0] == 404 and not results
        page.click("#stop")
        thread.join(20)
        chromium.close()
    server.shutdown()
    server.server_close()
    assert len(widths) == 4 and min(widths) > 0 and not faults
    assert results[0].reason == "ended on the page" and results[0].people == 2
