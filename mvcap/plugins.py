"""The contracts of what can be exchanged, and the literal table of what there is.

A plug-in is a class whose constructor takes its frozen config dataclass (the class attribute ``Config``). It is named
in the table below or as ``"package.module:Class"``. Adding one is one file and one line. The second door is the
artefact: detections made elsewhere, saved in our layout, are as good as ours (estimator ``table``).
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.config import Overrides, build, plain
from mvcap.errors import PluginError
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton

State = dict[str, NDArray[Any]]
"""What an estimator carries from frame to frame in one view: plain arrays, so that it can be saved and resumed."""


@dataclass(frozen=True)
class View:
    """What an estimator may know about the view it works on."""

    index: int
    name: str
    size: tuple[int, int]
    """w, h in px."""
    rate_hz: float
    frames: int


@dataclass(frozen=True)
class Estimate:
    """One picture's people, what to carry to the next picture, and their masks if asked for."""

    rows: Detections2D
    state: State
    masks: NDArray[np.uint8] | None = None
    """(H, W) label picture: 0 = nobody, m + 1 = row m of ``rows``."""


class Estimator(Protocol):
    """People in one picture. Pure: what it knows of earlier frames comes in and goes out as ``state``."""

    skeleton: Skeleton
    needs_images: bool

    def prepare(self, views: tuple[View, ...]) -> str:
        """Check models and files before the work starts; return the identity of what the rows will come from."""
        ...

    def estimate(self, image: NDArray[np.uint8] | None, frame: int, view: View, state: State) -> Estimate:
        """Find people in an RGB picture (H, W, 3), or None where the estimator needs none.

        ``state`` is empty at the first frame of a view. A dropped frame is not asked for.
        """
        ...


class Associator(Protocol):
    """Who is who across the views. Pure: what it knows of earlier frames comes in and goes out as ``memory``."""

    follows: bool
    """Whether a number means the same person from frame to frame; it is given to nobody else later."""

    def associate(self, rows: Detections2D, rig: Rig, rate_hz: float, memory: State) -> tuple[Detections2D, State]:
        """Return the rows of some frames, in order of frames, with ``person`` filled, and what is to be remembered.

        Person: 0, 1, 2 ... or -1 for nobody. A row whose joints are of two people may come back as two rows, which
        have the row's joints between them; two rows of a view may be one person where they share no joint or are
        copies. ``memory`` is what was returned for the frames before, empty at the first. ``rate_hz``: frames a second.
        """
        ...


def _nothing() -> NDArray[np.float64]:
    return np.zeros(())


@dataclass(frozen=True)
class Evidence:
    """What is known of one person beside the poses."""

    rig: Rig
    rows: Detections2D
    """What the views saw of this person in the frames of the window, linked by frame."""
    rate_hz: float
    limb_length_m: NDArray[np.float64]
    """(B',) the person's length of each of ``skeleton.limbs`` over the whole take; NaN where unknown."""
    limb_sigma: NDArray[np.float64] = field(default_factory=_nothing)
    """(B',), or one number for all: by what share of it a limb may be longer or shorter while a posture lasts."""
    calibration_px: NDArray[np.float64] = field(default_factory=_nothing)
    """(C,), or one number for all: how far each view's rays are off beyond the noise of the pixels, at all frames."""


class Refiner(Protocol):
    """Better poses of one person over a window of frames."""

    def refine(self, poses: Poses3D, evidence: Evidence) -> Poses3D:
        """Return the same rows, moved, and rows for frames between them. ``poses``: one person, in order of frames."""
        ...


@runtime_checkable
class Learned(Protocol):
    """A plug-in whose result depends on learned weights, beside its settings."""

    def identity(self, rig: Rig) -> str:
        """Which weights serve a rig; results made with others are stale."""
        ...


TABLE: Mapping[str, Mapping[str, str]] = {
    "estimator": {
        "blazepose": "mvcap.estimators.blazepose:BlazePose",
        "topdown": "mvcap.estimators.topdown:TopDown",
        "openpose": "mvcap.estimators.openpose:OpenPose",
        "openpose_parts": "mvcap.estimators.openpose_parts:OpenPoseParts",
        "coco": "mvcap.estimators.coco:Coco",
        "alphapose": "mvcap.estimators.alphapose:AlphaPose",
        "table": "mvcap.estimators.table:DetectionTable",
        "oracle": "mvcap.estimators.oracle:Oracle",
    },
    "associator": {
        "geometry": "mvcap.associators.geometry:Geometry",
        "graph": "mvcap.associators.graph:Graph",
    },
    "refiner": {
        "bones": "mvcap.refiners.bones:Bones",
        "graph": "mvcap.refiners.graph:Graph",
        "butterworth": "mvcap.refiners.butterworth:Butterworth",
        "one_euro": "mvcap.refiners.one_euro:OneEuro",
        "hampel": "mvcap.refiners.hampel:Hampel",
    },
}


DEFAULT: Mapping[str, str] = {"estimator": "blazepose", "associator": "geometry", "refiner": "bones"}


def load(kind: str, overrides: Overrides) -> tuple[Any, dict[str, Any]]:
    """Make the plug-in that a session's overrides name; return it and its settings, its name among them.

    Its own settings stand under the plural of its kind and its name: ``estimators: {blazepose: {...}}``.
    """
    name = overrides.get(kind, DEFAULT[kind])
    if not isinstance(name, str):
        raise PluginError(f"config key {kind!r} is a name, not {name!r}")
    found = plugin_class(kind, name)
    section = (overrides.get(f"{kind}s") or {}).get(name) or {}
    config = build(found.Config, section, f"{kind}s.{name}")
    return found(config), {kind: name, **plain(config)}


def weights(plugin: Any, rig: Rig) -> dict[str, str]:
    """What the result of a plug-in depends on beside its settings: its learned weights, if it has any."""
    return {"networks": plugin.identity(rig)} if isinstance(plugin, Learned) else {}


def plugin_class(kind: str, name: str) -> type[Any]:
    """Class of a plug-in by its name in the table or by ``"package.module:Class"``; PluginError if there is none."""
    target = TABLE[kind].get(name, name)
    module_name, colon, class_name = target.partition(":")
    if not colon:
        near = difflib.get_close_matches(name, TABLE[kind], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise PluginError(f"no {kind} {name!r}; {hint}there are: {', '.join(TABLE[kind])}, or 'package.module:Class'")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError, TypeError) as fault:
        raise PluginError(f"{kind} {name!r} cannot be loaded: {fault}") from fault
    if not isinstance(found, type) or not hasattr(found, "Config"):
        raise PluginError(f"{kind} {name!r} is not a class with a Config dataclass")
    return found
