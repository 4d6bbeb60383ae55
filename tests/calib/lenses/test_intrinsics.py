"""Lenses from pictures of one camera: found whatever the model, no larger than needed, doubted where they should."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares
from seen_boards import BOARD, close_ups

from calib import CalibrationError, Lens, geometry
from calib.bundle.equations import LENS, small_motion
from calib.lenses import intrinsics
from calib.lenses.intrinsics import fit_lens, strange_moments
from calib.lenses.models import FISHEYE, MODELS, NAMES, PINHOLE, RATIONAL, LensModel, common_sense, model_of
from calib.lenses.observability import coverage, focal_findings, tilts_deg

SIZE = (1280, 720)


def lens(model="pinhole", distortion=(0.0,) * 5, focal=1000.0):
    K = np.array([[focal, 0, 650.0], [0, focal * 1.0005, 352.0], [0, 0, 1]])
    return Lens("cam", SIZE, K, np.array(distortion), model)


PLAIN = lens()
ONE = lens(distortion=(-0.12, 0, 0, 0, 0))
BARREL = lens(distortion=(-0.32, 0.14, 1e-3, -8e-4, -0.03), focal=800.0)
WIDE = lens("rational", (0.3, -0.05, 3e-4, -2e-4, 0.01, 0.65, -0.02, 0.005), 620.0)
FISH = lens("fisheye", (-0.03, 0.008, -0.004, 0.0006), 520.0)


def seen_as(found, true, reach=0.8):
    """RMS and largest difference, px, of where two lenses have the rays of a picture, but for a turn of the camera."""
    u, v = np.meshgrid(np.linspace(-reach, reach, 13), np.linspace(-reach, reach, 9))
    pixels = np.stack([u, v], -1).reshape(-1, 2) * (np.array(SIZE) / 2) + (np.array(SIZE) - 1) / 2
    flat = true.undistort(pixels)
    pixels, flat = pixels[np.isfinite(flat).all(-1)], flat[np.isfinite(flat).all(-1)]
    rays = np.concatenate([flat, np.ones((len(flat), 1))], 1)

    def off(turn):
        at = rays @ geometry.rotation_from_vector(turn).T
        return np.nan_to_num(found.distort(at[:, :2] / at[:, 2:]) - pixels, nan=100.0).ravel()

    best = np.linalg.norm(off(least_squares(off, np.zeros(3)).x).reshape(-1, 2), axis=-1)
    return float(np.sqrt((best**2).mean())), float(best.max())


@pytest.mark.parametrize(
    ("true", "moments"),
    [(PLAIN, 15), (ONE, 15), (BARREL, 20), (WIDE, 20), (FISH, 20)],
    ids=["no distortion", "k1", "barrel", "rational", "fisheye"],
)
def test_the_lens_is_found_whatever_its_model(true, moments):
    fit = fit_lens(close_ups(true, moments, 3), "cam")
    assert fit.rms_px < 0.12
    assert fit.lens.K[0, 0] == pytest.approx(true.K[0, 0], rel=0.004)
    assert fit.lens.size == SIZE
    rms, worst = seen_as(fit.lens, true)
    assert rms < 0.5, [trial.model for trial in fit.trials]
    assert worst < 2.5
    assert sum(trial.chosen for trial in fit.trials) == 1
    assert (fit.lens.model == "fisheye") == (true.model == "fisheye")


@pytest.mark.parametrize(("true", "few"), [(PLAIN, 1), (ONE, 1)], ids=["no distortion", "k1"])
def test_no_more_coefficients_than_the_pictures_show(true, few):
    counts = []
    for seed in range(3):
        fit = fit_lens(close_ups(true, 25, seed), "cam")
        counts.append(len(next(trial.free for trial in fit.trials if trial.chosen)))
        assert seen_as(fit.lens, true)[0] < 0.2
    assert sorted(counts)[1] <= few, counts


def test_a_strong_lens_gets_the_coefficients_that_it_needs():
    true = lens(distortion=(-0.45, 0.35, 0, 0, -0.2), focal=700.0)
    fit = fit_lens(close_ups(true, 25, 1), "cam")
    chosen = next(trial for trial in fit.trials if trial.chosen)
    assert len(chosen.free) >= 3, chosen
    assert chosen.held_out_px <= min(trial.held_out_px for trial in fit.trials) * 1.1
    assert seen_as(fit.lens, true)[0] < 0.3


def test_what_was_not_free_is_zero_and_has_no_variance():
    fit = fit_lens(close_ups(ONE, 15, 2), "cam", models=[PINHOLE[1]])
    assert fit.free == ("fx", "fy", "cx", "cy", "k1")
    assert np.array_equal(fit.lens.distortion[1:], np.zeros(4))
    assert fit.covariance.shape == (9, 9)
    assert np.array_equal(fit.covariance[5:], np.zeros((4, 9)))
    assert np.all(np.diagonal(fit.covariance)[:5] > 0)
    assert [trial.model for trial in fit.trials] == ["pinhole k1"]


def test_only_the_models_that_are_asked_for_are_tried():
    fit = fit_lens(close_ups(FISH, 15, 2), "cam", models=[FISHEYE])
    assert fit.lens.model == "fisheye"
    assert fit.lens.K[0, 0] == pytest.approx(520, rel=0.004)
    plain = fit_lens(close_ups(BARREL, 12, 2), "cam", models=[PINHOLE[0]])
    assert plain.rms_px > 1.0
    assert np.array_equal(plain.lens.distortion, np.zeros(5))


def test_its_doubt_is_what_happens_when_all_is_filmed_again():
    fits = [fit_lens(close_ups(ONE, 12, seed), "cam", models=[PINHOLE[1]]) for seed in range(12)]
    off = np.array(
        [[f.lens.K[0, 0] - ONE.K[0, 0], f.lens.K[0, 2] - ONE.K[0, 2], f.lens.distortion[0] + 0.12] for f in fits]
    )
    said = np.array([np.sqrt(np.diagonal(fit.covariance)[[0, 2, 4]]) for fit in fits])
    ratio = np.sqrt((off**2).mean(0)) / np.sqrt((said**2).mean(0))
    assert np.all((ratio > 0.5) & (ratio < 1.6)), ratio


def test_a_false_sighting_is_left_out_of_the_lens():
    seen = close_ups(ONE, 16, 4)
    xy = np.array(seen.xy)
    rng = np.random.default_rng(0)
    xy[0, 5] = xy[0, 5] + rng.normal(0, 60, xy[0, 5].shape)  # a board that is none
    xy[0, 9] = xy[0, 9, ::-1] * [1, 0.8] + 30.0
    fit = fit_lens(replace(seen, xy=xy), "cam")
    assert not fit.used[[5, 9]].any()
    assert fit.used.sum() >= 13
    assert fit.lens.K[0, 0] == pytest.approx(ONE.K[0, 0], rel=0.004)


def test_false_sightings_are_refused_by_name_where_the_lens_is_known():
    seen = close_ups(ONE, 10, 4)
    xy = np.array(seen.xy)
    xy[0, 3] += np.random.default_rng(0).normal(0, 40, xy[0, 3].shape)
    refused = strange_moments(replace(seen, xy=xy), "cam", ONE)
    assert [(refusal.view, refusal.moment) for refusal in refused] == [("cam", "3")]
    assert "the median residual is" in refused[0].reason
    assert not strange_moments(seen, "cam", ONE)


def test_a_small_residual_that_is_strange_is_given_with_its_digits():
    seen = close_ups(ONE, 10, 4, noise_px=0.01)
    xy = np.array(seen.xy)
    xy[0, 3] += np.random.default_rng(0).normal(0, 0.3, xy[0, 3].shape)
    (refused,) = strange_moments(replace(seen, xy=xy), "cam", ONE)
    assert re.search(r"residual is 0\.[0-9]+ px, 0\.01[0-9]* px are usual", refused.reason), refused.reason


def test_an_image_that_has_no_pose_at_all_is_refused(monkeypatch):
    seen = close_ups(ONE, 10, 4)
    found = intrinsics.board_poses

    def without_one(xy, target, lens):
        poses = found(xy, target, lens)
        poses.cam_from_piece[:, 6] = np.nan
        return poses

    monkeypatch.setattr(intrinsics, "board_poses", without_one)
    (refused,) = strange_moments(seen, "cam", ONE)
    assert (refused.moment, refused.reason) == ("6", "no pose of the target explains what is seen")


def test_sightings_without_any_noise_are_not_strange():
    seen = close_ups(ONE, 10, 4, noise_px=0.0)
    assert not strange_moments(seen, "cam", ONE)
    assert fit_lens(seen, "cam").lens.K[0, 0] == pytest.approx(ONE.K[0, 0], rel=1e-4)


def test_a_few_wrong_corners_do_little():
    seen = close_ups(ONE, 16, 5)
    rng = np.random.default_rng(1)
    wrong = rng.random(seen.sigma.shape) < 0.05
    xy = np.where(wrong[..., None], seen.xy + rng.uniform(-8, 8, seen.xy.shape), seen.xy)
    fit = fit_lens(replace(seen, xy=xy), "cam")
    assert fit.lens.K[0, 0] == pytest.approx(ONE.K[0, 0], rel=0.005)
    assert seen_as(fit.lens, ONE)[0] < 0.8


@pytest.mark.parametrize("moments", [0, 1, 2])
def test_too_few_pictures_are_refused_with_what_to_film(moments):
    with pytest.raises(CalibrationError, match=r"'cam'.*3 or more.*film") as refused:
        fit_lens(close_ups(ONE, 8, 5).at(np.arange(moments)), "cam")
    assert "\n" not in str(refused.value)


def test_few_pictures_at_the_middle_only_are_flagged():
    fit = fit_lens(close_ups(ONE, 6, 5, near=(0.15, 0.2), reach=0.2), "cam")
    said = " / ".join(finding.what for finding in fit.findings)
    assert "only 6 images" in said
    assert "corners" in said
    assert all(finding.about == "cam" and finding.todo.startswith("film") for finding in fit.findings)
    assert not fit_lens(close_ups(ONE, 25, 5), "cam").findings


def test_many_pictures_cost_little_more_than_the_most_telling():
    seen = close_ups(ONE, 70, 6)
    fit = fit_lens(seen, "cam", models=PINHOLE[:2])
    assert 20 <= fit.used.sum() <= 50
    assert fit.lens.K[0, 0] == pytest.approx(ONE.K[0, 0], rel=0.002)


def test_focal_length_and_distance_cannot_be_told_apart_without_tilt():
    facing = np.tile(np.eye(4), (10, 1, 1))
    facing[:, 2, 3] = 2.0
    assert tilts_deg(facing) == pytest.approx(0, abs=1e-6)
    tilted = small_motion(np.array([0.6, 0, 0, 0, 0, 0]))[None] * np.ones((4, 1, 1))
    tilted[:, :3, 3] = [0, 0, 2]
    np.testing.assert_allclose(tilts_deg(tilted), np.rad2deg(0.6))
    flat = focal_findings("cam", 0.05, facing)
    assert [(finding.severity, finding.about) for finding in flat] == [("refuse", "cam")]
    assert "distance" in flat[0].what
    assert "tilted" in flat[0].todo
    assert focal_findings("cam", 0.01, tilted)[0].severity == "limit"
    assert "1.0 %" in focal_findings("cam", 0.01, tilted)[0].what
    assert not focal_findings("cam", 0.001, facing)


def test_coverage_counts_by_place_in_the_picture():
    xy = np.array([[[0.0, 0.0], [1279, 719], [640, 360], [np.nan, np.nan], [1279, 0]]])
    cells = coverage(xy, SIZE)
    assert cells.shape == (5, 5)
    assert cells.sum() == 4
    assert cells[0, 0] == cells[4, 4] == cells[2, 2] == cells[0, 4] == 1


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.label)
def test_models_say_what_is_free(model):
    assert model.label == " ".join([model.model, *model.free])
    made = model.lens("cam", SIZE, 900.0)
    assert made.model == model.model
    assert np.array_equal(made.distortion, np.zeros(made.distortion.size))
    assert model.mask()[:4].all()
    assert model.mask().sum() == 4 + len(model.free)
    assert len(made.distortion) <= len(NAMES[model.model])


def test_the_model_of_a_lens_is_that_of_its_coefficients():
    assert model_of(PLAIN).free == ()
    assert model_of(ONE) == PINHOLE[1]
    assert model_of(BARREL) == PINHOLE[4]
    assert model_of(WIDE) == RATIONAL
    assert model_of(FISH) == FISHEYE
    assert model_of(lens(distortion=(0, 0, 1e-3, 0))) == LensModel("pinhole", ("p1",))


@pytest.mark.parametrize("true", [ONE, WIDE, FISH], ids=["pinhole", "rational", "fisheye"])
def test_common_sense_knows_square_pixels_and_a_centre_and_hardly_a_focal_length(true):
    mean, information = common_sense(true)
    assert mean.shape == (LENS,)
    assert np.linalg.eigvalsh(information).min() >= -1e-9
    both = np.zeros(LENS)
    both[:2] = 1.0
    assert both @ information @ both <= 2.001 / max(true.size) ** 2  # known to the width of the picture, no better
    apart = np.array([1.0, -1.0, *[0.0] * 14])
    assert apart @ information @ apart > 0.1


def test_several_flat_pieces_each_tell_about_the_lens():
    target = replace(
        BOARD.target, points=np.tile(BOARD.target.points, (2, 1)), piece=np.repeat([0, 1], 35), pieces=("a", "b")
    )
    one, other = close_ups(ONE, 8, 1), close_ups(ONE, 8, 2)
    both = replace(
        one,
        target=target,
        xy=np.concatenate([one.xy, other.xy], 2),
        sigma=np.concatenate([one.sigma, other.sigma], 2),
    )
    fit = fit_lens(both, "cam")
    assert fit.used.sum() == 8
    assert fit.lens.K[0, 0] == pytest.approx(ONE.K[0, 0], rel=0.004)
