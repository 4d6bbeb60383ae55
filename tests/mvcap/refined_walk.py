"""A walk seen by a ring of cameras, with its evidence, as refiners get it."""

import numpy as np
from synthetic_take import COCO, body, ring_rig

from mvcap.structures.anthropometry import limb_lengths
from mvcap.structures.contracts import Evidence
from mvcap.structures.detections import Detections2D
from mvcap.triangulation.robust_triangulation import TriangulateConfig, triangulate_rows

RATE_HZ = 50.0

NOISE_PX = 2.0

CIRCLE = (0.0, 0.0, 1.2, 0.3, 0.8)


def walk(frames=150):
    return np.stack([body(frame / RATE_HZ, CIRCLE) for frame in range(frames)])


def detections(xyz, rig, noise_px=NOISE_PX, outliers=0.0, missing=0.0, seed=0, unseen=None, stated=None, of=COCO):
    """Rows of one person, number 1, at xyz (T, J, 3); unseen (C, T, J)."""
    rng = np.random.default_rng(seed)
    xy = rig.project(xyz) + noise_px * rng.standard_normal((len(rig), *xyz.shape[:2], 2))
    angle = rng.uniform(0, 2 * np.pi, xy.shape[:-1])
    far = rng.random(angle.shape) < outliers
    xy += np.where(far[..., None], 60 * np.stack([np.cos(angle), np.sin(angle)], -1), 0)
    xy[rng.random(xy.shape[:2]) < missing] = np.nan
    if unseen is not None:
        xy[unseen] = np.nan
    view, frame = np.nonzero(np.isfinite(xy[..., 0]).any(-1))
    xy = xy[view, frame]
    seen = np.isfinite(xy).all(-1)
    noise = np.where(seen, stated or max(noise_px, 0.5), np.nan)
    ones = np.ones(len(view))
    return Detections2D(of, frame, view, ones, -ones, np.zeros((len(view), 4)), xy, 0.9 * seen, noise)


def triangulated(rows, rig):
    return triangulate_rows(rows, rig, TriangulateConfig())


def case(xyz, cameras=5, seed=0, of=COCO, **how):
    rig = ring_rig(cameras)
    rows = detections(xyz, rig, seed=seed, of=of, **how)
    poses = triangulated(rows, rig)
    lengths = np.nanmedian(limb_lengths(of, poses.xyz), axis=0) if len(poses) else np.zeros(0)
    return poses, Evidence(rig, rows, RATE_HZ, lengths)


def unseen(frames, joints=slice(None), views=slice(None), cameras=5, total=150):
    out = np.zeros((cameras, total, len(COCO)), bool)
    out[views, frames, joints] = True
    return out


def nothing(poses):
    """Columns of rows whose joints are all missing."""
    empty = {name: np.full(getattr(poses, name).shape, np.nan) for name in ("xyz", "cov", "error_px")}
    return {**empty, **{name: 0 * getattr(poses, name) for name in ("score", "views", "provenance")}}
