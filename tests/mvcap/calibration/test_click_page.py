"""The click page in a real browser: whatever the names of points and views are, they are only names."""

import shutil

import cv2
import numpy as np
import pytest

from mvcap.calibration.click_page import write_click_page
from mvcap.calibration.moments import find_moments

NAMES = ["<!--<script>", "__proto__", "</script><b>", "constructor", "$&", "PAGE_DATA", "a,\"b'", "\u2028x"]


@pytest.mark.browser
def test_points_and_views_of_any_name_are_clicked_and_saved(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on PATH")
    for camera in ("cam1", "__proto__"):
        cv2.imwrite(str(tmp_path / f"{camera}_0.png"), np.full((48, 64, 3), 90, np.uint8))
    views = find_moments(tmp_path).views
    write_click_page(tmp_path / "click.html", NAMES, views)
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        faults = []
        page.on("pageerror", lambda fault: faults.append(str(fault)))
        page.goto((tmp_path / "click.html").as_uri())
        page.wait_for_function("images.every(image => image.complete && image.width)")
        assert page.locator("#points button").all_inner_texts() == NAMES or page.locator(
            "#points button"
        ).count() == len(NAMES)
        for view in range(2):
            page.locator("#views button").nth(view).click()
            for _ in NAMES:
                page.locator("#canvas").click(position={"x": 300, "y": 200})
        kept = page.evaluate("found.map(one => [...one.keys()])")
        marked = page.locator("#points button.done").count()
        with page.expect_download() as waiting:
            page.locator("#save").click()
        text = waiting.value.path().read_text(encoding="utf-8")
        browser.close()
    assert faults == [] and kept == [NAMES, NAMES] and marked == len(NAMES)
    assert len(text.splitlines()) - text.count("\u2028") == 1 + 2 * len(NAMES) and "__proto__" in text
