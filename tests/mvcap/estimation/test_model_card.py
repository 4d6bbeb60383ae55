"""Model cards: what is written comes back, and whatever is wrong names the file and the key."""

import hashlib

import pytest
import yaml

from mvcap.errors import AssetError, ConfigError, InputError
from mvcap.estimation.model_card import DetectorCard, ModelCard, PoseCard, model_file, read_card

DETECTOR = {"file": "d.onnx", "size": 320, "mean": [1, 2.5, 3], "std": [4, 5, 6]}
POSE = {"file": "p.onnx", "size": [192, 256], "mean": [0, 0, 0], "std": [1, 1, 1], "output": "simcc",
        "skeleton": "coco17"}  # fmt: skip


def card(tmp_path, detector=None, pose=None, drop=()):
    document = {"detector": {**DETECTOR, **(detector or {})}, "pose": {**POSE, **(pose or {})}}
    for part, key in drop:
        del document[part][key]
    path = tmp_path / "card.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def refused(path, *words, kind=ConfigError):
    with pytest.raises(kind) as caught:
        read_card(path)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_the_least_that_a_card_holds(tmp_path):
    assert read_card(card(tmp_path)) == ModelCard(
        DetectorCard("d.onnx", 320, (1.0, 2.5, 3.0), (4.0, 5.0, 6.0)),
        PoseCard("p.onnx", (192, 256), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "simcc", "coco17"),
    )


def test_what_a_card_leaves_out_is_what_most_networks_want(tmp_path):
    read = read_card(card(tmp_path))
    assert (read.detector.colour, read.detector.person_label, read.detector.threshold) == ("bgr", 0, 0.3)
    assert (read.pose.colour, read.pose.box_scale, read.pose.sha256) == ("rgb", 1.25, "")


def test_all_that_a_card_holds(tmp_path):
    more = {"colour": "rgb", "person_label": 3, "threshold": 1, "sha256": "ab", "source": "a zoo", "licence": "MIT"}
    read = read_card(card(tmp_path, more, {"output": "heatmap", "box_scale": 2, "skeleton": "halpe26"}))
    assert {key: getattr(read.detector, key) for key in more} == more
    assert isinstance(read.detector.threshold, float) and read.pose.box_scale == 2.0
    assert (read.pose.output, read.pose.skeleton) == ("heatmap", "halpe26")


@pytest.mark.parametrize("key", DETECTOR)
def test_every_key_that_a_detector_needs_is_asked_for(tmp_path, key):
    refused(card(tmp_path, drop=[("detector", key)]), "card.yaml", "detector", key)


@pytest.mark.parametrize("key", POSE)
def test_every_key_that_a_pose_network_needs_is_asked_for(tmp_path, key):
    refused(card(tmp_path, drop=[("pose", key)]), "card.yaml", "pose", key)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("detector", {"size": 3.5}),
        ("detector", {"size": True}),
        ("detector", {"size": [320, 320]}),
        ("detector", {"size": 0}),
        ("detector", {"std": [1, 0, 1]}),
        ("detector", {"mean": [1, 2, "a"]}),
        ("detector", {"mean": 3}),
        ("detector", {"colour": "grey"}),
        ("detector", {"person_label": "person"}),
        ("detector", {"threshold": None}),
        ("detector", {"file": 3}),
        ("detector", {"tresh": 1}),
        ("pose", {"size": [192]}),
        ("pose", {"size": [192, 25.5]}),
        ("pose", {"size": [192, 0]}),
        ("pose", {"std": [1, -1, 1]}),
        ("pose", {"box_scale": 0}),
        ("pose", {"box_scale": "big"}),
        ("pose", {"output": "regression"}),
        ("pose", {"colour": "RGB"}),
        ("pose", {"person_label": 0}),
    ],
)
def test_a_wrong_value_names_its_key(tmp_path, part, change):
    (key,) = change
    refused(card(tmp_path, **{part: change}), part, key)


def test_a_skeleton_that_there_is_not(tmp_path):
    refused(card(tmp_path, pose={"skeleton": "coco19"}), "coco19", "coco17", kind=InputError)


@pytest.mark.parametrize("text", ["", "[]", "detector: {}", "detector: 3\npose: 3", "detector: {}\npose: {}\nmore: 1"])
def test_what_has_not_both_parts(tmp_path, text):
    path = tmp_path / "card.yaml"
    path.write_text(text)
    refused(path, "card.yaml")


@pytest.mark.parametrize("data", [b"detector: [", b"\xff\xfe\x00", b"a: !!python/object/apply:os.getcwd []"])
def test_what_is_no_yaml(tmp_path, data):
    path = tmp_path / "card.yaml"
    path.write_bytes(data)
    refused(path, "card.yaml", kind=InputError)
    refused(tmp_path / "none.yaml", "none.yaml", kind=InputError)


def test_a_network_is_found_and_proven(tmp_path):
    (tmp_path / "d.onnx").write_bytes(b"network")
    digest = hashlib.sha256(b"network").hexdigest()
    for sha256 in ("", digest, digest.upper()):
        one = DetectorCard("d.onnx", 320, (0.0,) * 3, (1.0,) * 3, sha256=sha256)
        assert model_file(one, tmp_path) == tmp_path / "d.onnx"
    with pytest.raises(AssetError, match=rf"d\.onnx.*{digest}"):
        model_file(DetectorCard("d.onnx", 320, (0.0,) * 3, (1.0,) * 3, sha256="0" * 64), tmp_path)
    absent = DetectorCard("none.onnx", 320, (0.0,) * 3, (1.0,) * 3, source="a model zoo")
    with pytest.raises(AssetError, match=r"none\.onnx.*a model zoo"):
        model_file(absent, tmp_path)
