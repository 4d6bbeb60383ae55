"""Weights: found, proven, run; a rig's own before the package's; whatever is damaged is one line on what to do."""

import dataclasses
import pickle

import numpy as np
import pytest
import yaml
from small_networks import write_network
from synthetic_take import ring_rig

from calib.camera import Camera
from calib.rig import Rig
from mvcap.errors import AssetError, ConfigError
from mvcap.weights import networks


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A package with the network ``sum`` (times 1) and a cache with nothing."""
    monkeypatch.setattr(networks, "SHIPPED", tmp_path / "weights")
    monkeypatch.setenv("MVCAP_CACHE", str(tmp_path / "cache"))
    write_network(tmp_path / "weights" / "sum.onnx", 1.0)
    return tmp_path


def test_it_runs_on_arrays_of_any_number_type(places):
    network = networks.load_network("sum")
    assert network.inputs == ("a", "there") and network.outputs == ("total",)
    (total,) = network(np.arange(6.0).reshape(2, 3), [[1, 1, 1], [1, 0, 0]])
    assert total.dtype == np.float32 and np.array_equal(total, [[0, 1, 2], [3, 0, 0]])
    assert network(np.zeros((0, 3)), np.zeros((0, 3)))[0].shape == (0, 3)
    with pytest.raises(ValueError, match="takes a, there"):
        network(np.zeros((2, 3)))


def test_it_says_what_it_is(places):
    network = networks.load_network("sum")
    assert network.card["metrics"] == {"loss": 0.5} and network.identity.startswith("sum-")
    assert np.array_equal(network.limits["a"], [0, 5]) and network.limits["a"].dtype == np.float64
    write_network(places / "other" / "sum.onnx", 2.0)
    other = networks.read(places / "other" / "sum.onnx")
    assert other.identity != network.identity


def test_it_can_be_sent_to_another_process(places):
    network = networks.load_network("sum")
    network(np.ones((1, 3)), np.ones((1, 3)))
    again = pickle.loads(pickle.dumps(network))
    assert np.array_equal(again(np.ones((1, 3)), np.ones((1, 3)))[0], [[1, 1, 1]])


def test_a_rig_has_its_own_or_the_package_s(places):
    rig = ring_rig(3)
    own = networks.rig_folder(rig) / "sum.onnx"
    write_network(own, 2.0)
    assert (
        networks.load_network("sum", rig).path == own and networks.load_network("sum").path.parent == networks.SHIPPED
    )
    assert networks.load_network("sum", ring_rig(4)).path.parent == networks.SHIPPED
    assert networks.load_network("sum", rig)(np.ones((1, 3)), np.ones((1, 3)))[0].max() == 2
    networks.card_path(own).unlink()  # an interrupted fine-tuning leaves a network without a card
    assert networks.load_network("sum", rig).path.parent == networks.SHIPPED


def test_a_file_that_is_replaced_is_another_network(places):
    first = networks.load_network("sum")
    assert first(np.ones((1, 3)), np.ones((1, 3)))[0].max() == 1
    write_network(networks.SHIPPED / "sum.onnx", 3.0)
    assert networks.load_network("sum")(np.ones((1, 3)), np.ones((1, 3)))[0].max() == 3


def renamed(rig, pose=0.0, focal=0.0):
    def other(camera):
        K, place = np.array(camera.lens.K), np.array(camera.cam_from_world)
        K[0, 0] += focal
        place[:3, 3] += pose
        return Camera(dataclasses.replace(camera.lens, name=f"other {camera.name}", K=K), place)

    return Rig(tuple(other(camera) for camera in reversed(rig.cameras)), source="elsewhere")


def test_the_fingerprint_is_of_places_and_lenses(places):
    rig = ring_rig(4)
    known = networks.rig_fingerprint(rig)
    assert networks.rig_fingerprint(renamed(rig)) == known
    assert networks.rig_fingerprint(renamed(rig, pose=1e-9, focal=1e-7)) == known
    assert networks.rig_fingerprint(renamed(rig, pose=0.05)) != known
    assert networks.rig_fingerprint(renamed(rig, focal=3.0)) != known
    assert networks.rig_fingerprint(ring_rig(3)) != known


def damaged(path):
    path.write_bytes(path.read_bytes()[:-9])


def without(key):
    def drop(path):
        card = networks.card_path(path)
        held = yaml.safe_load(card.read_text())
        del held[key]
        card.write_text(yaml.safe_dump(held))

    return drop


def not_a_network(path):
    card = networks.card_path(path)
    held = yaml.safe_load(card.read_text())
    path.write_bytes(b"nothing")
    held["sha256"] = networks.hashlib.sha256(b"nothing").hexdigest()
    card.write_text(yaml.safe_dump(held))


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        (damaged, AssetError, "damaged: its sha256 is"),
        (lambda path: path.unlink(), AssetError, "cannot be read"),
        (lambda path: networks.card_path(path).unlink(), AssetError, "its card is missing"),
        (lambda path: networks.card_path(path).write_text("a: [1"), ConfigError, "cannot be read as a card"),
        (lambda path: networks.card_path(path).write_bytes(b"\xff\xfe\x00"), ConfigError, "cannot be read as a card"),
        (lambda path: networks.card_path(path).write_text("- 1"), ConfigError, "an incomplete card"),
        (without("sha256"), ConfigError, "it lacks sha256"),
        (not_a_network, AssetError, "not a network that onnxruntime can load"),
    ],
)
def test_what_is_damaged_says_what_to_do(places, spoil, kind, words):
    spoil(networks.SHIPPED / "sum.onnx")
    with pytest.raises(kind, match=words) as found:
        networks.load_network("sum").inputs  # noqa: B018
    assert "\n" not in str(found.value) and "mvcap train sum" in str(found.value)


def test_a_network_there_is_not(places):
    with pytest.raises(AssetError, match="there is no such network"):
        networks.load_network("none")
