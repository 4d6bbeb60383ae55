"""Outlines of points drawn back into the views."""

import numpy as np
from capsule_people import capsule_body, circle_rig, rendered, true_points

from mvcap.densification.drawn_back import drawn_outline, outline_overlap


def test_the_true_surface_has_the_outline_of_the_masks():
    moment = rendered([capsule_body()], circle_rig(3))
    overlap = outline_overlap(true_points(capsule_body(), 0.01), moment.labels, 0, moment.rig, 0.005)
    assert (overlap > 0.93).all()
    moved = outline_overlap(true_points(capsule_body(), 0.01) + 0.1, moment.labels, 0, moment.rig, 0.005)
    assert (moved < 0.7).all()


def test_views_without_the_person_and_people_in_front_do_not_count():
    moment = rendered([capsule_body()], circle_rig(2))
    front = moment.labels[1].copy()
    front[:, moment.labels[1].any(0).nonzero()[0].mean().astype(int) :] *= 2
    truth = true_points(capsule_body(), 0.01)
    overlap = outline_overlap(truth, [None, front], 0, moment.rig, 0.005)
    assert np.isnan(overlap[0]) and overlap[1] > 0.85
    assert not drawn_outline(np.zeros((0, 3)), moment.rig[0], 0.01).any()
    assert outline_overlap(truth[:0], moment.labels, 0, moment.rig, 0.01).tolist() == [0, 0]
