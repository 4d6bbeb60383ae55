"""Two readings as one: the inverse-covariance mean, axioms of the learned combination, and what is missing."""

import numpy as np
import pytest
from readings_of_people import HALPE, readings, standing

from calib import Lens
from mvcap.integration.body_readings import BodyReadings
from mvcap.integration.reading_mix import BODY, FEATURE_NAMES, ReadingMixer, mix_features, mix_lifted
from mvcap.structures.ray_frames import turns_to_rays
from mvcap.structures.skeleton import skeleton
from mvcap.structures.view_track import LiftedBody, ViewTrack

RAYS = np.array([[0.1, 0.05, 1.0], [-0.3, 0.1, 1.0]])
RAYS /= np.linalg.norm(RAYS, axis=-1, keepdims=True)
NONE = np.zeros((2, 26))
MEAN = ReadingMixer(learned=False)


@pytest.fixture(scope="module")
def pair():
    rng, bodies = np.random.default_rng(3), standing(2)
    first = readings(bodies + rng.normal(0, 0.02, bodies.shape), (0.02, 0.02, 0.08))
    return first, readings(bodies + rng.normal(0, 0.05, bodies.shape), 0.05)


@pytest.fixture(scope="module")
def mixer():
    return ReadingMixer()


def test_without_a_network_it_is_the_inverse_covariance_mean(pair):
    first, second = pair
    out = MEAN(first, second, RAYS, NONE, NONE)
    info = [np.linalg.inv(one.covariance) for one in pair]
    cov = np.linalg.inv(info[0] + info[1])
    want = cov @ (info[0] @ first.joints[..., None] + info[1] @ second.joints[..., None])
    np.testing.assert_allclose(out.readings.joints, want[..., 0], atol=1e-6)
    np.testing.assert_allclose(out.readings.covariance, cov, rtol=1e-3, atol=1e-9)
    assert 0.5 < np.median(out.share) < 1  # along the ray, the second one is surer


def test_what_one_lacks_is_that_of_the_other(pair, mixer):
    first, second = pair
    part = second.as_skeleton(skeleton("panoptic19"))
    feet = [at for at, name in enumerate(HALPE.joints) if "toe" in name or "heel" in name]
    out = mixer(first, part, RAYS, NONE, NONE)
    np.testing.assert_allclose(out.readings.joints[:, feet], first.joints[:, feet], atol=1e-9)
    assert (out.share[:, feet] == 0).all() and out.readings.known.all()
    gone = np.full_like(first.joints, np.nan)
    nothing = BodyReadings(HALPE, gone, np.full((*gone.shape, 3), np.nan), np.zeros(gone.shape[:2]))
    other = mixer(nothing, second, RAYS, NONE, NONE)
    np.testing.assert_allclose(other.readings.joints, second.joints, atol=1e-9)
    np.testing.assert_allclose(other.share, 1)
    neither = mixer(nothing, nothing, RAYS, NONE, NONE)
    assert np.isnan(neither.readings.joints).all() and np.isnan(neither.share).all()
    assert mixer(first[:0], second[:0], RAYS[:0], NONE[:0], NONE[:0]).readings.joints.shape == (0, 26, 3)
    with pytest.raises(ValueError, match="rays"):
        mixer(first, second[:1], RAYS, NONE, NONE)


def test_the_camera_turned_about_its_centre_turns_the_result(pair, mixer):
    """Rays and readings in turned axes: the same body, so the same combination."""
    turns = turns_to_rays(RAYS)
    ahead = np.broadcast_to([0.0, 0.0, 1.0], RAYS.shape)
    inverse = turns[:, None].swapaxes(-1, -2)
    here = [
        BodyReadings(
            HALPE, (inverse @ one.joints[..., None])[..., 0], inverse @ one.covariance @ turns[:, None], one.score
        )
        for one in pair
    ]
    out, turned = mixer(*pair, RAYS, NONE, NONE), mixer(*here, ahead, NONE, NONE)
    back = (turns[:, None] @ turned.readings.joints[..., None])[..., 0]
    np.testing.assert_allclose(out.readings.joints, back, atol=1e-5)


def test_covariances_are_positive_definite_and_the_order_of_bodies_does_not_matter(pair, mixer):
    first, second = pair
    out = mixer(first, second, RAYS, NONE, NONE)
    assert np.linalg.eigvalsh(out.readings.covariance).min() > 0
    swap = np.array([1, 0])
    other = mixer(first[swap], second[swap], RAYS[swap], NONE, NONE)
    np.testing.assert_allclose(other.readings.joints[swap], out.readings.joints, atol=1e-5)


def test_a_limb_of_another_person_is_taken_from_the_other_reading(pair, mixer):
    """The first reading follows an arm of someone else, 0.4 m away, on whom it lies; it states its usual deviation."""
    first, second = pair
    arm = [HALPE.index(f"left_{part}") for part in ("elbow", "wrist")]
    wrong = first.joints.copy()
    wrong[:, arm] += [0.4, 0.05, 0.0]
    score = first.score.copy()
    score[:, arm] = 0.35
    covered = NONE.copy()
    covered[:, arm] = 1.0
    one = BodyReadings(HALPE, wrong, first.covariance, score)
    error = [np.linalg.norm((mix(one, second, RAYS, covered, covered).readings.joints - second.joints)[:, arm],
                            axis=-1).mean() for mix in (MEAN, mixer)]  # fmt: skip
    assert error[1] < 0.4 * error[0]


def test_two_lifters_of_one_track_are_mixed_frame_by_frame(pair, mixer):
    first, second = pair
    lens = Lens("cam", (640, 480), np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]), np.zeros(5), "pinhole")
    places = first.joints + np.array([0.3, 0.1, 4.0])
    xy = 500 * places[..., :2] / places[..., 2:] + [320, 240]
    score = first.score.copy()
    track = ViewTrack(HALPE, lens, np.array([0.0, 0.1]), xy, score, np.full(score.shape, 2.0))
    bodies = [LiftedBody(one.joints, one.covariance, sigma) for one, sigma in ((first, 0.07), (second, 0.05))]
    out = mix_lifted(track, *bodies, mixer)
    assert out.joints.shape == (2, 26, 3) and out.scale_sigma == 0.07
    hips = [HALPE.index("left_hip"), HALPE.index("right_hip")]
    rays = track.rays()[:, hips].sum(1)
    want = mixer(first, second, rays, NONE, NONE).readings
    np.testing.assert_allclose(out.joints, want.joints, atol=1e-9)
    lost = ViewTrack(HALPE, lens, track.time_s, np.full_like(xy, np.nan), NONE, np.full(score.shape, np.nan))
    gone = LiftedBody(np.full_like(first.joints, np.nan), np.full((2, 26, 3, 3), np.nan), 0.07)
    assert np.isnan(mix_lifted(lost, gone, gone, mixer).joints).all()


def test_features_have_names_and_are_bounded(pair):
    frames = turns_to_rays(RAYS).swapaxes(-1, -2)
    first, second = pair
    far = BodyReadings(HALPE, second.joints + 100, second.covariance, second.score)
    features = mix_features(first, far, frames, NONE, NONE)
    assert features.shape == (2, len(BODY), len(FEATURE_NAMES)) and np.abs(features).max() <= 8
    assert (features[..., FEATURE_NAMES.index("first_known")] == 1).all()
