"""All settings in one tree, as ``configs/default.yaml`` shows them; overrides are checked against it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

from mvcap import plugins
from mvcap.cloud import CloudConfig
from mvcap.config import Overrides, build, plain
from mvcap.estimate import EstimateConfig
from mvcap.export import ExportConfig
from mvcap.refine import RefineConfig
from mvcap.refinement.one_view import OneViewConfig
from mvcap.report import ReportConfig
from mvcap.tracking.tracklets import TrackConfig
from mvcap.triangulation.robust_triangulation import TriangulateConfig

_HEADER = """\
# Every setting of mvcap with its default, in the order of the stages. This file is a reference to copy from: it is not
# read unless it is given with --config. A settings file of your own needs only the settings that differ.
#
#   mvcap reconstruct videos --rig rig.yaml --config mine.yaml     # a file of changes
#   mvcap reconstruct take.mvcap --set track.min_seconds=0.5       # one change; it is saved in the session
#
# A name with _s is in seconds, _px in pixels of the footage, _m in metres, _mps in metres per second, _mps2 in metres
# per second squared. A name with _sigma is a standard deviation, or a number of standard deviations expected from the
# pixel noise. An unknown name is an error. A stage whose settings change must be run again:
# mvcap reconstruct SESSION --redo STAGE.\
"""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of every verb and of every built-in plug-in."""

    estimator: str = plugins.DEFAULT["estimator"]
    """Estimator that detects people and their joints in the images."""
    associator: str = plugins.DEFAULT["associator"]
    """Associator that matches people across the views."""
    refiner: str = plugins.DEFAULT["refiner"]
    """Refiner that filters or optimises the poses over time."""
    densifier: str = plugins.DEFAULT["densifier"]
    """Densifier that makes point clouds of people."""
    lifter: str = plugins.DEFAULT["lifter"]
    """Lifter that gives people of a take of one view their third dimension."""
    root_depth: str = plugins.DEFAULT["root_depth"]
    """Root depth that tells how far people of a take of one view are."""
    estimate: EstimateConfig = EstimateConfig()
    triangulate: TriangulateConfig = TriangulateConfig()
    track: TrackConfig = TrackConfig()
    refine: RefineConfig = RefineConfig()
    one_view: OneViewConfig = OneViewConfig()
    export: ExportConfig = ExportConfig()
    report: ReportConfig = ReportConfig()
    cloud: CloudConfig = CloudConfig()
    estimators: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of each estimator, by name."""
    associators: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of each associator, by name."""
    refiners: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of each refiner, by name."""
    densifiers: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of each densifier, by name."""
    lifters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of each lifter, by name."""
    root_depths: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of each root depth, by name."""


def check_overrides(overrides: Overrides) -> None:
    """Raise ConfigError or PluginError, naming the key, if overrides have an unknown key, plug-in or wrong value."""
    sections = {f"{kind}s" for kind in plugins.DEFAULT}
    build(Settings, {key: value for key, value in overrides.items() if key not in sections})
    plugins.check_sections(overrides, plugins.DEFAULT)


def defaults() -> dict[str, Any]:
    """Return every setting with its default, as in ``configs/default.yaml``."""
    out = plain(Settings())
    for kind in plugins.DEFAULT:
        names = plugins.TABLE[kind]
        out[f"{kind}s"] = {name: plain(plugins.plugin_class(kind, name).Config()) for name in names}
    return out


def document() -> str:
    """Return the text of ``configs/default.yaml``: every setting with its default and its documentation."""
    out = [_HEADER]
    for field in dataclasses.fields(Settings):
        about, _ = _field_docs(Settings)[field.name]
        if isinstance(field.default, str):
            kind = field.name
            names = ", ".join(plugins.TABLE[kind])
            out += ["", *_comment(f'{about} One of {names}, or "package.module:Class".', 0), f"{kind}: {field.default}"]
        elif dataclasses.is_dataclass(field.default):
            summary = inspect.cleandoc(type(field.default).__doc__ or "").split("\n\n")[0]
            out += ["", *_comment(summary.removeprefix("Settings of "), 0), *_section(field.name, field.default, 0)]
        else:
            out += ["", *_comment(about or "", 0), f"{field.name}:"]
            kind = field.name.removesuffix("s")
            for name in plugins.TABLE[kind]:
                out += [*([] if out[-1] == f"{field.name}:" else [""]), *plugin_block(kind, name)]
    return "\n".join(out) + "\n"


def plugin_block(kind: str, name: str) -> list[str]:
    """Return the lines of a plug-in in ``document``: its settings, documented, under the plural of its kind."""
    found = plugins.plugin_class(kind, name)
    owners = {plugins.plugin_class(kind, other).Config: other for other in plugins.TABLE[kind]}
    return [*_comment(plugins.plugin_summary(kind, name), 2), *_section(name, found.Config(), 2, owners)]


def _section(name: str, config: Any, indent: int, owners: Mapping[type[Any], str] | None = None) -> list[str]:
    """Return the lines of one group of settings; a field inherited from another plug-in refers to that plug-in."""
    if not dataclasses.fields(config):
        return [f"{' ' * indent}{name}: {{}}"]
    lines = [f"{' ' * indent}{name}:"]
    for key, (about, owner) in _field_docs(type(config)).items():
        other = (owners or {}).get(owner, name)
        same = other != name and getattr(config, key) == getattr(owner(), key)
        lines += _comment(f"As of {other}." if same else about or "", indent + 2)
        lines.append(f"{' ' * indent}  {key}: {_yaml(getattr(config, key))}")
    return lines


def _field_docs(kind: type[Any]) -> dict[str, tuple[str, type[Any]]]:
    """Return the docstring below each field of a dataclass, and the class that defines it."""
    out: dict[str, tuple[str, type[Any]]] = {field.name: ("", kind) for field in dataclasses.fields(kind)}
    for owner in reversed([base for base in kind.__mro__ if dataclasses.is_dataclass(base)]):
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for node, below in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                text = below.value.value if _is_text(below) else ""  # type: ignore[union-attr]
                out[node.target.id] = (" ".join(str(text).split()), owner)
    return out


def _is_text(node: ast.stmt | None) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _comment(text: str, indent: int) -> list[str]:
    plain_text = " ".join(text.replace("``", "").split())
    start = f"{' ' * indent}# "
    return textwrap.wrap(plain_text, 120, initial_indent=start, subsequent_indent=start)


def _yaml(value: Any) -> str:
    import yaml

    listed = list(value) if isinstance(value, tuple) else value
    return str(yaml.safe_dump(listed, default_flow_style=True)).removesuffix("\n...\n").strip()
