"""The cache of models and samples against servers that fail, wheels that lie and processes that die."""

import hashlib
import http.server
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
import zipfile

import pytest

from mvcap import assets
from mvcap.assets import Asset, HttpsSource, WheelSource
from mvcap.errors import AssetError

DATA = b"a network of very few weights " * 4000


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            return self.send_error(404)
        data = b"X" + DATA[1:] if self.path == "/wrong" else DATA
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.path == "/slow":
            self.wfile.write(data[:5000])
            self.wfile.flush()
            time.sleep(20)
        return self.wfile.write(data[: len(data) // 2 if self.path == "/short" else None])

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MVCAP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def asset(name, source, data=DATA):
    return Asset(
        name, f"models/{name}.bin", source, len(data), hashlib.sha256(data).hexdigest(), "MIT", "a test", "model"
    )


def use(monkeypatch, *table):
    monkeypatch.setattr(assets, "ASSETS", {entry.name: entry for entry in table})


def make_wheel(folder, package="tinymodels", members=("tinymodels/a.bin", "tinymodels/b.bin")):
    """Write the smallest wheel that pip takes for one."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{package}-1.0-py3-none-any.whl"
    info = f"{package}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for member in members:
            archive.writestr(member, DATA)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that is all that pip can see."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    return tmp_path / "links"


def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(subprocess, "run", refuse)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def nothing_but(cache, *names):
    return sorted(str(file.relative_to(cache)) for file in cache.rglob("*") if file.is_file()) == sorted(names)


def test_the_table_is_sound():
    assert len(assets.ASSETS) == 27 == len({entry.file for entry in assets.ASSETS.values()})
    for entry in assets.ASSETS.values():
        assert len(entry.sha256) == 64 and int(entry.sha256, 16) and entry.size > 0
        assert entry.licence in ("Apache-2.0", "BSD-3-Clause", "MIT") and not entry.file.startswith("/")
    assert [len(assets.select([name])) for name in ("blazepose-detector", "demo-multiperson")] == [1, 5]
    with pytest.raises(AssetError, match=r"blazpose: no asset.*blazepose-detector.*demo-multiperson"):
        assets.select(["blazpose"])


def test_good_download_then_offline(cache, server, monkeypatch):
    use(monkeypatch, asset("net", HttpsSource(f"{server}/good")))
    seen = []
    assert assets.find("net") is None
    path = assets.path("net", lambda *step: seen.append(step))
    assert path == cache / "models" / "net.bin" and path.read_bytes() == DATA
    assert seen[-1] == ("net", len(DATA), len(DATA))
    offline(monkeypatch)
    assert assets.path("net") == assets.find("net") == assets.fetch(["net"])[0] == path
    assets.verify(["net"])
    assert nothing_but(cache, "models/net.bin")


@pytest.mark.parametrize(("page", "reason"), [("short", "bytes"), ("wrong", "sha256"), ("missing", "404")])
def test_a_bad_download_never_lands(cache, server, monkeypatch, page, reason):
    net = asset("net", HttpsSource(f"{server}/{page}"))
    use(monkeypatch, net)
    with pytest.raises(AssetError, match=reason) as caught:
        assets.path("net")
    message = str(caught.value)
    assert "\n" not in message
    for told in ("net", f"{server}/{page}", net.sha256, str(cache / "models" / "net.bin")):
        assert told in message
    assert nothing_but(cache)


def test_unreachable_and_untrusted_servers(cache, monkeypatch):
    use(
        monkeypatch,
        asset("gone", HttpsSource("http://127.0.0.1:9/a")),
        asset("plain", HttpsSource("http://10.0.0.1/a")),
    )
    with pytest.raises(AssetError, match="refused"):
        assets.fetch(["gone"])
    with pytest.raises(AssetError, match="only https"):
        assets.fetch(["plain"])


def test_wheel_is_fetched_once_opened_and_not_kept(cache, index, monkeypatch):
    make_wheel(index)
    make_wheel(index, "othermodels", ["othermodels/c.bin"])
    members = [("tinymodels", "a"), ("tinymodels", "b"), ("othermodels", "c")]
    use(monkeypatch, *(asset(f"tiny/{m}", WheelSource(p, "1.0", f"{p}/{m}.bin")) for p, m in members))
    calls, run = [], subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: calls.append(a) or run(*a, **k))
    assert assets.path("tiny") == cache / "models" / "tiny"
    assert len(calls) == 2
    assert nothing_but(cache, "models/tiny/a.bin", "models/tiny/b.bin", "models/tiny/c.bin")


def test_wheel_failures_say_what_to_do_by_hand(cache, index, monkeypatch):
    use(monkeypatch, asset("net", WheelSource("tinymodels", "1.0", "tinymodels/z.bin")))
    with pytest.raises(AssetError, match="pip: No matching distribution") as caught:
        assets.fetch(["net"])
    for told in ("tinymodels/z.bin in the wheel tinymodels 1.0", str(cache / "models/net.bin"), str(cache / "wheels")):
        assert told in str(caught.value)
    make_wheel(index)
    with pytest.raises(AssetError, match="does not hold the file"):
        assets.fetch(["net"])
    assert nothing_but(cache)


def test_wheel_put_by_hand_serves_without_pip(cache, monkeypatch):
    offline(monkeypatch)
    use(monkeypatch, asset("net", WheelSource("tinymodels", "1.0", "tinymodels/a.bin")))
    wheel = make_wheel(cache / "wheels")
    assert assets.path("net").read_bytes() == DATA
    assert assets.remove(["net"]) == [cache / "models" / "net.bin"]
    wheel.write_bytes(wheel.read_bytes()[:300])
    with pytest.raises(AssetError, match="broken"):
        assets.path("net")


def test_a_broken_cache_file_is_named_and_repaired(cache, server, monkeypatch):
    use(monkeypatch, asset("net", HttpsSource(f"{server}/good")), asset("other", HttpsSource(f"{server}/good")))
    path = assets.path("net")
    path.write_bytes(b"X" + DATA[1:])
    assert [state for _, state in assets.status()] == ["broken", "missing"]
    for use_it in (assets.path, assets.find, lambda name: assets.verify([name])):
        with pytest.raises(AssetError, match="is broken; repair with: mvcap assets fetch net") as caught:
            use_it("net")
        assert str(path) in str(caught.value)
    with pytest.raises(AssetError, match=r"net\) is broken.*other\) is missing"):
        assets.verify(["net", "other"])
    with pytest.raises(AssetError, match=r"net\) is broken; repair"):
        assets.verify()
    assets.fetch(["net"])
    assets.verify()  # what nobody asked for may be missing
    assets.verify(["net"])
    assert assets.remove(["net"]) == [path] and assets.remove(["net"]) == [] and assets.find("net") is None


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MVCAP_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(AssetError, match=r"cannot be written .*set MVCAP_CACHE"):
        assets.fetch(["blazepose-detector"])


def test_a_read_only_cache_serves_what_it_has(cache, server, monkeypatch):
    if os.name == "nt" or os.geteuid() == 0:
        pytest.skip("permissions do not bind this user")
    use(monkeypatch, asset("net", HttpsSource(f"{server}/good")), asset("other", HttpsSource(f"{server}/good")))
    path = assets.path("net")
    cache.chmod(0o500)
    try:
        assert assets.path("net") == path
        with pytest.raises(AssetError, match="cannot be written"):
            assets.path("other")
    finally:
        cache.chmod(0o700)


def fetching_process(url, name="net"):
    code = f"""
        import hashlib
        from mvcap import assets
        data = {DATA[:30]!r} * 4000
        sha256 = hashlib.sha256(data).hexdigest()
        source = assets.HttpsSource({url!r})
        entry = assets.Asset({name!r}, "models/net.bin", source, len(data), sha256, "MIT", "test", "model")
        assets.ASSETS = {{{name!r}: entry}}
        print(assets.path({name!r}), flush=True)
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_killed_midway_leaves_nothing_in_its_place_and_is_swept_up(cache, server, monkeypatch):
    process = fetching_process(f"{server}/slow")
    deadline = time.monotonic() + 20
    while not list(cache.glob(".fetch-*/*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = list(cache.glob(".fetch-*"))
    assert left and not (cache / "models").exists()
    os.utime(left[0], (0, 0))
    use(monkeypatch, asset("net", HttpsSource(f"{server}/good")))
    assert assets.path("net").read_bytes() == DATA
    assert nothing_but(cache, "models/net.bin")


def test_two_processes_at_once(cache, server):
    processes = [fetching_process(f"{server}/good") for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs == [str(cache / "models" / "net.bin")] * 2
    assert nothing_but(cache, "models/net.bin")
