"""Which person each label of a session's masks is: from label to detection, from detection to person.

A label image has 0 for nobody and a number for each detected person of that image. Its labels are those of the rows of
the stage ``estimate`` in that view and frame, in order; where joints of a row lie on another label more often, it is
that one. Association may split, merge or reorder rows, so a row of ``estimate`` belongs to the person whose associated
rows have most of its joints, at the same pixels. Tracking then gives the person's id in the take.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib.bounded_files import bounded_bytes, reason_of
from mvcap.densification.silhouettes import nearest
from mvcap.errors import InputError, StaleError
from mvcap.structures.artefact import Artefact
from mvcap.structures.detections import Detections2D

UNKNOWN = 255
"""Label of pixels of somebody who is no associated person: may be in front of, or behind, everybody else."""
_MOST_BYTES = 64 << 20
_SAME_PX = 0.01


def read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Return the label image (H, W) of a file, None if there is none; InputError for a damaged one or another size."""
    import cv2

    try:
        data = bounded_bytes(path, _MOST_BYTES)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as fault:
        raise InputError(f"{path}: cannot be read ({reason_of(fault)}); make it readable") from fault
    if png_size(data) != size:
        raise InputError(
            f"{path}: is no PNG of {size[0]}x{size[1]} pixels; run `mvcap estimate SESSION --redo` to make masks again"
        )
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint8 or image.shape != size[::-1]:
        raise InputError(f"{path}: is damaged; run `mvcap estimate SESSION --redo` to make masks again")
    return np.asarray(image, np.uint8)


def png_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height that the header of a PNG states; None for other data. Nothing is decoded."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR" or len(data) < 26:
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def check_associated(found: Artefact[Detections2D], linked: Artefact[Detections2D]) -> None:
    """Raise StaleError if associated people are not of these detections, which the labels of masks belong to."""
    inputs = (linked.manifest or {}).get("inputs") or {}
    if inputs.get("estimate") != found.fingerprint:
        folder = found.folder.parent.parent
        raise StaleError(f"{folder}: people were associated from other detections; run `mvcap reconstruct {folder}`")


def label_rows(mask: NDArray[np.uint8], rows: Detections2D) -> NDArray[np.int64]:
    """Return the index of the row (of one view and frame) that each label 1..255 is, as (256,); -1 for none."""
    out = np.full(256, -1)
    on = np.zeros((256, len(rows)), np.int64)
    for index, xy in enumerate(rows.xy):
        labels = nearest(mask, xy[np.isfinite(xy).all(-1)])
        np.add.at(on[:, index], labels, 1)
    for label in range(1, min(len(rows), 254) + 1):
        by_joints = int(on[label].argmax())
        doubtful = on[label, by_joints] <= on[label, label - 1]
        out[label] = label - 1 if doubtful else by_joints
    return out


def persons_of_rows(rows: Detections2D, linked: Detections2D) -> NDArray[np.int64]:
    """Return the person (M,) of rows of one view and frame, by the associated rows of the same; -1 for nobody."""
    out = np.full(len(rows), -1)
    for index, xy in enumerate(rows.xy):
        mine = xy[np.isfinite(xy).all(-1)]
        if not len(linked) or not len(mine):
            continue
        with np.errstate(invalid="ignore"):
            apart = np.abs(linked.xy[:, :, None] - mine[None, None]).max(-1)  # (L, J, mine) px
            same = (apart < _SAME_PX).any(1).sum(1)
        votes = {int(person): int(same[linked.person == person].sum()) for person in np.unique(linked.person)}
        best = max(votes, key=lambda person: votes[person])
        out[index] = best if votes[best] else -1
    return out


def person_labels(
    mask: NDArray[np.uint8], rows: Detections2D, linked: Detections2D, persons: NDArray[np.integer]
) -> NDArray[np.uint8]:
    """Return the label image (H, W) of people: p + 1 for person p of persons (P,), ``UNKNOWN`` for other people.

    rows, linked: the detections of one view and frame before and after association; persons: its numbers.
    """
    row_of, person_of = label_rows(mask, rows), persons_of_rows(rows, linked)
    table = np.full(256, UNKNOWN, np.uint8)
    table[0] = 0
    index = {int(person): at for at, person in enumerate(persons[: UNKNOWN - 1])}
    for label in range(1, 256):
        if row_of[label] >= 0 and (at := index.get(int(person_of[row_of[label]]))) is not None:
            table[label] = at + 1
    return np.asarray(table[mask])
