"""The server of the page: to those who have the address, from this machine, and nothing but what the page needs."""

import http.client
import json
import socket
import threading
from contextlib import ExitStack, contextmanager

import pytest
from built_page import needs_page
from numbered_videos import numbered_session

from mvcap.errors import InputError
from mvcap.structures.poses import Poses3D
from mvcap.viewers.browser import view_server
from mvcap.viewers.browser_server import ViewServer

pytestmark = needs_page

FRAMES = 20


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return numbered_session(tmp_path_factory.mktemp("served"), FRAMES)


@contextmanager
def served(session, **options):
    with ExitStack() as stack:
        server = view_server(session, stack, **options)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(session):
    with served(session) as running:
        running.videos.make(None)
        running.videos.proxy(None).done = 1.0
        yield running


def ask(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def mine(server, path, **options):
    return ask(server, f"/{server.token}/{path}", **options)


NEEDED = (
    "", "viewer.js", "style.css", "scene.json", "series.bin", "poses/refine/0.bin", "poses/track/0.bin",
    "projected/refine/0.bin", "video/mosaic.json", "video/mosaic.mp4",
)  # fmt: skip
OUTSIDE = (
    "session.yaml", "../session.yaml", "%2e%2e/session.yaml", "..%2f..%2fetc/passwd", "main.js", "__init__.py",
    "poses/refine/../../session.yaml", "poses/refine/1.bin", "poses/refine/-100.bin", "poses/x/0.bin",
    "poses/refine/99999999999999.bin", "video/../rig.json", "video/cam1.json", "video/99.mp4", "video/%00.mp4",
    "cloud/0.bin", "cloud/x.bin", "skin.bin", "shape/1.bin", "shape/x.bin", "meshes/0.bin", "video/", "poses/",
)  # fmt: skip


@pytest.mark.parametrize("path", NEEDED)
def test_the_page_gets_what_it_needs(server, path):
    status, headers, body = mine(server, path)
    assert status == 200 and len(body) == int(headers["Content-Length"]) > 0
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"] and "unsafe-eval" not in str(headers)
    assert not any(name.lower().startswith("access-control") for name in headers), "no other page may read it"
    status, headers, nothing = mine(server, path, method="HEAD")
    assert status == 200 and nothing == b"" and int(headers["Content-Length"]) == len(body)


@pytest.mark.parametrize(
    "path", ["/", "/scene.json", "/x/scene.json", "//scene.json", "/../scene.json", "/%2e%2e/scene.json"]
)
def test_without_the_token_nothing_is_told(server, path):
    status, _, body = ask(server, path)
    assert status == 403 and b"address is not whole" in body and server.token.encode() not in body
    half = server.token[:-1]
    assert ask(server, f"/{half}/scene.json")[0] == 403


def test_tokens_are_long_and_new_each_time(session, server):
    with served(session) as other:
        assert other.token != server.token and len(other.token) >= 24
        assert other.token in other.url and other.url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "localhost:1", ""])
def test_a_foreign_name_for_this_machine_is_refused(server, host):
    status, _, body = mine(server, "scene.json", Host=host)
    assert status == 403 and b"not served here" in body
    good = f"localhost:{server.server_port}"
    assert mine(server, "scene.json", Host=good)[0] == 200


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_path_leads_out_of_what_the_page_needs(server, path):
    status, _, body = mine(server, path)
    assert status == 404 and b"Traceback" not in body and b"name: cam" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_reading(server, method):
    assert mine(server, "scene.json", method=method)[0] in (405, 501)


def test_parts_of_a_video(server):
    whole = mine(server, "video/mosaic.mp4")[2]
    size = len(whole)
    for asked, part in (("bytes=0-9", whole[:10]), ("bytes=10-", whole[10:]), ("bytes=-7", whole[-7:]),
                        (f"bytes=5-{size + 50}", whole[5:]), (f"bytes=-{size + 50}", whole)):  # fmt: skip
        status, headers, body = mine(server, "video/mosaic.mp4", Range=asked)
        assert status == 206 and body == part, asked
        first = size - len(part) if asked != "bytes=0-9" else 0
        assert headers["Content-Range"] == f"bytes {first}-{first + len(part) - 1}/{size}"
    status, headers, _ = mine(server, "video/mosaic.mp4", Range=f"bytes={size}-")
    assert status == 416 and headers["Content-Range"] == f"bytes */{size}"
    for other in ("bytes=5-2", "bytes=-0"):
        assert mine(server, "video/mosaic.mp4", Range=other)[0] == 416
    for ignored in ("lines=1-2", "bytes=a-b", "bytes=0-1,3-4", "bytes=-"):
        assert mine(server, "video/mosaic.mp4", Range=ignored)[0] == 200


def test_a_damaged_chunk_is_named_and_the_rest_goes_on(session, tmp_path):
    import shutil

    from mvcap.structures.session import Session

    copy = Session.open(shutil.copytree(session.folder, tmp_path / "copy.mvcap"))
    with served(copy) as running:
        assert mine(running, "scene.json")[0] == 200
        running.scene._read.cache_clear()
        next((copy.folder / "artefacts" / "refine").glob("0*.npz")).write_bytes(b"damaged")
        status, _, body = mine(running, "poses/refine/0.bin")
        assert status == 500 and b"cannot be read" in body and b"\n" not in body
        assert mine(running, "poses/track/0.bin")[0] == 200


def test_videos_that_were_moved_away_are_said_and_skeletons_are_served(session):
    videos = session.folder.parent / "videos"
    for path in list((session.folder / "proxies").glob("*.mp4")):
        path.unlink()
    moved = videos.rename(videos.with_name("away"))
    try:
        with served(session) as running:
            for _ in range(200):
                state = json.loads(mine(running, "video/mosaic.json")[2])
                if state["failed"]:
                    break
                threading.Event().wait(0.02)
            assert "missing" in state["failed"] and state["done"] < 1
            assert mine(running, "video/mosaic.mp4")[0] == 404 and mine(running, "poses/refine/0.bin")[0] == 200
    finally:
        moved.rename(videos)


def test_a_port_that_is_taken_is_one_line(server, session):
    with (
        ExitStack() as stack,
        pytest.raises(InputError, match=r"--port \d+: cannot be served .*another --port") as caught,
    ):
        view_server(session, stack, port=server.server_port)
    assert "\n" not in str(caught.value)
    for host in ("no such host", "1.2.3.4"):
        with pytest.raises(InputError, match=r"cannot be served .*give another --host"):
            ViewServer(server.scene, server.videos, host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.2", "0.0.0.0", "::1"])
def test_every_address_that_is_printed_is_answered(session, host):
    import urllib.error
    import urllib.request

    try:
        with served(session, host=host) as running:
            assert len(running.urls) == (2 if host == "0.0.0.0" else 1)
            with urllib.request.urlopen(running.url + "scene.json", timeout=10) as answer:
                assert answer.status == 200
    except InputError as fault:
        assert host == "::1" and "--host" in str(fault), "no IPv6 here"


def test_an_address_that_is_none_is_refused_quietly(server, capfd):
    host = f"Host: 127.0.0.1:{server.server_port}"
    for path in ("http://[/x/", "//[/", "/%", f"/{server.token}/%ff%fe", "/?" + "a" * 100):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n".encode())
            assert connection.recv(100).split()[1] in (b"403", b"404")
    assert "Traceback" not in capfd.readouterr().err


def test_a_session_that_was_changed_says_so_until_the_page_is_loaded_again(session, tmp_path):
    import shutil

    from mvcap.structures.session import Session

    copy = Session.open(shutil.copytree(session.folder, tmp_path / "copy.mvcap"))
    with served(copy) as running:
        assert mine(running, "poses/refine/0.bin")[0] == mine(running, "series.bin")[0] == 200
        refined = copy.artefact("refine", Poses3D)
        refined.note(seconds=123.0)  # as made again
        for path in ("poses/refine/0.bin", "projected/refine/0.bin", "series.bin"):
            status, _, body = mine(running, path)
            assert status == 409 and b"reload the page" in body
        assert mine(running, "scene.json")[0] == 200
        assert mine(running, "poses/refine/0.bin")[0] == mine(running, "series.bin")[0] == 200


def test_a_read_only_session_is_shown_and_left_alone(session, monkeypatch):
    from mvcap.viewers import browser

    before = sorted(path.name for path in session.folder.iterdir())
    monkeypatch.setattr(browser.os, "access", lambda path, mode: False)
    with served(session) as running:
        made = running.videos.make(None).path
        assert made.is_file() and session.folder not in made.parents
    assert sorted(path.name for path in session.folder.iterdir()) == before and not made.exists()
