"""The two BlazePose networks as functions of a picture, run with tiny networks whose output is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_blazepose import JOINTS, person, write_detector, write_landmarker

from mvcap.estimation.blazepose_networks import BlazePoseDetector, Landmarker, metric_of, tiles
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import SKELETONS

LEFT = np.array([j for j, name in enumerate(JOINTS) if "left" in name.split("_")])
RIGHT = np.array([j for j, name in enumerate(JOINTS) if "right" in name.split("_")])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    return write_detector(folder / "detector.tflite"), write_landmarker(folder / "landmarks.tflite")


def blank(width=640, height=480):
    return np.zeros((height, width, 3), np.uint8)


def crop_of(places):
    return np.r_[places["hips"], places["top"]]


def landmarks(file, image, crop, mirror=False):
    run = Landmarker(file, mirror)
    run.look_at(image)
    return run(np.asarray(crop, float))


# Tiles


@settings(max_examples=40)
@given(st.integers(40, 2000), st.integers(40, 2000))
def test_every_pixel_is_searched_in_squares_of_three_sizes(width, height):
    squares = tiles(width, height)
    whole, short = squares[0], min(width, height)
    assert whole[2] == max(width, height) and whole[0] <= 0 and whole[1] <= 0
    assert whole[0] + whole[2] >= width and whole[1] + whole[2] >= height
    assert {side for _, _, side in squares[1:]} == {short, round(0.6 * short)}
    for size in {side for _, _, side in squares[1:]}:
        for axis, length in ((0, width), (1, height)):
            starts = sorted({square[axis] for square in squares[1:] if square[2] == size})
            assert starts[0] == 0 and starts[-1] + size == length  # flush, and none beyond the picture
            assert max(np.diff(starts), default=0) <= 0.7 * size  # neighbours overlap


# Detection


def test_each_person_is_one_crop_round_the_hips(files):
    image = blank()
    one, other = person(image, (200, 260), 60), person(image, (460, 250), 80)
    crops = BlazePoseDetector(files[0], 0.5)(image)
    assert len(crops) == 2  # though several tiles see each
    for crop, places in zip(crops[np.argsort(crops[:, 0])], (one, other), strict=True):
        assert np.abs(crop[:2] - places["hips"]).max() < 8 * 480 / 224  # within a cell of the detector
        assert crop[2] == pytest.approx(crop[0], abs=1e-6) and crop[3] < crop[1] - 30  # the other point is above


def test_a_picture_without_people_has_no_crops(files):
    find = BlazePoseDetector(files[0], 0.5)
    assert find(blank()).shape == (0, 4) and find(np.full((300, 100, 3), 255, np.uint8)).shape == (0, 4)


def test_the_threshold_and_the_order_are_those_of_the_scores(files):
    image = blank(448, 448)
    image[152:168, 152:168, 2] = 255  # covers whole cells
    image[296:312, 296:312, 2] = 60  # blue, but not by much: a lower score
    everybody = BlazePoseDetector(files[0], 1e-4)(image)
    assert (
        len(everybody) == 2 and np.abs(everybody[0, :2] - 160).max() < 20 and np.abs(everybody[1, :2] - 304).max() < 20
    )
    assert len(BlazePoseDetector(files[0], 0.99)(image)) == 1


@pytest.mark.parametrize(("width", "height"), [(300, 700), (700, 300), (224, 224)])
def test_people_are_found_in_pictures_of_any_shape(files, width, height):
    image = blank(width, height)
    places = person(image, (width - 60, height - 60), 50)
    (crop,) = BlazePoseDetector(files[0], 0.5)(image)
    assert np.abs(crop[:2] - places["hips"]).max() < 8 * max(width, height) / 224


# Landmarks


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turn", [0.0, 0.7, -2.0, np.pi])
@pytest.mark.parametrize("size", [30, 90, 400])
def test_joints_come_back_in_the_picture(files, mirror, turn, size):
    """Whatever the size of the body, read from the level of the pyramid that fits it, and its turn."""
    width = max(200, 3 * size)
    image = blank(width, width)
    places = person(image, (0.5 * width + 3.3, 0.5 * width - 1.6), size, turn)
    found = landmarks(files[1], image, crop_of(places), mirror)
    tolerance = 0.01 * size + 0.2
    assert np.abs(found.xy[LEFT] - places["left"]).max() < tolerance
    assert np.abs(found.xy[RIGHT] - places["right"]).max() < tolerance
    assert np.abs(found.crop - crop_of(places)).max() < tolerance
    assert found.inside and found.presence > 0.95 and (found.score > 0.9).all() and found.quality > 0.9
    assert found.doubt_px.max() < 0.05 * size


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turn", [0.0, 0.7, -2.0])
def test_metric_joints_are_turned_from_the_crop_into_the_picture(files, mirror, turn):
    """The tiny network gives a joint's place in the crop as metres, so they go with the places in the picture."""
    image, size = blank(), 90
    places = person(image, (310, 250), size, turn)
    found = landmarks(files[1], image, crop_of(places), mirror)
    from_hips = (found.xy - places["hips"]) / (2.5 * size)
    assert found.metric.shape == (33, 3)
    np.testing.assert_allclose(found.metric[:, :2], from_hips, atol=0.006)
    across = from_hips @ (np.cos(turn), np.sin(turn))  # in the crop, to the right
    np.testing.assert_allclose(found.metric[:, 2], 0 if mirror else across / 4, atol=0.003)


def test_a_network_without_metric_joints_gives_none(tmp_path):
    file = write_landmarker(tmp_path / "plain.tflite", metres=False)
    image = blank()
    found = landmarks(file, image, crop_of(person(image, (300, 260), 80)), mirror=True)
    assert np.isnan(found.metric).all() and np.isfinite(found.xy).all()
    rows = Detections2D.build(SKELETONS["blazepose33"], 0, 0, [found.xy], [found.score], 0.3)
    assert rows.with_columns(metric=metric_of(rows, [found.metric])).metric is None


def test_a_rough_crop_is_better_the_second_time(files):
    image = blank()
    places = person(image, (300, 260), 70)
    run = Landmarker(files[1], mirror=False)
    run.look_at(image)
    rough = crop_of(places) + np.array([15, -12, 0, -20])
    once = run(rough).crop
    twice = run(once).crop
    off = [np.abs(crop - crop_of(places)).max() for crop in (rough, once, twice)]
    assert off[0] > 10 > off[1] and off[2] < 1


def test_the_mirrored_pass_cancels_an_error_to_one_side_and_measures_it(tmp_path):
    """Regressed points 6 px of the crop too far right: the mean of both passes is right, and they differ by 12 px."""
    file = write_landmarker(tmp_path / "shifted.tflite", shift_x=6.0, sharp=False)
    image, size = blank(), 80
    places = person(image, (300, 260), size)
    px = 2.5 * size / 256  # of the picture for each of the crop
    one, both = (landmarks(file, image, crop_of(places), mirror) for mirror in (False, True))
    np.testing.assert_allclose(one.xy[LEFT] - places["left"], np.broadcast_to((6 * px, 0), (len(LEFT), 2)), atol=0.4)
    np.testing.assert_allclose(both.xy[LEFT], np.broadcast_to(places["left"], (len(LEFT), 2)), atol=0.4)
    np.testing.assert_allclose(both.doubt_px, 6 * px, atol=0.4)
    assert (one.doubt_px == 0).all()


def test_heat_sharpens_what_the_regression_has_nearly(tmp_path):
    file = write_landmarker(tmp_path / "shifted.tflite", shift_x=4.0, sharp=True)
    image = blank()
    places = person(image, (300, 260), 80)
    found = landmarks(file, image, crop_of(places))
    assert np.abs(found.xy[LEFT] - places["left"]).max() < 1.0


def test_a_left_right_swap_of_the_mirrored_pass_is_corrected(tmp_path):
    """A network that goes by sides of the picture swaps left and right in the mirrored one."""
    file = write_landmarker(tmp_path / "sides.tflite", by_side=True)
    image = blank()
    places = person(image, (300, 260), 80)
    found = landmarks(file, image, crop_of(places), mirror=True)
    for joints, name in ((LEFT, "left"), (RIGHT, "right")):
        assert np.abs(found.xy[joints] - places[name]).max() < 1.0
    assert found.doubt_px.max() < 1.0


def test_a_crop_without_a_person_has_a_low_presence(files):
    image = blank()
    person(image, (100, 120), 60)
    found = landmarks(files[1], image, (500, 300, 500, 240))
    assert found.presence < 0.1 and found.score.max() < 0.1 and np.isfinite(found.xy).all()


def test_joints_outside_the_picture_have_no_score(files):
    image = blank()
    places = person(image, (20, 200), 60)  # the right disc is at x = -16
    found = landmarks(files[1], image, crop_of(places))
    outside = found.xy[:, 0] < -0.5
    assert (found.score[outside] == 0).all() and (found.score[~outside] > 0.5).all()
    assert found.inside
    away = landmarks(files[1], image, (-200, 200, -200, 140))
    assert not away.inside and (away.score == 0).all()


def test_a_crop_without_a_size_is_read_all_the_same(files):
    found = landmarks(files[1], blank(), (100, 100, 100, 100))
    assert np.isfinite(found.xy).all() and np.isfinite(found.crop).all()


def test_masks_label_each_person(files):
    image = blank()
    people = [person(image, (180, 260), 60), person(image, (460, 250), 80)]
    run = Landmarker(files[1], mirror=False)
    run.look_at(image)
    label = run.paint_masks([run(crop_of(places)) for places in people])
    assert label.shape == (480, 640) and label.dtype == np.uint8
    solid = image.max(-1) > 200
    middle = np.arange(640) < 320
    assert (label[solid & middle] == 1).mean() > 0.9 and (label[solid & ~middle] == 2).mean() > 0.9
    assert (label[image.max(-1) == 0] > 0).mean() < 0.01
    assert not run.paint_masks([]).any()
    gap = run.paint_masks([run(crop_of(people[0])), None, run(crop_of(people[1]))])
    np.testing.assert_array_equal(gap, np.where(label == 2, 3, label), "labels stay those of the rows")


def test_the_runtime_prints_nothing(files, capfd):
    BlazePoseDetector(files[0], 0.5), Landmarker(files[1], mirror=True)
    assert capfd.readouterr() == ("", "")
