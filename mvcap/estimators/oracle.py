"""Projected ground truth with stated noise and errors, as an estimator for tests and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Rig
from calib.arrays import Floats
from mvcap.errors import ConfigError, InputError
from mvcap.estimation.prediction_files import fingerprint
from mvcap.structures.contracts import Estimate, State, View
from mvcap.structures.detections import Detections2D, joint_box
from mvcap.structures.pose_file import load_poses
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton
from mvcap.synthesis.occlusion import occluded

_LEAST_NOISE_PX = 0.1
"""Stated noise of exact points, as zero would give an infinite weight."""
_HIDDEN_SHARE = 0.7
"""A body with a larger share of occluded joints is not detected at all."""
_PHANTOM_DEPTH_M = (2.0, 8.0)
_LEG, _ARM = ("knee", "ankle", "heel", "toe"), ("elbow", "wrist", "pinky", "index", "thumb")


@dataclass(frozen=True)
class OracleConfig:
    """Settings of the estimator ``oracle``."""

    poses: str = ""
    """npz of the true poses, as ``mvcap.write_poses`` writes it."""
    rig: str = ""
    """Cameras that see them, any calibration file; found by the views' names."""
    noise_px: float = 0.0
    """Standard deviation of the noise along each axis, px."""
    outliers: float = 0.0
    """Share (0 to 1) of the joints that are outliers."""
    outlier_px: float = 100.0
    """Distance of an outlier, px, in a random direction."""
    missing: float = 0.0
    """Share (0 to 1) of the people that a view misses at a frame."""
    occlusion: bool = False
    """Whether bodies occlude the joints behind them; a person who is mostly occluded is missed."""
    swaps: float = 0.0
    """Share (0 to 1) of the people in a view with left and right swapped over the whole body."""
    limb_swaps: float = 0.0
    """Share (0 to 1) of the people in a view with the two legs, or the two arms, swapped."""
    splits: float = 0.0
    """Share (0 to 1) of the people in a view who become two rows, each with the joints on one side of a line."""
    merges: float = 0.0
    """Share (0 to 1) of the people in a view who get the joints on one side of a line from a person who overlaps them.
    """
    phantoms: float = 0.0
    """Expected number of false positives in a view and frame, posed like a person of the take."""
    carry: bool = True
    """Give the true person as the estimator's own id through time (column ``carried``)."""
    seed: int = 0
    """Seed of the random numbers; those of a frame and view do not depend on which others are asked for."""

    def __post_init__(self) -> None:
        shares = (self.outliers, self.missing, self.swaps, self.limb_swaps, self.splits, self.merges)
        if not all(0 <= share <= 1 for share in shares) or min(self.noise_px, self.seed, self.phantoms) < 0:
            raise ConfigError(
                "oracle: outliers, missing, swaps, limb_swaps, splits and merges must be shares of 0 to 1; noise_px, "
                "phantoms and seed must not be negative"
            )

    @property
    def confuses(self) -> bool:
        """Whether there are swaps, splits, merges or false positives."""
        return max(self.swaps, self.limb_swaps, self.splits, self.merges, self.phantoms) > 0


class Oracle:
    """Estimator ``oracle``, for tests and measurements: known people seen by known cameras, with stated errors."""

    Config = OracleConfig
    needs_images = False

    def __init__(self, config: OracleConfig) -> None:
        if not config.poses or not config.rig:
            raise InputError(
                "oracle: set estimators.oracle.poses to the npz of the true poses and estimators.oracle.rig to the "
                "cameras' file"
            )
        self.config = config
        self.skeleton = load_poses(Path(config.poses)).skeleton

    @cached_property
    def _truth(self) -> Poses3D:
        poses = load_poses(Path(self.config.poses))
        return poses[np.argsort(poses.frame, kind="stable")]

    @cached_property
    def _rig(self) -> Rig:
        from calib import load_rig

        return load_rig(Path(self.config.rig))

    def prepare(self, views: tuple[View, ...]) -> str:
        """Check that every view has a camera; return the fingerprint of truth and cameras.

        InputError lists views and cameras; CalibrationError if the file of the cameras cannot be read.
        """
        lost = [view.name for view in views if view.name not in self._rig]
        if lost:
            raise InputError(
                f"{self.config.rig}: no camera for view {', '.join(lost)} (views: {', '.join(v.name for v in views)}; "
                f"cameras: {', '.join(self._rig.names)}); give views and cameras the same names"
            )
        path = Path(self.config.rig)
        files = sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path]
        return fingerprint([Path(self.config.poses), *files])

    def estimate(self, image: NDArray[np.uint8] | None, frame: int, view: View, state: State) -> Estimate:
        """Return the people of one frame projected into this view; joints outside the image are missing."""
        start, stop = np.searchsorted(self._truth.frame, (frame, frame + 1))
        truth, camera = self._truth[start:stop], self._rig[view.name]
        rng = np.random.default_rng([self.config.seed, frame, view.index])
        xy = self._disturbed(camera.project(truth.xyz), rng)
        xy[rng.random(len(xy)) < self.config.missing] = np.nan
        if self.config.occlusion:
            xy[_behind(camera, truth)] = np.nan
        xy[truth.score == 0] = np.nan
        person = truth.person
        if self.config.confuses:
            other = np.random.default_rng([self.config.seed, frame, view.index, 1])  # keeps all other random numbers
            xy, person = self._confused(xy, person, camera, other)
        inside = np.all((xy > -0.5) & (xy < np.array(view.size) - 0.5), axis=-1)
        carried = person if self.config.carry else np.full(len(person), -1)
        order = rng.permutation(len(xy))
        order = order[inside[order].any(-1)]
        rows = Detections2D.build(self.skeleton, frame, view.index, xy[order], inside[order], 1.0, carried[order])
        noise = np.where(rows.score > 0, max(self.config.noise_px, _LEAST_NOISE_PX), np.nan)
        return Estimate(rows.with_columns(noise_px=noise.astype(np.float32)), state)

    def _disturbed(self, xy: Floats, rng: np.random.Generator) -> Floats:
        """Return points (P, J, 2) px with noise and outliers."""
        noisy = xy + self.config.noise_px * rng.standard_normal(xy.shape)
        angle = rng.uniform(0, 2 * np.pi, xy.shape[:-1])
        outlier = rng.random(xy.shape[:-1]) < self.config.outliers
        offset = self.config.outlier_px * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        return np.where(outlier[..., None], noisy + offset, noisy)

    def _confused(
        self, xy: Floats, person: NDArray[np.int32], camera: Camera, rng: np.random.Generator
    ) -> tuple[Floats, NDArray[np.int32]]:
        """Return points (P', J, 2) px with swaps, merges, splits and false positives, and their true persons (P',)."""
        config = self.config
        xy = swap_sides(xy, self.skeleton, config.swaps, config.limb_swaps, rng)
        xy = merge_neighbours(xy, config.merges, rng)
        xy, person = split_people(xy, person, config.splits, rng)
        false = self._false_positives(camera, rng)
        return np.concatenate([xy, false]), np.concatenate([person, np.full(len(false), -1, person.dtype)])

    def _false_positives(self, camera: Camera, rng: np.random.Generator) -> Floats:
        """Return points (K, J, 2) px of bodies rotated about the vertical at random positions before the camera."""
        count = rng.poisson(self.config.phantoms) if len(self._truth) else 0
        bodies = self._truth.xyz[rng.integers(0, max(len(self._truth), 1), count)].astype(np.float64)
        turn = rng.uniform(0, 2 * np.pi, count)
        cos, sin, zero = np.cos(turn), np.sin(turn), np.zeros(count)
        R = np.stack([cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1], -1).reshape(-1, 3, 3)
        origin, direction = camera.rays(rng.uniform((0, 0), camera.size, (count, 2)))
        place = origin + direction * rng.uniform(*_PHANTOM_DEPTH_M, (count, 1))
        if not count:
            return np.zeros((0, len(self.skeleton), 2))
        middle = np.nanmean(bodies, axis=1, keepdims=True)
        return camera.project(np.einsum("pab,pjb->pja", R, bodies - middle) + place[:, None])


def _behind(camera: Camera, truth: Poses3D) -> NDArray[np.bool_]:
    """Return whether joints (P, J) are occluded by a body; all joints if too few of a person remain visible."""
    covered = occluded(camera, truth.skeleton, truth.xyz)
    known = (truth.score > 0).sum(-1)
    covered[(covered & (truth.score > 0)).sum(-1) > _HIDDEN_SHARE * known] = True
    return covered


def swap_sides(xy: Floats, of: Skeleton, bodies: float, limbs: float, rng: np.random.Generator) -> Floats:
    """Return points (P, J, 2) with left-right swaps of a share of the bodies, and of legs or arms of another share."""
    people = len(xy)
    source = np.tile(np.arange(len(of)), (people, 1))
    whole, some, legs = rng.random(people) < bodies, rng.random(people) < limbs, rng.random(people) < 0.5
    parts = np.array([[joint.endswith(kind) for joint in of.joints] for kind in (_LEG, _ARM)])
    mine = parts[np.where(legs, 0, 1)] & some[:, None]
    source = np.where(mine, of.mirror, source)
    source = np.where(whole[:, None], of.mirror[source], source)
    return np.asarray(np.take_along_axis(xy, source[..., None], axis=1))


def merge_neighbours(xy: Floats, share: float, rng: np.random.Generator) -> Floats:
    """Return points (P, J, 2) in which some people take the joints beyond a line from an overlapping person."""
    chosen, side = rng.random(len(xy)) < share, _sides(xy, rng)
    xy = xy.copy()
    for taker in np.flatnonzero(chosen):
        box = joint_box(xy)
        with np.errstate(invalid="ignore"):
            near = np.all((box[taker, :2] < box[:, 2:]) & (box[:, :2] < box[taker, 2:]), axis=-1)
        near[taker] = False
        if near.any():
            other, taken = rng.choice(np.flatnonzero(near)), side[taker]
            xy[taker, taken], xy[other, taken] = xy[other, taken], np.nan
    return xy


def split_people(
    xy: Floats, who: NDArray[np.int32], share: float, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.int32]]:
    """Return points (P', J, 2) in which some people are split into two rows, and the person (P',) of each row."""
    cut, side = rng.random(len(xy)) < share, _sides(xy, rng)
    first = np.where((cut[:, None] & side)[..., None], np.nan, xy)
    second = np.where(side[cut][..., None], xy[cut], np.nan)
    return np.concatenate([first, second]), np.concatenate([who, who[cut]])


def _sides(xy: Floats, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which joints (P, J) are beyond a line of random direction through the middle of each person's box."""
    box, angle = joint_box(xy), rng.uniform(0, 2 * np.pi, len(xy))
    normal = np.stack([np.cos(angle), np.sin(angle)], -1)[:, None]
    with np.errstate(invalid="ignore"):
        return np.asarray(((xy - (box[:, None, :2] + box[:, None, 2:]) / 2) * normal).sum(-1) > 0)
