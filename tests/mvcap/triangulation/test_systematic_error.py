"""Systematic errors of views: found from what all joints share, and not confused with noise."""

from dataclasses import replace

import numpy as np
import pytest
from refined_walk import detections, triangulated, walk
from synthetic_take import ring_rig

from calib import Rig
from calib.camera import Camera
from calib.geometry import pose, rotation_from_vector
from mvcap.triangulation.systematic_error import SystematicError


def turned(rig, degrees, seed):
    rng = np.random.default_rng(seed)
    cameras = []
    for camera in rig:
        R = rotation_from_vector(rng.normal(0, np.deg2rad(degrees), 3)) @ camera.cam_from_world[:3, :3]
        cameras.append(Camera(camera.lens, pose(R, -R @ camera.position)))
    return Rig(tuple(cameras), source=rig.source)


def found(rig, rows):
    errors = SystematicError(rig)
    raw = triangulated(rows, rig)
    for start in range(0, 60, 20):  # as in chunks
        mine, theirs = ((part.frame >= start) & (part.frame < start + 20) for part in (rows, raw))
        errors.add(rows[mine], raw[theirs])
    return errors.error_px()


@pytest.mark.parametrize("cameras", [2, 3, 5, 8])
def test_a_right_rig_has_hardly_any(cameras):
    rig = ring_rig(cameras)
    assert (found(rig, detections(walk(60), rig)) < 1.0).all(), "of noise of 2 px"


@pytest.mark.parametrize("degrees", [0.2, 0.5])
def test_rigs_that_are_turned_have_as_much_as_they_are_turned(degrees):
    rig, ratios = ring_rig(6), []
    for seed in range(6):
        estimate = found(rig, detections(walk(60), turned(rig, degrees, seed), stated=8.0))
        ratios.append(np.sqrt((estimate**2).mean()) / (np.deg2rad(degrees) * rig.focal.mean()))
    assert 0.6 < np.median(ratios) < 1.4


def test_without_people_there_is_nothing():
    rig = ring_rig(3)
    assert not SystematicError(rig).error_px().any()


def test_rows_without_noise_are_left_out():
    rig = ring_rig(3)
    rows = detections(walk(60), rig)
    raw = triangulated(rows, rig)
    errors = SystematicError(rig)
    errors.add(rows.with_columns(noise_px=np.zeros_like(rows.noise_px)), replace(raw))
    assert not errors.error_px().any()
