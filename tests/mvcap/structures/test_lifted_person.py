"""One person of one view before smoothing: positions, and covariances with what all frames share."""

import numpy as np
import pytest
from one_view_take import KnownConfig, KnownDepth, KnownLifter, take

from mvcap.structures.lifted_person import LiftedPerson
from mvcap.triangulation.lifted_people import track_of


@pytest.fixture
def person():
    _, rows, rig = take(frames=6)
    frame, track = track_of(rows[::2], rig[0].lens, 25.0)
    body = KnownLifter(KnownConfig()).lift(track)
    return LiftedPerson(frame, track, body, KnownDepth(KnownConfig()).place(track, body), 0.1)


def test_covariance_is_the_sum_of_its_parts(person):
    unit = person.root.root / np.linalg.norm(person.root.root, axis=-1, keepdims=True)
    along = np.einsum("ta,tab,tb->t", unit, person.root_covariance, unit)
    np.testing.assert_allclose(along, person.root.along_sigma**2)
    across = np.trace(person.root_covariance, axis1=1, axis2=2) - along
    np.testing.assert_allclose(across, 2 * person.root.across_sigma**2)
    shared = person.scale_covariance(person.root.root[:, None])[:, 0]
    away = np.linalg.norm(person.root.root, axis=-1)
    np.testing.assert_allclose(np.sqrt(np.einsum("ta,tab,tb->t", unit, shared, unit)), np.hypot(0.06, 0.1) * away)
    assert (np.linalg.eigvalsh(person.covariance) > 0).all()


def test_lengths_and_distances_are_scaled_together(person):
    larger = person.scaled(2.0, 0.01)
    np.testing.assert_allclose(larger.xyz, 2 * person.xyz)
    np.testing.assert_allclose(larger.root_covariance, 4 * person.root_covariance)
    assert larger.body.scale_sigma == larger.root.scale_sigma == 0.01 and larger.focal_sigma == 0.1
    flat = person.xyz[..., :2] / person.xyz[..., 2:]
    np.testing.assert_allclose(larger.xyz[..., :2] / larger.xyz[..., 2:], flat)
