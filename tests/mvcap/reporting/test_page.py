"""The report in a real browser: opens from disk, asks nobody for anything, fits a phone, in light and dark."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from walking_take import COCO, RATE_HZ, chunked, detections, poses, rig, take

from calib import Rig
from mvcap.drawing.contact_sheet import ContactSheet, encode_jpeg
from mvcap.drawing.scene_video import scene_moments
from mvcap.reporting import plots
from mvcap.reporting.page import FIRST_REASONS, render
from mvcap.reporting.pose_quality import PoseQuality, summarise
from mvcap.reporting.series import SeriesCollector
from mvcap.structures.poses import Poses3D
from mvcap.structures.video_writer import write_video
from mvcap.triangulation.reprojection_residuals import ViewResiduals

FRAMES = 60
RIG = rig()
SECTIONS = (
    "verdict", "people", "warnings", "moments", "overlays", "scene", "presence", "above", "side", "uncertainty",
    "angles", "bones", "errors", "views", "settings", "timing",
)  # fmt: skip


@pytest.fixture(scope="module")
def material():
    table = poses(FRAMES)
    quality, views = PoseQuality(COCO, FRAMES), ViewResiduals(RIG, COCO)
    series = SeriesCollector(COCO, FRAMES, RATE_HZ)
    seen = detections(table, RIG)
    for chunk, found in zip(chunked(table, FRAMES, 20), chunked(seen, FRAMES, 20), strict=True):
        quality.add(chunk)
        series.add(chunk)
        series.add_residuals(views.add(found, chunk))
    seconds = {"estimate": 0.2, "associate": 0.004}
    warnings = ["view cam03: 12 frames are missing <b>here</b>"]
    summary = summarise(quality, RATE_HZ, RIG.names, views, quality, seconds, warnings)
    sheet = ContactSheet([0, 30], RIG.names, RATE_HZ)
    sheet.add(0, 0, np.full((90, 160, 3), 99, np.uint8))
    pictures = {
        "contact_sheet": sheet.jpeg(),
        "scene": encode_jpeg(scene_moments(take(table, FRAMES), [10, 40], size=(160, 90))),
        "presence": plots.presence_plot(series),
        "above": plots.plan_plot(series, RIG),
        "side": plots.elevation_plot(series, RIG, "png"),
        "uncertainty": plots.uncertainty_plot(series),
        "angles": plots.joint_angle_plot(series, "png"),
        "bones": plots.limb_length_plot(series),
        "errors": plots.error_plot(series, RIG.names),
    }
    return summary, pictures


def page_of(material, **more):
    settings = {"estimator": {"name": "blazepose", "detect_every": 5}, "views": ["cam01"]}
    videos = {"cam01": "overlays/cam 01.mp4"}
    return render(
        *material, videos, title="walk </title><script>", settings=settings, provenance={"rig": "ab" * 32}, **more
    )


def test_parts_of_the_residuals_are_shown_by_view_and_joint(material):
    summary, pictures = material
    joints = [{"joint": name, "joint_px": 2.5, "scatter_px": 3.25} for name in COCO.joints]
    view = {"constant_px": [4.5, None], "rig_px": 12.25, "rig_mm": 31.0, "joint_px": 2.0, "lag_ms": None}
    views = [{"name": name, **view, "scatter_px": 5.75, "joints": joints} for name in RIG.names]
    trial = {"helps": True, "before_px": 11.5, "after_px": 6.25, "moments": 40, "refused": None}
    parts = {"views": views, "at_fault": ["cam01"], "adjustment": trial}
    html = page_of(({**summary, "residual_parts": parts}, {**pictures, "parts": plots.residual_parts_plot(views)}))
    assert 'id="parts"' in html and "12.2 px" in html and "31.0 mm" in html and "2.50 / 3.25" in html
    assert "would agree to 6.25 px" in html
    html = page_of(({**summary, "residual_parts": {**parts, "adjustment": {**trial, "helps": False}}}, pictures))
    assert "would agree" not in html and "12.2 px" in html
    assert "All joints alike" not in page_of(material)


def test_the_page_holds_everything_and_escapes_it(material):
    html = page_of(material)
    assert all(f'id="{name}"' in html for name in SECTIONS)
    assert "<script" not in html and "<b>here" not in html and "&lt;b&gt;here" in html
    assert "http:" not in html and "https:" not in html
    assert html.count("data:image/svg+xml;base64,") == 5 and "data:image/png" in html and "data:image/jpeg" in html
    assert 'src="overlays/cam%2001.mp4#t=0.1"' in html and "estimator.detect_every" in html
    assert "This take can be trusted" in html


def test_a_summary_from_disk_gives_the_same_page(material):
    summary, pictures = material
    assert page_of((json.loads(json.dumps(summary)), pictures)) == page_of(material)


def test_what_each_calibration_is_off_by_stands_with_its_view(material):
    summary, pictures = material
    assert "Calibration error" not in page_of(material)  # where an associator does not tell
    html = page_of(({**summary, "association": {"calibration_px": {"cam02": 12.34}, "left_out": 0}}, pictures))
    cells = [re.findall(r"<td>([^<]*)</td>", row) for row in html.split("<tr>") if row.startswith("<td>cam")]
    assert {row[0]: row[-1] for row in cells} == {name: "12.3 px" if name == "cam02" else "–" for name in RIG.names}
    assert "Calibration error: residual of the view" in html


def test_a_take_with_nobody_still_has_a_page():
    quality = PoseQuality(COCO, FRAMES)
    quality.add(Poses3D.empty(COCO))
    html = render(summarise(quality, RATE_HZ, ["cam01"]), {}, {})
    assert "Do not trust this take" in html and "No people were reconstructed" in html and "Not measured" in html


def test_the_first_screen_is_short_and_tells_the_accuracy_as_the_json_does(material):
    summary, pictures = material
    parts = {"share_within": 0.8765, "median_mm": 12.3, "p90_mm": 45.6, "p95_mm": 78.9}
    sources = {"views": {"share_joints": 0.75, **parts}, "one_view": {"share_joints": 0.25, **parts}}
    none = {"share_joints": 0.0, **dict.fromkeys(parts)}
    accuracy = {
        "wanted_mm": 50.0,
        "share_reported": 0.9,
        **parts,
        "by_source": {**sources, "no_view": none},
        "places": [],
    }
    reasons = [f"reason {number}" for number in range(FIRST_REASONS + 3)]
    more = {
        "accuracy": accuracy,
        "one_view": {"share_rows": 0.2, "share_rows_no_view": 0.03},
        "joints": {"measured": 1234, "rejected": 5, "moved": 6},
        "verdict": {"level": "limits", "reasons": reasons, "where_not": []},
    }
    html = page_of(({**summary, **more}, pictures))
    first, _, folded = html.partition("<summary>3 more")
    assert all(f"<li>{reason}</li>" in (first if at < FIRST_REASONS else folded) for at, reason in enumerate(reasons))
    facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", html))
    assert facts["Joints within 50.0 mm"] == "88%" and facts["Seen by one view or none"] == "23%"
    assert "<td>two views or more</td><td>75%</td>" in html and "<td>no view</td>" not in html
    text = " ".join(html.split())
    assert "Of 1234 joints" in text and "5 were not kept as measured and 6 were moved" in text


@pytest.mark.parametrize("path", ["/etc/passwd", "../elsewhere.mp4", "C:/video.mp4", "https://example.org/a.mp4"])
def test_videos_lie_below_the_page(material, path):
    with pytest.raises(ValueError, match="below the report's folder"):
        render(*material, {"cam01": path})


def test_names_with_dollars_and_tags_are_only_names():
    rig = Rig(
        tuple(
            replace(one, lens=replace(one.lens, name=name))
            for one, name in zip(RIG, ("cam$_$", "$x^$", "<!--<script>", "a$b$c"), strict=False)
        )
    )
    series = SeriesCollector(COCO, FRAMES, RATE_HZ)
    table = poses(FRAMES)
    views = ViewResiduals(rig, COCO)
    for chunk, found in zip(chunked(table, FRAMES, 20), chunked(detections(table, rig), FRAMES, 20), strict=True):
        series.add(chunk)
        series.add_residuals(views.add(found, chunk))
    drawn = [plots.plan_plot(series, rig), plots.elevation_plot(series, rig), plots.error_plot(series, rig.names)]
    assert all(picture.startswith(b"<?xml") for picture in drawn)


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
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 1200), ("light", 390), ("dark", 390)])
def test_the_report_opens_from_disk_offline(browser, material, tmp_path, scheme, width):
    (tmp_path / "overlays").mkdir()
    write_video(tmp_path / "overlays" / "cam 01.mp4", [np.full((90, 160, 3), 99, np.uint8)] * 10, 25.0, (160, 90))
    (tmp_path / "report.html").write_text(page_of(material), encoding="utf-8")
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_function("[...document.images].every(image => image.complete)")
    page.wait_for_function("document.querySelector('video').readyState >= 1")
    assert said == []
    assert all(url.startswith(("file:", "data:")) for url in asked)
    assert all(page.locator(f"#{name}").is_visible() for name in SECTIONS)
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out sideways
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    context.close()
