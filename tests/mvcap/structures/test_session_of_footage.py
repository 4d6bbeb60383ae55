"""What ``init`` makes of odd footage: flat folders, parts, stated rates, calibrations without sizes, other names."""

import json

import numpy as np
import pytest
from synthetic_take import COCO, ring_rig, truth, write_clip

import mvcap
from calib import RigMismatchError, save_rig
from mvcap.errors import InputError, SessionError
from mvcap.structures.detection_table import write_detections_npz
from mvcap.structures.detections import Detections2D
from mvcap.structures.session import Session

cv2 = pytest.importorskip("cv2")
SIZE = (64, 48)
FRAMES = 12


@pytest.fixture
def take(tmp_path):
    """Three small clips and their calibration."""
    for index in (1, 2, 3):
        write_clip(tmp_path / "videos" / f"cam{index}.mp4", FRAMES, SIZE, seed=index)
    save_rig(ring_rig(3, size=SIZE), tmp_path / "rig.yaml")
    return tmp_path


def make(take, sources="videos", name="session", calibration="rig.yaml", **options):
    given = take / sources if isinstance(sources, str) else sources
    return mvcap.init(given, take / calibration, take / name, **options)


def image(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((SIZE[1], SIZE[0], 3), value, np.uint8))


@pytest.mark.parametrize("name", ["{camera}_frame_{frame:04d}", "{frame:04d}-{camera}", "shot{frame}_{camera}_raw"])
def test_a_flat_folder_is_split_into_views(take, name):
    for camera in ("cam1", "cam2", "cam3"):
        for frame in range(1, 7):
            if (camera, frame) != ("cam2", 3):
                image(take / "images" / f"{name.format(camera=camera, frame=frame)}.png", 30 * frame)
    session = make(take, "images", rate_hz=25.0)
    assert session.names == ("cam1", "cam2", "cam3") and session.frames == 6
    assert session.frame_of[:, 1].tolist() == [0, 1, -1, 2, 3, 4]
    again = Session.open(session.folder)
    assert again == session
    shown = [None if one is None else round(one.mean() / 30) for _, one in again.images(1)]
    assert shown == [1, 2, None, 4, 5, 6]
    assert make(take, "images", rate_hz=25.0) == session


def test_names_of_the_rigs_cameras_split_a_flat_folder(take):
    rig = ring_rig(2, size=SIZE)
    names = ("left", "2133-B")
    renamed = [type(c)(type(c.lens)(n, SIZE, c.lens.K, c.lens.distortion), c.cam_from_world)
               for n, c in zip(names, rig, strict=True)]  # fmt: skip
    for camera in names:
        for frame in range(4):
            image(take / "images" / f"{camera}_{frame}.png", frame)
    session = mvcap.init(take / "images", mvcap.Rig(tuple(renamed)), take / "session", rate_hz=25.0)
    assert set(session.names) == set(names) and session.frames == 4


def test_a_part_in_seconds_or_frames(take):
    session = make(take, start="3f", stop=0.4)
    assert session.frames == 7 and session.first == 3 and session.frame_of[:, 0].tolist() == list(range(3, 10))
    assert session.number_of[0].tolist() == [3] * 3 and session.number_count.tolist() == [12] * 3
    assert "frames 3 to 9 of the take's 12" in session.notes[0]
    with pytest.raises(SessionError, match="with other frames"):
        make(take)
    with pytest.raises(InputError, match="--to 13f is behind the end: the take has 12 frames"):
        make(take, name="none", stop="13f")
    assert not (take / "none").exists()


def test_a_rate_is_used_and_another_one_is_another_session(take):
    assert make(take, rate_hz=100.0).rate_hz == 100
    with pytest.raises(SessionError, match="at 100 Hz, not 25 Hz"):
        make(take)


def sizeless(take, size=SIZE):
    """EasyMocap's calibration without H_ and W_."""
    save_rig(ring_rig(3, size=size), take / "easymocap", "easymocap")
    path = take / "easymocap" / "intri.yml"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith(("H_", "W_"))) + "\n")


def test_sizes_come_from_the_footage_and_that_is_said(take):
    sizeless(take)
    session = make(take, calibration="easymocap")
    assert [camera.size for camera in session.rig] == [SIZE] * 3
    assert [note for note in session.notes if "states no image size" in note and "64x48" in note]
    for camera in ("cam1", "cam2", "cam3"):
        image(take / "flat" / f"{camera}_0.png", 0)
    assert make(take, "flat", name="flat.mvcap", calibration="easymocap", rate_hz=25.0).names[0] == "cam1"
    stated = Session.create(take / "easymocap", take / "s", frames=5, rate_hz=25.0, size=(640, 480))
    assert stated.rig[0].size == (640, 480)


@pytest.mark.parametrize("names", [("cam1_take3", "cam2_take3", "cam3_take3"), ("video01", "video02", "video03"),
                                   ("GOPRO cam1", "cam2", "cam3")])  # fmt: skip
def test_a_file_of_another_name_is_shown_how_to_say_its_camera(take, names):
    for index, name in enumerate(names, 1):
        (take / "videos" / f"cam{index}.mp4").rename(take / "videos" / f"{name}.mp4")
    with pytest.raises(RigMismatchError) as caught:
        make(take)
    assert f"give NAME=PATH, as in cam1={take / 'videos' / names[0]}.mp4" in str(caught.value)
    given = [f"cam{index}={take / 'videos' / name}.mp4" for index, name in enumerate(names, 1)]
    assert make(take, given).names == ("cam1", "cam2", "cam3")


def test_a_session_is_no_footage(take):
    with pytest.raises(InputError, match=r"is a session already; `mvcap reconstruct"):
        mvcap.init(make(take).folder, take / "rig.yaml", take / "other")
    with pytest.raises(InputError, match="NAME=PATH"):
        make(take, ["=x", "cam2="])


# Detections of files, in a part of the take or with images that were dropped


def openpose(take, frames, cameras=3):
    """A folder a view, a file a frame; one person whose nose is at x = frame."""
    for camera in range(1, cameras + 1):
        place = take / "pose" / f"cam{camera}_json"
        place.mkdir(parents=True)
        for frame in frames:
            flat = [frame + 1.0, 5.0, 0.9] + [frame + 1.0, 9.0, 0.9] * 24
            text = json.dumps({"people": [{"pose_keypoints_2d": flat}]})
            (place / f"cam{camera}_{frame:06d}_keypoints.json").write_text(text)
    return {"estimator": "openpose", "estimators": {"openpose": {"folder": str(take / "pose"), "skeleton": "body25"}}}


def estimated(session, settings):
    session.override(settings)
    return mvcap.estimate(session).between(0, session.frames)


def test_files_of_a_view_count_the_images_of_its_video(take):
    session = make(take, start="3f", stop="8f")
    rows = estimated(session, openpose(take, range(FRAMES)))
    assert rows.frame.tolist() == np.repeat(np.arange(5), 3).tolist()
    assert rows.xy[:, 0, 0].tolist() == (rows.frame + 4).tolist()


def test_files_of_a_view_count_by_the_numbers_of_its_images(take):
    for camera in (1, 2, 3):
        for frame in (5, 6, 8, 9):
            image(take / "images" / f"cam{camera}" / f"{frame:03d}.png", 0)
    image(take / "images" / "cam1" / "007.png", 0)
    session = make(take, "images", rate_hz=25.0)
    settings = openpose(take, (5, 6, 8, 9))
    settings["estimators"]["openpose"]["missing"] = "empty"
    rows = estimated(session, settings)
    assert sorted(set(rows.frame.tolist())) == [0, 1, 3, 4]
    assert rows.xy[:, 0, 0].tolist() == (rows.frame + 6).tolist()


def test_a_table_counts_the_frames_of_the_take(take):
    poses = truth(FRAMES, 1)
    rig = ring_rig(3, size=SIZE)
    rows = Detections2D.concatenate(
        [Detections2D.build(COCO, 0, view, camera.project(poses.xyz), np.ones((FRAMES, 17)), 0.3, poses.person)
         .with_columns(frame=poses.frame) for view, camera in enumerate(rig)], COCO,
    )  # fmt: skip
    rows = rows[np.argsort(rows.frame, kind="stable")]
    write_detections_npz(take / "table.npz", [rows], rig.names, COCO)
    settings = {"estimator": "table", "estimators": {"table": {"file": str(take / "table.npz")}}}
    found = estimated(make(take, start="4f"), settings)
    assert found.frame.tolist() == np.repeat(np.arange(8), 3).tolist()
    whole = rows[rows.frame >= 4]
    assert np.array_equal(np.sort(found.xy[:, 0, 0]), np.sort(whole.xy[:, 0, 0]))
    part = Session.create(rig, take / "part", frames=FRAMES, rate_hz=25.0, start="4f", stop="9f")
    assert len(estimated(part, settings)) == 15 and part.first == 4


# Where footage lies


def test_a_folder_of_a_take_and_a_folder_a_camera(take):
    (take / "project").mkdir()
    (take / "videos").rename(take / "project" / "videos")
    assert make(take, "project", name="one").names == ("cam1", "cam2", "cam3")
    for index in (1, 2, 3):
        (take / "nested" / f"cam{index}").mkdir(parents=True)
        film = take / "project" / "videos" / f"cam{index}.mp4"
        film.rename(take / "nested" / f"cam{index}" / "recording.mp4")
    assert make(take, "nested", name="two").names == ("cam1", "cam2", "cam3")


def test_what_else_is_there_is_said(take):
    (take / "other").mkdir()
    (take / "other" / "cam1.flv").touch()
    with pytest.raises(InputError, match=r"no videos and no image folders .*there are \.flv"):
        make(take, "other")
    with pytest.raises(InputError, match="mvcap reconstruct -"):
        mvcap.init("-", take / "rig.yaml", take / "none")


def test_one_file_is_one_view(take):
    film = take / "videos" / "cam1.mp4"
    with pytest.raises(InputError, match="is given for view cam1 and for view cam2"):
        make(take, [f"cam1={film}", f"cam2={film}"], subset=True)
    (take / "videos" / "cam2.mp4").write_bytes(film.read_bytes())
    assert any("views cam1, cam2 have the same footage" in note for note in make(take).notes)


def test_the_only_camera_left_over_may_be_the_one(take):
    (take / "videos" / "cam2.mp4").rename(take / "videos" / "recording.mp4")
    with pytest.raises(RigMismatchError, match=r"as in cam2=.*recording\.mp4"):
        make(take)
