"""People who walk before one camera, and a lifter and a root depth for tests: the truth, with noise that is known."""

from dataclasses import dataclass

import numpy as np
from walking_take import COCO, RATE_HZ, body, detections, poses, rig

from calib import save_rig
from mvcap.structures.detections import Detections2D
from mvcap.structures.pose_file import save_poses
from mvcap.structures.session import Session
from mvcap.structures.view_track import LiftedBody, RootDistances

SIGMA_M, ALONG_M = 0.03, 0.1
FRAMES = 50
HIPS = [COCO.index("left_hip"), COCO.index("right_hip")]


def camera():
    """The rig of one camera."""
    return rig().select(["cam02"])


def take(frames=FRAMES, noise_px=2.0, missing=0.0, **options):
    """True poses, detections of the one view in order of frames, and its rig."""
    truth = poses(frames, noise_m=0.0, missing=0.0, **options)
    rows = detections(truth, rig(), noise_px).of(view=1)
    return truth, unassigned(rows), camera()


def unassigned(rows):
    """Rows of view 0 whose person is not known."""
    return rows.with_columns(view=np.zeros(len(rows)), person=np.full(len(rows), -1))


@dataclass(frozen=True)
class KnownConfig:
    """Settings of both: by how much true lengths are wrong, and noise as a multiple of what is stated."""

    scale: float = 1.0
    noise: float = 1.0


def _true_bodies(track):
    """True joints (T, J, 3) in the camera's frame, of the person whose projection is nearest."""
    frames = np.rint(track.time_s * RATE_HZ).astype(int)
    one = camera()[0]
    both = np.stack([[body(frame / RATE_HZ, person) for frame in frames] for person in (1, 2)])
    off = np.linalg.norm(one.project(both) - track.xy, axis=-1)
    mine = both[int(np.nanmedian(off, axis=(1, 2)).argmin())]
    return mine @ one.cam_from_world[:3, :3].T + one.cam_from_world[:3, 3]


class KnownLifter:
    """The true joints about the middle of the hips, with independent noise of SIGMA_M."""

    Config = KnownConfig

    def __init__(self, config):
        self.config = config

    def lift(self, track):
        joints = _true_bodies(track)
        noise = np.random.default_rng(0).normal(0, 1, joints.shape) * SIGMA_M * self.config.noise
        offset = self.config.scale * (joints - joints[:, HIPS].mean(1, keepdims=True)) + noise
        known = track.known.any(-1)
        offset[~known] = np.nan
        covariance = np.broadcast_to(SIGMA_M**2 * np.eye(3), (*joints.shape, 3)).copy()
        return LiftedBody(offset, covariance, 0.06)


class KnownDepth:
    """The true root, with noise of ALONG_M along its ray."""

    Config = KnownConfig

    def __init__(self, config):
        self.config = config

    def place(self, track, body):
        root = _true_bodies(track)[:, HIPS].mean(1) * self.config.scale
        noise = np.random.default_rng(1).normal(0, 1, len(root)) * ALONG_M * self.config.noise
        root = root * (1 + noise / np.linalg.norm(root, axis=-1))[:, None]
        flat = np.full(len(root), ALONG_M)
        return RootDistances(root, flat, flat / 10, 0.06)


SETTINGS = {"lifter": "one_view_take:KnownLifter", "root_depth": "one_view_take:KnownDepth"}


def settings(**values):
    """Settings of a take that uses both with these values."""
    sections = {"lifters": {SETTINGS["lifter"]: values}, "root_depths": {SETTINGS["root_depth"]: values}}
    return {**SETTINGS, **sections}


def absent(rows, gone):
    """The rows with all joints missing where gone (M,)."""
    there = ~np.asarray(gone)[:, None] & (rows.score > 0)
    xy = np.where(there[..., None], rows.xy, np.nan)
    return Detections2D(
        COCO, rows.frame, rows.view, rows.person, rows.carried, rows.box, xy, np.where(there, rows.score, 0),
        np.where(there, rows.noise_px, np.nan),
    )  # fmt: skip


def session_of(folder, rig1=None, frames=FRAMES, notes=(), **values):
    """A session of the one view whose estimator is the oracle; rig1: the camera as the session knows it."""
    truth = poses(frames, noise_m=0.0, missing=0.0)
    folder.mkdir(parents=True, exist_ok=True)
    save_poses(folder / "truth.npz", truth)
    save_rig(camera(), folder / "true.yaml")
    made = Session.create(rig1 or camera(), folder / "session", frames=frames, rate_hz=RATE_HZ)
    if notes:
        path = made.folder / "session.yaml"
        path.write_text(path.read_text().replace("notes: []", f"notes: {list(notes)!r}"))
        made = Session.open(made.folder)
    oracle = {"poses": str(folder / "truth.npz"), "rig": str(folder / "true.yaml"), "noise_px": 2.0, "carry": False}
    made.override({"estimator": "oracle", "estimators": {"oracle": oracle}, **settings(**values)})
    return made
