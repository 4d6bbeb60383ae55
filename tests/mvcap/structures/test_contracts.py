"""The contracts of what can be exchanged: every plug-in of the table has the interface of its kind."""

import inspect

import numpy as np
import pytest
from synthetic_take import COCO, ring_rig

from mvcap import plugins
from mvcap.structures import contracts
from mvcap.structures.contracts import UNKNOWN_FRAMES, Evidence, FileEstimator, Learned, View
from mvcap.structures.detections import Detections2D

CONTRACTS = {"estimator": contracts.Estimator, "associator": contracts.Associator, "refiner": contracts.Refiner}
NAMED = [(kind, name) for kind in CONTRACTS for name in plugins.TABLE[kind]]
FILES = {"openpose", "openpose_parts", "coco", "alphapose", "deeplabcut", "sleap", "table"}


def methods(kind):
    return {name: value for name, value in vars(kind).items() if inspect.isfunction(value) and not name.startswith("_")}


@pytest.mark.parametrize(("kind", "name"), NAMED)
def test_a_plugin_takes_what_its_contract_gives(kind, name):
    made = plugins.plugin_class(kind, name)
    for method, wanted in methods(CONTRACTS[kind]).items():
        assert list(inspect.signature(getattr(made, method)).parameters) == list(inspect.signature(wanted).parameters)


@pytest.mark.parametrize("name", plugins.TABLE["estimator"])
def test_estimators_declare_whether_they_need_pictures(name):
    needs = plugins.plugin_class("estimator", name).needs_images
    assert isinstance(needs, bool) and needs == (name not in FILES | {"oracle"})


@pytest.mark.parametrize("name", plugins.TABLE["associator"])
def test_associators_declare_whether_ids_last(name):
    assert isinstance(plugins.load_plugin("associator", {"associator": name})[0].follows, bool)


def test_estimators_of_files_count_their_frames():
    found = {
        name
        for name in plugins.TABLE["estimator"]
        if issubclass(plugins.plugin_class("estimator", name), FileEstimator)
    }
    assert found == FILES


def test_plugins_with_learned_weights_have_an_identity():
    loaded = {kind: [plugins.load_plugin(kind, {kind: name})[0] for name in plugins.TABLE[kind]]
              for kind in ("associator", "refiner")}  # fmt: skip
    learned = [type(one).__name__ for kind in loaded.values() for one in kind if isinstance(one, Learned)]
    assert sorted(learned) == ["GraphAssociator", "GraphRefiner"]
    identities = {one.identity(ring_rig(3)) for kind in loaded.values() for one in kind if isinstance(one, Learned)}
    assert len(identities) == 2  # other weights, another identity
    assert identities == {one.identity(ring_rig(4)) for kind in loaded.values() for one in kind
                          if isinstance(one, Learned)}  # fmt: skip


def test_a_view_may_have_an_unknown_number_of_frames():
    view = View(0, "left", (64, 48), 25.0, UNKNOWN_FRAMES)
    assert view.frames == np.iinfo(np.int32).max and hash(view) == hash(View(0, "left", (64, 48), 25.0, UNKNOWN_FRAMES))


def test_default_evidence_expects_no_error():
    evidence = Evidence(ring_rig(3), Detections2D.empty(COCO), 25.0, np.full(9, np.nan))
    assert (np.broadcast_to(evidence.limb_sigma, 9) == 0).all()
    assert (np.broadcast_to(evidence.calibration_px, 3) == 0).all()
