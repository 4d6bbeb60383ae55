"""The weights that ship with the package: small, whole, described, and the same in torch as in onnxruntime."""

import numpy as np
import pytest

from mvcap import plugins
from mvcap.training.onnx_export import weights_of
from mvcap.training.samples import load_task
from mvcap.weights import networks

MOST_BYTES = 4_000_000
WITHOUT_LIMITS = ("crg", "lift", "lift_temporal")  # nothing else would decide where they do not


def test_they_are_small():
    files = [file for file in networks.SHIPPED.iterdir() if file.suffix in (".onnx", ".yaml")]
    assert {file.name for file in files} == {
        f"{name}{end}" for name in plugins.TABLE["task"] for end in (".onnx", ".card.yaml")
    }
    assert sum(file.stat().st_size for file in files) < MOST_BYTES


@pytest.mark.parametrize("name", plugins.TABLE["task"])
def test_each_has_a_card_that_says_what_it_is(name):
    network = networks.load_network(name)
    card = network.card
    assert (
        card["name"] == name and card["command"].startswith(f"mvcap train {name} ") and "--set" not in card["command"]
    )
    assert all(entry["licence"] and entry["name"] for entry in card["data"])
    assert (
        "loss" in card["metrics"] and len(card["limitations"]) > 0 and all(len(one) > 20 for one in card["limitations"])
    )
    assert network.inputs == tuple(load_task(name).sizes.inputs)
    assert (network.limits or name in WITHOUT_LIMITS) and all(
        np.isfinite(values).all() for values in network.limits.values()
    )


@pytest.mark.parametrize("name", plugins.TABLE["task"])
def test_torch_gives_what_onnxruntime_gives(name):
    torch = pytest.importorskip("torch")
    from mvcap.datasets.people import TakeConfig, make_take

    task = load_task(name)
    take = make_take(11, TakeConfig(people=(2, 2), cameras=(4, 4), frames=36, rate_hz=(12.0, 12.0)))
    arrays = task.batch(task.samples(take, 0)[:4])
    network = task.network().eval()
    network.load_state_dict(weights_of(networks.SHIPPED / f"{name}.onnx", network))
    with torch.inference_mode():
        ours = network(*(torch.from_numpy(arrays[one]) for one in task.sizes.inputs))
    theirs = networks.load_network(name)(*(arrays[one] for one in task.sizes.inputs))
    for a, b in zip(ours if isinstance(ours, tuple) else (ours,), theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b, atol=2e-4 * max(1.0, float(np.abs(b).max())))
