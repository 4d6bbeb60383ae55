"""The lens that a rig's fit starts from: given, fixed or fitted, with a prior as sharp as what is known of it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from seen_boards import arc_rig, board_sightings, close_ups, lens_of_many, scattered

from calib.bundle.equations import LENS, lens_numbers
from calib.errors import CalibrationError
from calib.lenses.models import PINHOLE, RATIONAL, common_sense
from calib.lenses.priors import with_lenses

RIG = arc_rig(2, 3)
GIVEN = lens_of_many(RIG)
SIMPLE = PINHOLE[1:2]  # one model only, k1


@cache
def seen():
    """What the rig sees of a board in a room: too little and too far for any lens of its own."""
    return board_sightings(RIG, scattered(6, 1, turned=0.1))


@cache
def photos(view, count=8, seed=0):
    """What one camera sees of a board held before it."""
    lens = GIVEN[view]
    return replace(close_ups(lens, count, seed), views=(view,))


def known(given=None, *, fixed=False, alone=(), models=SIMPLE, observations=None):
    return with_lenses(seen() if observations is None else observations, given or {}, fixed, alone, models)


# --- given -----------------------------------------------------------------------------------------------------------


def test_lenses_that_are_fixed_have_nothing_free():
    observations, lenses, findings = known(GIVEN, fixed=True)
    assert observations.views == seen().views and findings == []
    assert lenses.lenses == tuple(GIVEN.values()) and lenses.fits == (None, None)
    assert lenses.free.shape == (2, LENS) and not lenses.free.any()


def test_lenses_that_are_given_are_free_about_their_own_numbers():
    _, lenses, _ = known(GIVEN)
    for view, lens in enumerate(GIVEN.values()):
        np.testing.assert_array_equal(lenses.mean[view], lens_numbers(lens))
        assert lenses.free[view, :8].all() and not lenses.free[view, 8:].any()  # k1 k2 p1 p2; k3 is zero
        sigma = np.sqrt(np.diagonal(np.linalg.inv(lenses.information[view])))
        focal = np.sqrt(lens.K[0, 0] * lens.K[1, 1])
        assert 0.003 * focal < sigma[0] <= 0.005 * focal  # half a percent, and square pixels besides
        assert (sigma[4:9] <= 0.02).all() and (sigma[4:9] > 0.005).all()
        pixels = np.zeros(LENS)
        pixels[:2] = 1, -1  # of fx and fy against each other
        assert pixels @ np.linalg.inv(lenses.information[view]) @ pixels < (0.003 * focal) ** 2


def test_a_lens_without_coefficients_gets_zeros_that_may_be_estimated():
    bare = {name: replace(lens, distortion=[]) for name, lens in GIVEN.items()}
    _, lenses, _ = known(bare)
    for lens in lenses.lenses:
        np.testing.assert_array_equal(lens.distortion, np.zeros(4))
    assert lenses.free[:, 4:8].all()
    fixed = known(bare, fixed=True)[1]
    assert not fixed.free.any()


def test_another_model_keeps_its_coefficients_and_only_those_that_are_not_zero_are_free():
    bent = np.array([0.2, -0.05, 0, 0, 0, 0.1, 0, 0])
    rational = {name: replace(lens, model="rational", distortion=bent) for name, lens in GIVEN.items()}
    _, lenses, _ = known(rational)
    assert [lens.model for lens in lenses.lenses] == ["rational"] * 2
    assert np.flatnonzero(lenses.free[0]).tolist() == [0, 1, 2, 3, 4, 5, 9]
    assert RATIONAL.mask()[np.flatnonzero(lenses.free[0])].all()


def test_a_lens_of_other_images_is_refused_by_name_and_both_sizes():
    small = GIVEN | {"cam02": GIVEN["cam02"].scaled(0.5)}
    with pytest.raises(CalibrationError, match=r"'cam02'.*640x360.*1280x720"):
        known(small)
    other = replace(photos("cam01"), sizes=((640, 360),))
    with pytest.raises(CalibrationError, match=r"'cam01'.*640x360.*1280x720"):
        known({"cam02": GIVEN["cam02"]}, alone=[other])


def test_images_that_a_known_lens_cannot_explain_are_refused_by_view_and_moment():
    take = board_sightings(RIG, scattered(12, 1, spread_m=0.3))
    assert take.seen[:, 2].any(-1).all()
    xy = np.array(take.xy)
    xy[1, 2] += np.random.default_rng(0).normal(0, 40, xy[1, 2].shape)
    observations, _, _ = known(GIVEN, fixed=True, observations=replace(take, xy=xy))
    assert [(one.view, one.moment) for one in observations.refused] == [("cam02", take.moments[2])]
    assert not observations.seen[1, 2].any() and observations.seen[0, 2].any()


# --- fitted ----------------------------------------------------------------------------------------------------------


def test_pictures_of_one_camera_give_its_lens_and_a_prior_that_is_their_covariance():
    _, lenses, _ = known({"cam02": GIVEN["cam02"]}, alone=[photos("cam01")])
    fit = lenses.fits[0]
    assert fit is not None and lenses.fits[1] is None
    assert lenses.lenses[0].K[0, 0] == pytest.approx(GIVEN["cam01"].K[0, 0], rel=0.01)
    np.testing.assert_array_equal(lenses.mean[0], lens_numbers(fit.lens))
    free = np.flatnonzero(np.diagonal(fit.covariance) > 0)
    assert free.tolist() == [0, 1, 2, 3, 4]
    part = lenses.information[0][np.ix_(free, free)]
    scale = np.sqrt(np.diagonal(fit.covariance)[free])
    np.testing.assert_allclose(part @ fit.covariance[np.ix_(free, free)] / scale * scale[:, None], np.eye(5), atol=1e-4)
    others = np.setdiff1d(np.arange(LENS), free)
    vague = np.diagonal(common_sense(fit.lens)[1])[others]
    np.testing.assert_allclose(np.diagonal(lenses.information[0])[others], vague)


def test_more_pictures_make_a_sharper_prior():
    variances = []
    for count in (6, 20):
        _, lenses, _ = known({"cam02": GIVEN["cam02"]}, alone=[photos("cam01", count)])
        variances.append(np.linalg.inv(lenses.information[0])[0, 0])
    assert variances[1] < 0.5 * variances[0]


def test_a_lens_from_the_rig_s_own_images_has_only_common_sense_for_a_prior():
    """Its images count in the rig's fit already."""
    table = replace(photos("cam01", 12), views=("cam01",))
    _, lenses, _ = known(observations=table)
    assert lenses.fits[0] is not None
    np.testing.assert_array_equal(lenses.information[0], common_sense(lenses.lenses[0])[1])


def test_a_camera_whose_lens_nothing_tells_is_left_out_with_a_finding():
    blind = replace(seen(), sigma=np.where(np.arange(2)[:, None, None] == 1, np.nan, seen().sigma))
    observations, lenses, findings = known({"cam01": GIVEN["cam01"]}, observations=blind)
    assert observations.views == ("cam01",) and len(lenses.lenses) == 1 and lenses.free.shape == (1, LENS)
    (finding,) = findings
    assert finding.about == "cam02" and finding.severity == "limit" and finding.what.startswith("it is left out")
    assert finding.todo


def test_where_no_lens_is_known_the_first_reason_is_given():
    blind = replace(seen(), sigma=np.full(seen().sigma.shape, np.nan))
    with pytest.raises(CalibrationError, match="cam01"):
        known(observations=blind)
