"""Pictures of flat boards by a homography, fast and without a camera, and where their points are in them."""

import cv2
import numpy as np

from calib.boards.pictures import drawings

SIZE = (480, 360)
_TEXEL_PX = 0.5  # of the print, in pixels of the picture


def looking_at_board(board, *, share=0.75, tilt=(0.25, -0.15), turn=0.1, size=SIZE):
    """A homography (3, 3) from metres to pixels that brings a board's print to the middle of a picture.

    share: of the picture's width or height that it fills; tilt: how much smaller its far sides are; turn: radians.
    """
    drawing = drawings(board)[0]
    wide, high = drawing.size_m
    centre = np.array([[1, 0, -drawing.x[0] - wide / 2], [0, 1, -drawing.y[0] - high / 2], [0, 0, 1.0]])
    c, s = np.cos(turn), np.sin(turn)
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    perspective = np.array([[1.0, 0, 0], [0, 1, 0], [tilt[0] / wide, tilt[1] / high, 1]])
    scale = share * min(size[0] / wide, size[1] / high)
    to_pixels = np.array([[scale, 0, size[0] / 2 - 0.5], [0, scale, size[1] / 2 - 0.5], [0, 0, 1.0]])
    return to_pixels @ perspective @ turned @ centre


def through(homography, points):
    """Pixels (..., 2) of points (..., 2) m."""
    lifted = points @ homography[:, :2].T + homography[:, 2]
    return lifted[..., :2] / lifted[..., 2:]


def printed(board, homography, *, size=SIZE, noise=1.0, blur_px=0.6, piece=0, background=200, seed=0):
    """A grey picture (H, W) uint8 of one piece of a board on a sheet of its own, white with a grey room around."""
    drawing = drawings(board)[piece]
    scale = np.sqrt(abs(np.linalg.det(homography[:2, :2])))
    texel = _TEXEL_PX / scale
    margin = texel * round(0.12 * max(drawing.size_m) / texel)
    sheet = np.float32(30 + 190 / 255 * drawing.picture(texel, margin).astype(np.float32))
    corner = np.array([drawing.x[0], drawing.y[0]]) - margin
    metres_from_texels = np.array([[texel, 0, corner[0] + texel / 2], [0, texel, corner[1] + texel / 2], [0, 0, 1]])
    fine = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1.0]])  # twice as fine, then the mean of 2 x 2
    to = fine @ homography @ metres_from_texels
    big = cv2.warpPerspective(sheet, to, (2 * size[0], 2 * size[1]), flags=cv2.INTER_LINEAR, borderValue=background)
    picture = cv2.GaussianBlur(cv2.resize(big, size, interpolation=cv2.INTER_AREA), (0, 0), blur_px)
    picture += noise * np.random.default_rng(seed).standard_normal(picture.shape, np.float32)
    return np.rint(picture.clip(0, 255)).astype(np.uint8)
