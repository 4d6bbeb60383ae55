"""Writes pages of black rectangles and text as PDF, SVG and PNG, at true scale and without rounded coordinates."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from calib.boards.pictures import draw_strokes
from calib.errors import CalibrationError

LETTER = 0.6  # width of Courier's letters, of their size
_POINT_MM = 25.4 / 72
_MOST_PX = 300_000_000  # pixels of a PNG: an A0 sheet at 400 dpi


@dataclass(frozen=True)
class Text:
    """A line of text of a size mm that begins at x on the base line y, mm from the page's top left corner."""

    x: float
    y: float
    size: float
    text: str


@dataclass(frozen=True, eq=False)
class Sheet:
    """A page: its size, black rectangles (B, 4) as left, top, right, bottom, all in mm, and lines of ASCII text."""

    size_mm: tuple[float, float]
    black: Floats
    texts: tuple[Text, ...]


def as_pdf(pages: Sequence[Sheet], title: str) -> bytes:
    """A PDF 1.7 of the pages that asks viewers not to scale it; lengths to 0.00001 point."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R /ViewerPreferences << /PrintScaling /None >> >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>",
    ]
    for page in pages:
        wide, high = (side / _POINT_MM for side in page.size_mm)
        content = _content(page)
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {wide:.5f} {high:.5f}] "
            f"/Resources << /Font << /F 3 0 R >> >> /Contents {len(objects) + 2} 0 R >>",
            f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        ]
    objects.append(f"<< /Title ({_in_pdf(title)}) >>")
    out, places = "%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    count = len(objects) + 1
    out += f"xref\n0 {count}\n0000000000 65535 f \n{table}trailer\n"
    end = f"<< /Size {count} /Root 1 0 R /Info {len(objects)} 0 R >>\nstartxref\n{out.index('xref')}\n%%EOF\n"
    return (out + end).encode("ascii")


def _content(page: Sheet) -> str:
    """A page's drawing in points, y upwards: one path, so that adjacent rectangles leave no hairline between them."""
    high = page.size_mm[1]
    boxes = np.stack([page.black[:, 0], high - page.black[:, 3], *(page.black[:, 2:] - page.black[:, :2]).T], -1)
    path = "\n".join("{:.5f} {:.5f} {:.5f} {:.5f} re".format(*box) for box in boxes / _POINT_MM)
    texts = "\n".join(
        f"BT /F {line.size / _POINT_MM:.5f} Tf {line.x / _POINT_MM:.5f} {(high - line.y) / _POINT_MM:.5f} Td "
        f"({_in_pdf(line.text)}) Tj ET"
        for line in page.texts
    )
    return f"0 g\n{path}\nf\n{texts}"


def _in_pdf(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def as_svg(page: Sheet) -> bytes:
    """An SVG of a page in millimetres; lengths to 0.00001 mm."""
    wide, high = page.size_mm
    path = "".join(f"M{box[0]:.5f} {box[1]:.5f}H{box[2]:.5f}V{box[3]:.5f}H{box[0]:.5f}Z" for box in page.black)
    texts = "\n".join(
        f'<text x="{line.x:.5f}" y="{line.y:.5f}" font-size="{line.size:g}" '
        f'textLength="{LETTER * line.size * len(line.text):.5f}">{escape(line.text)}</text>'
        for line in page.texts
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.5f}mm" height="{high:.5f}mm" '
        f'viewBox="0 0 {wide:.5f} {high:.5f}">\n<rect width="100%" height="100%" fill="white"/>\n<path d="{path}"/>\n'
        f'<g font-family="Courier, monospace">\n{texts}\n</g>\n</svg>\n'
    ).encode("ascii")


def as_png(page: Sheet, dpi: float) -> bytes:
    """A grey PNG of a page with its resolution (pHYs); a pixel that an edge crosses has the grey of its black share."""
    import cv2

    pixel = 25.4 / dpi
    wide, high = (round(side / pixel) for side in page.size_mm)
    if wide * high > _MOST_PX:
        raise CalibrationError(f"an image of {wide} x {high} px is too large; use a lower dpi or a .pdf")
    whole = (0.0, 0.0, *page.size_mm, False)
    picture = draw_strokes([whole, *((*box, True) for box in page.black.tolist())]).picture(pixel)
    for line in page.texts:
        _write_text(picture, line, pixel)
    good, data = cv2.imencode(".png", picture)
    if not good:
        raise CalibrationError(
            f"an image of {picture.shape[1]} x {picture.shape[0]} px cannot be encoded; use a lower dpi"
        )
    body = b"pHYs" + struct.pack(">IIB", *[round(1000 / pixel)] * 2, 1)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    head = 33  # of the signature and the first chunk, which are the same in every PNG
    raw = data.tobytes()
    return raw[:head] + chunk + raw[head:]


def _write_text(picture: NDArray[np.uint8], line: Text, pixel: float) -> None:
    """Draw a line of text into an image, no wider than in the PDF and SVG pages."""
    import cv2

    font, width = cv2.FONT_HERSHEY_SIMPLEX, LETTER * line.size * len(line.text) / pixel
    thick = max(1, round(line.size / pixel / 18))
    scale = cv2.getFontScaleFromHeight(font, max(1, round(0.6 * line.size / pixel)), thick)
    scale *= min(1.0, width / max(cv2.getTextSize(line.text, font, scale, thick)[0][0], 1))
    at = (round(line.x / pixel), round(line.y / pixel))
    cv2.putText(picture, line.text, at, font, scale, 0, thick, cv2.LINE_AA)
