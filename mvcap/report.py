"""The verb ``report``: images and numbers that show whether the result of a take can be trusted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mvcap import plugins, stages
from mvcap.config import plain
from mvcap.drawing.contact_sheet import ContactSheet, encode_jpeg, spread_frames
from mvcap.drawing.overlay import draw_view, overlay_images, write_overlay
from mvcap.drawing.scene_video import scene_moments
from mvcap.errors import ConfigError, InputError
from mvcap.export import provenance, take_of
from mvcap.progress import Progress, silent
from mvcap.refinement.one_view import OneViewConfig
from mvcap.reporting import plots
from mvcap.reporting.accuracy import WANTED_MM
from mvcap.reporting.dropped_people import dropped_sentence
from mvcap.reporting.motion_figures import motion_figures
from mvcap.reporting.one_camera import OneCameraFigures
from mvcap.reporting.page import render
from mvcap.reporting.pose_quality import PoseQuality, summarise
from mvcap.reporting.residual_split import ResidualSplit
from mvcap.reporting.series import SeriesCollector
from mvcap.reporting.take_figures import TakeFigures
from mvcap.structures.artefact import Artefact
from mvcap.structures.assumed_camera import ONE_VIEW_NOTE, lens_of
from mvcap.structures.detections import Detections2D
from mvcap.structures.npz import write_text, written_whole
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.structures.skeleton import skeleton
from mvcap.triangulation.calibration_error import learned_error_px
from mvcap.triangulation.reprojection_residuals import ViewResiduals
from mvcap.triangulation.view_lag import ViewLag

_THUMB_PX = 320
_SCENES, _SCENE_PX = 8, (480, 320)  # moments in 3D
_VECTOR_SAMPLES = 600  # longer series are pixels: their lines would be larger than the pictures
_CALIBRATION_WARNING_PX = 8.0  # calibration error above which the report warns; about 3 cm on a body 4 m away


@dataclass(frozen=True)
class ReportConfig:
    """Settings of ``mvcap report``: figures and pictures that show whether to trust a take."""

    overlays: bool = True
    """Make a video of every view with the 2D detections and the projected 3D poses drawn over it. Switch it off to save
    time and space."""
    overlay_height_px: int = 720
    """Height of the overlay videos, px, at most that of the footage."""
    moments: int = 6
    """Moments of the take on the contact sheet."""
    wanted_mm: float = WANTED_MM
    """Accuracy that is enough for you, mm: the standard deviation of a joint along its worst axis. The verdict counts
    the reported joints that are within it. Lower it for clinical gait analysis, raise it for animation or counting."""

    def __post_init__(self) -> None:
        if not self.wanted_mm > 0:
            raise ConfigError("config key 'report.wanted_mm' must be above 0")
        if self.overlay_height_px < 16 or self.moments < 1:
            raise ConfigError("report: overlay_height_px must be at least 16 and moments at least 1")


def report(session: str | Path | Session, *, progress: Progress = silent) -> dict[str, Any]:
    """Write report.html, report.json, contact_sheet.png, plots and overlay videos into a session; return the numbers.

    Keys of the numbers: ``frames``, ``views``, ``seconds_per_frame`` by stage, ``people`` (``id``, ``frames``,
    ``median_reprojection_px``, ``bone_spread``, ``views_used``, ``sigma_mm``, ``joint_angles_deg`` ...), ``identities``
    (tracks that tracking merged, repaired and dropped), ``association`` (calibration error of each view), ``accuracy``
    (standard deviations against ``report.wanted_mm``), ``one_view`` (what one view or none sees), ``unconfirmed``
    (people detected but not reconstructed), ``confirmation`` and ``agreement`` (whether the calibration fits the
    pictures), ``residual_parts`` (what the rig and the estimator are at fault for, by view and joint), ``joints`` (by
    source), ``one_camera`` (of one view: depth, lens, gravity), ``frame_step`` (N if every N-th frame was looked at),
    ``warnings``, ``verdict`` and more.
    """
    session = Session.of(session)
    config = session.settings("report", ReportConfig)
    refined, raw = stages.poses(session, "refine"), stages.poses(session, "track")
    found = stages.detections(session, "associate")
    summary, series, raw_series = _numbers(session, found, raw, refined, config.wanted_mm)
    pictures = {
        "scene": _moments_in_3d(session),
        "presence": plots.presence_plot(series),
        "above": plots.plan_plot(series, session.rig),
        "side": plots.elevation_plot(series, session.rig),
        "uncertainty": plots.uncertainty_plot(series),
        "bones": plots.limb_length_plot(raw_series),
        "errors": plots.error_plot(series, session.names),
        "parts": plots.residual_parts_plot(summary["residual_parts"]["views"]),
    }
    if any(np.isfinite(one.angles_deg).any() for one in series.people.values()):
        pictures["angles"] = plots.joint_angle_plot(series, "svg" if series.samples <= _VECTOR_SAMPLES else "png")
    videos: dict[str, str] = {}
    if session.has_footage():
        pictures["contact_sheet"] = _contact_sheet(session, found, refined, config.moments)
        if config.overlays:
            videos = _overlays(session, found, refined, config, progress)
    for name, picture in pictures.items():
        suffix = "png" if picture.startswith(b"\x89PNG") else "jpg" if picture.startswith(b"\xff\xd8") else "svg"
        with written_whole(session.folder / "plots" / f"{name}.{suffix}") as temporary:
            temporary.write_bytes(picture)
    made = provenance(session)
    settings = {name: stage["settings"] for name, stage in made.items()}
    inputs = {name: stage["inputs"] for name, stage in made.items()}
    write_text(session.folder / "report.json", json.dumps(summary, indent=1) + "\n")
    page = render(summary, pictures, videos, session.folder.resolve().name, settings, inputs)
    write_text(session.folder / "report.html", page)
    return summary


def _numbers(
    session: Session,
    found: Artefact[Detections2D],
    raw: Artefact[Poses3D],
    refined: Artefact[Poses3D],
    wanted_mm: float,
) -> tuple[dict[str, Any], SeriesCollector, SeriesCollector]:
    """Return the summary, and the series of the refined and the raw poses, in one pass over each."""
    kind = skeleton(refined.skeleton_name)
    step = stages.frame_step(session)
    before, after = (PoseQuality(kind, session.frames, step) for _ in range(2))
    residuals = ViewResiduals(session.rig, kind)
    lag, split = ViewLag(session.rig), ResidualSplit(session.rig, kind, session.rate_hz)
    figures = TakeFigures(session.rig, session.frames, session.rate_hz, wanted_mm, step)
    series, raw_series = (SeriesCollector(kind, session.frames, session.rate_hz) for _ in range(2))
    camera = OneCameraFigures(session.rig[0])
    for chunk in raw.chunks():
        before.add(chunk)
        raw_series.add(chunk)
    for start, chunk in zip(refined.ranges(), refined.chunks(), strict=True):
        series.add(chunk)
        camera.add(chunk)
        linked = []
        for rows in _between(found, *start):
            linked.append(residuals.add(rows, chunk))
            lag.add(rows, chunk)
            split.add(rows, chunk)
        after.add(chunk, linked)
        figures.add(chunk, linked, raw.between(*start))
        for part in linked:
            series.add_residuals(part)
    seconds = {name: _seconds(session, name) for name in stages.STAGES}
    association = _association(session, found)
    more = {
        "frame_step": step,
        **figures.summary(found.chunks()),
        "identities": (raw.manifest or {}).get("identities"),
        "association": association,
        "residual_parts": split.summary(lag, wanted_mm),
        **_one_camera(session, camera, refined),
    }
    warnings = [
        *(note for note in session.notes if note not in (ONE_VIEW_NOTE, lens_of(session.notes).words)),
        *_skipped_frames(step),
        *_warnings(session, after, found),
        *_association_warnings(association),
    ]
    late = lag.late_frames()
    people, motion = figures.people(), motion_figures(series)
    of_people = {person: {**people.get(person, {}), **motion.get(person, {})} for person in {**people, **motion}}
    summary = summarise(
        after, session.rate_hz, session.names, residuals, before, seconds, warnings, late, more, of_people
    )
    return summary, series, raw_series


def _one_camera(session: Session, figures: OneCameraFigures, refined: Artefact[Poses3D]) -> dict[str, Any]:
    """Return the key ``one_camera`` of a session of one view, else nothing."""
    if len(session.views) > 1:
        return {}
    statures = session.settings("one_view", OneViewConfig).heights_m
    return {"one_camera": figures.summary(lens_of(session.notes), (refined.manifest or {}).get("world"), statures)}


def _skipped_frames(step: int) -> list[str]:
    if step == 1:
        return []
    ordinal = f"{step}{('th', 'st', 'nd', 'rd')[step % 10 if step % 10 < 4 and step // 10 % 10 != 1 else 0]}"
    return [
        f"every {ordinal} frame was looked at (estimate.every={step}): the frames in between are interpolated; they "
        "count for the accuracy, but not among what views see"
    ]


def _association(session: Session, found: Artefact[Detections2D]) -> dict[str, Any]:
    """Return each view's calibration error in px as estimated during association, and the associator's counts if any.

    Counts: detections left out, frames passed to the learned graph and frames it declined.
    """
    last = found.ranges()[-1][0]
    error_px = learned_error_px(found, last, session.rig).tolist()
    state = found.state(last)
    counts: dict[str, Any] = {name: int(state[name]) for name in ("left_out", "asked", "declined") if name in state}
    return {"calibration_px": {n: round(px, 2) for n, px in zip(session.names, error_px, strict=True)}, **counts}


def _association_warnings(association: dict[str, Any]) -> list[str]:
    wrong = {name: px for name, px in association["calibration_px"].items() if px > _CALIBRATION_WARNING_PX}
    listed = ", ".join(f"{name} {px:.0f} px" for name, px in wrong.items())
    out = []
    if wrong:
        out.append(
            f"calibration error above the noise of the detections: {listed}: recalibrate the cameras, or synchronise "
            "the videos"
        )
    if association.get("declined"):
        out.append(
            f"the learned graph declined {association['declined']} of {association['asked']} frames, which differ from "
            "its training data; the geometric associator processed them"
        )
    if association.get("left_out"):
        out.append(
            f"{association['left_out']} detections were not associated because their frames had too many detections: "
            "check the detections, or raise associators.geometry.most_pairs"
        )
    return out


def _between(found: Artefact[Detections2D], start: int, stop: int) -> Iterator[Detections2D]:
    """Yield the detections of frames start to stop (exclusive), chunk by chunk."""
    for first, end in found.ranges():
        if first < stop and end > start:
            rows = found.read(first)
            yield rows[(rows.frame >= start) & (rows.frame < stop)]


def _seconds(session: Session, stage: str) -> float:
    held = session.artefact(stage, Poses3D).manifest or {}
    return float(held.get("seconds", 0.0)) / max(session.frames, 1)


def _warnings(session: Session, quality: PoseQuality, found: Artefact[Detections2D]) -> list[str]:
    dropped = dropped_sentence(stages.poses(session, "track").manifest or {})
    if quality.people:
        return [dropped] if dropped else []
    if dropped:  # the verdict says so
        return _wrong_unit(session, found)
    if len(session.views) == 1:
        return ["no people were found: check the detections, and whether tracks are longer than track.min_seconds"]
    warning = (
        "no people were found: no detections of two views match; check the detections, the calibration and the "
        "synchronisation"
    )
    return [warning, *_wrong_unit(session, found)]


_UNIT_FACTORS = (1e-3, 1e-2, 1e-1, 10.0, 100.0, 1e3)
_UNIT_FRAMES = 8


def _wrong_unit(session: Session, found: Artefact[Detections2D]) -> list[str]:
    """Return a warning if some frames give people once the rig is rescaled to another unit, else an empty list."""
    frames = [rows[rows.frame == frame] for rows in found.chunks() for frame in np.unique(rows.frame)[:1]]
    frames = [rows for rows in frames if len(np.unique(rows.view)) > 1]
    frames = frames[:: -(-len(frames) // _UNIT_FRAMES)] if frames else []
    associator, _ = plugins.load_plugin("associator", session.overrides)
    for factor in _UNIT_FACTORS if frames else ():
        rig = session.rig.scaled_world(factor)
        found_in = [associator.associate(rows, rig, session.rate_hz, {})[0].person >= 0 for rows in frames]
        if np.mean([people.any() for people in found_in]) > 0.5:
            size = f"{1 / factor:g} times too big" if factor < 1 else f"{factor:g} times too small"
            return [
                f"people are about {size}, so the unit of the rig is wrong: make a new session with --rig-unit m, cm "
                "or mm, or correct the unit in the rig file if it states one"
            ]
    return []


def _contact_sheet(session: Session, found: Artefact[Detections2D], poses: Artefact[Poses3D], count: int) -> bytes:
    step = stages.frame_step(session)
    shown = [frame * step for frame in spread_frames(-(-session.frames // step), count)]
    sheet = ContactSheet(shown, session.names, session.rate_hz, _THUMB_PX)
    for frame in shown:
        rows, now = found.between(frame, frame + 1), poses.between(frame, frame + 1)
        for view in range(len(session.views)):
            image = next(session.images(view, frame, frame + 1))[1]
            if image is not None:
                sheet.add(frame, view, draw_view(image, view, session.rig, rows, now, _THUMB_PX))
    return sheet.jpeg()


def _remove_overlay(path: Path, ours: bool) -> None:
    """Remove an overlay of other poses; InputError for a video that mvcap did not write."""
    if path.exists() and not ours:
        raise InputError(f"{path} exists, and this session did not make it; move it to another folder")
    path.unlink(missing_ok=True)


def _moments_in_3d(session: Session) -> bytes:
    frames = spread_frames(session.frames, _SCENES)
    return encode_jpeg(scene_moments(take_of(session, "refine"), frames, size=_SCENE_PX))


def _overlays(
    session: Session,
    found: Artefact[Detections2D],
    poses: Artefact[Poses3D],
    config: ReportConfig,
    progress: Progress,
) -> dict[str, str]:
    """Return the path of every view's overlay video, relative to the session; videos that are up to date are kept."""
    folder = session.folder / "overlays"
    stamp = folder / "made_from.json"
    made_from = json.dumps({"poses": poses.fingerprint, "detections": found.fingerprint, "report": plain(config)})
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != made_from:
        for name in session.names:
            _remove_overlay(folder / f"{name}.mp4", stamp.exists())
        write_text(stamp, made_from)
    paths = {name: folder / f"{name}.mp4" for name in session.names}
    missing = [view for view, name in enumerate(session.names) if not paths[name].exists()]
    done = np.zeros(len(session.views), np.int64)

    def one(view: int) -> None:
        kinds = skeleton(found.skeleton_name), skeleton(poses.skeleton_name)
        images = ((frame, image) for frame, image in session.images(view) if image is not None)
        height = config.overlay_height_px
        pictures = overlay_images(
            images, view, session.rig, found.chunks(), poses.chunks(), kinds, session.rate_hz, height
        )

        def counted() -> Iterator[tuple[int, Any]]:
            for frame, picture in pictures:
                yield frame, picture
                done[view] = frame + 1
                progress("overlays", int(done.sum()) // len(missing), session.frames)

        write_overlay(paths[session.names[view]], counted(), session.rate_hz)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, missing))
    return {name: f"overlays/{path.name}" for name, path in paths.items()}
