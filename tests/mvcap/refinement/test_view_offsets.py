"""Time offsets of views within the least squares, against offsets that are known."""

import numpy as np
import pytest
from refined_walk import RATE_HZ, detections, triangulated
from synthetic_take import body, ring_rig

from mvcap.refinement.observations import Observations2D
from mvcap.refinement.view_offsets import at_refined_times, estimate_offsets
from mvcap.structures.contracts import Evidence
from mvcap.structures.detections import Detections2D

FAST = (0.0, 0.0, 1.2, 1.2, 0.8)  # 1.4 m/s round a circle
LATE = np.array([0.0, 0.6, -0.4, 0.25])
PRIOR = np.array([0.0, 0.5, 0.5, 0.5])


def seen_late(seed, noise_px=2.0, frames=150):
    """Observations of a walk by views that are late, and the true points (T, J, 3) m."""
    rig, rows = ring_rig(4), []
    for view in range(4):
        xyz = np.stack([body((frame + LATE[view]) / RATE_HZ, FAST) for frame in range(frames)])
        mine = detections(xyz, rig, noise_px, seed=seed + view)
        rows.append(mine.of(view=view))
    found = Detections2D.concatenate(rows, rows[0].skeleton)
    found = found[np.argsort(found.frame, kind="stable")]
    evidence = Evidence(rig, found, RATE_HZ, np.ones(9))
    truth = np.stack([body(frame / RATE_HZ, FAST) for frame in range(frames)])
    return Observations2D.of(triangulated(found, rig), evidence), truth


@pytest.mark.parametrize("seed", [0, 10])
def test_offsets_are_found_and_points_moved(seed):
    late, truth = seen_late(seed)
    moved = at_refined_times(late, PRIOR)
    left = moved.xy - late.xy
    assert np.abs(estimate_offsets(moved, PRIOR)).max() < 0.02
    # What was moved of each view is its offset times the velocity of the projections.
    flow = (late.rig.project(truth)[:, 3:-1] - late.rig.project(truth)[:, 1:-3]) / 2
    told = -(left[:, 2:-2] * flow).sum((1, 2, 3)) / (flow**2).sum((1, 2, 3))
    assert np.abs(told - LATE).max() < 0.06
    before, after = (np.nanmean(np.linalg.norm(of.point[5:-5] - truth[5:-5], axis=-1)) for of in (late, moved))
    assert after < 0.9 * before  # the rest is noise


def test_synchronous_views_and_a_narrow_prior_stay():
    late, _ = seen_late(3)
    assert at_refined_times(late, np.zeros(4)) is late
    assert np.abs(estimate_offsets(late, np.full(4, 0.002))).max() < 0.01
