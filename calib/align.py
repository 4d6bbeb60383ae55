"""Sets the world frame of a finished rig from a board on the floor, measured points or people; checks its scale.

The relative poses of the cameras stay as they are: the whole rig is moved, turned and, for known lengths, scaled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from calib.arrays import Floats
from calib.calibration import Calibration
from calib.errors import CalibrationError
from calib.geometry import invert, pose, similarity, transform
from calib.rig import Rig
from calib.robust_triangulation import triangulate_robust
from calib.targets import Target

_UNITS = {1000.0: "millimetres", 100.0: "centimetres", 1 / 0.0254: "inches", 1 / 0.3048: "feet"}
_NEAR_UNIT = 0.15  # log ratio between a scale and a unit's size, up to which that unit is suspected
_LINE = 0.02  # least width over length of points that are not collinear
_ROUNDS = 30
_LEAST_FEET = 6
_LOW = 0.1
_WIDE_M, _NARROW_M, _NARROWER = 0.1, 0.01, 0.8  # kernel scale on foot heights: first, last, and its factor a round
_LEAN = 0.035  # rad, standard deviation of the common lean of upright bodies
_PIXEL_SIGMA = 1.0


@dataclass(frozen=True, eq=False)
class Alignment:
    """A rig in its new world, and the residuals of the alignment.

    new_from_old (4, 4) is rigid and applies after lengths are multiplied by `scale`; names and residual_m (N,) are of
    the points it was aligned to, NaN where not used; lines: messages to the user, the most important first.
    """

    rig: Rig
    new_from_old: Floats
    scale: float
    names: tuple[str, ...]
    residual_m: Floats
    lines: tuple[str, ...]

    @property
    def rms_m(self) -> float:
        """RMS residual, m; NaN where there is none."""
        good = self.residual_m[np.isfinite(self.residual_m)]
        return float(np.sqrt((good**2).mean())) if good.size else float("nan")

    def summary(self) -> str:
        """One line."""
        return "; ".join(self.lines)


@dataclass(frozen=True, eq=False)
class ScaleCheck:
    """Known lengths in a rig's world: the ratio true / measured with its standard deviation, and that of each (N,)."""

    ratio: float
    sigma: float
    names: tuple[str, ...]
    measured_m: Floats
    ratios: Floats
    lines: tuple[str, ...]

    def summary(self) -> str:
        """One line."""
        return "; ".join(self.lines)


def align_to_board(
    rig: Rig | Calibration,
    target: Target | None = None,
    world_from_board: ArrayLike | None = None,
    *,
    moment: str | int = 0,
    origin: Literal["board", "middle"] = "board",
) -> Alignment:
    """The rig in the world of a board that lies on the floor: z = 0 is its plane, z up, x along its longer side.

    With a Calibration, the board is taken at a moment (index or name); with a Rig, the target and its pose (4, 4) are
    given. A board's z axis points into it, so up is -z; where most cameras would be below the floor it lies face down.
    Raises CalibrationError where the board was not seen at the moment or is not flat.
    """
    if isinstance(rig, Calibration):
        target, world_from_board = rig.observations.target, _board_at(rig, moment)
        rig = rig.rig
    if target is None or world_from_board is None:
        raise CalibrationError("aligning a rig to a board needs the board and its pose, or a calibration with both")
    placed = np.asarray(world_from_board, np.float64)
    shape = target.points[target.of_piece == 0]
    if target.free or target.rank(0) != 2:
        raise CalibrationError(f"the {target.name} is not flat and defines no floor; lay a flat board on the floor")
    along = np.array([1.0, 0, 0]) if np.ptp(shape[:, 0]) >= np.ptp(shape[:, 1]) else np.array([0, 1.0, 0])
    up = np.array([0, 0, -1.0])
    middle = (shape.min(0) + shape.max(0)) / 2
    new_origin = middle if origin == "middle" else np.zeros(3)
    heights = (transform(invert(placed), rig.positions) - new_origin) @ up
    below = (heights < 0).sum() > len(rig) / 2
    up = -up if below else up
    board_from_new = pose(np.stack([along, np.cross(up, along), up], -1), new_origin)
    new_from_old = invert(placed @ board_from_new)
    lines = [f"the floor is the {target.name}'s plane, z up, x along its longer side"]
    if below:
        lines.append("most cameras are behind the board's front, so it is assumed to lie face down")
    aligned = rig.moved(new_from_old)
    lines.append(_heights(aligned))
    return Alignment(aligned, new_from_old, 1.0, (), np.zeros(0), tuple(lines))


def _board_at(calibration: Calibration, moment: str | int) -> Floats:
    names = calibration.observations.moments
    if isinstance(moment, str):
        if moment not in names:
            raise CalibrationError(f"no moment is named {moment!r}; they go from {names[0]!r} to {names[-1]!r}")
        moment = names.index(moment)
    if not 0 <= moment < len(names):
        raise CalibrationError(f"there is no moment {moment}; there are {len(names)}, counted from 0")
    found = calibration.world_from_body[moment] @ calibration.body_from_piece[0]
    if not np.isfinite(found).all():
        known = np.flatnonzero(np.isfinite(calibration.world_from_body).all((1, 2)))
        near = known[np.argmin(abs(known - moment))] if len(known) else None
        hint = f"; the nearest moment with a pose is {names[near]!r}" if near is not None else ""
        raise CalibrationError(f"the board's pose is not known at {names[moment]!r}{hint}")
    return np.asarray(found)


def align_to_points(
    rig: Rig,
    world: ArrayLike,
    *,
    xy: ArrayLike | None = None,
    points: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    scale: bool = True,
) -> Alignment:
    """The rig in the world of measured points (N, 3) m, N >= 3.

    Their positions in the rig's own world are triangulated from xy (C, N, 2) px, NaN where not seen, two views or more
    each, or given as points (N, 3). scale: whether lengths may change too; a scale close to another unit's is reported.
    Raises CalibrationError where fewer than three points are known, they are collinear, or they fit only mirrored.
    """
    wanted = np.asarray(world, np.float64)
    if points is None:
        if xy is None:
            raise CalibrationError("aligning to points needs their pixels in two views or more, or their positions")
        points = triangulate_robust(rig, np.asarray(xy, np.float64), _PIXEL_SIGMA * 3).xyz
    measured = np.asarray(points, np.float64)
    if wanted.ndim != 2 or wanted.shape[1] != 3 or measured.shape != wanted.shape:
        raise CalibrationError(
            f"measured points have to be (N, 3) metres, one for each point of the rig, not {wanted.shape}"
        )
    labels = tuple(names) if names is not None else tuple(f"point {index + 1}" for index in range(len(wanted)))
    good = np.asarray(np.isfinite(wanted).all(-1) & np.isfinite(measured).all(-1))
    if good.sum() < 3:
        lost = ", ".join(name for name, known in zip(labels, good, strict=True) if not known)
        raise CalibrationError(
            f"{int(good.sum())} points are known in both worlds, but three are needed; mark more of them in two views "
            f"(not usable: {lost or 'none'})"
        )
    _refuse_line(wanted[good], "the measured points")
    _refuse_line(measured[good], "the points in the rig's world")
    factor, R, t = similarity(measured, wanted, scale=scale)
    fitted = factor * measured @ R.T + t
    residual = np.where(good, np.linalg.norm(fitted - wanted, axis=-1), np.nan)
    _refuse_mirror(measured[good], wanted[good], residual[good], scale)
    lines = _points_lines(labels, residual, factor if scale else _free_scale(measured, wanted), scale)
    aligned = (rig.scaled_world(factor) if scale else rig).moved(pose(R, t))
    return Alignment(aligned, pose(R, t), factor, labels, residual, (*lines, _heights(aligned)))


def _free_scale(measured: Floats, wanted: Floats) -> float:
    return similarity(measured, wanted)[0]


def _refuse_line(points: Floats, whose: str) -> None:
    spread = np.linalg.svd(points - points.mean(0), compute_uv=False)
    if spread[1] < _LINE * spread[0] or spread[0] == 0:
        raise CalibrationError(
            f"{whose} lie on a line, so the rotation about it is undetermined; measure one well off that line"
        )


def _refuse_mirror(measured: Floats, wanted: Floats, residual: Floats, scale: bool) -> None:
    """Raise CalibrationError for points that fit only mirrored: a left-handed world, or two points swapped."""
    factor, R, t = similarity(measured * (1, 1, -1), wanted, scale=scale)
    mirrored = float(np.sqrt((((factor * (measured * (1, 1, -1)) @ R.T + t) - wanted) ** 2).sum(-1).mean()))
    size = float(np.sqrt(((wanted - wanted.mean(0)) ** 2).sum(-1).mean()))
    own = float(np.sqrt((residual**2).mean()))
    if own > 0.02 * size and own > 4 * mirrored:
        raise CalibrationError(
            f"the points fit only mirrored ({1000 * own:.0f} mm RMS as given, {1000 * mirrored:.0f} mm mirrored); "
            "give right-handed coordinates (x, y, z with z up), and check the sign of each axis"
        )


def _points_lines(names: Sequence[str], residual: Floats, factor: float, scaled: bool) -> tuple[str, ...]:
    good = np.isfinite(residual)
    rms = float(np.sqrt((residual[good] ** 2).mean()))
    worst = int(np.nanargmax(residual))
    lines = [
        f"{int(good.sum())} points fit to {1000 * rms:.1f} mm RMS; the largest residual is "
        f"{1000 * residual[worst]:.1f} mm, at {names[worst]}"
    ]
    if good.sum() == 3:
        lines.append("three points leave little redundancy to check the fit: measure a fourth")
    unit = unit_from_points(factor)
    if unit:
        lines.append(f"lengths differ by a factor of {factor:.4g}: one of the two worlds is in {unit}, not metres")
    elif abs(factor - 1) > 0.005:
        done = "was corrected" if scaled else "was not corrected"
        lines.append(f"lengths in the rig differed by {100 * (1 / factor - 1):+.2f} % from the points'; that {done}")
    return tuple(lines)


def unit_from_points(factor: float) -> str | None:
    """The unit whose size in metres a scale factor, or its inverse, is close to; None where it is close to none."""
    if not factor > 0:
        return None
    for size, name in _UNITS.items():
        if min(abs(np.log(factor * size)), abs(np.log(factor / size))) < _NEAR_UNIT:
            return name
    return None


def align_to_people(rig: Rig, feet: ArrayLike, up: ArrayLike) -> Alignment:
    """The rig in a world with z = 0 on the floor that people stand on and z along their upright bodies.

    feet (N, 3) m: positions of ankles, heels or toes, raised ones included; up (M, 3): directions from the feet to the
    head of people, upright most of the time; both in the rig's world. The origin is the median foot position, projected
    onto the floor; x stays as close to the old x as the floor allows. Raises CalibrationError where there are too few
    feet or bodies.
    """
    places, bodies = np.asarray(feet, np.float64), np.asarray(up, np.float64)
    places, bodies = places[np.isfinite(places).all(-1)], bodies[np.isfinite(bodies).all(-1)]
    if len(places) < _LEAST_FEET or not len(bodies):
        raise CalibrationError(
            f"{len(places)} feet and {len(bodies)} bodies are too few to fit a floor; film people who walk about"
        )
    upward = _median_direction(bodies)
    normal, height, deviation = _fit_floor(places, upward)
    x = np.array([1.0, 0, 0]) if abs(normal[0]) < 0.9 else np.array([0, 1.0, 0])
    x = x - normal * (x @ normal)
    x /= np.linalg.norm(x)
    middle = np.median(places, axis=0)
    new_origin = middle + normal * (height - middle @ normal)
    new_from_old = invert(pose(np.stack([x, np.cross(normal, x), normal], -1), new_origin))
    aligned = rig.moved(new_from_old)
    above = transform(new_from_old, places)[:, 2]
    lean = float(np.rad2deg(np.arccos(np.clip(normal @ upward, -1, 1))))
    lines = [
        f"the floor fits the standing feet to {1000 * deviation:.0f} mm; bodies lean {lean:.1f} degrees from its normal"
    ]
    if lean > 5:
        lines.append(
            "the feet's floor and the upright bodies disagree: film people who walk upright over the whole area"
        )
    lines.append(_heights(aligned))
    return Alignment(aligned, new_from_old, 1.0, ("feet",), np.array([float(np.median(abs(above)))]), tuple(lines))


def _median_direction(vectors: Floats) -> Floats:
    """The geometric median direction (3,) of vectors (M, 3) by Weiszfeld steps: robust to a few who bend or lie."""
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    middle = unit.mean(0)
    for _ in range(_ROUNDS):
        middle /= max(float(np.linalg.norm(middle)), 1e-12)
        weight = 1 / np.maximum(np.linalg.norm(unit - middle, axis=-1), 1e-3)
        middle = weight @ unit
    return np.asarray(middle / np.linalg.norm(middle))


def _fit_floor(places: Floats, upward: Floats) -> tuple[Floats, float, float]:
    """Normal (3,), height along it and median deviation, m, of the plane that feet stand on.

    It starts at the height below which a tenth of the feet are. Reweighted least squares follow, with the kernel of
    Geman and McClure, narrower from round to round: raised feet and outliers get almost no weight. A prior holds the
    tilt to that of the bodies, which decides where people hardly move about.
    """
    middle = places.mean(0)
    centred = places - middle
    normal, height, scale = upward, float(np.quantile(centred @ upward, _LOW)), _WIDE_M
    for _ in range(_ROUNDS):
        x, y = _perpendicular_axes(normal)
        plane = np.stack([centred @ x, centred @ y, np.ones(len(places))], -1)
        above = centred @ normal
        weight = 1 / (1 + ((above - height) / scale) ** 2) ** 2
        leaning = -np.array([upward @ x, upward @ y, 0.0]) / max(float(upward @ normal), 1e-3)
        prior = (scale / _LEAN) ** 2 * np.diag([1.0, 1.0, 0.0])
        normal_matrix = (plane * weight[:, None]).T @ plane + prior
        slope = np.linalg.solve(normal_matrix, plane.T @ (weight * above) + prior @ leaning)
        normal = normal - slope[0] * x - slope[1] * y
        normal /= np.linalg.norm(normal)
        above = centred @ normal
        height = float((weight @ above) / weight.sum())
        near = abs(above - height)[weight > 0.25]
        scale = max(_NARROWER * scale, 3 * float(np.median(near)) if len(near) else 0.0, _NARROW_M)
    return np.asarray(normal), height + float(middle @ normal), float(np.median(near)) if len(near) else scale


def _perpendicular_axes(normal: Floats) -> tuple[Floats, Floats]:
    x = np.cross(normal, (1.0, 0, 0) if abs(normal[0]) < 0.7 else (0, 1.0, 0))
    x /= np.linalg.norm(x)
    return x, np.cross(normal, x)


def scale_check(points: ArrayLike, lengths_m: Mapping[tuple[int, int], float], *, sigma_m: float = 0.002) -> ScaleCheck:
    """Compare known lengths between points (N, 3) of a rig's world, by point indices, with the measured ones.

    ratio: the factor that corrects the world (`Rig.scaled_world`); its standard deviation comes from the scatter of the
    lengths, but is not below what sigma_m, the error of one length, gives. Raises CalibrationError for a length of zero
    and where no length has both its ends.
    """
    places = np.asarray(points, np.float64)
    pairs = list(lengths_m)
    true = np.array([lengths_m[pair] for pair in pairs], np.float64)
    if not len(pairs) or not (true > 0).all():
        raise CalibrationError("checking the scale needs one or more known lengths above 0, in metres")
    measured = np.array([np.linalg.norm(places[a] - places[b]) for a, b in pairs])
    good = np.isfinite(measured) & (measured > 0)
    if not good.any():
        raise CalibrationError("no known length has the positions of both its ends; mark them in two views or more")
    # Every length has the same error in metres, so long ones weigh more.
    square = float((measured[good] ** 2).sum())
    ratio = float(measured[good] @ true[good]) / square
    residual = true[good] - ratio * measured[good]
    freedom = max(int(good.sum()) - 1, 1)
    sigma = float(np.sqrt(max((residual**2).sum() / freedom, sigma_m**2) / square))
    lines = [f"lengths have to be multiplied by {ratio:.4f} (± {sigma:.2g}, {int(good.sum())} lengths)"]
    unit = unit_from_points(ratio)
    if unit:
        lines.append(f"that suggests {unit} read as metres, or the other way round")
    elif abs(ratio - 1) <= 3 * sigma:
        lines.append("that is 1 within its error: the scale is right")
    else:
        lines.append(f"the rig's lengths have an error of {100 * (1 / ratio - 1):+.2f} %")
    names = tuple(f"{a}-{b}" for a, b in pairs)
    with np.errstate(divide="ignore", invalid="ignore"):
        return ScaleCheck(ratio, sigma, names, measured, np.where(good, true / measured, np.nan), tuple(lines))


def _heights(rig: Rig) -> str:
    heights = rig.positions[:, 2]
    line = f"cameras are {heights.min():.2f} to {heights.max():.2f} m above the floor"
    return f"{line}; some are below it: check the result" if heights.min() < 0 else line
