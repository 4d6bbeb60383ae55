"""An HTML page to click measured points in a picture of each view and to save their pixels."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from mvcap.calibration.image_sets import ImageSet
from mvcap.errors import InputError
from mvcap.structures.npz import write_text


def write_click_page(path: Path, points: Sequence[str], views: Sequence[ImageSet]) -> None:
    """Write the page: one HTML file that embeds the first picture of every view; it saves pixels.csv, offline."""
    import cv2

    pictures = []
    for view in views:
        picture = next((image for _, image in view.read(range(len(view))) if not isinstance(image, str)), None)
        if picture is None:
            raise InputError(f"{view.name}: none of its {len(view)} pictures can be read")
        data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        pictures.append({"name": view.name, "data": f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"})
    page = (Path(__file__).parent / "click_page.html").read_text(encoding="utf-8")
    data_json = json.dumps({"points": list(points), "views": pictures}).replace("<", "\\u003c")  # no tag, no comment
    write_text(path, page.replace("PAGE_DATA", data_json))
