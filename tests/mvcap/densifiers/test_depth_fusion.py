"""Depth images of rendered people fused into one surface; without Open3D, one line that names the extra."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
from capsule_people import CIRCLES, capsule_body, circle_rig, depth_of, f_score, rendered, signed_distance, true_points

import mvcap
from mvcap import plugins
from mvcap.densifiers.depth_fusion import DepthFusion, DepthFusionConfig
from mvcap.errors import ConfigError, InputError
from mvcap.structures import optional_package


def with_depths(people, rig):
    """The moment of people with their depth images (H, W) m along the optical axis."""
    moment, depths = rendered(people, rig), []
    for camera, label in zip(rig, moment.labels, strict=True):
        rows, columns = np.nonzero(label)
        origin, direction = camera.rays(np.stack([columns, rows], -1).astype(float))
        origin = np.asarray(origin).reshape(-1, 3)[0]
        points = origin + depth_of(people, origin, direction)[0][:, None] * direction
        image = np.zeros(label.shape, np.float32)
        image[rows, columns] = points @ camera.cam_from_world[2, :3] + camera.cam_from_world[2, 3]
        depths.append(image)
    return replace(moment, depths=tuple(depths))


def is_there():
    try:
        return bool(importlib.import_module("open3d"))
    except (ImportError, OSError):
        return False


needs_open3d = pytest.mark.skipif(not is_there(), reason="needs the extra cloud (Open3D)")


@needs_open3d
def test_depths_become_the_surface_of_the_people():
    people = [capsule_body(0.3, circle) for circle in CIRCLES]
    moment = with_depths(people, circle_rig(6))
    made = DepthFusion(DepthFusionConfig()).densify(moment)
    assert made.persons.tolist() == [1, 2] and made.views.max() >= 2
    for person, one in enumerate(people, 1):
        mine = made.of(person)
        assert np.percentile(np.abs(signed_distance(one, mine.xyz)), 90) < 0.01
        assert f_score(mine.xyz, true_points(one, 0.01))[0] > 0.93
    out = signed_distance(people[0], made.of(1).xyz + 0.01 * made.of(1).normals)
    assert (out > 0).mean() > 0.95  # normals point out
    twice = DepthFusion(DepthFusionConfig(least_views=2)).densify(moment)
    assert 0 < len(twice) < len(made) and twice.error.max() < 0.02


@needs_open3d
def test_without_masks_everything_is_fused_as_nobody():
    moment = with_depths([capsule_body()], circle_rig(3, size=(320, 240)))
    nobody = replace(moment, persons=np.zeros(0, np.int32), joints=np.zeros((0, 17, 3)), images=(None,) * 3)
    made = mvcap.cloud_arrays(nobody, method="depth_fusion", spacing_m=0.02)
    assert len(made) > 300 and made.persons.tolist() == [0] and np.abs(made.rgb.astype(int) - 128).max() <= 1
    dark = replace(moment, depths=(np.full((240, 320), np.nan),) * 3)
    assert len(DepthFusion(DepthFusionConfig()).densify(dark)) == 0


def test_without_open3d_one_line_names_the_extra(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(optional_package.importlib, "import_module", missing)
    moment = with_depths([capsule_body()], circle_rig(2, size=(320, 240)))
    with pytest.raises(InputError, match=r'needs Open3D .*pip install "mvcap\[cloud\]"') as caught:
        DepthFusion(DepthFusionConfig()).densify(moment)
    assert "\n" not in str(caught.value)


def test_moments_without_depths_and_wrong_ones_are_refused():
    moment = rendered([capsule_body()], circle_rig(2, size=(320, 240)))
    with pytest.raises(InputError, match="needs depth images"):
        DepthFusion(DepthFusionConfig()).densify(moment)
    with pytest.raises(InputError, match="depths must be one image"):
        mvcap.cloud_arrays(replace(moment, depths=(np.zeros((2, 2)), None)), method="depth_fusion")
    assert plugins.plugin_class("densifier", "depth_fusion") is DepthFusion
    for wrong in ({"spacing_m": 1.0}, {"farthest_m": 0.0}, {"least_views": 0}):
        with pytest.raises(ConfigError, match="depth_fusion"):
            DepthFusionConfig(**wrong)
