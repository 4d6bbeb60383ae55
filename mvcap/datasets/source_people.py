"""People of reconstructed sessions who may be cut out: whole in a picture, hidden by no other, with a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from mvcap import stages
from mvcap.datasets.body_volumes import RayGrid, body_boxes, body_volumes, joint_visibility
from mvcap.datasets.cutouts import Cutout
from mvcap.datasets.ground_truth import SPLITS, JointVisibility
from mvcap.datasets.quality_gates import GateConfig, QualityGates, bodies_of_take
from mvcap.datasets.splits import SplitConfig, Splits
from mvcap.densification.mask_people import check_associated, person_labels, read_mask
from mvcap.errors import InputError
from mvcap.structures.poses import Poses3D, sigma_m
from mvcap.structures.session import Session

_MOST_FRAMES = 400
"""Frames of a session whose people may be cut out, evenly over the take."""
_EDGE_PX = 3.0
_LEAST_OVERLAP = 0.4
"""Of a mask with the body's volumes, intersection over union: else it is somebody else's, or broken."""
_PLATE_FRAMES = 15
_PLATE_MARGIN_PX = 9
_BEYOND = 999
"""Above every value of a pixel."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A person in a picture who may be cut out."""

    session: int
    view: int
    frame: int
    person: int
    split: str
    xyz: Floats
    """(J, 3) m, world, of all joints."""
    kept: NDArray[np.bool_]
    """(J,) which joints are truth."""
    sigma_m: Floats
    """(J,) m."""


class SourceSession:
    """A session whose people are cut out, with its masks."""

    def __init__(self, number: int, session: Session, gates: GateConfig, splits: SplitConfig) -> None:
        self.number, self.session = number, session
        if session.offsets is not None or not session.has_footage():
            raise InputError(f"{session.folder}: people are cut out of footage of synchronised cameras, with masks")
        self.masks = session.folder / "masks"
        if not any(self.masks.glob("*/*.png")):
            raise InputError(
                f"{session.folder} has no masks of people to cut them out by; make them with `mvcap estimate "
                f"{session.folder} --redo --set estimators.people.masks=true`, then run `mvcap reconstruct "
                f"{session.folder}`"
            )
        self.poses = stages.poses(session, "refine")
        self.found = stages.detections(session, "estimate")
        self.linked = stages.detections(session, "associate")
        check_associated(self.found, self.linked)
        bodies = bodies_of_take(self.poses)
        self.gates = QualityGates(gates, session.rig, bodies)
        self.splits = Splits(splits, session.frames, session.rate_hz, {who: one.rows for who, one in bodies.items()})
        self.sizes = {who: one.size for who, one in bodies.items()}

    def candidates(self) -> list[Candidate]:
        """Return who may be cut out, in every view; at most 400 frames, evenly over the take."""
        step = max(1, -(-self.session.frames // _MOST_FRAMES))
        out: list[Candidate] = []
        for rows in self.poses.chunks():
            for frame in np.unique(rows.frame[rows.frame % step == 0]):
                out += self._of_frame(rows.of(frame=int(frame)))
        return out

    def _of_frame(self, rows: Poses3D) -> list[Candidate]:
        frame = int(rows.frame[0])
        split = self.splits.of(frame, rows.person)
        if split not in SPLITS:
            return []
        keep, people = self.gates.passed(rows)
        xyz, sigma = rows.xyz.astype(np.float64), sigma_m(rows).astype(np.float64)
        out = []
        for view, camera in enumerate(self.session.rig):
            if not (self.masks / camera.name / f"{frame:07d}.png").exists():
                continue
            states, _ = joint_visibility(camera, rows.skeleton, xyz)
            boxes = body_boxes(camera, body_volumes(camera, rows.skeleton, xyz))
            for at in np.flatnonzero(people):
                free = not np.isin(states[at], (JointVisibility.OCCLUDED, JointVisibility.OUT_OF_VIEW)).any()
                if free and _inside(boxes[at], camera.size):
                    who = int(rows.person[at])
                    out.append(Candidate(self.number, view, frame, who, split, xyz[at], keep[at], sigma[at]))
        return out

    def cutout(self, one: Candidate) -> Cutout | None:
        """Return a candidate's picture and mask; None if the mask is not of this body."""
        camera, source = self.session.rig[one.view], self.session.views[one.view]
        mask = read_mask(self.masks / source.name / f"{one.frame:07d}.png", source.size)
        image = next(self.session.images(one.view, one.frame, one.frame + 1))[1]
        if mask is None or image is None:
            return None
        rows = self.poses.between(one.frame, one.frame + 1)
        found, linked = (held.between(one.frame, one.frame + 1).of(view=one.view) for held in (self.found, self.linked))
        labels = person_labels(mask, found, linked, rows.group[rows.person == one.person])
        mine = labels == 1
        name = self.session.folder.resolve().name
        made = Cutout(camera, rows.skeleton, one.xyz, one.kept, image, mine, (name, camera.name, one.frame, one.person))
        grid = RayGrid(camera)
        body = np.isfinite(grid.depth(made.bodies())[0][0])
        small = mine[:: grid.step, :: grid.step][: body.shape[0], : body.shape[1]]
        union = (body | small).sum()
        return made if union and (body & small).sum() / union >= _LEAST_OVERLAP else None

    def room(self, view: int) -> NDArray[np.uint8]:
        """Return a picture (H, W, 3) of the view without people: the median of 15 frames beside all people.

        What people hide in all of these frames is filled in from around it.
        """
        import cv2

        camera = self.session.rig[view]
        grid = RayGrid(camera)
        frames = np.unique(np.linspace(0, self.session.frames - 1, _PLATE_FRAMES).astype(int))
        images, free = [], []
        for frame in frames.tolist():
            image = next(self.session.images(view, frame, frame + 1))[1]
            if image is None:
                continue
            rows = self.poses.between(frame, frame + 1)
            bodies = body_volumes(camera, rows.skeleton, rows.xyz.astype(np.float64))
            people = grid.labels(grid.depth(bodies)[0]) > 0
            mask = read_mask(self.masks / camera.name / f"{frame:07d}.png", camera.size)
            people |= (mask > 0) if mask is not None else False
            side = 2 * _PLATE_MARGIN_PX + 1
            images.append(image)
            free.append(cv2.dilate(people.astype(np.uint8), np.ones((side, side), np.uint8)) == 0)
        if not images:
            raise InputError(f"{self.session.folder}: view {camera.name!r} has no images; give --backgrounds FOLDER")
        return _median(images, free)


def _median(images: list[NDArray[np.uint8]], free: list[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """Median (H, W, 3) of images over where they are free, row by row; filled in from around where none is."""
    import cv2

    out = np.zeros_like(images[0])
    for row in range(len(out)):
        known = np.stack([one[row] for one in free])
        values = np.stack([image[row] for image in images]).astype(np.int16)
        values[~known] = _BEYOND
        values.sort(axis=0)
        count = known.sum(0)
        middle = (np.maximum(count - 1, 0) // 2, count // 2)
        low, high = (np.take_along_axis(values, at[None, :, None], 0)[0] for at in middle)
        out[row] = np.where(count[:, None] > 0, (low + high) // 2, 0)
    hidden: NDArray[np.bool_] = np.asarray(~np.any(free, axis=0))
    return np.asarray(cv2.inpaint(out, hidden.astype(np.uint8), 5, cv2.INPAINT_TELEA)) if hidden.any() else out


def _inside(box: Floats, size: tuple[int, int]) -> bool:
    edges = np.array([-_EDGE_PX, -_EDGE_PX, size[0] + _EDGE_PX, size[1] + _EDGE_PX])
    return bool(np.isfinite(box).all() and (box[:2] > -edges[:2]).all() and (box[2:] < edges[2:] - 2 * _EDGE_PX).all())
