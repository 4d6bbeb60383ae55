"""Two tiny LiteRT networks with the inputs and outputs of BlazePose's, which find people made of four coloured discs.

A person is a blue disc at the hips, a white one above that gives size and turn, a red one for all joints of the left
and a green one for all of the right. The networks are written by hand: their output is known.
"""

from pathlib import Path

import cv2
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mvcap.structures.skeleton import SKELETONS

JOINTS = SKELETONS["blazepose33"].joints
COLOURS = {"hips": (0, 0, 255), "top": (255, 255, 255), "left": (255, 0, 0), "right": (0, 255, 0)}
REACH_PX = 60
"""How far above the hips the detector puts the point that gives size and turn, in px of its input of 224."""
_GAIN = 24.0


class _Graph:
    """A LiteRT model that grows operator by operator."""

    def __init__(self):
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs = 3, [self.graph]
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, shape, values=None, kind=schema.TensorType.FLOAT32):
        one = schema.TensorT()
        one.shape, one.type, one.buffer = list(shape), kind, 0
        if values is not None:
            held = schema.BufferT()
            held.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            one.buffer = len(self.model.buffers)
            self.model.buffers.append(held)
        self.graph.tensors.append(one)
        return len(self.graph.tensors) - 1

    def floats(self, values):
        values = np.asarray(values, np.float32)
        return self.tensor(values.shape, values)

    def whole(self, values):
        values = np.asarray(values, np.int32)
        return self.tensor(values.shape, values, schema.TensorType.INT32)

    def add(self, name, inputs, shape, options=None, **settings):
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        self.model.operatorCodes.append(code)
        one = schema.OperatorT()
        one.opcodeIndex, one.inputs = len(self.model.operatorCodes) - 1, list(inputs)
        if options:
            one.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            one.builtinOptions = getattr(schema, f"{options}T")()
            for key, value in settings.items():
                setattr(one.builtinOptions, key, value)
        one.outputs = [self.tensor(shape)]
        self.graph.operators.append(one)
        return one.outputs[0]

    def pool(self, source, side, channels, stride):
        return self.add("AVERAGE_POOL_2D", [source], (1, side, side, channels), "Pool2DOptions",
                        padding=schema.Padding.VALID, strideW=stride, strideH=stride, filterWidth=stride,
                        filterHeight=stride)  # fmt: skip

    def mix(self, source, side, weights, bias):
        """Weighted sums of channels: weights (out, in)."""
        weights = np.asarray(weights, np.float32)[:, None, None]
        return self.add("CONV_2D", [source, self.floats(weights), self.floats(bias)], (1, side, side, len(bias)),
                        "Conv2DOptions", padding=schema.Padding.VALID, strideW=1, strideH=1, dilationWFactor=1,
                        dilationHFactor=1)  # fmt: skip

    def reshape(self, source, shape):
        return self.add("RESHAPE", [source, self.whole(shape)], shape)

    def write(self, path, inputs, outputs):
        self.graph.inputs, self.graph.outputs = inputs, outputs
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        Path(path).write_bytes(builder.Output())
        return Path(path)


def write_detector(path):
    """A detector of blue places: at each anchor of the finest grid, the hips there and a point above them."""
    graph = _Graph()
    picture = graph.tensor((1, 224, 224, 3))
    boxes, logits = [], []
    for stride, repeats in ((8, 2), (16, 2), (32, 6)):
        side = 224 // stride
        small = graph.pool(picture, side, 3, stride)
        # Channels are -1..1: blue alone is 1, all else below 0; the coarser grids find no person.
        gain = 20.0 if stride == 8 else 0.0
        odds = graph.mix(small, side, [(-gain, -gain, gain)] * repeats, [-gain - 10] * repeats)
        logits.append(graph.reshape(odds, (1, side * side * repeats, 1)))
        reach = [0.0] * 7 + [-REACH_PX] + [0.0] * 4
        found = graph.mix(small, side, np.zeros((12 * repeats, 3)), reach * repeats)
        boxes.append(graph.reshape(found, (1, side * side * repeats, 12)))
    outputs = [
        graph.add("CONCATENATION", parts, (1, 2254, width), "ConcatenationOptions", axis=1)
        for parts, width in ((boxes, 12), (logits, 1))
    ]
    return graph.write(path, [picture], outputs)


def _colour_of(point):
    """Which disc each of the 39 points is on: the joints', the hips' (33), the top's (34) and others."""
    if point < 33:
        words = set(JOINTS[point].split("_"))
        return "left" if "left" in words else "right" if "right" in words else "hips"
    return "top" if point == 34 else "hips"


def write_landmarker(path, shift_x=0.0, sharp=True, by_side=False, metres=True):
    """A network of the middles of the discs in a crop, ``shift_x`` px of it to the right.

    ``sharp``: the heatmaps have peaks there; else the regressed points are used. ``by_side``: left is what lies in the
    right half of the crop, as of a person who faces the camera, not what is red. ``metres``: it gives metric joints.
    """
    rules = {"left": (1, -1, -1, 0), "right": (-1, 1, -1, 0), "hips": (-1, -1, 1, 0), "top": (1, 1, 1, -2)}
    if by_side:
        rules |= {"left": (1, 1, -2, 0), "right": (1, 1, -2, 0)}
    kind = np.array([rules[_colour_of(point)] for point in range(39)], np.float32)
    graph = _Graph()
    crop = graph.tensor((1, 256, 256, 3))
    # A cell (i, j) of a heatmap stands for the point (4 j, 4 i) of the crop, counted from its edge.
    padded = graph.add("PAD", [crop, graph.whole([[0, 0], [2, 0], [2, 0], [0, 0]])], (1, 258, 258, 3))
    small = graph.pool(padded, 64, 3, 4)
    odds = graph.mix(small, 64, _GAIN * kind[:, :3], _GAIN * (kind[:, 3] - 0.5))
    if by_side:
        wrong = np.zeros((1, 64, 64, 39), np.float32)
        for point in range(39):
            if (side := _colour_of(point)) in ("left", "right"):
                wrong[:, :, slice(0, 32) if side == "left" else slice(32, 64), point] = -4 * _GAIN
        odds = graph.add("ADD", [odds, graph.floats(wrong)], (1, 64, 64, 39), "AddOptions")
    lines = graph.add("TRANSPOSE", [odds, graph.whole([0, 3, 1, 2])], (1, 39, 64, 64))
    share = graph.add("SOFTMAX", [graph.reshape(lines, (39, 4096))], (39, 4096), "SoftmaxOptions", beta=1.0)
    y, x = np.mgrid[:64, :64].reshape(2, 4096) * 4.0
    weights = np.stack([x, y, 0 * x, 0 * x, 0 * x])
    points = graph.add("FULLY_CONNECTED", [share, graph.floats(weights), graph.floats([shift_x, 0, 0, 6, 6])],
                       (39, 5), "FullyConnectedOptions")  # fmt: skip
    heat = graph.mix(
        odds, 64, np.eye(39) if sharp else np.zeros((39, 39)), np.zeros(39) if sharp else np.full(39, -9.0)
    )
    mean = graph.add("MEAN", [crop, graph.whole([1, 2])], (1, 3))
    logit = graph.add("FULLY_CONNECTED", [mean, graph.floats([[400.0] * 3]), graph.floats([-4.0])], (1, 1),
                     "FullyConnectedOptions")  # fmt: skip
    presence = graph.add("LOGISTIC", [logit], (1, 1))
    mask = graph.mix(crop, 256, [[_GAIN] * 3], [-6.0])
    outputs = [graph.reshape(points, (1, 195)), presence, mask, heat]
    if metres:
        # Where a joint is in the crop, in sides of it from the middle; z grows to the right.
        scaled = np.stack([x / 256, y / 256, x / 1024])
        placed = graph.add("FULLY_CONNECTED", [share, graph.floats(scaled), graph.floats([-0.5, -0.5, -0.125])],
                           (39, 3), "FullyConnectedOptions")  # fmt: skip
        outputs.append(graph.reshape(placed, (1, 117)))
    return graph.write(path, [crop], outputs)


def person(image, hips, size, turn=0.0):
    """Draw a person of this size (px from hips to top) into an RGB picture; return the middles of the four discs."""
    cos, sin = np.cos(turn), np.sin(turn)
    offset = {"hips": (0, 0), "top": (0, -1), "left": (0.6, -0.4), "right": (-0.6, -0.4)}
    places = {
        name: np.array(hips) + size * np.array([cos * x - sin * y, sin * x + cos * y])
        for name, (x, y) in offset.items()
    }
    for name, place in places.items():
        at = tuple(np.round(place * 16).astype(int).tolist())
        cv2.circle(image, at, round(0.1 * size * 16), COLOURS[name], -1, cv2.LINE_AA, shift=4)
    return places
