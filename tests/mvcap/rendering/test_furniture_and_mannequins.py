"""Furniture keeps off the ground that people use; mannequins have the joints, parts and lengths of bodies."""

import numpy as np
import pytest

from mvcap.errors import InputError
from mvcap.rendering import body_pose, body_surface, clothing, furniture, mannequin

LOW, HIGH = np.array([-4.0, -4, 0]), np.array([4.0, 4, 2.8])


def test_furniture_keeps_off_paths_cameras_and_other_furniture():
    path = np.linspace([-2.0, -1.5, 1.0], [2.0, 1.5, 0.3], 400)[:, None]
    ground = furniture.trodden_ground([path[:200], path[200:]])
    assert np.abs(ground[:, None] - path[None, :, 0, :2]).max(-1).min(0).max() < 0.051
    cameras = np.array([[3.0, 3, 1.5], [-3, 3, 1.5]])
    there = (np.array([1.0, -1.5, 0]), np.array([2.0, -0.5, 1]))
    kinds = 0
    for seed in range(20):
        made = furniture.random_furniture(np.random.default_rng(seed), ground, cameras, LOW, HIGH, (there,))
        kinds += len(made)
        ends = [(np.min([low for low, _ in one], 0), np.max([high for _, high in one], 0)) for one in made]
        for low, high in ends:
            assert (low >= LOW).all() and (high <= HIGH).all() and low[2] < 0.1 and high[2] <= 1.7
            beyond = np.maximum(np.maximum(low[:2] - path[:, 0, :2], path[:, 0, :2] - high[:2]), 0)
            assert np.linalg.norm(beyond, axis=1).min() > furniture.MARGIN_M - 0.03
            for camera in cameras:
                away = np.linalg.norm(np.maximum(np.maximum(low - camera, camera - high), 0)[:2])
                assert away > 1.1 + max(high[2] - 0.9, 0) - 1e-9
        whole = [*ends, there]
        for index, (low, high) in enumerate(whole):
            assert not any(((low < other[1]) & (other[0] < high)).all() for other in whole[:index])
    assert kinds > 60
    tight = furniture.random_furniture(np.random.default_rng(0), ground, cameras, LOW / 20, HIGH / 20)
    assert tight == []


def test_a_mannequin_is_a_body_of_the_length_that_was_asked():
    surface = mannequin.mannequin_of(0.85)
    assert surface.leg_m == pytest.approx(0.85, abs=1e-6)
    assert np.ptp(surface.rest[:, 2]) == pytest.approx(0.85 / 0.491, rel=0.02)
    assert set(surface.part_of_face.tolist()) == set(range(1, len(body_surface.PARTS) + 1))
    at = surface.rest_joints
    assert at["left_wrist"][0] > 0 > at["right_wrist"][0] and at["nose"][1] < at["neck"][1]
    corner = surface.rest[surface.faces]
    volume = np.einsum("fc,fc->f", corner[:, 0], np.cross(corner[:, 1], corner[:, 2])).sum() / 6
    assert 0.03 < volume < 0.12  # m^3, triangles look outwards
    with pytest.raises(InputError, match="in metres"):
        mannequin.mannequin_of(85.0)


def test_a_mannequin_moves_and_is_dressed_as_bodies_are():
    surface = mannequin.mannequin_of(0.85)
    joints = np.stack([surface.rest_joints[name] for name in body_surface.JOINTS.joints])
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    motion = np.stack([joints, joints @ turn.T + (1.0, 2.0, 0)])
    moving = body_pose.moving_body(surface, np.array([0.0, 1.0]), motion, np.zeros(2))
    assert moving.joints(1.0) == pytest.approx(motion[1], abs=0.03)
    assert moving.vertices(0.5)[:, 2].min() == pytest.approx(0, abs=0.01)
    dressed = clothing.DressedBody(surface, clothing.random_outfit(np.random.default_rng(1)))
    assert 0.003 < np.linalg.norm(dressed.rest - surface.rest, axis=1).max() < 0.03
    colours = dressed.albedo(np.arange(len(surface.faces)), np.full((len(surface.faces), 3), 1 / 3))
    assert colours.min() > 0 and len(np.unique(colours.round(1), axis=0)) > 3
