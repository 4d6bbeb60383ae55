"""A network small enough to be written by hand, with its card."""

import hashlib
from pathlib import Path

import onnx
import yaml
from onnx import TensorProto, helper

from mvcap.weights.networks import card_path


def write_network(path: Path, factor: float) -> None:
    """``total = factor * a`` where something is there, else 0; a, there (N, 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nodes = [
        helper.make_node("Cast", ["there"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["a", "mask"], ["masked"]),
        helper.make_node("Mul", ["masked", "factor"], ["total"]),
    ]
    graph = helper.make_graph(
        nodes,
        "sum",
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("there", TensorProto.BOOL, ["n", 3]),
        ],
        [helper.make_tensor_value_info("total", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    card = {
        "name": path.stem, "command": "by hand", "seed": 0, "version": "0", "data": [], "metrics": {"loss": 0.5},
        "limitations": [], "limits": {"a": [0, 5]}, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }  # fmt: skip
    card_path(path).write_text(yaml.safe_dump(card))
