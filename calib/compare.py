"""Compares two rigs of the same cameras: lenses, poses, and the points they triangulate in the shared volume, in mm.

Cameras are matched by name. The second rig is first aligned to the first, rigidly or with a scale, by least squares
over the cameras' positions and the tips of their three axes, each as long as the rig is wide: so two cameras are
enough, and directions weigh as much as positions. The remaining differences are reported.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from calib import geometry
from calib.arrays import Bools, Floats
from calib.camera import Camera, Lens
from calib.errors import RigMismatchError
from calib.geometry import transform
from calib.rig import Rig
from calib.views import fit_to_images

_LATTICE = 11  # points along a side of the cube in which they are triangulated
_SHARE = 0.5  # half the side of that cube over the cameras' median distance from its centre
_GRID = 24  # samples along a side of the image at which two lenses are compared


@dataclass(frozen=True)
class CameraDifference:
    """One camera of the second rig against the same of the first, after alignment.

    focal_percent: longer is positive; principal_px (x, y); lens_px: RMS over the image of the distance between the
    pixels at which both lenses, K and distortion, see the same direction; rotation_deg, position_mm: of the pose.
    """

    name: str
    focal_percent: float
    principal_px: tuple[float, float]
    lens_px: float
    rotation_deg: float
    position_mm: float


@dataclass(frozen=True)
class Baseline:
    """The distance between two cameras: metres in the first rig, and how much longer in the second."""

    names: tuple[str, str]
    length_m: float
    percent: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """How rig b differs from rig a.

    cameras: of both, in a's order; only_a, only_b: names without a partner; scale: a's lengths over b's, fitted, also
    where the alignment is rigid and does not use it; a_from_b (4, 4) the alignment, with its scale where there is one;
    baselines: of each pair; places (N, 3) m in the volume that a's cameras share, and points_mm (N,): distance of the
    points that a's and b's cameras triangulate from the pixels of a's cameras there, NaN where b's cannot; notes: how
    lenses were fitted to the same image sizes, and which lenses fold back inside the image.
    """

    cameras: tuple[CameraDifference, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    scaled: bool
    scale: float
    a_from_b: Floats
    baselines: tuple[Baseline, ...]
    places: Floats
    points_mm: Floats
    notes: tuple[str, ...] = ()

    @property
    def volume_rms_mm(self) -> float:
        """RMS of `points_mm`; NaN where no point could be triangulated."""
        found = self.points_mm[np.isfinite(self.points_mm)]
        return float(np.sqrt(np.mean(found**2))) if found.size else float("nan")


def compare(a: Rig, b: Rig, *, scale: bool = False) -> Comparison:
    """How rig b differs from rig a, both in metres; with `scale`, lengths may differ by a common factor.

    Raises RigMismatchError where fewer than two cameras have the same name, or image shapes differ.
    """
    pairs = _match_cameras(a, b)
    first, second = a.select([name for name, _ in pairs]), b.select([name for _, name in pairs])
    renamed = dict(zip(second.names, first.names, strict=True))
    second, notes = fit_to_images(second, {two: first[one].size for two, one in renamed.items()}, scale=True)
    factor, a_from_b = _alignment(first, second, scale)
    placed = _in_first_world(second, a_from_b)
    places, points_mm = _compare_points(first, placed)
    return Comparison(
        cameras=tuple(_difference(one, two) for one, two in zip(first, placed, strict=True)),
        only_a=tuple(name for name in a.names if name not in first.names),
        only_b=tuple(name for name in b.names if name not in second.names),
        scaled=scale,
        scale=factor,
        a_from_b=a_from_b,
        baselines=_baselines(first, placed),
        places=places,
        points_mm=points_mm,
        notes=(*notes, *_about_folds(first, second)),
    )


def _match_cameras(a: Rig, b: Rig) -> list[tuple[str, str]]:
    """Pairs of names of the same camera: equal, or equal apart from case where that is unique."""
    pairs = []
    for name in a.names:
        alike = [other for other in b.names if other.lower() == name.lower()]
        if name in alike or len(alike) == 1:
            pairs.append((name, name if name in alike else alike[0]))
    used = [other for _, other in pairs]
    pairs = [(one, other) for one, other in pairs if one == other or used.count(other) == 1]
    if len(pairs) < 2:
        raise RigMismatchError(
            f"fewer than two cameras have the same name: there are {', '.join(a.names[:20])} and "
            f"{', '.join(b.names[:20])}; rename one rig's cameras"
        )
    return pairs


def _alignment(a: Rig, b: Rig, scale: bool) -> tuple[float, Floats]:
    """The fitted scale, and a_from_b (4, 4), which contains that scale only where `scale` is set.

    Exactly 1 and the identity for cameras at the same poses.
    """
    if np.array_equal(a.cam_from_world, b.cam_from_world):
        return 1.0, np.eye(4)
    wide_a, wide_b = _width(a), _width(b)
    factor, R, t = geometry.similarity(_markers(b, wide_b), _markers(a, wide_a))
    if not scale:
        _, R, t = geometry.similarity(_markers(b, wide_a), _markers(a, wide_a), scale=False)
    out = geometry.pose(R, t)
    out[:3, :3] *= factor if scale else 1.0
    return factor, out


def _width(rig: Rig) -> float:
    far = float(np.sqrt(((rig.positions - rig.positions.mean(0)) ** 2).sum(1).mean()))
    return far if far > 0 else 1.0


def _markers(rig: Rig, length: float) -> Floats:
    """Positions and tips of axes (4 C, 3)."""
    axes = np.concatenate([np.zeros((1, 3)), length * np.eye(3)])
    return np.asarray(transform(geometry.invert(rig.cam_from_world)[:, None], axes)).reshape(-1, 3)


def _in_first_world(rig: Rig, a_from_b: Floats) -> Rig:
    """The rig in the world of a."""
    factor = float(np.cbrt(np.linalg.det(a_from_b[:3, :3])))
    rotation = a_from_b[:3, :3] / factor
    rigid = geometry.pose(rotation, a_from_b[:3, 3])
    poses = rig.scaled_world(factor).cam_from_world @ geometry.invert(rigid)
    return Rig(tuple(Camera(camera.lens, pose) for camera, pose in zip(rig, poses, strict=True)), rig.source)


def _difference(one: Camera, two: Camera) -> CameraDifference:
    focal = np.sqrt([camera.lens.K[0, 0] * camera.lens.K[1, 1] for camera in (one, two)])
    shift = two.lens.K[:2, 2] - one.lens.K[:2, 2]
    turned = two.cam_from_world[:3, :3] @ one.cam_from_world[:3, :3].T
    angle = np.linalg.norm(geometry.vector_from_rotation(turned))
    return CameraDifference(
        name=one.name,
        focal_percent=float(100 * (focal[1] / focal[0] - 1)),
        principal_px=(float(shift[0]), float(shift[1])),
        lens_px=_lens_px(one, two),
        rotation_deg=float(np.degrees(angle)),
        position_mm=float(1000 * np.linalg.norm(two.position - one.position)),
    )


def _lens_px(one: Camera, two: Camera) -> float:
    """RMS over the image of the distance between the pixels at which two lenses see the same direction."""
    ends = np.array(one.size) - 1.0
    xy = np.stack(np.meshgrid(*(np.linspace(0, end, _GRID) for end in ends)), -1)
    straight = one.lens.undistort(xy)
    shift = two.lens.distort(straight) - one.lens.distort(straight)
    squared = (shift**2).sum(-1)
    return float(np.sqrt(np.nanmean(squared))) if np.isfinite(squared).any() else float("nan")


def fold_radius(lens: Lens) -> float | None:
    """Distance in px from the principal point at which a lens folds back; None where that is not inside its image.

    Pixels beyond have no direction, or share it with others.
    """
    if not np.isfinite(lens.valid_radius):
        return None
    width, height = lens.size
    border = np.concatenate([[(x, y) for x in (0, width - 1) for y in (0, height - 1)], _sides(lens)])
    if np.isfinite(lens.undistort(border)).all():
        return None
    edge = lens.valid_radius * (1 - 1e-9) * np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    return float(np.linalg.norm(lens.distort(edge) - lens.K[:2, 2], axis=-1).mean())


def _sides(lens: Lens) -> Floats:
    """Pixels (4, 2) of the image's sides beside the principal point."""
    (width, height), (x, y) = lens.size, np.clip(lens.K[:2, 2], 0, np.array(lens.size) - 1.0)
    return np.array([[0, y], [width - 1, y], [x, 0], [x, height - 1]], np.float64)


def about_fold(radius_px: float) -> str:
    """What to say of a lens that folds back."""
    return f"its lens folds back {radius_px:.0f} px from its centre, so pixels beyond have no direction"


def _baselines(a: Rig, b: Rig) -> tuple[Baseline, ...]:
    found = []
    for one, two in combinations(range(len(a)), 2):
        lengths = [float(np.linalg.norm(rig.positions[one] - rig.positions[two])) for rig in (a, b)]
        percent = 100 * (lengths[1] / lengths[0] - 1) if lengths[0] > 0 else float("nan")
        found.append(Baseline((a.names[one], a.names[two]), lengths[0], percent))
    return tuple(found)


def _compare_points(a: Rig, b: Rig) -> tuple[Floats, Floats]:
    """Places (N, 3) m that two or more of a's cameras see, and the error (N,) mm of b's triangulation there."""
    middle = shared_middle(a)
    reach = _SHARE * float(np.median(np.linalg.norm(a.positions - middle, axis=1)))
    steps = np.linspace(-reach, reach, _LATTICE)
    places = middle + np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    xy = a.project(places)
    sizes = np.array([camera.size for camera in a])[:, None]
    with np.errstate(invalid="ignore"):
        inside: Bools = np.all((xy >= 0) & (xy <= sizes - 1), axis=-1)
    seen = inside.sum(0) >= 2
    xy = np.where(inside[..., None], xy, np.nan)[:, seen]
    # Against a's own triangulation: near the fold of a lens rounding alone moves a ray by millimetres.
    own = a.triangulate(xy)
    known = np.isfinite(own).all(-1)
    return places[seen][known], 1000 * np.linalg.norm(b.triangulate(xy)[known] - own[known], axis=-1)


def _about_folds(a: Rig, b: Rig) -> list[str]:
    """A line for each camera whose lens folds back inside its image."""
    lines = []
    for rig, side in ((a, "A"), (b, "B")):
        for camera in rig:
            reach = fold_radius(camera.lens)
            if reach is not None:
                lines.append(f"camera {camera.name!r} of {side}: {about_fold(reach)}; nothing is compared there")
    return lines


def shared_middle(rig: Rig) -> Floats:
    """The point (3,) m nearest to all optical axes, regularised towards points one rig width ahead of the cameras."""
    ahead = rig.cam_from_world[:, 2, :3]
    across = np.eye(3) - ahead[:, :, None] * ahead[:, None, :]
    little = 0.01
    before = rig.positions + _width(rig) * ahead
    left = (across + little * np.eye(3)).sum(0)
    right = np.einsum("cij,cj->i", across, rig.positions) + little * before.sum(0)
    return np.asarray(np.linalg.solve(left, right))
