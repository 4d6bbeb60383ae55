"""Signed distances of masks: exact in pixels, silent beyond the border and where somebody stands in front."""

import numpy as np
from capsule_people import circle_rig

from mvcap.densification.silhouettes import nearest, sample, silhouettes_of

RIG = circle_rig(2)
CENTRES = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])


def labels_with(box, value=1):
    image = np.zeros(RIG[0].size[::-1], np.uint8)
    image[box] = value
    return image


def only(image, centres=CENTRES, spacing=0.005):
    return silhouettes_of(0, [image, None], RIG, centres, spacing)[0]


def test_distances_are_those_to_the_outline():
    one = only(labels_with(np.s_[100:201, 300:401]))
    assert one.view == 0 and one.scale == 1
    xy = np.array([[350.0, 150.0], [302.0, 150.0], [300.0, 150.0], [299.0, 150.0], [290.0, 150.0], [np.nan, 0.0]])
    np.testing.assert_allclose(one.signed(xy), [50.5, 2.5, 0.5, -0.5, -9.5, np.nan], atol=0.6)
    assert one.is_mine(xy).tolist() == [True, True, True, False, False, False]


def test_reduced_masks_keep_their_place():
    one = only(labels_with(np.s_[100:201, 300:401]), spacing=0.1)
    assert one.scale > 3
    np.testing.assert_allclose(
        one.signed(np.array([[300.0, 150.0], [400.0, 150.0], [350.0, 100.0]])), 0, atol=one.scale
    )


def test_beyond_the_border_a_view_is_silent():
    one = only(labels_with(np.s_[0:100, 300:401]))
    assert np.isnan(one.signed(np.array([[350.0, -5.0], [-1.0, 50.0]]))).all()
    assert one.signed(np.array([[350.0, 0.0]]))[0] > 40  # the border is no outline


def test_somebody_in_front_or_beside_does_not_carve_and_behind_does():
    image = labels_with(np.s_[100:201, 300:351])
    image[100:201, 351:401] = 2
    away = RIG[0].position / np.linalg.norm(RIG[0].position)
    at = np.array([[352.0, 150.0], [390.0, 150.0]])
    for distance, silent in ((1.0, True), (0.1, True), (-1.0, False)):
        centres = CENTRES + np.outer([0, distance], away)
        assert ((only(image, centres).signed(at) > 0) == silent).all()


def test_people_of_few_pixels_are_not_seen():
    assert silhouettes_of(0, [labels_with(np.s_[0:2, 0:2]), None], RIG, CENTRES, 0.015) == []


def test_samples():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_allclose(sample(image, np.array([[1.0, 1.0], [0.5, 0.0], [9.0, 9.0]])), [5, 0.5, 11])
    assert len(sample(image, np.zeros((0, 2)))) == 0
    whole = image.astype(np.uint8)
    assert nearest(whole, np.array([[1.4, 0.6], [-1.0, 0.0], [4.0, 0.0], [np.nan, 1.0]])).tolist() == [5, 0, 0, 0]
