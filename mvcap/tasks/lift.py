"""Training tasks of lifters: one person's track in one view to joints about the middle of the hips, with covariances.

Every person of a generated take in every view is a track: motions, bodies, lenses, camera heights, estimators' errors
and occlusion are those of the generator. Bodies are learned at one stature, whatever theirs is, because one view does
not tell it. Joints are removed, the picture is mirrored, rolled and cut in time at random in every step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calib import Camera
from calib.arrays import Floats
from mvcap.lifting.body_joints import BODY, HIPS, MIRROR, TYPICAL_STATURE_M, straight_stature
from mvcap.lifting.virtual_camera import FEATURES, moments_of
from mvcap.structures.anthropometry import STATURE_M
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.synthetic_take import SyntheticTake
from mvcap.structures.view_track import ViewTrack
from mvcap.training.pose_variation import varied_poses
from mvcap.training.task import NetworkAxes, Sample

if TYPE_CHECKING:
    import torch

BODY_M = TYPICAL_STATURE_M / STATURE_M
"""m of the lifted body for each metre of the body in whose sizes features are."""
_MOMENTS = 24  # of a sample
_LEAST_KNOWN, _LEAST_FRAMES = 0.25, 0.4  # shares of joints, and of moments with any, below which a track is no sample
_CLIP = 25.0  # squared Mahalanobis distance above which the loss grows as its logarithm
_METRES, _SPEED = 30.0, 0.3  # weights of distances in m, and of those of movements between moments
_ROLL_RAD, _DROP, _SHORT = 0.1, 0.3, 0.25  # roll; shares of windows in which joints vanish, and that are cut short
_LIMBS = tuple(
    tuple(BODY.index(f"{side}_{name}") for name in names)
    for side in ("left", "right")
    for names in (("wrist",), ("elbow", "wrist"), ("knee", "ankle", "big_toe", "small_toe", "heel"),
                  ("ankle", "big_toe", "small_toe", "heel"), ("hip", "knee", "ankle", "big_toe", "small_toe", "heel"))
)  # fmt: skip


class LiftTask:
    """Task ``lift``: joints of one person in one view in 3D, by a graph network over time; lifter dynamic_graph."""

    name = "lift"
    batch_size = 32
    defaults: Mapping[str, Any] = {
        "takes": 2000, "steps": 4000, "held_out_takes": 64, "threads": 1,
        "take": {"people": [1, 3], "cameras": [2, 5], "frames": 48, "rate_hz": [10.0, 24.0]},
    }  # fmt: skip
    better: Mapping[str, str] = {"mpjpe_mm": "lower"}
    about = "Joints of one person in one view in three dimensions about the middle of the hips, with covariances"
    limitations = (
        "Motion is that of the clips and of synthetic people: other postures are pulled towards these.",
        "Bodies are of one stature; a mirrored picture gives the mirrored pose.",
        "Detections are simulated; joints are those of halpe26.",
    )
    sizes = NetworkAxes(
        inputs={"node": {0: "B", 1: "T"}, "frame": {0: "B", 1: "T"}},
        outputs={"joints": {0: "B", 1: "T"}, "factor": {0: "B", 1: "T"}},
    )
    affinity = "static"
    poses_vary = True
    """Whether limbs and bodies are turned at random in training."""

    def samples(self, take: SyntheticTake, seed: int) -> list[Sample]:
        """Windows of all people in all views of a take."""
        del seed
        out: list[Sample] = []
        for track, truth in true_tracks(take):
            out += lift_samples(track, truth)
        return out

    def network(self) -> torch.nn.Module:
        """Return a network with initial weights."""
        from mvcap.nn.dynamic_graph import DynamicGraph

        return DynamicGraph(len(BODY), FEATURES, BODY.bones.tolist(), HIPS, BODY_M, affinity=self.affinity)

    def batch(self, samples: Sequence[Sample]) -> dict[str, NDArray[np.generic]]:
        """Windows as one batch; all are of one length."""
        return {name: np.stack([np.asarray(one[name], np.float32) for one in samples]) for name in samples[0]}

    def loss(self, network: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Clipped negative log likelihood, plus distances of joints and of their movements."""
        varied = vary(varied_poses(batch) if self.poses_vary else batch) if network.training else batch
        joints, factor = network(varied["node"], varied["frame"])
        return lift_loss(joints, factor, varied["joints"], varied["known"])

    def metrics(self, network: torch.nn.Module, samples: Iterable[Sample]) -> dict[str, float]:
        """Errors in mm, of detected and of other joints, and the calibration of covariances."""
        import torch

        rows, losses = [], []
        held = list(samples)
        for start in range(0, len(held), self.batch_size):
            batch = {name: torch.from_numpy(x) for name, x in self.batch(held[start : start + self.batch_size]).items()}
            with torch.no_grad():
                joints, factor = network(batch["node"], batch["frame"])
                losses.append(float(lift_loss(joints, factor, batch["joints"], batch["known"])) * len(joints))
                rows.append(_errors(batch, joints, factor))
        return {"loss": sum(losses) / max(len(held), 1), **_figures(np.concatenate(rows))}


class TemporalLiftTask(LiftTask):
    """Task ``lift_temporal``: the same by a graph of confident joints and convolutions over time; lifter temporal."""

    name = "lift_temporal"
    batch_size = 64
    defaults: Mapping[str, Any] = {**LiftTask.defaults, "steps": 16000}
    graph = "confidence"

    def network(self) -> torch.nn.Module:
        """Return a network with initial weights."""
        from mvcap.nn.temporal_lift import TemporalLift

        return TemporalLift(len(BODY), FEATURES, BODY.bones.tolist(), HIPS, BODY_M, graph=self.graph)


def true_tracks(take: SyntheticTake) -> list[tuple[ViewTrack, Floats]]:
    """Tracks of all people of a take in all views, and their true joints (T, 26, 3) m along the camera's axes.

    Joints are about the middle of the hips, of a body of ``TYPICAL_STATURE_M``; NaN where the person is not there.
    """
    out = []
    rows = take.rows.with_columns(person=take.person)
    for person in np.unique(rows.person[rows.person > 0]).tolist():
        mine = take.truth[take.truth.person == person]
        stature = straight_stature(mine.skeleton, mine.xyz.astype(np.float64))
        if not np.isfinite(stature):
            continue
        for view, (seen_by, known) in enumerate(zip(take.seen_by, take.rig, strict=True)):
            track = _track_of(rows.of(view, person=person), known, take.rate_hz)
            if track is not None:
                out.append((track, _truth_at(track, mine, seen_by, take.rate_hz) * TYPICAL_STATURE_M / stature))
    return out


def _track_of(rows: Detections2D, camera: Camera, rate_hz: float) -> ViewTrack | None:
    """One person's rows in one view as a track, of every frame the row with most joints."""
    if not len(rows):
        return None
    order = np.lexsort((-(rows.score > 0).sum(-1), rows.frame))
    rows = rows[order]
    rows = rows[np.unique(rows.frame, return_index=True)[1]]
    xy, score, noise = (np.asarray(one, np.float64) for one in (rows.xy, rows.score, rows.noise_px))
    return ViewTrack(rows.skeleton, camera.lens, rows.frame / rate_hz, xy, score, noise)


def _truth_at(track: ViewTrack, truth: Poses3D, camera: Camera, rate_hz: float) -> Floats:
    out = np.full((len(track.time_s), len(BODY), 3), np.nan)
    frame = np.rint(track.time_s * rate_hz).astype(np.int64)
    place = {int(one): at for at, one in enumerate(truth.frame)}
    xyz = truth.xyz.astype(np.float64) @ camera.cam_from_world[:3, :3].T
    xyz = xyz - xyz[:, HIPS].mean(1, keepdims=True)
    for at, one in enumerate(frame.tolist()):
        if one in place:
            out[at] = xyz[place[one]]
    return out


def lift_samples(track: ViewTrack, truth: Floats) -> list[Sample]:
    """Windows of a track with their true joints (T, 26, 3), as ``true_tracks`` gives them."""
    moments = moments_of(track)
    target = np.stack([np.interp(moments.time_s, track.time_s, column)
                       for column in truth.reshape(len(truth), -1).T], -1).reshape(-1, len(BODY), 3)  # fmt: skip
    target = np.einsum("mab,mjb->mja", moments.turn, target)
    known = np.isfinite(target).all(-1)
    out: list[Sample] = []
    count = len(moments.time_s)
    for start in range(0, count - _MOMENTS + 1, _MOMENTS // 2):
        some = slice(start, start + _MOMENTS)
        seen = moments.node[some, :, -1]
        near = np.convolve(seen.any(-1), np.ones(5), "same") > 0
        if seen.mean() < _LEAST_KNOWN or seen.any(-1).mean() < _LEAST_FRAMES:
            continue
        there = known[some] & near[:, None]
        joints = np.where(there[..., None], target[some], 0).astype(np.float32)
        out.append({"node": moments.node[some], "frame": moments.frame[some], "joints": joints,
                    "known": there.astype(np.float32)})  # fmt: skip
    return out


def vary(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A batch varied at random: half of it mirrored, all rolled, joints removed for a while, some cut short."""
    import torch

    node, frame, joints, known = (batch[name].clone() for name in ("node", "frame", "joints", "known"))
    size, moments = node.shape[:2]
    flip = torch.rand(size, device=node.device) < 0.5
    partner = torch.as_tensor(MIRROR, device=node.device)
    for value, first in ((node, True), (joints, True), (known, False)):
        value[flip] = value[flip][:, :, partner]
        if first:
            value[flip, ..., 0] *= -1
    frame[flip, :, 0] *= -1
    roll = _ROLL_RAD * torch.randn(size, device=node.device)
    cos, sin = torch.cos(roll), torch.sin(roll)
    for value in (node, joints, frame):
        c, s = (one.reshape(-1, *[1] * (value.ndim - 2)) for one in (cos, sin))
        x, y = value[..., 0].clone(), value[..., 1].clone()
        value[..., 0], value[..., 1] = c * x - s * y, s * x + c * y
    for one in torch.nonzero(torch.rand(size) < _DROP).ravel().tolist():
        limb = list(_LIMBS[int(torch.randint(len(_LIMBS), ()))])
        start = int(torch.randint(-moments // 2, moments, ()))
        node[one, max(start, 0) : start + int(torch.randint(4, moments, ())), limb] = 0
    if float(torch.rand(())) < _SHORT:
        length = int(torch.randint(1, moments, ()))
        start = int(torch.randint(0, moments - length + 1, ()))
        node, frame, joints, known = (value[:, start : start + length] for value in (node, frame, joints, known))
    return {"node": node, "frame": frame, "joints": joints, "known": known}


def lift_loss(joints: torch.Tensor, factor: torch.Tensor, truth: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Loss of joints (B, T, J, 3) m with lower triangles (B, T, J, 3, 3) m, where known (B, T, J) is 1."""
    import torch

    error = truth - joints
    z = torch.linalg.solve_triangular(factor, error[..., None], upper=False)[..., 0]
    square = (z**2).sum(-1)
    far = _CLIP * (1 + (square.clamp(min=_CLIP) / _CLIP).log())
    likely = 0.5 * torch.where(square > _CLIP, far, square) + factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    count = known.sum().clamp(min=1)
    whole: torch.Tensor = ((likely + _METRES * torch.sqrt((error**2).sum(-1) + 1e-8)) * known).sum() / count
    if joints.shape[1] > 1:
        both = known[:, 1:] * known[:, :-1]
        speed = torch.sqrt(((error[:, 1:] - error[:, :-1]) ** 2).sum(-1) + 1e-8)
        whole = whole + _SPEED * _METRES * (speed * both).sum() / both.sum().clamp(min=1)
    return whole


def _errors(batch: Mapping[str, torch.Tensor], joints: torch.Tensor, factor: torch.Tensor) -> Floats:
    """Rows (N, 4) of the true joints: distance mm, across the axis mm, squared deviations, whether detected."""
    error = (batch["joints"] - joints).numpy().astype(np.float64)
    z = np.linalg.solve(factor.numpy().astype(np.float64), error[..., None])[..., 0]
    aside = np.linalg.norm(error[..., :2], axis=-1)
    parts = [1000 * np.linalg.norm(error, axis=-1), 1000 * aside, (z**2).sum(-1), batch["node"][..., -1].numpy()]
    return np.stack(parts, -1)[batch["known"].numpy() > 0]


def _figures(rows: Floats) -> dict[str, float]:
    """Metrics of rows of ``_errors``; ``deviation_factor`` makes half of the joints lie inside their half ellipsoid."""
    body = {"mpjpe_mm": rows[:, 0].mean(), "across_mm": rows[:, 1].mean()}
    for name, some in (("detected_mm", rows[:, 3] > 0), ("undetected_mm", rows[:, 3] == 0)):
        if some.any():
            body[name] = rows[some, 0].mean()
    factor = float(np.sqrt(np.quantile(rows[:, 2], 0.68) / 3.506))
    for share, limit in ((68, 3.506), (95, 7.815)):
        body[f"inside_{share}"] = (rows[:, 2] < limit).mean()
    return {**{name: float(value) for name, value in body.items()}, "deviation_factor": factor}
