"""Hulls of rendered people: near the true surface, coloured by who sees it, whole although a mask is bad."""

from dataclasses import replace

import numpy as np
import pytest
from capsule_people import CIRCLES, capsule_body, circle_rig, f_score, rendered, signed_distance, true_points

from mvcap import plugins
from mvcap.densifiers.visual_hull import VisualHull, VisualHullConfig
from mvcap.errors import ConfigError


@pytest.fixture(scope="module")
def alone():
    return rendered([capsule_body()], circle_rig(8))


@pytest.fixture(scope="module")
def truth():
    return true_points(capsule_body(), 0.01)


def hull(moment, **settings):
    return VisualHull(VisualHullConfig(**settings)).densify(moment)


def with_label(moment, view, label):
    labels = list(moment.labels)
    labels[view] = label
    return replace(moment, labels=tuple(labels))


def test_a_hull_of_eight_views_is_near_the_body(alone, truth):
    made = hull(alone)
    score, precision, recall = f_score(made.xyz, truth)
    assert score > 0.92 and precision > 0.88 and recall > 0.93
    assert np.percentile(signed_distance(capsule_body(), made.xyz), 0.5) > -0.02  # a hull encloses the body
    assert made.normals is not None and np.allclose(np.linalg.norm(made.normals, axis=-1), 1, atol=1e-5)
    assert (made.person == 1).all() and 1.5 < made.views.mean() < 6 and made.error.max() < 0.02
    away = signed_distance(capsule_body(), made.xyz + 0.01 * made.normals) - signed_distance(capsule_body(), made.xyz)
    assert (away > 0).mean() > 0.95  # normals point out of the body


def test_colours_are_those_of_the_views_that_see_a_point(alone):
    made = hull(alone)
    seen = made.rgb[made.views >= 2].astype(int)
    assert (np.abs(seen - [200, 60, 40]).max(-1) < 40).mean() > 0.9


def test_coarser_points_are_fewer(alone):
    fine, coarse = hull(alone), hull(alone, spacing_m=0.03)
    assert len(fine) / 6 < len(coarse) < len(fine) / 3


@pytest.mark.parametrize("what", ["lost an arm", "nothing of below", "somewhere else", "too large"])
def test_one_bad_mask_does_not_carve_the_body(alone, truth, what):
    good = f_score(hull(alone).xyz, truth)
    view = 2
    label = alone.labels[view].copy()
    rows, columns = np.nonzero(label)
    if what == "lost an arm":
        wrist = alone.rig[view].project(capsule_body().joints[9])
        y, x = np.mgrid[: label.shape[0], : label.shape[1]]
        label[np.hypot(x - wrist[0], y - wrist[1]) < 40] = 0
    elif what == "nothing of below":
        label[int(np.median(rows)) :] = 0
    elif what == "somewhere else":
        label = np.roll(label, 120, axis=1)
    else:
        label[rows.min() : rows.max(), columns.min() : columns.max()] = 1
    score, precision, recall = f_score(hull(with_label(alone, view, label)).xyz, truth)
    assert recall > good[2] - 0.02 and score > good[0] - 0.02, (good, (score, precision, recall))


def test_with_five_views_a_part_that_one_mask_lacks_is_put_back(truth):
    moment = rendered([capsule_body()], circle_rig(5))
    label = moment.labels[1].copy()
    rows, _ = np.nonzero(label)
    label[int(np.median(rows)) :] = 0
    good, found = f_score(hull(moment).xyz, truth), f_score(hull(with_label(moment, 1, label)).xyz, truth)
    assert found[2] > good[2] - 0.06, (good, found)


def test_views_that_are_covered_or_cut_do_not_carve(truth):
    rig = circle_rig(8)
    people = [capsule_body(), capsule_body(0.3, (1.2, 0.4, 0.1, 0.0, 1.0))]
    made = hull(rendered(people, rig)).of(1)
    assert f_score(made.xyz, truth)[2] > 0.9
    near = circle_rig(8, size=(640, 200))  # feet and heads are beyond the border
    moment = rendered(people[:1], near)
    assert all(label[0].any() or label[-1].any() for label in moment.labels)
    shown = hull(moment)
    height = truth[:, 2]
    middle = truth[(height > 0.5) & (height < 1.3)]
    assert f_score(shown.xyz, middle)[2] > 0.9


def test_two_people_keep_their_points():
    people = [capsule_body(0.3, circle) for circle in CIRCLES]
    made = hull(rendered(people, circle_rig(8)))
    assert made.persons.tolist() == [1, 2]
    for person, one in enumerate(people, 1):
        mine = made.of(person)
        assert np.median(np.abs(signed_distance(one, mine.xyz))) < 0.02
        assert f_score(mine.xyz, true_points(one, 0.01))[2] > 0.85


def test_without_joints_the_masks_bound_the_volume(alone, truth):
    assert f_score(hull(replace(alone, joints=np.full((1, 0, 3), np.nan))).xyz, truth)[0] > 0.92


def test_nobody_and_one_view_give_no_points(alone):
    nobody = replace(alone, persons=np.zeros(0, np.int32), joints=np.zeros((0, 17, 3)))
    one_view = replace(alone, labels=(alone.labels[0], *[None] * 7))
    assert len(hull(nobody)) == len(hull(one_view)) == 0
    grey = hull(replace(alone, images=(None,) * 8))
    assert len(grey) > 1000 and (grey.rgb == 128).all()


def test_it_is_in_the_table_of_names():
    assert plugins.plugin_class("densifier", "visual_hull") is VisualHull
    with pytest.raises(ConfigError, match="spacing_m"):
        VisualHullConfig(spacing_m=0.001)


def test_people_whom_too_few_views_show_have_no_points():
    two = rendered([capsule_body()], circle_rig(2))
    assert len(hull(two).xyz) == 0 and len(hull(two, least_views=2).xyz) > 1000
    with pytest.raises(ConfigError, match="least_views"):
        VisualHullConfig(least_views=1)
