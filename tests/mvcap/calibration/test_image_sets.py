"""What a folder of footage for a calibration may look like, and which pictures are taken to show one moment."""

import cv2
import numpy as np
import pytest
from synthetic_take import make_session, ring_rig, save_rig, write_clip

import mvcap
from mvcap.calibration.image_sets import find_lens_photos
from mvcap.calibration.moments import find_moments, spread_evenly
from mvcap.errors import InputError

SIZE = (64, 48)


def image(path, value=0, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), value, np.uint8))
    return path


def refused(words, *arguments, **options):
    with pytest.raises(InputError) as caught:
        find_moments(*arguments, **options)
    assert "\n" not in str(caught.value)
    for word in [words] if isinstance(words, str) else words:
        assert word in str(caught.value), str(caught.value)


def shown_names(material):
    """Names of the pictures of each moment, None where a view has none."""
    return [
        [view.files[number].name if number >= 0 else None for view, number in zip(material.views, row, strict=True)]
        for row in material.shown
    ]


# Images


def test_images_named_by_camera_and_moment(tmp_path):
    for camera, frame in ((0, 50), (0, 200), (1, 50), (1, 1000), (0, 1000)):
        image(tmp_path / f"cam_{camera}_frame_{frame:04d}.jpg")
    found = find_moments(tmp_path)
    assert found.names == ("cam_0", "cam_1") and found.moments == ("frame_0050", "frame_0200", "frame_1000")
    assert shown_names(found) == [
        ["cam_0_frame_0050.jpg", "cam_1_frame_0050.jpg"],
        ["cam_0_frame_0200.jpg", None],
        ["cam_0_frame_1000.jpg", "cam_1_frame_1000.jpg"],
    ]
    assert np.isnan(found.time_s).all() and not found.notes


def test_images_of_other_moments_are_not_taken_for_one(tmp_path):
    for name in ("cam1_1", "cam1_2", "cam2_3", "cam2_4"):
        image(tmp_path / f"{name}.png")
    assert find_moments(tmp_path).shown.tolist() == [[0, -1], [1, -1], [-1, 0], [-1, 1]]


@pytest.mark.parametrize(
    ("names", "views"),
    [
        (("left01.jpg", "left02.jpg", "right01.jpg", "right02.jpg"), ("left", "right")),
        (("0001_Cam1.png", "0002_Cam1.png", "0001_Cam2.png", "0002_Cam2.png"), ("Cam1", "Cam2")),
        (("a-1.png", "a-10.png", "b-1.png", "b-10.png"), ("a", "b")),
        (("c1_7.png", "c1_8.png", "c2_7.png", "c2_8.png"), ("c1", "c2")),
    ],
)
def test_other_names_of_cameras(tmp_path, names, views):
    for name in names:
        image(tmp_path / name)
    found = find_moments(tmp_path)
    assert found.names == views and found.shown.shape == (2, 2) and (found.shown >= 0).all()


def test_a_folder_for_each_camera_is_matched_by_names_or_by_order(tmp_path):
    for camera in ("left", "right"):
        for number in (2, 10, 9):
            image(tmp_path / "stems" / camera / f"{number}.png")
            image(tmp_path / "prefixed" / camera / f"{camera}_{number:04d}.png")
            image(tmp_path / "numbers" / camera / f"{'x' if camera == 'left' else 'yy'}-{number}.png")
            image(tmp_path / "order" / camera / f"{number + 100 * (camera == 'left')}.png")
    for folder in ("stems", "prefixed", "numbers"):
        found = find_moments(tmp_path / folder)
        assert [int(m) for m in found.moments] == [2, 9, 10] and (found.shown >= 0).all() and not found.notes
    found = find_moments(tmp_path / "order")
    assert (found.shown == [[0, 0], [1, 1], [2, 2]]).all() and "by their order" in found.notes[0]
    (tmp_path / "order" / "left" / "102.png").unlink()
    refused(("left 2, right 3", "give images of one moment the same name"), tmp_path / "order")


def test_photos_for_lenses_and_pictures_of_the_scene_are_kept_apart(tmp_path):
    for camera in (1, 2):
        for number in (1, 2, 3):
            image(tmp_path / "intrinsics" / f"int_cam0{camera}_img" / f"cam0{camera}_0{number}_int.jpg")
        image(tmp_path / "extrinsics" / f"ext_cam0{camera}_img" / f"anything{camera}.png")
    found = find_moments(tmp_path)
    assert found.names == ("cam01", "cam02") and found.shown.tolist() == [[0, 0]]
    assert [(view.name, len(view)) for view in found.lens] == [("cam01", 3), ("cam02", 3)]
    assert [view.name for view in find_lens_photos(tmp_path)] == ["cam01", "cam02"]
    for path in (tmp_path / "extrinsics").rglob("*.png"):
        path.unlink()
    refused("photos for the lenses only", tmp_path)


def test_at_most_so_many_moments_evenly(tmp_path):
    for number in range(20):
        image(tmp_path / f"cam1_{number}.png")
        image(tmp_path / f"cam2_{number}.png")
    found = find_moments(tmp_path, most=3)
    assert found.moments == ("0", "10", "19") and found.shown[:, 0].tolist() == [0, 10, 19]
    assert spread_evenly(5, 9).tolist() == spread_evenly(5, None).tolist() == [0, 1, 2, 3, 4]
    refused("images have no times", tmp_path, every_s=1.0)
    refused("seconds above 0", tmp_path, every_s=0.0)
    refused("1 or more", tmp_path, most=0)


def test_pictures_that_cannot_be_read_are_named(tmp_path):
    image(tmp_path / "cam1_1.png", 7)
    (tmp_path / "cam1_2.png").write_bytes(b"a letter")
    (tmp_path / "cam1_3.png").write_bytes(b"")
    [view] = find_moments(tmp_path).views
    (_, first), (_, second), (_, third) = view.read([0, 1, 2])
    assert first.shape == (48, 64, 3) and (first == 7).all()
    assert second == "cam1_2.png is not an image that can be read" == third.replace("_3", "_2")


# Videos


def test_videos_are_matched_by_their_clocks(tmp_path):
    write_clip(tmp_path / "cam1.mp4", 40, SIZE, 20.0)
    write_clip(tmp_path / "cam2.mp4", 20, SIZE, 10.0)
    found = find_moments(tmp_path)
    assert found.shown.tolist() == [[2 * number, number] for number in range(20)]
    assert np.allclose(found.time_s, np.arange(20)[:, None] / 10) and found.moments[3] == "0.30 s"
    assert find_moments(tmp_path, every_s=0.5).shown[:, 1].tolist() == [0, 5, 10, 15]
    assert find_moments(tmp_path, every_s=0.1, most=2).shown[:, 1].tolist() == [0, 19]
    write_clip(tmp_path / "cam2.mp4", 12, SIZE, 10.0)
    found = find_moments(tmp_path)
    assert len(found.shown) == 12 and "differ in length (cam1 1.95 s, cam2 1.10 s)" in found.notes[0]


def test_a_short_video_costs_the_others_nothing(tmp_path):
    for name, frames in (("cam1", 40), ("cam2", 36), ("cam3", 12)):
        write_clip(tmp_path / f"{name}.mp4", frames, SIZE, 20.0)
    shown = find_moments(tmp_path).shown
    assert shown.tolist() == [[number, number, number if number < 12 else -1] for number in range(36)]
    write_clip(tmp_path / "cam3.mp4", 6, SIZE, 10.0)  # the slowest of all ends first
    shown = find_moments(tmp_path).shown
    assert (shown >= 0).sum(0).tolist()[2] == 6 and shown[:, 0].max() >= 35 and len(shown) >= 28
    assert ((shown >= 0).sum(1) >= 2).all() and (np.diff(shown[:, 0]) > 0).all()


def test_a_table_of_times_says_which_frames_belong_together(tmp_path):
    for camera, frames in ((1, 3), (2, 2)):
        write_clip(tmp_path / f"cam_{camera}.mp4", frames, SIZE)
    rows = ["5,1,100.00", "5,2,100.01", "6,1,100.20", "7,1,100.40", "7,2,100.41"]
    (tmp_path / "timestamps.csv").write_text("\n".join(["sync_index,cam_id,frame_time", *rows]))
    found = find_moments(tmp_path)
    assert found.shown.tolist() == [[0, 0], [1, -1], [2, 1]]
    assert np.allclose(found.time_s, [[0, 0.01], [0.2, np.nan], [0.4, 0.41]], equal_nan=True)
    (tmp_path / "timestamps.csv").write_text("\n".join(["sync_index,cam_id,frame_time", *rows[:-1]]))
    refused(("has 1 times for view 'cam_2'", "2 frames", "remove it"), tmp_path)
    (tmp_path / "timestamps.csv").write_text("a,b\n1,2\n")
    refused("is not a table of sync_index, cam_id, frame_time", tmp_path)


@pytest.mark.parametrize("wanted", [[0], [3, 4, 5], [0, 30, 59], [59], list(range(0, 60, 7))])
def test_chosen_frames_are_the_frames(tmp_path, wanted):
    path = write_clip(tmp_path / "cam1.mp4", 60, SIZE)
    write_clip(tmp_path / "cam2.mp4", 60, SIZE)
    view = find_moments(tmp_path).views[0]
    every = dict(view.footage.read())
    found = list(view.read(wanted))
    assert [number for number, _ in found] == wanted and path.exists()
    assert all(np.array_equal(picture, every[number]) for number, picture in found)


def test_a_session_brings_its_own_clock(tmp_path):
    for index in (1, 2):
        write_clip(tmp_path / "videos" / f"cam{index}.mp4", 30, SIZE, seed=index)
    save_rig(ring_rig(2, size=SIZE), tmp_path / "rig.yaml")
    session = mvcap.init(tmp_path / "videos", tmp_path / "rig.yaml", tmp_path / "session")
    for source in (session, session.folder):
        found = find_moments(source, most=10)
        assert found.names == ("cam1", "cam2") and found.shown.shape == (10, 2)
        assert np.allclose(found.time_s[-1], 29 / 25)
    found = find_moments(make_session(tmp_path / "none", 3))
    assert not found.moments and found.views[0].size == (1920, 1080)


# What is no footage


def test_folders_of_nothing(tmp_path):
    refused("no such folder", tmp_path / "none")
    refused(("holds no videos and no images", "film the board"), tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    refused("holds no videos", tmp_path)
    refused("is a file", tmp_path / "notes.txt")
    image(tmp_path / "cam2" / "1.png")
    write_clip(tmp_path / "cam1" / "film.mp4", 3, SIZE)
    refused("videos and others images", tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_lens_photos(tmp_path / "none")
