"""The page of `mvcap view` in a real browser: how fast it is there, how fast it scrubs, what memory it takes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benches.section import Options, Row, Section, say
from calib import Rig, save_rig
from mvcap.structures.artefact import Artefact, Origin
from mvcap.structures.cloud_file import save_cloud
from mvcap.structures.npz import written_whole
from mvcap.structures.point_cloud import PointCloud
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.structures.skeleton import skeleton

POINTS = 25_000
LONG = {"frames": 10_000, "people": 5, "cameras": 12}
SECONDS = 4.0
PICTURE = (960, 540)
EMPTY = "<!doctype html><body style='background:#888'><canvas id=c width=900 height=570></canvas>"
SCRUB = """async (seconds) => {
  const begin = performance.now(), frames = mvcap.about.frames;
  let updates = 0;
  while (performance.now() - begin < 1000 * seconds) {
    mvcap.seek((7 * updates++) % frames);
    await new Promise((done) => requestAnimationFrame(done));
  }
  return updates / seconds;
}"""
IDLE = """async (seconds) => {
  const begin = performance.now(), pen = document.getElementById("c").getContext("2d");
  let updates = 0;
  while (performance.now() - begin < 1000 * seconds) {
    pen.fillRect(updates++ % 800, 0, 9, 9);
    await new Promise((done) => requestAnimationFrame(done));
  }
  return updates / seconds;
}"""


def viewer(options: Options) -> Section:
    """Tables of a short take with videos and clouds, and of a long one, beside a page that only draws a square."""
    section = Section(
        "the viewer's page",
        "Chromium without a GPU, 1366 x 768. ready = from opening the address; updates/s = frames shown one after "
        "another, another one each time the browser draws; alone = updates/s of a page that only draws a square",
    )
    frames = 60 if options.quick else 200
    short = made_session(options.work / "short.mvcap", frames, 3, 4, videos=True)
    long = made_session(options.work / "long.mvcap", **({**LONG, "frames": 1000} if options.quick else LONG))
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1366, "height": 768})
        page.set_content(EMPTY)
        alone = float(page.evaluate(IDLE, SECONDS))
        page.close()
        for title, layers in (("people", ()), ("and mosaic", ("mosaic",)), ("and 25,000 points", ("mosaic", "cloud"))):
            say(f"short take: {title}")
            section.add("4 cameras, 3 people, with videos", {"shown": title, **opened(chromium, short, layers, alone)})
        say("long take")
        row = opened(chromium, long, (), alone)
        section.add(f"12 cameras, 5 people, {long.frames} frames, no videos", {"shown": "people", **row})
    return section


def opened(chromium: Any, session: Session, layers: tuple[str, ...], alone: float) -> Row:
    """Open the page of a session and measure it."""
    with ExitStack() as stack:
        server, url = served(session)
        stack.callback(server.kill)
        page = chromium.new_page(viewport={"width": 1366, "height": 768})
        stack.callback(page.close)
        begin = time.perf_counter()
        page.goto(url)
        page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
        until(page, "mvcap.scene.bodies.refine.joints.count > 0")
        ready = time.perf_counter() - begin
        until(page, "mvcap.timeline.series", 120)
        if "mosaic" in layers:
            until(page, "mvcap.mosaic.ready", 300)
        else:
            page.evaluate("() => { mvcap.mosaic.seek = () => {}; }")
        page.evaluate(f"mvcap.setLayer('cloud', {str('cloud' in layers).lower()})")
        page.evaluate(SCRUB, 1.0)
        rate = float(page.evaluate(SCRUB, SECONDS))
        heap = float(page.evaluate("performance.memory.usedJSHeapSize / 1e6"))
        return {
            "ready s": ready, "updates/s": rate, "alone": alone, "ratio": rate / alone, "page MB": heap,
            "server MB": memory_mb(server.pid),
        }  # fmt: skip


def served(session: Session) -> tuple[subprocess.Popen[str], str]:
    """Start `mvcap view` in a process of its own; return it and its address."""
    words = [sys.executable, "-m", "mvcap.cli", "view", str(session.folder), "--no-open"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().split()[1]


def memory_mb(process: int) -> float | None:
    """Peak memory of a process in MB, None where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM")), None)


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium without a GPU and without a window."""
    from playwright.sync_api import sync_playwright

    software = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_playwright() as running:
        chromium = running.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--enable-precise-memory-info", *software]
        )
        yield chromium
        chromium.close()


def until(page: Any, condition: str, seconds: float = 30) -> None:
    """Wait for a condition; the page's own rules forbid Playwright's way of waiting."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        if time.monotonic() > end:
            raise TimeoutError(condition)
        threading.Event().wait(0.02)


def made_session(folder: Path, frames: int, people: int, cameras: int, *, videos: bool = False) -> Session:
    """A session whose people walk in circles, with noise; videos: with pictures, and clouds at every tenth frame."""
    from synthetic_take import ring_rig

    from mvcap.init import init

    shutil.rmtree(folder, ignore_errors=True)
    rig: Rig = ring_rig(cameras, size=PICTURE)
    if videos:
        session = init(_videos(folder.with_suffix(""), rig, frames), rig=_rig_file(folder, rig), folder=folder)
    else:
        session = Session.create(rig, folder, frames=frames, rate_hz=25.0)
    kind, rng = skeleton("halpe26"), np.random.default_rng(0)
    base = rng.normal(0, 0.3, (len(kind), 3)) + np.array([0, 0, 1])
    for stage in ("track", "refine"):
        artefact: Artefact[Poses3D] = session.artefact(stage, Poses3D)
        artefact.begin(Origin(stage, 1, {}, {}), kind.stored_name, frames, 50)
        for start, stop in artefact.ranges():
            artefact.write(start, _walkers(kind, base, np.arange(start, stop), people, rng))
        artefact.finish()
    for frame in range(0, frames, 10) if videos else ():
        xyz = rng.normal(size=(POINTS, 3)) * [1.0, 1.0, 0.4] + [0, 0, 1]
        none = np.zeros(POINTS)
        (session.folder / "clouds").mkdir(exist_ok=True)
        cloud = PointCloud(xyz, rng.integers(0, 255, (POINTS, 3)), none + 1, none, none)
        save_cloud(session.folder / "clouds" / f"{frame:07d}.ply", cloud)
    return session


def _walkers(kind: Any, base: np.ndarray, frames: np.ndarray, people: int, rng: np.random.Generator) -> Poses3D:
    frame, person = np.repeat(frames, people), np.tile(np.arange(1, people + 1), len(frames))
    phase = frame / 50 + person
    middle = np.stack([2 * np.cos(phase), 2 * np.sin(phase), 0 * phase], -1)[:, None]
    xyz = base + middle + 0.03 * rng.normal(size=(len(frame), len(kind), 3))
    one = np.ones((len(frame), len(kind)))
    cov = np.tile([1e-4, 0, 0, 1e-4, 0, 1e-4], (len(frame), len(kind), 1))
    return Poses3D(kind, frame, person, person, xyz, one, 3 * one, 4 * one, cov, one)


def _rig_file(folder: Path, rig: Rig) -> Path:
    path = folder.with_suffix(".yaml")
    save_rig(rig, path)
    return path


def _videos(folder: Path, rig: Rig, frames: int) -> Path:
    """A folder with a video for each camera: a moving pattern, PICTURE in size."""
    from mvcap.structures.video_writer import write_video

    folder.mkdir(parents=True, exist_ok=True)
    across, down = np.meshgrid(np.arange(PICTURE[0]), np.arange(PICTURE[1]))
    for view, camera in enumerate(rig):
        pictures = (
            np.stack([across + 5 * frame, down + 40 * view, across // 2 + down + 3 * frame], -1).astype(np.uint8)
            for frame in range(frames)
        )
        with written_whole(folder / f"{camera.name}.mp4") as temporary:
            write_video(temporary, pictures, 25.0, PICTURE)
    return folder
