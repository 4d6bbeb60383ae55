"""The one verb: whatever is filmed becomes a rig with a verdict that is true, or a line that says what to film."""

from dataclasses import replace

import numpy as np
import pytest
from generated_boards import Bump, carried
from generated_boards import Take as GeneratedTake
from generated_boards import arc_rig as generated_rig
from generated_boards import board_observations as generated_observations
from seen_boards import (
    BOARD,
    SMALL,
    Take,
    arc_rig,
    board_observations,
    board_sightings,
    close_ups,
    in_place,
    lens_of_many,
    pose_error,
    scattered,
    sightings,
    volume_rms,
    with_lenses,
    with_poses,
)

from calib import CalibrationError, geometry
from calib.bundle.equations import small_motion
from calib.calibrate import calibrate
from calib.lenses.models import FISHEYE, PINHOLE, LensModel
from calib.targets import Target, free_points, scene_points, wand

RIG = arc_rig(3)
LENSES = lens_of_many(RIG)
FILMED = (BOARD.target.points.mean(0), np.array([0, 0, 1.1]))


@pytest.fixture(scope="module")
def seen():
    return board_sightings(RIG, scattered(20, 1))


def knocked(rig, size=0.01, seed=0):
    """The rig as it was before somebody leant against it."""
    steps = small_motion(np.random.default_rng(seed).normal(0, size, (len(rig), 6)))
    return with_poses(rig, steps @ rig.cam_from_world)


def near(found, true, spread=0.6):
    """Volume RMS, mm, of where the board was."""
    axes = [np.linspace(-spread, spread, 5) for _ in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3) + FILMED[1]
    return volume_rms(found, true.select(found.names), grid)


def severe(calibration):
    return [finding for finding in calibration.findings if finding.severity != "note"]


# --- boards ----------------------------------------------------------------------------------------------------------


def test_a_board_gives_lenses_and_poses_and_says_how_good_they_are(seen):
    found = calibrate(seen)
    assert found.rig.names == RIG.names
    error = near(found.rig, RIG)
    assert error < 1.5
    assert 0.4 < 1000 * found.accuracy.predicted_rms_m / error < 2.5
    np.testing.assert_allclose(found.rms_px, 0.115, atol=0.03)
    assert found.verdict == "good"
    assert not found.unconnected
    assert found.next_action
    assert "3 cameras" in found.summary()
    assert found.used.sum() > 0.97 * seen.seen.sum()
    assert found.residual.shape == seen.xy.shape
    assert found.covariance.shape == (max(at.stop for at in found.columns.values()),) * 2
    for camera, true in zip(found.rig, RIG, strict=True):
        assert camera.lens.K[0, 0] == pytest.approx(true.lens.K[0, 0], rel=0.01)


def test_the_world_is_upright_and_amid_what_was_seen(seen):
    found = calibrate(seen, lenses=LENSES, fix_lenses=True)
    assert (found.rig.cam_from_world[:, 1, 2] < -0.8).all()  # the picture's down is the world's
    points = geometry.transform(found.world_from_body[:, None], BOARD.target.points[None])
    np.testing.assert_allclose(np.nanmean(points, (0, 1)), 0, atol=0.2)


def test_lenses_that_are_fixed_stay_and_those_that_are_given_may_move_a_little(seen):
    wrong = {name: replace(lens, K=lens.K * [[1.002], [1.002], [1]]) for name, lens in LENSES.items()}
    fixed = calibrate(seen, lenses=wrong, fix_lenses=True)
    prior = calibrate(seen, lenses=wrong)
    for name, lens in wrong.items():
        assert np.array_equal(fixed.rig[name].lens.K, lens.K)
        assert np.array_equal(fixed.rig[name].lens.distortion, lens.distortion)
        moved = prior.rig[name].lens.K[0, 0] - lens.K[0, 0]
        assert 0.05 < abs(moved) < 0.01 * lens.K[0, 0]
    assert all(fit is None for fit in fixed.lenses)
    assert near(prior.rig, RIG) < near(fixed.rig, RIG)
    right = calibrate(seen, lenses=LENSES, fix_lenses=True)
    assert near(right.rig, RIG) < 0.25
    assert right.accuracy.predicted_rms_m < prior.accuracy.predicted_rms_m


def test_a_lens_that_is_given_without_coefficients_gets_those_that_it_needs(seen):
    bare = {name: replace(lens, distortion=[]) for name, lens in LENSES.items()}
    found = calibrate(seen, lenses=bare)
    assert near(found.rig, RIG) < 3.0
    for camera in found.rig:
        assert camera.lens.distortion[0] == pytest.approx(LENSES[camera.name].distortion[0], abs=0.05)


def test_pictures_of_single_lenses_help(seen):
    few = seen.at(np.arange(8))
    photos = [replace(close_ups(lens, 14, index), views=(name,)) for index, (name, lens) in enumerate(LENSES.items())]
    with_photos = calibrate(few, lens_observations=photos)
    assert near(with_photos.rig, RIG) < 1.0
    for camera in with_photos.rig:
        assert camera.lens.K[0, 0] == pytest.approx(LENSES[camera.name].K[0, 0], rel=0.003)
    halved = replace(photos[0], xy=photos[0].xy / 2, sizes=((640, 360),))
    with pytest.raises(CalibrationError, match=r"'cam01'.*640x360.*1280x720"):
        calibrate(few, lens_observations=[halved, *photos[1:]])


def test_of_several_tables_of_a_lens_the_fullest_counts(seen):
    name, lens = next(iter(LENSES.items()))
    photos = replace(close_ups(lens, 12, 1), views=(name,))
    found = calibrate(seen.of([name]), lens_observations=[photos.at(np.arange(1)), photos])
    assert found.lenses[0].used.sum() == 12


@pytest.mark.parametrize("model", ["rational", "fisheye"])
def test_other_lens_models_are_calibrated_alike(model):
    rig = arc_rig(2, 3, degrees=60, model=model)
    seen = board_sightings(rig, scattered(14, 1))
    found = calibrate(seen, models=[FISHEYE] if model == "fisheye" else None)
    assert near(found.rig, rig) < 4.0
    assert found.rms_px.max() < 0.15
    if model == "fisheye":
        assert all(camera.lens.model == "fisheye" for camera in found.rig)


def test_models_that_are_not_among_ours_will_do(seen):
    one = LensModel("pinhole", ("k1", "p1"))
    found = calibrate(seen.of(["cam01", "cam02"]), models=[one])
    assert [trial.model for trial in found.lenses[0].trials] == ["pinhole k1 p1"]


def test_one_camera_gives_its_lens_and_says_that_it_is_alone(seen):
    found = calibrate(seen.of(["cam02"]))
    assert len(found.rig) == 1
    assert found.verdict == "usable with limits"
    assert "one camera" in found.reason
    assert np.isnan(found.accuracy.predicted_rms_m)
    assert found.rig[0].lens.K[0, 0] == pytest.approx(LENSES["cam02"].K[0, 0], rel=0.02)


def test_moments_of_one_camera_alone_help_its_lens(seen):
    """The second camera sees little with the others; what it sees alone is still of its lens."""
    name = "cam01"
    sigma = np.array(seen.sigma)
    alone = np.arange(20) >= 8
    sigma[np.ix_([1, 2], alone)] = np.nan
    full, thin = replace(seen, sigma=sigma), seen.at(~alone)
    with_all, without = calibrate(full, lenses=LENSES), calibrate(thin, lenses=LENSES)
    at = [with_all.columns[name].start + 6, without.columns[name].start + 6]
    assert with_all.used[0, alone].any()
    assert with_all.covariance[at[0], at[0]] < without.covariance[at[1], at[1]]


def test_a_bent_board_is_found_and_its_shape():
    board = BOARD.target
    away = board.points[:, 0] - board.points[:, 0].mean()
    bent = board.points + np.stack([0 * away, 0 * away, 0.2 * away**2], -1)
    seen = sightings(RIG, board, in_place(replace(board, points=bent), scattered(20, 1)), 0.1)
    flat = calibrate(seen, lenses=LENSES, fix_lenses=True)
    shaped = calibrate(seen, lenses=LENSES, fix_lenses=True, shape_sigma_m=0.01)
    assert near(shaped.rig, RIG) < 1.0
    assert shaped.rms_px.max() < 0.6 * flat.rms_px.max()
    _, R, t = geometry.similarity(shaped.points, bent, scale=False)
    np.testing.assert_allclose(shaped.points @ R.T + t, bent, atol=1e-3)
    assert np.array_equal(flat.points, board.points)


# --- other targets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [False, True], ids=["lenses only", "old rig"])
def test_a_wand_gives_the_rig_and_its_size(old):
    target = wand([0.0, 0.3, 0.5])
    poses = scattered(40, 5, target=target, turned=1.5)
    seen = sightings(RIG, target, in_place(target, poses), 0.1)
    start = {"rig": knocked(RIG)} if old else {"lenses": LENSES}
    found = calibrate(seen, **start, fix_lenses=True)
    assert near(found.rig, RIG) < 0.5
    assert found.verdict == "good"


def test_free_points_need_a_rig_to_start_from_and_keep_its_size():
    world = np.random.default_rng(3).uniform((-0.8, -0.8, 0.2), (0.8, 0.8, 1.8), (14, 9, 3))
    seen = sightings(RIG, free_points(9), world, 0.1)
    old = knocked(RIG)
    found = calibrate(seen, rig=old, fix_lenses=True)
    scale = geometry.similarity(found.rig.positions, RIG.positions)[0]
    assert near(found.rig.scaled_world(scale), RIG) < 0.6
    assert near(found.rig, RIG) < 0.3 * near(old, RIG)
    assert found.free_points.shape == (14, 9, 3)
    with pytest.raises(CalibrationError, match="give a rig"):
        calibrate(seen, lenses=LENSES)
    with pytest.raises(CalibrationError):
        calibrate(seen)


def test_measured_points_place_the_cameras_in_their_world():
    world = np.random.default_rng(3).uniform((-0.8, -0.8, 0.2), (0.8, 0.8, 1.8), (12, 3))
    seen = sightings(RIG, scene_points(world), world[None], 0.1)
    found = calibrate(seen, lenses=LENSES, fix_lenses=True)
    np.testing.assert_allclose(found.rig.positions, RIG.positions, atol=2e-3)
    sigma = np.array(seen.sigma)
    sigma[1, :, 4:] = np.nan
    thin = calibrate(replace(seen, sigma=sigma), lenses=LENSES, fix_lenses=True)
    assert thin.unconnected == ("cam02",)
    assert thin.verdict != "good"
    sigma[:, :, 4:] = np.nan
    with pytest.raises(CalibrationError, match="measured points"):
        calibrate(replace(seen, sigma=sigma), lenses=LENSES, fix_lenses=True)


def of_tags(seed, shown):
    """Four tags on a box whose relation nobody has measured, and what three cameras see of them; shown (C, 4)."""
    rng = np.random.default_rng(seed)
    corners = np.array([[0, 0, 0], [0.2, 0, 0], [0.2, 0.2, 0], [0, 0.2, 0.0]])
    target = Target("tags", np.tile(corners, (4, 1)), np.repeat(range(4), 4), tuple("abcd"))
    steps = np.concatenate([rng.normal(0, 0.25, (4, 3)), rng.uniform(-0.3, 0.3, (4, 3))], 1)
    pieces = np.linalg.inv(small_motion(steps[0])) @ small_motion(steps)
    body = geometry.transform(pieces[target.of_piece], target.points)
    poses = scattered(24, seed, target=Target("", body), turned=0.3, spread_m=0.5)
    seen = sightings(RIG, target, geometry.transform(poses[:, None], body[None]), 0.1)
    sigma = np.where(np.array(shown)[:, None, target.of_piece], seen.sigma, np.nan)
    return pieces, replace(seen, sigma=sigma)


def test_tags_whose_relation_nobody_knows_are_a_target():
    pieces, seen = of_tags(2, np.ones((3, 4)))
    found = calibrate(seen, lenses=LENSES, fix_lenses=True)
    assert near(found.rig, RIG) < 1.0
    np.testing.assert_allclose(found.body_from_piece, pieces, atol=6e-3)


def test_cameras_that_share_no_tag_are_calibrated_through_one_that_sees_both():
    pieces, seen = of_tags(2, [[1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 0]])
    found = calibrate(seen, lenses=LENSES, fix_lenses=True)
    assert not found.unconnected
    angle, shift = pose_error(found.rig, RIG)
    assert angle < 0.3
    assert shift < 0.02
    np.testing.assert_allclose(found.body_from_piece, pieces, atol=0.01)


def test_a_small_far_board_is_not_taken_for_its_mirror_image():
    small = Target("small", SMALL.points * 0.4)
    seen = sightings(RIG, small, in_place(small, scattered(40, 3, target=small)), 0.15)
    found = calibrate(seen, lenses=LENSES, fix_lenses=True)
    angle, shift = pose_error(found.rig, RIG)
    assert angle < 0.5
    assert shift < 0.04


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_camera_out_of_step_is_found_and_allowed_for():
    late = (0.0, 0.03, 0.0)
    take = Take(RIG, carried(BOARD, 4), BOARD, frames=90, rate_hz=10.0, offset_s=late)
    found = calibrate(board_observations(take, 0.1), lenses=LENSES, fix_lenses=True)
    np.testing.assert_allclose(found.offset_s - found.offset_s[0], late, atol=3e-3)
    assert any(finding.about == "cam02" and "ms later" in finding.what for finding in found.findings)
    assert near(found.rig, RIG) < 1.0


# --- what is wrong ---------------------------------------------------------------------------------------------------


def test_wrong_corners_are_left_out(seen):
    rng = np.random.default_rng(0)
    wrong = rng.random(seen.sigma.shape) < 0.05
    off = rng.uniform(2, 10, seen.xy.shape) * rng.choice([-1, 1], seen.xy.shape)
    spoilt = replace(seen, xy=np.where(wrong[..., None], seen.xy + off, seen.xy))
    found = calibrate(spoilt, lenses=LENSES, fix_lenses=True)
    assert near(found.rig, RIG) < 0.3
    assert found.used[wrong].mean() < 0.02
    assert found.used[~wrong & seen.seen].mean() > 0.97


def test_false_sightings_are_refused_by_view_and_moment(seen):
    xy = np.array(seen.xy)
    xy[1, 4] = np.nan
    xy[1, 4, :20] = np.random.default_rng(0).uniform(200, 500, (20, 2))  # no board at all
    moment = int(np.flatnonzero((seen.seen.sum(-1) > 30).all(0))[0])
    xy[2, moment] += 150.0  # a board, but of somewhere else
    found = calibrate(replace(seen, xy=xy), lenses=LENSES, fix_lenses=True)
    refused = {(refusal.view, refusal.moment): refusal.reason for refusal in found.observations.refused}
    assert set(refused) == {("cam02", seen.moments[4]), ("cam03", seen.moments[moment])}
    assert "elsewhere" in refused["cam03", seen.moments[moment]]
    assert near(found.rig, RIG) < 0.3


def test_sightings_without_noise_are_refused_nowhere():
    found = calibrate(board_sightings(RIG, scattered(12, 1), 0.0), lenses=LENSES)
    assert not found.observations.refused
    assert near(found.rig, RIG) < 0.02


def test_a_camera_that_is_not_connected_is_left_out_and_the_pair_to_film_named():
    rig = arc_rig(4)
    seen = board_sightings(rig, scattered(18, 1))
    alone = np.arange(18) >= 12
    sigma = np.array(seen.sigma)
    sigma[3, ~alone] = np.nan
    sigma[:3, alone] = np.nan
    found = calibrate(replace(seen, sigma=sigma), lenses=lens_of_many(rig))
    assert found.unconnected == ("cam04",)
    assert found.rig.names == ("cam01", "cam02", "cam03")
    about = [finding for finding in severe(found) if finding.about == "cam04"]
    assert len(about) == 1
    assert "'cam04' and 'cam0" in about[0].todo
    assert found.verdict == "usable with limits"


def test_a_camera_that_saw_nothing_is_not_taken_from_the_old_rig(seen):
    sigma = np.array(seen.sigma)
    sigma[1] = np.nan
    found = calibrate(replace(seen, sigma=sigma), rig=knocked(RIG))
    assert found.unconnected == ("cam02",)
    assert "cam02" not in found.rig
    blind = calibrate(replace(seen, sigma=sigma))
    assert [finding.about for finding in severe(blind) if "left out" in finding.what] == ["cam02"]


def test_cameras_that_never_share_a_moment_are_no_rig(seen):
    turn = np.arange(20) % 3 == np.arange(3)[:, None]
    with pytest.raises(CalibrationError, match=r"no two cameras.*film it where 'cam01' and 'cam02'"):
        calibrate(replace(seen, sigma=np.where(turn[..., None], seen.sigma, np.nan)), lenses=LENSES)


def test_a_camera_that_sees_everything_mirrored_is_accused(seen):
    xy = np.array(seen.xy)
    xy[0] = xy[0] * [-1, 1] + [1279, 0]
    found = calibrate(replace(seen, xy=xy), lenses=LENSES, fix_lenses=True)
    assert found.verdict == "do not use"
    assert "cam01" in {finding.about for finding in severe(found)}


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_millimetres_taken_for_metres_are_noticed(seen, factor):
    board = replace(BOARD.target, points=BOARD.target.points * factor)
    found = calibrate(replace(seen, target=board), lenses=LENSES, fix_lenses=True)
    assert found.verdict == "do not use"
    assert "unit" in found.next_action


def test_squares_of_another_shape_than_said_are_noticed(seen):
    board = replace(BOARD.target, points=BOARD.target.points * [1.2, 1, 1])
    found = calibrate(replace(seen, target=board), lenses=LENSES, fix_lenses=True)
    assert found.verdict == "do not use"


def test_a_board_that_only_faces_one_camera_tells_no_focal_length():
    rig = arc_rig(1)
    seen = board_sightings(rig, scattered(12, 2, turned=0.02, spread_m=0.3))
    found = calibrate(seen, models=PINHOLE[:2])
    doubts = [finding for finding in severe(found) if "focal length" in finding.what]
    assert doubts
    assert "tilted" in doubts[0].todo
    assert found.verdict != "good"


def test_a_lens_of_other_pictures_is_refused(seen):
    small = {name: lens.scaled(0.5) for name, lens in LENSES.items()}
    with pytest.raises(CalibrationError, match=r"'cam01'.*640x360.*1280x720"):
        calibrate(seen, lenses=small)


AWKWARD = {
    "no moments": lambda o, rng: o.at(np.arange(0)),
    "one moment": lambda o, rng: o.at(np.arange(1)),
    "two moments": lambda o, rng: o.at(np.arange(2)),
    "one point": lambda o, rng: replace(o, sigma=np.where(np.arange(35) == 3, o.sigma, np.nan)),
    "one row": lambda o, rng: replace(o, sigma=np.where(np.arange(35) < 7, o.sigma, np.nan)),
    "four points": lambda o, rng: replace(o, sigma=np.where(np.isin(np.arange(35), [0, 6, 28, 34]), o.sigma, np.nan)),
    "moments twice": lambda o, rng: o.at(np.repeat(np.arange(10), 2)),
    "always the same": lambda o, rng: o.at(np.zeros(12, int)),
    "much noise": lambda o, rng: replace(o, xy=o.xy + rng.normal(0, 20, o.xy.shape)),
    "noise only": lambda o, rng: replace(o, xy=rng.uniform(0, 700, o.xy.shape), sigma=np.full(o.sigma.shape, 0.1)),
    "one place": lambda o, rng: replace(o, xy=0 * o.xy + 300),
    "far outside": lambda o, rng: replace(o, xy=o.xy + 1e7),
    "infinite": lambda o, rng: replace(o, xy=np.where((np.arange(35) == 2)[:, None], np.inf, o.xy)),
    "no doubt": lambda o, rng: replace(o, sigma=0 * o.sigma),
    "all doubt": lambda o, rng: replace(o, sigma=np.inf * o.sigma),
    "hardly any doubt": lambda o, rng: replace(o, sigma=1e-9 * o.sigma),
    "no time": lambda o, rng: replace(o, time_s=np.nan * o.time_s),
    "time stands still": lambda o, rng: replace(o, time_s=0 * o.time_s),
    "time runs back": lambda o, rng: replace(o, time_s=-o.time_s),
    "nothing seen": lambda o, rng: replace(o, sigma=np.nan * o.sigma),
    "one camera thrice": lambda o, rng: replace(o, xy=np.stack([o.xy[0]] * 3), sigma=np.stack([o.sigma[0]] * 3)),
    "moments shifted": lambda o, rng: replace(o, xy=np.stack([o.xy[0], np.roll(o.xy[1], 1, 0), o.xy[2]])),
    "names twice": lambda o, rng: replace(o, views=("cam01", "cam01", "cam03")),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("how", AWKWARD)
def test_whatever_comes_is_answered_in_words(seen, how):
    awkward = AWKWARD[how](seen.at(np.arange(12)), np.random.default_rng(0))
    try:
        found = calibrate(awkward, lenses=LENSES, fix_lenses=True)
    except CalibrationError as refused:
        assert "\n" not in str(refused)
        assert len(str(refused)) > 20
    else:
        assert found.verdict in ("good", "usable with limits", "do not use")
        assert found.reason
        assert found.next_action
        assert np.isfinite(found.covariance).all()
        if found.verdict == "good":
            assert near(found.rig, RIG) < 5.0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("how", ["two moments", "noise only", "one place", "infinite", "always the same"])
def test_lenses_that_nothing_tells_are_answered_in_words_too(seen, how):
    awkward = AWKWARD[how](seen.at(np.arange(12)), np.random.default_rng(0))
    try:
        found = calibrate(awkward, models=PINHOLE[:2])
    except CalibrationError as refused:
        assert "\n" not in str(refused)
    else:
        assert found.verdict != "good" or near(found.rig, RIG) < 3.0


# --- order and repetition --------------------------------------------------------------------------------------------


def test_the_order_of_cameras_and_moments_changes_nothing(seen):
    plain = calibrate(seen, lenses=LENSES)
    names = ["cam03", "cam01", "cam02"]
    turned = calibrate(seen.of(names).at(np.random.default_rng(0).permutation(20)), lenses=LENSES)
    assert turned.rig.names == tuple(names)
    angle, shift = pose_error(turned.rig.select(RIG.names), plain.rig)
    assert angle < 1e-3
    assert shift < 1e-4
    for camera in plain.rig:
        np.testing.assert_allclose(turned.rig[camera.name].lens.K, camera.lens.K, atol=0.02)
    assert turned.accuracy.predicted_rms_m == pytest.approx(plain.accuracy.predicted_rms_m, rel=0.05)


def test_it_does_the_same_each_time(seen):
    few = seen.of(["cam01", "cam03"]).at(np.arange(10))
    first, second = calibrate(few), calibrate(few)
    assert np.array_equal(first.rig.cam_from_world, second.rig.cam_from_world)
    assert np.array_equal(first.rig.K, second.rig.K)
    assert np.array_equal(first.covariance, second.covariance)
    assert first.summary() == second.summary()


def test_an_old_rig_is_only_a_start(seen):
    lenses = [replace(camera.lens, K=camera.lens.K * [[1.001], [1.001], [1]]) for camera in RIG]
    found = calibrate(seen, rig=with_lenses(knocked(RIG, 0.05), lenses))
    plain = calibrate(seen, lenses={lens.name: lens for lens in lenses})
    angle, shift = pose_error(found.rig, plain.rig)
    assert angle < 2e-3
    assert shift < 2e-4


def test_the_world_of_an_old_rig_is_kept_though_a_camera_of_it_has_moved(seen):
    steps = small_motion(np.array([[0.0] * 6, [0, 0.05, 0, 0.1, 0, 0], [0.0] * 6]))
    found = calibrate(seen, rig=with_poses(RIG, steps @ RIG.cam_from_world), fix_lenses=True)
    np.testing.assert_allclose(found.rig.positions, RIG.positions, atol=4e-3)


# --- what speaks against a rig that fits -----------------------------------------------------------------------------


def take_of(**rest):
    """A board carried about before three cameras, and what they see of it."""
    true = GeneratedTake(generated_rig(3, 1), carried(BOARD, 1), BOARD, frames=40, rate_hz=2.0, **rest)
    return true, generated_observations(true)


@pytest.mark.parametrize("rest", [{"bend_m": 0.008}, {"stretch": (1.01, 1.0)}])
def test_a_board_that_is_not_as_described_is_said(rest):
    made = calibrate(take_of(**rest)[1])
    said = [finding for finding in severe(made) if finding.about == "the board"]
    assert made.verdict != "good" and len(said) == 1
    assert ("1.0 % wider" in said[0].what) == ("stretch" in rest)


def test_a_camera_that_stood_elsewhere_for_a_part_of_the_take_is_named():
    made = calibrate(take_of(bumps=(Bump("cam03", 34, (0.0, 4.0, 0.0)),))[1])
    assert made.verdict == "usable with limits" and made.reason.startswith("cam03: from 1")


def test_a_late_camera_is_not_held_against_the_ends_of_the_halves():
    made = calibrate(generated_observations(replace(take_of(offset_s=(0, 0, 0.05))[0], frames=80, rate_hz=10.0)))
    assert made.verdict == "good" and made.accuracy.held_out_px < 0.2
