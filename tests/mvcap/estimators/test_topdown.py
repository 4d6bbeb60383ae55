"""The top-down estimator with tiny networks that really compute, and with a real person detector on real pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, save

from mvcap.errors import AssetError, ConfigError, InputError
from mvcap.estimation.model_card import model_file, read_card
from mvcap.estimation.topdown_networks import PersonDetector, decode_heatmaps, decode_simcc, picture_from_crop
from mvcap.estimators.topdown import TopDown, TopDownConfig, box_iou, similarity
from mvcap.structures.contracts import View
from mvcap.structures.skeleton import SKELETONS

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("MVCAP_DATA", ROOT.parent / "shared" / "data"))
RTMDET = DATA / "models" / "rtmdet_nano_person_320_nms.onnx"
PANOPTIC = DATA / "panoptic_images" / "demo"
CARDS = sorted((ROOT / "configs" / "models").glob("*.yaml"))

COCO17 = SKELETONS["coco17"]
SIZE = (800, 600)
COLOURS = np.array([(r, g, b) for r in (60, 150, 240) for g in (60, 150, 240) for b in (60, 150, 240)][:17])
BODY = (30, 30, 30)
VIEW = View(0, "left", SIZE, 30.0, 100)
PLAIN = {"mean": [0, 0, 0], "std": [1, 1, 1], "colour": "rgb"}


# ---- networks -----------------------------------------------------------------------------------------------------


def model(path: Path, nodes: list[Any], constants: dict[str, Any], shape: list[Any], outputs: dict[str, int]) -> Path:
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    kinds = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()]
    source = [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "tiny", source, kinds, weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def detector_network(path: Path, side: int, twice: bool = False) -> Path:
    """What is neither black nor the grey beside the picture is a person; one in each half of the picture."""
    nodes = [
        node("ReduceSum", "input channel", "sum", keepdims=0),
        node("Greater", "sum dark", "bright"),
        node("Sub", "sum grey", "off"), node("Abs", "off", "far"), node("Greater", "far one", "inside"),
        node("And", "bright inside", "mask_bool"), node("Cast", "mask_bool", "mask", to=TensorProto.FLOAT),
    ]  # fmt: skip
    half = side // 2
    constants = {
        "channel": np.array([1]), "dark": np.float32(45), "grey": np.float32(342), "one": np.float32(1),
        "axis_x": np.array([2]), "index": np.arange(side, dtype=np.float32), "high": np.float32(1e4),
        "low": np.float32(-1), "shape": np.array([1, 1, 1]), "zero": np.float32(0.5), "axis_all": np.array([1, 2]),
    }  # fmt: skip
    parts = []
    for number, (start, stop) in enumerate(((0, half), (half, side))):
        n = f"_{number}"
        inside = np.zeros((1, 1, side), np.float32)
        inside[..., start:stop] = 1
        constants[f"half{n}"] = inside
        nodes.append(node("Mul", f"mask half{n}", f"mine{n}"))
        values = []
        for axis, name in ((1, "x"), (2, "y")):
            line, on = f"{name}{n}", f"on_{name}{n}"
            nodes += [
                node("ReduceMax", f"mine{n}", line, axes=[axis], keepdims=0), node("Greater", f"{line} zero", on),
                node("Where", f"{on} index high", f"{line}_first"), node("Add", "index one", f"{line}_next"),
                node("Where", f"{on} {line}_next low", f"{line}_last"),
                node("ReduceMin", f"{line}_first", f"{line}_min", axes=[1], keepdims=1),
                node("ReduceMax", f"{line}_last", f"{line}_max", axes=[1], keepdims=1),
            ]  # fmt: skip
        nodes.append(node("ReduceMax", f"mine{n}", f"score{n}_", axes=[1, 2], keepdims=0))
        nodes.append(node("Reshape", f"score{n}_ pair", f"score{n}"))
        values = f"x{n}_min y{n}_min x{n}_max y{n}_max score{n}"
        nodes += [node("Concat", values, f"row{n}", axis=1), node("Reshape", f"row{n} row_shape", f"box{n}")]
        parts += [f"box{n}"] * (2 if twice else 1)
    constants |= {"pair": np.array([1, 1]), "row_shape": np.array([1, 1, 5])}
    constants["zero_labels"] = np.zeros((1, len(parts)), np.int64)
    nodes += [node("Concat", " ".join(parts), "dets", axis=1), node("Identity", "zero_labels", "labels")]
    outputs = {"dets": TensorProto.FLOAT, "labels": TensorProto.INT64}
    return model(path, nodes, constants, [1, 3, side, side], outputs)


def all_in_one(path: Path) -> Path:
    """A network with one output, as of a detector without its NMS."""
    return model(path, [node("Identity", "input", "raw")], {}, [1, 3, 320, 320], {"raw": TensorProto.FLOAT})


def gaussian(radius: int, sigma: float, joints: int) -> NDArray[np.float32]:
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = np.outer(line, line) / np.outer(line, line).sum()
    return np.repeat(kernel[None, None], joints, axis=0).astype(np.float32)


def pose_network(path: Path, output: str, batch: Any = "n", joints: int = 17) -> Path:
    """How near each pixel's colour is to each joint's, smoothed: as two sums of bins, or as heatmaps of a quarter."""
    nodes = [
        node("Unsqueeze", "input one_axis", "stacked"), node("Sub", "stacked colours", "away"),
        node("Abs", "away", "distance_parts"), node("ReduceSum", "distance_parts two_axis", "distance", keepdims=0),
        node("Div", "distance reach", "share"), node("Sub", "unit share", "signed"), node("Relu", "signed", "near"),
    ]  # fmt: skip
    constants: dict[str, Any] = {
        "one_axis": np.array([1]), "two_axis": np.array([2]), "reach": np.float32(40), "unit": np.float32(1),
        "colours": COLOURS[:joints].astype(np.float32).reshape(1, joints, 3, 1, 1),
    }  # fmt: skip
    if output == "heatmap":
        constants |= {"kernel": gaussian(12, 5.0, joints), "gain": np.float32(5)}
        nodes += [
            node("Conv", "near kernel", "smooth", group=joints, pads=[12] * 4, strides=[4] * 2),
            node("Mul", "smooth gain", "maps"),
        ]
        return model(path, nodes, constants, [batch, 3, 256, 192], {"maps": TensorProto.FLOAT})
    for name, axis, length in (("x", "2", 192), ("y", "3", 256)):
        # Two bins a pixel: bin b stands for pixel b / 2.
        away = np.arange(length)[:, None] - np.arange(2 * length) / 2
        constants[f"axis_{name}"] = np.array([int(axis)])
        constants[f"bins_{name}"] = 0.05 * np.exp(-0.5 * (away / 1.5) ** 2).astype(np.float32)
        nodes.append(node("ReduceSum", f"near axis_{name}", f"line_{name}", keepdims=0))
        nodes.append(node("MatMul", f"line_{name} bins_{name}", f"simcc_{name}"))
    outputs = dict.fromkeys(("simcc_x", "simcc_y"), TensorProto.FLOAT)
    return model(path, nodes, constants, [batch, 3, 256, 192], outputs)


def write_card(folder: Path, output: str, detector: dict[str, Any] | None = None, **pose: Any) -> Path:
    document = {
        "detector": {"file": "detector.onnx", "size": 320, **PLAIN, **(detector or {})},
        "pose": {"file": "pose.onnx", "size": [192, 256], **PLAIN, "output": output, "skeleton": "coco17", **pose},
    }
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def topdown(folder: Path, output: str = "simcc", batch: Any = "n", twice: bool = False, **settings: Any) -> TopDown:
    detector_network(folder / "detector.onnx", 320, twice)
    pose_network(folder / "pose.onnx", output, batch)
    estimator = TopDown(TopDownConfig(str(write_card(folder, output)), **settings))
    estimator.prepare((VIEW,))
    return estimator


# ---- pictures -----------------------------------------------------------------------------------------------------


def body(left: float, top: float, seed: int = 0, width: float = 200, height: float = 420) -> NDArray[np.float64]:
    """Joints (17, 2) px spread inside a body's box, none near another."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(5)), axis=-1).reshape(-1, 2)[:17]
    cell = np.array([width / 4, height / 5])
    return (grid + 0.5 + rng.uniform(-0.12, 0.12, (17, 2))) * cell + (left, top)


def moved(joints: NDArray[np.float64], x: float, y: float = 0) -> NDArray[np.float64]:
    return joints + np.array([x, y])


def picture(bodies: list[NDArray[np.float64]]) -> NDArray[np.uint8]:
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    for joints in bodies:
        low, high = joints.min(0) - 25, joints.max(0) + 25
        cv2.rectangle(image, np.round(low).astype(int).tolist(), np.round(high).astype(int).tolist(), BODY, -1)
        for xy, colour in zip(joints, COLOURS, strict=True):
            centre = np.round(xy * 16).astype(int).tolist()
            cv2.circle(image, centre, 7 * 16, colour.tolist(), -1, cv2.LINE_AA, shift=4)
    return image


LEFT, RIGHT = body(60, 80), body(480, 60, seed=1)


@pytest.mark.parametrize(("output", "batch"), [("simcc", "n"), ("simcc", 1), ("heatmap", "n")])
def test_joints_come_back_to_half_a_pixel(tmp_path: Path, output: str, batch: Any) -> None:
    estimator = topdown(tmp_path, output, batch)
    rows = estimator.estimate(picture([LEFT, RIGHT]), 0, VIEW, {}).rows
    assert len(rows) == 2 and rows.skeleton.name == "coco17"
    rows = rows[np.argsort(rows.box[:, 0])]
    error = np.hypot(*(rows.xy - np.stack([LEFT, RIGHT])).transpose(2, 0, 1))
    assert error.max() < 0.5 and error.mean() < 0.25
    assert (rows.score > 0.5).all() and (rows.score <= 1).all() and np.isfinite(rows.noise_px).all()
    expected = np.concatenate([LEFT.min(0) - 25, LEFT.max(0) + 25])
    assert np.abs(rows.box[0] - expected).max() < 3


def test_people_keep_their_ids_and_duplicates_go(tmp_path: Path) -> None:
    estimator = topdown(tmp_path, twice=True)
    state: dict[str, Any] = {}
    ids = []
    for frame in range(5):
        bodies = [moved(RIGHT, -4 * frame), moved(LEFT, 6 * frame, 2 * frame)]
        estimate = estimator.estimate(picture(bodies[: 1 if frame == 2 else 2]), frame, VIEW, state)
        state = estimate.state
        ids.append([int(i) for i in estimate.rows.carried[np.argsort(estimate.rows.box[:, 0])]])
    assert ids == [[0, 1], [0, 1], [1], [0, 1], [0, 1]]  # also after a frame in which the detector missed one


def test_between_detections_boxes_come_from_joints(tmp_path: Path) -> None:
    estimator = topdown(tmp_path, every=4)
    state: dict[str, Any] = {}
    counts = []
    for frame in range(5):
        bodies = [moved(LEFT, 3 * frame), *([RIGHT] if frame else [])]
        estimate = estimator.estimate(picture(bodies), frame, VIEW, state)
        state = estimate.state
        first = estimate.rows[np.flatnonzero(estimate.rows.carried == 0)]
        assert np.hypot(*(first.xy[0] - bodies[0]).T).max() < 0.5
        counts.append(len(estimate.rows))
    assert counts == [1, 1, 1, 1, 2]


def test_state_resumes_and_an_empty_picture_has_no_rows(tmp_path: Path) -> None:
    estimator = topdown(tmp_path, every=3)
    image = picture([LEFT])
    first = estimator.estimate(image, 0, VIEW, {})
    copied = {name: np.array(value) for name, value in first.state.items()}
    again = estimator.estimate(image, 1, VIEW, copied)
    np.testing.assert_array_equal(again.rows.xy, estimator.estimate(image, 1, VIEW, first.state).rows.xy)
    empty = estimator.estimate(np.zeros_like(image), 1, VIEW, first.state)
    assert len(empty.rows) == 0
    assert len(estimator.estimate(np.zeros_like(image), 2, VIEW, empty.state).rows) == 0


def test_joints_outside_the_picture_are_missing(tmp_path: Path) -> None:
    estimator = topdown(tmp_path)
    rows = estimator.estimate(picture([moved(LEFT, -95)]), 0, VIEW, {}).rows
    assert len(rows) == 1
    outside = moved(LEFT, -95)[:, 0] < -8
    assert outside.any() and np.isfinite(rows.xy[0][~outside]).all()
    found = rows.xy[0][np.isfinite(rows.xy[0]).all(-1)]
    assert (found > -0.5).all()


# ---- decoding and geometry ----------------------------------------------------------------------------------------


def test_decoding_is_exact_for_gaussians() -> None:
    place = np.array([[[50.3, 77.8], [0.0, 255.0]]])
    size = np.array([192.0, 256.0])
    x = -0.5 * ((np.arange(384) / 2 - place[..., :1]) / 3) ** 2 + 0.9
    y = -0.5 * ((np.arange(512) / 2 - place[..., 1:]) / 3) ** 2 + 0.8
    xy, score = decode_simcc(x, y, size)
    np.testing.assert_allclose(xy[0, 0], place[0, 0], atol=1e-6)
    np.testing.assert_allclose(xy[0, 1], place[0, 1], atol=0.3)  # at the border
    np.testing.assert_allclose(score, 0.8, atol=0.01)
    rows, columns = np.mgrid[:64, :48] * 4.0
    maps = np.exp(-(((columns - 50.3) ** 2 + (rows - 77.8) ** 2) / (2 * 8.0**2)))[None, None]
    xy, score = decode_heatmaps(maps, size)
    np.testing.assert_allclose(xy[0, 0], place[0, 0], atol=1e-6)
    assert 0.9 < score[0, 0] <= 1
    assert np.isfinite(decode_heatmaps(np.zeros((1, 2, 8, 6)), size)[0]).all()


def test_crop_holds_the_box_in_the_middle() -> None:
    box = np.array([100.0, 50.0, 300.0, 650.0])
    matrix = picture_from_crop(box, (192, 256), 1.25)
    np.testing.assert_allclose(matrix @ (96, 128, 1), (200, 350))
    np.testing.assert_allclose(matrix @ (96, 0, 1), (200, 350 - 375))
    assert matrix[0, 0] == matrix[1, 1] and np.isfinite(picture_from_crop(np.zeros(4), (192, 256), 1.25)).all()


def test_overlap_and_similarity() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [50, 50, 60, 60]])
    np.testing.assert_allclose(box_iou(boxes, boxes), [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]])
    poses = np.stack([LEFT, LEFT + 2, RIGHT])
    likeness = similarity(poses, poses, np.full(3, 300.0), COCO17)
    assert likeness[0, 0] == 1 and likeness[0, 1] > 0.95 and likeness[0, 2] < 0.1
    assert similarity(poses * np.nan, poses, np.full(3, 300.0), COCO17).max() == 0


# ---- what is wrong is told ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_shipped_cards_are_read(path: Path) -> None:
    card = read_card(path)
    assert card.detector.licence == card.pose.licence == "Apache-2.0" and card.pose.size == (192, 256)
    assert not Path(card.detector.file).is_absolute() and not Path(card.pose.file).is_absolute()
    with pytest.raises(AssetError, match=r"download it from the OpenMMLab model zoo"):
        model_file(card.pose, ROOT / "nowhere")


def test_there_are_cards() -> None:
    assert {path.stem for path in CARDS} >= {"rtmdet-nano_rtmpose", "rtmdet-nano_hrnet"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colur": "rgb"}, "unknown key colur"),
        ({"size": 192}, "list of 2 numbers"),
        ({"mean": [1, 2]}, "list of 3 numbers"),
        ({"box_scale": "big"}, "box_scale is 'big'"),
        ({"colour": "grey"}, "rgb or bgr"),
        ({"output": "regression"}, "simcc or heatmap"),
    ],
)
def test_cards_are_strict(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_card(write_card(tmp_path, **{"output": "simcc", **changes}))


def test_card_missing_or_not_yaml(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"topdown\.card"):
        TopDown(TopDownConfig())
    (tmp_path / "card.yaml").write_text("detector: [")
    for path in (tmp_path / "card.yaml", tmp_path / "none.yaml"):
        with pytest.raises(InputError, match="cannot be read"):
            read_card(path)
    (tmp_path / "card.yaml").write_text("detector: {}")
    with pytest.raises(ConfigError, match="two parts"):
        read_card(tmp_path / "card.yaml")


def test_unfit_networks_are_told_before_the_work_starts(tmp_path: Path) -> None:
    topdown(tmp_path)

    def prepare(**pose: Any) -> None:
        TopDown(TopDownConfig(str(write_card(tmp_path, **{"output": "simcc", **pose})))).prepare((VIEW,))

    with pytest.raises(AssetError, match=r"correct output or skeleton"):
        prepare(output="heatmap")
    with pytest.raises(AssetError, match=r"correct output or skeleton"):
        prepare(skeleton="halpe26")
    with pytest.raises(AssetError, match=r"correct the card"):
        prepare(size=[100, 100])
    with pytest.raises(AssetError, match="sha256"):
        prepare(sha256="0" * 64)
    with pytest.raises(AssetError, match=r"export it with its NMS"):
        PersonDetector(
            read_card(write_card(tmp_path, "simcc")).detector, all_in_one(tmp_path / "other.onnx"), 1, "cpu"
        )(picture([LEFT]))
    (tmp_path / "pose.onnx").write_bytes(b"nothing")
    with pytest.raises(AssetError, match="delete it and get it again"):
        prepare()
    (tmp_path / "pose.onnx").unlink()
    with pytest.raises(AssetError, match="network file is missing"):
        prepare()
    with pytest.raises(ConfigError):
        TopDownConfig(every=0)


# ---- the real detector --------------------------------------------------------------------------------------------


@pytest.mark.footage
@pytest.mark.skipif(
    not (RTMDET.is_file() and PANOPTIC.is_dir()), reason="no RTMDet or Panoptic pictures; set MVCAP_DATA"
)
def test_rtmdet_finds_the_people_of_panoptic() -> None:
    card = read_card(ROOT / "configs" / "models" / "rtmdet-nano_rtmpose.yaml").detector
    detector = PersonDetector(card, RTMDET, 1, "cpu")
    counts = {}
    for path in sorted(PANOPTIC.glob("00_*/*.jpg")):
        boxes = detector(np.ascontiguousarray(cv2.imread(str(path))[..., ::-1]))
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        counts[path.stem] = len(boxes)
    assert all(count >= 3 for name, count in counts.items() if name.endswith("6859"))  # everyone is visible
    # In the others some bodies stand behind others, or half outside the picture.
    assert min(counts.values()) >= 2 and sum(count >= 3 for count in counts.values()) >= 0.7 * len(counts)
