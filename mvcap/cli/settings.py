"""All settings there are, in one tree: what ``configs/default.yaml`` shows and what overrides are checked against."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mvcap import plugins
from mvcap.config import Overrides, build, plain
from mvcap.errors import ConfigError
from mvcap.estimate import EstimateConfig
from mvcap.export import ExportConfig
from mvcap.refine import RefineConfig
from mvcap.report import ReportConfig
from mvcap.tracking.tracklets import TrackConfig
from mvcap.triangulation.robust_triangulation import TriangulateConfig


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of every verb and of every plug-in of the house."""

    estimator: str = plugins.DEFAULT["estimator"]
    """Who finds people in the pictures."""
    associator: str = plugins.DEFAULT["associator"]
    """Who tells who is who across the views."""
    refiner: str = plugins.DEFAULT["refiner"]
    """Who makes poses better over time."""
    estimate: EstimateConfig = EstimateConfig()
    triangulate: TriangulateConfig = TriangulateConfig()
    track: TrackConfig = TrackConfig()
    refine: RefineConfig = RefineConfig()
    export: ExportConfig = ExportConfig()
    report: ReportConfig = ReportConfig()
    estimators: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of each estimator under its name."""
    associators: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of each associator under its name."""
    refiners: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of each refiner under its name."""


def check_overrides(overrides: Overrides) -> None:
    """Raise ConfigError or PluginError, naming the key, where overrides hold what there is not."""
    sections = {f"{kind}s" for kind in plugins.DEFAULT}
    build(Settings, {key: value for key, value in overrides.items() if key not in sections})
    for kind in plugins.DEFAULT:
        for name, values in _mapping(overrides, f"{kind}s").items():
            build(plugins.plugin_class(kind, name).Config, values, f"{kind}s.{name}")
        plugins.plugin_class(kind, overrides.get(kind, plugins.DEFAULT[kind]))


def _mapping(overrides: Overrides, key: str) -> Mapping[str, Any]:
    values = overrides.get(key, {})
    if not isinstance(values, Mapping):
        raise ConfigError(f"config key {key!r} holds the settings of each by its name, not {values!r}")
    return values


def defaults() -> dict[str, Any]:
    """Return every setting with its default, as ``configs/default.yaml`` holds them."""
    out = plain(Settings())
    for kind in plugins.DEFAULT:
        names = plugins.TABLE[kind]
        out[f"{kind}s"] = {name: plain(plugins.plugin_class(kind, name).Config()) for name in names}
    return out
