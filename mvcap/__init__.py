"""Calibrated, marker-less, multi-person 3D motion capture from several ordinary cameras.

Every verb of the command line is a function here::

    import mvcap
    session = mvcap.init("take1/videos", rig="take1/rig.yaml", folder="take1/session")
    summary = mvcap.reconstruct(session)
"""

from mvcap.associate import associate
from mvcap.board import board
from mvcap.calibrate import calibrate
from mvcap.doctor import doctor
from mvcap.errors import MvcapError
from mvcap.estimate import estimate
from mvcap.evaluate import evaluate
from mvcap.export import export
from mvcap.init import init, init_without_footage
from mvcap.reconstruct import reconstruct
from mvcap.refine import refine
from mvcap.report import report
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.track import track
from mvcap.train import train
from mvcap.triangulate import triangulate

__version__ = "0.1.0"

__all__ = [
    "Detections2D",
    "MvcapError",
    "Poses3D",
    "Session",
    "associate",
    "board",
    "calibrate",
    "doctor",
    "estimate",
    "evaluate",
    "export",
    "init",
    "init_without_footage",
    "reconstruct",
    "refine",
    "report",
    "track",
    "train",
    "triangulate",
]
