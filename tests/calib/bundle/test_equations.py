"""Equations of bundle adjustment: their derivatives are exact in every unknown, for every lens and target."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seen_boards import arc_rig, scattered, with_lenses

from calib import Lens, geometry
from calib.bundle.equations import CAMERA, Layout, Rows, State, apply_step, lens_numbers, linearise, residuals
from calib.bundle.equations import small_motion as motion

COEFFICIENTS = {
    ("pinhole", 0): [],
    ("pinhole", 4): [-0.2, 0.05, 1e-3, -8e-4],
    ("pinhole", 5): [-0.2, 0.05, 1e-3, -8e-4, 0.02],
    ("rational", 8): [0.2, -0.05, 1e-3, 5e-4, 0.01, 0.4, -0.1, 0.02],
    ("rational", 12): [0.2, -0.05, 1e-3, 5e-4, 0.01, 0.4, -0.1, 0.02, 1e-3, -5e-4, 8e-4, 3e-4],
    ("fisheye", 4): [-0.02, 0.006, -0.003, 0.0004],
}


def bent_rig(model, count=2):
    """An arc of cameras whose lenses have all the coefficients of a model, each a little its own."""
    kind, values = model[0], np.array(COEFFICIENTS[model])
    lenses = [
        Lens(camera.name, camera.size, camera.lens.K, values * (1 + 0.1 * index), kind)
        for index, camera in enumerate(arc_rig(count, 4))
    ]
    return with_lenses(arc_rig(count, 4), lenses)


def tilted(rows):
    """Points (N, 3) that are on no plane, in the frames of two pieces."""
    return np.random.default_rng(8).uniform(-0.3, 0.3, (rows, 3))


def everything(model, kind, late):
    """A state, rows of its second camera, a layout in which all is free, and what `linearise` needs besides; late:
    whole pictures may be late or early, so that the sightings of each share an error."""
    rng = np.random.default_rng(3)
    rig, moments, points = bent_rig(model), 4, 8
    piece = np.repeat([0, 1], points // 2)
    bodies = scattered(moments, 2, spread_m=0.3)
    state = State(
        np.stack([lens_numbers(camera.lens) for camera in rig]),
        np.array(rig.cam_from_world),
        bodies,
        np.stack([np.eye(4), motion(np.array([0.3, -0.2, 0.5, 0.2, 0.1, -0.1]))]),
        tilted(points),
        rng.uniform((-0.5, -0.5, 0.5), (0.5, 0.5, 1.5), (moments, points, 3)) if kind == "free" else None,
        np.array([0.0, 0.013]),
    )
    moment, point = (part.ravel() for part in np.meshgrid(range(moments), range(points), indexing="ij"))
    wide = kind == "free"
    block = moment * points + point if wide else moment
    xy, over = rng.uniform(300, 700, (len(moment), 2)), rng.uniform(1, 5, len(moment))
    rows = Rows.of(rig[1].lens, moment, point, block, xy, over)
    rows = replace(rows, along=rng.normal(0, 1, (len(moment), 2))) if late else rows
    free = np.ones((2, CAMERA), bool)
    width = {"free": 3, "rigid": 6, "still": 0}[kind]
    count = moments * points if wide else moments
    layout = Layout.of(free, 0 if wide else 1, 0 if wide else points, count, width)
    speeds = rng.normal(0, 0.5, (2, moments, points, 3))
    return state, rows, layout, piece, speeds, np.arange(count)


@pytest.mark.parametrize(("kind", "late"), [("rigid", False), ("rigid", True), ("still", False), ("free", False)])
@pytest.mark.parametrize("model", COEFFICIENTS, ids=str)
def test_derivatives_are_exact_in_every_unknown(model, kind, late):
    state, rows, layout, piece, speeds, block_at = everything(model, kind, late)
    part = linearise(state, 1, rows, layout, state.world_points(piece), speeds, piece)
    places = [*range(layout.columns[1].start, layout.columns[1].stop), *range(layout.pieces.start, layout.size)]

    def at(shared, blocks):
        other = apply_step(state, layout, shared, blocks, block_at)
        return residuals(other, 1, rows, other.world_points(piece), speeds)

    none, still = np.zeros(layout.size), np.zeros((layout.blocks, layout.width))
    np.testing.assert_allclose(at(none, still), part.residual, rtol=1e-12)
    step = 1e-6
    for column, place in enumerate(places):
        one = np.where(np.arange(layout.size) == place, step, 0.0)
        slope = (at(one, still) - at(-one, still)) / (2 * step)
        scale = 1e-6 * max(np.abs(slope).max(), 1.0)
        np.testing.assert_allclose(part.shared[..., column], slope, atol=scale, err_msg=f"{model} {place}")
    for axis in range(layout.width):
        one = np.zeros_like(still)
        one[:, axis] = step
        slope = (at(none, one) - at(none, -one)) / (2 * step)
        np.testing.assert_allclose(part.block[..., axis], slope, atol=1e-6 * np.abs(slope).max())


@given(st.lists(st.floats(-2, 2), min_size=6, max_size=6))
@settings(max_examples=25)
def test_small_motions_are_rigid_and_undone_by_their_inverse(numbers):
    matrix = motion(np.array(numbers))
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix[:3, :3]) > 0
    np.testing.assert_allclose(geometry.invert(matrix) @ matrix, np.eye(4), atol=1e-12)
