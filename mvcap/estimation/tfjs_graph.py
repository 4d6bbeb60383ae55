"""Conversion of TensorFlow.js graph models (model.json and its .bin files) into ONNX, opset 17.

Tensors keep TensorFlow's layout (N, H, W, C); each convolution stands between two transpositions, which onnxruntime
removes when it loads the network. Weights stored in 16 bits become float32. Only the operations that the networks of
``mvcap.assets`` use are known. Formats: tensorflow/tfjs, ``model.json``; onnx/onnx, ``Operators.md``.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

from mvcap.errors import AssetError

Weights = dict[str, NDArray[Any]]
Node = Mapping[str, Any]

_OPSET = 17
_TYPES = {"DT_FLOAT": TensorProto.FLOAT, "DT_INT32": TensorProto.INT32, "DT_BOOL": TensorProto.BOOL}
_FAULTS = (
    *(KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError, RecursionError, OSError),
    *(CycleError, binascii.Error, checker.ValidationError),
)

# Operations that differ in name only.
_SAME = (
    "Abs",
    "Add",
    "Equal",
    "Exp",
    "Greater",
    "Identity",
    "Less",
    "Mul",
    "Range",
    "Reciprocal",
    "Relu",
    "Sigmoid",
    "Sqrt",
    "Sub",
)
_RENAMED = {
    "AddV2": "Add",
    "RealDiv": "Div",
    "Maximum": "Max",
    "Minimum": "Min",
    "AddN": "Sum",
    "Select": "Where",
    "GreaterEqual": "GreaterOrEqual",
    "LogicalAnd": "And",
    "FloorMod": "Mod",
}
_PLAIN = {op: op for op in _SAME} | _RENAMED


def convert_graph(model: Path) -> bytes:
    """Return a TensorFlow.js graph model as a serialised ONNX model; outputs in the order of their names.

    Raises AssetError if the file is not such a model, or uses an operation that is not known here.
    """
    try:
        described = json.loads(model.read_text("utf-8"))
        graph = _Graph(described["modelTopology"], _weights(model.parent, described["weightsManifest"]))
        signature = described.get("signature") or described["userDefinedMetadata"]["signature"]
        outputs = []
        for output in sorted(signature["outputs"].values(), key=lambda output: str(output["name"])):
            dims = [int(dim["size"]) for dim in output["tensorShape"]["dim"]]
            shape = [dim if dim > 0 else None for dim in dims]
            outputs.append(helper.make_tensor_value_info(_tensor(output["name"]), TensorProto.FLOAT, shape))
        return _onnx(graph, model.stem, outputs)
    except _FAULTS as fault:
        reason = " ".join(str(fault).split())[:200]
        raise AssetError(f"{model}: not a graph model of TensorFlow.js that can be converted ({reason})") from fault


def _onnx(graph: _Graph, name: str, outputs: list[Any]) -> bytes:
    used = {name for node in graph.nodes for name in node.input}
    kept = [tensor for name, tensor in graph.constants.items() if name in used]
    made = helper.make_graph(graph.nodes, name, graph.inputs, outputs, kept)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _weights(folder: Path, manifest: list[Any]) -> Weights:
    """Return every weight by name, as float32, int32 or bool."""
    found: Weights = {}
    for group in manifest:
        data = b"".join((folder / Path(path).name).read_bytes() for path in group["paths"])
        at = 0
        for spec in group["weights"]:
            packed = spec.get("quantization", {})
            if "scale" in packed:
                raise ValueError("weights of 8 or 16 bits with scale and minimum")
            kind = np.dtype(packed.get("dtype", spec["dtype"]))
            values = np.frombuffer(data, kind, int(np.prod(spec["shape"], dtype=np.int64)), at)
            at += values.nbytes
            found[spec["name"]] = values.astype(spec["dtype"]).reshape(spec["shape"])
    return found


def _tensor(name: str) -> str:
    """Return the name of a tensor without the number of a node's first output."""
    return name.removesuffix(":0")


class _Graph:
    """Nodes, constants and inputs of an ONNX graph, converted from TensorFlow's nodes."""

    def __init__(self, topology: Mapping[str, Any], values: Weights) -> None:
        self.values = values
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.inputs: list[Any] = []
        nodes = {node["name"]: node for node in topology["node"]}
        needs = {
            name: [source.lstrip("^").split(":")[0] for source in node.get("input", [])] for name, node in nodes.items()
        }
        for name in TopologicalSorter(needs).static_order():
            self._convert(nodes[name])

    def _convert(self, node: Node) -> None:
        into = [_tensor(source) for source in node.get("input", []) if not source.startswith("^")]
        op, out, attributes = node["op"], node["name"], node.get("attr", {})
        if op in _PLAIN:
            self.emit(_PLAIN[op], into, out)
        elif op in _OPERATIONS:
            _OPERATIONS[op](self, into, out, attributes)
        else:
            raise ValueError(f"operation {op} of node {out} is not known")

    def constant(self, array: Any, name: str = "") -> str:
        """Add a constant; return its name."""
        name = name or f"::constant_{len(self.constants)}"  # no name of TensorFlow's begins with a colon
        self.constants[name] = numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    def emit(self, op: str, inputs: list[str], outputs: str | list[str] = "", **attributes: Any) -> str:
        """Add an ONNX node; return the name of its first output."""
        names = [outputs or f"::{op}_{len(self.nodes)}"] if isinstance(outputs, str) else outputs
        self.nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names[0]

    def int64(self, name: str, vector: bool = False) -> str:
        """Return the integer tensor in 64 bits, as ONNX wants sizes and indices; at least 1-D if ``vector``."""
        if name in self.values:
            return self.constant(np.atleast_1d(self.values[name]).astype(np.int64))
        name = self.emit("Cast", [name], to=TensorProto.INT64)
        return self.emit("Reshape", [name, self.constant(np.array([-1]))]) if vector else name

    def axes(self, name: str) -> list[int]:
        """Return the axes in a constant."""
        return [int(axis) for axis in np.atleast_1d(self.values[name])]

    def channels_first(self, name: str) -> str:
        """Return a tensor (N, H, W, C) as (N, C, H, W)."""
        return self.emit("Transpose", [name], perm=[0, 3, 1, 2])

    def channels_last(self, name: str, out: str) -> None:
        """Return a tensor (N, C, H, W) as (N, H, W, C)."""
        self.emit("Transpose", [name], out, perm=[0, 2, 3, 1])

    def clip(self, name: str, out: str = "") -> str:
        """Add the activation ReLU6."""
        return self.emit("Clip", [name, self.constant(np.float32(0)), self.constant(np.float32(6))], out)


_Operation = Callable[[_Graph, list[str], str, Mapping[str, Any]], object]


def _ints(attr: Mapping[str, Any], key: str) -> list[int]:
    return [int(value) for value in attr.get(key, {}).get("list", {}).get("i", [])]


def _flag(attr: Mapping[str, Any], key: str) -> int:
    return int(attr.get(key, {}).get("b", False))


def _number(attr: Mapping[str, Any], key: str) -> int:
    return int(attr.get(key, {}).get("i", 0))


def _padding(attr: Mapping[str, Any]) -> str:
    return {"SAME": "SAME_UPPER", "VALID": "VALID"}[base64.b64decode(attr["padding"]["s"]).decode()]


def _outputs(name: str, count: int) -> list[str]:
    """Return TensorFlow's names of the outputs of a node: name, name:1, name:2 ..."""
    return [f"{name}:{index}" if index else name for index in range(count)]


def _placeholder(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    sizes = [int(dim["size"]) for dim in attr["shape"]["shape"].get("dim", [])]
    dims = [size if size > 0 else f"d{axis}" if axis else 1 for axis, size in enumerate(sizes)]
    graph.inputs.append(helper.make_tensor_value_info(out, _TYPES[attr["dtype"]["type"]], dims))


def _convolution(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    _convolve(graph, into, out, attr, graph.values[into[1]], 1)  # height, width, in, out


def _depthwise(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    kernel = graph.values[into[1]]  # height, width, in, multiplier
    _convolve(graph, into, out, attr, kernel.reshape(*kernel.shape[:2], 1, -1), kernel.shape[2])


def _convolve(
    graph: _Graph,
    into: list[str],
    out: str,
    attr: Mapping[str, Any],
    kernel: NDArray[Any],
    groups: int,
) -> None:
    fused = [base64.b64decode(name).decode() for name in attr.get("fused_ops", {}).get("list", {}).get("s", [])]
    inputs = [graph.channels_first(into[0]), graph.constant(kernel.transpose(3, 2, 0, 1))]
    if "BiasAdd" in fused:
        inputs.append(into[2])
    dilations = (_ints(attr, "dilations") or [1, 1, 1, 1])[1:3]
    strides = _ints(attr, "strides")[1:3]
    pads: dict[str, Any] = {"auto_pad": _padding(attr)}
    if dilations != [1, 1] and pads["auto_pad"] != "VALID":  # onnxruntime pads by itself only where nothing is dilated
        if strides != [1, 1]:
            raise ValueError(f"convolution {out} with strides and dilations")
        total = [(size - 1) * step for size, step in zip(kernel.shape[:2], dilations, strict=True)]
        pads = {"pads": [*(size // 2 for size in total), *(size - size // 2 for size in total)]}
    inner = graph.emit("Conv", inputs, group=groups, strides=strides, dilations=dilations, **pads)
    for name in fused:
        if name == "Relu6":
            inner = graph.clip(inner)
        elif name != "BiasAdd":
            inner = graph.emit(_PLAIN[name], [inner])
    graph.channels_last(inner, out)


def _max_pool(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    kernel, strides = _ints(attr, "ksize")[1:3], _ints(attr, "strides")[1:3]
    inner = graph.channels_first(into[0])
    pooled = graph.emit("MaxPool", [inner], auto_pad=_padding(attr), kernel_shape=kernel, strides=strides)
    graph.channels_last(pooled, out)


def _resize(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    half, corners = _flag(attr, "half_pixel_centers"), _flag(attr, "align_corners")
    mode = "half_pixel" if half else "align_corners" if corners else "asymmetric"
    inner = graph.channels_first(into[0])
    empty = graph.constant(np.zeros(0, np.float32))
    bounds = [graph.constant(np.array([axis])) for axis in (0, 2)]
    batch = graph.emit("Slice", [graph.emit("Shape", [inner]), *bounds])
    sizes = graph.emit("Concat", [batch, graph.int64(into[1])], axis=0)
    inner = graph.emit("Resize", [inner, empty, empty, sizes], mode="linear", coordinate_transformation_mode=mode)
    graph.channels_last(inner, out)


def _slice(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    begin, end, step = ([int(value) for value in graph.values[name]] for name in into[1:4])
    masks = {key: _number(attr, f"{key}_mask") for key in ("begin", "end", "new_axis", "shrink_axis", "ellipsis")}
    if masks["ellipsis"]:
        raise ValueError(f"slice {out} has an ellipsis")
    cuts, added, removed, axis, after = [], [], [], 0, 0
    for index in range(len(begin)):
        if masks["new_axis"] >> index & 1:
            added.append(after)
            after += 1
            continue
        far = np.iinfo(np.int64).max
        start, stop = (0, far) if step[index] > 0 else (far, -far)
        first = start if masks["begin"] >> index & 1 else begin[index]
        last = stop if masks["end"] >> index & 1 else end[index]
        if masks["shrink_axis"] >> index & 1:
            first, last = begin[index], begin[index] + 1 if begin[index] != -1 else far
            removed.append(axis)
        else:
            after += 1
        cuts.append((first, last, axis, step[index]))
        axis += 1
    name = into[0]
    if cuts:
        name = graph.emit("Slice", [name, *(graph.constant(np.array(cut)) for cut in zip(*cuts, strict=True))])
    for op, axes in (("Squeeze", removed), ("Unsqueeze", added)):
        name = graph.emit(op, [name, graph.constant(np.array(axes))]) if axes else name
    graph.emit("Identity", [name], out)


def _pack(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    axis = _number(attr, "axis")
    parts = [graph.emit("Unsqueeze", [name, graph.constant(np.array([axis]))]) for name in into]
    graph.emit("Concat", parts, out, axis=axis)


def _unpack(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    for index, name in enumerate(_outputs(out, _number(attr, "num"))):
        graph.emit("Gather", [into[0], graph.constant(np.array(index))], name, axis=_number(attr, "axis"))


def _split(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    graph.emit("Split", [into[1]], _outputs(out, _number(attr, "num_split")), axis=graph.axes(into[0])[0])


def _split_by_sizes(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    names = _outputs(out, _number(attr, "num_split"))
    graph.emit("Split", [into[0], graph.int64(into[1])], names, axis=graph.axes(into[2])[0])


def _top_k(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    graph.emit("TopK", [into[0], graph.int64(into[1], vector=True)], [out, f"{out}_index"])
    graph.emit("Cast", [f"{out}_index"], f"{out}:1", to=TensorProto.INT32)


def _squeeze(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    axes = _ints(attr, "squeeze_dims")
    graph.emit("Squeeze", [into[0], *([graph.constant(np.array(axes))] if axes else [])], out)


def _arg_max(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    best = graph.emit("ArgMax", [into[0]], axis=graph.axes(into[1])[0], keepdims=0)
    graph.emit("Cast", [best], out, to=TensorProto.INT32)


def _floor_div(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    if attr["T"]["type"] == "DT_INT32":  # the same as ONNX's division where nothing is negative
        graph.emit("Div", into, out)
    else:
        graph.emit("Floor", [graph.emit("Div", into)], out)


def _squared_difference(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    difference = graph.emit("Sub", into)
    graph.emit("Mul", [difference, difference], out)


def _sparse_to_dense(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    """Fold constants: the index, shape, values and default of a sparse tensor (sizes of paddings)."""
    index, shape, values, default = (graph.values[name] for name in into)
    dense = np.full(shape.astype(np.int64), default)
    dense[tuple(np.atleast_2d(index).reshape(-1, dense.ndim).T)] = values
    graph.values[out] = dense
    graph.constant(dense, out)


def _pad(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    sizes = graph.constant(graph.values[into[1]].T.ravel().astype(np.int64))
    graph.emit("Pad", [into[0], sizes, *into[2:3]], out)


def _cast(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
    graph.emit("Cast", into[:1], out, to=_TYPES[attr["DstT"]["type"]])


def _size_of(op: str) -> _Operation:
    return lambda graph, into, out, attr: graph.emit("Cast", [graph.emit(op, into)], out, to=TensorProto.INT32)


def _with_sizes(op: str) -> _Operation:
    return lambda graph, into, out, attr: graph.emit(op, [into[0], graph.int64(into[1])], out)


def _reduced(op: str) -> _Operation:
    def convert(graph: _Graph, into: list[str], out: str, attr: Mapping[str, Any]) -> None:
        keep = _flag(attr, "keep_dims")
        if op == "ReduceSum":  # its axes are an input since opset 13, those of the others are attributes until 18
            graph.emit(op, [into[0], graph.int64(into[1])], out, keepdims=keep)
        else:
            graph.emit(op, into[:1], out, axes=graph.axes(into[1]), keepdims=keep)

    return convert


_OPERATIONS: Mapping[str, _Operation] = {
    "Const": lambda graph, into, out, attr: graph.constant(graph.values[out], out),
    "Placeholder": _placeholder,
    "Conv2D": _convolution,
    "_FusedConv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "FusedDepthwiseConv2dNative": _depthwise,
    "MaxPool": _max_pool,
    "ResizeBilinear": _resize,
    "Cast": _cast,
    "Shape": _size_of("Shape"),
    "Size": _size_of("Size"),
    "Reshape": _with_sizes("Reshape"),
    "Tile": _with_sizes("Tile"),
    "Fill": lambda graph, into, out, attr: graph.emit("Expand", [into[1], graph.int64(into[0])], out),
    "ExpandDims": lambda graph, into, out, attr: graph.emit(
        "Unsqueeze", [into[0], graph.int64(into[1], vector=True)], out
    ),
    "Squeeze": _squeeze,
    "Transpose": lambda graph, into, out, attr: graph.emit("Transpose", into[:1], out, perm=graph.axes(into[1])),
    "Pack": _pack,
    "Unpack": _unpack,
    "Split": _split,
    "SplitV": _split_by_sizes,
    "ConcatV2": lambda graph, into, out, attr: graph.emit("Concat", into[:-1], out, axis=graph.axes(into[-1])[0]),
    "GatherNd": lambda graph, into, out, attr: graph.emit("GatherND", [into[0], graph.int64(into[1])], out),
    "GatherV2": lambda graph, into, out, attr: graph.emit("Gather", into[:2], out, axis=graph.axes(into[2])[0]),
    "ArgMax": _arg_max,
    "TopKV2": _top_k,
    "Sum": _reduced("ReduceSum"),
    "Max": _reduced("ReduceMax"),
    "Mean": _reduced("ReduceMean"),
    "FloorDiv": _floor_div,
    "SquaredDifference": _squared_difference,
    "Relu6": lambda graph, into, out, attr: graph.clip(into[0], out),
    "LeakyRelu": lambda graph, into, out, attr: graph.emit(
        "LeakyRelu", into, out, alpha=float(attr.get("alpha", {}).get("f", 0.2))
    ),
    "Pad": _pad,
    "PadV2": _pad,
    "StridedSlice": _slice,
    "SparseToDense": _sparse_to_dense,
}
