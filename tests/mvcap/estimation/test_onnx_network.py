"""ONNX networks with one input: from a file or from memory, on the devices there are, and faults in one line."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_networks import write_network

from mvcap.errors import AssetError
from mvcap.estimation.onnx_network import DEVICES, OnnxNetwork, available_devices


def doubled(shape=("n", 3)):
    """A network with the outputs 2 x and the sum of x."""
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["double"]),
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("double", "sum")],
        [numpy_helper.from_array(np.float32(2), "two")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def refused(call, *words):
    with pytest.raises(AssetError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_a_network_from_memory_and_from_a_file_is_the_same(tmp_path):
    (tmp_path / "d.onnx").write_bytes(doubled())
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    for model in (doubled(), tmp_path / "d.onnx"):
        net = OnnxNetwork(model)
        assert net.output_names == ["double", "sum"] and net.input.name == "x" and net.input.shape == ["n", 3]
        double, total = net(x)
        assert (double == 2 * x).all() and total == x.sum()


def test_inputs_in_any_layout_of_memory():
    net = OnnxNetwork(doubled())
    wide = np.arange(24, dtype=np.float32).reshape(4, 6)
    for x in (wide[:, ::2], wide[::-1, 2::-1], np.asfortranarray(wide[:, :3])):
        assert (net(x)[0] == 2 * x).all()


def test_devices():
    found = available_devices()
    assert found[-1] == "cpu" and set(found) < set(DEVICES) and DEVICES[0] == "auto"
    x = np.ones((1, 3), np.float32)
    for device in ("cpu", "auto"):
        assert (OnnxNetwork(doubled(), 1, device)(x)[0] == 2).all()
    for device in set(DEVICES) - {"auto", *found}:
        refused(lambda device=device: OnnxNetwork(doubled(), 1, device), "available: ", "set device to cpu")


def test_what_is_no_network(tmp_path):
    for data in (b"", b"no network", doubled()[:-9]):
        refused(lambda data=data: OnnxNetwork(data))
        (tmp_path / "bad.onnx").write_bytes(data)
        refused(lambda: OnnxNetwork(tmp_path / "bad.onnx"), str(tmp_path / "bad.onnx"))
    refused(lambda: OnnxNetwork(tmp_path / "none.onnx"), "none.onnx")
    refused(lambda: OnnxNetwork(tmp_path), str(tmp_path))


@pytest.mark.parametrize("x", [np.ones((1, 4), np.float32), np.ones(3, np.float32), np.ones((1, 3), np.float64)])
def test_an_input_that_does_not_fit(x):
    refused(lambda: OnnxNetwork(doubled(), remedy="read the manual")(x), str(x.shape), "read the manual")


def test_a_network_with_more_inputs(tmp_path):
    write_network(tmp_path / "two.onnx", 1.0)
    refused(lambda: OnnxNetwork(tmp_path / "two.onnx")(np.ones((1, 3), np.float32)), "two.onnx")


def test_nothing_is_printed(capfd):
    """Not even where a node fails in the middle of the network."""
    model = onnx.load_from_string(doubled())
    model.graph.node.append(helper.make_node("Reshape", ["double", "four"], ["square"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 2]), "four"))
    model.graph.output.append(helper.make_tensor_value_info("square", TensorProto.FLOAT, None))
    net = OnnxNetwork(model.SerializeToString())
    refused(lambda: net(np.ones((1, 9), np.float32)))
    refused(lambda: net(np.ones((1, 3), np.float32)), "(1, 3)")
    assert capfd.readouterr() == ("", "")
