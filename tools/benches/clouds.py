"""Point clouds of people: rendered bodies against their surface, and the demo's people drawn back into its views."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from capsule_people import CIRCLES, capsule_body, circle_rig, f_score, rendered, true_points

import mvcap
from benches.section import Options, Row, Section, say
from mvcap import assets
from mvcap.densification.drawn_back import outline_overlap
from mvcap.plugins import instance
from mvcap.rig.adjust import adjust
from mvcap.structures.session import Session

VIEWS = (3, 4, 5, 6, 8, 16)
SPACING_M = 0.015
SIZE = (960, 720)
TIMES_S = (0.3, 0.6, 1.1)
WITHIN_M = 0.02


def clouds(options: Options) -> Section:
    """Tables of hulls by number of views, of bad masks, of textured clothes, and of the demo's people."""
    section = Section(
        "point clouds (mvcap cloud)",
        f"F-score, precision and recall at {1000 * WITHIN_M:.0f} mm; {1000 * SPACING_M:.0f} mm between points; "
        f"pictures {SIZE[0]}x{SIZE[1]}, cameras 4 m away with lens distortion, exact masks; ms: processor time of "
        "one person without decoding. Carved: voxels of the same size, carved by the masks one by one, as it can be",
    )
    times = TIMES_S[:1] if options.quick else TIMES_S
    for count in VIEWS[:3] if options.quick else VIEWS:
        say(f"hulls of {count} views")
        section.add("one person, by number of views", hull_row(count, times))
    for name in ("arm missing", "legs missing", "mask beside the person"):
        section.add("one bad mask of 8", bad_mask_row(name, times))
    for count in (4, 8):
        say(f"textured clothes, {count} views")
        for name in ("visual_hull", "plane_sweep"):
            section.add(f"textured clothes, {count} views", texture_row(name, count, times, True))
            section.add(f"plain clothes, {count} views", texture_row(name, count, times, False))
    for rig, rows in demo_rows(options):
        for row in rows:
            section.add(f"demo, {rig}: outlines drawn back, intersection over union with the masks", row)
    return section


def _timed(name: str, moment: Any) -> tuple[Any, float]:
    plugin = instance("densifier", name, {"spacing_m": SPACING_M})
    plugin.densify(moment)
    begun = time.process_time()
    return plugin.densify(moment), 1000 * (time.process_time() - begun)


def _scores(found: list[tuple[float, float, float]]) -> Row:
    mean = np.mean(found, axis=0)
    return {"F": mean[0], "precision": mean[1], "recall": mean[2]}


def hull_row(count: int, times: tuple[float, ...]) -> Row:
    """One number of views: ours beside voxels carved one by one."""
    scores, carved, spent, points = [], [], [], []
    for at in times:
        body = capsule_body(at)
        truth, moment = true_points(body), rendered([body], circle_rig(count, SIZE))
        made, ms = _timed("visual_hull", moment)
        scores.append(f_score(made.xyz, truth, WITHIN_M))
        carved.append(f_score(carved_voxels(moment, body.joints), truth, WITHIN_M)[0])
        spent.append(ms)
        points.append(len(made))
    return {"views": f"{count}", **_scores(scores), "carved F": float(np.mean(carved)),
            "points": float(np.mean(points)), "ms": float(np.median(spent))}  # fmt: skip


def carved_voxels(moment: Any, joints: np.ndarray) -> np.ndarray:
    """Centres (N, 3) m of the outermost voxels that lie on all masks."""
    from scipy import ndimage

    steps = [np.arange(a - 0.35, b + 0.35, SPACING_M) for a, b in zip(joints.min(0), joints.max(0), strict=True)]
    grid = np.stack(np.meshgrid(*steps, indexing="ij"), -1)
    inside = np.ones(grid[..., 0].size, bool)
    for camera, label in zip(moment.rig, moment.labels, strict=True):
        xy = np.rint(np.nan_to_num(camera.project(grid.reshape(-1, 3)), nan=-1)).astype(int)
        within = ((xy >= 0) & (xy < camera.size)).all(-1)
        on = np.zeros(len(xy), bool)
        on[within] = label[xy[within, 1], xy[within, 0]] > 0
        inside &= on
    solid = inside.reshape(grid.shape[:3])
    return np.asarray(grid[solid & ~ndimage.binary_erosion(solid)])


def bad_mask_row(name: str, times: tuple[float, ...]) -> Row:
    """One of eight masks is bad: the hull with it, without it, and with all masks good."""
    scores: dict[str, list[tuple[float, float, float]]] = {"with it": [], "without that view": [], "all good": []}
    for at in times:
        body = capsule_body(at)
        truth, moment = true_points(body), rendered([body], circle_rig(8, SIZE))
        label = moment.labels[2].copy()
        rows, _ = np.nonzero(label)
        if name == "arm missing":
            y, x = np.mgrid[: label.shape[0], : label.shape[1]]
            wrist = moment.rig[2].project(body.joints[9])
            label[np.hypot(x - wrist[0], y - wrist[1]) < 60] = 0
        elif name == "legs missing":
            label[int(np.median(rows)) :] = 0
        else:
            label = np.roll(label, 150, axis=1)
        for key, mask in (("with it", label), ("without that view", None), ("all good", moment.labels[2])):
            labels = (*moment.labels[:2], mask, *moment.labels[3:])
            made, _ = _timed(
                "visual_hull", type(moment)(moment.rig, moment.images, labels, moment.persons, moment.joints)
            )
            scores[key].append(f_score(made.xyz, truth, WITHIN_M))
    return {"mask": name, **{f"F {key}": float(np.mean(found, axis=0)[0]) for key, found in scores.items()},
            "recall with it": float(np.mean(scores["with it"], axis=0)[2])}  # fmt: skip


def texture_row(name: str, count: int, times: tuple[float, ...], textured: bool) -> Row:
    """A densifier on people in textured or plain clothes."""
    scores, spent = [], []
    for at in times:
        body = capsule_body(at, CIRCLES[0])
        moment = rendered([body], circle_rig(count, SIZE), textured)
        made, ms = _timed(name, moment)
        scores.append(f_score(made.xyz, true_points(body), WITHIN_M))
        spent.append(ms)
    return {"densifier": name, **_scores(scores), "ms": float(np.median(spent))}


def demo_rows(options: Options) -> Iterator[tuple[str, list[Row]]]:
    """The demo's people, found with masks: overlap in each view, and seconds a frame with decoding; by rig."""
    take, folder = assets.path("demo-multiperson"), options.work / "clouds"
    say("masks of the demo")
    session = mvcap.init(sorted(take.glob("*.mp4")), rig=take / "Calib.qca.txt", folder=folder)
    session.override({"estimators": {"people": {"masks": True}}})
    mvcap.reconstruct(session)
    every = 25 if options.quick else 10
    for rig in ("its own rig", "the rig adjusted to the people (mvcap rig adjust)"):
        begun = time.perf_counter()
        done = mvcap.cloud(session, every=every, spacing=SPACING_M, redo=True)
        seconds = (time.perf_counter() - begun) / max(done.frames, 1)
        yield rig, [{**row, "s a frame": seconds} for row in overlap_rows(session.folder)]
        if rig == "its own rig":
            adjust(session.folder)
            session = Session.open(session.folder)
            mvcap.reconstruct(session)


def overlap_rows(folder: Path) -> list[Row]:
    """Mean overlap of each person of a session's clouds with the masks, in each view; nan where there is no mask."""
    from mvcap.cloud import cloud_frames, read_cloud, session_moments

    session, found = Session.open(folder), {}
    frames = cloud_frames(session)
    for frame, moment in zip(frames, session_moments(session, frames), strict=True):
        made = read_cloud(session, frame)
        for index, person in enumerate(moment.persons.tolist()):
            overlap = outline_overlap(made.of(person).xyz, moment.labels, index, moment.rig, SPACING_M)
            found.setdefault(person, []).append(overlap)
    rows = []
    for person, overlaps in sorted(found.items()):
        with np.errstate(invalid="ignore"):
            mean = [
                float(np.nanmean(column)) if np.isfinite(column).any() else None for column in np.transpose(overlaps)
            ]
        rows.append({"person": f"{person}", "frames": len(overlaps), **dict(zip(session.names, mean, strict=True))})
    return rows
