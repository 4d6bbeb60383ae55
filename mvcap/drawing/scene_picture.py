"""Pictures of a scene in 3D from any viewpoint: skeletons, floor, cameras and points, drawn by the processor alone.

Bones and cameras are sorted by depth and drawn from far to near, with dark edges that tell what is in front. The floor
z = 0 has a line at every metre, with numbers at the two edges that are nearer, and on it lies the shadow of everybody
as if lit from above, so that a picture shows where people stand.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Rig
from calib.arrays import Floats, Image
from mvcap.drawing.colours import Rgb, colour, ink
from mvcap.drawing.viewpoints import Viewpoint, people_box
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton

Cloud = tuple[NDArray[np.floating], NDArray[np.uint8]]
Size = tuple[int, int]
_BACKGROUND: Rgb = (30, 32, 36)
_GRID: Rgb = (74, 78, 86)
_AXIS: Rgb = (120, 126, 136)
_TEXT: Rgb = (168, 174, 184)
_CAMERA: Rgb = (150, 156, 166)
_SHADOW = 0.55  # brightness of a shadow
_LIMB_M, _DETAIL_M = 0.023, 0.009  # radii
_DETAILS = {"eye", "ear", "mouth", "nose", "pinky", "index", "thumb", "inner", "outer"}
_WITH_CLOUD = 0.4  # thickness of bones among the points of a cloud
_FRUSTUM_M = 0.4  # from a camera to the rectangle that shows its picture
_AROUND_M = 0.6  # the floor reaches at least so far beyond the people
_LARGEST_M = 20_000  # side of the floor
_LINES_AT_MOST = 60  # of the floor, in each direction
_SHIFT = 4  # coordinates in sixteenths of a pixel
_BEYOND_PX = 20_000.0  # ends of lines further outside are not drawn
_DIMMED = 0.55  # brightness of a person who is far behind the nearest one


def scene_picture(
    poses: Poses3D,
    rig: Rig | None = None,
    *,
    viewpoint: Viewpoint,
    size: Size = (1280, 720),
    cloud: Cloud | None = None,
    box: Floats | None = None,
    title: str = "",
    labels: bool = True,
) -> Image:
    """Return a picture (H, W, 3) RGB of people at one moment, with the floor and a rig's cameras.

    poses: the rows of one frame, world frame with z up. viewpoint: see ``viewpoint_on``. size: (w, h) px. cloud:
    positions (N, 3) m and colours (N, 3) uint8 of points, drawn behind the skeletons, which are thin then and stay
    visible. box: of the people of the whole take (``people_box``), which the floor covers, so that it is the same at
    every moment; default: that of these poses. title: text in the upper left corner. labels: numbers of metres and
    names of persons and cameras. ValueError if cloud or size have other shapes.
    """
    if min(size) < 16:
        raise ValueError(f"a picture needs at least 16 x 16 px, not {size}")
    image = np.full((size[1], size[0], 3), _BACKGROUND, np.uint8)
    view = _View(image, viewpoint)
    area = _floor_area(people_box([poses]) if box is None else box)
    _draw_floor(view, area, labels)
    _draw_shadows(view, poses)
    if labels:
        for camera in rig or ():
            view.name(camera.name, camera.position)
    if cloud is not None:
        _draw_points(view, *cloud)
    thickness = 1.0 if cloud is None else _WITH_CLOUD
    strokes = [*_bone_strokes(view, poses, thickness), *(_camera_strokes(view, rig) if rig is not None else ())]
    for _, start, stop, tint, width, edge in sorted(strokes, key=lambda stroke: -stroke[0]):
        if edge:
            view.line(start, stop, _BACKGROUND, width + 2 * edge)
        view.line(start, stop, tint, width)
    if labels:
        _draw_tags(view, poses)
    if title:
        view.text(title, (0.02 * size[0], 0.02 * size[0] + view.letter_px), _TEXT, left=True)
    return image


Stroke = tuple[float, Floats, Floats, Rgb, float, float]
"""Depth m, two ends (2,) px, colour, width px, width of the dark edge px."""


class _View:
    """An image that is drawn on, from a viewpoint."""

    def __init__(self, image: Image, viewpoint: Viewpoint) -> None:
        self.image = image
        self.viewpoint = viewpoint
        self.size: Size = (image.shape[1], image.shape[0])
        self.focal_px = viewpoint.focal_px(self.size[1])
        self.letter_px = max(9.0, self.size[1] / 48)

    def seen(self, points: NDArray[np.floating]) -> Floats:
        """Return x px, y px and depth m (..., 3) of points (..., 3) m."""
        return self.viewpoint.project(points, self.size)

    def line(self, start: Floats, stop: Floats, tint: Rgb, width: float) -> None:
        """Draw a smooth line between two places px, of at least one pixel; thinner ones are paler."""
        import cv2

        ends = np.stack([start, stop])
        if np.isfinite(ends).all() and (np.abs(ends) < _BEYOND_PX).all():
            a, b = (tuple(round(value * 2**_SHIFT) for value in end) for end in ends.tolist())
            cv2.line(self.image, a, b, tint, max(1, round(width)), cv2.LINE_AA, _SHIFT)

    def text(self, text: str, at: tuple[float, float], tint: Rgb, left: bool = False, size: float = 1.0) -> None:
        """Write text with its middle, or the left end of its line, at a place px."""
        import cv2

        face, scale = cv2.FONT_HERSHEY_SIMPLEX, size * self.letter_px / 22
        (width, height), _ = cv2.getTextSize(text, face, scale, 1)
        place = (round(at[0]), round(at[1])) if left else (round(at[0] - width / 2), round(at[1] + height / 2))
        weight = 2 if self.letter_px > 24 else 1
        cv2.putText(self.image, text, place, face, scale, tint, weight, cv2.LINE_AA)

    def name(self, text: str, place: Floats) -> None:
        """Write a name above a place (3,) m."""
        x, y, depth = self.seen(place).tolist()
        if np.isfinite(depth):
            self.text(text, (x, y - 0.9 * self.letter_px), _TEXT, size=0.8)

    def tag(self, text: str, at: tuple[float, float], fill: Rgb) -> None:
        """Write text on a round tag whose lower end is at a place px."""
        import cv2

        face, scale = cv2.FONT_HERSHEY_SIMPLEX, self.letter_px / 24
        width = cv2.getTextSize(text, face, scale, 1)[0][0]
        radius, middle = 0.62 * self.letter_px, (at[0], at[1] - 0.62 * self.letter_px)
        half = max(0.0, width / 2 - 0.6 * radius)
        ends = np.array([[middle[0] - half, middle[1]], [middle[0] + half, middle[1]]])
        self.line(ends[0], ends[1], _BACKGROUND, 2 * radius + 2)
        self.line(ends[0], ends[1], fill, 2 * radius)
        self.text(text, middle, ink(fill), size=22 / 24)


def _floor_area(box: Floats) -> NDArray[np.int64]:
    """Return the part of the floor that is drawn (2, 2), lowest and highest x and y, whole m."""
    low, high = np.floor(box[0, :2] - _AROUND_M), np.ceil(box[1, :2] + _AROUND_M)
    return np.stack([low, np.minimum(high, low + _LARGEST_M)]).astype(np.int64)


def _draw_floor(view: _View, area: NDArray[np.int64], labels: bool) -> None:
    """Draw the lines of the floor, one for every metre (or more if it is large), and the numbers at its near edges."""
    step = next(
        s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if np.ptp(area, axis=0).max() / s <= _LINES_AT_MOST
    )
    for axis in (0, 1):
        along = np.linspace(float(area[0, 1 - axis]), float(area[1, 1 - axis]), 50)
        for value in range(int(area[0, axis]), int(area[1, axis]) + 1, step):
            points = np.zeros((len(along), 3))
            points[:, axis], points[:, 1 - axis] = value, along
            seen = view.seen(points)
            before_eye = np.flatnonzero(np.isfinite(seen).all(-1))
            if len(before_eye):  # a straight line remains straight
                ends = seen[before_eye[[0, -1]], :2]
                view.line(ends[0], ends[1], _AXIS if value == 0 else _GRID, 1)
    if labels:
        for axis in (0, 1):
            _draw_numbers(view, area, axis, step)


def _draw_numbers(view: _View, area: NDArray[np.int64], axis: int, step: int) -> None:
    """Write the metres along x (axis 0) or y (1) beside the edge of the floor that is nearer to the eye."""
    middle = area.mean(0)
    away = view.viewpoint.eye[1 - axis] - middle[1 - axis]
    if abs(away) < 1e-6:
        away = -1.0
    edge = area[1, 1 - axis] if away > 0 else area[0, 1 - axis]
    values = np.arange(area[0, axis], area[1, axis] + 1, step)
    points = np.zeros((len(values), 3))
    points[:, axis], points[:, 1 - axis] = values, edge + 0.25 * np.sign(away)
    seen = view.seen(points)
    apart = np.linalg.norm(np.diff(seen[:, :2], axis=0), axis=-1)
    known = apart[np.isfinite(apart)]
    if not len(known) or not (spacing := float(np.median(known))):
        return
    every = next((n for n in (1, 2, 5, 10, 20, 50) if n * spacing > 2.4 * view.letter_px), 100)
    for value, place in zip(values.tolist(), seen, strict=True):
        if value % (every * step) == 0 and np.isfinite(place).all():
            name = f"{'xy'[axis]} = 0" if value == 0 else f"{value} m" if value == values[-1] else f"{value}"
            view.text(name, (place[0], place[1]), _TEXT, size=0.8)


def _radii(skeleton: Skeleton) -> Floats:
    """Return the radius (B,) m that each bone is drawn with: bones of face and hand are thin."""
    fine = [bool(set(joint.split("_")) & _DETAILS) for joint in skeleton.joints]
    return np.array([_DETAIL_M if fine[a] or fine[b] else _LIMB_M for a, b in skeleton.bones.tolist()])


def _draw_shadows(view: _View, poses: Poses3D) -> None:
    """Darken the floor below every bone, however many bones are above it."""
    import cv2

    radii, shade = _radii(poses.skeleton), np.zeros(view.image.shape, np.uint8)
    canvas = _View(shade, view.viewpoint)
    for xyz in poses.xyz.astype(np.float64):
        seen = view.seen(xyz * np.array([1.0, 1.0, 0.0]))
        for (a, b), radius in zip(poses.skeleton.bones.tolist(), radii.tolist(), strict=True):
            depth = (seen[a, 2] + seen[b, 2]) / 2
            if np.isfinite(depth) and np.isfinite(xyz[[a, b]]).all():
                canvas.line(seen[a, :2], seen[b, :2], (255, 255, 255), 2 * radius * view.focal_px / depth)
    kept = cv2.subtract(np.full_like(shade, 255), cv2.multiply(shade, shade, scale=(1 - _SHADOW) / 255))
    cv2.multiply(view.image, kept, dst=view.image, scale=1 / 255)


def _draw_points(view: _View, xyz: NDArray[np.floating], rgb: NDArray[np.uint8]) -> None:
    """Draw points (N, 3) m as small squares of their colours (N, 3), the nearest last."""
    xyz, rgb = np.asarray(xyz), np.asarray(rgb)
    if xyz.ndim != 2 or xyz.shape[1] != 3 or rgb.shape != xyz.shape or rgb.dtype != np.uint8:
        raise ValueError(f"a cloud is (N, 3) m and (N, 3) uint8, not {xyz.shape} and {rgb.shape} {rgb.dtype}")
    seen = view.seen(xyz)
    kept = np.isfinite(seen).all(-1)
    order = np.flatnonzero(kept)[np.argsort(-seen[kept, 2], kind="stable")]
    at = np.rint(seen[order, :2]).astype(np.int64)
    side = max(1, round(view.size[1] / 480))
    for dy in range(side):
        for dx in range(side):
            x, y = at[:, 0] + dx, at[:, 1] + dy
            inside = (x >= 0) & (y >= 0) & (x < view.size[0]) & (y < view.size[1])
            view.image[y[inside], x[inside]] = rgb[order[inside]]


def _bone_strokes(view: _View, poses: Poses3D, thickness: float) -> Iterator[Stroke]:
    """Yield the bones of everybody, and joints without a bone as dots; the farther a person, the dimmer."""
    skeleton, radii = poses.skeleton, _radii(poses.skeleton)
    edge = max(1.0, view.size[1] / 480)
    places = poses.xyz.astype(np.float64)
    people = view.seen(places)
    depths = np.array([np.median(one[np.isfinite(one)]) if np.isfinite(one).any() else np.nan
                       for one in people[..., 2]])  # fmt: skip
    nearest = np.nanmin(depths, initial=np.inf)
    for xyz, seen, away, person in zip(places, people, depths, poses.person.tolist(), strict=True):
        near = float(np.clip(nearest / away, _DIMMED, 1)) if np.isfinite(away) else 1.0
        tint = _mixed(_BACKGROUND, person_tint(person), near)
        for (a, b), radius in zip(skeleton.bones.tolist(), radii.tolist(), strict=True):
            yield from _stroke(view, seen[[a, b]], thickness * radius, tint, edge if radius == _LIMB_M else 0.0)
        yield from _stroke(view, view.seen(_neck(skeleton, xyz)), thickness * _DETAIL_M, tint, 0.0)
        alone = np.isfinite(seen).all(-1)
        alone[skeleton.bones[alone[skeleton.bones].all(-1)].ravel()] = False
        for place in seen[alone]:
            yield from _stroke(view, np.stack([place, place]), 1.2 * thickness * _LIMB_M, tint, edge)


def _stroke(view: _View, ends: Floats, radius: float, tint: Rgb, edge: float) -> Iterator[Stroke]:
    """Yield the stroke between two places (2, 3) px, px, m with a radius m, if both are known."""
    if np.isfinite(ends).all():
        depth = float(ends[:, 2].mean())
        width = max(2.0 if edge else 1.0, 2 * radius * view.focal_px / depth)
        yield depth, ends[0, :2], ends[1, :2], tint, width, edge


def _neck(skeleton: Skeleton, xyz: Floats) -> Floats:
    """Return the middle of the shoulders and of the ears (2, 3) m; NaN for skeletons that have a neck of their own."""
    names = ("left_shoulder", "right_shoulder", "left_ear", "right_ear")
    if {"neck", "thorax"} & set(skeleton.joints) or not set(names) <= set(skeleton.joints):
        return np.full((2, 3), np.nan)
    return np.asarray(xyz[[skeleton.index(name) for name in names]].reshape(2, 2, 3).mean(1))


def person_tint(person: int) -> Rgb:
    """Return the colour of a person for a dark background: a little lighter than on paper."""
    return _mixed(colour(person), (255, 255, 255), 0.15)


def _camera_strokes(view: _View, rig: Rig) -> Iterator[Stroke]:
    """Yield the edges of each camera's pyramid: its centre, and its picture at a small distance."""
    for camera in rig:
        corners = view.seen(_frustum(camera))
        for a, b in ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1)):
            if np.isfinite(corners[[a, b]]).all():
                yield float(corners[[a, b], 2].mean()), corners[a, :2], corners[b, :2], _CAMERA, 1.0, 0.0


def _frustum(camera: Camera) -> Floats:
    """Return the centre of a camera and the four corners of its picture (5, 3) m, without the lens's distortion."""
    width, height = camera.size
    pixels = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1.0]])
    rays = np.linalg.solve(camera.lens.K, pixels.T).T
    rays *= _FRUSTUM_M / np.linalg.norm(rays, axis=-1).max()
    return np.concatenate([camera.position[None], camera.position + rays @ camera.cam_from_world[:3, :3]])


def _draw_tags(view: _View, poses: Poses3D) -> None:
    """Write the number of each person above the head, the nearest last."""
    above = []
    for xyz, person in zip(poses.xyz.astype(np.float64), poses.person.tolist(), strict=True):
        known = xyz[np.isfinite(xyz).all(-1)]
        if len(known):
            head = known[known[:, 2] > known[:, 2].max() - 0.15].mean(0)
            x, y, depth = view.seen(head + np.array([0.0, 0.0, 0.2])).tolist()
            above.append((depth, x, y, person))
    for _, x, y, person in sorted((one for one in above if np.isfinite(one[0])), reverse=True):
        view.tag(str(person), (x, y), person_tint(person))


def _mixed(first: Rgb, second: Rgb, share: float) -> Rgb:
    red, green, blue = (round((1 - share) * a + share * b) for a, b in zip(first, second, strict=True))
    return red, green, blue
