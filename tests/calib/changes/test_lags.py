"""Late views are found by the motion of points, also beside a camera that has turned, and are synchronised."""

import numpy as np
import pytest
from moved_cameras import arc, body_places, bumped, filmed

from calib.changes.lags import estimate_lags, shift_times

STEP_S = 0.1


def late_take(late, turned=0.0, moments=80, noise=2.0, seed=1):
    """A rig, and people filmed by it, one view of which shows each moment `late` moments after the others."""
    rng = np.random.default_rng(seed)
    rig = arc(4)
    target, places = body_places(rng, 4 * moments, people=1)  # four moments between two images
    whole = filmed([bumped(rig, 2, turned, 0.0) if turned else rig], [0], target, places, noise, rng)
    at = np.arange(8, 4 * moments - 8, 4)
    seen = whole.at(at)
    xy = np.array(seen.xy)
    xy[1] = whole.xy[1, at - round(4 * late)]
    time_s = np.tile(np.arange(len(at)) * STEP_S, (4, 1))
    names = tuple(f"{moment}" for moment in range(len(at)))
    return rig, type(seen)(target, seen.views, seen.sizes, xy, np.full(seen.sigma.shape, noise), time_s, names)


@pytest.mark.parametrize(("late", "turned"), [(0.5, 0.0), (-1.0, 0.0), (1.5, 0.0), (0.75, 3.0)])
def test_a_late_view_is_found_also_beside_a_camera_that_has_turned(late, turned):
    found = estimate_lags(*late_take(late, turned))
    assert found.step_s == pytest.approx(STEP_S)
    np.testing.assert_allclose(found.sure / STEP_S, [0, late, 0, 0], atol=0.12)


def test_synchronous_views_are_not_called_late():
    for seed in range(4):
        rig, seen = late_take(0.0, turned=1.0 * (seed % 2), moments=60, seed=seed)
        assert not estimate_lags(rig, seen).sure.any()


def test_observations_of_a_late_view_are_moved_to_the_times_of_the_others():
    _, seen = late_take(0.5, noise=1e-3)
    there = shift_times(seen, np.array([0, 0.5 * STEP_S, 0, 0]))
    true = late_take(0.0, noise=1e-3)[1]
    both = np.isfinite(there.sigma[1]) & np.isfinite(true.sigma[1])
    before = np.linalg.norm(seen.xy[1] - true.xy[1], axis=-1)[both]
    after = np.linalg.norm(there.xy[1] - true.xy[1], axis=-1)[both]
    assert both.mean() > 0.8 and np.median(after) < 0.25 * np.median(before)
    assert not np.isfinite(there.sigma[1, -1]).any() and shift_times(seen, np.zeros(4)) is seen


def test_what_does_not_move_or_is_seen_too_seldom_shows_no_offset():
    rig, seen = late_take(0.5)
    still = seen.at(np.zeros(60, np.int64))
    assert not estimate_lags(rig, still).sure.any()
    rare = type(seen)(seen.target, seen.views, seen.sizes, seen.xy, seen.sigma, 10 * seen.time_s, seen.moments)
    assert np.isnan(estimate_lags(rig, rare).late_s).all()
