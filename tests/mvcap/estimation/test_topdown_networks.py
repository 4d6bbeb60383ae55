"""The two networks of a top-down estimator: peaks to a fraction of a bin, crops round a box, errors in one line."""

from dataclasses import replace

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mvcap.errors import AssetError
from mvcap.estimation.model_card import DetectorCard, PoseCard
from mvcap.estimation.onnx_network import OnnxNetwork
from mvcap.estimation.topdown_networks import (
    PersonDetector,
    PoseNetwork,
    decode_heatmaps,
    decode_simcc,
    picture_from_crop,
)

SIZE = np.array([192.0, 256.0])
DETECTOR = DetectorCard("d.onnx", 64, (0.0,) * 3, (1.0,) * 3, colour="rgb", threshold=0.3)
POSE = PoseCard("p.onnx", (48, 64), (0.0,) * 3, (1.0,) * 3, "heatmap", "mvor10", colour="rgb", box_scale=1.0)


def network(path, nodes, constants, shape, outputs):
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    kinds = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()]
    source = [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "tiny", source, kinds, held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def detector(folder, dets, labels, card=DETECTOR):
    """A detector that finds the same boxes in every picture, whatever its input."""
    nodes = [
        helper.make_node("ReduceSum", ["input"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["boxes", "nothing"], ["dets"]),
        helper.make_node("Identity", ["kinds"], ["labels"]),
    ]
    boxes = np.array(dets, np.float32).reshape(1, -1, 5)
    held = {"zero": np.float32(0), "boxes": boxes, "kinds": np.array(labels, np.int64).reshape(1, -1)}
    outputs = {"dets": TensorProto.FLOAT, "labels": TensorProto.INT64}
    path = network(folder / "d.onnx", nodes, held, [1, 3, card.size, card.size], outputs)
    return PersonDetector(card, path, 1, "cpu")


def brightness(folder, card=POSE, batch="n"):
    """A pose network whose ten heatmaps are one channel of the crop each, at every pixel; 0..1."""
    nodes = [
        helper.make_node("Gather", ["input", "which"], ["channels"], axis=1),
        helper.make_node("Div", ["channels", "full"], ["maps"]),
    ]
    held = {"which": np.arange(10) % 3, "full": np.float32(255)}
    path = network(folder / "p.onnx", nodes, held, [batch, 3, card.size[1], card.size[0]], {"maps": TensorProto.FLOAT})
    return PoseNetwork(card, path, 1, "cpu")


# Decoding


places = st.tuples(st.floats(4, 180), st.floats(4, 240))


@settings(max_examples=40)
@given(places, st.floats(0.2, 1), st.floats(0.2, 1), st.floats(1, 8))
def test_a_parabola_of_bins_is_read_exactly(place, top_x, top_y, width):
    x = top_x - ((np.arange(384) / 2 - place[0]) / width) ** 2
    y = top_y - ((np.arange(512) / 2 - place[1]) / width) ** 2
    xy, score = decode_simcc(x[None, None], y[None, None], SIZE)
    np.testing.assert_allclose(xy[0, 0], place, atol=1e-6)
    assert min(top_x, top_y) - 0.07 < score[0, 0] <= min(top_x, top_y)  # of the axis with the lower peak, at a bin


@settings(max_examples=40)
@given(places, st.floats(4, 20), st.floats(0.1, 1))
def test_a_gaussian_of_a_heatmap_is_read_exactly(place, width, top):
    rows, columns = np.mgrid[:64, :48] * 4.0
    maps = top * np.exp(-((columns - place[0]) ** 2 + (rows - place[1]) ** 2) / (2 * width**2))
    xy, score = decode_heatmaps(maps[None, None], SIZE)
    np.testing.assert_allclose(xy[0, 0], place, atol=1e-4)
    assert 0.7 * top < score[0, 0] <= top


@settings(max_examples=40)
@given(st.integers(0, 47), st.integers(0, 63), st.integers(0, 2**31))
def test_a_peak_is_moved_by_half_a_cell_at_most(column, row, seed):
    maps = np.random.default_rng(seed).uniform(0, 0.5, (1, 1, 64, 48))
    maps[0, 0, row, column] = 1
    xy, score = decode_heatmaps(maps, SIZE)
    assert np.abs(xy[0, 0] - (4 * column, 4 * row)).max() <= 2 and score[0, 0] == 1


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_maps_and_bins_without_a_peak_have_a_place_and_no_more(value):
    xy, score = decode_heatmaps(np.full((2, 3, 8, 6), value), SIZE)
    assert xy.shape == (2, 3, 2) and np.isfinite(xy).all() and (score == value).all()
    xy, score = decode_simcc(np.full((2, 3, 8), value), np.full((2, 3, 6), value), SIZE)
    assert xy.shape == (2, 3, 2) and np.isfinite(xy).all() and (score == value).all()


# Crops


@settings(max_examples=40)
@given(
    st.floats(-500, 2000), st.floats(-500, 2000), st.floats(2, 900), st.floats(2, 900),
    st.sampled_from(((192, 256), (256, 192), (64, 64))), st.floats(0.8, 2),
)  # fmt: skip
def test_a_crop_holds_its_box_and_is_as_small_as_may_be(left, top, width, height, size, scale):
    box = np.array([left, top, left + width, top + height])
    matrix = picture_from_crop(box, size, scale)
    assert matrix[0, 0] == matrix[1, 1] > 0 and matrix[0, 1] == matrix[1, 0] == 0
    corner, other = matrix[:, 2], matrix @ (*size, 1)
    np.testing.assert_allclose((corner + other) / 2, (left + width / 2, top + height / 2), atol=1e-6)
    room = (other - corner) / (scale * np.array([width, height]))
    assert room.min() == pytest.approx(1) and room.max() >= 1 - 1e-9


def test_a_box_of_nothing_has_a_crop():
    assert np.isfinite(picture_from_crop(np.full(4, 7.0), (192, 256), 1.25)).all()


@pytest.mark.parametrize("batch", ["n", 1])
@pytest.mark.parametrize("scale", [0.5, 1.0, 3.7])
def test_joints_come_back_in_the_picture(tmp_path, batch, scale):
    """Blurred spots in the three channels, crops of several sizes: what the network sees leads back to the picture."""
    image = np.zeros((400, 500, 3), np.float32)
    spots = np.array([(210.3, 190.6), (250.0, 230.2), (235.7, 160.1)])
    rows, columns = np.mgrid[:400, :500]
    for channel, (x, y) in enumerate(spots):
        image[..., channel] = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (6 * scale) ** 2))
    half = scale * np.array([24, 32])
    boxes = np.array([np.r_[spot - half, spot + half] for spot in spots])
    xy, score = brightness(tmp_path, batch=batch)(np.round(image).astype(np.uint8), boxes)
    assert xy.shape == (3, 10, 2) and score.shape == (3, 10) and score.max() <= 1
    for number, spot in enumerate(spots):
        mine = np.arange(10) % 3 == number
        assert np.abs(xy[number, mine] - spot).max() < 0.2 * max(scale, 1)
        assert (score[number, mine] > 0.95).all()


def test_the_colours_and_the_scale_of_the_card_are_used(tmp_path):
    image = np.zeros((64, 48, 3), np.uint8)
    image[20, 30] = (200, 100, 50)
    box = np.array([[0.0, 0, 48, 64]])
    plain = brightness(tmp_path)(image, box)[1][0, :3] * 255
    np.testing.assert_allclose(plain, (200, 100, 50), atol=2)
    swapped = brightness(tmp_path, replace(POSE, colour="bgr"))(image, box)[1][0, :3] * 255
    np.testing.assert_allclose(swapped, (50, 100, 200), atol=2)
    scaled = brightness(tmp_path, replace(POSE, mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 8.0)))(image, box)[1][0, :3]
    np.testing.assert_allclose(scaled * 255, (95, 20, 2.5), atol=1.5)


def test_no_boxes_have_no_joints(tmp_path):
    xy, score = brightness(tmp_path)(np.zeros((64, 48, 3), np.uint8), np.zeros((0, 4)))
    assert xy.shape == (0, 10, 2) and score.shape == (0, 10)


# Detection


def test_boxes_are_those_of_people_by_score(tmp_path):
    dets = [(8, 8, 16, 24, 0.5), (32, 8, 48, 40, 0.9), (0, 0, 64, 64, 0.8), (8, 8, 9, 9, 0.2)]
    find = detector(tmp_path, dets, [0, 0, 7, 0])
    boxes = find(np.zeros((640, 640, 3), np.uint8))
    # Ten px of the picture a px of the input; edges are counted from the first pixel's centre.
    np.testing.assert_allclose(boxes, [[319.5, 79.5, 479.5, 399.5], [79.5, 79.5, 159.5, 239.5]])
    other = detector(tmp_path, dets, [0, 0, 7, 0], replace(DETECTOR, person_label=7))
    np.testing.assert_allclose(other(np.zeros((640, 640, 3), np.uint8)), [[-0.5, -0.5, 639.5, 639.5]])


@pytest.mark.parametrize("shape", [(480, 640), (640, 480), (64, 64), (10, 900)])
def test_boxes_stay_inside_the_picture(tmp_path, shape):
    find = detector(tmp_path, [(-50, -50, 900, 900, 0.9)], [0])
    (box,) = find(np.zeros((*shape, 3), np.uint8))
    np.testing.assert_allclose(box, [-0.5, -0.5, shape[1] - 0.5, shape[0] - 0.5])


def test_no_person_has_no_box(tmp_path):
    assert detector(tmp_path, [(0, 0, 9, 9, 0.1)], [0])(np.zeros((64, 64, 3), np.uint8)).shape == (0, 4)
    assert detector(tmp_path, [], [])(np.zeros((64, 64, 3), np.uint8)).shape == (0, 4)


def test_the_picture_lies_in_the_corner_and_grey_beside_it(tmp_path):
    """Of a network whose one box has the mean of each quarter of its input for its edges."""
    nodes = [
        helper.make_node("AveragePool", ["input"], ["quarters"], kernel_shape=[32, 32], strides=[32, 32]),
        helper.make_node("ReduceMean", ["quarters"], ["means"], axes=[1], keepdims=0),
        helper.make_node("Reshape", ["means", "row"], ["box"]),
        helper.make_node("Concat", ["box", "score"], ["dets"], axis=2),
        helper.make_node("Identity", ["kind"], ["labels"]),
    ]
    held = {"row": np.array([1, 1, 4]), "score": np.ones((1, 1, 1), np.float32), "kind": np.zeros((1, 1), np.int64)}
    outputs = {"dets": TensorProto.FLOAT, "labels": TensorProto.INT64}
    path = network(tmp_path / "d.onnx", nodes, held, [1, 3, 64, 64], outputs)
    card = replace(DETECTOR, mean=(110.0,) * 3)  # so that the means are small enough for boxes
    image = cv2.resize(np.full((1, 1, 3), 120, np.uint8), (128, 64))
    (box,) = PersonDetector(card, path, 1, "cpu")(image)
    np.testing.assert_allclose(box, [2 * 10 - 0.5, 2 * 10 - 0.5, 2 * 4 - 0.5, 2 * 4 - 0.5])


# What does not fit


def refused(call, *arguments, words=()):
    with pytest.raises(AssetError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_what_is_no_network(tmp_path):
    path = tmp_path / "d.onnx"
    for data in (b"", b"nothing", bytes(range(256)) * 4):
        path.write_bytes(data)
        refused(OnnxNetwork, path, 1, "cpu", words=["d.onnx"])
    refused(OnnxNetwork, tmp_path / "none.onnx", 1, "cpu", words=["none.onnx"])


def test_a_network_cut_short(tmp_path):
    brightness(tmp_path)
    path = tmp_path / "p.onnx"
    path.write_bytes(path.read_bytes()[:-20])
    refused(OnnxNetwork, path, 1, "cpu", words=["p.onnx"])


def test_a_device_that_is_not_there(tmp_path):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("CUDA is here")
    brightness(tmp_path)
    refused(OnnxNetwork, tmp_path / "p.onnx", 1, "cuda", words=["onnxruntime-gpu", "cpu"])


def test_an_input_that_the_network_does_not_take(tmp_path):
    brightness(tmp_path)
    card = replace(POSE, size=(50, 60))
    read = PoseNetwork(card, tmp_path / "p.onnx", 1, "cpu")
    refused(read, np.zeros((64, 48, 3), np.uint8), np.array([[0.0, 0, 9, 9]]), words=["p.onnx", "card"])


def test_outputs_of_another_kind_or_skeleton(tmp_path):
    brightness(tmp_path)
    box = np.array([[0.0, 0, 9, 9]])
    for change in ({"output": "simcc"}, {"skeleton": "coco17"}):
        read = PoseNetwork(replace(POSE, **change), tmp_path / "p.onnx", 1, "cpu")
        refused(read, np.zeros((64, 48, 3), np.uint8), box, words=["p.onnx", "(1, 10, 64, 48)"])
    detect = PersonDetector(replace(DETECTOR, size=48), tmp_path / "p.onnx", 1, "cpu")
    refused(detect, np.zeros((64, 64, 3), np.uint8), words=["p.onnx"])


def test_no_heatmaps_have_no_points():
    xy, score = decode_heatmaps(np.zeros((0, 3, 8, 6)), np.array([192.0, 256.0]))
    assert xy.shape == (0, 3, 2) and score.shape == (0, 3)
