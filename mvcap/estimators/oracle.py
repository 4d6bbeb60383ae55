"""Projected truth with noise of a stated size: an estimator whose errors are known, for tests and benches."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.errors import ConfigError, InputError
from mvcap.estimators.prediction_files import fingerprint, seen
from mvcap.plugins import Estimate, State, View
from mvcap.structures.detections import Detections2D
from mvcap.structures.npz import write_npz
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import skeleton

_LEAST_NOISE_PX = 0.1
"""Stated noise of exact points: zero would be an infinite weight."""


@dataclass(frozen=True)
class OracleConfig:
    """Settings of the estimator ``oracle``."""

    poses: str = ""
    """npz of the true poses, see ``write_poses``."""
    rig: str = ""
    """The cameras that see them, in any format that ``calib`` reads; found by the views' names."""
    noise_px: float = 0.0
    """Standard deviation of the noise along each axis."""
    outliers: float = 0.0
    """Share of the joints that are far from where they belong."""
    outlier_px: float = 100.0
    """How far, in a random direction."""
    missing: float = 0.0
    """Share of the people that a view does not see at a frame."""
    carry: bool = True
    """Tell the true person as the estimator's own id through time (column ``carried``)."""
    seed: int = 0
    """Start of the random numbers; those of a frame and view do not depend on which others were asked for."""

    def __post_init__(self) -> None:
        if not (0 <= self.outliers <= 1 and 0 <= self.missing <= 1 and self.noise_px >= 0 and self.seed >= 0):
            raise ConfigError("oracle: outliers and missing are shares of 0 to 1; noise_px and seed are not negative")


class Oracle:
    """Estimator ``oracle``: people where the truth and the cameras say, and as wrong as asked for."""

    Config = OracleConfig
    needs_images = False

    def __init__(self, config: OracleConfig) -> None:
        if not config.poses or not config.rig:
            raise InputError(
                "oracle: set estimators.oracle.poses to the npz of the true poses and estimators.oracle.rig to the "
                "cameras' file"
            )
        self.config = config
        self.skeleton = read_poses(Path(config.poses)).skeleton

    @cached_property
    def _truth(self) -> Poses3D:
        poses = read_poses(Path(self.config.poses))
        return poses[np.argsort(poses.frame, kind="stable")]

    @cached_property
    def _rig(self) -> Rig:
        from calib import load_rig

        return load_rig(Path(self.config.rig))

    def prepare(self, views: tuple[View, ...]) -> str:
        """Check that every view has a camera; return the fingerprint of truth and cameras.

        InputError lists views and cameras; CalibrationError where the cameras' file cannot be read.
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
        """People of one frame as this view would see them; a joint outside the picture is missing."""
        start, stop = np.searchsorted(self._truth.frame, (frame, frame + 1))
        truth = self._truth[start:stop]
        rng = np.random.default_rng([self.config.seed, frame, view.index])
        xy = self._disturbed(self._rig[view.name].project(truth.xyz), rng)
        xy[rng.random(len(xy)) < self.config.missing] = np.nan
        inside = ((xy > -0.5) & (xy < np.array(view.size) - 0.5)).all(-1)
        score = np.where(inside & (truth.score > 0), 1.0, 0.0)
        carried = truth.person if self.config.carry else np.full(len(truth), -1)
        rows = Detections2D.build(self.skeleton, frame, view.index, xy, score, 1.0, carried)
        noise = np.where(rows.score > 0, max(self.config.noise_px, _LEAST_NOISE_PX), np.nan)
        rows = rows.with_columns(noise_px=noise.astype(np.float32))
        return Estimate(seen(rows[rng.permutation(len(rows))]), state)

    def _disturbed(self, xy: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Points (P, J, 2) px with noise, some of them far off."""
        noisy = xy + self.config.noise_px * rng.standard_normal(xy.shape)
        angle = rng.uniform(0, 2 * np.pi, xy.shape[:-1])
        far = rng.random(xy.shape[:-1]) < self.config.outliers
        throw = self.config.outlier_px * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        return np.where(far[..., None], noisy + throw, noisy)


def write_poses(path: Path, poses: Poses3D) -> None:
    """Write poses as an npz of their columns and the skeleton's name."""
    write_npz(path, {"skeleton": np.array(poses.skeleton.name), **poses.arrays()})


def read_poses(path: Path) -> Poses3D:
    """Read poses that ``write_poses`` wrote; InputError where the file is missing, broken or of another kind."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return Poses3D.from_arrays(skeleton(str(arrays["skeleton"])), arrays)
    except KeyError as fault:
        raise InputError(f"{path}: no {fault} in it; write it with mvcap.estimators.oracle.write_poses") from fault
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as fault:
        raise InputError(
            f"{path}: cannot be read as poses ({fault}); set estimators.oracle.poses to an npz of poses"
        ) from fault
