"""Square markers of a dictionary in an image, black or inverted, seen from the front or from behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats, Ints
from calib.boards.kinds import DICTIONARIES
from calib.errors import CalibrationError

_FEW = 3  # with fewer markers than this, the image is searched again, sharpened
_SHARPEN = (1.5, 2.0)  # unsharp mask: sigma px of the blur that is subtracted, and its weight
_COMPARED = 200  # most markers that are compared with each other; above it the dictionary's correction counts
_SEARCH = (-2.0, 14.0)  # px outwards from a side, searched for its edge
_STEP = 8.0  # least grey levels of an edge
_TURNED = [1, 0, 3, 2]  # corners of a mirrored marker, in the marker's own order


def grey_of(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The grey image (H, W) of a grey one or of RGB (H, W, 3)."""
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise CalibrationError(f"an image is uint8 (H, W) or RGB (H, W, 3), not {image.dtype} {image.shape}")
    if image.ndim == 2:
        return np.ascontiguousarray(image)
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


@dataclass(frozen=True, eq=False)
class Markers:
    """M markers: ids, corners, and whether they are seen from behind.

    ids (M,); xy (M, 4, 2) px, the marker's own top left, top right, bottom right and bottom left corner; mirrored (M,):
    seen from behind.
    """

    ids: Ints
    xy: Floats
    mirrored: Bools

    def of(self, ids: Sequence[int]) -> Markers:
        """Those with one of the ids."""
        return self.at(np.isin(self.ids, np.asarray(ids)))

    def at(self, rows: Bools) -> Markers:
        """Those of the rows (M,)."""
        return Markers(self.ids[rows], self.xy[rows], self.mirrored[rows])


@dataclass(frozen=True)
class Reader:
    """Reads the markers `ids` of an OpenCV dictionary with a black border of `border` bits.

    Codes are compared with these ids only, so false positives are rare, and with their mirror images, so one pass reads
    both sides of a board.
    """

    dictionary: str
    ids: tuple[int, ...]
    border: int = 1

    @cached_property
    def _detector(self) -> Any:
        from cv2 import aruco

        known = aruco.getPredefinedDictionary(getattr(aruco, self.dictionary))
        rows = known.bytesList[list(self.ids)]
        bits = [known.getBitsFromByteList(rows[row : row + 1], known.markerSize) for row in range(len(rows))]
        behind = [np.ascontiguousarray(one[:, ::-1]) for one in bits]
        codes = np.concatenate([rows, *(aruco.Dictionary.getByteListFromBits(one) for one in behind)])
        correct = max(known.maxCorrectionBits, _correctable(np.array([*bits, *behind])))
        parameters = aruco.DetectorParameters()
        parameters.markerBorderBits = self.border
        parameters.detectInvertedMarker = True
        parameters.minMarkerPerimeterRate = 0.02
        parameters.cornerRefinementMethod = aruco.CORNER_REFINE_NONE
        # Decoding may be lenient: a false positive does not fit the plane of the others.
        parameters.errorCorrectionRate = 1.0
        parameters.maxErroneousBitsInBorderRate = 0.5
        parameters.polygonalApproxAccuracyRate = 0.05
        parameters.perspectiveRemovePixelPerCell = 6
        parameters.perspectiveRemoveIgnoredMarginPerCell = 0.25
        return aruco.ArucoDetector(aruco.Dictionary(codes, known.markerSize, correct), parameters)

    def read(self, image: NDArray[np.uint8]) -> Markers:
        """The markers of a grey image (H, W); where almost none are found, of the sharpened image."""
        markers = self._read(image)
        if len(markers.ids) >= min(_FEW, len(self.ids)):
            return markers
        import cv2

        soft = cv2.GaussianBlur(image, (0, 0), _SHARPEN[0])
        sharper = self._read(np.asarray(cv2.addWeighted(image, 1 + _SHARPEN[1], soft, -_SHARPEN[1], 0), np.uint8))
        return sharper if len(sharper.ids) > len(markers.ids) else markers

    def _read(self, image: NDArray[np.uint8]) -> Markers:
        quads, rows, _ = self._detector.detectMarkers(image)
        if rows is None or not len(rows):
            return Markers(np.zeros(0, np.intp), np.zeros((0, 4, 2)), np.zeros(0, bool))
        index, xy = np.asarray(rows).ravel(), np.asarray(quads, np.float64).reshape(-1, 4, 2)
        xy = on_edges(image, xy, DICTIONARIES[self.dictionary][0] + 2 * self.border)
        mirrored = index >= len(self.ids)
        xy = np.where(mirrored[:, None, None], xy[:, _TURNED], xy)
        return Markers(np.asarray(self.ids, np.intp)[index % len(self.ids)], xy, mirrored)


def _correctable(bits: NDArray[Any]) -> int:
    """Number of bits that can be corrected: every marker (K, n, n), in any rotation, stays nearest to itself."""
    if not 1 < len(bits) <= _COMPARED:
        return 0
    flat = bits.reshape(len(bits), -1).astype(np.int64)
    least = flat.shape[1]
    for turn in range(4):
        turned = np.rot90(bits, turn, (1, 2)).reshape(len(bits), -1).astype(np.int64)
        apart = flat @ (1 - turned.T) + (1 - flat) @ turned.T
        np.fill_diagonal(apart, least)
        least = min(least, int(apart.min()))
    return min((least - 1) // 2, flat.shape[1] // 8)


def on_edges(image: NDArray[np.uint8], quads: Floats, bits: int) -> Floats:
    """Quads (M, 4, 2) px with their sides moved outwards to the next edge in the image.

    OpenCV's threshold is local: for a large marker it may return the inner rim of the border, half a window inside.
    """
    following = np.roll(quads, -1, axis=1)
    way = following - quads
    length = np.linalg.norm(way, axis=-1)
    out = np.stack([way[..., 1], -way[..., 0]], -1) / np.maximum(length, 1e-9)[..., None]
    outwards = ((quads + following) / 2 - quads.mean(1, keepdims=True)) * out
    out *= np.where(outwards.sum(-1) < 0, -1.0, 1.0)[..., None]
    offsets = np.arange(_SEARCH[0], _SEARCH[1] + 0.25, 0.5)
    along = quads[:, :, None] + np.linspace(0.2, 0.8, 13)[:, None] * way[:, :, None]
    at = np.rint(along[:, :, None] + offsets[:, None, None] * out[:, :, None, None]).astype(np.intp)
    x, y = np.clip(at[..., 0], 0, image.shape[1] - 1), np.clip(at[..., 1], 0, image.shape[0] - 1)
    profile = image[y, x].mean(-1)
    steep = np.abs(profile[..., 4:] - profile[..., :-4])
    reach = np.clip(0.9 * length.mean(1) / bits, 1.5, _SEARCH[1])
    steep *= offsets[2:-2] <= reach[:, None, None]
    most = steep.max(-1, keepdims=True)
    first = np.argmax(steep >= 0.7 * most, -1)
    near = steep * (np.abs(np.arange(steep.shape[-1]) - first[..., None]) <= 4)
    near *= near >= 0.5 * near.max(-1, keepdims=True)
    # The middle of the steep part: its first sample lies up to a pixel inside.
    middle = (near * offsets[2:-2]).sum(-1) / np.maximum(near.sum(-1), 1e-9)
    shift = np.where(most[..., 0] > _STEP, middle, 0.0)
    return _crossings(quads + shift[..., None] * out, way)


def _crossings(points: Floats, ways: Floats) -> Floats:
    """Where each side (points, ways (M, 4, 2)) crosses the one before it, (M, 4, 2)."""
    before, back = np.roll(points, 1, axis=1), np.roll(ways, 1, axis=1)
    cross = ways[..., 0] * back[..., 1] - ways[..., 1] * back[..., 0]
    apart = before - points
    along = (apart[..., 0] * back[..., 1] - apart[..., 1] * back[..., 0]) / np.where(cross == 0, np.inf, cross)
    return np.asarray(points + along[..., None] * ways)
