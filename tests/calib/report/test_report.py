"""The report of a calibration: plain values, and one page that opens from disk, for good, thin and broken ones."""

import json
import re
import shutil
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest
from made_calibrations import CASES, NAN, NOISE_PX, UNKNOWN, board, broken, calibration_of, thin

from calib import Camera, Lens, Rig, RigFileError
from calib.geometry import invert, pose, rotation_from_vector
from calib.report.facts import AGREES, agreement, live_line, millimetres, refused_by_reason, report
from calib.report.page import page, write_report
from calib.report.views import view_evidence

SECTIONS = ("verdict", "findings", "accuracy", "measured", "cameras", "pairs", "moments", "target", "world", "refused")


@pytest.fixture(scope="module")
def good():
    return made("good")[0]


class Tags(HTMLParser):
    """Every tag is closed, and no id comes twice."""

    VOID = ("meta", "link", "img", "br", "!doctype")

    def __init__(self, html):
        super().__init__()
        self.open, self.ids = [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@cache
def made(name):
    """A calibration, its values and its page, made once."""
    calibration = CASES[name]()
    told = report(calibration)
    return calibration, told, page(calibration, "walk </title><script>", told)


@pytest.mark.parametrize("name", CASES)
def test_every_calibration_has_a_report_and_a_page(name):
    calibration, told, html = made(name)
    again = json.loads(json.dumps(told, allow_nan=False))
    assert again == told  # plain values only, nothing that JSON would change
    tags = Tags(html)
    assert not tags.open and len(set(tags.ids)) == len(tags.ids)
    wanted = [section for section in SECTIONS if section != "pairs" or len(calibration.rig) > 1]
    assert set(wanted) <= set(tags.ids)
    assert "<script" not in html and "http:" not in html and "https:" not in html
    assert not re.search(r"\bnan\b|None|\binf\b", re.sub(r"base64,[^\"]*", "", html))
    assert len(html) < 1.5e6


def test_the_figures_are_those_of_the_calibration(good):
    told = report(good)
    assert told["accuracy"]["predicted_rms_mm"] == pytest.approx(1000 * good.accuracy.predicted_rms_m)
    assert told["accuracy"]["places"] == sum(row["places"] for row in told["accuracy"]["by_cameras_that_share"])
    camera = told["cameras"][1]
    assert camera["name"] == "cam_2" and camera["connected"]
    assert camera["lens"]["fx_px"] == good.rig[1].lens.K[0, 0]
    assert camera["lens"]["fx_deviation_px"] == pytest.approx(0.4)
    assert camera["fit_rms_px"] == pytest.approx(NOISE_PX, rel=0.05)
    assert camera["sightings_used"] == good.used[1].sum()
    assert camera["position_m"] == pytest.approx(good.rig[1].position.tolist())
    assert np.sum(camera["coverage_counts"]) == good.used[1].sum()
    assert camera["lens"]["fov_across_deg"] == pytest.approx(2 * np.degrees(np.arctan(640 / 901)), abs=12)
    assert told["world"]["z_is_up"] and told["made_from"]["cameras_connected"] == 4


def test_pixels_are_never_given_as_accuracy(good):
    told = report(good)
    assert not [key for key in told["accuracy"] if key.endswith("_px") and "fit" not in key]
    assert " px" not in live_line(good)
    html = made("good")[2]
    verdict = html[html.index('id="verdict"') : html.index("<nav")]
    assert " px" not in verdict and " mm" in verdict


def test_distance_and_tilt_are_those_of_the_board():
    lens = Lens("one", (1000, 800), [[900, 0, 500], [0, 900, 400], [0, 0, 1]], [])
    rig = Rig((Camera(lens, np.eye(4)),))
    angles = np.radians([0, 20, 50])
    flat = board()
    bodies = pose(rotation_from_vector(np.outer(angles, (0, 1, 0))), np.zeros(3))
    bodies[:, :3, 3] = [(0, 0, 2), (0, 0, 3), (0, 0, 4)] - (bodies[:, :3, :3] @ flat.points.mean(0))
    made = calibration_of(rig, moments=3, accuracy=UNKNOWN)
    seen = replace(made.observations, xy=np.full((1, 3, 24, 2), 400.0), sigma=np.ones((1, 3, 24)))
    made = replace(made, observations=seen, used=seen.seen, world_from_body=bodies, residual=np.zeros((1, 3, 24, 2)))
    view = view_evidence(made, 0)
    assert view.distance_m == pytest.approx([2, 3, 4])
    assert view.tilt_deg == pytest.approx([0, 20, 50], abs=1e-4)


def test_empty_parts_of_the_image_are_named(good):
    xy = np.random.default_rng(0).uniform((0, 0), (420, 719), (900, 2))
    view = replace(view_evidence(good, 0), xy=xy, residual=np.zeros_like(xy))
    cover = view.coverage()
    assert set(cover.thin) == {"top", "middle", "bottom", "top right", "right", "bottom right"}
    assert cover.counts.sum() == 900 and cover.counts.shape == (6, 10)
    assert cover.image_share == pytest.approx(0.4) and 0.3 < cover.border_share < 0.5
    nothing = replace(view, xy=xy[:0], residual=xy[:0]).coverage()
    assert len(nothing.thin) == 9 and nothing.border_share == 0


def test_predicted_and_measured_are_compared_in_words(good):
    accuracy = good.accuracy

    def said(factor):
        return agreement(replace(accuracy, halves_m=factor * accuracy.predicted_m))

    assert "the figure is reliable" in said(1.1)
    assert "expect the larger" in said(AGREES * 1.1)
    assert "cautious" in said(0.5)
    assert "no measured error" in said(NAN)
    assert "unknown" in agreement(UNKNOWN)
    assert "Neither is reliable" in agreement(accuracy, 30.0) and "the figure is reliable" in agreement(accuracy, NAN)
    assert report(good)["accuracy"]["held_out_fit_by_expected"] == pytest.approx(1)


def test_refused_images_are_grouped_by_reason():
    groups = refused_by_reason(thin().observations.refused)
    assert [group["count"] for group in groups] == [300, 7, 1]
    assert groups[1]["reason"].startswith("a false board") and len(groups[1]["images"]) == 7
    assert groups[0]["images"] == [
        {"view": "cam_4", "reason": "no board was found", "moments": [f"{t / 5:.2f} s" for t in range(300)]}
    ]
    html = made("thin")[2]
    assert "300 × no board was found" in html and "&lt;b&gt;1.20 s" in html and "IMG_0006.jpg" in html


def test_findings_come_by_severity_and_with_what_to_do():
    _, told, html = made("thin")
    assert [finding["severity"] for finding in told["findings"]] == ["refuse", "limit", "note"]
    assert [f["todo"] for f in told["cameras"][0]["findings"]] == ["tilt it by 30 to 45 degrees"]
    assert told["unconnected"] == ["cam_4"] and told["cameras"][3]["fit_rms_px"] is None
    assert "Usable with limits" in html and "Next: film the board in cam_4 and cam_1" in html
    assert "cam_4 (not connected)" in html


def test_a_camera_that_was_taken_out_is_still_shown():
    whole = thin()
    kept = whole.observations.views[:3]
    gone = replace(
        whole,
        observations=whole.observations.of(kept),
        used=np.zeros_like(whole.used[:3]),
        residual=whole.residual[:3],
        offset_s=whole.offset_s[:3],
        noise_px=whole.noise_px[:3],
        lenses=whole.lenses[:3],
        accuracy=UNKNOWN,
    )
    told = report(gone)
    assert [camera["connected"] for camera in told["cameras"]] == [True, True, True, False]
    assert set(told["cameras"][3]) == set(told["cameras"][0]) and told["cameras"][3]["findings"]
    assert told["made_from"]["cameras"] == 4 and "3/4 cameras" in told["live_line"]
    html = page(gone)
    assert "cam_4 (not connected)" in html and "Its observations are not used" in html


def test_a_live_line_is_one_short_line(good):
    line = live_line(good)
    assert line.startswith("good · 4/4 cameras · 60 moments · ") and line.endswith("→ use it")
    assert "\n" not in line and len(line) < 120
    assert "3/4 cameras" in live_line(thin()) and "predicted" not in live_line(broken())


def test_a_world_whose_z_is_not_up_is_levelled_for_the_pictures(good):
    """The world is the first camera's frame: pictures are levelled, and it is said."""
    first = invert(good.rig[0].cam_from_world)
    turned = Rig(tuple(Camera(camera.lens, camera.cam_from_world @ first) for camera in good.rig))
    calibration = replace(good, rig=turned, lenses=(None,) * 4, accuracy=UNKNOWN, used=np.zeros_like(good.used))
    assert not report(calibration)["world"]["z_is_up"]
    assert "levelled by the cameras" in page(calibration)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.2134, "0.21 mm"), (3.14, "3.1 mm"), (123.4, "120 mm"), (NAN, "unknown"), (1.04e4, "10,000 mm")],
)
def test_millimetres_have_two_digits(value, text):
    assert millimetres(value) == text


def test_files_are_written_whole_and_not_over_others(tmp_path):
    broken = made("broken")[0]
    paths = write_report(broken, tmp_path / "take")
    assert [path.name for path in paths] == ["calibration.json", "calibration.html"]
    assert json.loads(paths[0].read_text(encoding="utf-8"))["verdict"]["level"] == "do not use"
    with pytest.raises(RigFileError, match="would be overwritten"):
        write_report(broken, tmp_path / "take")
    write_report(broken, tmp_path / "take", force=True)
    assert sorted(path.name for path in (tmp_path / "take").iterdir()) == ["calibration.html", "calibration.json"]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine; apt-get install chromium")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("name", "scheme", "width"), [("good", "light", 1280), ("thin", "dark", 800), ("broken", "light", 390)]
)
def test_the_page_opens_from_disk_offline(browser, tmp_path, name, scheme, width):
    path = tmp_path / "calibration.html"
    path.write_text(made(name)[2], encoding="utf-8")
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, offline=True)
    opened = context.new_page()
    said, asked = [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(path.as_uri())
    opened.wait_for_function("[...document.images].every(image => image.complete)")
    assert said == []
    assert all(url.startswith(("file:", "data:")) for url in asked)
    assert all(opened.locator(f"#{section}").is_visible() for section in SECTIONS)
    assert opened.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out sideways
    dark = opened.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    context.close()


def test_the_headline_is_the_larger_figure_everywhere(good):
    places = len(good.accuracy.places)
    one = replace(good.accuracy, predicted_m=np.full(places, 2.6e-4), halves_m=np.full(places, 3.6e-4))
    for accuracy in (one, replace(one, predicted_m=one.halves_m, halves_m=one.predicted_m)):
        made = replace(good, accuracy=accuracy, verdict="good")
        held = report(made)
        assert accuracy.headline_m == pytest.approx(3.6e-4) and held["accuracy"]["count_on_mm"] == pytest.approx(0.36)
        for line in (made.summary(), held["summary"], held["live_line"], live_line(made)):
            assert "0.36 mm" in line and "0.26" not in line
    alone = replace(good, accuracy=replace(one, halves_m=np.full(places, np.nan)), verdict="good")
    assert "0.26 mm" in alone.summary() and "0.26 mm" in live_line(alone)
