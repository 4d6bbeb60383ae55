"""Residuals fall into what the rig does, what the detector does to each joint, time offsets, and scatter."""

import numpy as np
import pytest
from synthetic_take import RATE_HZ, ring_rig, truth

from calib import Camera, Rig
from calib.geometry import pose, rotation_from_vector
from mvcap.structures.detections import Detections2D
from mvcap.triangulation import residual_parts as module
from mvcap.triangulation.residual_parts import ResidualSample, offsets_of, residual_parts

FRAMES, NOISE = 120, 3.0


def seen_by(rig, poses, shift=None, late=0, noise=NOISE, seed=0):
    """Detections of the poses by every view; shift (C, J, 2) px is added, view 2 is `late` frames too late."""
    rng, tables = np.random.default_rng(seed), []
    for frame in range(FRAMES):
        for view in range(len(rig)):
            shown = poses[poses.frame == np.clip(frame - late if view == 2 else frame, 0, FRAMES - 1)]
            xy = rig[view].project(shown.xyz.astype(float)) + rng.normal(0, noise, (*shown.xyz.shape[:2], 2))
            xy = xy if shift is None else xy + shift[view]
            rows = Detections2D.build(poses.skeleton, frame, view, xy, np.full(xy.shape[:2], 0.9), 1.0)
            level = np.where(np.isnan(rows.xy[..., 0]), np.nan, noise)
            tables.append(rows.with_columns(person=shown.group, noise_px=level))
    return Detections2D.concatenate(tables, poses.skeleton)


def parts_of(rig, poses, detections):
    return residual_parts(offsets_of(detections, poses, rig, RATE_HZ), rig, RATE_HZ)


def turned(rig, index, degrees, axis=(0.6, 0.8, 0.0)):
    camera = rig[index]
    R = rotation_from_vector(np.deg2rad(degrees) * np.array(axis)) @ camera.cam_from_world[:3, :3]
    new = Camera(camera.lens, pose(R, -R @ camera.position))
    return Rig(tuple(new if row == index else one for row, one in enumerate(rig)))


def test_the_constant_part_is_the_turned_camera_and_the_rest_is_scatter():
    rig, poses = ring_rig(4), truth(FRAMES, people=2)
    found = parts_of(turned(rig, 1, 0.5), poses, seen_by(rig, poses))
    expected = np.deg2rad(0.5) * rig.focal[1]
    assert found.rig_px[1] == pytest.approx(expected, rel=0.15)
    assert np.linalg.norm(found.constant_px[1]) == pytest.approx(expected, rel=0.15)
    assert found.rig_px[[0, 2, 3]].max() < 1.0
    np.testing.assert_allclose(found.scatter_px, 1.177 * NOISE, rtol=0.1)
    assert np.nanmax(np.linalg.norm(found.joint_px, axis=-1)) < 1.5
    assert (found.count > 1000).all() and (found.mm_per_px > 1).all()


def test_a_roll_varies_over_the_picture_and_is_the_rigs_all_the_same():
    rig, poses = ring_rig(4), truth(FRAMES, people=2)
    found = parts_of(turned(rig, 1, 1.5, (0, 0, 1.0)), poses, seen_by(rig, poses))
    assert found.rig_px[1] > 2 and found.rig_px[1] > 2.5 * found.rig_px[[0, 2, 3]].max()
    assert found.scatter_px[1] == pytest.approx(1.177 * NOISE, rel=0.15)


def test_what_a_joint_has_on_its_own_is_not_the_rigs():
    rig, poses = ring_rig(4), truth(FRAMES, people=2)
    shift = np.random.default_rng(3).normal(0, 8, (4, len(poses.skeleton), 2))
    shift -= shift.mean(1, keepdims=True)
    found = parts_of(rig, poses, seen_by(rig, poses, shift))
    assert found.rig_px.max() < 4 and np.median(found.rig_px) < 3
    own = np.linalg.norm(found.joint_px + shift, axis=-1)
    assert np.median(own) < 2 < 0.4 * np.median(np.linalg.norm(shift, axis=-1))
    np.testing.assert_allclose(found.scatter_px, 1.177 * NOISE, rtol=0.1)


@pytest.mark.parametrize("late", [0, 2])
def test_a_late_view_is_late_and_not_turned(late):
    rig, poses = ring_rig(4), truth(FRAMES, people=2)
    found = parts_of(rig, poses, seen_by(rig, poses, late=late))
    assert found.late_s[2] * RATE_HZ == pytest.approx(late, abs=0.2)
    assert np.abs(np.delete(found.late_s, 2) * RATE_HZ).max() < 0.2
    assert found.rig_px.max() < 2 and (found.late_sigma_s * RATE_HZ < 0.2).all()


def test_too_little_is_not_known():
    rig, poses = ring_rig(4), truth(FRAMES, people=1)
    seen = seen_by(rig, poses)
    found = parts_of(rig, poses, seen[(seen.view != 3) | (seen.frame < 2)])
    assert np.isnan(found.rig_px[3]) and np.isnan(found.joint_px[3]).all() and np.isfinite(found.rig_px[:3]).all()
    nobody = ResidualSample(rig, poses.skeleton, RATE_HZ).parts()
    assert np.isnan(nobody.rig_px).all() and nobody.joint_px.shape == (4, len(poses.skeleton), 2)


def test_a_long_take_is_sampled_evenly_and_says_the_same(monkeypatch):
    rig, poses = ring_rig(4), truth(FRAMES, people=2)
    wrong, seen = turned(rig, 1, 0.5), seen_by(rig, poses)
    monkeypatch.setattr(module, "_MOST_ROWS", 300)
    sample = ResidualSample(wrong, poses.skeleton, RATE_HZ)
    for start in range(0, FRAMES, 20):
        rows, bodies = (one[(one.frame >= start) & (one.frame < start + 20)] for one in (seen, poses))
        sample.add(rows, bodies)
    kept = np.concatenate([part.frame for part in sample._kept])
    assert len(kept) <= 300 and kept.max() > 0.9 * FRAMES and (np.diff(np.unique(kept)) == sample._every).all()
    assert sample.parts().rig_px[1] == pytest.approx(parts_of(wrong, poses, seen).rig_px[1], rel=0.1)
