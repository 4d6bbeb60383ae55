"""The one table of names: every alternative that a user can name, by kind, and how a name is loaded.

An estimator, associator, refiner or densifier is a class whose constructor takes its frozen config dataclass (the class
attribute ``Config``); a task is a class without settings; an exporter and a benchmark are functions. The contracts
stand in ``mvcap.structures.contracts``, ``mvcap.exporters``, ``mvcap.benchmarks`` and ``mvcap.training.task``. Each is
named in the table below or as ``"package.module:Name"``. Adding one is one file and one line. The second door is the
artefact: detections made elsewhere, saved in our layout, are as good as ours (estimator ``table``).
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from calib import Rig
from mvcap.config import Overrides, build, plain
from mvcap.errors import ConfigError, PluginError
from mvcap.structures.contracts import Learned, Lifter, RootDepth

TABLE: Mapping[str, Mapping[str, str]] = {
    "estimator": {
        "people": "mvcap.estimators.people:People",
        "blazepose": "mvcap.estimators.blazepose:BlazePose",
        "topdown": "mvcap.estimators.topdown:TopDown",
        "openpose": "mvcap.estimators.openpose:OpenPose",
        "openpose_parts": "mvcap.estimators.openpose_parts:OpenPoseParts",
        "coco": "mvcap.estimators.coco:Coco",
        "alphapose": "mvcap.estimators.alphapose:AlphaPose",
        "deeplabcut": "mvcap.estimators.deeplabcut:DeepLabCut",
        "sleap": "mvcap.estimators.sleap:Sleap",
        "table": "mvcap.estimators.table:DetectionTable",
        "oracle": "mvcap.estimators.oracle:Oracle",
    },
    "associator": {
        "geometry": "mvcap.associators.geometry:Geometry",
        "graph": "mvcap.associators.graph:GraphAssociator",
    },
    "refiner": {
        "bones": "mvcap.refiners.bones:Bones",
        "graph": "mvcap.refiners.graph:GraphRefiner",
        "butterworth": "mvcap.refiners.butterworth:Butterworth",
        "one_euro": "mvcap.refiners.one_euro:OneEuro",
        "hampel": "mvcap.refiners.hampel:Hampel",
    },
    "densifier": {
        "visual_hull": "mvcap.densifiers.visual_hull:VisualHull",
        "plane_sweep": "mvcap.densifiers.plane_sweep:PlaneSweep",
        "depth_fusion": "mvcap.densifiers.depth_fusion:DepthFusion",
        "room_features": "mvcap.densifiers.room_features:RoomFeatures",
    },
    "lifter": {
        "dynamic_graph": "mvcap.lifters.dynamic_graph:DynamicGraphLifter",
        "temporal": "mvcap.lifters.temporal:TemporalLifter",
        "blazepose_world": "mvcap.lifters.blazepose_world:BlazePoseWorldLifter",
    },
    "body_model": {
        "anny": "mvcap.body_models.anny:load",
        "smpl": "mvcap.body_models.smpl:load",
        "capsules": "mvcap.body_models.capsules:load",
    },
    "root_depth": {
        "combined": "mvcap.root_depths.combined:Combined",
        "reprojection": "mvcap.root_depths.reprojection:Reprojection",
        "distance_aware": "mvcap.root_depths.distance_aware:DistanceAware",
    },
    "exporter": {
        "trc": "mvcap.exporters.trc:write",
        "c3d": "mvcap.exporters.c3d:write",
        "bvh": "mvcap.exporters.bvh:write",
        "gltf": "mvcap.exporters.gltf:write",
        "csv": "mvcap.exporters.csv_table:write",
        "parquet": "mvcap.exporters.parquet:write",
        "json": "mvcap.exporters.json_frames:write",
    },
    "source": {
        "webcam": "mvcap.sources.webcam:Webcam",
        "stream": "mvcap.sources.stream:Stream",
        "mjpeg": "mvcap.sources.mjpeg:Mjpeg",
        "replay": "mvcap.sources.replay:Replay",
        "images": "mvcap.sources.images:Images",
        "genicam": "mvcap.sources.genicam:Genicam",
        "rgbd": "mvcap.sources.rgbd:Rgbd",
    },
    "synchroniser": {
        "motion": "mvcap.synchronisers.motion:MotionSynchroniser",
        "audio": "mvcap.synchronisers.audio:AudioSynchroniser",
        "flash": "mvcap.synchronisers.flash:FlashSynchroniser",
        "timecode": "mvcap.synchronisers.timecode:TimecodeSynchroniser",
    },
    "viewer": {
        "browser": "mvcap.viewers.browser:show",
        "window": "mvcap.viewers.window:show",
        "rerun": "mvcap.viewers.rerun:show",
    },
    "dataset_format": {
        "coco": "mvcap.datasets.formats.coco:CocoKeypoints",
        "panoptic": "mvcap.datasets.formats.panoptic:PanopticPoses",
        "mupots": "mvcap.datasets.formats.mupots:MupotsSequences",
        "mpi_inf_3dhp": "mvcap.datasets.formats.mpi_inf_3dhp:MpiInf3dhpSequences",
        "human36m": "mvcap.datasets.formats.human36m:Human36mArrays",
        "shelf": "mvcap.datasets.formats.shelf:ShelfActors",
        "voxelpose": "mvcap.datasets.formats.voxelpose:VoxelPoseFolder",
        "webdataset": "mvcap.datasets.formats.webdataset:WebDatasetShards",
        "parquet": "mvcap.datasets.formats.parquet:ParquetTables",
    },
    "benchmark": {
        "shelf": "mvcap.benchmarks.shelf:read",
        "campus": "mvcap.benchmarks.campus:read",
        "mvor": "mvcap.benchmarks.mvor:read",
        "panoptic": "mvcap.benchmarks.panoptic:read",
        "humaneva": "mvcap.benchmarks.humaneva:read",
    },
    "job": {
        "reconstruct": "mvcap.jobs.reconstruct:ReconstructJob",
        "calibrate": "mvcap.jobs.calibrate:CalibrateJob",
        "generate": "mvcap.jobs.generate:GenerateJob",
    },
    "runner": {
        "local": "mvcap.runners.local:LocalRunner",
        "dask": "mvcap.runners.dask:DaskRunner",
    },
    "task": {
        "mmg": "mvcap.tasks.mmg:MatchingTask",
        "crg": "mvcap.tasks.crg:CentreTask",
        "prg": "mvcap.tasks.prg:PoseTask",
        "integrate": "mvcap.tasks.integrate:IntegrateTask",
        "depth": "mvcap.tasks.depth:DepthTask",
        "lift": "mvcap.tasks.lift:LiftTask",
        "lift_temporal": "mvcap.tasks.lift:TemporalLiftTask",
    },
}
"""Kind -> name -> ``"package.module:Name"``."""


DEFAULT: Mapping[str, str] = {
    "estimator": "people", "associator": "geometry", "refiner": "bones", "densifier": "visual_hull",
    "lifter": "dynamic_graph", "root_depth": "combined",
}  # fmt: skip
"""What a session uses of each kind that it can name; these have settings of their own."""


@dataclass(frozen=True)
class Plugin:
    """One row of the table of names."""

    kind: str
    name: str
    target: str
    """``"package.module:Name"``."""
    about: str
    """First sentence of its documentation."""
    default: bool
    """Whether it is used where no other is named."""


def plugin_rows() -> list[Plugin]:
    """Return every row of ``TABLE`` with what it is: what ``mvcap doctor --plugins`` prints."""
    return [
        Plugin(kind, name, target, plugin_summary(kind, name), DEFAULT.get(kind) == name)
        for kind, names in TABLE.items()
        for name, target in names.items()
    ]


def plugin_summary(kind: str, name: str) -> str:
    """Return the first paragraph of a plug-in's documentation: of its class, or of the module of its function."""
    found = find_plugin(kind, name)
    text = found.__doc__ if isinstance(found, type) else importlib.import_module(found.__module__).__doc__
    first = " ".join(inspect.cleandoc(text or "").split("\n\n")[0].replace("``", "").split())
    about = first.removeprefix(f"{kind.capitalize().replace('_', ' ')} {name}").lstrip(":, ")
    return about[:1].upper() + about[1:]


def load_plugin(kind: str, overrides: Overrides) -> tuple[Any, dict[str, Any]]:
    """Make the plug-in that a session's overrides name; return it and its settings, its name among them.

    Its own settings stand under the plural of its kind and its name: ``estimators: {blazepose: {...}}``.
    """
    name = overrides.get(kind, DEFAULT[kind])
    found = plugin_class(kind, name)
    sections = overrides.get(f"{kind}s") or {}
    if not isinstance(sections, Mapping):
        raise ConfigError(f"config key '{kind}s' must map names to their settings, not {sections!r}")
    config = build(found.Config, sections.get(name) or {}, f"{kind}s.{name}")
    return found(config), {kind: name, **plain(config)}


def instance(kind: str, plugin: Any, settings: Mapping[str, Any]) -> Any:
    """Return the plug-in of a name with these settings; an object is returned as it is.

    Raises PluginError for a name that does not exist, ConfigError for a setting that does not.
    """
    if not isinstance(plugin, str):
        if settings:
            raise PluginError(f"a {kind} that is made already has its settings; got {', '.join(settings)} beside it")
        return plugin
    return load_plugin(kind, {kind: plugin, f"{kind}s": {plugin: settings}})[0]


def check_sections(overrides: Overrides, kinds: Iterable[str]) -> None:
    """Raise ConfigError or PluginError, naming the key, for a plug-in or a setting of one that does not exist."""
    for kind in kinds:
        sections = overrides.get(f"{kind}s", {})
        if not isinstance(sections, Mapping):
            raise ConfigError(f"config key '{kind}s' must map names to their settings, not {sections!r}")
        for name, values in sections.items():
            build(plugin_class(kind, name).Config, {} if values is None else values, f"{kind}s.{name}")
        plugin_class(kind, overrides.get(kind, DEFAULT[kind]))


def lifting_of(overrides: Overrides, rig: Rig) -> tuple[Lifter, RootDepth, dict[str, Any]]:
    """Return the lifter and the root depth that settings name, and what their results depend on."""
    lifter, settings = load_plugin("lifter", overrides)
    root_depth, more = load_plugin("root_depth", overrides)
    networks = {
        f"{kind}_networks": name
        for kind, plugin in (("lifter", lifter), ("root_depth", root_depth))
        for name in weight_identities(plugin, rig).values()
    }
    return lifter, root_depth, {"of_lifter": settings, "of_root_depth": more, **networks}


def weight_identities(plugin: Any, rig: Rig) -> dict[str, str]:
    """What the result of a plug-in depends on beside its settings: its learned weights, if it has any."""
    return {"networks": plugin.identity(rig)} if isinstance(plugin, Learned) else {}


def plugin_class(kind: str, name: str) -> type[Any]:
    """Class with settings by its name in the table or by ``"package.module:Class"``; PluginError if there is none."""
    found = find_plugin(kind, name)
    if not isinstance(found, type) or not hasattr(found, "Config"):
        raise PluginError(f"{kind} {name!r} is not a class with a Config dataclass")
    return found


def find_plugin(kind: str, name: str) -> Any:
    """Load what a name of the table, or ``"package.module:Name"``, stands for; PluginError if there is none."""
    if not isinstance(name, str):
        raise PluginError(f"config key {kind!r} is a name, not {name!r}")
    target = TABLE[kind].get(name, name)
    module_name, colon, inner = target.partition(":")
    if not colon:
        near = difflib.get_close_matches(name, TABLE[kind], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise PluginError(f"no {kind} {name!r}; {hint}there are: {', '.join(TABLE[kind])}, or 'package.module:Name'")
    try:
        return getattr(importlib.import_module(module_name), inner)
    except (ImportError, AttributeError, ValueError, TypeError) as fault:
        raise PluginError(f"{kind} {name!r} cannot be loaded: {fault}") from fault
