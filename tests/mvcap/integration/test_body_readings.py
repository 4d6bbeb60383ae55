"""Readings by name, and how much a joint lies on another person in the picture."""

import numpy as np
import pytest
from readings_of_people import HALPE, readings, standing

from mvcap.integration.body_readings import BodyReadings, covered_by_others
from mvcap.structures.skeleton import skeleton


def test_joints_are_mapped_by_name_and_others_are_not_read():
    one = readings(standing(2))
    part = one.as_skeleton(skeleton("panoptic19"))
    at = [HALPE.index(name) for name in part.skeleton.joints]
    np.testing.assert_array_equal(part.joints, one.joints[:, at])
    back = part.as_skeleton(HALPE)
    assert back.known[:, at].all() and back.known.sum() == 2 * 19
    assert not back.score[:, HALPE.index("left_heel")].any() and len(one[:1].joints) == 1
    with pytest.raises(ValueError, match="covariance"):
        BodyReadings(HALPE, one.joints, one.covariance[:, :3], one.score)


def test_joints_on_the_bones_of_another_are_covered():
    xy = 200 * standing(2)[..., :2] + [300, 300]
    xy[1] += [400, 0]
    amount, whom = covered_by_others(HALPE, xy)
    assert amount.max() < 1e-6 and (whom == -1).all()
    elbow, neck, pelvis = (HALPE.index(name) for name in ("left_elbow", "neck", "pelvis"))
    xy[1, elbow] = 0.5 * (xy[0, neck] + xy[0, pelvis])
    amount, whom = covered_by_others(HALPE, xy)
    assert amount[1, elbow] == pytest.approx(1) and whom[1, elbow] == 0 and amount[1, neck] < 1e-6
    bigger, _ = covered_by_others(HALPE, 10 * xy)  # another resolution
    np.testing.assert_allclose(bigger, amount, atol=1e-9)
    xy[0] = np.nan
    amount, _ = covered_by_others(HALPE, xy)
    assert not amount.any()
    assert covered_by_others(HALPE, xy[:0])[0].shape == (0, 26)
