"""Poses carried along optical flow from the frames before and after: what it gives where joints are seen or covered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benches.section import Options, Row, Section, clock, say
from calib import Rig, load_rig
from mvcap import assets, plugins, reconstruct_rows
from mvcap.estimation.flow_fusion import FlowFrame, FlowWindow, reduced_gray
from mvcap.structures.contracts import View
from mvcap.structures.detections import Detections2D, body_size, joint_box
from mvcap.structures.footage import Footage

REACH = 2
LOW = 0.6  # score below which a joint counts as doubtful
VARIANTS: dict[str, tuple[bool, bool]] = {
    "per frame": (False, False),
    "forward only": (True, False),
    "both": (True, True),
}
SIZES = (0.0, 0.05, 0.25, 0.5, 1.01)
ESTIMATORS: dict[str, dict[str, Any]] = {"blazepose": {}, "people": {"mode": "fast"}}
NEAR = 1 / 3  # of the body's size: distance up to which a row is of the same person


def flow_fusion(options: Options) -> Section:
    """Tables of an estimator's detections per frame, with flow from before, and with flow from before and after."""
    section = Section(
        "optical flow through occlusion (estimate.temporal)",
        "px; missing = joints of the truth without a detection. Recorded: beside the 3D of the other views, less the "
        "median offset of each joint in a view. Covered: a moving cut-out of a person hides another; the truth is what "
        "is detected without it",
    )
    take, frames = assets.path("demo-multiperson"), 24 if options.quick else 100
    videos, rig = sorted(take.glob("*.mp4")), load_rig(take / "Calib.qca.txt")
    few = 1 if options.quick else None
    grays = [[reduced_gray(image) for image in _images(video, frames)] for video in videos]
    say("people whom others are put in front of")
    plain = [detected("blazepose", _images(video, frames), masks=True) for video in videos[:few]]
    for name in list(ESTIMATORS)[:few]:
        say(f"{name} on {len(videos)} views")
        found = [detected(name, _images(video, frames))[0] for video in videos]
        for row in recorded(grays, found, rig):
            section.add(f"recorded, {name}, {len(videos)} views", row)
        made: dict[str, list[np.ndarray]] = {variant: [] for variant in VARIANTS}
        for video, (rows, masks), truth in zip(videos, plain, found, strict=False):
            say(f"covered people in {video.name}")
            for variant, part in covered(name, list(_images(video, frames)), rows, masks, truth, section).items():
                made[variant].append(part)
        for variant, parts in made.items():
            for row in _rows(variant, np.concatenate(parts)):
                section.add(f"covered, {name}, {len(plain)} views", row)
    return section


def _images(video: Path, frames: int) -> Iterator[Any]:
    return (image for _, image in Footage.probe(video).read(0, frames))


def recorded(grays: list[list[Any]], found: list[list[Detections2D]], rig: Rig) -> Iterable[Row]:
    """Errors of recorded people in each view against the 3D of the other views."""
    whole = Detections2D.concatenate(
        [rows.with_columns(view=np.full(len(rows), view, np.int16)) for view, per in enumerate(found) for rows in per],
        found[0][0].skeleton,
    )
    made: dict[str, list[np.ndarray]] = {name: [] for name in VARIANTS}
    for view, pictures in enumerate(grays):
        others = whole[whole.view != view]
        others = others[np.argsort(others.frame, kind="stable")]
        poses = reconstruct_rows(others, rig, rate_hz=60.0)
        variants = {name: fused(pictures, found[view], *sides) for name, sides in VARIANTS.items()}
        parts = {name: _against(poses, rows, found[view], rig[view]) for name, rows in variants.items()}
        key = parts["per frame"][:, 3] * 1000 + parts["per frame"][:, 4]  # person and joint
        for which in np.unique(key):
            mine = key == which
            offset = (
                np.nanmedian(parts["per frame"][mine, :2], axis=0) if np.isfinite(parts["per frame"][mine]).any() else 0
            )
            for name in VARIANTS:
                parts[name][mine, :2] -= offset
        for name in VARIANTS:
            made[name].append(parts[name])
    for name, rows in made.items():
        every = np.concatenate(rows)
        for part, some in (("all joints", every), (f"score below {LOW}", every[every[:, 2] < LOW])):
            error = np.linalg.norm(some[:, :2], axis=-1)
            seen = error[np.isfinite(error)]
            yield {
                "part": part, "variant": name, "joints": len(some), "median px": float(np.median(seen)),
                "mean px": float(seen.mean()), "missing %": float(100 * np.isnan(error).mean()),
            }  # fmt: skip


def _against(poses: Any, rows: list[Detections2D], plain: list[Detections2D], camera: Any) -> np.ndarray:
    """(N, 5) of each measured joint: residual x, y px (NaN = missing), score per frame, person, joint."""
    out = []
    for at, person in zip(poses.frame.tolist(), range(len(poses)), strict=True):
        xy = np.where((poses.views[person] >= 2)[:, None], camera.project(poses.xyz[person].astype(float)), np.nan)
        inside = np.isfinite(xy).all(-1) & (xy > 0).all(-1) & (xy < np.array(camera.lens.size)).all(-1)
        if inside.sum() < 8:
            continue
        size = float(body_size(joint_box(xy[inside][None]))[0])
        off, _ = _nearest(rows[at], xy, size)
        _, score = _nearest(plain[at], xy, size)
        joints = np.arange(len(xy))
        out.append(np.column_stack([off, np.nan_to_num(score), np.full(len(xy), poses.person[person]), joints])[inside])
    return np.concatenate(out)


def covered(
    name: str,
    images: list[Any],
    plain: list[Detections2D],
    masks: list[Any],
    truth: list[Detections2D],
    section: Section,
) -> dict[str, np.ndarray]:
    """Measures (N, 5) of the joints of a person who is covered, for each variant: see ``_measures``."""
    target, occluder = _two_people(plain)
    pictures, over = zip(*_with_occluder(images, plain, masks, target, occluder), strict=True)
    with clock() as one:
        rows, _ = detected(name, pictures)
    with clock() as two:
        grays = [reduced_gray(image) for image in pictures]
        variants = {variant: fused(grays, rows, *sides) for variant, sides in VARIANTS.items()}
    section.facts.append(
        f"{name}: {1000 * one.wall_s / len(images):.0f} ms an image for detection, "
        f"{500 * two.wall_s / len(images):.0f} ms for flow and fusion"
    )
    return {variant: _measures(made, truth, plain, over, masks, target) for variant, made in variants.items()}


def detected(name: str, images: Iterable[Any], masks: bool = False) -> tuple[list[Detections2D], list[Any]]:
    """An estimator's rows of each image of a view, and the label images."""
    estimator = plugins.instance("estimator", name, ESTIMATORS[name] | ({"masks": True} if masks else {}))
    rows, labels, state = [], [], {}
    for frame, image in enumerate(images):
        view = View(0, "view", (image.shape[1], image.shape[0]), 60.0, 10**6)
        made = estimator.estimate(image, frame, view, state)
        state = made.state
        rows.append(made.rows)
        labels.append(made.masks)
    return rows, labels


def fused(grays: list[Any], rows: list[Detections2D], before: bool, after: bool) -> list[Detections2D]:
    """Rows of each image fused with those of the images before and after it."""
    if not before and not after:
        return rows
    window, out = FlowWindow(REACH, 0), []
    for at, gray in enumerate(grays):
        window.add(FlowFrame(at, rows[at], *gray))
        out += window.fused(at - REACH + 1, before, after)
    return out + window.fused(len(rows), before, after)


def _two_people(rows: list[Detections2D]) -> tuple[int, int]:
    """Ids of the two people who are seen longest."""
    ids, counts = np.unique(np.concatenate([one.carried for one in rows]), return_counts=True)
    longest = ids[np.argsort(-counts, kind="stable")]
    return int(longest[0]), int(longest[min(1, len(longest) - 1)])


def _with_occluder(images: list[Any], rows: list[Detections2D], masks: list[Any], target: int, occluder: int) -> Any:
    """Images with the occluder of half the take later walking across the target, and where it covers them."""
    frames = len(images)
    for at, image in enumerate(images):
        later = (at + frames // 2) % frames
        mine, other = np.flatnonzero(rows[at].carried == target), np.flatnonzero(rows[later].carried == occluder)
        picture, over = image.copy(), np.zeros(image.shape[:2], bool)
        if len(mine) and len(other):
            y, x = np.nonzero(masks[later] == other[0] + 1)
            goal, from_ = rows[at].box[mine[0]], rows[later].box[other[0]]
            width = goal[2] - goal[0] + from_[2] - from_[0]
            across = (2.0 * (at % (frames // 2)) / (frames // 2) - 1) * width * 0.6
            shift = (goal[[0, 2]].mean() - from_[[0, 2]].mean() + across, goal[3] - from_[3])
            to_x, to_y = x + round(shift[0]), y + round(shift[1])
            inside = (to_x >= 0) & (to_x < image.shape[1]) & (to_y >= 0) & (to_y < image.shape[0])
            picture[to_y[inside], to_x[inside]] = images[later][y[inside], x[inside]]
            over[to_y[inside], to_x[inside]] = True
        yield picture, over


def _measures(
    rows: list[Detections2D],
    truth: list[Detections2D],
    plain: list[Detections2D],
    over: Any,
    masks: list[Any],
    target: int,
) -> np.ndarray:
    """(N, 5) of each true joint: error px (NaN = missing), share of body covered, joint covered, score, noise px."""
    out = []
    for at, one in enumerate(plain):
        mine = np.flatnonzero(one.carried == target)
        if not len(mine) or not len(truth[at]):
            continue
        body = masks[at] == mine[0] + 1
        away = np.linalg.norm(
            truth[at].box[:, :2] + truth[at].box[:, 2:] - one.box[mine, :2] - one.box[mine, 2:], axis=-1
        )
        best, size = int(away.argmin()), float(body_size(one.box[mine])[0])
        if away[best] / 2 > NEAR * size:
            continue
        xy, score = truth[at].xy[best], truth[at].score[best]
        place = np.clip(np.nan_to_num(np.rint(xy)).astype(int), 0, np.array(body.shape[::-1]) - 1)
        error, _ = _nearest(rows[at], xy, size)
        noise = _nearest(rows[at], xy, size, "noise_px")[1]
        share = np.full(len(xy), (body & over[at]).sum() / max(body.sum(), 1))
        hidden = over[at][place[:, 1], place[:, 0]]
        out.append(np.stack([np.linalg.norm(error, axis=-1), share, hidden, score, noise], -1)[score > 0.3])
    return np.concatenate(out) if out else np.empty((0, 5))


def _nearest(rows: Detections2D, xy: np.ndarray, size: float, column: str = "score") -> tuple[np.ndarray, np.ndarray]:
    """Residual (J, 2) px and a column (J,) of the row nearest to true joints (J, 2); NaN if none is within a third."""
    off = rows.xy - xy
    apart = np.linalg.norm(off, axis=-1)
    away = np.array([np.nanmedian(one) if np.isfinite(one).any() else np.inf for one in apart])
    if not len(away) or away.min() > NEAR * size:
        return np.full((len(xy), 2), np.nan), np.full(len(xy), np.nan)
    return off[away.argmin()].astype(float), getattr(rows, column)[away.argmin()].astype(float)


def _rows(name: str, found: np.ndarray) -> Iterable[Row]:
    parts: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "nobody in front": lambda one: one[:, 1] == 0,
        **{
            f"body covered {low:.0%} to {min(high, 1):.0%}": (
                lambda one, a=low, b=high: (one[:, 1] > a) & (one[:, 1] <= b)
            )
            for low, high in pairwise(SIZES)
        },
        "covered joints": lambda one: one[:, 2] > 0,
        "joints beside": lambda one: (one[:, 2] == 0) & (one[:, 1] > 0),
    }
    for part, of in parts.items():
        some = found[of(found)]
        seen = some[np.isfinite(some[:, 0])]
        if len(seen):
            inside = (seen[:, 0] < 1.515 * seen[:, 4]).mean()  # 68 % of a two-dimensional normal distribution
            yield {
                "part": part, "variant": name, "joints": len(some), "median px": float(np.median(seen[:, 0])),
                "mean px": float(seen[:, 0].mean()), "missing %": float(100 * np.isnan(some[:, 0]).mean()),
                "in 68 %": float(100 * inside),
            }  # fmt: skip
