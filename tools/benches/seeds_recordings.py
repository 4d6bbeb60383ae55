"""Lifters on recorded motion: HumanEva, Panoptic through three of its cameras, single views of the demo take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benches.section import Options, Row, Section, clock, say
from calib import Camera, Lens
from calib.arrays import Floats
from calib.geometry import pose
from mvcap import plugins
from mvcap.benchmarks.humaneva import ring
from mvcap.errors import AssetError, InputError
from mvcap.evaluation.benchmark_clip import Options as ClipOptions
from mvcap.metrics.pose_error import aligned_mm
from mvcap.structures.skeleton import Skeleton, skeleton
from mvcap.structures.view_track import LiftedBody, ViewTrack
from mvcap.synthesis.correlated_noise import correlated_normal, random_events
from mvcap.synthesis.detector_errors import OPENPOSE
from mvcap.synthesis.detector_joints import group_of
from mvcap.triangulation.lifted_people import track_of

INSIDE = {"inside 68 %": 3.506, "inside 95 %": 7.815}
_FRAMES, _PANOPTIC_CAMERAS = 300, ("00_05", "00_12", "00_14")
_MISSING = 0.06  # share of joints that an estimator does not see, for half a second at a time


@dataclass(frozen=True)
class Seen:
    """A track and the true joints of its skeleton."""

    track: ViewTrack
    truth: Floats
    """(T, J, 3) m along the camera's axes about the middle of the hips, NaN where unknown."""
    root: Floats
    """(T, 3) m, the middle of the hips in the camera's frame."""


def recordings(options: Options, section: Section) -> None:
    """Add a row for each lifter, recording and kind of noise."""
    for title, found in takes_of(options).items():
        tracks = list(found)
        if not tracks:
            section.facts.append(f"{title}: left out, its data are not at hand")
            continue
        say(f"seeds: lifters on {title}, {len(tracks)} tracks")
        for name in plugins.TABLE["lifter"]:
            row = lifter_row(name, tracks)
            if row is not None:
                section.add(f"lifters, {title}", row)
    section.facts.append(
        "mm: about the middle of the hips, at the stature that the lifter assumes; size given: bodies scaled to the "
        "track's true size, as --height does; inside: with the stated spread of statures. HumanEva and the demo have "
        "hips and heads of other definitions than the training data, which is part of the errors"
    )


def takes_of(options: Options) -> dict[str, Iterator[Seen]]:
    """Tracks of each recording and kind of noise, with the truth."""
    frames = 60 if options.quick else _FRAMES
    motion = options.data.parent / "data" / "motion"
    return {
        "HumanEva, 2 px": humaneva(motion / "humaneva", frames, False),
        "HumanEva, as estimators err": humaneva(motion / "humaneva", frames, True),
        "Panoptic 171026_pose3, 2 px": panoptic(motion / "panoptic_pose", frames, False),
        "Panoptic 171026_pose3, as estimators err": panoptic(motion / "panoptic_pose", frames, True),
        "demo of several people, single views against all": demo(options.work, "demo-multiperson"),
        "demo of one person, single views against all": demo(options.work, "demo-singleperson"),
    }


def humaneva(folder: Path, frames: int, erring: bool) -> Iterator[Seen]:
    """The middle of every clip of HumanEva in three of the virtual cameras of its reader."""
    from mvcap.benchmarks import humaneva as reader

    try:
        clips = reader.read(folder, ClipOptions())
    except (InputError, OSError):
        return
    for number, clip in enumerate(clips):
        xyz = clip.truth.xyz.astype(np.float64)
        start = max((len(xyz) - frames) // 2, 0)
        for view, camera in enumerate(list(ring())[:3]):
            yield seen_through(camera, clip.truth.skeleton, xyz[start : start + frames], 60.0, erring, number + view)


def panoptic(folder: Path, frames: int, erring: bool) -> Iterator[Seen]:
    """Three spans of Panoptic's person, projected into three of its real cameras."""
    file, calibration = folder / "Panoptic_GT_171026_pose3.npz", folder / "calibration_171026_pose3.json"
    if not (file.is_file() and calibration.is_file()):
        return
    with np.load(file) as held:
        xyz = held["poses"] / 100
    listed = json.loads(calibration.read_text(encoding="utf-8"))["cameras"]
    for at, name in enumerate(_PANOPTIC_CAMERAS):
        [one] = [camera for camera in listed if camera["type"] == "hd" and camera["name"] == name]
        lens = Lens(name, tuple(one["resolution"]), np.array(one["K"]), np.array(one["distCoef"]))
        camera = Camera(lens, pose(np.array(one["R"]), np.ravel(one["t"]) / 100))
        for span in range(3):
            start = (2 * span + 1) * len(xyz) // 6
            yield seen_through(
                camera, skeleton("panoptic19"), xyz[start : start + frames], 29.97, erring, 10 * at + span
            )


def seen_through(camera: Camera, kind: Skeleton, xyz: Floats, rate_hz: float, erring: bool, seed: int) -> Seen:
    """Joints (T, J, 3) m as a camera sees them: with 2 px of noise, or with errors like an estimator's.

    These are correlated in time, heavy-tailed, with outliers, missing joints and scores that say little of both.
    """
    rng = np.random.default_rng([seed, 18])
    xy = camera.project(xyz)
    inside = ((xy > -0.5) & (xy < np.array(camera.size) - 0.5)).all(-1)
    xy[~inside] = np.nan
    score, noise = np.where(inside, 1.0, 0.0), np.where(inside, 2.0, np.nan)
    if erring:
        box = np.nanmax(xy, 1) - np.nanmin(xy, 1)
        size = np.sqrt(np.maximum(box[:, 0], box[:, 1] / 3) * np.maximum(box[:, 1], box[:, 0] / 3))
        memory = float(np.exp(-1 / (rate_hz * OPENPOSE.lasting_s)))
        score = np.where(inside, 1 / (1 + np.exp(-1.6 - 0.6 * correlated_normal(rng, score.shape, memory))), 0)
        noise = OPENPOSE.noise_factor * kind.sigma * size[:, None] / np.where(inside, score, np.nan)
        scale = np.array(OPENPOSE.noise)[group_of(kind)] * np.exp(OPENPOSE.tail * rng.standard_normal(score.shape))
        slow, fast = np.sqrt(OPENPOSE.lasting), np.sqrt(1 - OPENPOSE.lasting)
        unit = slow * correlated_normal(rng, xy.shape, memory) + fast * rng.standard_normal(xy.shape)
        wrong = random_events(correlated_normal(rng, score.shape, memory), 0.01)
        unit += np.where(wrong, OPENPOSE.outlier_size * size[:, None] / noise, 0)[..., None] * rng.standard_normal(2)
        xy = xy + unit * (scale * noise)[..., None]
        lost = random_events(correlated_normal(rng, score.shape, memory), _MISSING)
        xy[lost], score[lost], noise[lost] = np.nan, 0, np.nan
    else:
        xy = xy + rng.normal(0, 2.0, xy.shape)
    track = ViewTrack(kind, camera.lens, np.arange(len(xyz)) / rate_hz, xy, score, noise)
    return Seen(track, *about_hips(kind, xyz @ camera.cam_from_world[:3, :3].T + camera.cam_from_world[:3, 3]))


def about_hips(kind: Skeleton, xyz: Floats) -> tuple[Floats, Floats]:
    """Joints (T, J, 3) about the middle of the hips, and that (T, 3)."""
    hips = [kind.index(f"{side}_hip") for side in ("left", "right")]
    root = xyz[:, hips].mean(1)
    return np.asarray(xyz - root[:, None]), root


def demo(work: Path, asset: str) -> Iterator[Seen]:
    """Every person in every single view of a demo take, against the result of its four views."""
    import mvcap
    from mvcap import assets, stages
    from mvcap.structures.session import Session

    folder = work / f"{asset}.mvcap"
    if not (folder / "poses.npz").is_file():
        try:
            take = assets.path(asset)
        except AssetError:
            return
        mvcap.reconstruct(sorted(take.glob("*.mp4")), rig=take / "Calib.qca.txt", session=folder)
    session = Session.of(folder)
    place = stages.detections(session, "associate")
    rows = place.kind.concatenate(list(place.chunks()), skeleton(place.skeleton_name))
    poses = mvcap.load_poses(folder / "poses.npz")
    for view, camera in enumerate(session.rig):
        for person in poses.persons.tolist():
            mine = poses[poses.person == person]
            seen = _person_in_view(rows.of(view), mine, camera, session.rate_hz)
            if seen is not None:
                yield seen


def _person_in_view(rows: Any, poses: Any, camera: Camera, rate_hz: float) -> Seen | None:
    """The rows of one view that are nearest to a person's projections, frame by frame; None for fewer than ten."""
    place = {int(frame): at for at, frame in enumerate(poses.frame)}
    chosen, at = [], []
    flat = camera.project(poses.xyz.astype(np.float64))
    for frame in np.unique(rows.frame).tolist():
        if frame not in place:
            continue
        some = np.flatnonzero(rows.frame == frame)
        apart = np.nanmedian(np.linalg.norm(rows.xy[some] - flat[place[frame]], axis=-1), -1)
        if len(some) and np.nanmin(apart, initial=np.inf) < 40:
            chosen.append(some[int(np.nanargmin(apart))])
            at.append(place[frame])
    if len(chosen) < 10:
        return None
    mine = rows[np.array(chosen)]
    _, track = track_of(mine, camera.lens, rate_hz)
    xyz = poses.xyz[at].astype(np.float64) @ camera.cam_from_world[:3, :3].T + camera.cam_from_world[:3, 3]
    return Seen(track, *about_hips(mine.skeleton, xyz))


def lifter_row(name: str, tracks: list[Seen]) -> Row | None:
    """Figures of a lifter on tracks; None where it has no weights or gives no joint."""
    plugin = plugins.find_plugin("lifter", name)
    lifter = plugin(plugin.Config())
    rows, frames, spent = [], 0, 0.0
    for seen in tracks:
        try:
            with clock() as timed:
                body = lifter.lift(seen.track)
        except (AssetError, InputError):  # no weights; or it takes what these tracks do not have
            return None
        spent, frames = spent + timed.cpu_s, frames + len(seen.truth)
        rows.append(against(body, seen))
    both = np.concatenate(rows)
    if not len(both):
        return None
    shares = {share: float((both[:, 3] < limit).mean()) for share, limit in INSIDE.items()}
    names = ("mm", "mm, size given", "PA mm")
    figures = {one: float(np.nanmean(both[:, at])) for at, one in enumerate(names)}
    return {"lifter": name, **figures, **shares, "CPU ms a frame": 1000 * spent / max(frames, 1)}


def against(body: LiftedBody, seen: Seen) -> Floats:
    """Rows (N, 4) of joints: distance mm, the same at the true size, after the best similarity, squared deviations."""
    error = body.joints - seen.truth
    known = np.isfinite(error).all(-1)
    scaled = body.joints * _true_size(body.joints, seen, known)
    spread = body.covariance + body.scale_sigma**2 * body.joints[..., :, None] * body.joints[..., None, :]
    whole = np.where(known[..., None, None], spread, np.eye(3))
    square = (error * np.linalg.solve(whole, np.nan_to_num(error)[..., None])[..., 0]).sum(-1)
    aligned = np.full(known.shape, np.nan)
    for at in np.flatnonzero(known.sum(-1) > 3):
        aligned[at, known[at]] = aligned_mm(seen.truth[at, known[at]], body.joints[at, known[at]])
    mm = [1000 * np.linalg.norm(one, axis=-1) for one in (error, scaled - seen.truth)]
    root = np.array([joint == "pelvis" for joint in seen.track.skeleton.joints])
    return np.stack([*mm, aligned, square], -1)[known & ~root]


def _true_size(joints: Floats, seen: Seen, known: Any) -> float:
    """Ratio of the limbs' true lengths to the lifted ones, of the whole track."""
    ends = seen.track.skeleton.limbs
    there = known[:, ends].all(-1)
    true, lifted = (
        np.linalg.norm(one[:, ends[:, 0]] - one[:, ends[:, 1]], axis=-1)[there] for one in (seen.truth, joints)
    )
    return float(true.sum() / lifted.sum()) if there.any() else 1.0
