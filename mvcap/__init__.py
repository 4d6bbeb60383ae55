"""Calibrated, marker-less, multi-person 3D motion capture from several ordinary cameras.

Two doors. Verbs on a session folder, as on the command line::

    session = mvcap.init("take1/videos", rig="take1/rig.yaml", folder="take1.mvcap")
    summary = mvcap.reconstruct(session)

and functions on arrays, which the verbs are made of; no folder, no file::

    rig = mvcap.Rig.from_opencv(K, dist, rvec, tvec, size)
    found = mvcap.Detections2D.from_dense(xy, score, "coco17")  # (T, C, P, J, 2) px, (T, C, P, J)
    poses = mvcap.reconstruct_rows(found, rig, rate_hz=25)
    poses.dense()  # (T, P, J, 3) m

A verb's module is called as its function: ``mvcap.track(session)``, and ``import mvcap.track as t`` gives the module,
with all that is in it. Names are loaded when they are first used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mvcap.version import __version__ as __version__

if TYPE_CHECKING:
    from calib import Camera, Lens, Rig, load_rig, save_rig
    from mvcap.associate import associate, associate_rows
    from mvcap.batch import batch
    from mvcap.board import board
    from mvcap.body_models.smpl_parameters import load_smpl_parameters
    from mvcap.calibrate import calibrate
    from mvcap.check import check
    from mvcap.cloud import cloud, cloud_arrays, read_cloud
    from mvcap.datasets.sessions import generate_session
    from mvcap.doctor import doctor
    from mvcap.drawing.overlay import draw
    from mvcap.errors import MvcapError
    from mvcap.estimate import detect, estimate, load_detections
    from mvcap.evaluate import evaluate, score
    from mvcap.export import export, write_poses
    from mvcap.generate import generate, generate_composites
    from mvcap.init import init
    from mvcap.live import Live, live
    from mvcap.mesh import mesh, mesh_rows
    from mvcap.plugins import load_plugin
    from mvcap.reconstruct import reconstruct, reconstruct_rows
    from mvcap.record import record
    from mvcap.refine import refine, refine_rows
    from mvcap.report import report
    from mvcap.structures.cloud_file import load_cloud, save_cloud
    from mvcap.structures.contracts import MaskedMoment
    from mvcap.structures.detections import Detections2D
    from mvcap.structures.point_cloud import PointCloud
    from mvcap.structures.pose_file import load_poses
    from mvcap.structures.poses import Poses3D
    from mvcap.structures.session import Session
    from mvcap.structures.skeleton import Skeleton
    from mvcap.structures.skeleton_file import load_skeleton
    from mvcap.sync import sync, unsync
    from mvcap.track import track, track_rows
    from mvcap.train import train
    from mvcap.triangulate import triangulate
    from mvcap.triangulation.robust_triangulation import triangulate_rows
    from mvcap.view import export_picture, export_recording, export_video, export_view, view

_VERBS = (
    "associate", "batch", "board", "calibrate", "check", "cloud", "doctor", "estimate", "evaluate", "export",
    "generate", "init", "live", "mesh", "reconstruct", "record", "refine", "report", "sync", "track", "train",
    "triangulate", "view",
)  # fmt: skip
_GROUND = ("assets", "errors", "plugins", "rig")
_MODULE_OF = {
    **dict.fromkeys(("Camera", "Lens", "Rig", "load_rig", "save_rig"), "calib"),
    "associate_rows": "mvcap.associate",
    **dict.fromkeys(("cloud_arrays", "read_cloud"), "mvcap.cloud"),
    "draw": "mvcap.drawing.overlay",
    "generate_session": "mvcap.datasets.sessions",
    "MvcapError": "mvcap.errors",
    **dict.fromkeys(("detect", "load_detections"), "mvcap.estimate"),
    "score": "mvcap.evaluate",
    "write_poses": "mvcap.export",
    "Live": "mvcap.live",
    "generate_composites": "mvcap.generate",
    "load_plugin": "mvcap.plugins",
    "load_smpl_parameters": "mvcap.body_models.smpl_parameters",
    "mesh_rows": "mvcap.mesh",
    "reconstruct_rows": "mvcap.reconstruct",
    "refine_rows": "mvcap.refine",
    "Detections2D": "mvcap.structures.detections",
    **dict.fromkeys(("load_cloud", "save_cloud"), "mvcap.structures.cloud_file"),
    "MaskedMoment": "mvcap.structures.contracts",
    "PointCloud": "mvcap.structures.point_cloud",
    "load_poses": "mvcap.structures.pose_file",
    "Poses3D": "mvcap.structures.poses",
    "Session": "mvcap.structures.session",
    "Skeleton": "mvcap.structures.skeleton",
    "load_skeleton": "mvcap.structures.skeleton_file",
    "unsync": "mvcap.sync",
    "track_rows": "mvcap.track",
    "triangulate_rows": "mvcap.triangulation.robust_triangulation",
    **dict.fromkeys(("export_picture", "export_recording", "export_video", "export_view"), "mvcap.view"),
}

__all__ = [
    "Camera",
    "Detections2D",
    "Lens",
    "Live",
    "MaskedMoment",
    "MvcapError",
    "PointCloud",
    "Poses3D",
    "Rig",
    "Session",
    "Skeleton",
    "associate",
    "associate_rows",
    "batch",
    "board",
    "calibrate",
    "check",
    "cloud",
    "cloud_arrays",
    "detect",
    "doctor",
    "draw",
    "estimate",
    "evaluate",
    "export",
    "export_picture",
    "export_recording",
    "export_video",
    "export_view",
    "generate",
    "generate_composites",
    "generate_session",
    "init",
    "live",
    "load_cloud",
    "load_detections",
    "load_plugin",
    "load_poses",
    "load_rig",
    "load_skeleton",
    "load_smpl_parameters",
    "mesh",
    "mesh_rows",
    "read_cloud",
    "reconstruct",
    "reconstruct_rows",
    "record",
    "refine",
    "refine_rows",
    "report",
    "save_cloud",
    "save_rig",
    "score",
    "sync",
    "track",
    "track_rows",
    "train",
    "triangulate",
    "triangulate_rows",
    "unsync",
    "view",
    "write_poses",
]


class _VerbModule(ModuleType):
    """Module of a verb, which is called as the function that it is named after."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._function(*args, **options)

    @property
    def _function(self) -> Any:
        return vars(self)[self.__name__.rpartition(".")[2]]

    @property
    def __wrapped__(self) -> Any:  # what help() and inspect.signature() look for
        return self._function


class _Package(ModuleType):
    """This package: a verb's module can be called from the moment that it is bound here, however it was imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _VERBS and type(value) is ModuleType:
            value.__class__ = _VerbModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _VERBS or name in _GROUND:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
