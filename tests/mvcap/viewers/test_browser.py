"""The viewer in a real browser: pictures exact to the frame, joints where the cameras see them, and every control."""

import random
import shutil
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
from built_page import needs_page
from numbered_videos import BITS, CELL, SIZE, numbered_session
from synthetic_take import command

import mvcap
from mvcap import stages
from mvcap.exporters.gltf_skins_reader import session_bodies
from mvcap.structures.session import Session
from mvcap.viewers.browser import view_server
from mvcap.viewers.browser_page import page_file
from mvcap.viewers.browser_single_file import write_single_file

pytestmark = needs_page

FRAMES = 90
DROPPED = (11, 12, 40, 63)
NUMBER = f"""(() => {{
  const canvas = document.createElement("canvas"), player = PLAYER, tile = player.tile(VIEW);
  [canvas.width, canvas.height] = [tile.w, tile.h];
  const pen = canvas.getContext("2d", {{ willReadFrequently: true }});
  pen.drawImage(player.video, tile.x, tile.y, tile.w, tile.h, 0, 0, tile.w, tile.h);
  const scale = tile.w / {SIZE[0]};
  let number = 0, ends = [255, 0];
  for (let bit = 0; bit <= {BITS}; bit++) {{
    const at = [Math.floor((bit + 0.5) * {CELL} * scale), Math.floor({CELL} * scale / 2)];
    const [r, g, b] = pen.getImageData(...at, 1, 1).data;
    const light = (r + g + b) / 3;
    ends = [Math.min(ends[0], light), Math.max(ends[1], light)];
    if (light > 128 && bit < {BITS}) number += 2 ** bit;
  }}
  return ends[1] - ends[0] < 40 ? -1 : number;
}})()"""


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    made = numbered_session(tmp_path_factory.mktemp("shown"), FRAMES, dropped=DROPPED)
    mvcap.mesh(made, body="capsules", formats=["glb"], every=5)
    return made


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium on this machine; apt-get install chromium")
    software = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required", *software]
        )
        yield opened
        opened.close()


@contextmanager
def watched(chromium, address, allowed):
    """A page at an address; faults on its console and requests to elsewhere end the test."""
    page = chromium.new_page(viewport={"width": 1280, "height": 720})
    faults = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(allowed) else faults.append(request.url))
    page.goto(address)
    page.wait_for_selector("body[data-ready=yes]", timeout=30_000)
    yield page
    page.close()
    assert faults == []


@pytest.fixture(scope="module")
def page(session, chromium):
    with ExitStack() as stack:
        server = view_server(session, stack)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        with watched(chromium, server.url, (server.url, "data:", "blob:")) as opened:
            until(opened, "mvcap.mosaic.ready")
            yield opened
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def calm(request):
    """Every test begins in 3D at the first frame, with everything shown."""
    if "page" in request.fixturenames:
        page = request.getfixturevalue("page")
        page.evaluate("() => { mvcap.lookThrough(null); mvcap.hidden.clear(); mvcap.setSpeed(1); mvcap.seek(0); }")


@pytest.fixture
def keep(page, tmp_path_factory):
    """Keep a picture of the page beside the other files of the test run, for those who want to look."""
    folder = tmp_path_factory.getbasetemp() / "screenshots"
    folder.mkdir(exist_ok=True)
    return lambda name: page.screenshot(path=folder / f"{name}.png")


def until(page, condition, seconds=20):
    """Wait for a condition; the page's own rules forbid Playwright's way of waiting."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(10)


def shown_number(page, player, view):
    return page.evaluate(NUMBER.replace("PLAYER", player).replace("VIEW", f'"{view}"'))


def test_the_picture_is_that_of_the_frame_asked_for(page, session):
    rng = random.Random(0)
    for frame in [rng.randrange(FRAMES) for _ in range(34)] + [*DROPPED, 0, FRAMES - 1]:
        page.evaluate(f"mvcap.seek({frame})")
        until(page, f"mvcap.mosaic.frame === {frame}")
        for view, name in enumerate(session.names):
            lost = view == 2 and frame in DROPPED
            assert shown_number(page, "mvcap.mosaic", name) == (-1 if lost else frame), (frame, name)


def test_one_camera_alone_shows_the_frame_too_and_joints_lie_where_it_sees_them(page, session):
    poses = stages.poses(session, "refine").between(0, FRAMES)
    for view, name in enumerate(session.names):
        page.keyboard.press(str(view + 1))
        until(page, "mvcap.lookPlayer?.ready")
        for frame in (7, 40, 76):
            page.evaluate(f"mvcap.seek({frame})")
            until(
                page,
                f"mvcap.lookPlayer.frame === {frame} && mvcap.lookFrame === {frame} && mvcap.projected.has({frame})",
            )
            lost = view == 2 and frame in DROPPED
            assert shown_number(page, "mvcap.lookPlayer", name) == (-1 if lost else frame)
            drawn = np.array(page.evaluate(f"""(() => {{
              const chunk = mvcap.chunks.refine.at({frame}), projected = mvcap.projected.at({frame}), out = [];
              const joints = chunk.xyz.shape[1], count = chunk.frame.length;
              for (const row of chunk.rows.get({frame})) {{
                const at = 2 * joints * ({view} * count + row);
                out.push(...projected.xy.slice(at, at + 2 * joints));
              }}
              return out;
            }})()"""), float).reshape(-1, len(poses.skeleton), 2)  # fmt: skip
            right = session.rig[view].project(poses[poses.frame == frame].xyz.astype(float))
            np.testing.assert_allclose(drawn, right, atol=0.01)
    page.keyboard.press("Escape")
    assert page.evaluate("mvcap.look === null && document.getElementById('look').hidden")


def test_a_joint_is_drawn_on_its_pixel(page, session, keep):
    name = session.names[0]
    page.evaluate(f"mvcap.lookThrough('{name}'); mvcap.seek(20)")
    until(
        page,
        "mvcap.lookPlayer?.ready && mvcap.lookFrame === 20 && mvcap.projected.has(20)",
    )
    poses = stages.poses(session, "refine").between(20, 21)
    rgb = np.array([int(page.evaluate(f"mvcap.colours.get({poses.person[0]})")[k : k + 2], 16) for k in (1, 3, 5)])
    joint = poses.skeleton.index("left_wrist")
    xy = session.rig[0].project(poses.xyz[:1, joint].astype(float))[0]
    found = page.evaluate(f"""(() => {{
      const {{x, y, scale}} = mvcap.lookPlace, pen = document.getElementById("look").getContext("2d");
      const at = [Math.round(x + {xy[0]} * scale), Math.round(y + {xy[1]} * scale)];
      return [...pen.getImageData(...at, 1, 1).data].slice(0, 3);
    }})()""")
    assert np.abs(np.array(found) - rgb).max() < 12
    keep("through_a_camera")


def test_playing_keeps_skeletons_and_pictures_together_and_ends(page):
    page.evaluate("mvcap.setSpeed(0.5)")
    page.keyboard.press("Space")
    until(page, "mvcap.frame > 10")
    for _ in range(8):
        both = page.evaluate("[mvcap.frame, mvcap.mosaic.frame]")
        assert both[0] == both[1]
    page.evaluate("mvcap.setSpeed(4)")
    until(page, f"!mvcap.playing && mvcap.frame === {FRAMES - 1}")
    page.keyboard.press("Home")
    until(page, "mvcap.frame === 0 && mvcap.mosaic.frame === 0")


def test_keys_and_the_timeline_move_through_the_take(page):
    for key, frame in (
        ("ArrowRight", 1),
        ("Shift+ArrowRight", 11),
        ("ArrowLeft", 10),
        ("End", FRAMES - 1),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        assert page.evaluate("mvcap.frame") == frame
    box = page.locator("#timeline").bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 40)
    assert page.evaluate("mvcap.frame") == pytest.approx(FRAMES / 2, abs=1)
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 40, steps=4)
    page.mouse.up()
    assert page.evaluate("mvcap.frame") == pytest.approx(FRAMES / 4, abs=1)
    assert f"of {FRAMES}" in page.locator("#clock").inner_text()
    page.keyboard.press("?")
    assert page.locator("#keytable tr").count() > 8 and page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("]")
    assert page.evaluate("mvcap.speed") == 2


def test_people_and_layers_are_switched(page, keep):
    spheres = "mvcap.scene.bodies.refine.joints.count"
    whole = page.evaluate(spheres)
    page.locator("input[name=person1]").uncheck()
    assert 0 < page.evaluate(spheres) < whole
    page.locator("input[name=person1]").check()
    assert page.evaluate(spheres) == whole
    for key, layer, showing in (("r", "raw", "mvcap.scene.bodies.track.group.visible"),
                                ("e", "uncertainty", "mvcap.scene.bodies.refine.ellipsoids.count > 0"),
                                ("c", "cameras", "mvcap.scene.frusta.visible")):  # fmt: skip
        before = page.evaluate(showing)
        page.keyboard.press(key)
        until(page, f"({showing}) !== {str(before).lower()}")
        assert page.locator(f"input[name={layer}]").is_checked() is not before
        page.keyboard.press(key)
        until(page, f"({showing}) === {str(before).lower()}")
    page.locator("input[name=pictures]").check()
    until(page, "mvcap.scene.pictures.every((one) => one.visible && one.material.map)")
    keep("light")
    page.locator("#theme").click()
    keep("dark")
    page.locator("#theme").click()
    page.locator("input[name=pictures]").uncheck()
    page.locator("#curve").select_option(label="left knee, flexion")
    assert page.evaluate("mvcap.timeline.curve") == 2


def test_meshes_move_with_the_timeline_and_are_switched(page, session, keep):
    """The page's vertices are those of the body, also between the frames that have meshes."""
    bodies = session_bodies(session)
    corners = """(() => {
      mvcap.scene.draw();
      const { mesh } = mvcap.meshes.people.get(ID), out = [], at = mesh.position.clone();
      for (let n = 0; n < mesh.geometry.attributes.position.count; n += 97)
        out.push(mesh.localToWorld(mesh.getVertexPosition(n, at)).toArray());
      return out;
    })()"""
    for frame, shown in ((40, 40), (44, 40), (7, 5)):
        page.evaluate(f"mvcap.seek({frame})")
        until(page, f"mvcap.meshes.people.size === {len(bodies.people)} && mvcap.meshes.chunks.has({frame})")
        for person, one in bodies.people.items():
            truth = one.vertices(int(np.flatnonzero(one.frames == shown)[0]))[::97]
            np.testing.assert_allclose(page.evaluate(corners.replace("ID", str(person))), truth, atol=1e-3)
    keep("meshes")
    page.fill("input[name=opacity]", "0.3")
    assert page.evaluate("[...mvcap.meshes.people.values()].map(({ mesh }) => mesh.material.opacity)") == [0.3, 0.3]
    first = next(iter(bodies.people))
    page.uncheck(f"input[name=person{first}]")
    assert page.evaluate("[...mvcap.meshes.people].filter(([, one]) => one.mesh.visible).map(([id]) => id)") == [
        person for person in bodies.people if person != first
    ]
    page.check(f"input[name=person{first}]")
    page.keyboard.press("m")
    assert not page.evaluate("mvcap.meshes.group.visible") and not page.is_checked("input[name=meshes]")
    page.keyboard.press("m")
    assert page.evaluate("mvcap.meshes.group.visible")


def test_an_ellipsoid_is_the_covariance(page, session):
    page.evaluate("mvcap.setLayer('uncertainty', true)")
    matrix = np.array(page.evaluate("[...mvcap.scene.bodies.refine.ellipsoids.instanceMatrix.array.slice(0, 16)]"))
    shape = matrix.reshape(4, 4).T[:3, :3]
    poses = stages.poses(session, "refine").between(0, 1)
    row = 0
    joint = int(np.flatnonzero(np.isfinite(poses.xyz[row]).all(-1))[0])
    xx, xy, xz, yy, yz, zz = poses.cov[row, joint]
    right = [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]
    np.testing.assert_allclose(shape @ shape.T / 7.815, right, rtol=1e-3, atol=1e-9)
    page.evaluate("mvcap.setLayer('uncertainty', false)")


def test_a_click_on_a_joint_tells_its_facts(page, session, keep):
    poses = stages.poses(session, "refine").between(0, 1)
    place = page.evaluate("""(() => {
      const scene = mvcap.scene, matrix = scene.floor.matrix.clone(), point = scene.middle.clone();
      scene.bodies.refine.joints.getMatrixAt(4, matrix);
      point.setFromMatrixPosition(matrix).project(scene.camera);
      const box = scene.canvas.getBoundingClientRect();
      return [box.x + (point.x + 1) / 2 * box.width, box.y + (1 - point.y) / 2 * box.height];
    })()""")
    page.mouse.click(*place)
    told = page.locator("#inspector").inner_text()
    assert "Person" in told and "mm (standard deviation)" in told and "views, reprojection error" in told
    picked = page.evaluate("mvcap.picked")
    row = poses.person.tolist().index(picked["person"])
    assert f"x {poses.xyz[row, picked['joint'], 0]:.3f}" in told
    keep("facts_of_a_joint")
    page.mouse.click(30, 700)


def test_the_page_follows_a_person_and_looks_from_above(page):
    page.keyboard.press("t")
    above = page.evaluate("""(() => {
      const eye = mvcap.scene.camera.position, target = mvcap.scene.controls.target;
      return [eye.z - target.z, eye.distanceTo(target)];
    })()""")
    assert above[0] == pytest.approx(above[1], rel=0.01)
    page.keyboard.press("v")
    page.keyboard.press("g")
    page.evaluate("mvcap.seek(10)")
    first = page.evaluate("mvcap.scene.controls.target.toArray()")
    page.evaluate("mvcap.seek(80)")
    assert np.linalg.norm(np.array(page.evaluate("mvcap.scene.controls.target.toArray()")) - first) > 0.05
    page.evaluate("mvcap.followed = null")


def test_chunks_that_are_not_needed_are_dropped(page):
    kept = page.evaluate("""async () => {
      const chunks = mvcap.projected, Chunks = chunks.constructor, few = new Chunks("poses/refine", 100, 2);
      few.indexed = (chunk) => chunk;
      for (const start of [0, 0]) await few.load(start);
      few.held.set(100, {}); few.held.set(200, {});
      few.at(100, () => {});
      await few.load(0);
      return [few.held.size, few.most];
    }""")
    assert kept[0] <= kept[1] + 1


def test_playing_begins_where_the_take_was_just_moved_to(page):
    page.evaluate(f"mvcap.seek({FRAMES - 1}); mvcap.toggle()")
    until(page, "mvcap.mosaic.leads")
    assert page.evaluate("mvcap.playing && mvcap.frame") < 30
    page.evaluate("mvcap.seek(70)")
    until(page, "mvcap.mosaic.frame === 70")
    page.evaluate("mvcap.setSpeed(0.1); mvcap.seek(20); mvcap.seek(70); mvcap.seek(10); mvcap.toggle()")
    until(page, "mvcap.mosaic.leads && mvcap.frame > 10")
    assert page.evaluate("mvcap.frame") < 30


def test_keys_go_on_after_a_choice(page):
    page.locator("#follow").select_option("2")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("[mvcap.frame, mvcap.followed]") == [1, 2]
    page.locator("#follow").select_option("")
    page.keyboard.press("9")
    assert page.evaluate("mvcap.look === null")


def test_what_cannot_be_read_is_said_and_the_page_goes_on(session, chromium, tmp_path):
    copy = Session.open(shutil.copytree(session.folder, tmp_path / "copy.mvcap"))
    (copy.folder / "clouds").mkdir()
    (copy.folder / "clouds" / "0000020.ply").write_bytes(b"damaged")
    process = subprocess.Popen(command("view", copy.folder, "--no-open"), stdout=subprocess.PIPE, text=True)
    page = chromium.new_page()
    try:
        page.goto(process.stdout.readline().split()[1])
        page.wait_for_selector("body[data-ready=yes]")
        until(page, "mvcap.scene.bodies.refine.joints.count > 0")
        page.evaluate("mvcap.seek(20)")
        until(page, "document.getElementById('message').innerText.includes('0000020.ply')")
        page.evaluate("mvcap.setLayer('cloud', false)")
        assert page.locator("#message").inner_text() == ""
    finally:
        process.kill()
        process.wait()
    page.keyboard.press("r")
    until(page, "document.getElementById('message').innerText.includes('mvcap view has ended')")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("mvcap.frame") == 21, "it answers"
    page.close()


def test_one_file_opens_from_disk_without_network(session, chromium, tmp_path):
    file = write_single_file(session, tmp_path / "take.html", videos=True)
    with watched(chromium, file.as_uri(), (file.as_uri(), "data:", "blob:")) as page:
        until(page, "mvcap.mosaic.ready")
        for frame in (3, 40, 88):
            page.evaluate(f"mvcap.seek({frame})")
            until(page, f"mvcap.mosaic.frame === {frame} && mvcap.scene.bodies.refine.joints.count > 0")
            assert shown_number(page, "mvcap.mosaic", session.names[0]) == frame
        until(page, "mvcap.timeline.series")
        page.keyboard.press("1")
        until(page, "mvcap.lookFrame === 88")


def test_what_the_browser_needs_is_there():
    assert all(page_file(name).is_file() for name in ("index.html", "style.css", "viewer.js"))
