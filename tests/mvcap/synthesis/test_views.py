"""Rigs and the model of 2D estimators: the same for the same seed, and as wrong as asked for."""

from dataclasses import fields, replace
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from generated_people import crossing

from mvcap.structures.skeleton import skeleton
from mvcap.synthesis import detector_errors
from mvcap.synthesis.detector_errors import GROUPS, OPENPOSE, OPENPOSE_WEAK, TOPDOWN, DetectorModel
from mvcap.synthesis.detector_joints import group_of, joint_matrix, project_joints
from mvcap.synthesis.detector_people import torn_parts
from mvcap.synthesis.detector_simulator import simulate_detector
from mvcap.synthesis.occlusion import occluded
from mvcap.synthesis.random_rigs import (
    camera_count,
    disturb_rig,
    in_picture,
    random_calibration_error,
    random_rig,
    shared_volume,
)

HALPE = skeleton("halpe26")
KINDS = ("halpe26", "body25", "coco17", "blazepose33", "mvor10", "shelf14")
NEVER = -30.0
TRUTH, RIG, RATE_HZ = crossing(people=4, cameras=5, frames=24, rate_hz=20)
# Nothing goes wrong but what a test asks for.
CLEAR = replace(
    OPENPOSE, skeleton="halpe26", noise=(0.0,) * len(GROUPS), floor_px=0.0, outliers=0.0, hidden_outliers=0.0,
    defined_m=0.0, score_lies=0.0, missed=(NEVER,) * len(GROUPS), missed_hidden=0.0, missed_turned=0.0,
    missed_small=0.0, person_missed=NEVER, person_small=0.0, person_hidden=0.0, person_cut=0.0, body_swaps=0.0,
    leg_swaps=0.0, arm_swaps=0.0, merges=0.0, splits=0.0, lone_joints=0.0, duplicates=0.0, furniture=0.0, phantoms=0.0,
    screens=0.0,
)  # fmt: skip


def given(model, seed=0, truth=TRUTH, rig=RIG):
    return simulate_detector(model, truth, rig, np.random.default_rng(seed), RATE_HZ)


def where(rows, truth=TRUTH, rig=RIG):
    """Where each joint (M, J) of the row's view and frame is, of each person (P, M, J, 2)."""
    people = np.unique(truth.person)
    dense = truth.dense(int(truth.frame.max()) + 1, people).astype(float)
    weight, _ = joint_matrix(HALPE, rows.skeleton)
    xy = rig.project(np.einsum("kj,tpjd->tpkd", weight, dense))
    return np.moveaxis(xy[rows.view, rows.frame], 1, 0)


def angle(one, other):
    """Angle, rad, between two cameras."""
    return np.arccos(np.clip((np.trace(one.cam_from_world[:3, :3].T @ other.cam_from_world[:3, :3]) - 1) / 2, -1, 1))


def off(rows, whose, truth=TRUTH, rig=RIG):
    """Distance (M, J) px of each joint from where its person has it; NaN where missing or nobody's."""
    xy = where(rows, truth, rig)
    row, joint = np.indices(whose.shape)
    own = np.where((whose > 0)[..., None], xy[np.maximum(whose, 1) - 1, row, joint], np.nan)
    return np.linalg.norm(rows.xy - own, axis=-1)


# --- rigs ------------------------------------------------------------------------------------------------------------


def test_rigs_are_the_same_for_the_same_seed():
    one, two = (random_rig(np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.P, two.P) and one.names == two.names
    assert not np.array_equal(one.P[:2], random_rig(np.random.default_rng(4)).P[:2])


def test_rigs_see_the_middle_of_their_room():
    about = np.array([[0, 0, 1.0], [0.4, 0, 1], [-0.4, 0, 1], [0, 0.4, 1], [0, -0.4, 1], [0, 0, 0.3], [0, 0, 1.6]])
    shares = np.concatenate([in_picture(random_rig(np.random.default_rng(seed)), about).mean(1) for seed in range(60)])
    assert shares.mean() > 0.95 and (shares < 0.5).mean() < 0.02


def test_rigs_are_of_all_kinds():
    rigs = [random_rig(np.random.default_rng(seed)) for seed in range(120)]
    lenses = [camera.lens for rig in rigs for camera in rig]
    counts = [len(rig) for rig in rigs]
    assert min(counts) == 2 and max(counts) > 10 and 4.5 < np.mean(counts) < 6.5
    assert {len(random_rig(np.random.default_rng(0), count)) for count in (1, 2, 7, 16)} == {1, 2, 7, 16}
    assert any(size[0] < size[1] for size in (lens.size for lens in lenses))
    assert {lens.model for lens in lenses} == {"pinhole", "fisheye"}
    field = np.array([max(lens.size) / 2 / lens.K[0, 0] for lens in lenses if lens.model == "pinhole"])
    assert field.min() < 0.5 and field.max() > 1.1
    height = np.concatenate([rig.positions[:, 2] for rig in rigs])
    assert height.min() < 1.0 and height.max() > 2.7


def test_lenses_do_not_fold_within_their_picture():
    for seed in range(40):
        for camera in random_rig(np.random.default_rng(seed)):
            corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * (np.array(camera.size) - 1.0)
            flat = camera.lens.undistort(corners)
            assert np.abs(camera.lens.distort(flat) - corners).max() < 1e-3


def test_number_of_cameras_keeps_to_its_limits():
    drawn = [camera_count(np.random.default_rng(seed), 3, 6) for seed in range(200)]
    assert set(drawn) == {3, 4, 5, 6}


def test_a_calibration_is_as_far_off_as_asked():
    rig = random_rig(np.random.default_rng(1), 16)
    turned, moved = [], []
    for seed in range(20):
        other = disturb_rig(np.random.default_rng(seed), rig, 0.3, 0.01)
        turned += [angle(a, b) for a, b in zip(rig, other, strict=True)]
        moved.append(other.positions - rig.positions)
    spread = np.exp(0.4**2)  # of the cameras' own worth, squared
    assert np.rad2deg(np.sqrt(np.mean(np.square(turned)) / 3 / spread)) == pytest.approx(0.3, rel=0.15)
    assert np.std(moved) / np.sqrt(spread) == pytest.approx(0.01, rel=0.15)
    exact = disturb_rig(np.random.default_rng(0), rig, 0.0, 0.0)
    assert np.allclose(exact.P, rig.P)


def test_most_calibrations_are_fair():
    turned = np.array([random_calibration_error(np.random.default_rng(seed))[0] for seed in range(500)])
    assert 0.6 < ((turned > 0.05) & (turned < 0.2)).mean() < 0.9 and 0.04 < (turned > 0.4).mean() < 0.2


def test_the_shared_volume_is_what_all_see():
    centre, radius = shared_volume(RIG)
    assert np.linalg.norm(centre) < 0.5 and 1.5 < radius < 6
    moved = RIG.moved(np.array([[1.0, 0, 0, 10], [0, 1, 0, -7], [0, 0, 1, 0], [0, 0, 0, 1]]))
    assert np.allclose(shared_volume(moved)[0], centre + np.array([10, -7]), atol=0.3)


# --- the estimator ---------------------------------------------------------------------------------------------------


def test_rows_are_the_same_for_the_same_seed():
    for model in (OPENPOSE, OPENPOSE_WEAK, TOPDOWN):
        (one, a), (two, b), (other, _) = given(model), given(model), given(model, 1)
        assert np.array_equal(a, b)
        assert all(np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True) for name in one.columns())
        assert len(other) != len(one) or not np.array_equal(one.xy, other.xy, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", [OPENPOSE, OPENPOSE_WEAK, TOPDOWN])
def test_rows_keep_the_rules_of_their_table(kind, model):
    rows, whose = given(replace(model, skeleton=kind))
    there = np.isfinite(rows.xy[..., 0])
    assert rows.skeleton.name == kind and whose.shape == rows.score.shape and len(rows) > 200
    assert np.array_equal(there, rows.score > 0) and np.array_equal(there, np.isfinite(rows.noise_px))
    assert (rows.noise_px[there] > 0).all() and (rows.score <= 1).all() and there.any(1).all()
    assert set(np.unique(whose)) <= {-1, 1, 2, 3, 4} and (whose[~there] == -1).all()
    assert (rows.person == -1).all() and (rows.carried == -1).all()
    assert (np.diff(rows.frame) >= 0).all() and set(rows.view.tolist()) == set(range(5))
    size = np.array([camera.size for camera in RIG])[rows.view][:, None]
    edge = 0.021 * size if model.outside else 0.5
    assert ((rows.xy > -1 - edge) & (rows.xy < size + edge) | ~there[..., None]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_without_errors_joints_are_where_they_are_and_whose_they_are(kind):
    rows, whose = given(replace(CLEAR, skeleton=kind))
    error = off(rows, whose)
    assert np.nanmax(error) < 1e-3 and (np.isfinite(error) == (rows.score > 0)).all()
    assert len(rows) == len({(f, v, w.max()) for f, v, w in zip(rows.frame, rows.view, whose, strict=True)})


@pytest.mark.parametrize("model", [OPENPOSE, OPENPOSE_WEAK, TOPDOWN])
def test_whose_a_joint_is_holds_with_errors_too(model):
    model = replace(model, body_swaps=0.0, leg_swaps=0.0, arm_swaps=0.0, defined_m=0.0, skeleton="halpe26")
    rows, whose = given(model)
    error = off(rows, whose) / rows.noise_px
    assert np.nanmedian(error) < 1.5 and np.nanquantile(error, 0.9) < 6


def test_nobody_is_seen_behind_a_camera_or_outside_its_picture():
    behind = TRUTH.with_columns(xyz=TRUTH.xyz + np.array([20.0, 0, 0]))
    rows, whose = given(CLEAR, truth=behind)
    xyz = behind.xyz[np.searchsorted(behind.frame * 10 + behind.person, rows.frame * 10 + whose.max(1))]
    depth = np.einsum("ma,mja->mj", RIG.cam_from_world[rows.view, 2, :3], xyz) + RIG.cam_from_world[rows.view, 2, 3:]
    assert (depth[rows.score > 0] > 0).all() and np.nanmax(off(rows, whose, behind)) < 1e-2


def test_no_rows_of_nobody():
    nobody = TRUTH[np.zeros(0, int)]
    rows, whose = given(OPENPOSE, truth=nobody)
    assert len(rows) == 0 and whose.shape == (0, 25)


def test_who_is_away_is_not_seen():
    away = TRUTH[(TRUTH.person != 2) | (TRUTH.frame > 9)]
    rows, whose = given(CLEAR, truth=away)
    assert not (whose[rows.frame < 10] == 2).any() and (whose[rows.frame >= 10] == 2).any()
    assert set(np.unique(whose)) - {-1} == {1, 2, 3, 4}


def test_bodies_hide_what_is_behind_them():
    rng = np.random.default_rng(0)
    people = np.arange(1, 5)
    points = project_joints(CLEAR, HALPE, TRUTH, people, RIG, rng, RATE_HZ)
    dense = TRUTH.dense(24, people)
    slow = np.stack([[occluded(camera, HALPE, dense[frame]) for camera in RIG] for frame in range(24)])
    assert np.array_equal(points.hidden, slow) and 0.02 < slow.mean() < 0.4
    rows, whose = given(replace(CLEAR, missed_hidden=60.0))
    found = np.zeros((24, 5, 4, len(HALPE)), bool)
    row, joint = np.nonzero(whose > 0)
    found[rows.frame[row], rows.view[row], whose[row, joint] - 1, joint] = True
    enough = found.any(-1)[..., None]
    assert np.array_equal(found & enough, points.inside & ~points.hidden & enough)


def test_hidden_joints_are_worse_and_less_sure():
    rows, whose = given(replace(CLEAR, noise=OPENPOSE.noise))
    points = project_joints(CLEAR, HALPE, TRUTH, np.arange(1, 5), RIG, np.random.default_rng(0), RATE_HZ)
    behind = points.hidden[rows.frame, rows.view, whose.max(1) - 1]
    error, there = off(rows, whose) / rows.noise_px, rows.score > 0
    assert np.median(error[behind & there]) > 1.4 * np.median(error[~behind & there])
    assert np.median(rows.score[behind & there]) < np.median(rows.score[~behind & there]) - 0.2


def test_faces_that_look_away_lose_their_noses():
    rows, _ = given(replace(CLEAR, missed_turned=60.0))
    nose, ankle = (HALPE.index(name) for name in ("nose", "left_ankle"))
    assert (rows.score[:, nose] > 0).mean() < 0.8 * (rows.score[:, ankle] > 0).mean()


def test_errors_have_the_size_and_the_tails_asked_for():
    noise = (1.0,) * len(GROUPS)
    plain, heavy = (replace(CLEAR, noise=noise, hidden_noise=1.0, tail=tail, tail_row=0.0) for tail in (0.0, 1.0))
    ratio = {}
    for model in (plain, heavy):
        errors = [off(rows, whose) / rows.noise_px for rows, whose in (given(model, seed) for seed in range(4))]
        ratio[model.tail] = np.concatenate([error[np.isfinite(error)] for error in errors])
    assert np.sqrt(np.mean(ratio[0.0] ** 2) / 2) == pytest.approx(1.0, rel=0.08)
    assert np.median(ratio[0.0]) == pytest.approx(np.sqrt(2 * np.log(2)), rel=0.08)
    assert (ratio[0.0] > 5).mean() < 2e-4 and 0.02 < (ratio[1.0] > 5).mean() < 0.1


def test_errors_last_and_have_something_in_common():
    model = replace(CLEAR, noise=(1.0,) * len(GROUPS), tail=0.0, tail_row=0.0, together=0.5, lasting=1.0, lasting_s=0.5)
    points = project_joints(model, HALPE, TRUTH, np.arange(1, 5), RIG, np.random.default_rng(0), RATE_HZ)
    unit = (
        (points.xy - points.true) / points.stated[..., None] / np.where(points.hidden, model.hidden_noise, 1)[..., None]
    )
    lag = np.nanmean(unit[1:] * unit[:-1]) / np.nanmean(unit**2)
    assert lag == pytest.approx(np.exp(-1 / (RATE_HZ * 0.5)), abs=0.08)
    common = np.nanmean(np.nanmean(unit, -2) ** 2) / np.nanmean(unit**2)
    assert common == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(
    ("name", "part"), [("body_swaps", slice(0, 26)), ("leg_swaps", "knee"), ("arm_swaps", "wrist")]
)
def test_sides_are_exchanged_as_often_as_asked(name, part):
    joint = HALPE.index("left_hip") if name == "body_swaps" else HALPE.index(f"left_{part}")
    shares = []
    for seed in range(6):
        rows, whose = given(replace(CLEAR, lasting_s=0.01, **{name: 0.2}), seed)
        xy = where(rows)
        row = np.arange(len(rows))
        mirrored = xy[whose.max(1) - 1, row, HALPE.mirror[joint]]
        some = rows.score[:, joint] > 0
        shares.append((np.linalg.norm(rows.xy[:, joint] - mirrored, axis=-1) < 1e-2)[some].mean())
        assert (whose[some, joint] == whose[some].max(1)).all()
    assert np.mean(shares) == pytest.approx(0.2, abs=0.03)


def test_people_are_missed_as_often_as_asked():
    whole = len(given(CLEAR)[0])
    model = replace(CLEAR, person_missed=float(np.log(0.3 / 0.7)), lasting_s=0.01)
    left = np.mean([len(given(model, seed)[0]) for seed in range(6)])
    assert left / whole == pytest.approx(0.7, abs=0.03)


def test_split_people_are_whole_together():
    whole, _ = given(CLEAR)
    rows, whose = given(replace(CLEAR, splits=0.3, splits_hidden=0.0, least_joints=1, lasting_s=0.01))
    assert (whose > 0).sum() == pytest.approx((whole.score > 0).sum(), rel=1e-6)
    assert np.nanmax(off(rows, whose)) < 1e-3
    assert (len(rows) - len(whole)) / len(whole) == pytest.approx(0.4, abs=0.08)
    rows, whose = given(replace(CLEAR, lone_joints=0.02))
    lone = (whose > 0).sum(1) == 1
    assert (
        lone.sum() / (whole.score > 0).sum() == pytest.approx(0.02, abs=0.006)
        and (rows.noise_px[lone] > 0).any(1).all()
    )


def test_merged_people_hold_joints_of_two():
    rows, whose = given(replace(CLEAR, merges=0.5))
    two = np.array([len(set(one[one > 0])) == 2 for one in whose])
    assert 0.02 < two.mean() < 0.5 and np.nanmax(off(rows, whose)) < 1e-3


def test_duplicates_and_copies():
    whole, _ = given(CLEAR)
    rows, whose = given(replace(CLEAR, duplicates=0.2, lasting_s=0.01))
    assert (len(rows) - len(whole)) / len(whole) == pytest.approx(0.2, abs=0.05) and (whose.max(1) > 0).all()
    rows, _ = given(replace(CLEAR, copies=0.2))
    same = len(rows) - len(np.unique(np.nan_to_num(np.column_stack([rows.frame, rows.view, rows.xy[:, :, 0]])), axis=0))
    assert same / len(whole) == pytest.approx(0.29, abs=0.1)


def test_phantoms_are_nobody_and_furniture_stays():
    rows, whose = given(replace(CLEAR, phantoms=0.5))
    false = (whose == -1).all(1)
    assert false.sum() / (24 * 5) == pytest.approx(0.5, abs=0.2)
    rows, whose = given(replace(CLEAR, furniture=3.0), 2)
    false = np.flatnonzero((whose == -1).all(1) & (rows.view == 0))
    middle = (rows.box[false, :2] + rows.box[false, 2:]) / 2
    near = np.linalg.norm(middle[:, None] - middle, axis=-1) < 60
    assert near.sum(1).mean() > 4  # in many frames at the same place


def test_things_of_the_room_hide_people():
    model = replace(CLEAR, missed_hidden=60.0)
    shares = [np.mean([(given(replace(model, screens=screens), seed)[0].score > 0).sum() for seed in range(3)])
              for screens in (0.0, 2.0)]  # fmt: skip
    assert shares[1] < 0.9 * shares[0]


def test_other_estimators_are_drawn_round_this_one():
    drawn = [OPENPOSE.randomised(np.random.default_rng(seed)) for seed in range(60)]
    assert {one.skeleton for one in drawn} == set(KINDS)
    assert drawn[3] == OPENPOSE.randomised(np.random.default_rng(3))
    for name in ("noise_factor", "splits", "tail", "person_missed", "furniture", "phantoms"):
        values = np.array([getattr(one, name) for one in drawn])
        assert values.std() > 0 and values.min() < getattr(OPENPOSE, name) < values.max()
    lasting = np.array([one.lasting for one in drawn])
    assert lasting.max() < 1 and np.median(lasting) == pytest.approx(OPENPOSE.lasting, abs=0.05)
    for one in drawn[:20]:
        rows, whose = given(one)
        assert len(rows) > 100 and (whose > 0).any()


def test_every_parameter_is_explained():
    text = Path(detector_errors.__file__).read_text(encoding="utf-8")
    body = text[text.index("class DetectorModel") : text.index("def randomised")]
    for spec in fields(DetectorModel):
        after = body[body.index(f"    {spec.name}:") :].split("\n", 1)[1].lstrip()
        assert after.startswith('"""'), spec.name


@pytest.mark.parametrize("kind", KINDS)
def test_parts_and_groups_cover_every_skeleton(kind):
    one = skeleton(kind)
    weight, chief = joint_matrix(HALPE, one)
    assert np.isfinite(weight).all() and np.allclose(weight.sum(1), 1) and chief.max() < len(HALPE)
    assert len(torn_parts(one)) >= 4 and set(group_of(one)) <= set(range(len(GROUPS)))
    assert GROUPS[group_of(one)[one.index("left_wrist")]] == "wrist"


def test_it_takes_no_time():
    seconds = []
    for seed in range(5):
        begun = process_time()
        given(OPENPOSE, seed)
        seconds.append(process_time() - begun)
    assert min(seconds) < 0.06
