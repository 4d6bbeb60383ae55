"""People as the target of a check: turns are named, late views are late and not moved, repairs have to fit held out."""

from dataclasses import replace

import numpy as np
import pytest
from moved_cameras import arc, body_places, bumped, filmed, off

from calib import CalibrationError
from calib.changes.free_check import check_free
from calib.changes.outcome import LateView
from calib.changes.search import Trust
from calib.check import check
from calib.repair import repair

MOMENTS = 60


def walked(seed=1, degrees=0.0, shift_m=0.0, at=0, late=0.0, jump=False, scale=1.0, cameras=4):
    """A rig, a take of a person in which camera 3 changes at a moment and view 2 is late, and the rig that holds."""
    rng = np.random.default_rng(seed)
    rig = arc(cameras)
    target, places = body_places(rng, 4 * (MOMENTS + 8), people=1)
    if jump:
        time_s = np.arange(len(places)) / 40 - 3
        places[..., 2] += np.where((time_s > 0) & (time_s < 0.6), 4.9 * time_s * (0.6 - time_s), 0)[:, None]
    new = bumped(rig, 2, degrees, shift_m) if degrees or shift_m else rig
    whole = filmed([rig], [0], target, places, 3.0, rng)
    moved = filmed([new], [0], target, places, 3.0, rng)
    moment = 16 + 4 * np.arange(MOMENTS)
    xy = np.where((np.arange(MOMENTS) >= at)[:, None, None], moved.xy[:, moment], whole.xy[:, moment])
    xy[1] = whole.xy[1, moment - round(4 * late)]
    seen = whole.at(moment)
    time_s, names = np.tile(np.arange(MOMENTS) / 10, (cameras, 1)), tuple(f"{one / 10:.1f} s" for one in range(MOMENTS))
    seen = replace(seen, xy=xy, sigma=np.full(seen.sigma.shape, 3.0), time_s=time_s, moments=names)
    return rig.scaled_world(scale), seen, new.scaled_world(scale)


@pytest.mark.parametrize(("degrees", "at"), [(0.6, 0), (5.0, 0), (2.0, 30)])
def test_a_turn_is_found_named_and_repaired_by_people(degrees, at):
    rig, seen, true = walked(degrees=degrees, at=at)
    found = check(rig, seen)
    assert found.verdict == "moved" and found.moved == ("cam3",), found.summary()
    (change,) = found.changes
    assert abs(change.rotation_deg - degrees) < 4 * change.rotation_sigma_deg + 0.05 and abs(change.since - at) <= 3
    assert f"cam3 turned by {change.rotation_deg:.2f}" in found.reason
    assert all(camera.shared == MOMENTS and camera.status != "not seen enough" for camera in found.cameras)
    made = repair(rig, seen, found)
    assert np.rad2deg(np.linalg.norm(off(made.rig, true, "cam3")[:3])) < 0.25
    assert made.after_px[0] < made.before_px[0]


def test_a_camera_that_was_shifted_is_found():
    rig, seen, _ = walked(seed=2, shift_m=0.3)
    found = check(rig, seen)
    assert found.moved == ("cam3",) and found.changes[0].in_volume_m > 0.03


@pytest.mark.parametrize(("late", "scale"), [(0.75, 1.0), (-0.5, 0.9)])
def test_a_late_view_is_late_and_not_moved_while_somebody_jumps(late, scale):
    rig, seen, _ = walked(seed=3, late=late, jump=True, scale=scale)
    found = check(rig, seen)
    assert found.verdict == "unmoved" and not found.changes, found.summary()
    (view,) = found.late
    assert view.camera == "cam2" and abs(view.moments - late) < 0.2
    assert found.cameras[1].status == "late" and str(view) in found.reason and "synchronise" in found.next_action
    assert str(LateView("a", -0.02, 0.001, -0.5)) == "a is early by 20 ms (0.50 frames)"


def test_a_turn_beside_a_late_view_is_named_and_so_is_the_late_view():
    rig, seen, _ = walked(seed=4, degrees=2.0, late=1.0)
    found = check(rig, seen)
    assert found.moved == ("cam3",) and [view.camera for view in found.late] == ["cam2"]
    assert abs(found.changes[0].rotation_deg - 2) < 0.2


def test_a_repair_that_fits_no_better_held_out_is_refused():
    rig, seen, _ = walked(seed=5)
    other, turned, _ = walked(degrees=3.0, seed=6)
    change = replace(check(other, turned).changes[0], camera="cam1")
    accused = replace(check(rig, seen), changes=(change,))
    with pytest.raises(CalibrationError, match="fits no better at moments that were not used"):
        repair(rig, seen, accused)


def test_many_cameras_that_disagree_are_a_wrong_rig():
    rig, seen, _ = walked(seed=7)
    for index, degrees in enumerate((2.0, -3.0, 4.0, -2.0)):
        rig = bumped(rig, index, degrees, 0.0, seed=index)
    found = check_free(rig, seen, np.arange(len(seen.target)), Trust(), 0.002, 1e-3)
    assert found.verdict in ("wrong", "cannot tell") and not found.moved, found.summary()
