"""What bodies are like: limbs by stature and sex, and the usual places of joints."""

import numpy as np
import pytest

from mvcap.structures.anthropometry import typical_limbs
from mvcap.structures.body_prior import body_build, usual_places
from mvcap.structures.skeleton import skeleton

HALPE = skeleton("halpe26")
TYPICAL = typical_limbs(HALPE)


@pytest.mark.parametrize("scale", [0.7, 0.95, 1.1])
def test_a_body_of_any_size_is_known_by_its_limbs(scale):
    build = body_build(HALPE, scale * TYPICAL, np.full(len(TYPICAL), 0.02))
    assert build.stature_m == pytest.approx(1.72 * scale, rel=0.05)
    assert build.stature_sigma_m < 0.12
    assert np.allclose(build.length_m, scale * TYPICAL, rtol=0.03) and (build.sigma < 0.03).all()


def test_an_unknown_limb_follows_its_twin_and_the_rest():
    length = 0.9 * TYPICAL
    length[0] *= 1.1
    gone = length.copy()
    gone[0] = np.nan
    build = body_build(HALPE, gone, np.full(len(gone), 0.01))
    twin = [
        at
        for at, pair in enumerate(HALPE.limbs.tolist())
        if at and sorted(HALPE.mirror[pair]) == sorted(HALPE.limbs[0])
    ]
    assert build.length_m[0] == pytest.approx(0.9 * TYPICAL[0], rel=0.04)
    assert len(twin) == 1 and build.sigma[twin[0]] < build.sigma[0] < 0.06


def test_nothing_known_is_any_human():
    nothing = np.full(len(TYPICAL), np.nan)
    build = body_build(HALPE, nothing, nothing)
    assert 1.5 < build.stature_m < 1.75 and 0.08 < build.stature_sigma_m < 0.4
    assert build.female == pytest.approx(0.5, abs=0.05)
    assert np.allclose(build.length_m, TYPICAL, rtol=0.12)


def test_usual_places_are_of_one_body():
    place, spread = usual_places(HALPE.joints)
    assert np.allclose(place[HALPE.mirror] * [1, -1, 1], place) and np.array_equal(spread[HALPE.mirror], spread)
    limbs = np.linalg.norm(np.diff(place[HALPE.limbs], axis=1)[:, 0], axis=-1)
    assert (limbs < 1.05 * TYPICAL).all() and (limbs > 0.6 * TYPICAL).all()  # means of what turns are short
    assert place[HALPE.index("nose"), 0] > 0 and place[HALPE.index("left_wrist"), 1] > 0
