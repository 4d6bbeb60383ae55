"""The page and a session in one file: whole, small, nothing outside it, and never half-written."""

import base64
import json
import re
import zlib

import pytest
from built_page import needs_page
from numbered_videos import numbered_session
from synthetic_take import make_session

import mvcap
from mvcap.errors import InputError
from mvcap.viewers import browser_single_file
from mvcap.viewers.browser_page import page_file
from mvcap.viewers.browser_scene import Scene
from mvcap.viewers.browser_single_file import write_single_file

pytestmark = needs_page


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    made = make_session(tmp_path_factory.mktemp("take"), 25, people=2, cameras=3)
    mvcap.reconstruct(made)
    mvcap.mesh(made, body="capsules", formats=["glb"])
    return made


def elements(file):
    text = file.read_text(encoding="utf-8")
    return dict(
        re.findall(r'<script type="application/octet-stream" id="data:([^"]+)">(.*?)</script>', text, re.DOTALL)
    )


def test_it_holds_the_whole_scene(session, tmp_path, monkeypatch):
    monkeypatch.setattr(browser_single_file, "CHUNK_FRAMES", 100)
    steps = []
    file = write_single_file(session, tmp_path / "take.html", progress=lambda *step: steps.append(step))
    held, scene = elements(file), Scene(session)
    assert json.loads(held["scene.json"]) == json.loads(json.dumps(scene.description()))
    for name, content in (("series.bin", scene.series()), ("poses/refine/0.bin", scene.chunk("refine", 0)),
                          ("poses/track/0.bin", scene.chunk("track", 0)), ("skin.bin", scene.skin()),
                          ("shape/2.bin", scene.shape(2)), ("meshes/0.bin", scene.motion(0)),
                          ("projected/refine/0.bin", scene.projected("refine", 0))):  # fmt: skip
        assert zlib.decompress(base64.b64decode(held[name])) == content
    assert "exported without videos" in held["video/mosaic.json"] and "video/mosaic.mp4" not in held
    assert steps[-1] == ("export", 25, 25) and file.stat().st_size < 2e6


def test_nothing_in_it_is_asked_for_elsewhere(session, tmp_path):
    text = write_single_file(session, tmp_path / "take.html").read_text(encoding="utf-8")
    page = text.replace(page_file("viewer.js").read_text(encoding="utf-8").replace("</script", "<\\/script"), "")
    assert (
        "http://" not in page and "https://" not in page and 'src="' not in page and '<link rel="stylesheet' not in page
    )
    assert "default-src 'none'" in page and "connect-src" not in page


def test_videos_are_in_it_on_demand(tmp_path):
    session = numbered_session(tmp_path, 12)
    held = elements(mvcap.export_view(session, tmp_path / "take.html", videos=True))
    assert base64.b64decode(held["video/mosaic.mp4"])[4:8] == b"ftyp"
    assert json.loads(held["video/mosaic.json"])["done"] == 1


def test_without_footage_there_are_no_videos_to_put_in(session, tmp_path):
    with pytest.raises(InputError, match="no images, only detections"):
        write_single_file(session, tmp_path / "take.html", videos=True)
    assert not list(tmp_path.iterdir())


def test_a_name_cannot_end_its_element(session, tmp_path, monkeypatch):
    name = "</script><script>alert(1)</script>"
    monkeypatch.setattr(Scene, "description", lambda self: {"name": name, "kinds": {}, "clouds": None})
    file = write_single_file(session, tmp_path / "take.html")
    assert name not in file.read_text(encoding="utf-8") and json.loads(elements(file)["scene.json"])["name"] == name
