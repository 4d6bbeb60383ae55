"""The plane sweep on rendered people: better in textured clothes, the hull itself in plain ones."""

from dataclasses import replace

import numpy as np
import pytest
from capsule_people import capsule_body, circle_rig, f_score, rendered, signed_distance, true_points

from mvcap import plugins
from mvcap.densifiers.plane_sweep import PlaneSweep, PlaneSweepConfig
from mvcap.densifiers.visual_hull import VisualHull, VisualHullConfig
from mvcap.errors import ConfigError

BODY = capsule_body()


def both(moment):
    return VisualHull(VisualHullConfig()).densify(moment), PlaneSweep(PlaneSweepConfig()).densify(moment)


def test_textured_clothes_bring_points_to_the_body():
    hull, swept = both(rendered([BODY], circle_rig(8, size=(800, 600)), textured=True))
    truth = true_points(BODY, 0.01)
    assert f_score(swept.xyz, truth)[0] > f_score(hull.xyz, truth)[0] + 0.01
    moved = np.linalg.norm(swept.xyz - hull.xyz, axis=-1) > 0
    before, after = (np.median(np.abs(signed_distance(BODY, made.xyz[moved]))) for made in (hull, swept))
    assert moved.sum() > 100 and after < before / 2
    assert np.isfinite(swept.error).all() and np.allclose(np.linalg.norm(swept.normals, axis=-1), 1, atol=1e-5)


def test_plain_clothes_keep_the_hull():
    moment = rendered([BODY], circle_rig(5))
    hull, swept = both(moment)
    np.testing.assert_array_equal(hull.xyz, swept.xyz)
    no_images = replace(moment, images=(None,) * 5)
    np.testing.assert_array_equal(PlaneSweep(PlaneSweepConfig()).densify(no_images).xyz, hull.xyz)


def test_it_is_in_the_table_of_names_and_checks_its_settings():
    assert plugins.plugin_class("densifier", "plane_sweep") is PlaneSweep
    for wrong in ({"spacing_m": 1.0}, {"least_score": 2.0}, {"least_texture": 0.0}):
        with pytest.raises(ConfigError, match="plane_sweep"):
            PlaneSweepConfig(**wrong)
