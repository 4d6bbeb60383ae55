"""Graph models of TensorFlow.js, small enough to be written by hand."""

import base64
import json

import numpy as np

KINDS = {"float32": "DT_FLOAT", "int32": "DT_INT32", "bool": "DT_BOOL"}


def text(value):
    return {"s": base64.b64encode(value.encode()).decode()}


def texts(*values):
    return {"list": {"s": [base64.b64encode(value.encode()).decode() for value in values]}}


def ints(*values):
    return {"list": {"i": [str(value) for value in values]}}


def node(op, inputs, name="out", **attributes):
    return {"name": name, "op": op, "input": list(inputs), "attr": attributes}


def model(nodes, weights, outputs=("out",), shape=(1, 4, 5, 3), dtype="float32"):
    """Return the content of a graph model with the input ``x``, and its weights in one file."""
    sizes = {"shape": {"dim": [{"size": str(size)} for size in shape]}}
    held = [node("Const", [], name) for name in weights]
    source = node("Placeholder", [], "x", shape=sizes, dtype={"type": KINDS[dtype]})
    # TensorFlow's graphs are in any order.
    named = {name: {"name": f"{name}:0" if ":" not in name else name, "tensorShape": {"dim": []}} for name in outputs}
    specs = []
    for name, value in weights.items():
        packed = {"quantization": {"dtype": "float16"}} if value.dtype == np.float16 else {}
        kind = "float32" if packed else str(value.dtype)
        specs.append({"name": name, "shape": list(value.shape), "dtype": kind, **packed})
    return {
        "modelTopology": {"node": [*nodes, *held, source]},
        "signature": {"outputs": named},
        "weightsManifest": [{"paths": ["net.bin"], "weights": specs}],
    }, b"".join(np.ascontiguousarray(value).tobytes() for value in weights.values())


def write(folder, content, data):
    (folder / "net.bin").write_bytes(data)
    (folder / "net.json").write_text(json.dumps(content))
    return folder / "net.json"


def convolution(op, kernel, stride, padding, dilation, *more, **attributes):
    reach = {"strides": ints(1, stride, stride, 1), "dilations": ints(1, dilation, dilation, 1)}
    return node(op, ["x", "w", *more], padding=text(padding), **reach, **attributes)


def small():
    """A graph model with one convolution and one sum."""
    nodes = [convolution("Conv2D", 1, 1, "SAME", 1), node("Add", ["out", "b"], "sum")]
    return model(
        nodes,
        {"w": np.arange(6, dtype=np.float32).reshape(1, 1, 3, 2), "b": np.array([0.5, -0.5], np.float32)},
        ["sum"],
    )
