"""Banded systems against dense ones of numpy.linalg."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.refinement.block_banded import (
    add_blocks,
    diagonal_of_inverse,
    smoothness_band,
    smoothness_force,
    solve_banded,
)

seeds, frames_of, sizes_of = st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 6)


def dense_of(band):
    """Symmetric matrix of a lower band."""
    width = band.shape[1]
    out = np.zeros((width, width))
    for below, diagonal in enumerate(band[:width]):
        out += np.diag(diagonal[: width - below], -below)
    return out + np.tril(out, -1).T


def second_differences(frames, size):
    """Matrix of the second difference of each coordinate at each inner frame, frame by frame."""
    rows = [np.zeros(frames * size)[None][:0]]
    for frame in range(1, frames - 1):
        for axis in range(size):
            row = np.zeros(frames * size)
            row[[(frame + step) * size + axis for step in (-1, 0, 1)]] = 1, -2, 1
            rows.append(row[None])
    return np.concatenate(rows)


def smooth_matrix(stiffness):
    D = second_differences(*stiffness.shape)
    return D.T @ np.diag(stiffness[1:-1].ravel()) @ D


def system(seed, frames, size, scale=1.0):
    """Stiffness, positive definite blocks and right-hand sides."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(frames, size, size))
    blocks = scale * (root @ root.swapaxes(1, 2) + np.eye(size))
    return rng.uniform(0.1, 3, (frames, size)), blocks, rng.normal(size=(frames, size))


def block_diagonal(blocks):
    frames, size, _ = blocks.shape
    out = np.zeros((frames, size, frames, size))
    out[np.arange(frames), :, np.arange(frames)] = blocks
    return out.reshape(frames * size, frames * size)


@given(seeds, frames_of, sizes_of)
@settings(derandomize=True, max_examples=40)
def test_the_smoothness_band_is_that_of_second_differences(seed, frames, size):
    stiffness, _, x = system(seed, frames, size)
    band = smoothness_band(stiffness)
    dense = smooth_matrix(stiffness)
    np.testing.assert_allclose(dense_of(band), dense, atol=1e-12)
    np.testing.assert_allclose(smoothness_force(band, x).ravel(), dense @ x.ravel(), atol=1e-10)


@given(seeds, st.integers(2, 9), sizes_of)
@settings(derandomize=True, max_examples=20)
def test_steady_motion_costs_nothing_and_forces_cancel(seed, frames, size):
    stiffness, _, _ = system(seed, frames, size)
    rng = np.random.default_rng(seed)
    steady = rng.normal(size=size) + np.arange(frames)[:, None] * rng.normal(size=size)
    band = smoothness_band(stiffness)
    np.testing.assert_allclose(smoothness_force(band, steady), 0, atol=1e-9)
    force = smoothness_force(band, rng.normal(size=(frames, size)))
    np.testing.assert_allclose(force.sum(0), 0, atol=1e-9)
    np.testing.assert_allclose((np.arange(frames)[:, None] * force).sum(0), 0, atol=1e-8)


@given(seeds, frames_of, sizes_of)
@settings(derandomize=True, max_examples=40)
def test_a_system_is_solved_as_a_dense_one(seed, frames, size):
    stiffness, blocks, right = system(seed, frames, size)
    smooth = smoothness_band(stiffness)
    band = add_blocks(smooth, blocks)
    dense = smooth_matrix(stiffness) + block_diagonal(blocks)
    anchored = dense_of(band)
    np.testing.assert_allclose(anchored - dense, 0.01 * np.eye(len(dense)), atol=1e-10)
    found = solve_banded(band.copy(), right.copy())
    np.testing.assert_allclose(found.ravel(), np.linalg.solve(anchored, right.ravel()), rtol=1e-6, atol=1e-9)


@given(seeds, frames_of, sizes_of)
@settings(derandomize=True, max_examples=40)
def test_diagonal_blocks_of_the_inverse_are_those_of_the_dense_inverse(seed, frames, size):
    stiffness, blocks, _ = system(seed, frames, size)
    band = add_blocks(smoothness_band(stiffness), blocks)
    inverse = np.linalg.inv(dense_of(band)).reshape(frames, size, frames, size)
    found = diagonal_of_inverse(band.copy(), size)
    assert found.shape == (frames, size, size)
    np.testing.assert_allclose(found, inverse[np.arange(frames), :, np.arange(frames)], rtol=1e-6, atol=1e-10)


def test_adding_blocks_leaves_the_smoothness_as_it_was():
    stiffness, blocks, _ = system(0, 6, 3)
    smooth = smoothness_band(stiffness)
    before = smooth.copy()
    add_blocks(smooth, blocks)
    np.testing.assert_array_equal(smooth, before)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e12])
def test_coordinates_that_nothing_measures_are_solvable_and_stay_put(scale):
    stiffness, blocks, right = system(1, 8, 4)
    nothing = np.zeros_like(blocks)
    nothing[:, :2, :2] = scale * blocks[:, :2, :2]
    right[:, 2:] = 0
    found = solve_banded(add_blocks(smoothness_band(scale * stiffness), nothing), right.copy())
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, 2:], 0, atol=1e-9)
    cov = diagonal_of_inverse(add_blocks(smoothness_band(scale * stiffness), nothing), 4)
    assert (np.linalg.eigvalsh(cov) > 0).all()


def test_what_is_measured_at_one_frame_is_carried_along_steadily():
    """Two frames measured exactly, the rest by smoothness alone: a straight line through both."""
    blocks, right = np.zeros((9, 1, 1)), np.zeros((9, 1))
    for frame, place in ((2, 1.0), (6, 3.0)):
        blocks[frame], right[frame] = 1e9, 1e9 * place
    found = solve_banded(add_blocks(smoothness_band(np.full((9, 1), 1e6)), blocks), right)
    np.testing.assert_allclose(found[:, 0], 0.5 * np.arange(9), atol=1e-3)
