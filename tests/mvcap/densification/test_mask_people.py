"""From the labels of a mask to detections, and from these to people."""

import cv2
import numpy as np
import pytest
from synthetic_take import COCO

from mvcap.densification.mask_people import UNKNOWN, label_rows, person_labels, persons_of_rows, png_size, read_mask
from mvcap.errors import InputError
from mvcap.structures.detections import Detections2D

SIZE = (60, 40)


def rows_at(*lefts):
    xy = [np.stack([left + np.arange(17) % 5, 5 + 1.5 * np.arange(17)], -1) for left in lefts]
    return Detections2D.build(COCO, 0, 0, np.reshape(xy, (-1, 17, 2)), np.full((len(lefts), 17), 0.9), 1.0)


def mask_with(**lefts):
    image = np.zeros(SIZE[::-1], np.uint8)
    for name, left in lefts.items():
        image[3:34, left - 2 : left + 8] = int(name[1:])
    return image


def test_labels_are_rows_in_order_unless_joints_say_otherwise():
    rows = rows_at(10, 30)
    assert label_rows(mask_with(n1=10, n2=30), rows)[:4].tolist() == [-1, 0, 1, -1]
    assert label_rows(mask_with(n1=30), rows)[1] == 1  # the first person had no mask
    assert label_rows(np.zeros(SIZE[::-1], np.uint8), rows)[1:3].tolist() == [0, 1]


def test_people_are_found_by_their_joints_whatever_became_of_the_rows():
    rows = rows_at(10, 30, 45)
    linked = rows[np.array([1, 0])].with_columns(person=np.array([7, 4]))
    swapped = linked.xy.copy()
    swapped[:, [5, 6]] = swapped[:, [6, 5]]
    assert persons_of_rows(rows, linked.with_columns(xy=swapped)).tolist() == [4, 7, -1]
    split = np.where(np.arange(17)[None, :, None] < 6, linked.xy[1:], np.nan)
    missing = np.isnan(split).any(-1)
    part = linked[1:].with_columns(xy=split, score=np.where(missing, 0, linked.score[1:]), person=np.array([9]))
    assert persons_of_rows(rows, Detections2D.concatenate([linked, part], COCO))[0] == 4  # who has most joints
    assert persons_of_rows(rows, linked[:0]).tolist() == [-1] * 3


def test_a_mask_becomes_an_image_of_people():
    rows = rows_at(10, 30)
    linked = rows.with_columns(person=np.array([5, -1]))
    made = person_labels(mask_with(n1=10, n2=30), rows, linked, np.array([3, 5]))
    assert made[10, 12] == 2 and made[10, 32] == UNKNOWN and made[0, 0] == 0


def test_masks_are_read_and_refused(tmp_path):
    path = tmp_path / "0.png"
    assert read_mask(path, SIZE) is None
    image = mask_with(n1=10)
    data = cv2.imencode(".png", image)[1].tobytes()
    path.write_bytes(data)
    np.testing.assert_array_equal(read_mask(path, SIZE), image)
    with pytest.raises(InputError, match="no PNG of 80x40"):
        read_mask(path, (80, 40))
    for damaged in (b"", b"\x89PNG", data[:60], data[:-30], b"GIF89a" + data):
        path.write_bytes(damaged)
        try:
            assert read_mask(path, SIZE).shape == image.shape  # a decoder may fill up what is cut off
        except InputError as fault:
            assert "\n" not in str(fault) and "0.png" in str(fault)
    assert png_size(data) == SIZE and png_size(b"\x89PNG\r\n\x1a\n") is None
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read_mask(path, SIZE)
