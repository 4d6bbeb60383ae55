"""Pictures of any depth: 10, 12 and 14 bits in 16, signed, floating point; stretched, and said."""

import cv2
import numpy as np
import pytest

from mvcap.calibration.image_sets import ImageSet, depth_of
from mvcap.calibration.moments import find_moments
from mvcap.structures.footage import Footage
from mvcap.structures.picture_depth import depth_name, to_8_bit


def scene():
    rng = np.random.default_rng(0)
    return np.repeat(cv2.GaussianBlur(rng.integers(0, 256, (60, 80)).astype(np.uint8), (0, 0), 1)[..., None], 3, -1)


@pytest.mark.parametrize(
    ("kind", "scale"),
    [(np.uint16, 4), (np.uint16, 16), (np.uint16, 257), (np.int16, 16), (np.int32, 1000), (np.float32, 1 / 255),
     (np.float32, 1), (np.float64, 37.0)],
)  # fmt: skip
def test_a_picture_of_another_depth_is_stretched(kind, scale):
    plain = scene()
    made = to_8_bit((plain.astype(np.float64) * scale).astype(kind))
    assert made.dtype == np.uint8 and made.shape == plain.shape and made.min() == 0 and made.max() == 255
    assert np.corrcoef(made.ravel(), plain.ravel())[0, 1] > 0.999
    assert to_8_bit(plain) is plain


def test_even_pictures_and_holes_are_not_a_fault():
    assert not to_8_bit(np.full((4, 4), 900, np.uint16)).any()
    holes = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    holes[0, 0], holes[3, 3] = np.nan, np.inf
    made = to_8_bit(holes)
    assert made[0, 0] == 0 and made[3, 3] == 255
    assert not to_8_bit(np.full((2, 2), np.nan, np.float32)).any()


@pytest.mark.parametrize(("suffix", "kind", "word"), [("png", np.uint16, "16-bit"), ("tiff", np.float32, "floating")])
def test_deep_images_are_read_and_the_depth_is_said(tmp_path, suffix, kind, word):
    plain = scene()
    for camera in ("cam1", "Kamera_ü"):
        (tmp_path / camera).mkdir()
        for number in range(2):
            data = cv2.imencode(
                f".{suffix}", (plain.astype(np.float64) * (16 if kind is np.uint16 else 1 / 255)).astype(kind)
            )[1]
            data.tofile(tmp_path / camera / f"{number}.{suffix}")
    found = find_moments(tmp_path)
    (note,) = [note for note in found.notes if "8 bit" in note]
    assert word in note and "cam1" in note
    footage = Footage.probe(tmp_path / "cam1", 25.0)
    assert any(word in note and "8 bit" in note for note in footage.notes)
    (frame,) = [image for _, image in footage.read(1, 2)]
    assert frame.dtype == np.uint8 and np.corrcoef(frame.ravel(), plain.ravel())[0, 1] > 0.999
    for _, picture in found.views[0].read([0, 1]):
        assert picture.dtype == np.uint8 and np.corrcoef(picture.ravel(), plain.ravel())[0, 1] > 0.999


def test_8_bit_images_have_no_note(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), scene())
    assert depth_name(scene()) is None
    assert depth_of([tmp_path / "a.png", tmp_path / "missing.png"]) is None
    assert ImageSet("a", (tmp_path / "a.png",)).size == (80, 60)
