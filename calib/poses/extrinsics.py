"""Initial poses of cameras: pairs that saw the target together, their graph, its best spanning tree, and its loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import networkx as nx
import numpy as np

from calib import geometry
from calib.arrays import Floats
from calib.calibration import Pair
from calib.camera import Camera, Lens
from calib.errors import CalibrationError
from calib.geometry import invert, vector_from_rotation
from calib.observations import Observations
from calib.poses.board_pose import BoardPoses, board_poses
from calib.poses.consensus import RelativePoseMean, consensus_pose
from calib.poses.wand import wand_poses, wand_relations
from calib.rig import Rig
from calib.targets import Target

_BACK = RelativePoseMean(np.eye(4), 1, 1.0, 0.005)  # pose of a sheet on the back of another


@dataclass(frozen=True, eq=False)
class Start:
    """Initial poses of everything, and the pairs of cameras they come from.

    cam_from_world (C, 4, 4), NaN for a camera that is not connected; world_from_body (T, 4, 4), NaN where no connected
    camera sees the target; body_from_piece (B, 4, 4), NaN for a piece that is not connected; the world is the frame of
    the first camera of the tree.
    """

    cam_from_world: Floats
    world_from_body: Floats
    body_from_piece: Floats
    pairs: tuple[Pair, ...]
    unconnected: tuple[str, ...]
    relative: tuple[Floats, ...] = ()  # a_from_b of every pair by itself


def connect_views(observations: Observations, lenses: Sequence[Lens]) -> Start:
    """Initial poses of cameras, of the target at every moment, and of the target's pieces."""
    target = observations.target
    if target.free:
        raise CalibrationError("free points give no initial poses; give a rig to start from")
    view_poses = [board_poses(observations.xy[view], target, lens) for view, lens in enumerate(lenses)]
    if target.still:
        return _resect(observations, view_poses)
    wand = target.rank() == 1
    cameras, pieces = (wand_relations(observations, lenses), {}) if wand else _relations(view_poses, target)
    graph = nx.Graph()
    graph.add_nodes_from(range(len(lenses)))
    for (a, b), relation in cameras.items():
        graph.add_edge(a, b, weight=_weight(relation, target.extent), relation=relation)
    tree = nx.minimum_spanning_tree(graph)
    together = max(nx.connected_components(tree), key=lambda part: (len(part), -min(part)))
    root = min(together)
    poses = _chain_poses(tree, root, len(lenses), cameras)
    body_from_piece = _chain_pieces(pieces, len(target.pieces))
    names, in_tree = observations.views, set(map(frozenset, tree.edges))
    pairs = tuple(
        Pair(names[a], names[b], one.count, one.error_deg, one.error_m, frozenset((a, b)) in in_tree)
        for (a, b), one in cameras.items()
    )
    missing = tuple(observations.views[view] for view in range(len(lenses)) if view not in together)
    if wand:
        some = sorted(together)
        rig = Rig(tuple(Camera(lenses[view], poses[view]) for view in some))
        bodies = wand_poses(rig, observations.of([names[view] for view in some]))
    else:
        bodies = place_bodies(observations, lenses, poses, body_from_piece, view_poses)
    return Start(poses, bodies, body_from_piece, pairs, missing, tuple(one.a_from_b for one in cameras.values()))


def _weight(relation: RelativePoseMean, extent: float) -> float:
    """Weight of a pair's error in the tree: the angle, and the shift in units of the target's size."""
    return float(np.hypot(np.deg2rad(relation.error_deg), relation.error_m / (3 * extent)) + 1e-9)


def _resect(observations: Observations, view_poses: list[BoardPoses]) -> Start:
    """Poses of cameras from points whose positions in the world are known."""
    cameras = len(view_poses)
    poses = np.full((cameras, 4, 4), np.nan)
    for view, poses_seen in enumerate(view_poses):
        if np.isfinite(poses_seen.rms[0, :, 0]).any():
            poses[view] = poses_seen.cam_from_piece[0, int(np.nanargmin(poses_seen.rms[0, :, 0])), 0]
    lost = tuple(name for name, pose in zip(observations.views, poses, strict=True) if np.isnan(pose).any())
    bodies = np.tile(np.eye(4), (len(observations.moments), 1, 1))
    return Start(poses, bodies, np.tile(np.eye(4), (len(observations.target.pieces), 1, 1)), (), lost)


def _relations(
    view_poses: list[BoardPoses], target: Target
) -> tuple[dict[tuple[int, int], RelativePoseMean], dict[tuple[int, int], RelativePoseMean]]:
    """Relative poses of cameras and of pieces, found alternately: each gives more of the other."""
    pieces = len(target.pieces)
    cameras: dict[tuple[int, int], RelativePoseMean] = {}
    piece_relations = {(of, back): _BACK for back, of in enumerate(target.back_of) if of != back}
    for _ in range(1 if pieces == 1 else 3):
        before = len(cameras), len(piece_relations)
        links = _links(piece_relations, pieces)
        for a, b in combinations(range(len(view_poses)), 2):
            if (a, b) not in cameras:
                samples = _between_cameras(view_poses[a], view_poses[b], links)
                if (found := consensus_pose(samples)) is not None:
                    cameras[a, b] = found
        for p, q in combinations(range(pieces), 2):
            if (p, q) not in piece_relations:
                samples = _between_pieces(view_poses, p, q, _links(cameras, len(view_poses)))
                if (found := consensus_pose(samples)) is not None:
                    piece_relations[p, q] = found
        if before == (len(cameras), len(piece_relations)):
            break
    return cameras, piece_relations


def _links(relations: dict[tuple[int, int], RelativePoseMean], count: int) -> dict[tuple[int, int], Floats]:
    """a_from_b of all related pairs, in both directions, and of each to itself."""
    out = {(index, index): np.eye(4) for index in range(count)}
    for (a, b), relation in relations.items():
        out[a, b], out[b, a] = relation.a_from_b, invert(relation.a_from_b)
    return out


def _between_cameras(a: BoardPoses, b: BoardPoses, links: dict[tuple[int, int], Floats]) -> Floats:
    """Every moment's candidates (S, 4, 4, 4) of a_from_b: two poses in a times two in b."""
    samples = []
    for (p, q), p_from_q in links.items():
        here = np.isfinite(a.rms[0, :, p]) & np.isfinite(b.rms[0, :, q])
        samples.append(_products_with_inverse(a.cam_from_piece[:, here, p] @ p_from_q, b.cam_from_piece[:, here, q]))
    return np.concatenate(samples)


def _between_pieces(view_poses: list[BoardPoses], p: int, q: int, links: dict[tuple[int, int], Floats]) -> Floats:
    """Every moment's candidates (S, 4, 4, 4) of p_from_q, by one camera that sees both or by two related ones."""
    samples = []
    for (a, b), a_from_b in links.items():
        one, other = view_poses[a], view_poses[b]
        here = np.isfinite(one.rms[0, :, p]) & np.isfinite(other.rms[0, :, q])
        left = invert(np.where(np.isnan(one.cam_from_piece[:, here, p]), np.eye(4), one.cam_from_piece[:, here, p]))
        left = np.where(np.isnan(one.cam_from_piece[:, here, p]), np.nan, left)
        samples.append(_products(left @ a_from_b, other.cam_from_piece[:, here, q]))
    return np.concatenate(samples)


def _products_with_inverse(left: Floats, right: Floats) -> Floats:
    """All products (S, 4, 4, 4) of left (2, S, 4, 4) with the inverses of right (2, S, 4, 4)."""
    known = np.isfinite(right)
    back = np.where(known, invert(np.where(known, right, np.eye(4))), np.nan)
    return _products(left, back)


def _products(left: Floats, right: Floats) -> Floats:
    candidates = left[:, None] @ right[None, :]
    return np.asarray(np.moveaxis(candidates, 2, 0).reshape(candidates.shape[2], 4, 4, 4))


def _chain_poses(tree: nx.Graph, root: int, count: int, relations: dict[tuple[int, int], RelativePoseMean]) -> Floats:
    """cam_from_world (count, 4, 4) with the root's frame as the world, NaN where not connected to it in the tree."""
    links = _links(relations, count)
    poses = np.full((count, 4, 4), np.nan)
    poses[root] = np.eye(4)
    for parent, child in nx.bfs_edges(tree, root):
        poses[child] = links[child, parent] @ poses[parent]
    return poses


def _chain_pieces(relations: dict[tuple[int, int], RelativePoseMean], count: int) -> Floats:
    graph = nx.Graph()
    graph.add_nodes_from(range(count))
    for (p, q), relation in relations.items():
        graph.add_edge(p, q, weight=relation.error_deg + 1e-9)
    tree = nx.minimum_spanning_tree(graph)
    return np.array(
        [invert(pose) if np.isfinite(pose).all() else pose for pose in _chain_poses(tree, 0, count, relations)]
    )


def loop_errors(start: Start, poses: Mapping[str, Floats]) -> tuple[Pair, ...]:
    """The pairs of cameras that have poses, each with the difference of its own relative pose from these."""
    pairs = []
    for pair, a_from_b in zip(start.pairs, start.relative, strict=True):
        if pair.a in poses and pair.b in poses:
            deviation = a_from_b @ poses[pair.b] @ invert(poses[pair.a])
            angle = np.rad2deg(np.linalg.norm(vector_from_rotation(deviation[:3, :3])))
            shift = np.linalg.norm((a_from_b @ poses[pair.b])[:3, 3] - poses[pair.a][:3, 3])
            pairs.append(replace(pair, loop_deg=float(angle), loop_m=float(shift)))
    return tuple(pairs)


def place_bodies(
    observations: Observations,
    lenses: Sequence[Lens],
    cam_from_world: Floats,
    body_from_piece: Floats,
    sights: Sequence[BoardPoses] | None = None,
) -> Floats:
    """Poses of the target (T, 4, 4) at every moment: of the candidates from single cameras, the best fit to all."""
    target = observations.target
    if sights is None:
        sights = [board_poses(observations.xy[view], target, lens) for view, lens in enumerate(lenses)]
    known = [view for view in range(len(lenses)) if np.isfinite(cam_from_world[view]).all()]
    candidates = []
    for view in known:
        for piece in np.flatnonzero(np.isfinite(body_from_piece).all((1, 2))):
            poses = invert(cam_from_world[view]) @ sights[view].cam_from_piece[:, :, piece]
            candidates += list(poses @ invert(body_from_piece[piece]))
    best = np.full((len(observations.moments), 4, 4), np.nan)
    lowest = np.full(len(observations.moments), np.inf)
    points = geometry.transform(body_from_piece[target.of_piece], target.points)
    for candidate in candidates:
        cost = _misfit(
            observations, lenses, cam_from_world, known, geometry.transform(candidate[:, None], points[None])
        )
        better = cost < lowest
        lowest[better], best[better] = cost[better], candidate[better]
    return best


def _misfit(
    observations: Observations, lenses: Sequence[Lens], cam_from_world: Floats, known: list[int], world: Floats
) -> Floats:
    """Robust reprojection cost (T,) of points (T, N, 3), infinite where there is no candidate."""
    total = np.zeros(len(world))
    for view in known:
        lens = lenses[view]
        seen = geometry.transform(cam_from_world[view], world)
        with np.errstate(all="ignore"):
            flat = seen[..., :2] / np.where(seen[..., 2:] > 0, seen[..., 2:], np.nan)
            xy = geometry.pixels(geometry.distort(flat, lens.distortion, lens.model), lens.K)
            error = np.linalg.norm(xy - observations.xy[view], axis=-1)
        here = observations.seen[view]
        scale = 0.01 * max(lens.size)
        total += np.where(here, np.minimum(np.nan_to_num(error, nan=np.inf), scale), 0).sum(-1)
    return np.where(np.isfinite(world[:, 0, 0]) | np.isfinite(world).any((1, 2)), total, np.inf)
