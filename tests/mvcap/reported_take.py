"""Two people who walk among cameras, seen by the true cameras and reconstructed with the calibration that is given."""

from dataclasses import replace

import numpy as np
from synthetic_take import COCO, RATE_HZ, truth

from calib import Rig
from calib.camera import Camera, Lens
from calib.geometry import pose
from mvcap.associate import associate_rows
from mvcap.reporting.pose_quality import PoseQuality, summarise
from mvcap.reporting.take_figures import TakeFigures
from mvcap.structures.detections import Detections2D
from mvcap.track import track_rows
from mvcap.triangulation.reprojection_residuals import ViewResiduals
from mvcap.triangulation.robust_triangulation import triangulate_rows

FRAMES = 24
_AWAY = (5.0, 6.2, 4.6, 6.8, 5.5, 6.0)  # m: no two cameras stand alike, so that their order is not arbitrary
_ANGLE = (0.0, 1.3, 2.2, 3.6, 4.4, 5.4)
_HEIGHT = (2.6, 1.9, 3.2, 2.3, 2.9, 2.1)
SIZE = (1280, 720)


def uneven_rig(count):
    """Cameras round the middle at different distances, angles and heights."""
    cameras = []
    for index in range(count):
        angle = _ANGLE[index]
        place = np.array([_AWAY[index] * np.cos(angle), _AWAY[index] * np.sin(angle), _HEIGHT[index]])
        cameras.append(camera(f"cam{index + 1}", place))
    return Rig(tuple(cameras))


def camera(name, place, look_at=(0.0, 0.0, 1.0), size=SIZE):
    """A camera at a place, m, that looks at a point."""
    forward = np.asarray(look_at) - place
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    turn = np.stack([right, np.cross(forward, right), forward])
    K = np.array([[700.0, 0, size[0] / 2], [0, 700.0, size[1] / 2], [0, 0, 1]])
    return Camera(Lens(name, size, K, np.zeros(5)), pose(turn, -turn @ place))


def reordered(rig, order):
    """The rig in which view i stands where camera order[i] stood."""
    return Rig(
        tuple(
            Camera(replace(rig.cameras[at].lens, name=name), rig.cameras[at].cam_from_world)
            for at, name in zip(order, rig.names, strict=True)
        )
    )


def replaced(rig, others):
    """The rig with some cameras, by index, in another pose: {index: camera}."""
    cameras = list(rig.cameras)
    for index, other in others.items():
        cameras[index] = Camera(replace(other.lens, name=rig.names[index]), other.cam_from_world)
    return Rig(tuple(cameras))


def seen_people(rig, frames=FRAMES, people=2, noise_px=2.0, seed=0, hidden=lambda view, person: False):
    """Detections by a rig of people who walk; hidden: of whom which view sees nothing."""
    rng, table = np.random.default_rng(seed), truth(frames, people)
    parts = []
    for view in range(len(rig)):
        rows = table[np.array([not hidden(view, person) for person in table.person.tolist()], bool)]
        xy = rig.project(rows.xyz.astype(float))[view]
        xy = xy + rng.normal(0, noise_px, xy.shape)
        gone = ~((xy >= 0) & (xy < SIZE)).all(-1)
        xy[gone] = np.nan
        ones, score = np.ones(len(rows)), np.where(gone, 0, 0.9)
        noise = np.where(gone, np.nan, noise_px)
        boxes = np.zeros((len(rows), 4))
        all_rows = Detections2D(COCO, rows.frame, ones * view, -ones, -ones, boxes, xy, score, noise)
        parts.append(all_rows[(score > 0).any(1)])
    found = Detections2D.concatenate(parts, COCO)
    return found[np.argsort(found.frame, kind="stable")]


def summary_of(found, rig, frames=FRAMES, wanted_mm=50.0):
    """The summary of a take: detections associated, triangulated and tracked with a rig."""
    rows = associate_rows(found, rig, rate_hz=RATE_HZ)
    poses = track_rows(triangulate_rows(rows, rig), rate_hz=RATE_HZ, frames=frames)
    return summary_of_poses(poses, rows, rig, frames, wanted_mm)


def summary_of_poses(poses, rows, rig, frames=FRAMES, wanted_mm=50.0, raw=None):
    """The summary of poses and of the associated detections that belong to them."""
    quality, residuals = PoseQuality(poses.skeleton, frames), ViewResiduals(rig, poses.skeleton)
    figures = TakeFigures(rig, frames, RATE_HZ, wanted_mm)
    linked = [residuals.add(rows, poses)]
    quality.add(poses, linked)
    figures.add(poses, linked, raw)
    more, people = figures.summary([rows]), figures.people()
    return summarise(quality, RATE_HZ, rig.names, residuals, more=more, more_of_people=people)
