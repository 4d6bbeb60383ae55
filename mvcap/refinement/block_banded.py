"""Block-banded normal equations: frames in order, blocks of coordinates, smoothness over three frames.

A system of T frames and n coordinates a frame is stored as its lower band (2n + 1, nT), in LAPACK's layout.
"""

from __future__ import annotations

import numpy as np

from calib.arrays import Floats

# Regularisation of joints without measurements: 10 m, and more than the rounding error of the largest weight.
_ANCHOR, _ROUNDING = 1e-2, 1e-13


def smoothness_band(stiffness: Floats) -> Floats:
    """Lower band (2n + 1, nT) of squared second differences; stiffness (T, n) 1/m^2 is the weight at each frame."""
    frames, size = stiffness.shape
    weight = stiffness[1:-1]
    band = np.zeros((2 * size + 1, frames, size))
    if frames >= 3:
        band[0, :-2] += weight
        band[0, 1:-1] += 4 * weight
        band[0, 2:] += weight
        band[size, :-2] -= 2 * weight
        band[size, 1:-1] -= 2 * weight
        band[2 * size, :-2] += weight
    return band.reshape(2 * size + 1, -1)


def add_first_differences(band: Floats, weight: Floats) -> None:
    """Add squared first differences to a lower band in place; weight (T, n), that of the last frame is not used."""
    frames, size = weight.shape
    by_frame = band.reshape(len(band), frames, size)
    by_frame[0, :-1] += weight[:-1]
    by_frame[0, 1:] += weight[:-1]
    by_frame[size, :-1] -= weight[:-1]


def add_blocks(band: Floats, blocks: Floats) -> Floats:
    """Sum of a lower band and symmetric blocks (T, n, n) on its diagonal."""
    frames, size, _ = blocks.shape
    out = band.copy()
    by_frame = out.reshape(len(out), frames, size)
    for below in range(size):
        by_frame[below, :, : size - below] += np.diagonal(blocks, -below, 1, 2)
    out[0] += _ANCHOR + _ROUNDING * out[0].max()
    return out


def smoothness_force(band: Floats, x: Floats) -> Floats:
    """Product (T, n) of a band from ``smoothness_band`` and x (T, n)."""
    frames, size = x.shape
    middle, next_one, second = (band[row].reshape(frames, size) for row in (0, size, 2 * size))
    out = middle * x
    out[1:] += next_one[:-1] * x[:-1]
    out[:-1] += next_one[:-1] * x[1:]
    out[2:] += second[:-2] * x[:-2]
    out[:-2] += second[:-2] * x[2:]
    return np.asarray(out)


def solve_banded(band: Floats, right: Floats) -> Floats:
    """Solution (T, n) of a lower band, which is overwritten, and right-hand sides (T, n)."""
    from scipy.linalg import solveh_banded

    found = solveh_banded(band, right.ravel(), lower=True, overwrite_ab=True, overwrite_b=True, check_finite=False)
    return np.asarray(found).reshape(right.shape)


def diagonal_of_inverse(band: Floats, size: int) -> Floats:
    """Blocks (T, n, n) on the diagonal of the inverse of a lower band, which is overwritten.

    Taken two at a time, the frames form a block-tridiagonal system. From its Cholesky factor L, the inverse's diagonal
    blocks follow from the last to the first: S_k = (I + M^T S_{k+1} M) between the factors of block k, M being the
    block below the diagonal over that on it (Takahashi, Fagan and Chin, 1973).
    """
    from scipy.linalg import cholesky_banded
    from scipy.linalg.lapack import dtrtri

    frames, width = band.shape[1] // size, 2 * size
    if frames % 2:
        last = np.zeros((len(band), size))
        last[0] = 1
        band = np.concatenate([band, last], axis=1)
    factor = cholesky_banded(band, lower=True, overwrite_ab=True, check_finite=False)
    pairs = factor.shape[1] // width
    row, column = np.tril_indices(width)
    on = np.zeros((pairs, width, width))
    by_pair = factor.reshape(len(factor), pairs, width)
    on[:, row, column] = by_pair[row - column, :, column].T
    below = np.zeros((pairs, width, width))
    below[:, column, row] = by_pair[width + column - row, :, row].T
    out = np.empty((pairs, width, width))
    current = np.zeros((width, width))
    for pair in range(pairs - 1, -1, -1):
        inverse = dtrtri(on[pair], lower=1)[0]
        if pair < pairs - 1:
            step = below[pair] @ inverse
            current = inverse.T @ inverse + step.T @ current @ step
        else:
            current = inverse.T @ inverse
        out[pair] = current
    first, second = out[:, :size, :size], out[:, size:, size:]
    return np.stack([first, second], axis=1).reshape(-1, size, size)[:frames]
