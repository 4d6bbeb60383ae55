"""Plane sweep: points before a textured wall go back onto it, plain ones stay."""

from functools import cache

import numpy as np
import pytest
from capsule_people import texture

from calib import Camera, Lens, Rig
from calib.geometry import pose
from mvcap.densification.carving import Surface
from mvcap.densification.stereo import SweepLimits, sweep

LIMITS = SweepLimits(6.0, 0.6, 0.05)
SIZE = (640, 240)


def wall_rig():
    """Three cameras side by side that look along +y from 3 m at the wall y = 0."""
    R = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    K = np.array([[600.0, 0, 320], [0, 600, 120], [0, 0, 1]])
    places = [np.array([x, -3.0, 1.0]) for x in (-1.0, 0.0, 1.0)]
    return Rig(tuple(Camera(Lens(f"c{i}", SIZE, K, np.zeros(5)), pose(R, -R @ at)) for i, at in enumerate(places)))


@cache
def pictures(textured=True):
    rig, out = wall_rig(), []
    for camera in rig:
        x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
        origin, direction = camera.rays(np.stack([x, y], -1).reshape(-1, 2).astype(float))
        origin = np.asarray(origin).reshape(-1, 3)[0]
        points = origin - (origin[1] / direction[:, 1])[:, None] * direction
        colour = texture(points) if textured else np.full((len(points), 3), 120.0)
        out.append(colour.reshape(*SIZE[::-1], 3).astype(np.uint8))
    return out


def points_before_the_wall(away=0.04):
    x, z = np.meshgrid(np.arange(-0.4, 0.4, 0.015), np.arange(0.7, 1.3, 0.015))
    xyz = np.stack([x, np.full_like(x, -away), z], -1).reshape(-1, 3)
    return Surface(xyz, np.tile([0.0, -1.0, 0.0], (len(xyz), 1)), np.full(len(xyz), 0.005))


def swept(surface, images, rig, seen=None):
    everywhere = np.ones((3, len(surface.xyz)), bool) if seen is None else seen
    return sweep(surface, everywhere, np.ones(everywhere.shape), rig, images, 0.015, LIMITS)


@pytest.mark.parametrize("away", [0.03, 0.05])
def test_points_move_onto_a_textured_wall(away):
    rig, surface = wall_rig(), points_before_the_wall(away)
    found = swept(surface, pictures(), rig)
    moved = found.depth_m != 0
    assert moved.mean() > 0.4
    assert np.median(np.abs(found.depth_m[moved] - away)) < 0.003
    assert np.isfinite(found.sigma_m[moved]).all() and np.isnan(found.sigma_m[~moved]).all()


def test_points_on_the_wall_stay_near_it():
    rig = wall_rig()
    assert np.abs(swept(points_before_the_wall(0.0), pictures(), rig).depth_m).max() < 0.008


def test_plain_walls_and_single_views_move_nothing():
    rig, surface = wall_rig(), points_before_the_wall()
    assert not swept(surface, pictures(textured=False), rig).depth_m.any()
    one = np.zeros((3, len(surface.xyz)), bool)
    one[1] = True
    assert not swept(surface, pictures(), rig, one).depth_m.any()
    assert not swept(surface, [pictures()[0], None, None], rig).depth_m.any()


def test_noise_that_no_two_views_share_moves_nothing():
    rig, surface = wall_rig(), points_before_the_wall()
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (*SIZE[::-1], 3), dtype=np.uint8) for _ in range(3)]
    assert (swept(surface, noise, rig).depth_m != 0).mean() < 0.01
