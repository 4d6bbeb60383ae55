"""Graph models of the asset cache as ONNX files beside them: made once, and anew for other weights."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from tiny_graphs import small, write

from mvcap import assets
from mvcap.errors import AssetError, SessionError
from mvcap.estimation import converted_networks, tfjs_graph
from mvcap.estimation.converted_networks import converted_network, network_identity
from mvcap.estimation.onnx_network import OnnxNetwork

PIXELS = np.ones((1, 4, 5, 3), np.float32)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with the asset ``tiny``; a function that puts other weights there."""
    monkeypatch.setenv("MVCAP_CACHE", str(tmp_path))
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    content, data = small()
    content["signature"]["outputs"]["sum"]["tensorShape"]["dim"] = [{"size": "-1"}] * 4

    def put(factor):
        weights = (factor * np.frombuffer(data, np.float32)).tobytes()
        content["weightsManifest"][0]["paths"] = ["tiny.bin"]
        write(folder, content, b"")
        (folder / "net.json").replace(folder / "tiny.json")
        (folder / "net.bin").unlink()
        (folder / "tiny.bin").write_bytes(weights)
        table = {}
        for kind in ("json", "bin"):
            held = (folder / f"tiny.{kind}").read_bytes()
            like = assets.ASSETS[f"movenet-thunder/movenet-thunder.{kind}"]
            name = f"tiny/tiny.{kind}"
            sha256 = hashlib.sha256(held).hexdigest()
            table[name] = replace(like, name=name, file=f"models/{name}", size=len(held), sha256=sha256)
        monkeypatch.setattr(assets, "ASSETS", {**dict(WITHOUT), **table})

    put(1.0)
    return put


WITHOUT = dict(assets.ASSETS)


@pytest.fixture
def conversions(monkeypatch):
    """Files that were converted."""
    done = []

    def counted(model):
        done.append(model)
        return convert(model)

    convert = tfjs_graph.convert_graph
    monkeypatch.setattr(tfjs_graph, "convert_graph", counted)
    return done


def made(tmp_path):
    return sorted(path.name for path in (tmp_path / "models").iterdir() if path.is_file())


def test_a_network_is_converted_once(cache, conversions, tmp_path):
    first = converted_network("tiny")
    assert first.is_file() and first.parent == tmp_path / "models" and first.suffix == ".onnx"
    before = first.stat().st_mtime_ns
    assert converted_network("tiny") == first and first.stat().st_mtime_ns == before
    assert conversions == [tmp_path / "models" / "tiny" / "tiny.json"]
    assert made(tmp_path) == [first.name]  # nothing half written
    assert OnnxNetwork(first)(PIXELS)[0].shape == (1, 4, 5, 2)


def test_other_weights_are_another_network(cache, conversions, tmp_path):
    first, identity = converted_network("tiny"), network_identity("tiny")
    cache(2.0)
    second = converted_network("tiny")
    assert second != first and network_identity("tiny") != identity and len(conversions) == 2
    one, two = (OnnxNetwork(path)(PIXELS)[0] for path in (first, second))
    np.testing.assert_allclose(two, 2 * one, rtol=1e-5)
    cache(1.0)
    assert converted_network("tiny") == first and len(conversions) == 2


def test_identities_are_those_of_the_files():
    names = ["movenet-thunder", "movenet-lightning", "movenet-multipose", "blazepose-landmarks"]
    identities = [network_identity(name) for name in names]
    assert len(set(identities)) == 4 and all(len(identity) == 16 for identity in identities)
    assert identities[-1] == assets.ASSETS["blazepose-landmarks"].sha256[:16]


def test_an_asset_that_cannot_be_converted_leaves_nothing(cache, tmp_path, monkeypatch):
    def refuse(model):
        raise AssetError(f"{model}: no")

    monkeypatch.setattr(tfjs_graph, "convert_graph", refuse)
    with pytest.raises(AssetError, match=r"tiny\.json"):
        converted_network("tiny")
    assert made(tmp_path) == []


def test_a_name_that_is_no_asset():
    with pytest.raises(AssetError, match="nobody"):
        converted_network("nobody")


@pytest.mark.parametrize("damage", [lambda whole: whole[:-7], lambda whole: whole[:-8] + bytes(8), lambda whole: b""])
def test_a_damaged_conversion_is_made_again(cache, conversions, tmp_path, damage):
    path = converted_network("tiny")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    again = converted_network("tiny")
    assert again.read_bytes() == whole and len(conversions) == 2 and made(tmp_path) == [again.name]


def test_a_cache_that_cannot_be_written_is_named(cache, tmp_path, monkeypatch):
    def full(path):
        raise SessionError(f"{path} cannot be written: No space left")

    monkeypatch.setattr(converted_networks, "written_whole", full)
    with pytest.raises(AssetError, match="MVCAP_CACHE"):
        converted_network("tiny")


def test_a_removed_asset_takes_its_conversion_along(cache, tmp_path):
    path = converted_network("tiny")
    gone = assets.remove(["tiny"])
    assert path in gone and made(tmp_path) == [] and not any((tmp_path / "models" / "tiny").iterdir())
