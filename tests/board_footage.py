"""Pictures and videos of a board that is filmed, drawn by exact inverse mapping: pixel, undistorted, ray, board, print.

A take (`generated_boards.Take`) is the truth of it; how pictures are worse than drawn is a ``Look``.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cache

import numpy as np

from calib import Camera, save_rig
from calib.geometry import invert, transform

_VERSION = 1  # of the pictures: kept footage of another is drawn again
_FINE = 2  # rays a pixel, across and down
_PAPER, _INK, _SKIN = 225.0, 25.0, 140.0  # grey values


@dataclass(frozen=True)
class Look:
    """How pictures are worse than drawn: grey values of noise, px of defocus, seconds of exposure, light, H.264."""

    noise: float = 2.0
    defocus_px: float = 0.7
    exposure_s: float = 0.004
    crf: int = 20


def pictures(take, view, look=None, *, seed=0, frames=None):
    """Grey uint8 (H, W) that a camera films, one a frame (or at the frames given); see ``Look``."""
    look, camera = look or Look(), take.rig[view]
    rays, backdrop = _rays(camera.lens), _backdrop(camera.size, seed * 100 + view, look.defocus_px)
    poses = take.poses_of(view)
    for frame in range(take.frames) if frames is None else frames:
        picture = backdrop.copy()
        at = take.time_s[frame] + take.late_s(view)
        for piece in _far_to_near(take, poses[frame], at):
            _draw(picture, take, piece, camera.lens, rays, poses[frame], at, look)
        rng = np.random.default_rng((seed, view, frame))
        picture += look.noise * rng.standard_normal(picture.shape, np.float32)
        yield np.rint(picture.clip(0, 255)).astype(np.uint8)


def footage(take, folder, look=None, *, seed=0):
    """Videos of a take in a folder, one mp4 a camera in the rig's order; kept ones of the same take are used again.

    Beside them truth.yaml, the true rig, and board.txt.
    """
    import cv2

    from mvcap.structures.video_writer import write_video

    look = look or Look()
    folder.mkdir(parents=True, exist_ok=True)
    made, paths = _fingerprint(take, look, seed), [folder / f"{name}.mp4" for name in take.rig.names]
    note = folder / "made.json"
    if note.exists() and json.loads(note.read_text()) == made and all(path.exists() for path in paths):
        return paths
    save_rig(take.rig, folder / "truth.yaml")
    (folder / "board.txt").write_text(take.board.spec + "\n")
    for view, path in enumerate(paths):
        colour = (cv2.cvtColor(one, cv2.COLOR_GRAY2RGB) for one in pictures(take, view, look, seed=seed))
        write_video(path, colour, take.rate_hz, take.rig[view].size, look.crf)
    note.write_text(json.dumps(made))
    return paths


def _fingerprint(take, look, seed):
    """What tells takes apart, as text."""
    held = [take.rig.K, take.rig.cam_from_world, *(camera.lens.distortion for camera in take.rig), take.world_from_body]
    held += [take.pieces, np.array([take.late_s(view) for view in range(len(take.rig))]), np.array(take.stretch)]
    data = hashlib.sha256(b"".join(np.ascontiguousarray(one).tobytes() for one in held)).hexdigest()
    rest = (take.board.spec, take.rate_hz, take.bumps, take.hand, take.bend_m, take.see_through, look, seed, _VERSION)
    return {"arrays": data, "rest": repr(rest)}


def _far_to_near(take, cam_from_world, at):
    """Pieces in the order in which they are painted."""
    matrices = cam_from_world @ take.path(np.array([at]))[0] @ take.pieces
    middles = [transform(matrix, _middle_of_drawing(one)) for matrix, one in zip(matrices, take.drawings, strict=True)]
    return np.argsort([-np.linalg.norm(one) for one in middles])


def _middle_of_drawing(drawing):
    return np.array([0.5 * (drawing.x[0] + drawing.x[-1]), 0.5 * (drawing.y[0] + drawing.y[-1]), 0.0])


def _draw(picture, take, piece, lens, rays, cam_from_world, at, look):
    """Paint a piece: the mean over places that it has while the shutter is open, blurred, over what is there."""
    import cv2

    world_from_piece = take.path(np.array([at])) @ take.pieces[piece]
    box = _box(take, piece, lens, cam_from_world @ world_from_piece[0], look)
    if box is None:
        return
    left, top, right, bottom = box
    count = _exposures(take, piece, lens, cam_from_world, at, look)
    times = at + look.exposure_s * ((np.arange(count) + 0.5) / count - 0.5)
    some = rays[:, top * _FINE : bottom * _FINE, left * _FINE : right * _FINE]
    hand = take.hand_at(at, piece)
    matrices = cam_from_world @ take.path(times) @ take.pieces[piece]
    layer = sum(_layer(take, piece, some, matrix, hand) for matrix in matrices) / (255.0 * count)
    if look.defocus_px:
        layer = cv2.GaussianBlur(layer, (0, 0), look.defocus_px)
    value, cover = layer[..., 0], layer[..., 1]
    towards = invert(matrices[0])[:3, 3] - _middle_of_drawing(take.drawings[piece])
    light = 0.75 + 0.25 * abs(towards[2]) / np.linalg.norm(towards)
    under = picture[top:bottom, left:right]
    under += light * (_INK * cover + (_PAPER - _INK) * value) - cover * under


def _layer(take, piece, rays, cam_from_piece, hand):
    """Lightness times cover, and cover, (h, w, 2) of 0..255, of a piece where it is at one moment."""
    import cv2

    drawing, paper_m = take.drawings[piece], take.paper_m(piece)
    x, y, front = _print_at(take, drawing, rays, cam_from_piece)
    middle = (x.shape[0] // 2, x.shape[1] // 2)
    step = min(
        np.hypot(x[b] - x[middle], y[b] - y[middle]) for b in ((middle[0] - 1, middle[1]), (middle[0], middle[1] - 1))
    )
    texel = 0.001 * 2.0 ** np.clip(np.floor(np.log2(max(step, 1e-9) / 0.001)), -3, 4)
    table, margin = _texture(drawing, float(texel), paper_m)
    to = [
        ((one - edge + margin) / texel - 0.5).astype(np.float32) for one, edge in ((x, drawing.x[0]), (y, drawing.y[0]))
    ]
    layer = cv2.remap(table, *to, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0))
    if not front and not take.see_through:
        layer[..., 0] = layer[..., 1] // 2
    elif hand is not None and front:
        under = ((x - hand[0]) / hand[2]) ** 2 + ((y - hand[1]) / hand[3]) ** 2 < 1
        layer[under] = round(255 * (_SKIN - _INK) / (_PAPER - _INK)), 255
    size = (layer.shape[1] // _FINE, layer.shape[0] // _FINE)
    return cv2.resize(layer, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _print_at(take, drawing, rays, cam_from_piece):
    """Where rays (2, h, w) meet the print, x and y (h, w) m on paper, and whether its front is seen."""
    piece_from_cam = invert(cam_from_piece).astype(np.float32)
    R, (ox, oy, oz) = piece_from_cam[:3, :3], piece_from_cam[:3, 3]
    dx, dy, dz = (row[0] * rays[0] + row[1] * rays[1] + row[2] for row in R)
    with np.errstate(all="ignore"):
        reach = -oz / dz
        for _ in range(4 if take.bend_m else 0):
            reach = (-take._out(ox + reach * dx, drawing) - oz) / dz
        reach = np.where(reach > 0, reach, np.inf)
        x, y = (ox + reach * dx) / take.stretch[0], (oy + reach * dy) / take.stretch[1]
    return np.nan_to_num(x, nan=1e6).clip(-1e6, 1e6), np.nan_to_num(y, nan=1e6).clip(-1e6, 1e6), bool(oz < 0)


_TEXTURES = {}


def _texture(drawing, texel, paper_m):
    """Lightness and cover (H, W, 2) uint8 of a print with white paper round it, and that margin in metres."""
    key = (id(drawing), texel)
    if key not in _TEXTURES:
        margin = texel * round(paper_m / texel)
        white = drawing.picture(texel, margin)
        _TEXTURES[key] = (drawing, np.stack([white, np.full_like(white, 255)], -1), margin)
    return _TEXTURES[key][1:]


def _outline(take, piece):
    """Points (N, 3) on the rim of a piece's paper, as it is bent."""
    drawing = take.drawings[piece]
    wide, high = drawing.size_m
    margin, s, zero = 1.1 * take.paper_m(piece), np.linspace(0, 1, 9), np.zeros(9)
    rim = np.concatenate([np.stack(one, -1) for one in ((s, zero), (s, zero + 1), (zero, s), (zero + 1, s))])
    place = rim * (wide + 2 * margin, high + 2 * margin) + (drawing.x[0] - margin, drawing.y[0] - margin)
    flat = np.concatenate([place, np.zeros((len(place), 1))], -1)
    return np.concatenate([flat, take.shaped(flat, piece)])


def _box(take, piece, lens, cam_from_piece, look):
    """Left, top, right, bottom px of the part of the picture that a piece may touch, or None."""
    rim = Camera(lens, cam_from_piece).project(_outline(take, piece))
    rim = rim[np.isfinite(rim).all(-1)]
    if not len(rim):
        return None
    room = 4 + 4 * look.defocus_px + 0.1 * np.ptp(rim, axis=0).max()
    low = np.maximum(np.floor(rim.min(0) - room), 0).astype(int)
    high = np.minimum(np.ceil(rim.max(0) + room), lens.size).astype(int)
    return (*low, *high) if (high - low > 4).all() else None


def _exposures(take, piece, lens, cam_from_world, at, look):
    """How many places of a moving board make a smooth blur: one for every two thirds of a pixel of its way."""
    begin, end = cam_from_world @ take.path(at + 0.5 * look.exposure_s * np.array([-1, 1])) @ take.pieces[piece]
    corners = _outline(take, piece)[:36:8]
    moved = Camera(lens, begin).project(corners) - Camera(lens, end).project(corners)
    way = np.linalg.norm(moved, axis=-1)
    return int(np.clip(np.ceil(1.5 * np.nanmax(way)), 1, 9)) if np.isfinite(way).any() else 1


def _rays(lens):
    """Undistorted coordinates (2, h, w) f32 of a grid of ``_FINE`` by ``_FINE`` places in every pixel."""
    from scipy.interpolate import RectBivariateSpline

    x, y = ((np.arange(side * _FINE) + 0.5) / _FINE - 0.5 for side in lens.size)
    coarse = [np.linspace(-1, side, side // 8 + 2) for side in lens.size]
    bare = lens.undistort(np.stack(np.meshgrid(*coarse), -1))
    if np.isfinite(bare).all():
        return np.stack([RectBivariateSpline(*coarse[::-1], bare[..., k])(y, x) for k in (0, 1)]).astype(np.float32)
    return np.moveaxis(lens.undistort(np.stack(np.meshgrid(x, y), -1)), -1, 0).astype(np.float32)


@cache
def _backdrop(size, seed, blur_px):
    """A room full of things, grey values (H, W) f32: patches, edges and texture, out of focus as the board is."""
    import cv2

    rng = np.random.default_rng((7, seed))
    out = np.full(size[::-1], 110.0, np.float32)
    for cells, strength in ((6, 30), (24, 14), (120, 7)):
        rough = rng.normal(0, strength, (cells, cells * 16 // 9)).astype(np.float32)
        out += cv2.resize(rough, size, interpolation=cv2.INTER_CUBIC)
    for _ in range(40):
        left, top, wide, high = (rng.random(4) * (size[0], size[1], size[0] / 6, size[1] / 4)).astype(int)
        out[top : top + high, left : left + wide] = rng.uniform(30, 210)
    return cv2.GaussianBlur(out, (0, 0), 0.8 + blur_px)
