"""Views find their cameras by name, images theirs by size; nothing is guessed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ring_rigs import make_rig

from calib.errors import RigMismatchError
from calib.views import fit_to_images, match_views


def test_cameras_come_in_the_order_of_the_views():
    names = [f"cam_{number}" for number in range(1, 13)]
    rig = make_rig(12, names=sorted(names))
    found = match_views(rig, names)
    assert list(found.names) == names
    np.testing.assert_array_equal(found["cam_10"].cam_from_world, rig["cam_10"].cam_from_world)


def test_case_may_differ_where_that_is_clear():
    assert match_views(make_rig(2, names=["Left", "RIGHT"]), ["right", "left"]).names == ("RIGHT", "Left")
    with pytest.raises(RigMismatchError):
        match_views(make_rig(2, names=["left", "LEFT"]), ["Left"], allow_extra=True)


def test_names_can_be_said():
    rig = make_rig(2)
    assert match_views(rig, ["a", "cam_1"], names={"a": "cam_2"}).names == ("cam_2", "cam_1")


@pytest.mark.parametrize(
    ("views", "extra"),
    [(["cam_1", "north"], True), (["cam_1", "cam_2"], False), (["1", "2", "3"], True), (["cam_1"] * 3, True)],
)
def test_what_does_not_fit_lists_both_sides(views, extra):
    with pytest.raises(RigMismatchError) as refused:
        match_views(make_rig(3), views, allow_extra=extra)
    said = str(refused.value)
    assert "\n" not in said and "cam_3" in said and views[-1] in said


def test_cameras_without_a_view_where_that_is_allowed():
    assert match_views(make_rig(3), ["cam_3"], allow_extra=True).names == ("cam_3",)


def test_images_of_nobody_are_refused(rig):
    with pytest.raises(RigMismatchError, match=r"north.*cam_1"):
        fit_to_images(rig, {"north": (1280, 720)})


def test_the_same_size_is_left_alone(rig):
    fitted, notes = fit_to_images(rig, dict.fromkeys(rig.names, (1280, 720)))
    assert notes == [] and fitted[0] is rig[0]


@pytest.mark.parametrize(("calibrated", "images"), [((1088, 1920), (1080, 1920)), ((1920, 1080), (1920, 1088))])
def test_a_codec_s_crop_or_padding_is_noted(calibrated, images):
    rig = make_rig(2, size=calibrated)
    fitted, notes = fit_to_images(rig, {"cam_1": images, "cam_2": calibrated})
    assert fitted[0].size == images and fitted[1].size == calibrated
    np.testing.assert_array_equal(fitted[0].lens.K, rig[0].lens.K)
    assert len(notes) == 1 and "'cam_1'" in notes[0]
    assert all(f"{w}x{h}" in notes[0] for w, h in (calibrated, images))


@pytest.mark.parametrize(("images", "factor"), [((2560, 1440), 2.0), ((640, 360), 0.5), ((1920, 1080), 1.5)])
def test_another_scale_has_to_be_said(rig, points, images, factor):
    sizes = dict.fromkeys(rig.names, images)
    with pytest.raises(RigMismatchError, match="--rig-scale"):
        fit_to_images(rig, sizes)
    fitted, notes = fit_to_images(rig, sizes, scale=True)
    assert fitted[0].size == images and len(notes) == 4
    np.testing.assert_allclose(fitted.project(points), (rig.project(points) + 0.5) * factor - 0.5, atol=1e-8)


@pytest.mark.parametrize(
    ("images", "way_out"), [((720, 1280), "turn"), ((1440, 1080), "again"), ((1280, 640), "again")]
)
def test_any_other_size_is_refused(rig, images, way_out):
    for scale in (False, True):
        with pytest.raises(RigMismatchError, match=way_out) as refused:
            fit_to_images(rig, dict.fromkeys(rig.names, images), scale=scale)
        assert "'cam_1'" in str(refused.value) and "1280x720" in str(refused.value)


@given(st.permutations([f"cam_{number}" for number in range(1, 7)]), st.integers(1, 6))
@settings(max_examples=20, derandomize=True)
def test_every_order_of_views_and_every_part_of_them_is_met(order, count):
    rig = make_rig(6, distortion=[])
    found = match_views(rig, order[:count], allow_extra=True)
    assert list(found.names) == order[:count]
    assert all(found[name] is rig[name] for name in order[:count])


def test_a_name_that_is_given_goes_before_one_that_is_the_same():
    rig = make_rig(3)
    swapped = match_views(rig, ["cam_1", "cam_2", "cam_3"], names={"cam_1": "cam_2", "cam_2": "cam_1"})
    assert swapped.names == ("cam_2", "cam_1", "cam_3")
    with pytest.raises(RigMismatchError, match="cam_1"):
        match_views(rig, ["cam_1", "cam_2"], names={"cam_1": "north"}, allow_extra=True)


def test_of_many_names_some_are_listed_and_the_rest_counted():
    with pytest.raises(RigMismatchError) as refused:
        match_views(make_rig(25, distortion=[]), ["north"])
    assert "cam_20 and 5 more" in str(refused.value) and "cam_21" not in str(refused.value)


def test_crops_below_sixteen_pixels_are_crops_and_sixteen_is_none(rig):
    fitted, notes = fit_to_images(rig, {"cam_1": (1280 - 15, 720 + 15)})
    assert fitted["cam_1"].size == (1265, 735) and len(notes) == 1
    assert fitted["cam_2"] is rig["cam_2"]  # no image is given for it
    with pytest.raises(RigMismatchError, match=r"'cam_1'.*1280x720.*1280x736"):
        fit_to_images(rig, {"cam_1": (1280, 736)})
