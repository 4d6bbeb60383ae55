"""What is asked of a camera: numbers, words, and which of two wishes holds."""

import pytest

from mvcap.errors import InputError
from mvcap.structures.camera_controls import CONTROLS, CameraControls


def test_numbers_and_words_are_taken_and_the_nearer_wish_holds():
    own = CameraControls.of_words({"exposure": "8", "size": "640x480", "gain": "auto"})
    assert own.asked == {"exposure": 8.0, "gain": "auto"} and CONTROLS == ("exposure", "gain", "white_balance")
    assert own.over(CameraControls(4, "lock", 4600)).asked == {"exposure": 8.0, "gain": "auto", "white_balance": 4600.0}
    assert not CameraControls().asked


@pytest.mark.parametrize("given", ["long", "", "nan", -1, "-inf", 0, [3]])
def test_what_is_no_value_is_one_line(given):
    with pytest.raises(InputError, match=r"exposure .* is none: give a number, as 8 \(ms\), or auto, or lock"):
        CameraControls(exposure=given)
