"""Pictures of views that are exchanged are found from the detections alone, and nothing is found where they are not."""

import time

import numpy as np
import pytest
from reported_take import reordered, seen_people, uneven_rig

from calib import Rig
from mvcap.reporting.view_exchange import FRAMES, sample_frames, view_agreement


def agreement(found, rig, suspects=None):
    return view_agreement(sample_frames([found]), rig, list(range(len(rig))) if suspects is None else suspects)


@pytest.mark.parametrize(
    ("count", "order"),
    [(4, (1, 0, 2, 3)), (3, (0, 2, 1)), (6, (0, 1, 5, 3, 4, 2)), (4, (1, 2, 0, 3)), (6, (2, 1, 4, 3, 0, 5)),
     (6, (1, 0, 3, 2, 4, 5))],
    ids=["two of four", "two of three", "two of six", "three of four", "three of six", "two pairs of six"],
)  # fmt: skip
def test_exchanged_views_are_named_with_the_places_that_they_belong_to(count, order):
    rig = uneven_rig(count)
    found = agreement(seen_people(rig), reordered(rig, order))
    # View i is given the place of camera order[i]; its pictures were taken from camera i's, which view at(i) has.
    expected = {rig.names[view]: rig.names[order.index(view)] for view in range(count) if order[view] != view}
    assert found.exchanged == expected
    assert found.put_right > 0.9 > 0.6 > found.as_given


@pytest.mark.parametrize("count", [2, 3, 4, 6])
@pytest.mark.parametrize("noise_px", [2.0, 8.0])
def test_nothing_is_exchanged_in_a_take_that_fits(count, noise_px):
    rig = uneven_rig(count)
    found = agreement(seen_people(rig, noise_px=noise_px), rig)
    assert not found.exchanged and found.as_given == found.put_right > 0.7
    assert found.plain()["put_right"] is None


def test_a_calibration_of_another_room_is_no_exchange():
    rig, other = uneven_rig(4), uneven_rig(6).select(["cam6", "cam5", "cam3", "cam4"])
    shifted = other.moved(np.array([[0, -1, 0, 3.0], [1, 0, 0, 1.0], [0, 0, 1, 0.5], [0, 0, 0, 1.0]]))
    found = agreement(seen_people(rig), Rig(shifted.cameras))
    assert not found.exchanged and found.as_given < 0.4


def test_views_of_other_picture_sizes_are_not_exchanged():
    rig = uneven_rig(4)
    swapped = reordered(rig, (1, 0, 2, 3))
    lens = swapped.cameras[1].lens
    wide = type(lens)(lens.name, (1920, 1080), lens.K, lens.distortion, lens.model)
    sizes = Rig(
        (swapped.cameras[0], type(swapped.cameras[1])(wide, swapped.cameras[1].cam_from_world), *swapped.cameras[2:])
    )
    assert not agreement(seen_people(rig), sizes).exchanged


def test_time_is_bounded_whatever_the_number_of_views():
    rig = uneven_rig(6)
    many = Rig(
        tuple(
            type(one)(
                type(one.lens)(f"{one.lens.name}_{copy}", one.lens.size, one.lens.K, one.lens.distortion),
                one.cam_from_world,
            )
            for copy in range(4)
            for one in rig
        )
    )
    found = seen_people(many, frames=8)
    order = [1, 0, *range(2, 24)]
    begun = time.process_time()
    named = agreement(found, reordered(many, order), [0, 1, *range(2, 24)]).exchanged
    assert time.process_time() - begun < 5
    assert set(named) == {"cam1_0", "cam2_0"}


def test_frames_that_several_views_see_are_looked_at():
    rig = uneven_rig(3)
    found = seen_people(rig, frames=40)
    found = found[(found.frame >= 20) | (found.view == 0)]
    frames = sample_frames([found[found.frame < 10], found[found.frame >= 10]])
    assert len(frames) == FRAMES and all(len(np.unique(rows.view)) == 3 for rows in frames)
    assert sample_frames([found[:0]]) == [] and view_agreement([], rig, [0, 1, 2]) is None
