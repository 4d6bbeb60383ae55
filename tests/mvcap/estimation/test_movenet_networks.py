"""MoveNet in crops and in whole images: coordinates lead back to the image, with networks that see bright spots."""

import numpy as np
import onnx
import pytest
from demo_people import needs, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mvcap.estimation.body_finder import body_distance, body_extent
from mvcap.estimation.converted_networks import converted_network
from mvcap.estimation.image_pyramid import ImagePyramid
from mvcap.estimation.movenet_networks import COCO17, Bodies, MultiPose, SinglePose, Square

SIDE = np.array([1 if name.startswith("left_") else 2 if name.startswith("right_") else 0 for name in COCO17.joints])


def save(path, nodes, constants, shape, output):
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    source = [helper.make_tensor_value_info("input", TensorProto.INT32, shape)]
    graph = helper.make_graph(
        nodes, "tiny", source, [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)], held
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def spot_of(source, width, name):
    """Nodes that find the brightest pixel (1, P) of a flat image as y, x, counted from the middle of the first."""
    return [
        helper.make_node("ArgMax", [source], [f"{name}_at"], axis=1, keepdims=1),
        helper.make_node("Div", [f"{name}_at", width], [f"{name}_row"]),
        helper.make_node("Mod", [f"{name}_at", width], [f"{name}_column"]),
        helper.make_node("Concat", [f"{name}_row", f"{name}_column"], [f"{name}_whole"], axis=1),
        helper.make_node("Cast", [f"{name}_whole"], [f"{name}_float"], to=TensorProto.FLOAT),
        helper.make_node("Add", [f"{name}_float", "half"], [name]),  # (1, 2) from edge to edge
    ]


def single(folder, size=64):
    """A network that sees red as the nose, and by its side of the crop green as a left or right joint.

    As people are: the left joints of whoever faces the camera are on the right.
    """
    mask = np.zeros((2, size, size), np.float32)
    mask[0, :, size // 2 :] = mask[1, :, : size // 2] = 1
    nodes = [
        helper.make_node("Cast", ["input"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Split", ["float"], ["red", "green", "blue"], axis=3),
        helper.make_node("Reshape", ["red", "flat"], ["nose_image"]),
        helper.make_node("Reshape", ["green", "flat"], ["green_image"]),
        helper.make_node("Mul", ["green_image", "on_right"], ["left_image"]),
        helper.make_node("Mul", ["green_image", "on_left"], ["right_image"]),
    ]
    for name in ("nose", "left", "right"):
        nodes += spot_of(f"{name}_image", "width", name)
        nodes += [
            helper.make_node("ReduceMax", [f"{name}_image"], [f"{name}_top"], axes=[1], keepdims=1),
            helper.make_node("Div", [name, "size"], [f"{name}_share"]),
            helper.make_node("Div", [f"{name}_top", "full"], [f"{name}_score"]),
            helper.make_node("Concat", [f"{name}_share", f"{name}_score"], [f"{name}_three"], axis=1),
        ]
    nodes += [
        helper.make_node("Concat", ["nose_three", "left_three", "right_three"], ["three"], axis=0),
        helper.make_node("Gather", ["three", "which"], ["joints"], axis=0),
        helper.make_node("Reshape", ["joints", "form"], ["out"]),
    ]
    held = {
        "flat": np.array([1, -1]), "width": np.array(size), "half": np.float32(0.5), "size": np.float32(size),
        "full": np.float32(255), "which": SIDE, "form": np.array([1, 1, 17, 3]),
        "on_right": mask[0].reshape(1, -1), "on_left": mask[1].reshape(1, -1),
    }  # fmt: skip
    return SinglePose(save(folder / "single.onnx", nodes, held, [1, size, size, 3], "out"), 1, "cpu")


def multi(folder):
    """A network that has one body, all of whose joints and corners are the brightest pixel."""
    nodes = [
        helper.make_node("Cast", ["input"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["float"], ["grey"], axes=[3], keepdims=0),
        helper.make_node("Reshape", ["grey", "flat"], ["image"]),
        helper.make_node("Shape", ["grey"], ["shape"]),
        helper.make_node("Gather", ["shape", "sides"], ["size"], axis=0),
        helper.make_node("Gather", ["shape", "two"], ["width"], axis=0),
        *spot_of("image", "width", "spot"),
        helper.make_node("Cast", ["size"], ["size_float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["spot", "size_float"], ["share"]),
        helper.make_node("Concat", ["share", "score"], ["three"], axis=1),
        helper.make_node("Tile", ["three", "times"], ["joints"]),
        helper.make_node("Concat", ["joints", "share", "share", "score"], ["row"], axis=1),
        helper.make_node("Concat", ["row", "others"], ["rows"], axis=0),
        helper.make_node("Unsqueeze", ["rows", "zero"], ["out"]),
    ]
    held = {
        "flat": np.array([1, -1]), "sides": np.array([1, 2]), "two": np.array(2), "half": np.float32(0.5),
        "score": np.full((1, 1), 0.75, np.float32), "times": np.array([1, 17]), "zero": np.array([0]),
        "others": np.zeros((5, 56), np.float32),
    }  # fmt: skip
    return MultiPose(save(folder / "multi.onnx", nodes, held, [1, "h", "w", 3], "out"), 1, "cpu")


def spots(size, places, width=3.0):
    """An image (height, width) with a blurred spot in a channel at each x, y, channel."""
    image = np.zeros((*size, 3))
    rows, columns = np.mgrid[: size[0], : size[1]]
    for x, y, channel in places:
        image[..., channel] += 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2))
    return np.round(np.clip(image, 0, 255)).astype(np.uint8)


# Squares


@settings(max_examples=40)
@given(st.floats(-50, 300), st.floats(-50, 300), st.floats(2, 900))
def test_shares_of_a_square_are_between_its_edges(x, y, side):
    square = Square(np.array([x, y]), side)
    np.testing.assert_allclose(square.pixels(np.array([0.5, 0.5])), (x, y), atol=1e-9)
    corners = square.pixels(np.array([[0.0, 0], [1, 1]]))
    np.testing.assert_allclose(corners, np.array([[x, y]]) + np.array([[-side / 2], [side / 2]]), atol=1e-9)


@settings(max_examples=40)
@given(st.floats(90, 140), st.floats(90, 140), st.floats(16, 160), st.integers(16, 64))
def test_what_is_read_at_a_share_is_at_that_place(x, y, side, size):
    """Of an image whose values are its coordinates."""
    rows, columns = np.mgrid[:240, :240]
    image = ImagePyramid(np.stack([columns, rows, rows], -1).astype(np.uint8))
    square = Square(np.array([x, y]), side)
    read = square.read(image, size)[..., :2].astype(float)
    u, v = np.meshgrid(np.arange(size), np.arange(size))
    places = square.pixels((np.stack([u, v], -1) + 0.5) / size)
    assert np.abs(read - places).max() < 1.2 and np.abs((read - places).mean((0, 1))).max() < 0.65


# One person


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("side", [40.0, 64.0, 150.0])
def test_joints_come_back_in_the_image_with_their_sides(tmp_path, side, mirrored):
    read = single(tmp_path)
    centre = np.array([150.4, 141.7])
    share = {0: (0.45, -0.3), 1: (0.2, 0.1), 2: (-0.3, 0.25)}
    places = {kind: centre + side * np.array(at) for kind, at in share.items()}
    width = max(2.0, side / 16)
    image = ImagePyramid(spots((300, 300), [(*places[0], 0), (*places[1], 1), (*places[2], 1)], width))
    square = Square(centre, side)
    xy, score = read(square.read(image, read.size), square, mirrored)
    assert xy.shape == (17, 2) and score.shape == (17,) and (score > 0.9).all() and (score <= 1).all()
    for kind, place in places.items():
        assert np.abs(xy[kind == SIDE] - place).max() < 0.6 * side / 64 + 0.3, kind


def test_a_crop_of_nothing_has_no_score(tmp_path):
    read = single(tmp_path)
    square = Square(np.array([10.0, 10]), 20.0)
    xy, score = read(square.read(ImagePyramid(np.zeros((20, 20, 3), np.uint8)), 64), square)
    assert (score == 0).all() and np.isfinite(xy).all()


# Many people


@pytest.mark.parametrize("size", [(240, 320), (320, 240), (101, 333), (640, 97), (64, 64)])
@pytest.mark.parametrize("long_side", [128, 200, 256, 700])
def test_a_body_comes_back_in_the_image_at_any_scale(tmp_path, size, long_side):
    find = multi(tmp_path)
    place = np.array([0.7 * size[1] + 0.3, 0.4 * size[0] - 0.2])
    bodies = find(ImagePyramid(spots(size, [(*place, 1)], max(2.0, 2 * max(size) / long_side))), long_side, 0.5)
    pixel = max(size) / long_side
    assert len(bodies) == 1 and bodies.score[0] == pytest.approx(0.75)
    assert np.abs(bodies.xy - place).max() < 1.1 * max(pixel, 1)
    assert np.abs(bodies.box - np.tile(place, 2)).max() < 1.1 * max(pixel, 1)


@pytest.mark.parametrize("size", [(1, 1), (20, 30), (3, 900), (900, 2), (31, 33)])
def test_images_of_any_size_are_searched(tmp_path, size):
    find = multi(tmp_path)
    image = np.zeros((*size, 3), np.uint8)
    image[size[0] // 2, size[1] // 2] = 255
    bodies = find(ImagePyramid(image), 256, 0.5)
    assert len(bodies) == 1 and np.isfinite(bodies.xy).all()
    assert np.abs(bodies.xy[0, 0] - (size[1] // 2, size[0] // 2)).max() < max(2.0, max(size) / 128)


def test_scores_below_the_threshold_are_nobody(tmp_path):
    find = multi(tmp_path)
    image = ImagePyramid(np.zeros((64, 64, 3), np.uint8))
    assert len(find(image, 64, 0.8)) == 0 and len(find(image, 64, 0.7)) == 1
    assert find(image, 64, 0.8).xy.shape == (0, 17, 2) and find(image, 64, 0.8).box.shape == (0, 4)


def test_bodies_are_chosen_by_rows():
    values = np.arange(3.0)
    bodies = Bodies(np.zeros((3, 17, 2)) + values[:, None, None], np.zeros((3, 17)), np.zeros((3, 4)), values)
    some = bodies[np.array([2, 0])]
    assert len(some) == 2 and some.score.tolist() == [2, 0] and some.xy[0, 0, 0] == 2


# Real networks


@pytest.mark.footage
def test_two_people_have_the_same_joints_at_every_scale():
    needs("movenet-multipose")
    image = ImagePyramid(picture("cam03", 40))
    find = MultiPose(converted_network("movenet-multipose"), 1, "cpu")
    found = [find(image, side, 0.2) for side in (320, 416, 512)]
    for bodies in found:
        assert len(bodies) == 2 and (np.diff(bodies.score) <= 0).all()
        for xy in bodies.xy:
            assert body_distance(xy, found[-1].xy).min() < 0.15  # 5 % of the body
    shifted = ImagePyramid(np.ascontiguousarray(image.levels[0][150:1650]))
    for xy in find(shifted, 416, 0.2).xy:
        assert body_distance(xy + np.array([0, 150]), found[-1].xy).min() < 0.2


@pytest.mark.footage
@pytest.mark.parametrize("network", ["thunder", "lightning"])
def test_a_mirrored_look_agrees_and_names_the_same_sides(network):
    needs(f"movenet-{network}")
    image = ImagePyramid(picture("cam04", 40))
    read = SinglePose(converted_network(f"movenet-{network}"), 1, "cpu")
    square = Square(np.array([770.0, 700]), 720.0)  # the woman
    pixels = square.read(image, read.size)
    (plain, score), (mirrored, _) = (read(pixels, square, how) for how in (False, True))
    assert score.mean() > 0.5
    off = np.linalg.norm(plain - mirrored, axis=-1)[score > 0.4]
    exchanged = np.linalg.norm(plain - mirrored[COCO17.mirror], axis=-1)[score > 0.4]
    size = float(body_extent(plain))
    assert np.median(off) < 0.02 * size < np.median(exchanged)
