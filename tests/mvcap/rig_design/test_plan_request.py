"""What can be asked of a plan: kinds of cameras, lengths, obstacles, and one line for what makes no sense."""

import pytest

from mvcap.errors import InputError
from mvcap.rig_design.plan_request import CameraKind, Obstacle, PlanRequest, parse_kinds, parse_lengths, parse_obstacle


def test_texts_are_read():
    assert parse_kinds(("4:1920x1080:90:60", "2:640x480:50.5")) == (
        CameraKind(4, (1920, 1080), 90.0, 60.0), CameraKind(2, (640, 480), 50.5, 60.0),
    )  # fmt: skip
    assert parse_kinds(("2:1000x500:90",))[0].focal_px == pytest.approx(500)
    assert parse_lengths("--room", "8x6.5x3", 3) == (8.0, 6.5, 3.0)
    assert parse_obstacle("2,1.5,1,1,0.8") == Obstacle((1.0, 1.0, 0.0), (2.0, 1.5, 0.8))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: parse_kinds(("six",)), "--cameras six: give number, size"),
        (lambda: parse_kinds(("1:1920x1080:70",)), "2 to 64 in all, not 1"),
        (lambda: parse_kinds(("2:0x1080:70",)), "no size of pictures"),
        (lambda: parse_kinds(("2:1920x1080:170",)), "5 to 150 degrees, not 170"),
        (lambda: parse_kinds(("2:1920x1080:70:0",)), "1 to 1000 Hz"),
        (lambda: parse_lengths("--room", "8x6", 3), "--room 8x6: give 3 lengths in m, as 8x6x3"),
        (lambda: parse_lengths("--room", "8xnanx3", 3), "give 3 lengths"),
        (lambda: parse_obstacle("1,2,3"), "X0,Y0,X1,Y1,HEIGHT"),
        (lambda: parse_obstacle("1,2,inf,3,1"), "finite"),
        (lambda: PlanRequest(obstacles=(parse_obstacle("1,1,1,2,1"),)), "--obstacle: the corner 1 x 1 x 0"),
        (lambda: PlanRequest(room_m=(0.1, 6, 3)), "sides of 0.5"),
        (lambda: PlanRequest(area_m=(9, 1)), "larger than the room"),
        (lambda: PlanRequest(people=0), "--people 0"),
        (lambda: PlanRequest(area_m=(1, 1), people=9), "too many for an area of 1 x 1 m"),
        (lambda: PlanRequest(height_m=3), "--height 3"),
        (lambda: PlanRequest(detector="best"), "--detector best: one of topdown, openpose, weak"),
        (lambda: PlanRequest(turned_deg=-1), "--calibration: 0 to 10 degrees"),
    ],
)
def test_nonsense_is_one_line(make, words):
    with pytest.raises(InputError, match=words) as fault:
        make()
    assert "\n" not in str(fault.value)


def test_free_running_cameras_add_motion():
    assert PlanRequest().motion_m(30.0) == 0
    assert PlanRequest(synchronised=False).motion_m(30.0) == pytest.approx(1.5 / 30 / 12**0.5)
