"""Whether rays can be cast here: Open3D, or the small package embreex."""

import importlib.util

import pytest

NEEDED = "rendering needs Open3D (extra generate) or embreex"
needs_rays = pytest.mark.skipif(
    not any(importlib.util.find_spec(name) for name in ("open3d", "embreex")), reason=NEEDED
)
