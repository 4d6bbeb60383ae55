"""The generator of board footage is true: what it draws is what it says it draws."""

import cv2
import generated_boards as boards
import numpy as np
import pytest
from generated_boards import BOARD, Bump, Look, Take, arc_rig, board_observations, carried, footage, pictures

from calib import Camera, Rig
from calib.boards import board_from
from calib.geometry import invert, pose, rotation_from_vector, transform

STILL = Look(noise=0.0, defocus_px=0.7, exposure_s=1e-6)
SMALL = (640, 360)


def take(model="pinhole", cameras=2, frames=10, size=(1280, 720), **rest):
    radius_m = 2.0 if model == "fisheye" else 3.5
    rig = arc_rig(cameras, 4, degrees=50, radius_m=radius_m, size=size, model=model)
    return Take(rig, carried(seed=5), frames=frames, **rest)


def corners_found(image, board=BOARD, flipped=False):
    """Corners (N, 2) that OpenCV finds, NaN where it does not; flipped: by looking at the picture in a mirror."""
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, board.dictionary))
    layout = cv2.aruco.CharucoBoard((board.columns, board.rows), board.square_m, board.marker_m, dictionary)
    shown = np.ascontiguousarray(image[:, ::-1]) if flipped else image
    xy, ids, *_ = cv2.aruco.CharucoDetector(layout).detectBoard(shown)
    out = np.full((len(board.target), 2), np.nan)
    if ids is not None:
        out[ids.ravel()] = xy.reshape(-1, 2)
    if flipped:
        out[:, 0] = image.shape[1] - 1 - out[:, 0]
    return out


def errors(take, view=0, look=STILL, frames=(0, 3, 6, 9), flipped=False):
    """Found minus true, px, of the corners of some frames."""
    true = board_observations(take, 0.0).xy[view, list(frames)]
    found = [corners_found(image, flipped=flipped) for image in pictures(take, view, look, frames=frames)]
    off = (np.array(found) - true).reshape(-1, 2)
    return off[np.isfinite(off).all(-1)]


@pytest.mark.parametrize("model", ["pinhole", "rational", "fisheye"])
def test_corners_are_where_the_truth_says(model):
    off = errors(take(model))
    assert len(off) > 30
    assert abs(np.median(off, 0)).max() < 0.02 and np.median(abs(off)) < 0.05


def test_late_bent_misprinted_and_knocked_boards_are_seen_so():
    true = take(
        offset_s=(0.0, 0.21), bend_m=0.02, stretch=(1.01, 1.0), bumps=(Bump("cam02", 5, (0, 2, 0), (0.1, 0, 0)),)
    )
    plain = board_observations(take(), 0.0).xy[1]
    off = errors(true, view=1)
    assert len(off) > 30 and abs(np.median(off, 0)).max() < 0.03 and np.median(abs(off)) < 0.06
    moved = np.linalg.norm(board_observations(true, 0.0).xy[1] - plain, axis=-1)
    assert np.nanmedian(moved[:5]) > 1 and np.nanmedian(moved[5:]) > 20


def test_board_seen_from_behind_is_mirrored_or_grey():
    def turned(time_s):
        return carried(seed=5, facing_deg=180)(time_s)

    through = Take(take().rig, turned, frames=10, see_through=True)
    assert len(errors(through, flipped=True)) > 30 and len(errors(through)) == 0
    back = Take(take().rig, turned, frames=10)
    assert len(errors(back, flipped=True)) == 0 and not board_observations(back).seen.any()


def test_hand_hides_what_it_hides():
    held = take(hand=0.999, frames=4)
    hidden = board_observations(take(frames=4), 0.0).seen[0] & ~board_observations(held, 0.0).seen[0]
    assert hidden.any(-1).sum() >= 2 and (hidden.sum(-1) < 10).all()
    for frame, image in enumerate(pictures(held, 0, STILL)):
        assert np.isnan(corners_found(image)[hidden[frame], 0]).all()


def test_noise_is_as_stated_and_outliers_and_missing_are_counted():
    true = take(cameras=3, frames=40)
    exact, noisy = board_observations(true, 0.0), board_observations(true, 0.3, seed=2)
    assert np.array_equal(exact.seen, noisy.seen)
    z = ((noisy.xy - exact.xy) / noisy.sigma[..., None])[noisy.seen]
    assert z.std() == pytest.approx(1, abs=0.05) and abs(z.mean()) < 0.05
    assert 0.3 < np.nanmin(noisy.sigma) < np.nanmax(noisy.sigma) < 3
    wild = board_observations(true, 0.3, outliers=0.1, missing=0.2, seed=2)
    assert wild.seen.sum() / noisy.seen.sum() == pytest.approx(0.8, abs=0.03)
    far = (abs(wild.xy - exact.xy)[wild.seen] > 2).any(-1).mean()
    assert 0.06 < far < 0.11
    assert np.array_equal(board_observations(true, 0.3, seed=2).xy, noisy.xy, equal_nan=True)


def test_pieces_of_a_set_are_where_they_are():
    both = board_from("charuco:5x4:60mm:45mm:DICT_4X4_50+charuco:4x4:60mm:45mm:DICT_4X4_50:first=20")
    second = pose(rotation_from_vector([0, 0.5, 0]), [0.4, 0, -0.05])
    rig = arc_rig(1, 4, radius_m=2.0)
    true = Take(
        rig, carried(both, 5, turns_deg=(10, 10, 10)), board=both, body_from_piece=[np.eye(4), second], frames=2
    )
    seen = board_observations(true, 0.0)
    target = both.target
    mine = target.of_piece == 1
    at = true.world_from_body[1] @ second
    assert np.allclose(seen.xy[0, 1, mine], rig[0].project(transform(at, target.points[mine])))
    image = next(pictures(true, 0, STILL, frames=[1]))
    _, ids, _ = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)).detectMarkers(image)
    assert {1, 5, 20, 25} <= set(ids.ravel())


def test_blur_follows_the_shutter():
    fast = next(pictures(take(), 0, Look(0.0, 0.0, 1e-6), frames=[3])).astype(float)
    slow = next(pictures(take(), 0, Look(0.0, 0.0, 0.08), frames=[3])).astype(float)
    sharpness = [abs(np.diff(image, axis=1)).max(0).mean() for image in (fast, slow)]
    assert sharpness[1] < 0.95 * sharpness[0]


def test_footage_is_kept_until_the_take_changes(tmp_path):
    true = take(frames=3, size=SMALL)
    paths = footage(true, tmp_path)
    assert [path.name for path in paths] == ["cam01.mp4", "cam02.mp4"]
    capture = cv2.VideoCapture(str(paths[1]))
    drawn = list(pictures(true, 1))
    for image in drawn:
        shown = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2GRAY)
        assert abs(shown.astype(float) - image).mean() < 4
    before = paths[0].stat().st_mtime_ns
    assert footage(true, tmp_path)[0].stat().st_mtime_ns == before
    footage(take(frames=3, size=SMALL, hand=0.3), tmp_path)
    assert paths[0].stat().st_mtime_ns != before


def test_volume_rms_is_zero_for_the_truth_wherever_it_is_and_grows_with_errors():
    rig = arc_rig(4, 1)
    assert len(boards.volume_points()) == 390
    moved = pose(rotation_from_vector([0.3, -0.2, 1]), [1, 2, 3])
    elsewhere = Rig(tuple(Camera(camera.lens, camera.cam_from_world @ invert(moved)) for camera in rig))
    assert boards.volume_rms(elsewhere, rig) < 1e-6
    turned = pose(rotation_from_vector([0, 1e-3, 0]), [0, 0, 0])
    off = Rig((Camera(rig[0].lens, turned @ rig[0].cam_from_world), *rig.cameras[1:]))
    assert 0.3 < boards.volume_rms(off, rig) < 3.0
    assert boards.volume_rms(rig.scaled_world(1.01), rig) > 3
