"""Composites of people of several takes in one picture, in true depth order, with exact truth.

After MuCo-3DHP (Mehta et al. 2018): people who were recorded alone are put into one picture. Here each keeps its own
rays: it is turned about the camera's vertical, and scaled about the camera's centre, under which pictures stay true
(``mvcap.datasets.cutouts``). At each pixel the nearest body is seen, by the volumes of the bodies, and no two bodies
are at one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calib import Camera
from calib.arrays import Floats
from mvcap.datasets.body_volumes import body_boxes, body_volumes, joint_visibility
from mvcap.datasets.clothing import recoloured
from mvcap.datasets.cutouts import (
    Cutout,
    PictureRays,
    PlacedCutout,
    Placement,
    gap_m,
    same_floor_scale,
    upright_turn,
)
from mvcap.datasets.face_blur import blur_circles, head_circles
from mvcap.datasets.ground_truth import SPLITS, TruthFrame
from mvcap.datasets.quality_gates import GateConfig
from mvcap.datasets.recorded import PicturedFrame
from mvcap.datasets.source_people import Candidate, SourceSession
from mvcap.datasets.splits import SplitConfig
from mvcap.errors import ConfigError, InputError
from mvcap.structures.session import Session

_TRIES = 60
_LEAST_GAP_M = 0.02
_EDGE_PX = 2.0
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


@dataclass(frozen=True)
class CompositeConfig:
    """Settings of composites."""

    people: tuple[int, ...] = (2, 4)
    """Fewest and most people of a picture."""
    turn_deg: float = 30.0
    """Largest turn of a person about the camera's vertical, either way."""
    size_spread: float = 0.1
    """Largest change of a person's size, as a share, where the cameras' heights above the floor differ."""
    recolour: bool = True
    """Whether clothes get other colours."""
    blur_faces: bool = False
    """Whether the heads of all people are made unrecognisable."""
    background: Literal["room", "plain"] = "room"
    """What is behind people without a folder of backgrounds: the room of the first session without people, or grey."""
    images: Literal["jpg", "png"] = "jpg"
    """Format of the images."""
    seed: int = 0
    """The same seed and sessions give the same dataset."""
    gates: GateConfig = field(default_factory=GateConfig)
    splits: SplitConfig = field(default_factory=SplitConfig)

    def __post_init__(self) -> None:
        if len(self.people) != 2 or not 1 <= self.people[0] <= self.people[1]:
            raise ConfigError(f"composite 'people' are the fewest and the most, as in [2, 4], not {list(self.people)}")
        if not 0 <= self.turn_deg <= 180 or not 0 <= self.size_spread < 1:
            raise ConfigError("composite 'turn_deg' is from 0 to 180, 'size_spread' from 0 to below 1")


@dataclass(frozen=True, eq=False)
class _Drawn:
    candidate: Candidate
    where: Placement
    xyz: Floats
    """(J, 3) m in the world of the picture's camera."""


class Composer:
    """Makes composites of the people of sessions in the pictures of the first session's cameras."""

    def __init__(self, sessions: list[Session], config: CompositeConfig, backgrounds: Path | None) -> None:
        self.config = config
        self.sources = [
            SourceSession(number, session, config.gates, config.splits) for number, session in enumerate(sessions)
        ]
        kinds = {source.poses.skeleton_name for source in self.sources}
        if len(kinds) > 1:
            raise InputError(f"the sessions have different skeletons ({', '.join(sorted(kinds))}); use one estimator")
        self.rig, self.skeleton = sessions[0].rig, self.sources[0].poses.skeleton
        self.pool = [one for source in self.sources for one in source.candidates()]
        self.files = _pictures(backgrounds) if backgrounds else []
        self.splits = [split for split in SPLITS if any(one.split == split for one in self.pool)]
        if not self.splits:
            raise InputError(
                "nobody in the sessions can be cut out: people must be whole in a picture, hidden by no other, and "
                "pass the gates"
            )
        self.floor_m = [_floor(self.pool, source.number) for source in self.sources]
        self._rooms: dict[int, NDArray[np.uint8]] = {}
        self._rays: tuple[int, PictureRays] | None = None
        self.records: list[dict[str, Any]] = []
        """Of each composite its number, split, view, background, and of each person the source, turn and scale."""

    def composites(self, count: int) -> Iterator[PicturedFrame]:
        """Yield so many composites, numbered from 0: split after split, and of one camera after another."""
        jobs = sorted(
            ((split, number % len(self.rig)) for split, number in self._shares(count)),
            key=lambda job: (self.splits.index(job[0]), job[1]),
        )
        for number, (split, view) in enumerate(jobs):
            yield self._composite(number, split, view, np.random.default_rng([self.config.seed, number]))

    def _shares(self, count: int) -> list[tuple[str, int]]:
        shares = np.array([self.config.splits.shares[SPLITS.index(split)] for split in self.splits], np.float64)
        if self.config.splits.by == "none" or not shares.sum():
            shares = np.ones(len(shares))
        ends = np.rint(np.cumsum(shares / shares.sum()) * count).astype(int)
        out, start = [], 0
        for split, end in zip(self.splits, ends.tolist(), strict=True):
            out += [(split, number) for number in range(end - start)]
            start = end
        return out

    def _composite(self, number: int, split: str, view: int, rng: np.random.Generator) -> PicturedFrame:
        camera = self.rig[view]
        pool = [one for one in self.pool if one.split == split]
        wanted = int(rng.integers(self.config.people[0], self.config.people[1] + 1))
        drawn: list[_Drawn] = []
        cutouts: list[Cutout] = []
        for _ in range(_TRIES * wanted):
            if len(drawn) == wanted:
                break
            one = self._draw(pool[int(rng.integers(len(pool)))], camera, rng, drawn)
            cutout = self.sources[one.candidate.session].cutout(one.candidate) if one else None
            if one is not None and cutout is not None:
                drawn.append(one)
                cutouts.append(cutout)
        if len(drawn) < self.config.people[0]:
            raise InputError(
                f"no {self.config.people[0]} people of split {split!r} fit into a picture of view {camera.name!r}; "
                "give more sessions, a larger turn_deg, or fewer people"
            )
        image, name = self._background(view, rng)
        return self._pictured(number, split, view, image, name, drawn, cutouts, rng)

    def _draw(self, one: Candidate, camera: Camera, rng: np.random.Generator, others: list[_Drawn]) -> _Drawn | None:
        """A candidate at a random place that is possible; None if this one is not."""
        source = self.sources[one.session].session.rig[one.view]
        angle = np.radians(rng.uniform(-1, 1) * self.config.turn_deg)
        scale = 1.0
        if not np.allclose(source.cam_from_world, camera.cam_from_world, atol=1e-9):
            scale = same_floor_scale(source, camera, (self.floor_m[one.session], self.floor_m[0]))
        if abs(scale - 1) > self.config.size_spread:
            return None
        where = Placement(upright_turn(source, camera, angle), scale)
        blank = np.zeros((1, 1, 3), np.uint8)
        name = ("", source.name, one.frame, one.person)
        xyz = where.world(Cutout(source, self.skeleton, one.xyz, one.kept, blank, blank[..., 0] > 0, name), camera)
        body = body_volumes(camera, self.skeleton, xyz[None])
        box = body_boxes(camera, body)[0]
        far = np.array([camera.size[0], camera.size[1]]) - 1 - _EDGE_PX
        if not np.isfinite(box).all() or (box[:2] < _EDGE_PX).any() or (box[2:] > far).any():
            return None
        for other in others:
            if gap_m(body, body_volumes(camera, self.skeleton, other.xyz[None])) < _LEAST_GAP_M:
                return None
        return _Drawn(one, where, xyz)

    def _background(self, view: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], str]:
        camera = self.rig[view]
        if self.files:
            path = self.files[int(rng.integers(len(self.files)))]
            return _covering(path, camera.size), path.name
        if self.config.background == "plain":
            return np.full((camera.size[1], camera.size[0], 3), 128, np.uint8), "plain"
        if view not in self._rooms:
            self._rooms = {view: self.sources[0].room(view)}
        return self._rooms[view], "room"

    def _pictured(
        self,
        number: int,
        split: str,
        view: int,
        background: NDArray[np.uint8],
        name: str,
        drawn: list[_Drawn],
        cutouts: list[Cutout],
        rng: np.random.Generator,
    ) -> PicturedFrame:
        if self._rays is None or self._rays[0] != view:
            self._rays = (view, PictureRays(self.rig[view]))
        placed = []
        for one, cutout in zip(drawn, cutouts, strict=True):
            if self.config.recolour:
                cutout = Cutout(**{**vars(cutout), "image": recoloured(cutout, rng)})
            placed.append(self._rays[1].place(cutout, one.where))
        image, labels = overlaid(background, placed)
        if self.config.blur_faces:
            xyz = np.stack([one.xyz for one in drawn])
            image = blur_circles(image, head_circles(self.rig[view], self.skeleton, xyz))
        truth = self._truth(number, split, view, drawn, labels)
        people = [
            {
                "person": at,
                "session": one.candidate.session,
                "session_name": cutout.source[0],
                "view": cutout.source[1],
                "frame": cutout.source[2],
                "source_person": cutout.source[3],
                "turn_deg": round(float(np.degrees(_angle(one.where.turn))), 4),
                "scale": round(one.where.scale, 6),
            }
            for at, (one, cutout) in enumerate(zip(drawn, cutouts, strict=True), 1)
        ]
        about = {"frame": number, "split": split, "view": self.rig[view].name, "background": name, "people": people}
        self.records.append(about)
        shown = [None] * len(self.rig)
        images, masks = list(shown), list(shown)
        images[view], masks[view] = image, labels  # type: ignore[call-overload]
        return PicturedFrame(truth, tuple(images), tuple(masks))

    def _truth(self, number: int, split: str, view: int, drawn: list[_Drawn], labels: NDArray[np.uint8]) -> TruthFrame:
        xyz = np.stack([one.xyz for one in drawn])
        keep = np.stack([one.candidate.kept for one in drawn])
        states, pixels = zip(*(joint_visibility(camera, self.skeleton, xyz) for camera in self.rig), strict=True)
        boxes = [body_boxes(camera, body_volumes(camera, self.skeleton, xyz)) for camera in self.rig]
        area = np.full((len(drawn), len(self.rig)), np.nan)
        area[:, view] = np.bincount(labels.ravel(), minlength=len(drawn) + 1)[1:]
        sigma = np.stack([one.candidate.sigma_m * one.where.scale for one in drawn])
        return TruthFrame(
            number,
            split,
            np.arange(1, len(drawn) + 1, dtype=np.int32),
            np.where(keep[..., None], xyz, np.nan),
            np.where(keep, sigma, np.nan),
            np.where(keep[:, None, :, None], np.stack(pixels, 1), np.nan),
            np.where(keep[:, None], np.stack(states, 1), 0).astype(np.uint8),
            np.stack(boxes, 1),
            area,
            np.empty((0, len(self.rig), 4)),
            np.arange(len(self.rig)) == view,
        )


def overlaid(background: NDArray[np.uint8], placed: list[PlacedCutout]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return people over a background (H, W, 3), the nearest seen at each pixel, and labels (H, W): 1, 2 ... or 0.

    They are laid from the farthest to the nearest; where a body is behind one that is there already, it is not seen.
    """
    out = background.astype(np.float32)
    near = np.full(out.shape[:2], np.inf, np.float32)
    labels = np.zeros(out.shape[:2], np.uint8)
    middles = [float(np.median(one.depth[one.opacity > 0.5])) if (one.opacity > 0.5).any() else 0.0 for one in placed]
    for at in np.argsort(-np.array(middles), kind="stable"):
        one = placed[int(at)]
        part = np.where(one.depth < near, one.opacity, 0)[..., None]
        out = out * (1 - part) + one.image * part
        mine = part[..., 0] > 0.5
        near[mine] = one.depth[mine]
        labels[mine] = at + 1
    return np.asarray(np.rint(out), np.uint8), labels


def _angle(turn: Floats) -> float:
    """The angle of a rotation (3, 3), rad."""
    return float(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))


def _floor(pool: list[Candidate], session: int) -> float:
    """Height of the floor of a session, m: the median of the lowest joints of people in it."""
    lowest = [float(np.nanmin(one.xyz[:, 2])) for one in pool if one.session == session]
    return float(np.median(lowest)) if lowest else 0.0


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder of backgrounds")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    if not found:
        raise InputError(f"{folder}: has no pictures ({', '.join(_PICTURES)}) for backgrounds")
    return found


def _covering(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture of a file that covers size (w, h) px, resized and cut about its middle; InputError if it is none."""
    import cv2

    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path}: cannot be read as a picture; remove it from the backgrounds")
    factor = max(size[0] / image.shape[1], size[1] / image.shape[0])
    shape = (max(size[0], round(image.shape[1] * factor)), max(size[1], round(image.shape[0] * factor)))
    large = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    left, top = (shape[0] - size[0]) // 2, (shape[1] - size[1]) // 2
    return np.ascontiguousarray(large[top : top + size[1], left : left + size[0], ::-1])
