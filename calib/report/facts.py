"""A calibration in plain values for JSON: its accuracy, what it is made from, and what to do."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from calib import geometry
from calib.arrays import Floats
from calib.calibration import POSE, Accuracy, Calibration, Finding, ModelTrial, Pair
from calib.observations import Refusal
from calib.report.json_values import json_values
from calib.report.views import ViewEvidence, target_points, view_evidence

FORMAT, VERSION = "calib-report", 1
SEVERITIES = ("refuse", "limit", "note")
AGREES = 1.5  # a prediction within this factor of the measured error is reliable
_EXCESS = 5.0  # times the expected detection error; beyond it the rig does not describe the observations
_LENS = ("fx_px", "fy_px", "cx_px", "cy_px")
_UP_AT_LEAST = 0.7  # of the cosine between the world's z and the cameras' up; beyond 45 degrees z is not up


def report(calibration: Calibration) -> dict[str, Any]:
    """Everything about a calibration as plain values, strict JSON: None for what is not known, units in the keys.

    Keys: `verdict` (`level`, `reason`, `next_action`), `live_line`, `made_from`, `accuracy`, `cameras`, `pairs`,
    `unconnected`, `target`, `world`, `refused`, `refused_by_reason` and `findings`.
    """
    views = [view_evidence(calibration, view) for view in range(len(calibration.observations.views))]
    out = {
        "format": FORMAT,
        "version": VERSION,
        "verdict": {
            "level": calibration.verdict,
            "reason": calibration.reason,
            "next_action": calibration.next_action,
        },
        "summary": calibration.summary(),
        "live_line": live_line(calibration),
        "made_from": _made_from(calibration),
        "accuracy": _accuracy(calibration),
        "cameras": [*(_camera(calibration, row, view) for row, view in enumerate(views)), *_absent(calibration)],
        "pairs": [_pair(pair) for pair in calibration.pairs],
        "unconnected": list(calibration.unconnected),
        "target": _target(calibration),
        "world": _world(calibration),
        "refused": [asdict(refusal) for refusal in calibration.observations.refused],
        "refused_by_reason": refused_by_reason(calibration.observations.refused),
        "findings": [finding.as_dict() for finding in _findings(calibration)],
    }
    return {key: json_values(value) for key, value in out.items()}


def live_line(calibration: Calibration) -> str:
    """One short line for a live view: verdict, cameras, accuracy, moments, and what to film next."""
    names = every_camera(calibration)
    connected = sum(name in calibration.rig for name in names)
    moments = int(calibration.used.any((0, 2)).sum())
    parts = [calibration.verdict, f"{connected}/{len(names)} cameras", f"{moments} moments"]
    if calibration.verdict != "do not use":
        parts.append(millimetres(1000 * calibration.accuracy.headline_m))
    return " · ".join(parts) + f" → {calibration.next_action}"


def every_camera(calibration: Calibration) -> tuple[str, ...]:
    """The views' names, and those of cameras that were left out because nothing connects them."""
    views = calibration.observations.views
    return (*views, *(name for name in calibration.unconnected if name not in views))


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """Findings by severity, the most severe first, else in the order given, each once."""
    return sorted(dict.fromkeys(findings), key=lambda finding: SEVERITIES.index(finding.severity))


def _findings(calibration: Calibration) -> list[Finding]:
    """Findings on the rig and on every lens, once each."""
    lenses = [finding for fit in calibration.lenses if fit for finding in fit.findings]
    return by_severity([*calibration.findings, *lenses])


def millimetres(value: float | None) -> str:
    """A length with two significant digits, "unknown" for None and NaN."""
    if value is None or not np.isfinite(value):
        return "unknown"
    rounded = round(float(f"{value:.2g}"), 4)
    return f"{rounded:,.0f} mm" if abs(rounded) >= 10 else f"{rounded:g} mm"


def refused_by_reason(refused: Sequence[Refusal]) -> list[dict[str, Any]]:
    """Refused images by reason, the most frequent first; reasons that differ only in their numbers are one."""
    groups: dict[str, list[Refusal]] = defaultdict(list)
    for refusal in refused:
        groups[re.sub(r"\d+(\.\d+)?", "#", refusal.reason)].append(refusal)
    out = []
    for group in groups.values():
        same: dict[tuple[str, str], list[str]] = defaultdict(list)
        for refusal in group:
            same[refusal.view, refusal.reason].append(refusal.moment)
        rows = [{"view": view, "reason": reason, "moments": moments} for (view, reason), moments in same.items()]
        alike = len({refusal.reason for refusal in group}) == 1
        text = group[0].reason if alike else f"{group[0].reason}, and similar"
        out.append({"reason": text, "count": len(group), "images": rows})
    return sorted(out, key=lambda group: -int(group["count"]))


def plot_from_world(calibration: Calibration) -> tuple[Floats, bool]:
    """A rotation (3, 3) that turns the world's z up for plots, and whether it is up already.

    Before the world is aligned, its z may have any direction: then the mean up direction of the cameras is used.
    """
    ups = -calibration.rig.cam_from_world[:, 1, :3]
    up = ups.mean(0)
    length = float(np.linalg.norm(up))
    if length < 0.5 or up[2] / length > _UP_AT_LEAST:
        return np.eye(3), True
    up = up / length
    ahead = calibration.rig.cam_from_world[0, 2, :3]
    ahead = ahead - up * (ahead @ up)
    if np.linalg.norm(ahead) < 1e-3:
        ahead = np.cross(up, calibration.rig.cam_from_world[0, 0, :3])
    ahead = ahead / np.linalg.norm(ahead)
    return np.stack([np.cross(ahead, up), ahead, up]), False


def _made_from(calibration: Calibration) -> dict[str, Any]:
    seen, names = calibration.observations, every_camera(calibration)
    return {
        "cameras": len(names),
        "cameras_connected": sum(name in calibration.rig for name in names),
        "moments": len(seen.moments),
        "moments_used": int(calibration.used.any((0, 2)).sum()),
        "sightings": int(seen.seen.sum()),
        "sightings_used": int(calibration.used.sum()),
        "images_refused": len(seen.refused),
        "time_offsets_estimated": _offsets_estimated(calibration),
    }


def _offsets_estimated(calibration: Calibration) -> bool:
    return bool((np.nan_to_num(calibration.offset_s) != 0).any())


def _accuracy(calibration: Calibration) -> dict[str, Any]:
    accuracy, excess = calibration.accuracy, _excess(calibration)
    predicted, halves = 1000 * accuracy.predicted_m, 1000 * accuracy.halves_m
    known = predicted[np.isfinite(predicted)]
    middle, most, worst = np.percentile(known, (50, 95, 100)) if known.size else 3 * (np.nan,)
    held_out = 1000 * accuracy.held_out_errors_m[np.isfinite(accuracy.held_out_errors_m)]
    counts = np.unique(accuracy.shared_by).tolist()
    size = np.ptp(accuracy.places, axis=0) if len(accuracy.places) else np.full(3, np.nan)
    return {
        "count_on_mm": 1000 * accuracy.headline_m,
        "predicted_rms_mm": 1000 * accuracy.predicted_rms_m,
        "predicted_median_mm": middle,
        "predicted_95_percent_below_mm": most,
        "predicted_worst_mm": worst,
        "halves_rms_mm": 1000 * accuracy.halves_rms_m,
        "held_out_mm": 1000 * accuracy.held_out_m,
        "held_out_median_mm": float(np.median(held_out)) if held_out.size else np.nan,
        "held_out_fit_px": accuracy.held_out_px,
        "halves_by_predicted": accuracy.halves_rms_m / accuracy.predicted_rms_m
        if accuracy.predicted_rms_m > 0
        else np.nan,
        "held_out_fit_by_expected": excess,
        "in_words": agreement(accuracy, excess),
        "places": len(accuracy.places),
        "volume_size_m": size,
        "by_cameras_that_share": [
            {
                "cameras": count,
                "places": int((accuracy.shared_by == count).sum()),
                "predicted_rms_mm": _rms(predicted[accuracy.shared_by == count]),
                "halves_rms_mm": _rms(halves[accuracy.shared_by == count]),
            }
            for count in counts
        ],
    }


def _excess(calibration: Calibration) -> float:
    """Residuals at held-out moments over the expected detection error."""
    expected = _rms(np.where(calibration.used, calibration.observations.sigma, np.nan))
    return calibration.accuracy.held_out_px / expected if expected > 0 else float("nan")


def agreement(accuracy: Accuracy, excess: float = 1.0) -> str:
    """In a sentence, whether the predicted error and the one measured between halves agree.

    excess: residuals at held-out moments over the expected detection error; where it is large, neither of the two
    errors is reliable.
    """
    if excess > _EXCESS:
        return (
            f"Neither is reliable: at held-out moments the residuals are {excess:.0f} times the expected detection "
            "error. A camera moved during the take, views have time offsets, or the detections are not of the target."
        )
    predicted, halves = accuracy.predicted_rms_m, accuracy.halves_rms_m
    if not np.isfinite(predicted):
        if np.isfinite(halves):
            return "The error could be measured between halves of the moments, but not predicted."
        return "The accuracy is unknown: there is too little to predict it from, and nothing to measure it with."
    if not np.isfinite(halves):
        return "There are too few moments to split into halves: no measured error confirms the predicted one."
    if predicted <= 0:
        return "The predicted error is zero, which no calibration has: it is not reliable."
    factor = halves / predicted
    if factor > AGREES:
        return (
            f"Measured between halves, the error is {factor:.1f} times the predicted one: expect the larger. "
            "Something is not in the model: a target that bends or moves while it is filmed, time offsets between "
            "views, or a lens of another kind."
        )
    if factor < 1 / AGREES:
        return f"The prediction is cautious: measured between halves, the error is {factor:.2g} times as large."
    return f"The predicted and the measured error agree (a factor of {factor:.2g}): the figure is reliable."


def _rms(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.sqrt((known**2).mean())) if known.size else float("nan")


def _camera(calibration: Calibration, row: int, view: ViewEvidence) -> dict[str, Any]:
    name, cover = view.name, view.coverage()
    posed = calibration.rig[name] if view.connected else None
    has = view.moments > 0
    own = view.fit.findings if view.fit else ()
    about = by_severity([*own, *(finding for finding in calibration.findings if finding.about == name)])
    return {
        "name": name,
        "connected": view.connected,
        "position_m": posed.position if posed else None,
        "looks": posed.cam_from_world[2, :3] if posed else None,
        "size_px": view.size,
        "lens": _lens(calibration, view),
        "fit_rms_px": calibration.rms_px[row] if has and view.fitted.any() else None,
        "noise_px": calibration.noise_px[row],
        "moments_used": view.moments,
        "sightings_used": len(view.xy),
        "sightings_left_out": view.left_out,
        "image_covered_share": cover.image_share,
        "border_covered_share": cover.border_share,
        "coverage_counts": cover.counts,
        "thin_coverage": cover.thin,
        "distance_m": _spread(view.distance_m),
        "tilt_deg": _spread(view.tilt_deg),
        "late_ms": 1000 * calibration.offset_s[row] if _offsets_estimated(calibration) else None,
        "images_refused": sum(refusal.view == name for refusal in calibration.observations.refused),
        "findings": [finding.as_dict() for finding in about],
    }


def _absent(calibration: Calibration) -> list[dict[str, Any]]:
    """Cameras of which no observation is kept, with the keys of all others."""
    unknown = (
        "position_m looks size_px lens fit_rms_px noise_px image_covered_share border_covered_share coverage_counts "
        "distance_m tilt_deg late_ms"
    )
    none: dict[str, Any] = {"connected": False, **dict.fromkeys(unknown.split()), "thin_coverage": []}
    counts = dict.fromkeys(("moments_used", "sightings_used", "sightings_left_out"), 0)
    refused = [refusal.view for refusal in calibration.observations.refused]
    out = []
    for name in every_camera(calibration)[len(calibration.observations.views) :]:
        found = [finding.as_dict() for finding in by_severity(calibration.findings) if finding.about == name]
        out.append({"name": name, **none, **counts, "images_refused": refused.count(name), "findings": found})
    return out


def _lens(calibration: Calibration, view: ViewEvidence) -> dict[str, Any] | None:
    if view.lens is None:
        return None
    deviations = _lens_deviations(calibration, view)
    K, across = view.lens.K, view.fov_deg()
    values = (K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    free = view.fit.free if view.fit else ()
    focal = float(np.sqrt(K[0, 0] * K[1, 1]))
    return {
        "model": view.lens.model,
        "free": free,
        "given": view.fit is None,
        **dict(zip(_LENS, values, strict=True)),
        **{f"{key[:-3]}_deviation_px": deviations[place] for place, key in enumerate(_LENS)},
        "focal_px": focal,
        "focal_deviation_px": float(np.mean(deviations[:2])),
        "focal_deviation_share": float(np.mean(deviations[:2])) / focal,
        "distortion": view.lens.distortion,
        "distortion_deviation": deviations[4:],
        "fov_across_deg": across[0],
        "fov_down_deg": across[1],
        "rms_alone_px": view.fit.rms_px if view.fit else None,
        "trials": [_trial(trial) for trial in view.fit.trials] if view.fit else [],
    }


def _trial(trial: ModelTrial) -> dict[str, Any]:
    return {"model": trial.model, "free": trial.free, "held_out_fit_px": trial.held_out_px, "chosen": trial.chosen}


def _lens_deviations(calibration: Calibration, view: ViewEvidence) -> Floats:
    """Standard deviations (4 + k,) of the lens, from the whole rig's covariance where it has the camera."""
    count = 4 + (view.lens.distortion.size if view.lens else 0)
    at = calibration.columns.get(view.name)
    variance = np.full(count, np.nan)
    if at is not None and at.stop - at.start == POSE + count:
        variance = np.diag(calibration.covariance[at, at])[POSE:]
    elif view.fit is not None and len(view.fit.covariance) == count:
        variance = np.diag(view.fit.covariance)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(variance))


def _spread(values: Floats) -> dict[str, float] | None:
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    low, middle, high = np.percentile(known, (0, 50, 100)).tolist()
    return {"least": low, "median": middle, "most": high}


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "a": pair.a,
        "b": pair.b,
        "moments": pair.moments,
        "expected_error_deg": pair.error_deg,
        "expected_error_mm": 1000 * pair.error_m,
        "in_tree": pair.in_tree,
        "loop_deg": pair.loop_deg,
        "loop_mm": 1000 * pair.loop_m,
    }


def _target(calibration: Calibration) -> dict[str, Any]:
    target = calibration.observations.target
    moved = 1000 * np.linalg.norm(calibration.points - target.points, axis=-1)
    pieces = geometry.invert(calibration.body_from_piece[0]) @ calibration.body_from_piece
    angles = np.degrees(np.arccos(np.clip((np.trace(pieces[:, :3, :3], axis1=1, axis2=2) - 1) / 2, -1, 1)))
    return {
        "name": target.name,
        "points": len(target),
        "free": target.free,
        "still": target.still,
        "extent_m": target.extent,
        "shape_estimated": shape_estimated(calibration),
        "shape_off_rms_mm": _rms(moved),
        "shape_off_worst_mm": float(np.nanmax(moved)) if np.isfinite(moved).any() else None,
        "pieces": [
            {
                "name": name,
                "from_first_m": pose[:3, 3],
                "from_first_mm": 1000 * np.linalg.norm(pose[:3, 3]),
                "turned_deg": angle,
            }
            for name, pose, angle in zip(target.pieces, pieces, angles, strict=True)
        ],
    }


def shape_estimated(calibration: Calibration) -> bool:
    """Whether the estimated points of the target differ from the given ones."""
    given, found = calibration.observations.target.points, calibration.points
    return bool((np.abs(np.nan_to_num(found - given)) > 1e-9).any())


def _world(calibration: Calibration) -> dict[str, Any]:
    heights = calibration.rig.positions[:, 2]
    target = calibration.observations.target
    lowest = np.nan
    if not target.free and np.isfinite(calibration.world_from_body).any():
        body, poses = target_points(calibration), calibration.world_from_body
        placed = np.einsum("tij,nj->tni", poses[:, :3, :3], body) + poses[:, None, :3, 3]
        lowest = float(np.nanmin(placed[..., 2]))
    return {
        "z_is_up": plot_from_world(calibration)[1],
        "set_by_target": target.still,
        "camera_height_least_m": heights.min(),
        "camera_height_most_m": heights.max(),
        "lowest_target_point_m": lowest,
        "source": calibration.rig.source,
    }
