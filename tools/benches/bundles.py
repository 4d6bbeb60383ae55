"""Bundle adjustment beside others on one problem each, and what it costs by cameras and by frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benches.section import Options, Row, Section, clock, say

CAMERAS, FRAMES = (4, 8, 16, 32), (50, 100, 200, 400, 800)
POINTS, HUBER, TOLERANCE = 2000, 1.5, 1e-8
COEFFICIENTS = 4
"""Of a lens: k1 k2 p1 p2, so a camera has 14 unknowns."""
_MOST_CALLS = 60


@dataclass(frozen=True, eq=False)
class Free:
    """Points (N, 3) that cameras see at xy (C, N, 2), NaN where they do not, and a guess of all that is unknown."""

    lenses: tuple[Any, ...]
    poses: Any
    points: Any
    xy: Any

    def cost(self) -> float:
        """Half the robust sum, with Huber's kernel on each point's distance in px."""
        square = ((self.projected() - self.xy) ** 2).sum(-1)
        square = square[np.isfinite(square)]
        return 0.5 * float(np.where(square < HUBER**2, square, 2 * HUBER * np.sqrt(square) - HUBER**2).sum())

    def projected(self) -> Any:
        """Where the points are in the pictures, (C, N, 2)."""
        from calib import Camera

        return np.stack([Camera(lens, pose).project(self.points)
                         for lens, pose in zip(self.lenses, self.poses, strict=True)])  # fmt: skip


def solvers(section: Section, options: Options) -> None:
    """Tables of the solver; plots of its cost into the folder asked for."""
    same = "bundle adjustment, 2000 free points, 14 unknowns a camera, 0.5 px, 3 % outliers, Huber 1.5 px"
    for count in CAMERAS[: 2 if options.quick else None]:
        say(f"bundle adjustment, {count} cameras")
        problem = scattered(count)
        row: Row = {"cameras": count, "sightings": int(np.isfinite(problem.xy[..., 0]).sum())}
        for who, solve in SOLVERS.items():
            try:
                with clock() as timed:
                    done = solve(problem)
            except ModuleNotFoundError:
                continue
            row |= {f"{who} CPU s": timed.cpu_s, f"{who} cost": f"{done.cost():.2f}"}
        section.add(same, row)
    if "pycolmap CPU s" not in row:
        section.facts.append("pycolmap is not installed here: pip install pycolmap to have it beside ours")
    by_cameras, by_frames = (
        "board of 24 corners, 200 frames, lenses free",
        "board of 24 corners, 8 cameras, lenses free",
    )
    for count in CAMERAS[: 2 if options.quick else None]:
        section.add(by_cameras, {"cameras": count, **boards(count, 100 if options.quick else 200)})
    for frames in FRAMES[: 3 if options.quick else None]:
        section.add(by_frames, {"frames": frames, **boards(8, frames)})
    if options.out is not None:
        path = options.out / "bundle_cost.png"
        draw(section.tables[same], section.tables[by_cameras], section.tables[by_frames], path)
        section.facts.append(f"plot of the solver's cost: {path}")


def scattered(cameras: int, count: int = POINTS, seed: int = 0) -> Free:
    """Points seen by 60 % of the cameras that could, with noise and outliers, and a first guess that is off."""
    from generated_boards import looking_at, made_lens

    from calib import Camera, Lens
    from calib.geometry import pose, rotation_from_vector

    rng = np.random.default_rng(seed)
    points = rng.uniform([-2, -2, 0], [2, 2, 2], (count, 3))
    true, first = [], []
    for index in range(cameras):
        turn = 2 * np.pi * index / cameras
        place = np.array([4.5 * np.cos(turn), 4.5 * np.sin(turn), 1.0 + 2.0 * rng.random()])
        lens = made_lens(f"cam{index:02d}", rng)
        lens = Lens(lens.name, lens.size, lens.K, lens.distortion[:COEFFICIENTS])
        true.append(Camera(lens, looking_at(place, rng.uniform([-1, -1, 0.5], [1, 1, 1.5]))))
        off = pose(rotation_from_vector(rng.normal(0, 0.008, 3)), rng.normal(0, 0.02, 3))
        guess = Lens(lens.name, lens.size, lens.K * [[1.01, 1, 1], [1, 1.01, 1], [1, 1, 1]], np.zeros(COEFFICIENTS))
        first.append(Camera(guess, off @ true[-1].cam_from_world if index else true[-1].cam_from_world))
    xy = np.stack([camera.project(points) for camera in true])
    inside = ((xy >= 0) & (xy < true[0].size)).all(-1) & (rng.random(xy.shape[:2]) < 0.6)
    xy += rng.normal(0, 0.5, xy.shape) + (rng.random(xy.shape[:2]) < 0.03)[..., None] * rng.uniform(-30, 30, xy.shape)
    kept = inside.sum(0) >= 2
    xy = np.where(inside[..., None], xy, np.nan)[:, kept]
    guess = points[kept] + rng.normal(0, 0.02, (int(kept.sum()), 3))
    return Free(tuple(one.lens for one in first), np.stack([one.cam_from_world for one in first]), guess, xy)


def ours(problem: Free) -> Free:
    """By calib.bundle."""
    from calib import bundle
    from calib.bundle.equations import LENS
    from calib.observations import Observations
    from calib.targets import free_points

    seen = np.isfinite(problem.xy).all(-1)[:, None]
    count = len(problem.lenses)
    target = free_points(len(problem.points))
    names, sizes = tuple(lens.name for lens in problem.lenses), tuple(lens.size for lens in problem.lenses)
    sigma = np.where(seen, 1.0, np.nan)
    table = Observations(target, names, sizes, problem.xy[:, None], sigma, np.zeros((count, 1)), ("all",))
    nowhere, one_piece = np.full((1, 4, 4), np.nan), np.eye(4)[None]
    free = np.tile(np.arange(LENS) < 4 + COEFFICIENTS, (count, 1))
    asked = bundle.Problem(table, problem.lenses, problem.poses, nowhere, one_piece, seen, free, np.arange(count) > 0,
                           free_points=problem.points[None], huber=HUBER)  # fmt: skip
    done = bundle.adjust(asked, tolerance=TOLERANCE)
    return Free(done.lenses, done.cam_from_world, done.free_points[0], problem.xy)


def scipy_trf(problem: Free) -> Free:
    """By scipy's least_squares, as most tools call it: trust region, sparse differences, the kernel in the residual."""
    from scipy.optimize import least_squares
    from scipy.sparse import coo_matrix

    view, point = np.nonzero(np.isfinite(problem.xy).all(-1))
    count, wide = len(problem.lenses), 10 + COEFFICIENTS
    start = np.concatenate([np.zeros(6 * count), *(numbers(lens) for lens in problem.lenses), problem.points.ravel()])
    of_pose, of_lens = 6 * view[:, None] + np.arange(6), 6 * count + (wide - 6) * view[:, None] + np.arange(wide - 6)
    columns = np.concatenate([of_pose, of_lens, wide * count + 3 * point[:, None] + np.arange(3)], -1)
    rows = np.repeat(np.arange(2 * len(view)), columns.shape[1])
    columns = np.repeat(columns, 2, axis=0).ravel()
    pattern = coo_matrix((np.ones(len(rows)), (rows, columns)), (2 * len(view), len(start)))

    def off(x: Any) -> Any:
        trial = moved(problem, x)
        far = trial.projected()[view, point] - problem.xy[view, point]
        distance = np.maximum(np.linalg.norm(far, axis=-1), 1e-12)
        root = np.sqrt(np.where(distance < HUBER, distance**2, 2 * HUBER * distance - HUBER**2))
        return (far * (root / distance)[:, None]).ravel()

    done = least_squares(off, start, jac_sparsity=pattern, x_scale="jac", ftol=TOLERANCE, max_nfev=_MOST_CALLS)
    return moved(problem, done.x)


def numbers(lens: Any) -> Any:
    """fx fy cx cy and coefficients of a lens, one after the other."""
    return np.concatenate([[lens.K[0, 0], lens.K[1, 1], *lens.K[:2, 2]], lens.distortion])


def moved(problem: Free, x: Any) -> Free:
    """The problem at unknowns x: poses (C, 6), lenses (C, 8), points."""
    from calib import Lens
    from calib.geometry import pose, rotation_from_vector

    count = len(problem.lenses)
    step, rest = x[: 6 * count].reshape(count, 6), x[6 * count :]
    poses = pose(rotation_from_vector(step[:, :3]), step[:, 3:]) @ problem.poses
    table, points = rest[: -problem.points.size].reshape(count, -1), rest[-problem.points.size :].reshape(-1, 3)
    lenses = tuple(Lens(lens.name, lens.size, np.array([[row[0], 0, row[2]], [0, row[1], row[3]], [0, 0, 1]]), row[4:])
                   for lens, row in zip(problem.lenses, table, strict=True))  # fmt: skip
    return Free(lenses, poses, points, problem.xy)


def pycolmap(problem: Free) -> Free:
    """By pycolmap, which is Ceres; ModuleNotFoundError where it is not installed."""
    import pycolmap as colmap

    from calib import Lens

    scene = colmap.Reconstruction()
    tracks: list[list[Any]] = [[] for _ in problem.points]
    for view, (lens, pose) in enumerate(zip(problem.lenses, problem.poses, strict=True)):
        width, height = lens.size
        scene.add_camera_with_trivial_rig(
            colmap.Camera(model="OPENCV", width=width, height=height, params=numbers(lens), camera_id=view + 1)
        )
        at = np.flatnonzero(np.isfinite(problem.xy[view, :, 0]))
        image = colmap.Image(name=lens.name, keypoints=problem.xy[view, at], camera_id=view + 1, image_id=view + 1)
        scene.add_image_with_trivial_frame(image, colmap.Rigid3d(pose[:3]))
        for place, point in enumerate(at):
            tracks[point].append(colmap.TrackElement(view + 1, place))
    names = [scene.add_point3D(xyz, colmap.Track(track)) for xyz, track in zip(problem.points, tracks, strict=True)]
    options = colmap.BundleAdjustmentOptions(refine_principal_point=True, print_summary=False)
    options.ceres.loss_function_type, options.ceres.loss_function_scale = colmap.LossFunctionType.HUBER, HUBER
    options.ceres.solver_options.function_tolerance = TOLERANCE
    options.ceres.solver_options.num_threads = 1
    colmap.bundle_adjustment(scene, options)
    lenses, poses = [], []
    for view, lens in enumerate(problem.lenses):
        fx, fy, cx, cy, *rest = scene.cameras[view + 1].params
        lenses.append(Lens(lens.name, lens.size, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), np.array(rest)))
        poses.append(np.vstack([scene.images[view + 1].cam_from_world().matrix(), [0, 0, 0, 1]]))
    points = np.array([scene.points3D[name].xyz for name in names])
    return Free(tuple(lenses), np.array(poses), points, problem.xy)


SOLVERS: dict[str, Callable[[Free], Free]] = {"ours": ours, "pycolmap": pycolmap, "scipy": scipy_trf}


def boards(cameras: int, frames: int) -> Row:
    """CPU s and iterations of a board's poses, lenses and cameras from a first guess that is off."""
    from generated_boards import Take, arc_rig, board_observations, carried

    from calib import bundle
    from calib.bundle.equations import LENS
    from calib.geometry import pose, rotation_from_vector

    rng = np.random.default_rng(1)
    take = Take(arc_rig(cameras, 1), carried(seed=1), frames=frames)
    seen = board_observations(take, 0.1, outliers=0.01)
    turned = pose(
        rotation_from_vector(rng.normal(0, 0.005, (cameras + frames, 3))), rng.normal(0, 0.01, (cameras + frames, 3))
    )
    turned[0] = np.eye(4)
    free = np.tile(np.arange(LENS) < 4 + COEFFICIENTS, (cameras, 1))
    asked = bundle.Problem(seen, tuple(camera.lens for camera in take.rig), turned[:cameras] @ take.rig.cam_from_world,
                           take.world_from_body @ turned[cameras:], np.eye(4)[None], seen.seen, free,
                           np.arange(cameras) > 0)  # fmt: skip
    with clock() as timed:
        done = bundle.adjust(asked, tolerance=TOLERANCE)
    return {"sightings": int(seen.seen.sum()), "CPU s": timed.cpu_s, "iterations": done.iterations,
            "CPU ms an iteration": 1000 * timed.cpu_s / max(done.iterations, 1)}  # fmt: skip


def draw(same: list[Row], by_cameras: list[Row], by_frames: list[Row], path: Path) -> None:
    """Write a PNG: CPU s by cameras beside others, and ours by cameras and by frames of a board."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    for who in SOLVERS:
        if f"{who} CPU s" in same[0]:
            axes[0].plot([row["cameras"] for row in same], [row[f"{who} CPU s"] for row in same], "o-", label=who)
    axes[0].set(title="2000 free points", xlabel="cameras", yscale="log")
    axes[0].legend(fontsize=8)
    for axis, rows, along in ((axes[1], by_cameras, "cameras"), (axes[2], by_frames, "frames")):
        axis.plot([row[along] for row in rows], [row["CPU s"] for row in rows], "o-")
        axis.set(title=f"a board, by {along}", xlabel=along, ylim=(0, None))
    for axis in axes:
        axis.set(ylabel="CPU s, one thread")
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
