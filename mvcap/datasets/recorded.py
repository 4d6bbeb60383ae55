"""Dataset from a recorded take: refined poses projected into every view, with visibility, boxes, masks and images.

The truth of a joint is its refined position where it passes the quality gates; its pixels are those of the camera, with
the distortion of its lens. What hides it follows from the volumes of all bodies, in depth order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calib.bounded_arrays import bounded_arrays
from mvcap import stages
from mvcap.datasets.body_volumes import RayGrid, body_boxes, body_volumes, joint_visibility
from mvcap.datasets.face_blur import blur_circles, detected_head_circles, head_circles
from mvcap.datasets.ground_truth import GroundTruth, TruthFrame, image_name, mask_name, packed_frames, unpacked_frames
from mvcap.datasets.output_folder import write_bytes
from mvcap.datasets.quality_gates import GateConfig, QualityGates, bodies_of_take
from mvcap.datasets.splits import GAP, MIXED, SplitConfig, Splits
from mvcap.datasets.view_times import image_moments, poses_at
from mvcap.densification.mask_people import UNKNOWN, check_associated, person_labels, read_mask
from mvcap.errors import ConfigError, InputError
from mvcap.progress import Progress
from mvcap.structures.detections import Detections2D
from mvcap.structures.npz import write_npz
from mvcap.structures.poses import Poses3D, sigma_m
from mvcap.structures.session import Session

EMPTY = "no person with truth"
"""Why a frame is in no split."""
JPEG_QUALITY = 95
TRUTH = "truth"
"""Folder of the frames until all formats are written."""
_MOST_PEOPLE = 254


@dataclass(frozen=True)
class RecordedConfig:
    """Settings of datasets from recorded takes."""

    every: int = 1
    """Use the frames whose number it divides."""
    images: Literal["jpg", "png", "none"] = "jpg"
    """Format of the images; none: no images."""
    masks: Literal["auto", "volumes", "none"] = "auto"
    """auto: those of the session where it has some, else of the bodies' volumes; volumes: always these; none."""
    blur_faces: bool = False
    """Make the heads of all people in the images unrecognisable."""
    gates: GateConfig = field(default_factory=GateConfig)
    splits: SplitConfig = field(default_factory=SplitConfig)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError(f"every must be 1 or more, not {self.every}")
        if self.blur_faces and self.images == "none":
            raise ConfigError("faces are blurred in images, and there are none with images=none; leave one of them out")


@dataclass(frozen=True, eq=False)
class PicturedFrame:
    """Truth of a frame with its images and masks."""

    truth: TruthFrame
    images: tuple[NDArray[np.uint8] | None, ...]
    """RGB (H, W, 3) of each view; None if the view dropped the frame, or without images."""
    masks: tuple[NDArray[np.unsignedinteger[Any]] | None, ...]
    """Ids of people (H, W) of each view, 0 for none, the largest number for people without an id."""


class RecordedTake:
    """Frames of a session as a dataset, and what was dropped of them."""

    def __init__(self, session: Session, config: RecordedConfig) -> None:
        self.session, self.config = session, config
        self.poses = stages.poses(session, "refine")
        if config.images != "none" and not session.has_footage():
            raise InputError(f"{session.folder} has no footage; make the dataset without images (--images none)")
        self.bodies = bodies_of_take(self.poses)
        if not self.bodies:
            raise InputError(f"{session.folder}: there are no people in its refined poses, so there is no truth")
        self.gates = QualityGates(config.gates, session.rig, self.bodies)
        rows = {person: one.rows for person, one in self.bodies.items()}
        self.splits = Splits(config.splits, session.frames, session.rate_hz, rows)
        self.mask_sources: Counter[str] = Counter()
        self.unblurred = 0
        """Images that were not written as somebody in them has an unknown head."""
        self._grids = [RayGrid(camera) for camera in session.rig] if config.masks != "none" else []
        # People of views with clocks of their own are associated at common times: masks' labels cannot be found there.
        usable = config.masks == "auto" and session.offsets is None
        self._own_masks = usable and any((session.folder / "masks").glob("*/*.png"))
        wants_rows = self._own_masks or config.blur_faces
        self._found = stages.detections(session, "estimate") if wants_rows else None
        self._linked = stages.detections(session, "associate") if self._own_masks else None
        if self._found is not None and self._linked is not None:
            check_associated(self._found, self._linked)

    def frames(self) -> Iterator[PicturedFrame | None]:
        """Yield each frame that ``every`` divides: None where it is in no split, which is counted."""
        session, every = self.session, self.config.every
        pictured = self.config.images != "none"
        streams = [session.images(view, every=every) if pictured else None for view in range(len(session.views))]
        for start in range(0, session.frames, stages.CHUNK_FRAMES):
            stop = min(start + stages.CHUNK_FRAMES, session.frames)
            wanted = range(-(-start // every) * every, stop, every)
            if not wanted:
                continue
            rows = self.poses.between(start - 1, stop + 1)
            found = self._found_between(start, stop)
            linked = self._linked.between(start, stop) if self._linked else None
            for frame in wanted:
                images = tuple(next(one)[1] if one else None for one in streams)
                mine = rows.of(frame=frame)[:_MOST_PEOPLE]
                shown, places = self._moments(frame, mine, rows)
                seen = (found and _shown_rows(found, shown), linked.of(frame=frame) if linked else None)
                yield self._frame(frame, mine, places, images, *seen)

    def _found_between(self, start: int, stop: int) -> Detections2D | None:
        """Detections of the frames of views that show common frames start to stop (exclusive)."""
        if self._found is None or self.session.offsets is None:
            return self._found.between(start, stop) if self._found else None
        own = self.session.offsets.late_frames(np.arange(start, stop), self.session.rate_hz)
        return self._found.between(start + int(np.floor(own.min())) - 1, stop + int(np.ceil(own.max())) + 1)

    def _moments(
        self, frame: int, rows: Poses3D, around: Poses3D
    ) -> tuple[NDArray[np.int64], list[NDArray[np.float64]]]:
        """Each view's own frame (C,) for a common frame, and where people are then: (P, J, 3) m for each view."""
        session = self.session
        if session.offsets is None:
            return np.full(len(session.rig), frame), [rows.xyz.astype(np.float64)] * len(session.rig)
        own, later = image_moments(session.offsets, frame, session.frames, session.rate_hz)
        return own, [poses_at(rows, around, float(one)) for one in later]

    def _frame(
        self,
        frame: int,
        rows: Poses3D,
        places: list[NDArray[np.float64]],
        images: tuple[NDArray[np.uint8] | None, ...],
        found: Detections2D | None,
        linked: Detections2D | None,
    ) -> PicturedFrame | None:
        counts = self.gates.counts.frames
        split = self.splits.of(frame, rows.person)
        if split in (GAP, MIXED):
            counts[split] += 1
            return None
        keep, people = self.gates.passed(rows)
        if not people.any():
            counts[EMPTY] += 1
            return None
        counts[split] += 1
        truth = self._truth(frame, split, rows, places, keep)
        masks = [self._mask(view, frame, rows, places[view], found, linked) for view in range(len(self.session.views))]
        for view, mask in enumerate(masks):
            if mask is not None:
                held = np.bincount(mask.ravel(), minlength=int(rows.person.max()) + 1)
                truth.area_px[:, view] = held[truth.persons]
        if self.config.blur_faces:
            images = tuple(self._blurred(view, image, rows, places[view], found) for view, image in enumerate(images))
        shown = np.array([image is not None for image in images])
        kept = truth.kept(people)
        kept = TruthFrame(**{**vars(kept), "ignored": truth.box[~people], "pictured": shown})
        return PicturedFrame(kept, images, tuple(masks))

    def _truth(
        self, frame: int, split: str, rows: Poses3D, places: list[NDArray[np.float64]], keep: NDArray[np.bool_]
    ) -> TruthFrame:
        """Truth of all people of a frame; joints that failed a gate hide others and have no truth themselves.

        Pixels, boxes and visibility are of the moment that each view shows, from places (P, J, 3) m of each view.
        """
        kind, rig = rows.skeleton, self.session.rig
        seen, xy, boxes = [], [], []
        for camera, xyz in zip(rig, places, strict=True):
            states, pixels = joint_visibility(camera, kind, xyz)
            seen.append(np.where(keep, states, 0))
            xy.append(np.where(keep[..., None], pixels, np.nan))
            boxes.append(body_boxes(camera, body_volumes(camera, kind, xyz)))
        return TruthFrame(
            frame,
            split,
            rows.person.astype(np.int32),
            np.where(keep[..., None], rows.xyz.astype(np.float64), np.nan),
            np.where(keep, sigma_m(rows), np.nan).astype(np.float64),
            np.stack(xy, 1),
            np.stack(seen, 1).astype(np.uint8),
            np.stack(boxes, 1),
            np.full((len(rows), len(rig)), np.nan),
            np.empty((0, len(rig), 4)),
            np.zeros(len(rig), np.bool_),
        )

    def _mask(
        self,
        view: int,
        frame: int,
        rows: Poses3D,
        xyz: NDArray[np.float64],
        found: Detections2D | None,
        linked: Detections2D | None,
    ) -> NDArray[np.unsignedinteger[Any]] | None:
        """Ids of people (H, W) of a view: of the session's mask; of the volumes for people whom that does not show."""
        if not self._grids:
            return None
        source = self.session.views[view]
        labels = None
        if self._own_masks and found is not None and linked is not None:
            mask = read_mask(self.session.folder / "masks" / source.name / f"{frame:07d}.png", source.size)
            if mask is not None:
                labels = person_labels(mask, found.of(view=view), linked.of(view=view), rows.group)
        there = np.isin(np.arange(1, len(rows) + 1), labels) if labels is not None else np.zeros(len(rows), np.bool_)
        if there.all() and labels is not None:
            self.mask_sources["session"] += 1
        else:
            bodies = body_volumes(self.session.rig[view], rows.skeleton, xyz)
            drawn = self._grids[view].labels(self._grids[view].depth(bodies)[0])
            missing = ~np.concatenate([[False], there])[drawn] & (drawn > 0)
            self.mask_sources["volumes" if labels is None else "session and volumes"] += 1
            if labels is None:
                labels = drawn
            else:
                labels = np.where(missing & ((labels == 0) | (labels == UNKNOWN)), drawn, labels)
        kind: type[Any] = np.uint8 if max(self.bodies) < UNKNOWN else np.uint16
        ids = np.full(256, np.iinfo(kind).max, kind)
        ids[0] = 0
        ids[1 : len(rows) + 1] = rows.person
        return np.asarray(ids[labels])

    def _blurred(
        self,
        view: int,
        image: NDArray[np.uint8] | None,
        rows: Poses3D,
        xyz: NDArray[np.float64],
        found: Detections2D | None,
    ) -> NDArray[np.uint8] | None:
        """The image with all heads blurred; None, so that it is not written, where somebody's head is unknown."""
        if image is None:
            return None
        camera, kind = self.session.rig[view], rows.skeleton
        circles = [head_circles(camera, kind, xyz)]
        boxes = body_boxes(camera, body_volumes(camera, kind, xyz))
        inside = np.isfinite(boxes).all(-1)
        unknown = [at for at in np.flatnonzero(inside) if not len(head_circles(camera, kind, xyz[at : at + 1]))]
        if unknown:
            self.unblurred += 1
            return None
        if found is not None:
            circles.append(detected_head_circles(found.skeleton, found.of(view=view).xy.astype(np.float64)))
        return blur_circles(image, np.concatenate(circles))


def _shown_rows(found: Detections2D, own: NDArray[np.int64]) -> Detections2D:
    """Detections of each view in its own frame (C,)."""
    return found[found.frame == own[found.view]]


def write_frames(take: RecordedTake, folder: Path, progress: Progress) -> GroundTruth:
    """Write images, masks and truth of a take into a folder, chunk by chunk; return the dataset that reads them there.

    Raises InputError if no frame has truth, SessionError if the disk is full.
    """
    session = take.session
    total = -(-session.frames // take.config.every)
    if not store_frames(take.frames(), folder, session.names, take.config.images, total, progress):
        counts = take.gates.counts.frames
        why = ", ".join(f"{name}: {frames}" for name, frames in counts.items())
        mixed = counts[MIXED] > counts[EMPTY]
        todo = "split by time, or record people alone" if mixed else "loosen the gates, or reconstruct it again"
        raise InputError(f"{session.folder}: no frame has truth ({why}); {todo}")
    return stored_truth(take, folder)


def store_frames(
    frames: Iterable[PicturedFrame | None],
    folder: Path,
    views: tuple[str, ...],
    suffix: str,
    total: int,
    progress: Progress,
) -> int:
    """Write frames into a folder, images and masks one by one and truth in chunks; return how many there were."""
    held: list[TruthFrame] = []
    count = 0
    for number, one in enumerate(frames, 1):
        if one is not None:
            _write_pictures(one, folder, views, suffix)
            held.append(one.truth)
            count += 1
        if len(held) >= stages.CHUNK_FRAMES:
            write_npz(folder / TRUTH / f"{held[0].frame:07d}.npz", packed_frames(held))
            held = []
        progress("frames", number, total)
    if held:
        write_npz(folder / TRUTH / f"{held[0].frame:07d}.npz", packed_frames(held))
    return count


def stored_frames(folder: Path) -> Callable[[], Iterator[TruthFrame]]:
    """Return the source of the frames that ``store_frames`` wrote into a folder."""

    def frames() -> Iterator[TruthFrame]:
        for path in sorted((folder / TRUTH).glob("*.npz")):
            yield from unpacked_frames(bounded_arrays(path))

    return frames


def stored_truth(take: RecordedTake, folder: Path) -> GroundTruth:
    """Return the dataset whose frames ``write_frames`` wrote into a folder."""
    session = take.session
    return GroundTruth(
        session.folder.resolve().name,
        take.poses.skeleton,
        session.rig,
        session.rate_hz,
        stored_frames(folder),
        folder,
        f".{take.config.images}" if take.config.images != "none" else "",
        {person: one.size for person, one in take.bodies.items()},
    )


def _write_pictures(one: PicturedFrame, folder: Path, views: tuple[str, ...], suffix: str) -> None:
    for view, image, mask in zip(views, one.images, one.masks, strict=True):
        if image is not None:
            write_image(folder / image_name(view, one.truth.frame, f".{suffix}"), image)
        if mask is not None:
            write_mask(folder / mask_name(view, one.truth.frame), mask)


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an RGB image (H, W, 3) as JPEG or PNG by its suffix; SessionError if it cannot be written."""
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 3]
    write_bytes(path, cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]), options)[1].tobytes())


def write_mask(path: Path, mask: NDArray[np.unsignedinteger[Any]]) -> None:
    """Write a mask (H, W) of ids as PNG; SessionError if it cannot be written."""
    import cv2

    write_bytes(path, cv2.imencode(".png", mask)[1].tobytes())
