"""What is sent of people at a moment: JSON for programs, OSC for animation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D, sigma_m

VERSION = 1


@dataclass(frozen=True, eq=False)
class LiveMoment:
    """People at one moment."""

    frame: int
    time_s: float
    poses: Poses3D
    """``person`` is 0 until a number has been given, which never changes afterwards."""
    rows: Detections2D
    """2D detections, ``person`` as the poses' ``group``."""


def people_message(moment: LiveMoment, wall_s: float, delay_s: float) -> dict[str, Any]:
    """Return a moment as JSON values: metres, z up, null where a joint is unknown.

    wall_s: time of capture since 1970. delay_s: from capture until now.
    """
    poses = moment.poses
    sigma = sigma_m(poses)
    known = np.isfinite(poses.xyz).all(-1)
    return {
        "mvcap": VERSION,
        "frame": moment.frame,
        "time_s": round(wall_s, 4),
        "delay_ms": round(1000 * delay_s, 1),
        "unit": "m",
        "axes": "z-up",
        "joints": list(poses.skeleton.joints),
        "people": [
            {
                "id": int(poses.person[row]),
                "xyz": [
                    [round(float(value), 4) for value in place] if there else None
                    for place, there in zip(poses.xyz[row], known[row], strict=True)
                ],
                "sigma_m": [round(float(value), 4) if np.isfinite(value) else None for value in sigma[row]],
                "views": poses.views[row].tolist(),
            }
            for row in range(len(poses))
        ],
    }


def as_json(message: dict[str, Any]) -> str:
    """Return a message as one line of JSON."""
    return json.dumps(message, separators=(",", ":"))


def osc_messages(message: dict[str, Any]) -> list[tuple[str, list[Any]]]:
    """Return addresses and arguments: ``/mvcap/frame`` frame, time; ``/mvcap/person/ID/JOINT`` x y z in metres.

    Only people who have a number, and joints that are known.
    """
    out: list[tuple[str, list[Any]]] = [("/mvcap/frame", [message["frame"], message["time_s"]])]
    for person in message["people"]:
        if person["id"] > 0:
            out += [
                (f"/mvcap/person/{person['id']}/{joint}", place)
                for joint, place in zip(message["joints"], person["xyz"], strict=True)
                if place is not None
            ]
    return out
