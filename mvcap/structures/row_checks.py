"""Checks of what is passed to the functions on arrays: rows, frame rates and lengths of takes, each one clear error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.errors import InputError
from mvcap.structures.detections import Detections2D, without_missing
from mvcap.structures.pixels import LARGEST_SHARE, check_pixels
from mvcap.structures.poses import Poses3D
from mvcap.structures.timeline import MOST_HZ, SPARSE, check_length


def check_rate(rate_hz: Any) -> float:
    """Return a frame rate as a float; InputError if it is no finite number above 0."""
    good = isinstance(rate_hz, int | float | np.number) and not isinstance(rate_hz, bool)
    if not good or not 0 < rate_hz <= MOST_HZ:
        shown = repr(float(rate_hz) if isinstance(rate_hz, np.floating) else rate_hz)[:60]
        raise InputError(f"rate_hz must be frames per second, above 0 and at most {MOST_HZ:g}, not {shown}")
    return float(rate_hz)


def check_rig(rig: Any) -> Rig:
    """Return the rig; InputError if it is something else."""
    if not isinstance(rig, Rig):
        raise InputError(f"a rig is expected (mvcap.load_rig or mvcap.Rig.from_opencv), not {type(rig).__name__}")
    return rig


def check_detections(found: Any, rig: Rig | int) -> Detections2D:
    """Return the detections; InputError if they are no such rows, or of views or frames that cannot be.

    rig: or the number of its cameras. Joints at exactly (0, 0) become missing, as ``Detections2D.build`` has it.
    InputError too if no body is larger than 2 px, as coordinates are then not pixels.
    """
    cameras = rig if isinstance(rig, int) else len(rig)
    if not isinstance(found, Detections2D):
        raise InputError(f"detections are expected (mvcap.Detections2D), not {type(found).__name__}")
    if len(found) and (int(found.view.min()) < 0 or int(found.view.max()) >= cameras):
        wrong = int(found.view.min() if found.view.min() < 0 else found.view.max())
        raise InputError(f"detections of view {wrong}, but the rig has {cameras} cameras: views are 0 to {cameras - 1}")
    _check_frames(found.frame)
    if len(found) and not (np.abs(found.xy) > LARGEST_SHARE).any():
        sizes = [(0, 0)] if isinstance(rig, int) else [camera.size for camera in rig]
        check_pixels(found.xy, found.score, max(sizes), "detections")
    if not ((found.xy == 0).all(-1)).any():
        return found
    xy, score = without_missing(found.xy, found.score)
    return found.with_columns(xy=xy, score=score, noise_px=np.where(score > 0, found.noise_px, np.nan))


def check_linked(found: Detections2D, poses: Poses3D) -> None:
    """Raise InputError if no detection belongs to a pose, by its frame and by person and ``group``."""
    if not len(found) or not len(poses):
        return
    if (found.person < 0).all():
        raise InputError(
            f"none of the {len(found)} detections has a person (all are -1); give the rows that associate_rows returned"
        )
    rows, linked = (frame.astype(np.int64) << 32 | who for frame, who in ((found.frame, found.person),
                                                                         (poses.frame, poses.group)))  # fmt: skip
    if not np.isin(rows[found.person >= 0], linked).any():
        raise InputError(
            "no detection belongs to a pose, by frame and by person and group; give the associated rows that the poses "
            "were triangulated from"
        )


def check_poses(poses: Any) -> Poses3D:
    """Return the poses; InputError if they are no such rows, or two rows are of one person in one frame."""
    if not isinstance(poses, Poses3D):
        raise InputError(f"poses are expected (mvcap.Poses3D, see its from_dense), not {type(poses).__name__}")
    _check_frames(poses.frame)
    keys = np.stack([poses.frame, poses.person], axis=-1)
    unique, counts = np.unique(keys, axis=0, return_counts=True)
    if (counts > 1).any():
        frame, person = unique[counts.argmax()].tolist()
        raise InputError(
            f"{counts.max()} rows are of person {person} in frame {frame}; a person has one row in a frame"
        )
    return poses


def take_length(frames: int | None, *tables: Detections2D | Poses3D) -> int:
    """Return the length of a take in frames: as stated, or up to the last row.

    InputError if rows lie beyond it, if it is longer than any take, or if it is not stated and nearly empty, as a
    single wrong frame number would make it.
    """
    last = max((int(table.frame.max(initial=-1)) for table in tables), default=-1) + 1
    check_length(last, f"the last row is of frame {last - 1}")
    if frames is None:
        used = len(np.unique(np.concatenate([table.frame for table in tables]))) if tables else 0
        if last > SPARSE[0] * used + SPARSE[1]:
            raise InputError(
                f"the last row is of frame {last - 1}, but only {used} frames have rows; correct the frame numbers, or "
                f"give frames={last}"
            )
        return last
    if isinstance(frames, bool) or not isinstance(frames, int | np.integer) or frames < last:
        raise InputError(f"frames is the length of the take, a whole number of at least {last} here, not {frames!r}")
    return check_length(int(frames), "frames")


def check_errors_px(values: Any, cameras: int) -> NDArray[np.float64]:
    """Return calibration errors (C,) px; InputError if they are not one finite number of 0 or more for each camera."""
    try:
        out = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as fault:
        raise InputError(f"calibration_px is (C,) = ({cameras},) numbers, not {str(values)[:60]!r}") from fault
    if out.shape != (cameras,) or not np.isfinite(out).all() or (out < 0).any():
        raise InputError(f"calibration_px is (C,) = ({cameras},) finite numbers of 0 or more, not {out.tolist()}")
    return out


def check_gate(gate_sigma: float) -> float:
    """Return a gate in standard deviations; InputError if it is not above 0."""
    number = isinstance(gate_sigma, int | float | np.number) and not isinstance(gate_sigma, bool)
    if not (number and gate_sigma > 0 and math.isfinite(gate_sigma)):
        raise InputError(f"gate_sigma counts standard deviations and is above 0, not {gate_sigma!r}")
    return float(gate_sigma)


def _check_frames(frame: NDArray[Any]) -> None:
    if len(frame) and int(frame.min()) < 0:
        raise InputError(f"frames count from 0; the lowest here is {int(frame.min())}")


def check_images(images: Sequence[Any], views: int) -> None:
    """InputError if the number of images of a moment is not that of the views."""
    if len(images) != views:
        raise InputError(f"a moment has one image per view: {views} views, {len(images)} images")
