"""What a report says of a take of one view: how uncertain depth is, where scale, lens and gravity come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from calib.arrays import Floats
from calib.camera import Camera
from mvcap.reporting.figures import tidy
from mvcap.reporting.reason import LIMITS, REFUSE, Reason
from mvcap.structures.assumed_camera import PRIOR_FOCAL_SHARE, KnownLens
from mvcap.structures.poses import Poses3D, full_covariance
from mvcap.triangulation.reprojection_residuals import Histogram

_NOISY, _WRONG = 3.0, 6.0  # reprojection error over the expected noise
_LISTED = 8


class OneCameraFigures:
    """Collects how far people are from the camera, and how uncertain that is, chunk by chunk."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._people: dict[int, tuple[Histogram, Histogram, Histogram]] = {}

    def add(self, poses: Poses3D) -> None:
        """Add a chunk of refined poses."""
        if not len(poses):
            return
        distance, along, across = _middle(poses, self._camera)
        for person in np.unique(poses.person).tolist():
            mine = poses.person == person
            held = self._people.setdefault(person, (Histogram(1), Histogram(1), Histogram(1)))
            none = np.zeros(int(mine.sum()), np.int64)
            for histogram, values in zip(held, (distance, along / distance, across), strict=True):
                histogram.add(none, values[mine])

    def summary(
        self, lens: KnownLens, world: Mapping[str, Any] | None, statures: Mapping[str, float]
    ) -> dict[str, Any]:
        """Return the report's ``one_camera``: figures over the take and by person, lens, world and given statures.

        depth_share: median standard deviation of the distance of people's joints, as a share of it, with that of scale
        and focal length; across_mm: the same across the ray, mm; distance_m. world: up ("rig", "people" or "unknown")
        and the lines that say how well the floor fits.
        """
        names = ("distance_m", "depth_share", "across_mm")
        people = {
            person: {name: tidy(one.median() * (1000 if name == "across_mm" else 1)) for name, one in
                     zip(names, held, strict=True)}
            for person, held in self._people.items()
        }  # fmt: skip
        whole = {}
        for at, name in enumerate(names):
            known = [held[at].median() for held in self._people.values() if held[at].count.any()]
            value = float(np.median(known)) if known else float("nan")
            whole[name] = tidy(value * (1000 if name == "across_mm" else 1))
        return {
            **whole,
            "people": people,
            "lens": {"source": lens.source, "note": lens.words},
            "world": dict(world or {"up": "rig", "lines": []}),
            "heights_m": dict(statures),
        }


def _middle(poses: Poses3D, camera: Camera) -> tuple[Floats, Floats, Floats]:
    """Distance (M,) m of the middle of each row, and the medians (M,) m of its joints' sigma along and across rays."""
    centre = -camera.cam_from_world[:3, :3].T @ camera.cam_from_world[:3, 3]
    away = poses.xyz.astype(np.float64) - centre
    reach = np.linalg.norm(away, axis=-1)
    ray = away / reach[..., None]
    covariance = full_covariance(poses.cov.astype(np.float64))
    along = np.einsum("mja,mjab,mjb->mj", ray, covariance, ray)
    across = (np.trace(covariance, axis1=-2, axis2=-1) - along) / 2
    out = []
    for values in (reach, np.sqrt(np.maximum(along, 0)), np.sqrt(np.maximum(across, 0))):
        some = np.isfinite(values).any(-1)
        middle = np.full(len(values), np.nan)
        middle[some] = np.nanmedian(values[some], axis=-1)
        out.append(middle)
    return out[0], out[1], out[2]


def one_camera_reasons(summary: Mapping[str, Any]) -> Iterator[Reason]:
    """Reasons of a take of one view, the first of which says what a single view can know."""
    found = summary.get("one_camera")
    if not found:
        return
    given = found["heights_m"]
    numbers = {str(person["id"]) for person in summary["people"]}
    others = sorted(numbers - set(given), key=int)
    scale = "size and distance of people follow from an assumed stature; `--height ID=1.78` gives that of a person"
    if given and not others:
        scale = "size and distance of people follow from the statures that were given"
    elif given:
        scale = f"size and distance follow from an assumed stature but for {_persons(sorted(given, key=int))}"
    yield Reason(LIMITS, f"one view: {scale}; {_depth(found)}")
    if found["lens"]["source"] == "prior":
        yield Reason(
            LIMITS,
            f"{found['lens']['note']}: distances grow with the focal length, which is uncertain by "
            f"{PRIOR_FOCAL_SHARE:.0%}; what is laid over the picture and the size of people hardly depend on it",
        )
    elif found["lens"]["source"] == "fov":
        yield Reason(LIMITS, f"{found['lens']['note']}: distances are as wrong as that angle is")
    yield from _world(found["world"])
    noise = summary["normalised_residual"]
    if noise is not None and noise > _NOISY:
        yield Reason(
            REFUSE if noise > _WRONG else LIMITS,
            f"the reprojection error is {noise:.1f} times the expected noise (up to {_NOISY:g} is good): the lifted "
            "people do not fall on their pixels",
        )


def _depth(found: Mapping[str, Any]) -> str:
    if found["depth_share"] is None:
        return "depth is not known"
    share, away = found["depth_share"], found["distance_m"]
    return f"depth is uncertain by {share:.0%} (one standard deviation, {share * away:.2f} m at {away:.1f} m)"


def _world(world: Mapping[str, Any]) -> Iterator[Reason]:
    if world["up"] == "people":
        listed = f" ({'; '.join(world['lines'])})" if world["lines"] else ""
        yield Reason(LIMITS, f"gravity and floor follow from people who stand{listed}")
    elif world["up"] == "unknown":
        yield Reason(LIMITS, f"gravity is not known: {'; '.join(world['lines'])}; z is up as the camera is held")


def one_camera_places(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield how uncertain the distance of each person is."""
    people = (summary.get("one_camera") or {}).get("people", {})
    listed = [item for item in people.items() if item[1]["depth_share"] is not None]
    for person, one in sorted(listed, key=lambda item: -item[1]["depth_share"])[:_LISTED]:
        share, away = one["depth_share"], one["distance_m"]
        yield f"person {person}: distance {away:.1f} m, uncertain by {share:.0%} ({share * away:.2f} m)"


def _persons(numbers: list[str]) -> str:
    return f"person{'s' * (len(numbers) > 1)} {', '.join(numbers)}"
