"""Training targets of bottom-up networks as arrays: heatmaps, part affinity fields and occlusion-robust pose maps.

A part affinity field holds the direction of a limb at the pixels near it (Cao et al. 2017). Occlusion-robust pose maps
(Mehta et al. 2018) hold, at the pixel of a joint, the positions relative to the root of all joints that are read there:
every joint at the neck and the pelvis, a limb's joints at each joint of that limb, so that a hidden wrist can be read
at the elbow. Where two people meet, the nearer one is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from calib.geometry import transform
from mvcap.datasets.ground_truth import GroundTruth, JointVisibility, TruthFrame, as_skeleton, shown_views
from mvcap.errors import ConfigError
from mvcap.estimation.pose_map_readout import MAPS_SKELETON, ROOT_JOINT, map_cells, read_out_joints
from mvcap.structures.npz import write_npz

TARGETS = ("heatmaps", "paf", "orpm")


@dataclass(frozen=True)
class MapsConfig:
    """Settings of training targets."""

    stride: int = 8
    """Pixels of the image for one cell of the maps."""
    sigma: float = 1.5
    """Standard deviation of a joint's peak, cells."""
    width: float = 1.0
    """Half of the width of a limb's field, cells."""

    def __post_init__(self) -> None:
        if self.stride < 1 or not self.sigma > 0 or not self.width > 0:
            raise ConfigError("maps need a 'stride' of 1 or more, and 'sigma' and 'width' above 0")


def heatmaps(xy: Floats, visibility: NDArray[np.uint8], size: tuple[int, int], config: MapsConfig) -> Floats:
    """Return peaks (J, h, w) of height 1 at joints (P, J, 2) px within the picture; of all people the largest."""
    columns, rows = cells_of(size, config)
    out = np.zeros((xy.shape[1], rows, columns))
    x, y = np.arange(columns), np.arange(rows)
    for person, joint in np.argwhere(_within(visibility)):
        at_x, at_y = _cell(xy[person, joint], config)
        peak = np.exp(-((x - at_x) ** 2 + (y[:, None] - at_y) ** 2) / (2 * config.sigma**2))
        np.maximum(out[joint], peak, out=out[joint])
    return out


def affinity_fields(xy: Floats, visibility: NDArray[np.uint8], size: tuple[int, int], config: MapsConfig) -> Floats:
    """Return unit directions (B, 2, h, w) of the bones of ``MAPS_SKELETON`` near them; means where bones cross.

    A bone needs both ends within the picture.
    """
    columns, rows = cells_of(size, config)
    bones = MAPS_SKELETON.bones
    total, count = np.zeros((len(bones), 2, rows, columns)), np.zeros((len(bones), rows, columns))
    y, x = np.indices((rows, columns))
    within = _within(visibility)
    for number, (a, b) in enumerate(bones):
        for person in np.flatnonzero(within[:, a] & within[:, b]):
            start, stop = (np.array(_cell(xy[person, joint], config)) for joint in (a, b))
            length = float(np.linalg.norm(stop - start))
            if length < 1e-6:
                continue
            way = (stop - start) / length
            along = (x - start[0]) * way[0] + (y - start[1]) * way[1]
            across = np.abs((x - start[0]) * way[1] - (y - start[1]) * way[0])
            near = (along >= -0.5) & (along <= length + 0.5) & (across <= config.width)
            total[number][:, near] += way[:, None]
            count[number][near] += 1
    return total / np.maximum(count, 1)[:, None]


def pose_maps(
    xy: Floats, places: Floats, visibility: NDArray[np.uint8], size: tuple[int, int], config: MapsConfig
) -> tuple[Floats, Floats]:
    """Return occlusion-robust pose maps (J, 3, h, w) m and their weights (J, h, w).

    xy: (P, J, 2) px; places: (P, J, 3) m in the camera's frame. The value is the joint relative to the root; the weight
    is 1 where a joint is read, falling to 0 within two cells, and 0 where nothing is stated.
    """
    columns, rows = cells_of(size, config)
    joints = xy.shape[1]
    out, weight = np.zeros((joints, 3, rows, columns)), np.zeros((joints, rows, columns))
    within = _within(visibility)
    order = np.argsort(-np.nan_to_num(places[:, ROOT_JOINT, 2], nan=-np.inf), kind="stable")  # the nearest is last
    for person in order:
        relative = places[person] - places[person, ROOT_JOINT]
        for joint in np.flatnonzero(np.isfinite(relative).all(-1)):
            mine = np.zeros((rows, columns))
            for at in read_out_joints(int(joint)):
                if within[person, at]:
                    _stamp(mine, _cell(xy[person, at], config))
            out[joint][:, mine > 0] = relative[joint][:, None]
            weight[joint][mine > 0] = mine[mine > 0]
    return out, weight


def _stamp(weight: Floats, centre: tuple[float, float]) -> None:
    """Raise weights (h, w) around a cell to a peak of height 1 that ends two cells away."""
    reach = 2
    rows, columns = weight.shape
    x, y = (round(edge) for edge in centre)
    window = (
        slice(max(0, y - reach), min(rows, y + reach + 1)),
        slice(max(0, x - reach), min(columns, x + reach + 1)),
    )
    grids = np.ogrid[window]
    away = np.hypot(grids[0] - centre[1], grids[1] - centre[0])
    peak = np.where(away <= reach, np.exp(-(away**2) / 2), 0.0)
    weight[window] = np.maximum(weight[window], peak)


def _within(visibility: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.isin(visibility, (JointVisibility.UNKNOWN, JointVisibility.OUT_OF_VIEW), invert=True)


def _cell(xy: Floats, config: MapsConfig) -> tuple[float, float]:
    """A pixel in cells: the middle of the first cell is 0."""
    x, y = map_cells(xy, config.stride)
    return float(x), float(y)


def cells_of(size: tuple[int, int], config: MapsConfig) -> tuple[int, int]:
    """Return columns and rows of the maps of a picture (w, h) px."""
    return -(-size[0] // config.stride), -(-size[1] // config.stride)


def frame_targets(
    one: TruthFrame, view: int, truth: GroundTruth, wanted: tuple[str, ...], config: MapsConfig
) -> dict[str, NDArray[np.float16]]:
    """Return the maps of one image of a dataset with ``MAPS_SKELETON``: heatmaps, paf, orpm and orpm_weight."""
    camera = truth.cameras()[view]
    args = (one.xy[:, view], one.visibility[:, view], camera.size, config)
    out: dict[str, Floats] = {}
    if "heatmaps" in wanted:
        out["heatmaps"] = heatmaps(*args)
    if "paf" in wanted:
        out["paf"] = affinity_fields(*args)
    if "orpm" in wanted:
        places = transform(camera.cam_from_world, one.xyz)
        out["orpm"], out["orpm_weight"] = pose_maps(args[0], places, *args[1:])
    return {name: values.astype(np.float16) for name, values in out.items()}


def check_targets(wanted: Iterable[str]) -> tuple[str, ...]:
    """Return names of maps; ConfigError for one that is none."""
    names = tuple(wanted)
    other = [name for name in names if name not in TARGETS]
    if other:
        raise ConfigError(f"no targets {other[0]!r}; there are: {', '.join(TARGETS)}")
    return names


def write_targets(truth: GroundTruth, wanted: tuple[str, ...], config: MapsConfig) -> None:
    """Write ``targets/VIEW/FRAME.npz`` of every image of a dataset beside its images.

    Each has the maps as float16, ``stride``, ``joints`` and ``bones``. ConfigError for a kind of maps that is none.
    """
    check_targets(wanted)
    if truth.folder is None or not wanted:
        return
    plain = as_skeleton(truth, MAPS_SKELETON)
    facts = {
        "stride": np.array(config.stride),
        "joints": np.array(MAPS_SKELETON.joints),
        "bones": MAPS_SKELETON.bones,
    }
    for one in plain.frames():
        for view in shown_views(truth, one):
            path = truth.folder / "targets" / truth.views[view] / f"{one.frame:07d}.npz"
            write_npz(path, {**frame_targets(one, view, plain, wanted, config), **facts})
