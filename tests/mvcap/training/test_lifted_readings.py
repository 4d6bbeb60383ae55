"""Readings by the shipped lifter on generated takes: the tracks that it lifts, and what they are about."""

import numpy as np
import pytest
from detected_take import CLEAR, detected_take

from mvcap.training.lifted_readings import BODY, LiftedTake, about_hips, track_of_person
from mvcap.training.reading_models import random_errors, reading_pair

HIPS = [BODY.index("left_hip"), BODY.index("right_hip")]


@pytest.fixture(scope="module")
def take():
    return detected_take(people=2, cameras=2, frames=12, rate_hz=12.0, model=CLEAR)


def test_tracks_are_those_of_the_person(take):
    track = track_of_person(take, 1, 2)
    assert track.xy.shape == (12, 26, 2) and track.lens is take.rig[1].lens and track.known.mean() > 0.9
    mine = take.truth[(take.truth.person == 2) & (take.truth.frame == 5)]
    true = take.seen_by[1].project(mine.xyz[0].astype(float))
    away = np.linalg.norm(track.xy[5] - true, axis=-1)
    assert np.nanmedian(away) < 1
    assert not track_of_person(take, 1, 7).known.any()


def test_the_first_reading_is_the_lifters_about_the_hips(take):
    rng = np.random.default_rng(0)
    pair = reading_pair(take, 0, 6, random_errors(rng), rng)
    out = LiftedTake(take, 0).pair(pair, 6)
    assert out.first.known.any() and np.abs(out.truth[:, HIPS].mean(1)).max() < 1e-9
    assert np.abs(np.nanmean(out.second.joints[:, HIPS], axis=1)).max() < 1e-9
    error = np.linalg.norm(out.first.joints - out.truth, axis=-1)[out.first.known]
    assert 0.005 < np.median(error) < 0.2
    known = out.first.known & out.second.known
    assert np.linalg.eigvalsh(out.first.covariance[known]).min() > 0


def test_the_error_of_the_hips_is_added(take):
    rng = np.random.default_rng(1)
    second = reading_pair(take, 0, 6, random_errors(rng), rng).second
    moved = about_hips(second)
    more = np.trace(moved.covariance - second.covariance, axis1=-2, axis2=-1)
    assert np.nanmin(more) > 0 and np.nanmax(np.ptp(more, axis=1)) < 1e-9
